"""One span: ours, somebody else's that we stand on, one that is still to come, or none at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tokentrace import _late, schema
from tokentrace.fitting import EVENT_BYTES, LINK_BYTES, SPAN_BYTES
from tokentrace.prompt import CallRecord, Record
from tokentrace.telemetry import sources, weighing
from tokentrace.values import error_type

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

LATE = 16  # room kept for what is known only at the end
_NOTHING: Mapping[str, Any] = {}


class Fitted(NamedTuple):
    """Attributes that a span holds, of which no back end cuts one.

    Attributes:
        room, most: of the span, see `Handle`.
        attributes: that fit into it.
        size: their weight.
    """

    room: int
    most: int
    attributes: Mapping[str, Any]
    size: int


class Told:
    """What is known at the start of a span; spans that are alike have it fitted once.

    Attributes:
        attributes: all of them.
        record: whose they are.
    """

    __slots__ = ("_fitted", "attributes", "record")

    def __init__(self, attributes: dict[str, Any], record: Record | None = None) -> None:
        self.attributes = attributes
        self.record = record
        self._fitted: Fitted | None = None

    def fitted(self, room: int, most: int) -> Fitted:
        """Return what of them fits into a span, with room left for what is known at its end."""
        known = self._fitted
        if known is None or known.room != room or known.most != most:
            first = max(room - LATE, room // 2)
            fits = len(self.attributes) <= first
            kept = self.attributes if fits else schema.shrink(self.attributes, first)
            known = self._fitted = Fitted(room, most, *schema.measured(kept, most))
        return known

    @property
    def weight(self) -> int:
        """Bytes held, about."""
        return 5_000 + sum(len(one) for one in self.attributes.values() if type(one) is str)


class Handle:
    """A span that is open, or nothing, with the same methods.

    Attributes:
        span: OpenTelemetry's span, or None.
        context: the context in which it is the current span; None where we did not make it so.
        measured: closing it with a call records the call's metrics.
        standard: the standard's own metrics are ours to record; False where another one does.
        most: how many bytes of UTF-8 a text on it may take.
    """

    span: Span | None = None
    context: Context | None = None
    measured = False
    standard = True
    _theirs: frozenset[str] = frozenset()
    _record: Record | None = None
    _before: Context | None = None
    _owned = True
    _room = sources.CAPACITY
    _weight = 0

    def __init__(self) -> None:
        settings = sources.settings()
        self._sent: list[Mapping[str, Any]] = []
        self._open = [True]
        self.most = sources.most()
        self._wall = settings.wall()
        self._started = settings.steady()

    def measure(self) -> None:
        """Have the call's metrics recorded when it is closed; until then it counts as open."""
        self.measured = True
        sources.OPEN[id(self)] = self._started

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
        told: Told,
        record: Record | None = None,
        **more: Any,
    ) -> None:
        """Start the span with what is known, the attributes of ``record`` among it."""
        tracer = sources.tracer()
        if tracer is None:
            return
        otel = sources.otel()
        self._room, self.most = sources.room(), sources.most()
        _, _, attributes, size = told.fitted(self._room, self.most)
        links = LINK_BYTES * len(more.get("links") or ())
        self._weight += size + SPAN_BYTES + len(name) + links
        self._sent = [attributes]
        self._record = record
        # A copy: a sampler of the application's gets it.
        self.span = tracer.start_span(
            name, kind=otel.kinds[kind], attributes=dict(attributes), start_time=self._wall, **more
        )
        self.context = otel.within(self.span, more.get("context"))

    def ride(self, span: Span, *, standard: bool = False) -> None:
        """Stand on a span of somebody else, who ends it.

        Args:
            span: the other's.
            standard: the other does not record the standard's metrics, so we do.
        """
        self.span, self._owned, self.standard = span, False, standard
        used = getattr(span, "attributes", None) or _NOTHING
        limits = getattr(span, "_limits", None)
        self.most = sources.most_of(limits)
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
        theirs = self._theirs
        known = (
            {key: attributes[key] for key in attributes if key not in theirs}
            if theirs
            else attributes
        )
        if sum(map(len, self._sent)) + len(known) > self._room:
            known = self._spared(known)
        self._sent.append(known)
        self.span.set_attributes(self._fitting(known))

    def _spared(self, known: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what of attributes fits beside those that are on the span."""
        sent = set().union(*self._sent)
        if len(sent | known.keys()) <= self._room:
            return known
        known = schema.refit(known, sent)
        return schema.shrink(known, self._room - len(sent - known.keys()))

    def _fitting(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return attributes that no back end cuts, and weigh them."""
        known, size = schema.measured(attributes, self.most)
        self._weight += size
        return known

    def update(self, record: Record) -> None:
        """Set what is new in ``record`` since the last time."""
        before, self._record = self._record, record
        self.set(schema.dump(record, before))

    def event(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Put an event on the span."""
        if self.span is not None and self.recording:
            known = self._fitting(attributes)
            self._weight += len(name) + EVENT_BYTES
            self.span.add_event(name, dict(known))

    def elapsed(self) -> int:
        """Return the nanoseconds since it began."""
        return int(max(0, sources.settings().steady() - self._started))

    def close(
        self,
        record: Record | None = None,
        error: BaseException | None = None,
        overhead: float | None = None,
        lasted: int | None = None,
    ) -> None:
        """Set what is known now, end the span and record the metrics. Only the first call counts.

        Args:
            record: the call or assembly as it stands now.
            error: what the host is about to see. Only its type leaves the process.
            overhead: seconds that we added to the call, where measured.
            lasted: nanoseconds, where it was over before now: see `elapsed`.
        """
        try:
            self._open.pop()
        except IndexError:
            return
        sources.OPEN.pop(id(self), None)
        lasted = self.elapsed() if lasted is None else lasted
        failure = error_type(error) if error is not None else getattr(record, "error_type", "")
        self.detach()
        _late.tell(self._closed, record, failure, lasted, overhead)

    def _closed(
        self, record: Record | None, failure: str, lasted: int, overhead: float | None
    ) -> None:
        """End the span and record the metrics."""
        try:
            self._finish(record, failure, lasted)
        finally:
            meters = sources.instruments() if self.measured else None
            if meters is not None and isinstance(record, CallRecord):
                meters.call(
                    record,
                    failure,
                    lasted / 1e9,
                    overhead,
                    self.context,
                    standard=self.standard,
                )

    def _finish(self, record: Record | None, failure: str, lasted: int) -> None:
        if self.span is None:
            return
        try:
            if self.recording:
                late = {} if record is None else schema.dump(record, self._record)
                if failure:
                    late[schema.ERROR_TYPE] = failure
                self.set(late)
                weighing.add(self.span, self._weight)
        finally:
            if self._owned:
                self._end(failure, self._wall + lasted)

    def _end(self, failure: str, end: int) -> None:
        if self.span is None:
            return
        if failure:
            self.span.set_status(sources.otel().statuses.ERROR)
        self.span.end(end)


class Awaited(Handle):
    """A span of somebody else that is still to come: what happens until then is kept for it.

    `found` hands it over. When nobody has come a while after the call's end, `own` makes a span of
    ours in its place, with the times of the call.

    Args:
        name, attributes, context: of the span that we would have started.
    """

    def __init__(self, name: str, attributes: dict[str, Any], context: Context) -> None:
        super().__init__()
        self._late = (name, attributes, context)
        self._kept: dict[str, Any] = {}
        self._events: list[tuple[str, dict[str, Any], int]] = []
        self._failure = ""
        self.ended = 0

    @property
    def recording(self) -> bool:
        """Whether somebody will see the span, now or later."""
        return self.span is None or super().recording

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes, or keep them."""
        if self.span is None:
            self._kept.update(attributes)
        else:
            super().set(attributes)

    def event(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Put an event on the span, or keep it."""
        if self.span is None:
            self._events.append((name, dict(attributes), sources.settings().wall()))
        else:
            super().event(name, attributes)

    def _finish(self, record: Record | None, failure: str, lasted: int) -> None:
        if self.span is not None:
            super()._finish(record, failure, lasted)
            return
        self.ended, self._failure = self._wall + lasted, failure
        self.set({} if record is None else schema.dump(record, self._record))
        if failure:
            self.set({schema.ERROR_TYPE: failure})

    def found(self, span: Span, *, standard: bool) -> None:
        """Stand on the span that has come, which its owner ends."""
        self.ride(span, standard=standard)
        self._hand_over()

    def own(self) -> None:
        """Start and end a span of ours, since none has come."""
        name, attributes, context = self._late
        self.start(name, "CLIENT", Told(attributes), context=context)
        self._hand_over()
        if self.ended:
            self._end(self._failure, self.ended)

    def _hand_over(self) -> None:
        kept, self._kept = self._kept, {}
        super().set(kept)
        if self.span is not None and self.recording:
            for name, attributes, time in self._events:
                self.span.add_event(name, dict(self._fitting(attributes)), time)
            if self.ended:
                weighing.add(self.span, self._weight)
        self._events.clear()
