"""A run: every session of it in a thread of its own, turn by turn, and a verdict at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import takewhile

from tokentrace.analysis import Judgement, Session, Turn, worst
from tokentrace.scenario.children import Family, Stopped
from tokentrace.scenario.driving import OK, Driver, Make, Outcome, Place
from tokentrace.scenario.journal import Journal
from tokentrace.scenario.judging import Result, checks, judge
from tokentrace.scenario.plan import Scenario, Step
from tokentrace.scenario.traces import Traces

WAKES = 0.5  # seconds after which the main thread looks whether a signal has come


@dataclass(frozen=True, slots=True)
class Told:
    """A turn that is over, for whoever watches; its texts are for the terminal only.

    Attributes:
        session: the id.
        result: how it went.
        turn: what was recorded of it, None where that is nothing.
        shown: the agent's own account of a failure.
    """

    session: str
    result: Result
    turn: Turn | None
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A session that is over, and the verdict on it."""

    id: str
    results: tuple[Result, ...]
    session: Session
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over."""

    scenario: Scenario
    folder: str
    sessions: tuple[Judged, ...]

    @property
    def verdict(self) -> str:
        """The gravest verdict of its sessions."""
        return worst(one.judgement.verdict for one in self.sessions)


def run(
    scenario: Scenario,
    journal: Journal,
    make: Make,
    told: Callable[[Told], None],
    given: Mapping[str, str] | None = None,
) -> Run:
    """Drive an agent through what is left of a scenario.

    Args:
        scenario: the turns.
        journal: what is done already, and where more is taken down.
        make: makes the driver of a session, see `driving`.
        told: called after each turn, from several threads.
        given: variables for the agent's environment.

    Raises:
        InputError: the agent cannot be started, the journal not be written, or another process
            drives this run.
        KeyboardInterrupt: somebody did; the agent's processes have ended, the journal is whole.
    """
    family = Family()
    lines = [
        _Line(scenario, journal, told, Place(name, str(journal.place(name)), family, given or {}))
        for name in journal.pages.sessions
    ]
    with journal.alone(), ThreadPoolExecutor(len(lines)) as pool:
        try:
            futures = [pool.submit(line.go, make) for line in lines]
            failed = _failed(futures)
        except BaseException:
            family.end()
            raise
        if failed:
            family.end()
    sessions = _results(futures)
    journal.finish()
    return Run(scenario, str(journal.folder), tuple(sessions))


def _failed(futures: Sequence[Future[Judged]]) -> bool:
    """Wait until all sessions are over, or one went wrong; return whether one did.

    A signal may be taken by any thread, and its handler runs in the main one, which must wake up for that.
    """
    left = True
    while left:
        done, not_done = wait(futures, timeout=WAKES, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            return True
        left = bool(not_done)
    return False


def _results(futures: Sequence[Future[Judged]]) -> list[Judged]:
    """Return what came of the sessions; raise what went wrong first, not what that brought along."""
    errors = [error for future in futures if (error := future.exception())]
    for error in sorted(errors, key=lambda one: isinstance(one, Stopped)):
        raise error
    return [future.result() for future in futures]


@dataclass(slots=True)
class _Line:
    """One session on its way."""

    scenario: Scenario
    journal: Journal
    told: Callable[[Told], None]
    place: Place
    _results: list[Result] = field(default_factory=list)

    def go(self, make: Make) -> Judged:
        """Serve what is left, and judge."""
        traces = Traces(self.journal.place(self.place.session), self.place.session)
        self._results = self.journal.results(self.place.session)
        driver = make(self.place)
        try:
            for step in self.scenario.steps[len(self._results) :]:
                if self._hopeless():
                    break
                self._serve(driver, step, traces)
        finally:
            driver.close()
        session = traces.read(self.journal.marks(self.place.session))
        judgement = judge(self.scenario, self._results, session)
        return Judged(self.place.session, tuple(self._results), session, judgement)

    def _hopeless(self) -> bool:
        """Whether so many turns failed one after the other that the rest need not be tried."""
        failed = takewhile(lambda one: one.state != OK, reversed(self._results))
        return sum(1 for _ in failed) >= self.scenario.stop_after

    def _serve(self, driver: Driver, step: Step, traces: Traces) -> None:
        start, begun = time.time_ns(), time.monotonic()
        outcome = driver.serve(step)
        seconds = round(time.monotonic() - begun, 3)
        if self.place.family.ended:
            raise Stopped  # what ended it was not the agent
        marks = self.journal.marks(self.place.session)
        session = traces.read([*marks, (start, step.number)])
        turn = next((one for one in session.turns if one.number == step.number), None)
        result = _result(step, outcome, turn, start=start, seconds=seconds)
        self._results.append(result)
        self.journal.add(self.place.session, result)
        self.told(Told(self.place.session, result, turn, outcome.shown))


def _result(
    step: Step, outcome: Outcome, turn: Turn | None, *, start: int, seconds: float
) -> Result:
    met = checks(step.expected, outcome.answer, turn) if outcome.state == OK else {}
    return Result(step.number, step.phase, outcome.state, outcome.reason, start, seconds, met)
