"""What records add up to: sessions, their turns, what happened in them, and sums.

``sessions(records)`` groups, ``summary(sessions)`` sums up; both are pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tokentrace.analysis.grouping import sessions, summary
from tokentrace.analysis.shapes import Happening, Session, Summary, Turn
from tokentrace.readers import Problems

__all__ = ["Happening", "Report", "Session", "Summary", "Turn", "sessions", "summary"]


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report shows.

    Attributes:
        sessions: oldest first.
        problems: what was skipped while reading.
    """

    sessions: tuple[Session, ...]
    problems: Problems = field(default_factory=Problems)
