"""What was lost inside a process: why, where it is counted, and the export that tells of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tokentrace import schema
from tokentrace._failsafe import failures

QUEUE_FULL = "queue full"
FAILED = "export failed"
CLOSED = "after shutdown"
LEFT = "left at exit"
UNWRITTEN = "file not writable"

CUMULATIVE = 2  # OTLP's number for sums since the start

Counts = Mapping[str, tuple[Mapping[str, int], str]]


def counts(dropped: Mapping[str, int]) -> Counts:
    """Return, by metric, the table that is counted in and the attribute that bears its keys.

    Args:
        dropped: telemetry lost so far, by reason.
    """
    return {
        schema.INTERNAL_ERRORS: (failures, schema.FAILURE),
        schema.DROPPED: (dropped, schema.DROP_REASON),
    }


def totals(known: Counts) -> dict[str, dict[str, int]]:
    """Return what is in the tables now, by metric; nothing where nothing was lost."""
    return {name: dict(table) for name, (table, _) in known.items() if table}


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
