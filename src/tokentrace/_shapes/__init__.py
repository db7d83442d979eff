"""What a call gave back, and how to follow it to its end: a value, an awaitable, a stream, a response.

This is the only room that knows colours. It asks the result what it is, never the function that
made it. The host gets the very object that its SDK made; a stream's iterator and a response's
methods are followed in place, so that types, headers and helpers stay as they are.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tokentrace import _deliver
from tokentrace._failsafe import Stretch, attempt
from tokentrace._shapes import responses, streams
from tokentrace._shapes.follower import Follower
from tokentrace._shapes.streams import Chunks

__all__ = ["Chunks", "Follower", "deliver", "run"]


def run(work: Callable[..., Any], args: Any, kwargs: Any, follower: Follower) -> Any:
    """Call ``work`` exactly once and return what it returns, followed to its end."""
    with Stretch(follower.enter, follower.leave, follower.fail):
        result = work(*args, **kwargs)
    return deliver(result, follower)


def deliver(result: Any, follower: Follower) -> Any:
    """Return the host's ``result``; ``follower`` hears of its end."""
    if inspect.iscoroutine(result):
        return _awaiting(result, follower)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        return _deliver.deliver(result, Steps(follower))
    attempt(_follow, result, follower)
    return result


def _awaiting(awaitable: Any, follower: Follower) -> Any:
    """Return a coroutine that awaits for the host; one that never starts is abandoned."""
    started: list[bool] = []

    async def awaited() -> Any:
        started.append(True)
        with Stretch(follower.enter, follower.leave, follower.fail):
            result = await awaitable
        return deliver(result, follower)

    coroutine = awaited()
    weakref.finalize(coroutine, _unless, started, follower)
    return coroutine


def _unless(started: list[bool], follower: Follower) -> None:
    if not started:
        attempt(follower.abandon)


def _follow(result: Any, follower: Follower) -> None:
    kind: Any = type(result)
    if kind.__module__ == "contextlib" and hasattr(result, "gen"):
        result.gen = _deliver.deliver(result.gen, Opening(follower))
        return
    follow = _way(kind)
    if follow is None:
        follower.end(result)
    else:
        follow(result, follower)


@lru_cache(maxsize=256)
def _way(kind: Any) -> Callable[[Any, Follower], None] | None:
    """Return how objects of a class are followed, None where they are at their end.

    The class is asked, and once: an SDK's response model answers slowly for what it does not have.
    """
    if hasattr(kind, "__stream__"):
        return streams.follow
    if hasattr(kind, "http_request") and hasattr(kind, "parse"):
        return responses.follow_raw
    if hasattr(kind, "aiter_bytes") and hasattr(kind, "num_bytes_downloaded"):
        return responses.follow_http
    return None


class Steps(_deliver.Visit):
    """A generator of either colour, followed item by item; its code runs between two of them."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def enter(self) -> None:
        """The SDK's code goes on."""
        self._follower.enter()

    def leave(self) -> None:
        """It hands an item on, or is over."""
        self._follower.leave()

    def chunk(self, item: Any) -> None:
        """It gave an item."""
        self._follower.chunk(item)

    def close(self, error: BaseException | None) -> None:
        """It is over."""
        if error is None:
            self._follower.end()
        else:
            self._follower.fail(error)


class Opening(_deliver.Visit):
    """A context manager's generator: it gives one thing, which is followed to its own end."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._given = False

    def enter(self) -> None:
        """It opens, or it closes."""
        self._follower.enter()

    def leave(self) -> None:
        """It is open, or over."""
        self._follower.leave()

    def chunk(self, item: Any) -> None:
        """It is open: the caller's own errors, which come back here, are none of the call's."""
        self._given = True
        _follow(item, self._follower)

    def close(self, error: BaseException | None) -> None:
        """It is over."""
        if error is None or self._given:
            self._follower.abandon()
        else:
            self._follower.fail(error)
