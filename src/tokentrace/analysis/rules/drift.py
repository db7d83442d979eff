"""Whether what providers report lies inside the bounds of what was counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tokentrace.analysis.case import Case, found
from tokentrace.analysis.findings import DEGRADED, Finding
from tokentrace.analysis.wording import many, percent
from tokentrace.insights.reconcile import FEWEST, OFTEN, believed
from tokentrace.insights.waste import HIGH, MEDIUM
from tokentrace.prompt import CallRecord

STEADY = 0.25  # spread of a difference, as a share of itself, that is still the same difference
VARIES = 1.2  # largest prompt over the smallest, to tell a steady difference from a growing one


def drifting(case: Case) -> Iterator[Finding]:
    """Find models whose reported tokens lie outside the bounds too often."""
    told: dict[tuple[str, str], list[tuple[int, CallRecord]]] = defaultdict(list)
    for turn in case.session.turns:
        for call in turn.calls:
            if believed(call):
                told[call.provider, call.model].append((turn.number, call))
    for (_, model), pairs in told.items():
        beyond = [(number, call) for number, call in pairs if abs(call.drift or 0) > call.error]
        if len(beyond) >= FEWEST and len(beyond) > OFTEN * len(pairs):
            where = sorted({number for number, _ in beyond})
            yield _drift(model, len(pairs), [call for _, call in beyond], where)


def _drift(model: str, calls: int, beyond: Sequence[CallRecord], where: Sequence[int]) -> Finding:
    drifts = sorted(call.drift or 0 for call in beyond)
    middle = drifts[len(drifts) // 2]
    share = len(beyond) / calls
    why = _why(beyond)
    one = found(
        "count.drift",
        DEGRADED,
        f"{many(len(beyond), 'call')} of {calls:,} to {model or 'a model without a name'}"
        f" ({percent(share)}) were reported outside the bound of their count, by {middle:+,} tokens"
        f" in the middle{f': {why}' if why else ''}",
        where,
        calls=calls,
        beyond=len(beyond),
        drift=middle,
        least=drifts[0],
        most=drifts[-1],
    )
    return replace(one, confidence=HIGH if why else MEDIUM)


def _why(calls: Sequence[CallRecord]) -> str:
    """Return what a difference looks like: text that is added, or another tokenizer."""
    sizes = [max(1, call.tokens) for call in calls]
    if max(sizes) < VARIES * min(sizes):
        return ""
    drifts = [float(call.drift or 0) for call in calls]
    if _steady(drifts):
        added = "the provider adds text that no body shows"
        return added if drifts[0] > 0 else "the provider counts something less"
    if _steady([drift / size for drift, size in zip(drifts, sizes, strict=True)]):
        return "it grows with the prompt, as with another tokenizer"
    return ""


def _steady(values: Sequence[float]) -> bool:
    """Whether values of one sign lie near one another."""
    least, most = min(values), max(values)
    return least * most > 0 and most - least <= STEADY * max(abs(least), abs(most))


RULES = (drifting,)
