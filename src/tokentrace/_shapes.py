"""What a call gave back, and how to follow it to its end: a value, an awaitable, a stream, a raw response.

This is the only file that knows colours. It asks the result what it is, never the function that
made it. The host gets the very object that its SDK made; a stream's iterator and a raw response's
methods are followed in place, so that types, headers and helpers stay as they are.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from tokentrace import _deliver
from tokentrace._failsafe import OnError, Stretch, attempt


class Follower(Protocol):
    """Who wants to know. Every method may be called late, twice, or from another thread."""

    def enter(self) -> None:
        """The host's own code begins to run."""

    def leave(self) -> None:
        """It is over, or it has handed back a stream."""

    def chunk(self, item: Any) -> None:
        """A stream gave an item to the host."""

    def end(self, value: Any = None) -> None:
        """The call is over; ``value`` is the response where it is known."""

    def fail(self, error: BaseException) -> None:
        """The call ended with an error."""

    def abandon(self) -> None:
        """The host dropped the call before its end."""


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
    # The class is asked: an SDK's response model answers for an instance slowly.
    kind = type(result)
    if hasattr(kind, "__stream__"):
        _follow_stream(result, follower)
    elif hasattr(kind, "http_request") and hasattr(kind, "parse"):
        _follow_raw(result, follower)
    else:
        follower.end(result)


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


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


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


def _follow_stream(stream: Any, follower: Follower) -> None:
    if isinstance(stream._iterator, Chunks):  # noqa: SLF001 - the place where SDK streams keep it
        return
    chunks = Chunks(stream._iterator, follower)  # noqa: SLF001
    stream._iterator = chunks  # noqa: SLF001
    weakref.finalize(chunks, attempt, follower.abandon)
    closed = weakref.WeakMethod(chunks.closed)
    _on_close(stream.response, lambda: (closed() or follower.abandon)())  # noqa: PLW0108 - late


# ── raw responses ────────────────────────────────────────────────────────────────────────────────


def _follow_raw(raw: Any, follower: Follower) -> None:
    """Follow a raw response: its body where it was read, else whatever the host does with it."""
    http = raw.http_response
    if http.is_closed:
        follower.end(_body(http))
        return
    reading = Reading(http, follower)
    for name in ("read", "aread"):
        _around(http, name, reading.begin, reading.done)
    _around(raw, "parse", reading.begin, reading.parsed)
    _on_close(http, reading.closed)
    weakref.finalize(raw, attempt, reading.dropped)


class Reading:
    """A raw response on the way from its headers to its body."""

    def __init__(self, http: Any, follower: Follower) -> None:
        self._http = weakref.ref(http)
        self._follower = follower
        self._depth = 0
        self._handed_over = False

    def begin(self) -> None:
        """The host began to read or to parse."""
        self._depth += 1

    def done(self, _result: Any = None) -> None:
        """It is done; a body that was read says what the provider reported."""
        self._depth -= 1
        http = self._http()
        if http is not None and http.is_closed and not self._depth:
            self._follower.end(_body(http))

    def parsed(self, result: Any) -> None:
        """It is parsed: into a stream that goes on, or into a value."""
        if hasattr(type(result), "__stream__"):
            self._depth -= 1
            self._handed_over = True
            _follow_stream(result, self._follower)
        else:
            self.done()

    def closed(self) -> None:
        """The response was closed, by the host or at the end of its body."""
        http = self._http()
        if self._depth or self._handed_over or http is None:
            return
        body = _body(http)
        if body is None:
            self._follower.abandon()
        else:
            self._follower.end(body)

    def dropped(self) -> None:
        """The host dropped the raw response; a stream made of it goes on."""
        if not self._handed_over:
            self._follower.abandon()


def _body(http: Any) -> Any:
    """Return the JSON of a response that was read, or None."""
    content = getattr(http, "_content", None)
    if not isinstance(content, bytes) or content.lstrip()[:1] != b"{":
        return None
    import msgspec

    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None


# ── methods followed in place ────────────────────────────────────────────────────────────────────


def _on_close(http: Any, closed: Callable[[], Any]) -> None:
    for name in ("close", "aclose"):
        _around(http, name, _nothing, lambda _: closed())


def _nothing() -> None:
    """Do nothing before."""


def _around(owner: Any, name: str, before: Callable[[], Any], after: Callable[[Any], Any]) -> None:
    """Have ``after(result)`` called when a method of this one object is done."""
    method = getattr(owner, name, None)
    if method is not None:
        setattr(owner, name, Followed(owner, name, method, before, after))


class Followed:
    """A method of one object, followed. A copy of that object, pickled or not, has its own again."""

    def __init__(
        self,
        owner: Any,
        name: str,
        method: Callable[..., Any],
        before: Callable[[], Any],
        after: Callable[[Any], Any],
    ) -> None:
        self._owner, self._name, self._method = owner, name, method
        self._before, self._after = before, after

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        attempt(self._before)
        with OnError(lambda _error: self._after(None)):
            result = self._method(*args, **kwargs)
        if inspect.iscoroutine(result):
            return _then(result, self._after)
        attempt(self._after, result)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._owner, self._name)


async def _then(awaitable: Any, after: Callable[[Any], Any]) -> Any:
    with OnError(lambda _error: after(None)):
        result = await awaitable
    attempt(after, result)
    return result
