"""What the garbage collector ends: told later, in no lock of anybody's.

The collector runs in the middle of whatever a thread is doing, also where it holds a lock of
OpenTelemetry's meters or of a processor. A stream that it finds there ends its call on that very
thread, and asking for the same lock once more would stop the host for good. So what would be told
then waits until the next span begins or ends, or until everything is sent.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any

from tokentrace._failsafe import attempt

_waiting: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
_collecting = 0  # the thread that the collector runs on


def _phase(phase: str, _facts: object) -> None:
    global _collecting  # noqa: PLW0603 - one collector a process
    _collecting = get_ident() if phase == "start" else 0


def listen() -> None:
    """Hear of the collector from now on."""
    if _phase not in gc.callbacks:
        gc.callbacks.append(_phase)


def tell(work: Callable[..., Any], *args: Any) -> None:
    """Call ``work(*args)``, after what waits; later where the collector runs on this thread."""
    if _collecting and _collecting == get_ident():
        _waiting.append((work, args))
        return
    if _waiting:
        drain()
    work(*args)


def drain() -> None:
    """Tell what waits. Not from a finaliser."""
    while _waiting:
        try:
            work, args = _waiting.popleft()
        except IndexError:  # another thread was faster
            return
        attempt(work, *args)


def waiting() -> int:
    """Return how much waits."""
    return len(_waiting)


# What the parent's collector found is the parent's to tell.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)
