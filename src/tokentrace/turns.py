"""Where the agent's code is: in which session, in which turn.

``session`` and ``turn`` are context managers (``with`` and ``async with``) and decorators of any
kind of function. Nothing stays set in the caller between two items of a decorated generator.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tokentrace import _config, _deliver, _scope, _sessions, _told
from tokentrace._failsafe import attempt
from tokentrace._sessions import PROCESS, SESSIONS, Registry

if TYPE_CHECKING:
    from tokentrace.guard import Guard

__all__ = ["Place", "Registry", "carry", "current", "reset", "session", "turn"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True, eq=False)
class Turn:
    """A turn that the agent opened.

    Attributes:
        number: as given, or one more than the session's newest.
        handle: its span, from `telemetry.open_turn`; None without telemetry.
        closed: it is over; a task that it started may go on.
    """

    number: int
    handle: Any = None
    closed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a call happens.

    Attributes:
        registry: what the session keeps, shared by all that happens in it.
        session: its id, empty outside any.
        agent: whose calls these are.
        attributes: for the spans, as the agent gave them.
        guard: the session's own guard, False where it is off, None where nothing was said.
        turn_number: None where nobody tells.
        turn: the turn that the agent opened, or None.
        run: an id of what a framework runs, where nobody told a turn; else empty.
    """

    registry: Registry = field(default_factory=lambda: PROCESS)
    session: str = ""
    agent: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    guard: Guard | bool | None = None
    turn_number: int | None = None
    turn: Turn | None = None
    run: str = ""

    @property
    def handle(self) -> Any:
        """The span handle of the open turn, or None."""
        return None if self.turn is None else self.turn.handle


NOWHERE = Place()
_places: ContextVar[tuple[Place, ...]] = ContextVar("tokentrace_places", default=())


def current() -> Place:
    """Return where the caller is: as the agent says, else the environment, else a framework."""
    place = _here()
    if place.session and place.turn is None:
        attempt(ONLY.begin, place)
    told = _told.ask()
    return place if told is _told.NOTHING else attempt(_filled, place, told, default=place)


def _filled(place: Place, told: _told.Told) -> Place:
    """Return a place with what a framework tells, where nobody else said it."""
    session = place.session or told.session
    registry = place.registry if session == place.session else SESSIONS.open(session)
    number, run = place.turn_number, told.run if place.turn_number is None else ""
    if run and session:
        number = registry.turn_of(run)
    agent = place.agent or told.agent
    return Place(registry, session, agent, place.attributes, place.guard, number, place.turn, run)


def _here() -> Place:
    places = _places.get()
    return places[-1] if places else _environment()


def _environment() -> Place:
    session = _config.text("TOKENTRACE_SESSION")
    number = _config.read("TOKENTRACE_TURN", _config.positive, None)
    if not session:
        return NOWHERE if number is None else Place(turn_number=number)
    return Place(SESSIONS.open(session), session, turn_number=number)


def _given_turn(session: str) -> int | None:
    """Return the environment's turn number, unless it belongs to another session."""
    if _config.text("TOKENTRACE_SESSION", session) != session:
        return None
    return _config.read("TOKENTRACE_TURN", _config.positive, None)  # type: ignore[no-any-return]


class OnlyTurn:
    """The turn that a process is, where the environment names its session and it opens no turn.

    Its span begins before the first call, is the parent of all spans that have none here, and ends
    with the process; without a call it is no turn. As soon as the program says itself what a turn
    or a session is, it is over.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._registry: Registry | None = None
        self._handle: Any = None
        self._parent: dict[str, str] = {}
        self._over = False

    def begin(self, place: Place) -> None:
        """Begin it, unless it is there, or over, or nothing is recorded in this process."""
        if self._over or place.session != _config.text("TOKENTRACE_SESSION"):
            return
        if f"{__package__}.telemetry" not in sys.modules:
            return
        from tokentrace.telemetry import sources

        with self._lock:
            if not self._parent:
                self._open(place)
            if self._parent:
                sources.adopt(self._parent)

    def _open(self, place: Place) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if trace.get_current_span().get_span_context().is_valid:
            return  # a span of the host's is the parent here
        handle = _open(place)
        if handle.context is not None:
            TraceContextTextMapPropagator().inject(self._parent, handle.context)
            self._handle, self._registry = handle, place.registry
            atexit.register(self.end)

    def end(self) -> None:
        """End it for good."""
        with self._lock:
            self._over = True
            handle, self._handle = self._handle, None
            parent, self._parent = self._parent, {}
        if parent:
            from tokentrace.telemetry import sources

            sources.adopt(None)
        if handle is not None and self._registry is not None and len(self._registry.lineages):
            handle.close()

    def inherit(self) -> None:
        """In the child after a fork: its parent ends the span, under which it goes on."""
        self._lock = threading.RLock()
        self._handle = None


ONLY = OnlyTurn()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ONLY.inherit)


def reset() -> None:
    """Forget every session and what happened outside of them (tests)."""
    atexit.unregister(ONLY.end)
    ONLY.__init__()  # type: ignore[misc]
    _sessions.reset()


# ── being there ──────────────────────────────────────────────────────────────────────────────────


class Stay(_scope.Stay):
    """A stay at a place."""

    stack = _places


class TurnStay(Stay):
    """A stay in a turn, which has a span that ends once."""

    def close(self, error: BaseException | None) -> None:
        """End the turn's span."""
        turn = self.item.turn
        if turn is not None and not turn.closed:
            turn.closed = True
            if turn.handle is not None:
                turn.handle.close(error=error)


class Scope(_scope.Scope):
    """A way to be at a place; entering gives the `Place`."""

    def fallback(self) -> Stay:
        """Stay where the caller is."""
        return Stay(replace(_here()))

    def __enter__(self) -> Place:
        place: Place = super().__enter__()
        return place

    async def __aenter__(self) -> Place:
        return self.__enter__()


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


class Session(Scope):
    """See `session`."""

    def __init__(
        self,
        name: Any,
        agent: str,
        attributes: Mapping[str, Any] | None,
        guard: Guard | bool | None,
    ) -> None:
        super().__init__()
        self._name = name
        self._agent = agent
        self._attributes = dict(attributes or {})
        self._guard = guard

    def __call__(self, fn: F) -> F:
        """Return ``fn`` with the session around each run of it."""
        if not callable(self._name):
            return super().__call__(fn)
        signature = _deliver.signature_of(fn)

        def stay(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Stay:
            return self._at(_deliver.call_with(self._name, signature, args, kwargs))

        return _deliver.around(fn, stay)

    def stay(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Stay:
        """Go into the session."""
        return self._at(self._name(*args, **kwargs) if callable(self._name) else self._name)

    def _at(self, name: Any) -> Stay:
        session = "" if name is None else str(name)
        outer = _here()
        same = session == outer.session
        if not same:
            ONLY.end()
        registry = outer.registry if same else SESSIONS.open(session) if session else PROCESS
        if session:
            SESSIONS.weigh(registry)
        place = Place(
            registry,
            session,
            agent=self._agent or (outer.agent if same else ""),
            attributes={**outer.attributes, **self._attributes},
            guard=outer.guard if self._guard is None else self._guard,
            turn_number=outer.turn_number if same else _given_turn(session),
            turn=outer.turn if same else None,
        )
        return Stay(place)


def session(
    id: Any,  # noqa: A002 - the public name of what it is
    *,
    agent: str = "",
    attributes: Mapping[str, Any] | None = None,
    guard: Guard | bool | None = None,
) -> Session:
    """Name the conversation that the calls inside belong to.

        with tokentrace.session("conv-42", agent="devops"): ...

        @tokentrace.session(lambda conv_id, **_: conv_id)
        async def handle(conv_id, text): ...

    A session that was left can be entered again, from any task or thread: it goes on.

    Args:
        id: a text (numbers and UUIDs become one), or for a decorator a callable that gets the
            function's arguments by name and returns it. Empty or None: no name.
        agent: who speaks; a sub-agent's session may bear the same id and its own agent.
        attributes: for the spans of the session's turns and calls.
        guard: a guard for the session's calls, False for none; None keeps the one outside.

    Raises:
        TypeError: an argument is of no use, at construction.
    """
    if not isinstance(agent, str):
        raise TypeError(f"session(agent=…) takes a text, not {type(agent).__name__}")
    if attributes is not None and not isinstance(attributes, Mapping):
        raise TypeError(f"session(attributes=…) takes a mapping, not {type(attributes).__name__}")
    if not (guard is None or guard is False or hasattr(guard, "check")):
        raise TypeError("session(guard=…) takes a tokentrace.Guard, False or None")
    return Session(id, agent, attributes, guard)


# ── turns ────────────────────────────────────────────────────────────────────────────────────────


class TurnScope(Scope):
    """See `turn`."""

    def __init__(self, number: int | None) -> None:
        super().__init__()
        self._number = number

    def stay(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Stay:  # noqa: ARG002 - as declared
        """Begin a turn."""
        outer = _here()
        ONLY.end()
        number = self._of(outer)
        place = replace(outer, turn_number=number, turn=None)
        handle = attempt(_open, place)
        turn = Turn(number, handle)
        return TurnStay(replace(place, turn=turn), getattr(handle, "context", None))

    def _of(self, outer: Place) -> int:
        """Return the number: a turn inside an open turn serves the same user input."""
        if self._number is None and outer.turn is not None and not outer.turn.closed:
            return outer.turn.number
        first = _given_turn(outer.session) or 1
        return outer.registry.number(self._number, first)


def _open(place: Place) -> Any:
    from tokentrace import telemetry

    return telemetry.open_turn(place)


@overload
def turn(number: F) -> F: ...
@overload
def turn(number: int | None = None) -> TurnScope: ...
def turn(number: Any = None) -> Any:
    """Mark one user input and all that serves it; opens the agent's span.

    Args:
        number: the turn's number, where the caller knows it; otherwise turns are numbered by
            session, from 1 or from ``TOKENTRACE_TURN``. A turn inside a turn (a sub-agent's)
            without a number has that one's.

    Raises:
        TypeError: ``number`` is no number.
    """
    if _deliver.is_function(number):
        return TurnScope(None)(number)
    if number is not None and not isinstance(number, int):
        raise TypeError(f"turn(number=…) takes an int, not {type(number).__name__}")
    return TurnScope(number)


# ── other threads ────────────────────────────────────────────────────────────────────────────────


def carry(fn: F) -> F:
    """Return ``fn`` for a bare thread or an executor: it runs in the caller's session and turn.

    For example ``executor.submit(tokentrace.carry(recall), query)``.
    """
    place, around = current(), attempt(_spans_context)

    def stay(args: Any, kwargs: Any) -> Stay:  # noqa: ARG001 - as declared
        return Stay(place, around)

    return _deliver.around(fn, stay)


def _spans_context() -> Any:
    """Return OpenTelemetry's current context, where somebody uses OpenTelemetry."""
    import sys

    module = sys.modules.get("opentelemetry.context")
    return None if module is None else module.get_current()
