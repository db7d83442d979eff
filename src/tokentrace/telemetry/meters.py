"""The instruments of one meter, and what a call puts into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tokentrace import schema
from tokentrace.prompt import CallRecord
from tokentrace.telemetry import losses
from tokentrace.values import fold, spelled, text

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


class Meters:
    """Our instruments on one meter.

    Args:
        meter: OpenTelemetry's.
        dropped: telemetry lost so far, by reason; read when metrics are collected.
    """

    def __init__(self, meter: Any, dropped: Mapping[str, int]) -> None:
        sources = losses.counts(dropped)
        self._made: dict[str, Any] = {
            name: _make(meter, name, metric, *sources.get(name, ({}, "")))
            for name, metric in schema.METRICS.items()
        }

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
        base = _base(record)
        if standard:
            self._usage(record, base, context)
            ended = base | {schema.ERROR_TYPE: failure} if failure else base
            self._made[schema.DURATION].record(seconds, ended, context)
        model = {schema.REQUEST_MODEL: base.get(schema.REQUEST_MODEL, "")}
        tokens = self._made[schema.COMPONENT_TOKENS]
        for name, count in fold(record.components):
            tokens.record(count, {schema.COMPONENT_NAME: shown(name), **model}, context)
        if record.utilization is not None:
            self._made[schema.UTILIZATION].record(record.utilization, model, context)
        if record.decision:
            self._made[schema.DECISIONS].add(1, {schema.DECISION: record.decision, **model})
        if overhead is not None:
            self._made[schema.OVERHEAD].record(max(0.0, overhead), model, context)

    def _usage(self, record: CallRecord, base: Mapping[str, Any], context: Any) -> None:
        """Record what the provider reported: counts of our own are no usage."""
        usage = self._made[schema.TOKEN_USAGE]
        for kind, tokens in (("input", record.usage.input), ("output", record.usage.output)):
            if tokens is not None:
                usage.record(max(0, tokens), {**base, schema.TOKEN_TYPE: kind}, context)


def _base(record: CallRecord) -> dict[str, Any]:
    pairs = (
        (schema.OPERATION, record.operation),
        (schema.PROVIDER, record.provider),
        (schema.REQUEST_MODEL, record.model),
        (schema.RESPONSE_MODEL, record.usage.response_model),
        (schema.SERVER_ADDRESS, record.server_address),
        (schema.SERVER_PORT, record.server_port),
    )
    return {key: text(value) or value for key, value in pairs if value}


def _make(
    meter: Any, name: str, metric: schema.Metric, source: Mapping[str, int], label: str
) -> Any:
    facts = {"name": name, "unit": metric.unit, "description": metric.description}
    if metric.kind == "counter":
        return meter.create_counter(**facts)
    if metric.kind == "observed":
        return meter.create_observable_counter(callbacks=[_observer(source, label)], **facts)
    return meter.create_histogram(**facts, explicit_bucket_boundaries_advisory=metric.buckets)


def _observer(source: Mapping[str, int], label: str) -> Callable[[Any], Iterable[Any]]:
    """Return a callback that tells a table's numbers at the moment of collection."""

    def observe(_options: Any) -> Iterable[Any]:
        from opentelemetry.metrics import Observation

        return [Observation(count, {label: key}) for key, count in dict(source).items()]

    return observe
