"""A scenario as it is run: turns in order, each with what is expected of it. Frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tokentrace.analysis import Thresholds


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be true after a turn; empty and None: nothing.

    Attributes:
        texts: must stand in the answer, in any case.
        components: must hold tokens.
        total: the most input tokens.
        utilization: the largest share of the limit.
        most: the most tokens by component.
    """

    texts: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    total: int | None = None
    utilization: float | None = None
    most: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One turn: its number from 1, its prompt, and the seconds that it may take."""

    number: int
    phase: str
    prompt: str
    timeout: float
    expected: Expected = Expected()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Turns for an agent, and how it is judged.

    Attributes:
        name: for folders and sessions.
        digest: of the file's content, so that another one is not resumed.
        steps: the turns in order.
        concurrency: sessions at the same time.
        stop_after: failed turns in a row after which a session is given up.
        thresholds: of the verdict, with the components that are essential.
    """

    name: str
    digest: str
    steps: tuple[Step, ...]
    description: str = ""
    concurrency: int = 1
    stop_after: int = 3
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def phases(self) -> dict[str, tuple[int, int]]:
        """First and last turn of each phase, in order."""
        found: dict[str, tuple[int, int]] = {}
        for step in self.steps:
            found[step.phase] = (found.get(step.phase, (step.number,))[0], step.number)
        return found
