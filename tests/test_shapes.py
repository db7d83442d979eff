"""HTTP responses and context managers as SDKs get them, followed to their end whatever is done with them."""

from __future__ import annotations

import asyncio
import gc
import pickle
from contextlib import asynccontextmanager, contextmanager, nullcontext

import pytest

from tokentrace import _shapes
from tokentrace._shapes import text
from tokentrace.testing import Reply, Wire, wire

EVENTS = Reply(events=[("", {"n": 1}), ("", {"n": 2})], done=True)
REFUSED = Reply({"message": "no"}, status=400)


class Heard:
    """A follower that keeps what it heard, until the call's end."""

    def __init__(self):
        self.told, self.pieces = [], []

    def enter(self):
        self.told.append("enter")

    def leave(self):
        self.told.append("leave")

    def chunk(self, item):
        self.pieces.append(item)

    def end(self, value=None):
        self.told.append(("end", getattr(value, "status_code", None)))

    def fail(self, error):
        self.told.append(("fail", type(error).__name__))

    def abandon(self):
        self.told.append("abandon")

    @property
    def over(self):
        """The first thing that ended the call."""
        return next((one for one in self.told if one not in ("enter", "leave")), None)


def opened(reply, heard, *, asynchronous=False):
    """Return a response whose body is unread, followed."""
    client = Wire(reply).client("cohere", asynchronous=asynchronous)
    request = client.build_request("POST", "http://wire.test/")
    if asynchronous:
        return client, request
    return _shapes.deliver(client.send(request, stream=True), heard)


READINGS = {
    "bytes": lambda response: b"".join(response.iter_bytes()),
    "text": lambda response: "".join(response.iter_text()),
    "lines": lambda response: list(response.iter_lines()),
    "read": lambda response: response.read(),
}


@pytest.mark.parametrize("way", READINGS)
def test_a_body_is_heard_however_it_is_read(way):
    """All ways of reading lead through one place, and give what they would give."""
    pytest.importorskip("cohere")
    heard = Heard()
    read = READINGS[way]
    assert read(opened(EVENTS, heard)) == read(opened(EVENTS, Heard()))
    assert b"".join(heard.pieces) == b"".join(EVENTS.chunks())
    assert heard.over == ("end", None)


def test_a_body_is_heard_in_the_other_colour():
    """The same, awaited."""
    pytest.importorskip("cohere")
    heard = Heard()

    async def run():
        client, request = opened(EVENTS, heard, asynchronous=True)
        async with client:
            response = _shapes.deliver(await client.send(request, stream=True), heard)
            return [line async for line in response.aiter_lines()]

    assert len(asyncio.run(run())) == 6
    assert b"".join(heard.pieces) == b"".join(EVENTS.chunks())
    assert heard.over == ("end", None)


def reads_half(response):
    next(response.iter_bytes())
    response.close()


def closes(response):
    response.close()


def reads_raw(response):
    list(response.iter_raw())


def drops(response):
    del response


@pytest.mark.parametrize("act", [reads_half, closes, reads_raw, drops])
@pytest.mark.parametrize(
    ("reply", "over"), [(EVENTS, "abandon"), (REFUSED, ("end", 400))], ids=["stream", "error"]
)
def test_a_body_that_is_not_read_to_its_end(act, reply, over):
    """The call ends all the same, and an error is one though nobody has read it."""
    pytest.importorskip("cohere")
    heard = Heard()
    act(opened(reply, heard))
    gc.collect()
    assert heard.over == over


def test_a_body_that_breaks_off():
    """The caller gets the error, and the call ends with it."""
    pytest.importorskip("cohere")
    heard = Heard()
    response = opened(Reply(events=EVENTS.events, breaks_after=1), heard)
    with pytest.raises(wire.http_library("cohere").ReadError):
        response.read()
    assert heard.over == ("fail", "ReadError")


def test_a_followed_response_can_be_pickled():
    """As it could before."""
    pytest.importorskip("cohere")
    response = opened(EVENTS, Heard())
    content = response.read()
    assert pickle.loads(pickle.dumps(response)).content == content


# ── context managers ─────────────────────────────────────────────────────────────────────────────


@contextmanager
def gives(value):
    if isinstance(value, Exception):
        raise value
    yield value


@asynccontextmanager
async def gives_later(value):
    if isinstance(value, Exception):
        raise value
    yield value


def test_what_a_manager_gives_is_followed():
    """The caller gets the very object; the call ends as that object does."""
    pytest.importorskip("cohere")
    heard, manager = Heard(), gives(opened(REFUSED, Heard()))
    with _shapes.deliver(manager, heard) as response:
        response.read()
    assert heard.over == ("end", 400)
    assert heard.told[:2] == ["enter", "leave"]


def test_the_callers_own_error_in_a_manager_is_none_of_the_calls():
    """It passes through, and the call is let go."""
    pytest.importorskip("cohere")
    heard = Heard()
    with pytest.raises(LookupError), _shapes.deliver(gives(opened(EVENTS, Heard())), heard):
        raise LookupError
    assert heard.over == "abandon"


@pytest.mark.parametrize("make", [gives, gives_later])
def test_a_manager_that_does_not_open(make):
    """Its error is the call's."""
    heard = Heard()

    async def run():
        manager = _shapes.deliver(make(ValueError("no")), heard)
        if make is gives:
            with manager:
                return
        async with manager:
            return

    with pytest.raises(ValueError, match="no"):
        asyncio.run(run())
    assert heard.over == ("fail", "ValueError")


@pytest.mark.parametrize("make", [gives, gives_later])
def test_a_manager_that_is_never_entered(make):
    """Nothing was sent; the call is let go."""
    heard = Heard()
    _shapes.deliver(make(1), heard)
    gc.collect()
    assert heard.over == "abandon"


def test_other_managers_are_values():
    """A manager without a generator is handed on, and that is all."""
    heard, manager = Heard(), nullcontext(1)
    assert _shapes.deliver(manager, heard) is manager
    assert heard.over == ("end", None)


def test_what_only_python_writes_as_json_is_read():
    """Half an emoji and NaN are no JSON, and yet what SDKs send and get; half a line is nothing."""
    assert text.decoded(b'{"a": "\\ud83d", "n": 1}') == {"a": "\ud83d", "n": 1}
    assert text.decoded('{"a": "\ud83d"}') == {"a": "\ud83d"}
    assert str(text.decoded(b'{"a": NaN}')) == "{'a': nan}"
    assert [text.decoded(piece) for piece in (b'{"a": 1', b'{"a": {}', b"", b"{a}")] == [None] * 4
