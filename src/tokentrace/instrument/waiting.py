"""The first half of a call, where something in it must be awaited: a callback's answer, or a count.

The call's own steps are a generator without colour. Here it is driven, in a coroutine only where the
caller can wait.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

from tokentrace._failsafe import attempt, outcome

Steps = Generator[Any, Any, None]
DONE = object()


def prepared(steps: Steps, can_wait: Callable[[], bool]) -> Coroutine[Any, Any, None] | None:
    """Run a call's first half; return the rest of it where something must be awaited.

    Where the caller cannot wait, which is asked only then, a callback is told so and counted.
    """
    waiting = attempt(_advance, steps, default=DONE)
    if waiting is not DONE and can_wait():
        return _wait(steps, waiting)
    while waiting is not DONE:
        waiting = attempt(_refuse, steps, waiting, default=DONE)
    return None


async def after(waiting: Coroutine[Any, Any, None], then: Callable[[], Any]) -> Any:
    """Await the rest of the first half, and then what ``then`` gives."""
    await waiting
    return await then()


@asynccontextmanager
async def opened(waiting: Coroutine[Any, Any, None], then: Callable[[], Any]) -> Any:
    """Await the rest of the first half, and then open what ``then`` gives."""
    await waiting
    async with then() as given:
        yield given


def _advance(steps: Steps, value: Any = None) -> Any:
    """Run to the next awaitable that a callback gave; ``DONE`` at the end."""
    try:
        return steps.send(value)
    except StopIteration:
        return DONE


def _throw(steps: Steps, error: BaseException) -> Any:
    try:
        return steps.throw(error)
    except StopIteration:
        return DONE


def _refuse(steps: Steps, waiting: Any) -> Any:
    """Tell a callback that nobody can await what it gave."""
    if inspect.iscoroutine(waiting):
        waiting.close()
    return _throw(steps, TypeError("an async callback needs an async client"))


async def _wait(steps: Steps, waiting: Any) -> None:
    """Await what a callback gave, as often as it does."""
    while waiting is not DONE:
        value, error = await outcome(waiting)
        if error is None:
            waiting = attempt(_advance, steps, value, default=DONE)
        else:
            waiting = attempt(_throw, steps, error, default=DONE)
