"""What a conversation may take, as assertions: the message says which component grew."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tokentrace.prompt import CallRecord

if TYPE_CHECKING:
    from tokentrace.analysis import Session, Turn

NAMED = 3  # components that a message names
SECTION = "section."
NOTHING = (
    "no LLM call was seen: is its SDK one that tokentrace hooks, and does no other "
    "tokentrace.instrument() run inside the test?"
)


class Conversations(Protocol):
    """What has sessions: `Captured`, or a report."""

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The conversations, oldest first."""


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """What each LLM call of a conversation may take at most.

    Attributes:
        max_total: input tokens.
        max_utilization: share of the model's limit, e.g. 0.8; a call without a known limit passes.
        max_component: input tokens by component; ``section.`` may be left out.

    Raises:
        TypeError: a number is no number, or ``max_component`` no mapping of names to numbers.
        ValueError: a number is negative or not finite, or there is no budget at all.
    """

    max_total: int | None = None
    max_utilization: float | None = None
    max_component: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.max_component, Mapping):
            raise TypeError(f"max_component={self.max_component!r}: give {{'history': 4_000}}")
        given = {"max_total": self.max_total, "max_utilization": self.max_utilization}
        known = {name: value for name, value in given.items() if value is not None}
        if not known and not self.max_component:
            raise ValueError("no budget: give max_total, max_utilization or max_component")
        for name, value in {**known, **self.max_component}.items():
            _check(name, value)

    def broken(self, sessions: Iterable[Session]) -> list[str]:
        """Return what is over budget: a sentence for the worst call of each rule and session."""
        found = []
        for session in sessions:
            placed = [(turn, call) for turn in session.turns for call in turn.calls]
            for name, most in self._rules():
                over = [pair for pair in placed if _value(pair[1], name) > most]
                if over:
                    turn, call = max(over, key=lambda pair: _value(pair[1], name))
                    found.append(_told(session, turn, call, name, most))
        return found

    def unseen(self, sessions: Iterable[Session]) -> list[str]:
        """Return the names in ``max_component`` that no call had: mistyped, perhaps."""
        calls = [call for session in sessions for call in session.calls]
        return [name for name in self.max_component if not any(_held(call, name) for call in calls)]

    def _rules(self) -> Iterator[tuple[str, float]]:
        if self.max_total is not None:
            yield "", self.max_total
        if self.max_utilization is not None:
            yield "%", self.max_utilization
        yield from self.max_component.items()


def assert_within(
    captured: Conversations,
    *,
    max_total: int | None = None,
    max_utilization: float | None = None,
    max_component: Mapping[str, int] | None = None,
) -> None:
    """Assert that every LLM call kept to a budget; see `TokenBudget`.

    Raises:
        AssertionError: a call is over it, or there was none. The message names the turn, the
            numbers and the components that grew.
        TypeError, ValueError: the budget is none.
    """
    budget = TokenBudget(max_total, max_utilization, max_component or {})
    _raise(complaint(budget, captured.sessions))


def assert_healthy(
    captured: Conversations, *, at_most: str = "degraded", **thresholds: Any
) -> None:
    """Assert that no session's verdict is graver than ``at_most``.

    Args:
        captured: what was recorded.
        at_most: ``healthy``, ``degraded`` or ``failing``.
        **thresholds: as for `tokentrace.analysis.Thresholds`.

    Raises:
        AssertionError: a verdict is graver, or there was no call. The message holds the findings.
        ValueError: ``at_most`` is no verdict.
    """
    from tokentrace import analysis
    from tokentrace.analysis import findings

    if at_most not in findings.VERDICTS:
        raise ValueError(f"at_most={at_most!r}: one of {', '.join(findings.VERDICTS)}")
    limits = analysis.Thresholds(**thresholds)
    _raise(_nothing(captured.sessions))
    for session in captured.sessions:
        judged = analysis.judge(session, limits)
        told = "".join(f"\n  {one.code}: {one.message}" for one in judged.findings)
        if findings.gravity(judged.verdict) > findings.gravity(at_most):
            _raise(f"session {session.id!r} is {judged.verdict}{told}")


def complaint(budget: TokenBudget, sessions: Sequence[Session]) -> str:
    """Return everything that is over ``budget``, or that there was no call; empty where all is well."""
    return _nothing(sessions) or "\n".join(budget.broken(sessions))


def _nothing(sessions: Sequence[Session]) -> str:
    return "" if any(session.calls for session in sessions) else NOTHING


def _raise(text: str) -> None:
    if text:  # no assert statement: pytest would add its own reading of it
        raise AssertionError(text)


def _check(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: not a number")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name}={value!r}: not a size")


# ── words ────────────────────────────────────────────────────────────────────────────────────────


def _held(call: CallRecord, name: str) -> str:
    """Return the component's name as the call has it, empty where it has none."""
    return next((known for known in (name, SECTION + name) if known in call.components), "")


def _value(call: CallRecord, rule: str) -> float:
    if rule == "%":
        return call.utilization or 0.0
    return call.components.get(_held(call, rule), 0) if rule else call.tokens


def _told(session: Session, turn: Turn, call: CallRecord, rule: str, most: float) -> str:
    place = f"session {session.id!r}, turn {turn.number} of {session.turns[-1].number}"
    sure = f" ±{call.error:,}" if call.error and rule != "%" else ""
    if rule == "%":
        used = f"{call.tokens:,} of {call.limit or 0:,} tokens, {call.utilization or 0:.1%}"
        over = f"{used}, are over max_utilization {most:.1%}"
    elif rule:
        over = f"{rule} has {_value(call, rule):,}{sure} tokens, over its {most:,}"
    else:
        over = f"{call.tokens:,}{sure} tokens are over max_total {most:,}"
    return f"{place}: {over}{''.join(_since(session, turn, call))}"


def _since(session: Session, turn: Turn, call: CallRecord) -> Iterator[str]:
    """Yield which components grew since the turn before, since the first, and which are largest."""
    before = {one.number: one for one in session.turns if one.number < turn.number and one.main}
    for number in sorted({max(before), min(before)}, reverse=True) if before else ():
        one = before[number]
        grown = {
            name: tokens - one.components.get(name, 0) for name, tokens in call.components.items()
        }
        yield _named(f"grew since turn {one.number}", grown, "+,")
    yield _named("largest", call.components, ",")


def _named(head: str, tokens: Mapping[str, int], form: str) -> str:
    ranked = sorted(tokens.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{name} {value:{form}}" for name, value in ranked[:NAMED] if value > 0]
    return f"\n  {head}: {', '.join(named)}" if named else ""
