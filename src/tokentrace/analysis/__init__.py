"""What records add up to: sessions, their turns, what happened in them, sums, and a verdict.

``sessions(records)`` groups, ``summary(sessions)`` sums up, ``judge(session)`` finds what is wrong;
all are pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tokentrace.analysis.case import Case, Phase, Phases
from tokentrace.analysis.codes import CODES
from tokentrace.analysis.comparing import Comparison, compare
from tokentrace.analysis.differing import Difference, differ
from tokentrace.analysis.findings import VERDICTS, Finding, Judgement, worst
from tokentrace.analysis.gathering import Gathered, sessions
from tokentrace.analysis.grouping import summary
from tokentrace.analysis.judging import judge, judgement
from tokentrace.analysis.rules import RULES
from tokentrace.analysis.shapes import Happening, Session, Summary, Turn
from tokentrace.analysis.tally import Best, Entry, Tally
from tokentrace.analysis.thresholds import Thresholds, thresholds
from tokentrace.readers import Problems

__all__ = [
    "CODES", "RULES", "VERDICTS", "Best", "Case", "Comparison", "Difference", "Entry", "Finding", "Gathered", "Happening", "Judgement", "Phase", "Phases", "Report",
    "Session", "Summary", "Tally", "Thresholds", "Turn", "compare", "differ", "judge", "judgement", "sessions", "summary", "thresholds", "worst",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report shows.

    Attributes:
        sessions: oldest first.
        problems: what was skipped while reading.
        judgements: one a session, in the same order; by the default thresholds where none are given.
    """

    sessions: tuple[Session, ...]
    problems: Problems = field(default_factory=Problems)
    judgements: tuple[Judgement, ...] = ()

    def __post_init__(self) -> None:
        if len(self.judgements) != len(self.sessions):
            object.__setattr__(self, "judgements", tuple(map(judge, self.sessions)))

    @property
    def verdict(self) -> str:
        """The gravest verdict of all sessions, healthy where there are none."""
        return worst(judgement.verdict for judgement in self.judgements)
