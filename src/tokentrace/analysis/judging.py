"""Sessions → findings → verdicts. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokentrace.analysis.case import Phases, case
from tokentrace.analysis.findings import Finding, Judgement, gravity, worst
from tokentrace.analysis.rules import RULES
from tokentrace.analysis.shapes import Session
from tokentrace.analysis.thresholds import Thresholds

DEFAULT = Thresholds()


def judge(session: Session, thresholds: Thresholds = DEFAULT, phases: Phases = ()) -> Judgement:
    """Return a session's verdict and what it stands on.

    Args:
        session: as `sessions` returns it, or built by hand.
        thresholds: when a rule speaks.
        phases: first and last turn by name, or `Phase` objects with expectations. They say where
            the build-up ends (after half of the phases); without them it ends with half the turns.
    """
    seen = case(session, thresholds, phases)
    return judgement(finding for rule in RULES for finding in rule(seen))


def judgement(findings: Iterable[Finding]) -> Judgement:
    """Return the verdict of findings, the gravest first, else in the order of the rules."""
    ordered = tuple(sorted(findings, key=lambda finding: -gravity(finding.level)))
    return Judgement(worst(finding.level for finding in ordered), ordered)


class Codes:
    """The codes of many judgements, told of one by one."""

    def __init__(self) -> None:
        self._levels: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def add(self, judged: Judgement) -> None:
        """Take one more into account."""
        for code, level in {found.code: found.level for found in reversed(judged.findings)}.items():
            self._counts[code] += 1
            self._levels[code] = max(level, self._levels.get(code, level), key=gravity)

    def heaviest(self) -> list[tuple[str, str, int]]:
        """Return each code with its gravest level and in how many judgements it is."""
        return sorted(
            ((code, level, self._counts[code]) for code, level in self._levels.items()),
            key=lambda one: (-gravity(one[1]), one[0]),
        )


def heaviest(judgements: Iterable[Judgement]) -> list[tuple[str, str, int]]:
    """Return each code of many judgements with its gravest level and in how many it is."""
    codes = Codes()
    for judged in judgements:
        codes.add(judged)
    return codes.heaviest()
