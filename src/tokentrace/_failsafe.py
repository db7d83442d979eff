"""The one place where our own failure becomes a counter and a log line.

`attempt` runs our code inside the host's call. What it swallows is counted in `failures` and logged
at most once a minute for each kind, without content. Under ``TOKENTRACE_STRICT=1`` it raises again:
our own tests see every error, a user's run sees none.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

from tokentrace import _config
from tokentrace.errors import TokenLimitExceeded, TokenLimitWarning

T = TypeVar("T")

LOG = logging.getLogger("tokentrace")
INTERVAL = 60.0
ENDING = (KeyboardInterrupt, SystemExit, GeneratorExit)
PASSED = (*ENDING, TokenLimitExceeded, TokenLimitWarning)

failures: Counter[str] = Counter()
_logged: dict[str, float] = {}
# Re-entrant: what the garbage collector ends may fail, too, while this very thread is here.
_lock = threading.RLock()


def attempt(work: Callable[..., T], *args: Any, default: Any = None, **kwargs: Any) -> T | Any:
    """Return ``work(*args, **kwargs)``, or ``default`` when our code fails.

    tiktoken's panic is a BaseException, hence the width; interrupts, cancellation and the guard's
    refusal pass. Never put the host's own call in here.
    """
    try:
        return work(*args, **kwargs)
    except BaseException as error:
        if not _swallowed(error, work):
            raise
        return default


def each(work: Callable[[Any], T], items: Iterable[Any]) -> list[T | None]:
    """Return what ``work`` makes of each item: as `attempt` does, None where it fails."""
    made: list[T | None] = []
    for item in items:
        try:
            made.append(work(item))
        except BaseException as error:
            if not _swallowed(error, work):
                raise
            made.append(None)
    return made


def _swallowed(error: BaseException, work: Callable[..., Any]) -> bool:
    """Whether an error ends here, counted and logged; False for what has to go on."""
    if isinstance(error, PASSED) or type(error).__name__ == "CancelledError":
        return False
    record(error, getattr(work, "__qualname__", "tokentrace"))
    return not _config.strict()


class Stretch:
    """One stretch of the host's own code: begun, left, and its error where it ends with one."""

    __slots__ = ("_enter", "_failed", "_leave")

    def __init__(
        self,
        enter: Callable[[], Any],
        leave: Callable[[], Any],
        failed: Callable[[BaseException], Any],
    ) -> None:
        self._enter, self._leave, self._failed = enter, leave, failed

    def __enter__(self) -> None:
        attempt(self._enter)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        attempt(self._leave)
        if error is not None:
            attempt(self._failed, error)


class OnError:
    """Tell ``then(error)`` of an error on its way through a block of the host's; it goes on."""

    __slots__ = ("_then",)

    def __init__(self, then: Callable[[BaseException], Any]) -> None:
        self._then = then

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            attempt(self._then, error)


async def outcome(awaitable: Awaitable[Any]) -> tuple[Any, Exception | None]:
    """Await a callback's own work; its failure comes back as a value, to be told to the guard."""
    try:
        return await awaitable, None
    except Exception as error:
        return None, error


def outcome_of(
    work: Callable[..., T], *args: Any, **kwargs: Any
) -> tuple[T | Any, BaseException | None]:
    """Call what is somebody else's: what it raises is about that, and comes back as a value."""
    try:
        return work(*args, **kwargs), None
    except ENDING:
        raise
    except BaseException as error:
        return None, error


def record(error: BaseException, where: str) -> None:
    """Count ``error`` and log it, without its text (which may hold prompt content)."""
    kind = f"{where}:{type(error).__name__}"
    now = time.monotonic()
    with _lock:
        failures[kind] += 1
        quiet = now - _logged.get(kind, -INTERVAL) < INTERVAL
        if not quiet:
            _logged[kind] = now
    if not quiet:
        say("tokentrace failed in %s; the call goes on with less telemetry", kind)


def say(message: str, *args: Any) -> None:
    """Log a warning; a handler of the application that raises costs the record, not the call."""
    try:
        LOG.warning(message, *args)
    except Exception:
        failures["log handler"] += 1


def warn_once(key: str, message: str, *args: Any) -> bool:
    """Log ``message`` the first time that ``key`` is seen in this process; say whether it was."""
    with _lock:
        if key in _logged:
            return False
        _logged[key] = time.monotonic()
    say(message, *args)
    return True


def reset() -> None:
    """Forget counts and log times (tests, and the child after a fork)."""
    global _lock  # noqa: PLW0603 - a lock held by another thread at fork stays locked in the child
    _lock = threading.RLock()
    failures.clear()
    _logged.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset)
