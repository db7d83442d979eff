"""Google ADK: what its invocations tell."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("google.adk", reason="google-adk is not installed; nox -s frameworks")

from google.adk.agents import LlmAgent, ParallelAgent
from google.adk.runners import InMemoryRunner
from google.adk.tools.agent_tool import AgentTool
from google.genai import types

import tokentrace
from frameworks.model import places, turn, weather
from tokentrace.testing import capture

pytestmark = pytest.mark.filterwarnings("ignore")  # what they warn of is theirs

APP = "app"
MODEL = "gemini-2.5-flash"


@pytest.fixture(autouse=True)
def gemini(server, monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "t")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)


def agent(name, *tools):
    return LlmAgent(name=name, model=MODEL, description=name, tools=list(tools))


async def runner_of(root, *sessions):
    runner = InMemoryRunner(root, app_name=APP)
    for name in sessions:
        await runner.session_service.create_session(app_name=APP, user_id="u", session_id=name)
    return runner


async def ask(runner, session, text="Is it cold in Oslo?"):
    said = types.UserContent(text)
    async for _ in runner.run_async(user_id="u", session_id=session, new_message=said):
        pass


async def test_a_conversation_of_two_turns():
    """The session's id is the session, an invocation a turn, the agent bears its name."""
    with capture() as captured:
        runner = await runner_of(agent("planner", weather), "s1")
        for text in ("Is it cold in Oslo?", "And now?"):
            await ask(runner, "s1", text)
    one, two = (turn("s1", number, "planner", "planner") for number in (1, 2))
    assert places(captured) == [*one, *two]
    assert len({call.lineage for call in captured.calls}) == 1


def test_a_run_in_a_thread():
    """The runner's sync form, which has a thread of its own, is known as well."""
    with capture() as captured:
        runner = asyncio.run(runner_of(agent("planner", weather), "s1"))
        said = types.UserContent("Cold?")
        assert list(runner.run(user_id="u", session_id="s1", new_message=said))
    assert places(captured) == turn("s1", 1, "planner", "planner")


async def test_interleaved_sessions_do_not_mix():
    """Two conversations that run at the same time each have their own session and turns."""
    with capture() as captured:
        runner = await runner_of(agent("planner", weather), "a", "b")
        for _ in range(2):
            await asyncio.gather(ask(runner, "a"), ask(runner, "b"))
    expected = [(name, "planner", number) for name in "ab" for number in (1, 2) for _ in range(2)]
    assert sorted(places(captured)) == expected


async def test_an_agent_that_is_a_tool():
    """An agent used as a tool has a session of its own there, and the caller's here."""
    with capture() as captured:
        boss = agent("boss", AgentTool(agent("planner", weather)))
        await ask(await runner_of(boss, "s1"), "s1")
    assert places(captured) == turn("s1", 1, "boss", "planner", "planner", "boss")


async def test_parallel_agents_are_one_turn():
    """Agents that run side by side serve the same input."""
    both = ParallelAgent(name="both", sub_agents=[agent("left"), agent("right")])
    with capture() as captured:
        await ask(await runner_of(both, "s1"), "s1")
    assert sorted(places(captured)) == turn("s1", 1, "left", "right")


async def test_what_the_application_says_wins():
    """A session of the application's own stays; behind a run nothing is left."""
    with capture() as captured:
        runner = await runner_of(agent("planner", weather), "s1")
        with tokentrace.session("mine"), tokentrace.turn(number=3):
            await ask(runner, "s1")
        from tokentrace import turns

        left = turns.current()
    assert places(captured) == turn("mine", 3, "planner", "planner")
    assert (left.session, left.agent) == ("", "")
