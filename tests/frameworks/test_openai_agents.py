"""OpenAI Agents: what its traces, spans and runs tell."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("agents", reason="openai-agents is not installed; nox -s frameworks")

import agents
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner
from openai import AsyncOpenAI

import tokentrace
from frameworks.model import places, turn, weather
from tokentrace.testing import capture

pytestmark = pytest.mark.filterwarnings("ignore")  # what they warn of is theirs


@pytest.fixture
def model(server):
    client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="t")
    return OpenAIResponsesModel("gpt-4.1-mini", client)


@pytest.fixture
def planner(model):
    return Agent("planner", model=model, tools=[agents.function_tool(weather)])


def memory(name):
    return agents.SQLiteSession(name)


def test_a_conversation_of_two_turns(planner):
    """The memory's id is the session, a run a turn, the agent bears its name."""
    with capture() as captured:
        kept = memory("s1")
        for text in ("Is it cold in Oslo?", "And now?"):
            Runner.run_sync(planner, text, session=kept)
    one, two = (turn("s1", number, "planner", "planner") for number in (1, 2))
    assert places(captured) == [*one, *two]
    assert len({call.lineage for call in captured.calls}) == 1


async def test_interleaved_sessions_do_not_mix(planner):
    """Two conversations that run at the same time each have their own session and turns."""
    kept = [memory(name) for name in "ab"]
    with capture() as captured:
        for _ in range(2):
            await asyncio.gather(*(Runner.run(planner, "Cold?", session=one) for one in kept))
    expected = [(name, "planner", number) for name in "ab" for number in (1, 2) for _ in range(2)]
    assert sorted(places(captured)) == expected


@pytest.mark.parametrize("off", [False, True])
async def test_agents_have_names_without_tracing(planner, off):
    """Names come with the library's tracing on and off; a group's id is the session."""
    agents.set_tracing_disabled(off)
    with capture() as captured:
        options = RunConfig(group_id="g1", tracing_disabled=off)
        await Runner.run(planner, "Cold?", run_config=options, session=memory("s1"))
    assert places(captured) == turn("g1", 1, "planner", "planner")
    agents.set_tracing_disabled(True)


async def test_an_agent_that_is_a_tool_and_a_handoff(model, planner):
    """An agent used as a tool, and one that takes over, have their own names, in the same turn."""
    boss = Agent("boss", model=model, tools=[planner.as_tool("ask_planner", "Ask the planner.")])
    clerk = Agent("clerk", model=model, handoffs=[planner])
    with capture() as captured:
        await Runner.run(boss, "Cold?", session=memory("s1"))
        await Runner.run(clerk, "Cold?", session=memory("s2"))
    names = places(captured)
    assert names[:4] == turn("s1", 1, "boss", "planner", "planner", "boss")
    assert names[4:] == turn("s2", 1, "clerk", "planner")


async def test_runs_in_one_trace_are_turns(planner):
    """A trace names the session of the runs in it, each of which is a turn."""
    agents.set_tracing_disabled(False)
    with capture() as captured, agents.trace("talk", group_id="g1"):
        for _ in range(2):
            await Runner.run(planner, "Cold?")
    agents.set_tracing_disabled(True)
    one, two = (turn("g1", number, "planner", "planner") for number in (1, 2))
    assert places(captured) == [*one, *two]


async def test_a_streamed_run(server):
    """A run whose events are streamed is in its session."""
    client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="t")
    chat = OpenAIChatCompletionsModel("gpt-4.1-mini", client)
    planner = Agent("planner", model=chat, tools=[agents.function_tool(weather)])
    with capture() as captured:
        result = Runner.run_streamed(planner, "Cold?", session=memory("s1"))
        async for _ in result.stream_events():
            pass
    assert places(captured) == turn("s1", 1, "planner", "planner")


async def test_what_the_application_says_wins(planner):
    """A session of the application's own stays; a run without any has none."""
    with capture() as captured:
        with tokentrace.session("mine", agent="devops"):
            await Runner.run(planner, "Cold?", session=memory("s1"))
        await Runner.run(planner, "Cold?")
    assert places(captured) == [
        *turn("mine", 1, "devops", "devops"), *turn("", 1, "planner", "planner"),
    ]  # fmt: skip


def test_the_entries_come_out_again():
    """Behind us the library's functions are its own."""
    from agents.run import AgentRunner

    before = vars(AgentRunner)["run"]
    with capture():
        assert vars(AgentRunner)["run"] is not before
    assert vars(AgentRunner)["run"] is before
