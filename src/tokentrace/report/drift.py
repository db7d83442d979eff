"""How counted tokens went against reported ones over many sessions: sentences, and plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tokentrace.insights.reconcile import Ledger, Row, Sum
from tokentrace.report import cells


def sentences(drift: Ledger) -> Iterator[str]:
    """Yield a sentence for each model family that was reported outside its bounds too often."""
    for row in drift:
        if row.whole.often:
            yield _sentence(row)


def _sentence(row: Row) -> str:
    whole = row.whole
    family = row.family or "a model without a name"
    since = f" since {row.since}, none so often before: another tokenizer, or text that the provider adds" if row.since else ""  # fmt: skip
    return (
        f"drift: {cells.many(whole.beyond, 'call')} of {whole.calls:,} to {family}"
        f" ({row.provider or 'provider not known'}) reported outside the bound of their count,"
        f" by {row.away:+,} tokens a call{since}"
    )


def data(drift: Ledger) -> dict[str, Any]:
    """Return it as plain data: ``families``, and ``left``, the calls that are no evidence."""
    return {"families": list(map(_family, drift)), "left": dict(sorted(drift.left.items()))}


def _family(row: Row) -> dict[str, Any]:
    days = [{"day": day, **_sum(one)} for day, one in row.days.items()]
    named = {"provider": row.provider, "family": row.family, "outside": row.whole.often}
    return {**named, "since": row.since, **_sum(row.whole), "days": days}


def _sum(one: Sum) -> dict[str, int]:
    return {
        "calls": one.calls,
        "beyond": one.beyond,
        "counted": one.counted,
        "reported": one.reported,
        "outside_tokens": one.outside,
    }
