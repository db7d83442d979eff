"""The instruments of one meter, and what a call puts into them.

A call that has ended waits until somebody collects: then it is recorded, before anything is read.
Each collection asks our observed counters first, and that is where it happens, on the thread that
collects. So every collection, flush and shutdown holds all calls that ended before it, as if each
had been recorded at once; only the thread that made the call is spared. Meters of other makes than
OpenTelemetry's SDK need not collect like this: there each call is recorded as it ends.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from tokentrace import _late, schema
from tokentrace._failsafe import attempt
from tokentrace.prompt import CallRecord
from tokentrace.telemetry import losses
from tokentrace.values import fold, spelled, text

COLLECTING = "opentelemetry.sdk."  # whose meters ask observed counters before they read the others
MOST_WAITING = 2_048  # calls; beyond, each call that ends records the one that has waited longest

Attributes = dict[str, Any]

_names: set[str] = set()


def shown(name: str) -> str:
    """Return a component's name for metrics: the first 64 of a process, ``__other__`` for the rest."""
    known = spelled(name)
    if known not in _names:
        if len(_names) >= schema.MOST_METRIC_NAMES:
            losses.folded[losses.METRICS_FULL] += 1
            return schema.REST
        _names.add(known)
    return known


def reset() -> None:
    """Forget the names (tests)."""
    _names.clear()


class Who(NamedTuple):
    """What the metrics of calls that are alike bear."""

    operation: str
    provider: str
    model: str
    response_model: str
    server_address: str
    server_port: int


class Ended(NamedTuple):
    """What the metrics need of a call that has ended.

    Attributes:
        who: what it is counted under.
        failure: its error's type, empty where it went well.
        input, output: tokens that the provider reported, None where it did not.
        components: tokens by component, as counted.
        utilization: of the limit, None where none is known.
        decision: the guard's, empty where there was none.
        seconds: how long it took.
        overhead: seconds of it that were ours, None where nobody measured.
        standard: whether the standard's own metrics are ours to record.
        where: its span, for exemplars: an OpenTelemetry context, or the span's own while it waits.
    """

    who: Who
    failure: str
    input: int | None
    output: int | None
    components: Mapping[str, int]
    utilization: float | None
    decision: str
    seconds: float
    overhead: float | None
    standard: bool
    where: Any


def _ended(record: CallRecord, failure: str, *rest: Any) -> Ended:
    """Return of a call what its metrics need; the rest are seconds, overhead, standard and where."""
    usage = record.usage
    who = Who(
        record.operation,
        record.provider,
        record.model,
        usage.response_model,
        record.server_address,
        record.server_port,
    )
    return Ended(
        who,
        failure,
        usage.input,
        usage.output,
        record.components,
        record.utilization,
        record.decision,
        *rest,
    )


class Meters:
    """Our instruments on one meter.

    Args:
        meter: OpenTelemetry's.
        dropped: telemetry lost so far, by reason; read when metrics are collected.
    """

    def __init__(self, meter: Any, dropped: Mapping[str, int]) -> None:
        sources = losses.counts(dropped)
        self._waiting: deque[Ended] | None = None
        self._made: dict[str, Any] = {
            name: self._make(meter, name, metric, *sources.get(name, ({}, "")))
            for name, metric in schema.METRICS.items()
        }
        if _collects(meter):
            self._waiting = deque()

    def call(
        self,
        record: CallRecord,
        failure: str,
        seconds: float,
        overhead: float | None = None,
        context: Any = None,
        *,
        standard: bool = True,
    ) -> None:
        """Record a call that has ended, however it ended.

        Args:
            record: the call.
            failure: its error's type, empty where it went well.
            seconds: how long it took.
            overhead: seconds of it that were ours.
            context: with its span, for exemplars.
            standard: record the standard's own metrics too; not where somebody else does.
        """
        waiting = self._waiting
        where = context if waiting is None else _span_in(context)
        ended = _ended(record, failure, seconds, overhead, standard, where)
        if waiting is None:
            self._record(ended, context)
            return
        waiting.append(ended)
        if len(waiting) > MOST_WAITING:
            self._settle_one()

    def settle(self) -> None:
        """Record the calls that wait, those first that the garbage collector has ended."""
        _late.drain()
        while self._waiting:
            self._settle_one()

    def _settle_one(self) -> None:
        try:
            ended = self._waiting.popleft() if self._waiting else None
        except IndexError:  # another thread has taken it
            return
        if ended is not None:
            attempt(self._record, ended, _within(ended.where))

    def forget(self) -> None:
        """Drop the calls that wait: in a child process, which has none of its own yet."""
        if self._waiting:
            self._waiting.clear()

    def _record(self, ended: Ended, context: Any) -> None:
        made, who = self._made, ended.who
        base, model = _base(who), _model(who.model)
        if ended.standard:
            self._usage(ended, context)
            whole = base | {schema.ERROR_TYPE: ended.failure} if ended.failure else base
            made[schema.DURATION].record(ended.seconds, whole, context)
        tokens = made[schema.COMPONENT_TOKENS]
        for name, count in fold(ended.components):
            tokens.record(count, _component(shown(name), who.model), context)
        if ended.utilization is not None:
            made[schema.UTILIZATION].record(ended.utilization, model, context)
        if ended.decision:
            made[schema.DECISIONS].add(1, {schema.DECISION: ended.decision, **model}, context)
        if ended.overhead is not None:
            made[schema.OVERHEAD].record(max(0.0, ended.overhead), model, context)

    def _usage(self, ended: Ended, context: Any) -> None:
        """Record what the provider reported: counts of our own are no usage."""
        usage = self._made[schema.TOKEN_USAGE]
        for kind, tokens in (("input", ended.input), ("output", ended.output)):
            if tokens is not None:
                known = {**_base(ended.who), schema.TOKEN_TYPE: kind}
                usage.record(max(0, tokens), known, context)

    def _make(
        self, meter: Any, name: str, metric: schema.Metric, source: Mapping[str, int], label: str
    ) -> Any:
        facts = {"name": name, "unit": metric.unit, "description": metric.description}
        if metric.kind == "counter":
            return meter.create_counter(**facts)
        if metric.kind == "observed":
            return meter.create_observable_counter(
                callbacks=[self._observer(source, label)], **facts
            )
        return meter.create_histogram(**facts, explicit_bucket_boundaries_advisory=metric.buckets)

    def _observer(self, source: Mapping[str, int], label: str) -> Callable[[Any], Iterable[Any]]:
        """Return a callback that tells a table's numbers at the moment of collection."""

        def observe(_options: Any) -> Iterable[Any]:
            from opentelemetry.metrics import Observation

            attempt(self.settle)
            return [Observation(count, {label: key}) for key, count in dict(source).items()]

        return observe


# ── one for each meter ───────────────────────────────────────────────────────────────────────────

# The SDK takes the callbacks of an observed counter once: a second set of ours would never be asked.
_known: WeakKeyDictionary[Any, Meters] = WeakKeyDictionary()


def of(meter: Any, dropped: Mapping[str, int]) -> Meters:
    """Return our instruments on a meter, made on first use."""
    if not _collects(meter):
        return Meters(meter, dropped)
    known = _known.get(meter)
    if known is None:
        known = _known[meter] = Meters(meter, dropped)
    return known


def _collects(meter: Any) -> bool:
    """Whether a meter asks observed counters before it reads the others."""
    return type(meter).__module__.startswith(COLLECTING)


def _after_fork() -> None:
    for known in tuple(_known.values()):
        known.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# ── attributes, made once for calls that are alike ───────────────────────────────────────────────


@lru_cache(maxsize=256)
def _base(who: Who) -> Attributes:
    keys = (
        schema.OPERATION,
        schema.PROVIDER,
        schema.REQUEST_MODEL,
        schema.RESPONSE_MODEL,
        schema.SERVER_ADDRESS,
        schema.SERVER_PORT,
    )
    pairs = zip(keys, who, strict=True)
    return {key: text(value) or value for key, value in pairs if value}


@lru_cache(maxsize=256)
def _model(model: str) -> Attributes:
    return {schema.REQUEST_MODEL: (text(model) or model) if model else ""}


@lru_cache(maxsize=1_024)
def _component(name: str, model: str) -> Attributes:
    return {schema.COMPONENT_NAME: name, **_model(model)}


# ── exemplars ────────────────────────────────────────────────────────────────────────────────────


def _span_in(context: Any) -> Any:
    """Return what tells which span is current in a context: its own context, not the span."""
    return _current()(context).get_span_context()


@cache
def _current() -> Callable[[Any], Any]:
    from opentelemetry.trace import get_current_span

    return get_current_span


def _within(where: Any) -> Any:
    """Return a context in which that span is current."""
    from opentelemetry.context import Context
    from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, set_span_in_context

    span = NonRecordingSpan(where) if where.is_valid else INVALID_SPAN
    return set_span_in_context(span, Context())
