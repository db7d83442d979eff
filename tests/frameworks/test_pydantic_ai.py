"""Pydantic AI: what the context of its runs tells."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed; nox -s frameworks")

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import tokentrace
from frameworks.model import places, turn, weather
from tokentrace.testing import capture

pytestmark = pytest.mark.filterwarnings("ignore")  # what they warn of is theirs


@pytest.fixture
def model(server):
    provider = OpenAIProvider(base_url=f"{server.url}/v1", api_key="t")
    return OpenAIChatModel("gpt-4.1-mini", provider=provider)


@pytest.fixture
def planner(model):
    return Agent(model, name="planner", tools=[weather])


@pytest.fixture
def boss(model, planner):
    """An agent with another in its tool."""
    agent = Agent(model, name="boss")

    @agent.tool_plain
    async def ask_planner(input: str) -> str:  # noqa: A002 - the model's name for it
        """Ask the planner."""
        return (await planner.run(input)).output

    return agent


def test_a_conversation_of_two_turns(planner):
    """A history that is passed on goes on with its conversation; each run is a turn."""
    with capture() as captured:
        first = planner.run_sync("Is it cold in Oslo?")
        planner.run_sync("And now?", message_history=first.all_messages())
        planner.run_sync("Is it cold in Rome?")
    sessions = [call.session for call in captured.calls]
    assert sessions[0] == sessions[3] != sessions[4] == sessions[5]
    assert [call.turn for call in captured.calls] == [1, 1, 2, 2, 1, 1]
    assert {call.agent for call in captured.calls} == {"planner"}


async def test_interleaved_conversations_do_not_mix(planner):
    """Two conversations that run at the same time each have their own session and turns."""
    with capture() as captured:
        for _ in range(2):
            await asyncio.gather(*(planner.run("Cold?", conversation_id=one) for one in "ab"))
    expected = [(name, "planner", number) for name in "ab" for number in (1, 2) for _ in range(2)]
    assert sorted(places(captured)) == expected


async def test_an_agent_in_a_tool(boss):
    """An agent in another's tool has a run of its own, and yet serves the same turn."""
    with capture() as captured:
        await boss.run("Cold?", conversation_id="c1")
    assert places(captured) == turn("c1", 1, "boss", "planner", "planner", "boss")


async def test_a_streamed_run(boss):
    """A run whose answer is streamed is a turn, with what happens in its tools."""
    with capture() as captured:
        async with boss.run_stream("Cold?", conversation_id="c1") as stream:
            await stream.get_output()
    assert places(captured) == turn("c1", 1, "boss", "planner", "planner", "boss")


async def test_what_the_application_says_wins(planner):
    """A session of the application's own stays; its turns are the runs."""
    with capture() as captured, tokentrace.session("mine", agent="devops"):
        for _ in range(2):
            await planner.run("Cold?", conversation_id="c1")
    one, two = (turn("mine", number, "devops", "devops") for number in (1, 2))
    assert places(captured) == [*one, *two]


async def test_an_error_passes_and_leaves_nothing(planner, server):
    """A run that fails raises as it would without us, and the next call is nobody's."""
    server.answer = lambda _sent: (_ for _ in ()).throw(ConnectionError)
    with capture():
        with pytest.raises(Exception, match=r"Connection|error"):
            await planner.run("Cold?", conversation_id="c1")
        from tokentrace import turns

        assert (turns.current().session, turns.current().agent) == ("", "")
