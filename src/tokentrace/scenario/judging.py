"""What became of the turns, held against what was expected; and the verdict on a session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tokentrace import analysis
from tokentrace.analysis import Finding, Judgement, Session, Turn
from tokentrace.analysis.codes import Code
from tokentrace.analysis.findings import CRITICAL, FAILING
from tokentrace.analysis.wording import many, turns
from tokentrace.scenario.driving import OK
from tokentrace.scenario.plan import Expected, Scenario

# What is found by driving an agent; all else is what its traces tell, see `analysis.codes`.
CODES: dict[str, Code] = {
    "scenario.unrecorded": Code(
        (CRITICAL,),
        "Turns were served, and not one LLM call was recorded: nothing can be said of the agent.",
        "run `tokentrace doctor` with the agent's Python",
    ),
    "scenario.failed": Code(
        (FAILING,),
        "The agent gave no answer in these turns: an exit code, an exception, a time-out, or output"
        " without an end.",
        "see what the agent said on the terminal",
    ),
    "scenario.stopped": Code(
        (FAILING,),
        "So many turns failed one after the other that the rest was not tried.",
        "mend the agent, then run the scenario anew",
    ),
    "scenario.unexpected": Code(
        (FAILING,),
        "An expectation of the scenario was not met.",
        "look at these turns with `tokentrace report`, or expect something else",
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """How a turn went: numbers and known words, nothing that the agent said.

    Attributes:
        number, phase: of the turn.
        state: ``ok``, ``failed``, ``timed_out`` or ``flooded``.
        reason: why it is not ok.
        start: nanoseconds since the epoch.
        seconds: how long it took.
        checks: by expectation, whether it was met.
    """

    number: int
    phase: str
    state: str
    reason: str = ""
    start: int = 0
    seconds: float = 0.0
    checks: Mapping[str, bool] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the turn was served as expected."""
        return self.state == OK and all(self.checks.values())


def checks(expected: Expected, answer: str, turn: Turn | None) -> dict[str, bool]:
    """Return each expectation by its name, and whether it was met. What is not known is not met.

    Args:
        expected: of this turn.
        answer: what the agent said.
        turn: what was recorded of it, None where that is nothing.
    """
    seen, folded = turn or Turn(0), answer.casefold()
    met: dict[str, bool] = {}
    if expected.texts:
        met["response_contains"] = all(text.casefold() in folded for text in expected.texts)
    for name in expected.components:
        met[f"component_present: {name}"] = _tokens(seen, name) > 0
    if expected.total is not None:
        met["max_total"] = bool(seen.calls) and seen.total <= expected.total
    if expected.utilization is not None:
        share = seen.utilization
        met["max_utilization"] = share is not None and share <= expected.utilization
    for name, most in expected.most.items():
        met[f"max_component: {name}"] = bool(seen.calls) and _tokens(seen, name) <= most
    return met


def _tokens(turn: Turn, name: str) -> int:
    """Return the tokens of a component, with or without ``section.`` before its name."""
    return max(turn.components.get(key, 0) for key in (name, f"section.{name}"))


def judge(scenario: Scenario, results: Sequence[Result], session: Session) -> Judgement:
    """Return the verdict on a session: what its traces tell, and what happened while it was driven."""
    told = analysis.judge(session, scenario.thresholds, scenario.phases)
    return analysis.judgement([*_findings(scenario, results, session), *told.findings])


def _findings(scenario: Scenario, results: Sequence[Result], session: Session) -> Iterator[Finding]:
    served = [one.number for one in results if one.state == OK]
    if served and not session.calls:
        text = f"no LLM call was recorded in {turns(served)}"
        yield _found("scenario.unrecorded", text, served)
    lost = [one for one in results if one.state != OK]
    if lost:
        where = [one.number for one in lost]
        reasons = ", ".join(dict.fromkeys(one.reason for one in lost))
        yield _found("scenario.failed", f"no answer in {turns(where)}: {reasons}", where)
    if len(results) < len(scenario.steps):
        left = many(len(scenario.steps) - len(results), "turn")
        yield _found("scenario.stopped", f"{left} not tried", [])
    if session.calls:
        yield from _unexpected(results)


def _unexpected(results: Sequence[Result]) -> Iterator[Finding]:
    for name in dict.fromkeys(name for one in results for name in one.checks):
        where = [one.number for one in results if not one.checks.get(name, True)]
        if where:
            yield _found("scenario.unexpected", f"{name} is not met in {turns(where)}", where)


def _found(code: str, text: str, where: Sequence[int]) -> Finding:
    known = CODES[code]
    return Finding(
        code, known.levels[0], text, known.remedy, tuple(where), numbers={"turns": len(where)}
    )
