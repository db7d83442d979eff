"""Standing around the functions in which a framework runs an agent.

What is seen at their entry lies in a contextvar for as long as they run, and never between the
items of a generator. The outermost run decides session and turn, the innermost the agent: an agent
that is another's tool has a run and often a session of its own, but serves the same user input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tokentrace import _deliver, _scope
from tokentrace._failsafe import attempt
from tokentrace._told import Told
from tokentrace.instrument import state
from tokentrace.instrument.frameworks.readers import first, fresh, name

Read = Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Told]


@dataclass(frozen=True, slots=True)
class Entry:
    """A function to stand around.

    Attributes:
        module: that must have been imported.
        attr: dotted path in it of the function.
        read: returns what the function's ``self`` and arguments tell.
    """

    module: str
    attr: str
    read: Read


@dataclass(slots=True, eq=False)
class Run:
    """An outermost run.

    Attributes:
        session: as told at its entry, or by the first call in it that knows.
        key: an id of all that serves the same user input, empty where that is not known.
    """

    session: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """Where the code is: in which outermost run, and whose it is."""

    run: Run = field(default_factory=Run)
    agent: str = ""

    def fill(self, session: str) -> str:
        """Return the run's session; one that has none yet takes what its first call knows."""
        self.run.session = self.run.session or session
        return self.run.session


_inside: ContextVar[tuple[Inside, ...]] = ContextVar("tokentrace_runs", default=())


class Stay(_scope.Stay):
    """A stay in a run."""

    stack = _inside


def current() -> Inside | None:
    """Return where the caller is, None outside of any run that is stood around."""
    places = _inside.get()
    return places[-1] if places else None


def around(read: Read) -> Callable[..., Any]:
    """Return the wrapper of an entry."""

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if state.settings is None:
            return wrapped(*args, **kwargs)

        def stay(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Stay:
            return Stay(_within(read(instance, args, kwargs)))

        if _deliver.opens(wrapped):
            visit = attempt(stay, args, kwargs) or _deliver.Visit()
            return _opened(visit, partial(wrapped, *args, **kwargs))
        return _deliver.around(wrapped, stay)(*args, **kwargs)

    return wrapper


@asynccontextmanager
async def _opened(visit: _deliver.Visit, manager: Callable[[], Any]) -> Any:
    """Visit for as long as an async context manager is open."""
    with _deliver.step(visit):
        async with manager() as given:
            yield given


def _within(told: Told) -> Inside:
    """Return the place of a run that begins, which may be inside another."""
    outer = current()
    if outer is None:
        return Inside(Run(told.session, told.run), told.agent)
    outer.fill(told.session)
    return Inside(outer.run, told.agent or outer.agent)


# ── what is known at an entry ────────────────────────────────────────────────────────────────────


def begins(_owner: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> Told:
    """Know that a run begins, and nothing of it."""
    return Told(run=fresh())


def openai_agents(_owner: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Told:
    """Read ``run(starting_agent, input, **options)``; the agent's name comes from its span."""
    group = getattr(kwargs.get("run_config"), "group_id", None)
    session = getattr(kwargs.get("session"), "session_id", None)
    return Told(first(group, session, kwargs.get("conversation_id")), run=fresh())


def google_adk(agent: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Told:
    """Read ``run_async(parent_context)``."""
    invocation = args[0] if args else kwargs.get("parent_context")
    session = getattr(getattr(invocation, "session", None), "id", None)
    return Told(name(session), name(agent.name), name(getattr(invocation, "invocation_id", "")))


def crew_agent(agent: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> Told:
    """Read ``execute_task(task, context, tools)``.

    A role may hold line breaks, and inputs of the run: then its template is the name.
    """
    role = getattr(agent, "_original_role", None) or agent.role
    return Told(agent=" ".join(name(role).split()))


def lone_agent(agent: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Told:
    """Read ``kickoff(messages)`` of an agent without a crew."""
    return replace(crew_agent(agent, args, kwargs), run=fresh())


def llama_index(agent: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Told:
    """Read ``take_step(ctx, llm_input, tools, memory)``."""
    memory = args[3] if len(args) > 3 else kwargs.get("memory")
    return Told(name(getattr(memory, "session_id", None)), name(agent.name))


def smolagents(agent: Any, _args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> Told:
    """Read ``run(task, …)`` of an agent, or of one that another manages."""
    return Told(agent=name(agent.name) or type(agent).__name__, run=fresh())
