"""When a conversation reaches its limit if it goes on like this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from tokentrace.analysis.case import Case, found
from tokentrace.analysis.findings import DEGRADED, HEALTHY, Finding
from tokentrace.analysis.shapes import Turn
from tokentrace.insights import REMEDIES
from tokentrace.insights.forecast import WINDOW, ahead, segment
from tokentrace.insights.waste import LOW, MEDIUM
from tokentrace.outlook import Forecast
from tokentrace.prompt import CallRecord

FEWEST = 5  # turns since the last cut, to speak of it


def coming(turns: Sequence[Turn]) -> Forecast | None:
    """Return when the turns' conversation reaches its limit; None where nothing says so.

    Args:
        turns: with their calls, in order. Only the last ones of the same agent and model count.
    """
    mine = _same(turns)
    last = mine[-1].main if mine else None
    if last is None:
        return None
    return ahead([one.total for one in mine], last.limit, [one.components for one in mine])


def _same(turns: Sequence[Turn]) -> list[Turn]:
    """Return the last turns of one agent and model."""
    last = turns[-1].main if turns else None
    same = takewhile(
        lambda turn: last and turn.main and _whose(turn.main) == _whose(last),
        reversed(turns[-WINDOW:]),
    )
    return [*same][::-1]


def _whose(call: CallRecord) -> tuple[str, str]:
    return call.agent, call.model


def near(case: Case) -> Iterator[Finding]:
    """Find a limit that is a few turns ahead."""
    forecast = coming(case.turns)
    since = len(segment([turn.total for turn in _same(case.turns)]))
    if forecast is None or since < FEWEST or not 0 < forecast.turns <= case.thresholds.soon:
        return  # where the limit is reached, it is told by what went over it
    name, pace = forecast.growth[0] if forecast.growth else ("", 0.0)
    who = f", most of it {name} (+{pace:,.0f} a turn)" if name else ""
    until = f"{forecast.earliest:,.1f} to "
    until += "any number" if forecast.latest is None else f"{forecast.latest:,.1f}"
    where = case.numbers(range(len(case.turns) - since, len(case.turns)))
    one = found(
        "forecast.near",
        HEALTHY if forecast.latest is None else DEGRADED,
        f"the limit is about {forecast.turns:,.1f} turns ahead ({until}): {round(forecast.pace):,}"
        f" tokens more each turn{who}",
        where,
        component=name,
        remedy=REMEDIES.get(name, ""),
        **_numbers(forecast),
    )
    yield replace(one, confidence=LOW if forecast.latest is None else MEDIUM)


def _numbers(forecast: Forecast) -> dict[str, Any]:
    told = {"turns_left": forecast.turns, "earliest": forecast.earliest, "latest": forecast.latest}
    numbers = {name: round(value, 3) for name, value in told.items() if value is not None}
    return {**numbers, "per_turn": round(forecast.pace)}


RULES = (near,)
