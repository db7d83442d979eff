"""LangGraph and LangChain: what their config tells of threads, agents and runs."""

from __future__ import annotations

import asyncio
from typing import Annotated, TypedDict

import pytest

pytest.importorskip("langgraph", reason="langgraph is not installed; nox -s frameworks")
pytest.importorskip("langchain_openai", reason="langchain is not installed; nox -s frameworks")

from langchain.agents import create_agent
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages

import tokentrace
from frameworks.model import places, turn, weather
from tokentrace.testing import capture

pytestmark = pytest.mark.filterwarnings("ignore")  # what they warn of is theirs


@pytest.fixture
def model(server):
    return ChatOpenAI(model="gpt-4.1-mini", base_url=f"{server.url}/v1", api_key="t")


def asked(text="Is it cold in Oslo?"):
    return {"messages": [{"role": "user", "content": text}]}


def thread(name):
    return {"configurable": {"thread_id": name}}


def test_a_conversation_of_two_turns(model):
    """A thread is the session, an invocation a turn, the agent bears its name; numbers go on."""
    agent = create_agent(model, [weather], checkpointer=InMemorySaver(), name="planner")
    with capture() as captured:
        for text in ("Is it cold in Oslo?", "And now?"):
            agent.invoke(asked(text), thread("t1"))
    calls = captured.calls
    one, two = (turn("t1", number, "planner", "planner") for number in (1, 2))
    assert places(captured) == [*one, *two]
    assert len({call.lineage for call in calls}) == 1
    assert (calls[0].delta, calls[2].trend) == (None, "increase")


async def test_interleaved_threads_do_not_mix(model):
    """Two threads that run at the same time each have their own session and turns."""
    agent = create_agent(model, [weather], checkpointer=InMemorySaver(), name="planner")
    with capture() as captured:
        for _ in range(2):
            await asyncio.gather(*(agent.ainvoke(asked(), thread(one)) for one in "ab"))
    expected = [(name, "planner", number) for name in "ab" for number in (1, 2) for _ in range(2)]
    assert sorted(places(captured)) == expected


async def test_a_streamed_run_is_a_turn(model):
    """Reading a run's steps as they come changes nothing."""
    agent = create_agent(model, [weather], checkpointer=InMemorySaver(), name="planner")
    with capture() as captured:
        async for _ in agent.astream(asked(), thread("t1"), stream_mode="messages"):
            pass
    assert places(captured) == turn("t1", 1, "planner", "planner")


def test_an_agent_that_is_a_tool(model):
    """An agent inside another's tool has its own name and lineage, in the same turn."""
    inner = create_agent(model, [weather], name="researcher")

    def ask_researcher(input: str) -> str:  # noqa: A002 - the model's name for it
        """Ask the researcher."""
        return inner.invoke(asked(input))["messages"][-1].content

    outer = create_agent(model, [ask_researcher], checkpointer=InMemorySaver(), name="planner")
    with capture() as captured:
        for _ in range(2):
            outer.invoke(asked(), thread("t1"))
    names = ("planner", "researcher", "researcher", "planner")
    assert places(captured) == [*turn("t1", 1, *names), *turn("t1", 2, *names)]
    assert len({(call.agent, call.lineage) for call in captured.calls}) == 2


class State(TypedDict):
    """A graph's state."""

    messages: Annotated[list, add_messages]


def graph(model, *nodes):
    """Return a graph whose nodes all begin at once and each ask the model."""
    made = StateGraph(State)
    for node in nodes:
        made.add_node(node, lambda state: {"messages": [model.invoke(state["messages"])]})
        made.add_edge(START, node)
    return made


def test_parallel_branches_are_one_turn(model):
    """The nodes of a graph are its agents; those that run side by side serve the same input."""
    drawn = graph(model, "left", "right").compile(checkpointer=InMemorySaver())
    with capture() as captured:
        for _ in range(2):
            drawn.invoke(asked(), thread("t1"))
    assert sorted(places(captured)) == [
        ("t1", "left", 1), ("t1", "left", 2), ("t1", "right", 1), ("t1", "right", 2),
    ]  # fmt: skip


def test_a_graph_in_a_graph(model):
    """The nodes of an inner graph are told with those around them, usual names left out."""
    outer = StateGraph(State)
    outer.add_node("research", graph(model, "model", "check").compile())
    outer.add_edge(START, "research")
    with capture() as captured:
        outer.compile().invoke(asked(), thread("t1"))
    assert sorted(places(captured)) == [("t1", "research", 1), ("t1", "research/check", 1)]


def test_what_the_application_says_wins(model):
    """A session, an agent and a turn of the application's own stay as they are."""
    agent = create_agent(model, [weather], checkpointer=InMemorySaver(), name="planner")
    with capture() as captured:
        with tokentrace.session("mine", agent="devops"), tokentrace.turn(number=7):
            agent.invoke(asked(), thread("t1"))
        with tokentrace.session("mine"):
            agent.invoke(asked(), thread("t1"))
    assert places(captured) == [
        *turn("mine", 7, "devops", "devops"), *turn("mine", 8, "planner", "planner"),
    ]  # fmt: skip


def test_a_chain_tells_its_thread(model):
    """A chain without a graph has a session where its config names one, and turns by the texts."""
    chain = ChatPromptTemplate.from_messages([("user", "{text}")]) | model
    with capture() as captured:
        chain.invoke({"text": "Hello."}, {"metadata": {"session_id": "s1"}})
        chain.invoke({"text": "Hello again."}, {"configurable": {"session_id": "s1"}})
        model.invoke("Hello.", thread("t1"))  # the config is not passed on to a single runnable
    assert places(captured) == [("s1", "", 1), ("s1", "", 2), ("", "", 1)]


def test_tags_belong_to_the_thread(model):
    """A text that a node tags is found in the prompt of its own thread."""

    @tokentrace.component("memory")
    def recall():
        return "The user lives in Oslo, north of the river."

    def ask(state):
        return {"messages": [model.invoke([("system", recall()), *state["messages"]])]}

    made = StateGraph(State)
    made.add_node("talk", ask)
    made.add_edge(START, "talk")
    with capture() as captured:
        made.compile().invoke(asked(), thread("t1"))
    (call,) = captured.calls
    assert call.session == "t1"
    assert call.components["memory"] > 0
