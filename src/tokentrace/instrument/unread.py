"""What SDKs hand out unread, followed in place.

boto3's event streams, its bodies that their owner reads, and litellm's streams. Of aiobotocore's
bodies the headers tell.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import wrapt

from tokentrace._deliver import step
from tokentrace._failsafe import OnError, attempt
from tokentrace._shapes import Chunks, Follower, Steps
from tokentrace._shapes.methods import Followed, nothing
from tokentrace.instrument.hooks import Hook

PLACES = ("stream", "body")  # where an answer holds it
MOST = 2**24  # bytes of a body that are kept for its usage; of a longer one the headers tell


def follow(result: Any, follower: Follower) -> bool:
    """Follow what is unread in an answer; whether there was something."""
    if not isinstance(result, Mapping):
        return False
    for held in filter(None, map(result.get, PLACES)):
        if hasattr(held, "_event_generator") and hasattr(held, "_parse_event"):
            _follow_events(held, follower)
            return True
        if hasattr(held, "_raw_stream") and not inspect.iscoroutinefunction(held.read):
            told = {key: value for key, value in result.items() if key not in PLACES}
            _follow_body(held, told, follower)
            return True
    return False


# ── event streams ────────────────────────────────────────────────────────────────────────────────


class Ends:
    """Hears how a stream of raw events ends; what is in them is heard where they are parsed."""

    def __init__(self, follower: Follower) -> None:
        self.end, self.fail, self.abandon = follower.end, follower.fail, follower.abandon
        self.enter = self.leave = nothing

    def chunk(self, item: Any) -> None:
        """An event came that nobody has parsed."""


def _follow_events(stream: Any, follower: Follower) -> None:
    method = weakref.WeakMethod(stream._parse_event)  # noqa: SLF001 - the stream keeps it nowhere else

    def parse(event: Any) -> Any:
        with OnError(follower.fail):
            item = method()(event)  # type: ignore[misc]  # who parses holds the stream
        if inspect.iscoroutine(item):
            return _parsed(item, follower)
        attempt(follower.chunk, item)
        return item

    chunks = Chunks(stream._event_generator, Ends(follower))  # noqa: SLF001
    stream._event_generator, stream._parse_event = chunks, parse  # noqa: SLF001
    stream._raw_stream = Closing(stream._raw_stream, chunks.closed)  # noqa: SLF001
    weakref.finalize(stream, attempt, follower.abandon)


async def _parsed(awaitable: Any, follower: Follower) -> Any:
    with OnError(follower.fail):
        item = await awaitable
    attempt(follower.chunk, item)
    return item


class Closing(wrapt.ObjectProxy):  # type: ignore[misc, type-arg, unused-ignore]
    """An HTTP response that tells when it is closed."""

    def __init__(self, raw: Any, closed: Callable[[], Any]) -> None:
        super().__init__(raw)
        self._self_closed = closed

    def close(self) -> Any:
        """Close it."""
        closed = self.__wrapped__.close()
        attempt(self._self_closed)
        return closed


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────


class Kept:
    """What was read of a body so far, and what its answer's headers told."""

    def __init__(self, told: Mapping[str, Any], follower: Follower) -> None:
        self._told, self._follower = told, follower
        self._over = False
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Keep a piece, as long as they are not too many."""
        self._size += len(piece)
        if self._size > MOST:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def end(self) -> None:
        """The body is read to its end, closed or dropped; the first of these counts."""
        if not self._over:
            self._over = True
            self._follower.end({**self._told, "body": b"".join(self._pieces)})

    def fail(self, error: BaseException) -> None:
        """It cannot be read."""
        self._over = True
        self._follower.fail(error)


class Reading(Closing):
    """The HTTP response under a body; what its owner reads of it is kept."""

    def __init__(self, raw: Any, kept: Kept) -> None:
        super().__init__(raw, kept.end)
        self._self_kept = kept

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Read it all, or a piece; nothing more is its end."""
        with OnError(self._self_kept.fail):
            piece = self.__wrapped__.read(amt, *args, **kwargs)
        attempt(self._took, piece, last=amt is None or amt < 0 or (not piece and amt > 0))
        return piece

    def readinto(self, into: Any) -> Any:
        """Read a piece into a buffer."""
        with OnError(self._self_kept.fail):
            size = self.__wrapped__.readinto(into)
        attempt(self._took, memoryview(into)[:size], last=not size and len(into) > 0)
        return size

    def readlines(self, *args: Any) -> Any:
        """Read all lines."""
        with OnError(self._self_kept.fail):
            lines = self.__wrapped__.readlines(*args)
        attempt(self._took, b"".join(lines), last=True)
        return lines

    def _took(self, piece: Any, *, last: bool) -> None:
        self._self_kept.add(bytes(piece))
        if last:
            self._self_kept.end()


def _follow_body(body: Any, told: Mapping[str, Any], follower: Follower) -> None:
    kept = Kept(told, follower)
    body._raw_stream = Reading(body._raw_stream, kept)  # noqa: SLF001 - all reading goes through it
    weakref.finalize(body, attempt, kept.end)


# ── streams whose class tells item by item ───────────────────────────────────────────────────────


class Items(Steps):
    """A stream that is followed by what it adds to its own list of chunks.

    What it hands to its caller may have the provider's numbers taken away, or an estimate put in.
    """

    def __init__(self, stream: Any, follower: Follower) -> None:
        super().__init__(follower)
        self._stream = weakref.ref(stream)
        self._told = 0
        self._busy = False

    def enter(self) -> None:
        """It makes the next item."""
        self._busy = True
        super().enter()

    def leave(self) -> None:
        """It hands it on, or is over."""
        self._busy = False
        super().leave()
        stream = self._stream()
        for chunk in () if stream is None else stream.chunks[self._told :]:
            self._told += 1
            self.chunk(chunk)

    def closed(self, _result: Any = None) -> None:
        """It was closed; while an item is under way its end tells more."""
        if not self._busy:
            self.close(None)


_followed: weakref.WeakKeyDictionary[Any, Items] = weakref.WeakKeyDictionary()


def follow_items(result: Any, follower: Follower) -> bool:
    """Follow a stream on whose class `relay` stands; whether it is one."""
    if not hasattr(type(result), "__anext__") or not hasattr(result, "chunks"):
        return False
    items = _followed[result] = Items(result, follower)
    weakref.finalize(result, attempt, follower.abandon)
    for name in ("close", "aclose"):
        method = getattr(type(result), name, None)
        if method is not None:
            _on_call(result, name, method, items.closed)
    return True


def _on_call(owner: Any, name: str, method: Any, after: Callable[[Any], Any]) -> None:
    """Have ``after`` called behind a method of one object, without keeping that object alive."""
    held = weakref.ref(owner)

    def call(*args: Any) -> Any:
        return method(held(), *args)

    setattr(owner, name, Followed(weakref.proxy(owner), name, call, nothing, after))


def _items_of(stream: Any) -> Items | None:
    """Return a stream's items where it is followed; one that nothing can refer to weakly fails."""
    return _followed.get(stream)


def relay(hook: Hook) -> Callable[..., Any]:
    """Return the wrapper of a class's ``__next__`` or ``__anext__``; streams not followed pass."""
    del hook

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        items = attempt(_items_of, instance)
        if items is None:
            return wrapped(*args, **kwargs)
        if inspect.iscoroutinefunction(wrapped):
            return _awaited(wrapped, items)
        with step(items):
            return wrapped(*args, **kwargs)

    return wrapper


async def _awaited(wrapped: Callable[[], Any], items: Items) -> Any:
    with step(items):
        return await wrapped()
