"""Findings on waste, tools, drift and the limit ahead: each fires, and each can be silent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokentrace import analysis
from tokentrace.analysis import Session, Thresholds, Turn
from tokentrace.outlook import Waste
from tokentrace.prompt import CallRecord, Detail, Usage

LEVEL = [4_000, 5_000, 4_500, 5_200, 4_300, 5_100, 4_400, 5_000]


def found(session, code, **options):
    """Return the findings of a code."""
    return [one for one in analysis.judge(session, **options).findings if one.code == code]


def talk(made, waste, turns=8, **changes):
    """Return a conversation whose every turn has this waste."""
    return made.talk(LEVEL[:turns], waste=(waste,), **changes)


KINDS = ["duplicate", "json", "base64", "carried", "unchanged"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_waste_is_found(made, kind):
    """Tokens a turn, turns, component, share, remedy and confidence."""
    (one,) = found(talk(made, Waste(kind, "history", 500, 12)), f"waste.{kind}")
    assert (one.component, one.tokens, one.turns) == ("history", 500, (1, 2, 3, 4, 5, 6, 7, 8))
    assert one.numbers["share"] == pytest.approx(500 / 4_687.5, abs=1e-6)
    assert "500 tokens of history a turn" in one.message
    assert one.level == "healthy"
    assert one.confidence in {"high", "medium"}
    assert one.remedy == analysis.CODES[one.code].remedy


@pytest.mark.parametrize("kind", KINDS)
def test_waste_of_one_call_or_of_few_tokens_is_none(made, kind):
    """One turn alone, less than a hundredth of the prompt, a refused prompt, and a young age."""
    code = f"waste.{kind}"
    assert found(talk(made, Waste(kind, "history", 500, 12), 1), code) == []
    assert found(talk(made, Waste(kind, "history", 40, 12)), code) == []
    assert found(talk(made, Waste(kind, "history", 500, 12), decision="refuse"), code) == []
    if kind in {"carried", "unchanged"}:
        assert found(talk(made, Waste(kind, "history", 500, 4)), code) == []
    assert found(made.talk(LEVEL), code) == []


def test_much_waste_degrades(made):
    """A fifth of the prompt is worth a verdict; what stays the same is only a note."""
    assert found(talk(made, Waste("json", "history", 1_500)), "waste.json")[0].level == "degraded"
    steady = talk(made, Waste("unchanged", "history", 1_500, 20))
    assert found(steady, "waste.unchanged")[0].level == "healthy"
    by = Thresholds(wasteful=0.9)
    assert found(talk(made, Waste("json", "history", 1_500)), "waste.json", thresholds=by)[0].level == "healthy"  # fmt: skip


def test_what_the_provider_caches_costs_little(made):
    """What stays the same and is read from the cache is no finding; a copy there still is one."""
    cached = {"cached": {"history": 4_000}}
    assert (
        found(talk(made, Waste("unchanged", "history", 900, 20), **cached), "waste.unchanged") == []
    )
    assert found(talk(made, Waste("duplicate", "history", 900), **cached), "waste.duplicate")


def test_waste_of_a_kind_that_nobody_knows_is_passed_over(made):
    """A newer version's spans are read by an older one."""
    session = talk(made, Waste("sarcasm", "history", 900))
    assert analysis.judge(session).findings == ()


def test_money_is_what_the_tokens_cost(made):
    """By the costs on the span, by list prices, and unknown where nobody knows."""
    waste = Waste("json", "history", 500)
    (one,) = found(talk(made, waste, costs={"history": 0.5}), "waste.json")
    assert one.cost_usd == pytest.approx(sum(0.5 * 500 / total for total in LEVEL) / 8)
    plain = {"provider": "openai", "model": "gpt-4.1", "usage": Usage(input=5_000, output=0)}
    (one,) = found(talk(made, waste, **plain), "waste.json")
    assert one.cost_usd == pytest.approx(500 * 2 / 10**6)  # 2 dollars a million tokens, 2026-11-30
    nameless = {**plain, "model": "nobody-knows"}
    assert found(talk(made, waste, **nameless), "waste.json")[0].cost_usd is None
    assert found(talk(made, waste), "waste.json")[0].cost_usd is None


def test_tokens_of_a_component_and_of_what_lies_in_it_cost_as_any_other(made):
    """The white space of a list whose items are sections of their own."""
    parts = {"section.pods": 100, "section.pod": 3_900}
    session = made.mixed(
        *[parts] * 8,
        waste=(Waste("json", "section.pods", 1_000),),
        costs={"section.pods": 0.1, "section.pod": 3.9},
    )
    (one,) = found(session, "waste.json")
    assert one.cost_usd == pytest.approx(1.0)


def test_absurd_numbers_invent_nothing(made):
    """Negative tokens, more than the component holds, and usage without sense."""
    odd = {"usage": Usage(input=-5, output=-1, cache_read=10**12), "provider": "openai", "model": "gpt-4.1"}  # fmt: skip
    (one,) = found(talk(made, Waste("json", "history", 900), **odd), "waste.json")
    assert one.cost_usd is None
    for tokens in (10**9, 2**63, 0, -500):
        assert found(talk(made, Waste("json", "history", tokens)), "waste.json") == []
    (one,) = found(talk(made, Waste("json", "history", 900), costs={"history": -3.0}), "waste.json")
    assert one.cost_usd is None
    assert found(talk(made, Waste("json", "elsewhere", 500)), "waste.json")[0].cost_usd is None


# ── tools ────────────────────────────────────────────────────────────────────────────────────────

TOOLS = (Detail("tools", "read", 300), Detail("tools", "deploy", 250))


def tooled(called=("read",), turns=8, **changes):
    """Return a conversation with two tools; those ``called`` came back in its second turn."""
    made = []
    for number in range(1, turns + 1):
        call = CallRecord(
            turn=number,
            start=number,
            end=number,
            tokens=2_000,
            components={"tools": 550, "tool_results": 450, "history": 1_000},
            details=(*TOOLS, Detail("tool_results", "read", 450)),
            called=tuple(called) if number == 2 else (),
        )
        call = replace(call, **changes)
        made.append(Turn(number, (call,), main=call))
    return Session("s", turns=tuple(made))


def test_a_tool_that_nobody_called_is_found():
    """Its definition's tokens a prompt, by name."""
    (one,) = found(tooled(), "tools.uncalled")
    assert (one.component, one.tokens, one.numbers["tools"]) == ("tools", 250, 1)
    assert (
        "1 tool (deploy) took 250 tokens of each prompt (12.5%) and was never called" in one.message
    )
    assert (one.level, one.confidence) == ("healthy", "medium")
    assert found(tooled(turns=30), "tools.uncalled")[0].confidence == "high"


@pytest.mark.parametrize("changes", [
    {"called": ("read", "deploy")},
    {"called": ()},  # results came back and nobody told whose
    {"turns": 4},
    {"decision": "refuse"},
    {"usage": Usage(finish_reasons=("tool_calls",))},
    {"details": ()},
])  # fmt: skip
def test_tools_that_may_have_been_called_are_not_found(changes):
    """All were called, nobody knows, too early, refused, a call is under way, and no details."""
    assert found(tooled(**changes), "tools.uncalled") == []


def test_absurd_definitions_are_no_more_than_the_component():
    """What the details say is a part of it."""
    odd = (*TOOLS[:1], Detail("tools", "deploy", 2**63), Detail("tool_results", "read", 450))
    (one,) = found(tooled(details=odd), "tools.uncalled")
    assert one.tokens == 550


# ── drift ────────────────────────────────────────────────────────────────────────────────────────


def reported(made, drifts, **changes):
    """Return a conversation whose calls were reported with these differences."""
    session = made.talk(
        [1_000 * (n + 1) for n in range(len(drifts))], limit=None, model="m", **changes
    )
    turns = []
    for turn, drift in zip(session.turns, drifts, strict=True):
        call = replace(turn.main, usage=Usage(input=turn.total + drift))
        turns.append(Turn(turn.number, (call,), main=call))
    return replace(session, turns=tuple(turns))


@pytest.mark.parametrize(("drifts", "why"), [
    ([57, 57, 57, 58, 57], "the provider adds text"),
    ([100, 200, 300, 400, 500], "another tokenizer"),
    ([-40, -40, -40, -41, -40], "counts something less"),
    ([100, -200, 900, 30, 5], ""),
])  # fmt: skip
def test_drift_beyond_the_bound_is_found(made, drifts, why):
    """What a steady, a growing and an unsteady difference look like."""
    (one,) = found(reported(made, drifts), "count.drift")
    assert (one.level, one.numbers["beyond"], one.turns) == ("degraded", 5, (1, 2, 3, 4, 5))
    assert why in one.message
    assert ":" not in one.message or why


@pytest.mark.parametrize(("drifts", "changes"), [
    ([57, 57], {}),  # two calls are no evidence
    ([0] * 40 + [57] * 3, {}),  # three in forty-three are what a bound allows
    ([57] * 5, {"error": 60}),
    ([57] * 5, {"decision": "refuse"}),
    ([57] * 5, {"method": ""}),
    ([-1_000, -2_000, -3_000], {}),  # nothing was reported
    ([-990, -1_990, -2_990, -3_990], {}),  # a stand-in reports ten tokens, whatever it is sent
])  # fmt: skip
def test_drift_inside_the_bound_is_not_found(made, drifts, changes):
    """Few calls, few of many, a wide bound, refused and uncounted calls, and usage of nothing."""
    assert found(reported(made, drifts, **changes), "count.drift") == []


# ── the limit ahead ──────────────────────────────────────────────────────────────────────────────


def test_a_limit_a_few_turns_ahead_is_found(made):
    """With its interval and the component that drives it."""
    growing = [{"system": 500, "tool_results": 600 * n, "history": 100 * n} for n in range(1, 8)]
    (one,) = found(made.mixed(*growing, limit=10_000), "forecast.near")
    assert (one.level, one.component, one.numbers["per_turn"]) == ("degraded", "tool_results", 700)
    assert one.numbers["turns_left"] == pytest.approx((10_000 - 5_400) / 700, abs=1e-3)
    assert one.numbers["earliest"] <= one.numbers["turns_left"] <= one.numbers["latest"]
    assert "most of it tool_results (+600 a turn)" in one.message


@pytest.mark.parametrize("totals", [
    [4_000],
    [4_000, 5_000, 6_000, 7_000],  # four turns are too few
    [4_000, 6_000, 8_000, 2_000, 2_500, 3_000],  # just cut
    LEVEL,
    [100 + n for n in range(20)],
])  # fmt: skip
def test_a_limit_that_is_far_or_unknown_is_not_found(made, totals):
    """One call, few turns, a compaction just now, a level, slow growth, and no limit."""
    assert found(made.talk(totals), "forecast.near") == []
    assert found(made.talk(totals, limit=None), "forecast.near") == []


def test_turns_of_another_model_are_no_growth(made):
    """Three turns after a switch are too few, whatever came before it."""
    growing = made.talk([1_000 * n for n in range(1, 8)])
    switched = {f"t{n}": made.turn(n, 1_000 * n, model="other") for n in (5, 6, 7)}
    assert found(growing, "forecast.near")
    assert found(made.joined(growing, **switched), "forecast.near") == []


def test_ten_thousand_turns_are_judged(made):
    """A very long session gets its findings, each a sentence."""
    session = made.talk(
        [4_000 + n % 7 for n in range(10_000)], waste=(Waste("json", "history", 400),)
    )
    (one,) = found(session, "waste.json")
    assert len(one.turns) == 10_000
    assert len(one.message) < 200
