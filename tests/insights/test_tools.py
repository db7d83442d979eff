"""What tools carry and how often they are called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokentrace.insights import tools
from tokentrace.insights.cost import Spending
from tokentrace.prompt import CallRecord, Detail, Usage


def call(turn=1, called=(), **details):
    """Return a call with tools' definitions, and results under ``r_`` and the tool's name."""
    held = tuple(
        Detail("tool_results", name[2:], tokens) if name.startswith("r_") else Detail("tools", name, tokens)
        for name, tokens in details.items()
    )  # fmt: skip
    sums = {"tools": 0, "tool_results": 0}
    for one in held:
        sums[one.component] += one.tokens
    return CallRecord(turn=turn, called=tuple(called), details=held, components=sums)


def test_tokens_calls_and_turns_are_added_up():
    """Definitions and results count with every prompt that carries them."""
    records = [call(1, look=40, ask=20), call(1, ("look",), look=40, ask=20, r_look=300),
               call(2, ("look", "ask"), look=40, ask=20, r_look=500, r_ask=9)]  # fmt: skip
    look, ask = tools.table(records)
    assert (look.name, look.definition, look.carried, look.results) == ("look", 40, 120, 800)
    assert (look.prompts, look.turns, look.calls) == (3, 2, 2)
    assert (ask.calls, ask.tokens) == (1, 69)
    assert look.calls_per_thousand == pytest.approx(1_000 * 2 / 920)


def test_a_tool_that_nobody_called_is_in_the_table():
    """No call is 0 where calls are told, and costs its definition all the same."""
    (idle,) = [
        one for one in tools.table([call(called=("look",), look=1, idle=50)]) if one.name == "idle"
    ]
    assert (idle.calls, idle.carried) == (0, 50)


def test_calls_that_nobody_tells_are_not_none():
    """Results without a word on whose they are leave the number of calls open."""
    (look,) = tools.table([call(look=40, r_look=30)])
    assert look.calls is None
    assert look.calls_per_thousand is None


def test_without_results_there_were_no_calls():
    """Where no result ever came back, nothing was called."""
    assert [one.calls for one in tools.table([call(look=40)])] == [0]


def test_a_refused_prompt_carried_nothing():
    """What was never sent is in no sum."""
    assert (
        tools.table([CallRecord(decision="refuse", called=("look",), details=call(look=4).details)])
        == ()
    )


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("mcp__github__create_issue", "github"),
        ("mcp__github", "github"),
        ("mcp__", ""),
        ("look", ""),
    ],
)
def test_servers_are_read_from_names(name, group):
    """Names like mcp__server__tool, and a server as a whole, tell their server."""
    assert tools.group_of(name) == group


def test_a_prefix_is_a_group_where_two_share_it():
    """One name with a dot is a name; two with the same first half are a group."""
    records = [call(**{"git.log": 1, "git.show": 2, "k8s.get": 3, "plain": 4})]
    assert {one.name: one.group for one in tools.table(records)} == {
        "git.log": "git", "git.show": "git", "k8s.get": "", "plain": "",
    }  # fmt: skip


def test_cost_is_a_share_of_the_components_cost():
    """A tool pays for its definition and results as its components did; unknown stays unknown."""
    record = call(look=30, ask=10, r_look=100)
    paid = Spending({"tools": 400, "tool_results": 1_000})
    look, ask = tools.table([record], lambda _: paid)
    assert (look.cost, ask.cost) == (1_300, 100)
    assert [one.cost for one in tools.table([record], lambda _: None)] == [None, None]


@pytest.mark.parametrize(
    ("reason", "waits"),
    [
        ("tool_calls", True),
        ("tool_use", True),
        ("TOOL_CALL", True),
        ("requires_action", True),
        ("stop", False),
    ],
)
def test_calls_of_the_last_answer_are_pending(reason, waits):
    """An answer that asks for tools, with no prompt after it, leaves calls that nobody saw."""
    newest = CallRecord(start=2, usage=Usage(finish_reasons=(reason,)))
    assert tools.pending([newest, CallRecord(start=1)]) is waits
    assert tools.pending([]) is False


def test_calls_of_every_lines_last_answer_are_pending():
    """Of two conversations side by side, the one that is not the newest may wait for its tools."""
    asks, says = Usage(finish_reasons=("tool_calls",)), Usage(finish_reasons=("stop",))
    calls = [
        CallRecord(start=1, lineage="one", usage=asks),
        CallRecord(start=2, lineage="two", usage=says),
    ]
    assert tools.pending(calls) is True
    back = CallRecord(start=3, lineage="one", usage=says, called=("look",))
    assert tools.pending([*calls, back]) is False
    assert tools.pending([*calls, replace(back, called=())]) is True  # the call was let go


@pytest.mark.parametrize("name", ["", "mcp__\n__x", "a" * 10_000, "::", "__"])
def test_odd_names_are_no_trouble(name):
    """Whatever a tool is called, it is in the table once."""
    assert [one.name for one in tools.table([call(**{name: 3})])] == [name]


def test_idle_tools_are_those_that_every_prompt_carried_for_nothing():
    """A tool that was called, or came later, is not idle; without word of calls none is."""
    records = [call(1, look=40, ask=20), call(2, ("look",), look=40, ask=20, new=9, r_look=5)]
    assert [one.name for one in tools.idle(records)] == ["ask"]
    assert tools.idle([call(look=40, r_look=30)]) == []


def test_what_is_told_of_no_component_is_no_cost_of_its_tools():
    """A span tells the largest components' costs: a tool of another's has no known cost, not 0."""
    records = [call(look=40, r_look=60)]
    (look,) = tools.table(records, lambda _: Spending({"system": 500}, rest=100))
    assert look.cost is None
    (look,) = tools.table(records, lambda _: Spending({"tool_results": 500}, rest=100))
    assert look.cost == 500
