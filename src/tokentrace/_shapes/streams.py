"""Streams of an SDK, followed item by item in the place where they keep their iterator."""

from __future__ import annotations

import weakref
from typing import Any

from tokentrace._failsafe import OnError, attempt
from tokentrace._shapes.follower import Follower
from tokentrace._shapes.methods import on_close


class Chunks:
    """Stands in for a stream's own iterator and passes its items on.

    It holds the iterator, not the stream: a dropped stream is still collected, and with it this.
    """

    def __init__(self, source: Any, follower: Follower) -> None:
        self._source = source
        self._follower = follower
        self.busy = False

    def __iter__(self) -> Chunks:
        return self

    def __aiter__(self) -> Chunks:
        return self

    def __next__(self) -> Any:
        self.busy = True
        with OnError(self._over):
            item = next(self._source)
        self.busy = False
        attempt(self._follower.chunk, item)
        return item

    async def __anext__(self) -> Any:
        self.busy = True
        with OnError(self._over):
            item = await anext(self._source)
        self.busy = False
        attempt(self._follower.chunk, item)
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def _over(self, error: BaseException) -> None:
        self.busy = False
        if isinstance(error, StopIteration | StopAsyncIteration):
            self._follower.end()
        else:
            self._follower.fail(error)

    def closed(self) -> None:
        """Hear that the response was closed; while an item is under way its end tells more."""
        if not self.busy:
            self._follower.abandon()


def follow(stream: Any, follower: Follower) -> None:
    if isinstance(stream._iterator, Chunks):  # noqa: SLF001 - the place where SDK streams keep it
        return
    chunks = Chunks(stream._iterator, follower)  # noqa: SLF001
    stream._iterator = chunks  # noqa: SLF001
    weakref.finalize(chunks, attempt, follower.abandon)
    closed = weakref.WeakMethod(chunks.closed)
    on_close(stream.response, lambda: (closed() or follower.abandon)())  # noqa: PLW0108 - late
