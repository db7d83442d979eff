"""Spans, metrics and events: the one place that talks to OpenTelemetry.

Which provider records is decided at every span, see `sources`.

Calls here run inside the fail-safe of their callers: a processor of the application that raises
costs a span, never the host's call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tokentrace import schema
from tokentrace.prompt import CallRecord, Event, Record
from tokentrace.telemetry import sources
from tokentrace.telemetry.sources import (
    Settings,
    configure,
    dropped,
    enabled,
    flush,
    folder,
    reset,
    settings,
    shutdown,
)
from tokentrace.values import error_type, foreign, text, whole

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

__all__ = [
    "Handle", "Settings", "configure", "dropped", "emit", "enabled", "flush", "folder", "open_assembly", "open_call",
    "open_turn", "record_of", "reset", "settings", "shutdown",
]  # fmt: skip

LATE = 16  # room kept for what is known only at the end
_NOTHING: Mapping[str, Any] = {}


# ── spans ────────────────────────────────────────────────────────────────────────────────────────


class Handle:
    """A span that is open, or nothing at all, with the same methods.

    Attributes:
        span: OpenTelemetry's span, or None.
        context: the context in which it is the current span; None where there is no span.
        measured: closing it with a call records the call's metrics.
    """

    def __init__(self) -> None:
        self.span: Span | None = None
        self.context: Context | None = None
        self._sent: set[str] = set()
        self._theirs: frozenset[str] = frozenset()
        self._record: Record | None = None
        self._before: Context | None = None
        self._open = [True]
        self._owned = True
        self.measured = False
        self._room = sources.CAPACITY
        self._wall = sources.settings().wall()
        self._started = sources.settings().steady()

    @property
    def recording(self) -> bool:
        """Whether somebody will see the span: only then is its detail worth work."""
        return self.span is not None and self.span.is_recording()

    @property
    def span_context(self) -> SpanContext | None:
        """The span's identity, for links; None where there is none."""
        known = self.span.get_span_context() if self.span is not None else None
        return known if known is not None and known.is_valid else None

    def start(
        self,
        name: str,
        kind: str,
        attributes: dict[str, Any],
        record: Record | None = None,
        **more: Any,
    ) -> None:
        """Start the span with what is known: ``attributes``, those of ``record`` among them."""
        tracer = sources.tracer()
        if tracer is None:
            return
        otel = sources.otel()
        self._room = sources.room()
        first = max(self._room - LATE, self._room // 2)
        if len(attributes) > first:
            attributes = schema.shrink(attributes, first)
        self._sent = set(attributes)
        self._record = record
        self.span = tracer.start_span(
            name, kind=otel.kinds[kind], attributes=attributes, start_time=self._wall, **more
        )
        self.context = otel.within(self.span, more.get("context"))

    def ride(self, span: Span) -> None:
        """Stand on a span of somebody else, who ends it and counts its tokens."""
        self.span, self._owned, self.measured = span, False, False
        used = getattr(span, "attributes", None) or _NOTHING
        limits = getattr(span, "_limits", None)
        limit = getattr(limits, "max_span_attributes", None) or sources.CAPACITY
        self._room = max(0, min(schema.MOST_ATTRIBUTES, limit - len(used) - LATE))
        self._theirs = frozenset(used)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the span current around a call. Never around a ``yield``."""
        self.attach()
        try:
            yield
        finally:
            self.detach()

    def attach(self) -> None:
        """Make the span current from here on."""
        if self.context is not None:
            otel = sources.otel()
            before = otel.current()
            if before is not self.context:
                self._before = before
                otel.attach(self.context)

    def detach(self) -> None:
        """Put back what was current before, unless another is current now.

        Attaching the old context rather than detaching by token: the token of another task or
        thread makes the API log an error.
        """
        if self._before is not None:
            otel = sources.otel()
            if otel.current() is self.context:
                otel.attach(self._before)
            self._before = None

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes in one go, and never so many that older ones fall out."""
        if self.span is None or not attributes or not self.recording:
            return
        known = {key: attributes[key] for key in attributes if key not in self._theirs}
        if len(self._sent | known.keys()) > self._room:
            known = schema.refit(known, self._sent)
            room = self._room - len(self._sent - known.keys())
            known = schema.shrink(known, room)
        self._sent |= known.keys()
        self.span.set_attributes(known)

    def update(self, record: Record) -> None:
        """Set what is new in ``record`` since the last time."""
        before, self._record = self._record, record
        self.set(schema.dump(record, before))

    def event(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Put an event on the span."""
        if self.span is not None and self.recording:
            self.span.add_event(name, dict(attributes))

    def close(
        self,
        record: Record | None = None,
        error: BaseException | None = None,
        overhead: float | None = None,
    ) -> None:
        """Set what is known now, end the span and record the metrics. Only the first call counts.

        Args:
            record: the call or assembly as it stands now.
            error: what the host is about to see. Only its type leaves the process.
            overhead: seconds that we added to the call, where measured.
        """
        try:
            self._open.pop()
        except IndexError:
            return
        lasted = max(0, sources.settings().steady() - self._started)
        failure = error_type(error) if error is not None else getattr(record, "error_type", "")
        self.detach()
        try:
            self._finish(record, failure, lasted)
        finally:
            meters = sources.instruments() if self.measured else None
            if meters is not None and isinstance(record, CallRecord):
                meters.call(record, failure, lasted / 1e9, overhead, self.context)

    def _finish(self, record: Record | None, failure: str, lasted: int) -> None:
        if self.span is None:
            return
        try:
            if self.recording:
                late = {} if record is None else schema.dump(record, self._record)
                if failure:
                    late[schema.ERROR_TYPE] = failure
                self.set(late)
        finally:
            if self._owned:
                self._end(failure, self._wall + lasted)

    def _end(self, failure: str, end: int) -> None:
        if self.span is None:
            return
        if failure:
            self.span.set_status(sources.otel().statuses.ERROR)
        self.span.end(end)


def _under(parent: Context | Handle | None) -> Context:
    """Return the context to start a span in: the one given, the current, or another process's."""
    known = parent.context if isinstance(parent, Handle) else parent
    if known is None:
        known = sources.otel().current()
    if not _span_context(known).is_valid:
        carrier = sources.carrier()
        if carrier:
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            return TraceContextTextMapPropagator().extract(carrier, known)
    return known


def open_call(
    record: CallRecord,
    *,
    parent: Context | Handle | None = None,
    attributes: Mapping[str, Any] = _NOTHING,
    span: Span | None = None,
) -> Handle:
    """Start the span of a call with everything that is known before it.

    Args:
        record: the call so far.
        parent: another parent than the current span.
        attributes: the session's own, cleaned here.
        span: a span of somebody else for this very call: its owner ends it and has the metrics.
    """
    handle = Handle()
    if not enabled():
        return handle
    handle.measured = True
    if span is not None:
        handle.ride(span)
        handle.update(record)
        return handle
    known = schema.dump(record) | foreign(attributes)
    name = schema.span_name(record.operation, record.model)
    handle.start(name, "CLIENT", known, record, context=_under(parent))
    return handle


def open_turn(place: Any, *, current: bool = False) -> Handle:
    """Start the span of a turn, linked to its session's previous turn.

    Args:
        place: a `turns.Place`; its registry remembers the turn for the next one's link.
        current: make it the current span until it is closed. Not where the body yields.
    """
    handle = Handle()
    if not enabled():
        return handle
    known = foreign(getattr(place, "attributes", None) or _NOTHING)
    known = {schema.OPERATION: schema.INVOKE_AGENT, **_place(place), **known}
    name = schema.span_name(schema.INVOKE_AGENT, getattr(place, "agent", ""))
    under = _under(None)
    registry = getattr(place, "registry", None)
    before = getattr(registry, "last_turn", None)
    inside = before is not None and before == _span_context(under)
    links = [_link(before)] if before is not None and not inside else []
    handle.start(name, "INTERNAL", known, context=under, links=links)
    # A turn inside a turn (a sub-agent's) is its child; the next turn follows the outer one.
    if handle.span_context is not None and registry is not None and place.session and not inside:
        registry.last_turn = handle.span_context
    if current:
        handle.attach()
    return handle


def _link(before: SpanContext) -> Any:
    from opentelemetry.trace import Link

    return Link(before)


def _span_context(where: Context) -> SpanContext:
    context: SpanContext = sources.otel().span(where).get_span_context()
    return context


def open_assembly(name: str, place: Any = None, *, current: bool = False) -> Handle:
    """Start the span of an assembly; its sums come with ``close(record)``.

    Args:
        name: as the agent gave it.
        place: a `turns.Place`, or None.
        current: make it the current span until it is closed. Not where the body yields.
    """
    handle = Handle()
    if not enabled():
        return handle
    known = {schema.ASSEMBLY_NAME: text(name) or "", **_place(place)}
    title = schema.span_name(schema.ASSEMBLE, name)
    handle.start(title, "INTERNAL", known, context=_under(None))
    if current:
        handle.attach()
    return handle


def _place(place: Any) -> dict[str, Any]:
    """Return the attributes of where something happens: session, agent, turn."""
    pairs = {
        schema.CONVERSATION: text(getattr(place, "session", None)),
        schema.AGENT: text(getattr(place, "agent", None)),
        schema.TURN: whole(getattr(place, "turn_number", None)),
    }
    return {key: value for key, value in pairs.items() if value not in (None, "")}


# ── events ───────────────────────────────────────────────────────────────────────────────────────


def emit(name: str, attributes: Mapping[str, Any], handle: Handle | None = None) -> None:
    """Put an event on a span and among the log records.

    Args:
        name: one of the event names of `schema`.
        attributes: by the short names of `schema.EVENTS`, cleaned here.
        handle: whose span; None is the current span, whosever it is.
    """
    if not enabled():
        return
    from opentelemetry import context, trace

    known = schema.dump_event(name, attributes)
    where = handle.context if handle is not None else None
    where = context.get_current() if where is None else where
    if handle is not None:
        handle.event(name, known)
    else:
        trace.get_current_span(where).add_event(name, known)
    _log(name, known, where)


def _log(name: str, attributes: dict[str, Any], where: Context) -> None:
    logger = sources.logger()
    # Older loggers know neither events nor this question.
    if not hasattr(logger, "enabled"):
        return
    from opentelemetry._logs import SeverityNumber

    grave = name in (schema.LIMIT_WARNING, schema.LIMIT_EXCEEDED)
    severity = SeverityNumber.WARN if grave else SeverityNumber.INFO
    if logger.enabled(context=where, severity_number=severity, event_name=name):
        logger.emit(
            timestamp=sources.settings().wall(),
            context=where,
            severity_number=severity,
            severity_text=severity.name,
            attributes=attributes,
            event_name=name,
        )


# ── finished spans ───────────────────────────────────────────────────────────────────────────────


def record_of(span: Any) -> Record | None:
    """Return the record on a finished span (OpenTelemetry's ReadableSpan), None where none is."""
    context, parent = span.context, span.parent
    return schema.load(
        span.attributes or _NOTHING,
        name=span.name,
        error=not span.status.is_ok,
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{parent.span_id:016x}" if parent is not None else "",
        start=span.start_time or 0,
        end=span.end_time or 0,
        service=str(span.resource.attributes.get(schema.SERVICE_NAME, "")),
        events=tuple(
            Event(event.name, dict(event.attributes or _NOTHING), event.timestamp)
            for event in span.events
        ),
    )
