"""LlamaIndex: whose steps these are, with which memory, in which workflow."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip(
    "llama_index.core", reason="llama-index is not installed; nox -s other_frameworks"
)

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.memory import Memory
from llama_index.llms.openai import OpenAI

import tokentrace
from frameworks.model import places, turn, weather
from tokentrace.testing import capture

pytestmark = pytest.mark.filterwarnings("ignore")  # what they warn of is theirs


@pytest.fixture
def model(server):
    return OpenAI(model="gpt-4.1-mini", api_base=f"{server.url}/v1", api_key="t")


def agent(model, name, *tools, **options):
    return FunctionAgent(
        name=name, description=name, llm=model, tools=list(tools), streaming=False, **options
    )


async def test_a_conversation_of_two_turns(model):
    """The memory's id is the session, a run a turn, the agent bears its name."""
    planner, memory = agent(model, "planner", weather), Memory.from_defaults(session_id="s1")
    with capture() as captured:
        for text in ("Is it cold in Oslo?", "And now?"):
            await planner.run(text, memory=memory)
    one, two = (turn("s1", number, "planner", "planner") for number in (1, 2))
    assert places(captured) == [*one, *two]


async def test_interleaved_sessions_do_not_mix(model):
    """Two conversations that run at the same time each have their own session and turns."""
    planner = agent(model, "planner", weather)
    memories = [Memory.from_defaults(session_id=name) for name in "ab"]

    async def ask(memory):
        await planner.run("Cold?", memory=memory)

    with capture() as captured:
        for _ in range(2):
            await asyncio.gather(*map(ask, memories))
    expected = [(name, "planner", number) for name in "ab" for number in (1, 2) for _ in range(2)]
    assert sorted(places(captured)) == expected


async def test_a_handoff_stays_in_the_turn(model):
    """An agent that takes over in a workflow has its own name, in the same turn."""
    planner = agent(model, "planner", can_handoff_to=["writer"])
    writer = agent(model, "writer", weather, can_handoff_to=[])
    both = AgentWorkflow(agents=[planner, writer], root_agent="planner")
    with capture() as captured:
        await both.run("Cold?", memory=Memory.from_defaults(session_id="s1"))
    assert {(call.session, call.turn) for call in captured.calls} == {("s1", 1)}
    assert [call.agent for call in captured.calls][:2] == ["planner", "writer"]


async def test_what_the_application_says_wins(model):
    """A session of the application's own stays; without memory there is none."""
    planner = agent(model, "planner", weather)
    with capture() as captured:
        with tokentrace.session("mine"):
            await planner.run("Cold?", memory=Memory.from_defaults(session_id="s1"))
        await planner.run("Cold?")
    assert places(captured) == [
        *turn("mine", 1, "planner", "planner"), *turn("", 1, "planner", "planner"),
    ]  # fmt: skip
