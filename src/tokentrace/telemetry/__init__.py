"""Spans, metrics and events: the one place that talks to OpenTelemetry.

Which provider records is decided at every span, see `sources`.

Calls here run inside the fail-safe of their callers: a processor of the application that raises
costs a span, never the host's call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokentrace import _late, schema
from tokentrace._failsafe import attempt
from tokentrace.prompt import CallRecord, Event, Record
from tokentrace.telemetry import logs, peers, sources
from tokentrace.telemetry.sources import (
    Settings,
    configure,
    dropped,
    enabled,
    flush,
    folder,
    open_calls,
    reset,
    settings,
    shutdown,
)
from tokentrace.telemetry.spans import Awaited, Handle, Told
from tokentrace.values import foreign, identity, text, whole

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

__all__ = [
    "Handle", "Settings", "alone", "configure", "dropped", "emit", "enabled", "flush", "folder", "open_assembly", "open_call",
    "open_calls", "open_turn", "record_of", "reset", "settings", "shutdown", "wanted",
]  # fmt: skip

_NOTHING: Mapping[str, Any] = {}


# ── spans ────────────────────────────────────────────────────────────────────────────────────────


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
    sdk: str = "",
    line: Any = None,
) -> Handle:
    """Start the span of a call with everything that is known before it.

    Where somebody else's span of this very call is there, or on its way, the call stands on that:
    its owner ends it, and has the standard's metrics where it records them.

    Args:
        record: the call so far.
        parent: another parent than the current span; then the span is our own.
        attributes: the session's own, cleaned here.
        sdk: whose client makes the call; two instrumentations around it are told once.
        line: a `lineage.Lineage`, or None. A call without a parent is a trace of its own, linked to
            the one before of its lineage, which remembers it.
    """
    on = enabled()
    theirs = attempt(peers.span_of, record) if parent is None and (on or wanted()) else None
    if theirs is None and not on:
        return Handle()
    handle = _own(record, parent, attributes, line) if theirs is None else _on(theirs, record)
    handle.measure()
    if theirs is not None:
        peers.tell(sdk)
    return handle


def alone(record: CallRecord) -> bool:
    """Whether the span of a call is ours to end, whenever that is, if there is one."""
    return not wanted() or (attempt(peers.span_of, record) is None and not peers.is_late(record))


def _on(theirs: peers.Found, record: CallRecord) -> Handle:
    """Stand on somebody else's span."""
    handle = Handle()
    handle.ride(theirs.span, standard=theirs.standard)
    handle.update(record)
    return handle


def wanted() -> bool:
    """Whether a call may have telemetry here: on a span of ours, or on one that is there already.

    Logfire suppresses other instrumentations under its own span: we may still stand on that.
    """
    return enabled() or (sources.on() and bool(sources.otel().span().is_recording()))


def _own(
    record: CallRecord, parent: Context | Handle | None, attributes: Mapping[str, Any], line: Any
) -> Handle:
    """Start a span of our own, or wait for somebody's that comes late."""
    told = _told(record, attributes, line)
    name = schema.span_name(record.operation, record.model)
    under = _under(parent)
    if parent is None and peers.is_late(record):
        late = Awaited(name, told.attributes, under)
        late.update(record)
        peers.expect(late)
        return late
    handle = Handle()
    root = line is not None and not _span_context(under).is_valid
    links = [_link(line.last_span)] if root and line.last_span is not None else []
    handle.start(name, "CLIENT", told, record, context=under, links=links)
    if root and handle.span_context is not None:
        line.last_span = handle.span_context
    return handle


def _told(record: CallRecord, attributes: Mapping[str, Any], line: Any) -> Told:
    """Return what is known of a call at its start; the very same record is written once a line."""
    if attributes:
        return Told(schema.dump(record) | foreign(attributes), record)
    known: Told | None = getattr(line, "written", None)
    if known is None or known.record is not record:
        known = Told(schema.dump(record), record)
        if line is not None:
            line.written = known
    return known


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
    handle.start(name, "INTERNAL", Told(known), context=under, links=links)
    # A turn inside a turn (a sub-agent's) is its child; the next turn follows the outer one.
    if handle.span_context is not None and registry is not None and place.session and not inside:
        registry.last_turn = handle.span_context
    if current:
        handle.attach()
    return handle


def _link(before: SpanContext) -> Any:
    return sources.otel().link(before)


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
    handle.start(title, "INTERNAL", Told(known), context=_under(None))
    if current:
        handle.attach()
    return handle


def _place(place: Any) -> dict[str, Any]:
    """Return the attributes of where something happens: session, agent, turn."""
    pairs = {
        schema.CONVERSATION: identity(getattr(place, "session", None)),
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
    _late.tell(_emit, name, attributes, handle)


def _emit(name: str, attributes: Mapping[str, Any], handle: Handle | None) -> None:
    if not enabled() and (handle is None or handle.span is None):
        return
    from opentelemetry import context, trace

    most = sources.most() if handle is None else handle.most
    known = schema.bounded(schema.dump_event(name, attributes), most)
    where = handle.context if handle is not None else None
    where = context.get_current() if where is None else where
    if handle is not None:
        handle.event(name, known)
    else:
        trace.get_current_span(where).add_event(name, dict(known))
    logs.emit(sources.logger(), name, known, where, sources.settings().wall())


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
