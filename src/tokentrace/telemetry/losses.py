"""What was lost inside a process: why, where it is counted, and the export that tells of it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tokentrace import schema
from tokentrace._failsafe import failures
from tokentrace.names import OTHER
from tokentrace.prompt import EXACT, CallRecord, Count
from tokentrace.values import MOST_COMPONENTS

QUEUE_FULL = "queue full"
FAILED = "export failed"
CLOSED = "after shutdown"
LEFT = "left at exit"
UNWRITTEN = "file not writable"

PRIVATE = "not to be told"
SPAN_FULL = "more than a span holds"
METRICS_FULL = "more than metrics hold"

CUMULATIVE = 2  # OTLP's number for sums since the start

Counts = Mapping[str, tuple[Mapping[str, int], str]]

folded: Counter[str] = Counter()
estimates: Counter[str] = Counter()
_forgotten: list[Callable[[], Mapping[str, int]]] = []


class Asked(Mapping[str, int]):
    """What others count themselves, as it is when somebody looks."""

    def _now(self) -> dict[str, int]:
        pairs = (pair for ask in _forgotten for pair in ask().items())
        return {kind: count for kind, count in pairs if count}

    def __getitem__(self, kind: str) -> int:
        return self._now()[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())


forgotten = Asked()


def ask(source: Callable[[], Mapping[str, int]]) -> None:
    """Count as forgotten what ``source`` returns, by kind."""
    _forgotten.append(source)


def note(count: Count, record: CallRecord) -> None:
    """Count what a call's record leaves of its count: an estimate is one, and names were folded."""
    if count.method != EXACT:
        estimates[count.method] += 1
    if OTHER in record.components:
        folded[PRIVATE] += len(count.components.keys() - record.components.keys())
    if len(record.components) > MOST_COMPONENTS:
        folded[SPAN_FULL] += len(record.components) - MOST_COMPONENTS + 1


def reset() -> None:
    """Begin anew (tests, and the child after a fork)."""
    folded.clear()
    estimates.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset)


def counts(dropped: Mapping[str, int]) -> Counts:
    """Return, by metric, the table that is counted in and the attribute that bears its keys.

    Args:
        dropped: telemetry lost so far, by reason.
    """
    tables = {
        schema.INTERNAL_ERRORS: failures,
        schema.DROPPED: dropped,
        schema.FOLDED: folded,
        schema.ESTIMATED: estimates,
        schema.FORGOTTEN: forgotten,
    }
    return {name: (tables[name], label) for name, label in schema.LOSSES.items()}


def totals(known: Counts) -> dict[str, dict[str, int]]:
    """Return what is in the tables now, by metric; nothing where nothing was lost.

    An estimate is none: each span bears how it was counted.
    """
    found = {name: dict(table) for name, (table, _) in known.items() if table}
    return found if found.keys() - {schema.ESTIMATED} else {}


def export(known: Counts, since: int) -> dict[str, Any]:
    """Return the tables as an OTLP-JSON export of cumulative sums.

    Args:
        known: see `counts`.
        since: when counting began, in ns since the epoch.
    """
    times = {"startTimeUnixNano": str(since), "timeUnixNano": str(time.time_ns())}
    metrics = [
        _metric(name, [{**_point(label, key, count), **times} for key, count in table.items()])
        for name, (table, label) in known.items()
        if table
    ]
    scope = {"scope": {"name": schema.SCOPE}, "metrics": metrics}
    return {"resourceMetrics": [{"resource": {}, "scopeMetrics": [scope]}]}


def _metric(name: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    known = schema.METRICS[name]
    total = {"aggregationTemporality": CUMULATIVE, "isMonotonic": True, "dataPoints": points}
    return {"name": name, "unit": known.unit, "description": known.description, "sum": total}


def _point(label: str, key: str, count: int) -> dict[str, Any]:
    return {
        "attributes": [{"key": label, "value": {"stringValue": key}}],
        "asInt": str(count),
    }
