"""smolagents: whose calls these are, and which run they serve."""

from __future__ import annotations

import pytest

pytest.importorskip("smolagents", reason="smolagents is not installed; nox -s other_frameworks")

import smolagents
from smolagents import OpenAIServerModel, ToolCallingAgent

import tokentrace
from frameworks.model import places, turn
from instrument.loopback import whole
from tokentrace.testing import capture

pytestmark = pytest.mark.filterwarnings("ignore")  # what they warn of is theirs


def called(sent):
    """Answer with a call of the managed agent, or of the tool that ends a run."""
    tools = {tool["function"]["name"] for tool in sent.body["tools"]}
    fresh = not any(one["role"] == "assistant" for one in sent.body["messages"])
    ask, end = '{"task": "Is it cold?"}', '{"answer": "It is cold."}'
    name, given = ("planner", ask) if "planner" in tools and fresh else ("final_answer", end)
    function = {"name": name, "arguments": given}
    call = {"id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    return whole({
        "id": "x", "object": "chat.completion", "created": 1, "model": sent.body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55},
    })  # fmt: skip


@pytest.fixture
def boss(server):
    """An agent that manages another."""
    server.answer = called
    model = OpenAIServerModel("gpt-4.1-mini", api_base=f"{server.url}/v1", api_key="t")
    quiet = smolagents.LogLevel.OFF
    planner = ToolCallingAgent(
        tools=[], model=model, name="planner", description="Plans.", verbosity_level=quiet
    )
    return ToolCallingAgent(tools=[], model=model, managed_agents=[planner], verbosity_level=quiet)


def test_agents_bear_their_names(boss):
    """Each call is its agent's, by its class where it has no name; a run has no session."""
    with capture() as captured:
        assert "cold" in boss.run("Cold?")
    assert places(captured) == turn("", 1, "ToolCallingAgent", "planner", "ToolCallingAgent")


def test_each_run_is_a_turn(boss):
    """In a session that the application names, a run is a turn, streamed or not."""
    with capture() as captured, tokentrace.session("mine"):
        boss.run("Cold?")
        assert list(boss.run("And now?", stream=True))
    names = ("ToolCallingAgent", "planner", "ToolCallingAgent")
    assert places(captured) == [*turn("mine", 1, *names), *turn("mine", 2, *names)]
