"""Responses whose body may be unread: those of an SDK, and those of the HTTP library below it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from tokentrace._failsafe import attempt
from tokentrace._shapes import streams
from tokentrace._shapes.follower import Follower
from tokentrace._shapes.methods import Replaced, around, nothing, on_close
from tokentrace._shapes.streams import Chunks
from tokentrace._shapes.text import decoded

FIRST_ERROR = 400  # of HTTP's status codes
LONGEST_ERROR = 2**20

# ── raw responses ────────────────────────────────────────────────────────────────────────────────


def follow_raw(raw: Any, follower: Follower) -> None:
    """Follow a raw response: its body where it was read, else whatever the host does with it."""
    http = raw.http_response
    if http.is_closed:
        follower.end(_body(http))
        return
    reading = Reading(http, follower)
    for name in ("read", "aread"):
        around(http, name, reading.begin, reading.done)
    around(raw, "parse", reading.begin, reading.parsed)
    on_close(http, reading.closed)
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
            streams.follow(result, self._follower)
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
    return decoded(content) if isinstance(content, bytes) and content.lstrip()[:1] == b"{" else None


# ── HTTP responses ───────────────────────────────────────────────────────────────────────────────


def follow_http(http: Any, follower: Follower) -> None:
    """Follow a response of an HTTP library: its body where it was read, else as the SDK reads it."""
    if http.is_closed:
        follower.end(http)
        return
    body = Body(http.status_code, follower)
    for name in ("iter_bytes", "aiter_bytes"):
        setattr(http, name, Replaced(http, name, getattr(http, name), nothing, body.along))
    on_close(http, body.closed)
    weakref.finalize(http, attempt, body.abandon)


class Body:
    """The body of a response on its way; an error's is kept, to be told as a whole."""

    def __init__(self, status: int, follower: Follower) -> None:
        self.status_code = status
        self._content = b""
        self._follower = follower
        self._chunks: Callable[[], Chunks | None] = lambda: None

    def along(self, pieces: Any) -> Chunks:
        """Return what stands in for the pieces that somebody reads."""
        chunks = Chunks(pieces, self)
        self._chunks = weakref.ref(chunks)
        return chunks

    def enter(self) -> None:
        """Nothing runs here that is ours to know of."""

    def leave(self) -> None:
        """Nothing does."""

    def chunk(self, item: Any) -> None:
        """A piece was read."""
        if not self._is_error():
            self._follower.chunk(item)
        elif len(self._content) < LONGEST_ERROR:
            self._content += item

    def end(self, value: Any = None) -> None:
        """All was read."""
        del value
        self._follower.end(self if self._is_error() else None)

    def fail(self, error: BaseException) -> None:
        """It broke off."""
        self._follower.fail(error)

    def abandon(self) -> None:
        """The caller lets go; an error is one, read or not."""
        if self._is_error():
            self._follower.end(self)
        else:
            self._follower.abandon()

    def closed(self) -> None:
        """The response was closed."""
        chunks = self._chunks()
        if chunks is None:
            self.abandon()
        else:
            chunks.closed()

    def _is_error(self) -> bool:
        return self.status_code >= FIRST_ERROR
