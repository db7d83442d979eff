"""What a session's turns add up to: findings with their evidence, and one verdict. Frozen data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tokentrace.insights.waste import HIGH

HEALTHY = "healthy"
DEGRADED = "degraded"
FAILING = "failing"
CRITICAL = "critical"
VERDICTS = (HEALTHY, DEGRADED, FAILING, CRITICAL)  # the gravest last


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rule found in a session.

    Attributes:
        code: stable and dotted, e.g. ``limit.exceeded``; documented in ``docs/findings.md``.
        level: the verdict that it leads to by itself: ``healthy`` for a mere note.
        message: one sentence with the numbers, known names only.
        remedy: what to do, one phrase.
        turns: numbers of the turns that show it, in order.
        component: its name, empty where it is the whole prompt.
        numbers: the evidence by name, e.g. ``{"peak": 41200, "limit": 40000}``.
        tokens: what could be spared a turn (of ``cache.broken`` a break), None where the finding is
            not of that kind.
        cost_usd: what these tokens cost a turn, None where nobody knows.
        confidence: ``high``, ``medium`` or ``low``: how sure it is.
    """

    code: str
    level: str
    message: str
    remedy: str = ""
    turns: tuple[int, ...] = ()
    component: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    tokens: int | None = None
    cost_usd: float | None = None
    confidence: str = HIGH


@dataclass(frozen=True, slots=True)
class Judgement:
    """A session's verdict: the gravest level among its findings, which come the gravest first."""

    verdict: str = HEALTHY
    findings: tuple[Finding, ...] = ()


def gravity(verdict: str) -> int:
    """Return how grave a verdict is, from 0 for healthy."""
    return VERDICTS.index(verdict)


def worst(verdicts: Iterable[str]) -> str:
    """Return the gravest of ``verdicts``, healthy where there are none."""
    return max(verdicts, key=gravity, default=HEALTHY)
