"""CrewAI: whose calls these are, and which kickoff they serve."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("crewai", reason="crewai is not installed; nox -s other_frameworks")

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

import tokentrace
from frameworks.model import places, turn, weather
from tokentrace.testing import capture

pytestmark = pytest.mark.filterwarnings("ignore")  # what they warn of is theirs


@pytest.fixture
def crew(server):
    model = LLM(model="openai/gpt-4.1-mini", base_url=f"{server.url}/v1", api_key="t")
    planner = Agent(role="The\nplanner", goal="g", backstory="b", llm=model, tools=[tool(weather)])
    writer = Agent(role="The writer", goal="g", backstory="b", llm=model)
    tasks = [Task(description="d", expected_output="e", agent=one) for one in (planner, writer)]
    return Crew(agents=[planner, writer], tasks=tasks)


ROLES = ("The planner", "The planner", "The writer")


def test_agents_bear_their_roles(crew):
    """Each call is its agent's; a crew has no session of its own."""
    with capture() as captured:
        crew.kickoff()
    assert places(captured) == turn("", 1, *ROLES)


def test_each_kickoff_is_a_turn(crew):
    """In a session that the application names, a kickoff is a turn, in a thread as well."""
    with capture() as captured, tokentrace.session("mine"):
        crew.kickoff()
        asyncio.run(crew.kickoff_async())
    assert places(captured) == [*turn("mine", 1, *ROLES), *turn("mine", 2, *ROLES)]


def test_inputs_do_not_leave_in_a_role(crew):
    """A role into which a kickoff's inputs are put is told as its template."""
    crew.agents[1].role = "The {topic} writer"
    with capture() as captured:
        crew.kickoff(inputs={"topic": "secret"})
    assert captured.calls[-1].agent == "The {topic} writer"


def test_an_agent_without_a_crew(crew):
    """An agent that is asked directly bears its role, and that is a turn."""
    with capture() as captured, tokentrace.session("mine"):
        for _ in range(2):
            crew.agents[1].kickoff("Is it cold?")
    assert places(captured) == [*turn("mine", 1, "The writer"), *turn("mine", 2, "The writer")]
