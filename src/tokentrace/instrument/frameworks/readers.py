"""What frameworks keep of the caller in contextvars; each gets the module that holds them."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from tokentrace import schema
from tokentrace._told import Told
from tokentrace.values import text

# The keys under which LangChain's own chat histories, LangGraph and LangSmith look for a thread.
THREADS = ("thread_id", "session_id", "conversation_id")
# Nodes of prebuilt agents: below an agent's own node they tell nothing.
USUAL = frozenset({"agent", "model", "tools", "call_model"})
DEPTH = 32
MOST_RUNS = 256


def nothing(_module: Any) -> None:
    """Know nothing."""


def name(value: Any) -> str:
    """Return an id or a name as a text; anything else but a text, a number or a UUID is none."""
    plain = isinstance(value, str | int) or type(value).__name__ == "UUID"
    return text(str(value)) or "" if plain else ""


def fresh() -> str:
    """Return a new id."""
    return os.urandom(8).hex()


def first(*values: Any) -> str:
    """Return the first of some ids that is one."""
    return next(filter(None, map(name, values)), "")


# ── LangChain and LangGraph ──────────────────────────────────────────────────────────────────────


def langchain(module: Any) -> Told | None:
    """Read the config of the runnable that runs; there is none around a bare ``model.invoke``."""
    config = module.var_child_runnable_config.get()
    if not config:
        return None
    own, about = config.get("configurable") or {}, config.get("metadata") or {}
    session = first(*(given.get(key) for key in THREADS for given in (own, about)))
    agent = name(about.get("lc_agent_name")) or _nodes(
        str(about.get("langgraph_checkpoint_ns", ""))
    )
    return Told(session, agent, _run(own.get("__pregel_runtime"), about))


def _nodes(namespace: str) -> str:
    """Return the names of ``research:a1…|model:b2…``: the nodes, from the outermost graph inwards."""
    found = [part.partition(":")[0] for part in namespace.split("|")]
    while len(found) > 1 and found[-1] in USUAL:
        del found[-1]
    return name("/".join(filter(None, found)))


def _run(runtime: Any, about: Mapping[str, Any]) -> str:
    """Return a run's id: that of the server, else one for the object that controls the whole run."""
    told = getattr(getattr(runtime, "execution_info", None), "run_id", None)
    control = getattr(runtime, "control", None)
    return first(told, about.get("run_id")) or ("" if control is None else CONTROLS.id_of(control))


class Ids:
    """Ids for the objects seen last, told apart by identity. Thread-safe.

    An object is held for as long as its id is known: no other can take its place meanwhile.
    """

    def __init__(self) -> None:
        self._all: OrderedDict[int, tuple[Any, str]] = OrderedDict()
        self._lock = threading.RLock()

    def id_of(self, one: Any) -> str:
        """Return the id of an object."""
        with self._lock:
            _, known = self._all.setdefault(id(one), (one, fresh()))
            self._all.move_to_end(id(one))
            if len(self._all) > MOST_RUNS:
                self._all.popitem(last=False)
            return known

    def renew(self) -> None:
        """Replace a lock that another thread may have held at a fork."""
        self._lock = threading.RLock()


CONTROLS = Ids()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=CONTROLS.renew)


# ── OpenAI Agents ────────────────────────────────────────────────────────────────────────────────


def openai_agents(module: Any) -> Told | None:
    """Read trace and spans, which there are (without content) where tracing is off, too."""
    trace, span = module.Scope.get_current_trace(), module.Scope.get_current_span()
    if trace is None and span is None:
        return None
    agent = first(*map(_speaker, _outwards(span)))
    known = name(getattr(trace, "trace_id", ""))
    return Told(name(getattr(trace, "group_id", None)), agent, "" if known == "no-op" else known)


def _outwards(span: Any) -> Iterator[Any]:
    """Yield a span and those around it, each of which is what its token would put back."""
    for _ in range(DEPTH):
        if span is None:
            return
        yield span
        token = getattr(span, "_prev_span_token", None)
        span = getattr(token, "old_value", None)
        if not hasattr(span, "span_data"):  # there was nothing before
            return


def _speaker(span: Any) -> Any:
    data = span.span_data
    return getattr(data, "name" if data.type == "agent" else "agent_name", None)


# ── Pydantic AI ──────────────────────────────────────────────────────────────────────────────────


def pydantic_ai(module: Any) -> Told | None:
    """Read the context of the run that makes a request."""
    run = module.get_current_run_context()
    if run is None:
        return None
    agent = getattr(getattr(run, "agent", None), "name", None)
    known = name(getattr(run, "run_id", None))
    return Told(name(getattr(run, "conversation_id", None)), name(agent), known)


# ── spans ────────────────────────────────────────────────────────────────────────────────────────


def spans(module: Any) -> Told | None:
    """Read the current span, whosever it is; one that nobody records has no attributes."""
    known = getattr(module.get_current_span(), "attributes", None)
    if not known:
        return None
    session, agent = name(known.get(schema.CONVERSATION)), name(known.get(schema.AGENT))
    return Told(session, agent) if session or agent else None
