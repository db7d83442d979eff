"""What the rules look at: one session, its thresholds and phases, and what they all would derive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tokentrace.analysis.codes import CODES
from tokentrace.analysis.findings import Finding
from tokentrace.analysis.shapes import Session, Turn
from tokentrace.analysis.thresholds import Thresholds
from tokentrace.prompt import CallRecord

SECTION = "section."


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a conversation, and what is expected of it.

    Attributes:
        name: as shown.
        first, last: numbers of its turns, both included.
        max_utilization: the largest share of the limit that is fine in it, None for any.
        max_total: the largest total in tokens that is fine in it, None for any.
    """

    name: str
    first: int
    last: int
    max_utilization: float | None = None
    max_total: int | None = None


Phases = Mapping[str, tuple[int, int]] | Sequence[Phase]


@dataclass(frozen=True, slots=True)
class Case:
    """A session as the rules see it.

    Attributes:
        session: what is judged.
        thresholds: when a rule speaks.
        phases: in order of their turns, none where nobody gave any.
        turns: those with a call, in order: every index below is one of these.
        totals: their input tokens.
        shares: their shares of the limit, None where no limit is known or nothing was sent.
        settled: index of the first turn after the build-up: half of the phases, else of the turns.
    """

    session: Session
    thresholds: Thresholds
    phases: tuple[Phase, ...]
    turns: tuple[Turn, ...]
    totals: tuple[int, ...]
    shares: tuple[float | None, ...]
    settled: int

    @property
    def long(self) -> bool:
        """Whether there are enough turns to speak of growth."""
        return len(self.turns) >= max(3, self.thresholds.long)

    @property
    def peak(self) -> float | None:
        """The largest share of the limit that was sent."""
        return max((share for share in self.shares if share is not None), default=None)

    def above(self, share: float) -> list[int]:
        """Return the indexes of the turns at or above a share of the limit."""
        return [n for n, one in enumerate(self.shares) if one is not None and one >= share]

    def numbers(self, indexes: Iterable[int]) -> tuple[int, ...]:
        """Return the numbers of turns by their indexes."""
        return tuple(self.turns[index].number for index in indexes)


def case(session: Session, thresholds: Thresholds, phases: Phases = ()) -> Case:
    """Return what the rules look at."""
    turns = tuple(turn for turn in session.turns if turn.main is not None)
    shares = tuple(None if refused(turn.main) else turn.utilization for turn in turns)
    known = phases_of(phases)
    totals = tuple(turn.total for turn in turns)
    return Case(session, thresholds, known, turns, totals, shares, _settled(turns, known))


def phases_of(phases: Phases) -> tuple[Phase, ...]:
    """Return phases in the order of their turns."""
    if isinstance(phases, Mapping):
        phases = [Phase(name, first, last) for name, (first, last) in phases.items()]
    return tuple(sorted(phases, key=lambda phase: (phase.first, phase.last)))


def _settled(turns: Sequence[Turn], phases: Sequence[Phase]) -> int:
    """Return the index of the first turn after the build-up."""
    if len(phases) < 2:
        return len(turns) // 2
    last = phases[len(phases) // 2 - 1].last
    return sum(turn.number <= last for turn in turns)


def refused(call: CallRecord | None) -> bool:
    """Whether the guard stopped a call: nothing of it was sent."""
    return call is not None and call.decision == "refuse"


def last(calls: Iterable[CallRecord], turn: Turn) -> CallRecord | None:
    """Return the last of ``calls`` by the agent whose turn it is, None where there is none."""
    agent = turn.main.agent if turn.main else ""
    mine = (call for call in calls if call.agent == agent)
    return max(mine, key=lambda call: (call.start, call.end), default=None)


def short(name: str) -> str:
    """Return a component's name without what says where it was found."""
    return name.removeprefix(SECTION)


def found(
    code: str,
    level: str,
    message: str,
    turns: Sequence[int],
    /,
    *,
    component: str = "",
    remedy: str = "",
    **numbers: float,
) -> Finding:
    """Return a finding; its remedy is the code's where there is no better one."""
    mend = remedy or CODES[code].remedy
    return Finding(code, level, message, mend, tuple(turns), component, numbers)
