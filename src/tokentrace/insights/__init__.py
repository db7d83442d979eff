"""What the numbers of a prompt say about it. Pure functions over records and reports."""

from __future__ import annotations

from dataclasses import dataclass

from tokentrace.insights.waste import ADVISED, MEDIUM
from tokentrace.outlook import Waste
from tokentrace.prompt import LimitReport

GREW = "grew"
OVER = "over_limit"
LARGEST = "largest"

SMALL_SHARE = 0.05
REMEDIES = {
    "history": "summarise or drop the oldest messages",
    "tool_results": "shorten or drop the results of older calls",
    "tools": "offer fewer tools, or shorter descriptions",
    "system": "shorten the instructions",
    "user": "shorten the input, or send a part of it",
    "media": "send fewer or smaller images, or a lower detail",
    "reasoning": "drop the reasoning of earlier turns",
    "server_context": "start a new conversation on the server",
}
REMEDY = "shorten it, or leave out what this turn does not need"
FIXED = frozenset({"framing"})


def trend_of(delta: int | None) -> str:
    """Return ``increase``, ``decrease`` or ``stable``; empty where there is nothing to compare."""
    if delta is None:
        return ""
    return "increase" if delta > 0 else "decrease" if delta < 0 else "stable"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a component of a prompt could do without.

    Attributes:
        code: ``over_limit`` (above its own limit), ``grew`` (since the previous turn), ``largest``,
            or that of a kind of waste, e.g. ``waste.duplicate`` or ``tools.uncalled``: the codes of a
            report's findings.
        component: its name.
        tokens: added since the previous turn where it ``grew``, wasted where that is the code, else
            all that it holds.
        remedy: what to do, one phrase.
        confidence: ``high``, ``medium`` or ``low``: how sure it is that the prompt can do without.
        turns: for how many turns by now, 0 where the code knows no age.
        cost_usd: what the tokens cost a turn, None where nobody knows.
    """

    code: str
    component: str
    tokens: int
    remedy: str
    confidence: str = MEDIUM
    turns: int = 0
    cost_usd: float | None = None


def advice(report: LimitReport) -> tuple[Finding, ...]:
    """Return what to cut, the most useful first.

    First `cuts`, in which each component stands once; then what is waste, the largest first: it
    can go without a loss, but is a part of what stands before it.
    """
    waste = sorted(report.waste, key=lambda one: -one.tokens)
    return (*cuts(report), *(_wasted(one) for one in waste if one.kind in ADVISED))


def cuts(report: LimitReport) -> tuple[Finding, ...]:
    """Return what to cut, the most useful first; each component once.

    First the components above a limit of their own, then those that grew by at least a twentieth
    of the prompt since the previous turn, then the largest. Framing is never named: nobody can cut
    it alone.
    """
    count = report.count
    small = SMALL_SHARE * count.total
    found = [_finding(OVER, name, count.components.get(name, 0)) for name in report.exceeded]
    found += [_finding(GREW, name, tokens) for name, tokens in report.grew if tokens >= small]
    ranked = sorted(count.components.items(), key=lambda pair: -pair[1])
    found += [_finding(LARGEST, name, tokens) for name, tokens in ranked if tokens >= small]
    first: dict[str, Finding] = {}
    for finding in found:
        if finding.tokens > 0 and finding.component not in FIXED:
            first.setdefault(finding.component, finding)
    return tuple(first.values())


def _finding(code: str, component: str, tokens: int) -> Finding:
    return Finding(code, component, tokens, REMEDIES.get(component, REMEDY))


def _wasted(waste: Waste) -> Finding:
    kind = ADVISED[waste.kind]
    return Finding(
        kind.code, waste.component, waste.tokens, kind.remedy, kind.confidence, waste.turns
    )
