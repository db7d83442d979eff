"""Agent frameworks: a table of what each tells of its sessions, agents and runs, and who reads it.

A row reads what the framework keeps for itself in contextvars: that costs nothing, and nothing is
imported for it. Where that is not all, the row stands around the functions in which the framework
runs an agent, see `runs`. What the application says itself always wins, see `turns.current`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokentrace._failsafe import attempt
from tokentrace._told import NOTHING, Told
from tokentrace.instrument.frameworks import readers, runs
from tokentrace.instrument.frameworks.runs import Entry
from tokentrace.instrument.hooks import RUN, Hook


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework.

    Attributes:
        name: as people call it.
        sdk: the distribution's name.
        module: what must have been imported for ``read``; empty where nothing is read.
        read: returns what the module knows of the caller, or None.
        entries: the functions to stand around, each with what reads its arguments.
        session, agent, turn: where each comes from, for the documentation.
        ran: the versions that our tests ran, oldest and newest.
    """

    name: str
    sdk: str
    module: str = ""
    read: Callable[[Any], Told | None] = readers.nothing
    entries: tuple[Entry, ...] = ()
    session: str = ""
    agent: str = ""
    turn: str = ""
    ran: str = ""

    @property
    def hooks(self) -> dict[Hook, runs.Read]:
        """The entries as rows like those of SDKs."""
        return {Hook(self.sdk, one.module, one.attr, RUN): one.read for one in self.entries}


STEPS = "llama_index.core.agent.workflow"

FRAMEWORKS = (
    Framework(
        "LangGraph, LangChain",
        "langchain-core",
        "langchain_core.runnables.config",
        readers.langchain,
        session="`thread_id`, `session_id` or `conversation_id` of the config",
        agent="the name given to `create_agent`, else the graph's nodes",
        turn="a run of the outermost graph",
        ran="langgraph 1.2.24, langchain 1.5.2; 1.0 in part",
    ),
    Framework(
        "OpenAI Agents",
        "openai-agents",
        "agents.tracing.scope",
        readers.openai_agents,
        (
            Entry("agents.run", "AgentRunner.run", runs.openai_agents),
            Entry("agents.run", "AgentRunner.run_streamed", runs.openai_agents),
        ),
        session="the run config's `group_id`, `session=`, `conversation_id=`, or the trace's `group_id`",
        agent="the agent's `name`",
        turn="a run, those of agents used as tools in it included",
        ran="0.6.9, 0.24.0",
    ),
    Framework(
        "Pydantic AI",
        "pydantic-ai-slim",
        "pydantic_ai._run_context",
        readers.pydantic_ai,
        (Entry("pydantic_ai.agent", "Agent.iter", runs.begins),),
        session="the run's `conversation_id`",
        agent="the agent's `name`",
        turn="a run, those of other agents in its tools included",
        ran="1.107.10, 2.68.0",
    ),
    Framework(
        "Google ADK",
        "google-adk",
        entries=(Entry("google.adk.agents.base_agent", "BaseAgent.run_async", runs.google_adk),),
        session="the session's `id`",
        agent="the agent's `name`",
        turn="an invocation, those of agents used as tools in it included",
        ran="1.14.1, 2.13.0",
    ),
    Framework(
        "CrewAI",
        "crewai",
        entries=(
            Entry("crewai.crew", "Crew.kickoff", runs.begins),
            Entry("crewai.agent.core", "Agent.execute_task", runs.crew_agent),
            Entry("crewai.agent.core", "Agent.aexecute_task", runs.crew_agent),
            Entry("crewai.agent.core", "Agent.kickoff", runs.lone_agent),
        ),
        agent="the agent's `role`, as a template",
        turn="a `kickoff` of the outermost crew",
        ran="1.15.30",
    ),
    Framework(
        "LlamaIndex",
        "llama-index-core",
        entries=(
            Entry("workflows.workflow", "Workflow.run", runs.begins),
            Entry(f"{STEPS}.function_agent", "FunctionAgent.take_step", runs.llama_index),
            Entry(f"{STEPS}.react_agent", "ReActAgent.take_step", runs.llama_index),
            Entry(f"{STEPS}.codeact_agent", "CodeActAgent.take_step", runs.llama_index),
        ),
        session="the `session_id` of the agent's memory",
        agent="the agent's `name`",
        turn="a run of the outermost workflow",
        ran="llama-index-core 0.14.25",
    ),
    Framework(
        "smolagents",
        "smolagents",
        entries=(Entry("smolagents.agents", "MultiStepAgent.run", runs.smolagents),),
        agent="the agent's `name`, else its class",
        turn="a `run` of the outermost agent",
        ran="1.26.0",
    ),
    Framework(
        "others that open OpenTelemetry spans",
        "opentelemetry-api",
        "opentelemetry.trace",
        readers.spans,
        session="`gen_ai.conversation.id` of the current span, where it is recorded",
        agent="`gen_ai.agent.name` of it",
        turn="a new text of the user",
        ran="opentelemetry-sdk 1.44",
    ),
)

ENTRIES = {hook: read for one in FRAMEWORKS for hook, read in one.hooks.items()}


@cache
def is_there(sdk: str) -> bool:
    """Whether a distribution is installed: ``agents`` and ``workflows`` are others' names, too."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return bool(version(sdk))
    except PackageNotFoundError:
        return False


def told() -> Told:
    """Return what the frameworks that are imported tell of the caller."""
    session = agent = run = ""
    modules = sys.modules
    for one in FRAMEWORKS:
        module = modules.get(one.module)
        found = None if module is None else attempt(one.read, module)
        if found is not None:
            session, agent = session or found.session, agent or found.agent
            run = run or found.run
    inside = runs.current()
    if inside is not None:
        session, agent, run = inside.fill(session), agent or inside.agent, inside.run.key or run
    return Told(session, agent, run) if session or agent or run else NOTHING
