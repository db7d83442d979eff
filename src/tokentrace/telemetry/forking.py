"""Providers of OpenTelemetry's SDK in a forked child: what they do about the fork, they do at the first call.

The SDK's own providers ask for the process's resource anew inside the fork, on threads of a pool, and a
periodic reader starts its thread there (seen in 1.45.2, 2026-11-30). Under gevent a thread that starts
lets other greenlets run: the parent's, in the child, which go on with what the agent was doing and fork
again; also in a child that was only about to execute another program. So ours wait until the child
makes a call itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from tokentrace._failsafe import attempt

Kind = TypeVar("Kind", bound=type[Any])

# What the SDK registers to be called in the child, by the versions that do.
REACTIONS = ("_handle_fork", "_at_fork_reinit")

_due: dict[tuple[int, str], Callable[[], Any]] = {}


def patient(kind: Kind) -> Kind:
    """Return a kind of provider or reader that reacts to a fork at `renew` only."""
    waits = {name: _waits(kind, name) for name in REACTIONS if hasattr(kind, name)}
    return type(kind.__name__, (kind,), waits)  # type: ignore[return-value]


def _waits(kind: Any, name: str) -> Callable[[Any], None]:
    react = getattr(kind, name)

    def wait(one: Any) -> None:
        _due[id(one), name] = partial(react, one)

    return wait


def renew() -> None:
    """React to the fork that this process began with, where there was one."""
    while _due:
        _, react = _due.popitem()
        attempt(react)
