"""Answers that no documentation shows: fields missing, null or of any other type; errors; rubbish."""

from __future__ import annotations

import copy
import json

import pytest

from hostile.cases import (
    COLOURS,
    SDKS,
    SECRET,
    check_case,
    creating,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from instrument.forms import items, maybe
from tokentrace.testing import Reply

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MISSING = object()
JUNK = {
    "missing": MISSING,
    "null": None,
    "list": [],
    "dict": {},
    "text": "odd",
    "negative": -1,
    "huge": 2**70,
    "float": 1.5,
    "surrogate": "\ud800\x00\x1b",
    "nulls": [None],
    "deep": [[[[{"a": [None]}]]]],
    "true": True,
}
FIELDS = {
    "openai": [
        ("id",), ("model",), ("choices",), ("usage",), ("created",),
        ("choices", 0), ("choices", 0, "message"), ("choices", 0, "finish_reason"),
        ("choices", 0, "message", "content"), ("choices", 0, "message", "tool_calls"),
        ("usage", "prompt_tokens"), ("usage", "completion_tokens"), ("usage", "prompt_tokens_details"),
        ("usage", "completion_tokens_details", "reasoning_tokens"),
    ],
    "anthropic": [
        ("id",), ("model",), ("content",), ("usage",), ("stop_reason",), ("type",),
        ("content", 0), ("content", 0, "text"), ("usage", "input_tokens"), ("usage", "output_tokens"),
        ("usage", "cache_read_input_tokens"), ("usage", "cache_creation"), ("usage", "server_tool_use"),
    ],
}  # fmt: skip
ROWS = [(sdk, path) for sdk, paths in FIELDS.items() for path in paths]


def put(body, path, value):
    """Return ``body`` with another value at a path."""
    body = copy.deepcopy(body)
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    if value is not MISSING:
        inner[path[-1]] = value
    elif isinstance(inner, dict):
        inner.pop(path[-1], None)
    else:
        del inner[path[-1]]
    return body


def name(row):
    return f"{row[0]}-{'.'.join(map(str, row[1]))}"


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("row", ROWS, ids=name)
def test_any_field_may_be_anything(row, junk):
    """RE1: a field of a response that is missing, null or odd changes nothing for the host."""
    sdk, path = row
    reply = Reply(put(plain_reply(sdk).body, path, JUNK[junk]))
    colour = "async" if len(junk) % 2 else "sync"
    seen = check_case(creating(request), shop(sdk, colour), reply)
    if path[0] == "usage":
        assert seen.call.usage.input is None or seen.call.usage.input >= 0
    else:
        assert seen.call.usage.input == (13 if seen.bare.error is None else None)
    assert seen.call.error_type.endswith(seen.bare.error[0] if seen.bare.error else "")


BODIES = {
    "empty": b"",
    "white space": b"  \n",
    "html": b"<html><body>504 SECRET</body></html>",
    "truncated": b'{"id": "x", "choices": [{"mess',
    "list": b"[]",
    "null": b"null",
    "number": b"5",
    "text": b'"SECRET"',
    "not utf-8": b"\xff\xfe{}",
    "nan": b'{"id": NaN, "usage": {"prompt_tokens": Infinity}}',
    "error body": b'{"error": {"message": "SECRET quota", "type": "insufficient_quota"}}',
    "deep": b"[" * 3_000 + b"]" * 3_000,
    "duplicate keys": b'{"usage": 1, "usage": {"prompt_tokens": 2, "input_tokens": 2}}',
}


JSON, TEXT = "application/json", "text/plain"


@pytest.mark.parametrize(
    ("form", "kind"),
    [("plain", JSON), ("plain", TEXT), ("raw", JSON), ("raw", ""), ("stream", JSON)],
)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("sdk", SDKS)
def test_any_body(sdk, body, kind, form):
    """RE2, RE4: a 200 with an error body, no JSON, or nothing at all is the SDK's own business."""

    async def case(where):
        resource, kwargs = where.resource(), request(sdk)
        if form == "raw":
            response = await maybe(resource.with_raw_response.create(**kwargs))
            return response.status_code, await maybe(response.parse())
        if form == "stream":
            return await items(await maybe(resource.create(stream=True, **kwargs)))
        return await maybe(resource.create(**kwargs))

    reply = Reply(BODIES[body], headers={"content-type": kind})
    colour = "sync" if len(body + kind) % 2 else "async"
    check_case(case, shop(sdk, colour), reply)


STATUSES = [204, 301, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 529]


@pytest.mark.parametrize("body", ["echo", "empty", "list"])
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("sdk", SDKS)
def test_any_status(sdk, status, body):
    """An error keeps type and text; of it only the type is told, though it may echo key and prompt."""
    echo = {
        "error": {"message": f"Incorrect API key sk-{SECRET}: {SECRET}", "type": SECRET, "code": 1}
    }
    reply = Reply({"echo": echo, "empty": b"", "list": [SECRET]}[body], status=status)
    seen = check_case(creating(request), shop(sdk, "async" if status % 2 else "sync"), reply)
    if seen.bare.error is not None:
        assert seen.call.error_type.endswith(seen.bare.error[0])


def test_no_reported_usage_is_no_drift():
    """RE2: an error body with status 200 has neither usage nor an error on its span."""
    seen = check_case(
        creating(request), shop("openai", "sync"), Reply({"error": {"message": "no"}})
    )
    assert (seen.call.usage.input, seen.call.error_type) == (None, "")
    assert seen.call.drift is None


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


def replaced(sdk, place, event):
    """Return a stream in which one event is another."""
    events = list(stream_reply(sdk).events)
    name, _ = events[place]
    events[place] = event if isinstance(event, tuple) else (name, event)
    return Reply(events=events, done=sdk == "openai")


def chunk(**changes):
    base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**base, "choices": [{"index": 0, "delta": {}}], **changes}


def delta(**changes):
    return chunk(choices=[{"index": 0, "delta": changes, "finish_reason": None}])


CALLS = [{"index": 3, "id": None, "function": None}, {"index": None}, None]
CHUNKS = {
    "openai": {
        "choices null": chunk(choices=None),
        "choices empty": chunk(choices=[]),
        "choices missing": {"id": "x"},
        "choice null": chunk(choices=[None]),
        "choices text": chunk(choices="x"),
        "index null": chunk(choices=[{"index": None, "delta": {"content": "x"}}]),
        "delta null": chunk(choices=[{"index": 0, "delta": None}]),
        "delta missing": chunk(choices=[{"index": 0}]),
        "sparse tool calls": delta(tool_calls=CALLS),
        "tool calls null": delta(tool_calls=None, function_call={"name": None, "arguments": None}),
        "content list": delta(content=[{"type": "text", "text": SECRET}]),
        "finish odd": chunk(choices=[{"index": 0, "delta": {}, "finish_reason": {"a": SECRET}}]),
        "usage null": chunk(usage=None),
        "usage text": chunk(usage=SECRET),
        "usage odd": chunk(usage={"prompt_tokens": None, "completion_tokens": "5"}),
        "usage huge": chunk(usage={"prompt_tokens": 2**70, "completion_tokens": -4}),
        "id surrogate": chunk(id="\ud800", model="\udfff"),
        "list": [],
        "text": SECRET,
        "number": 5,
        "null": None,
        "empty": {},
        "error event": {"error": {"message": SECRET, "code": 1}},
        "error null": {"error": None},
        "unknown event name": ("thread.odd", {"x": SECRET}),
        "error event name": ("error", {"error": {"message": SECRET}}),
    },
    "anthropic": {
        "ping": ("ping", {"type": "ping"}),
        "error event": (
            "error",
            {"type": "error", "error": {"type": "overloaded_error", "message": SECRET}},
        ),
        "unknown type": ("message_delta", {"type": "unheard_of", "x": SECRET}),
        "unknown event name": ("unheard_of", {"type": "unheard_of"}),
        "delta null": (
            "content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": None},
        ),
        "index null": (
            "content_block_delta",
            {"type": "content_block_delta", "index": None, "delta": {}},
        ),
        "usage null": ("message_delta", {"type": "message_delta", "delta": {}, "usage": None}),
        "usage odd": (
            "message_delta",
            {"type": "message_delta", "delta": None, "usage": {"output_tokens": "x"}},
        ),
        "message null": ("message_start", {"type": "message_start", "message": None}),
        "message odd": (
            "message_start",
            {"type": "message_start", "message": {"usage": [1], "model": "\ud800"}},
        ),
        "block null": (
            "content_block_start",
            {"type": "content_block_start", "index": 0, "content_block": None},
        ),
        "list": [],
        "text": SECRET,
        "null": None,
        "empty": {},
    },
}
ROWS_OF_CHUNKS = [(sdk, kind) for sdk, kinds in CHUNKS.items() for kind in kinds]


@pytest.mark.parametrize("place", [0, -2])
@pytest.mark.parametrize("row", ROWS_OF_CHUNKS, ids="-".join)
def test_any_chunk(row, place):
    """RE3: an odd chunk at the beginning, in the middle or at the end is the SDK's own business."""
    sdk, kind = row
    reply = replaced(sdk, place, CHUNKS[sdk][kind])
    colour = "sync" if (len(kind) + place) % 2 else "async"
    check_case(creating(lambda k: request(k, stream=True)), shop(sdk, colour), reply)


@pytest.mark.parametrize("row", ROWS_OF_CHUNKS, ids="-".join)
def test_any_chunk_of_a_manager(row):
    """RE3: the same inside the SDK's own stream helper, which accumulates and may fail."""
    sdk, kind = row

    async def case(where):
        manager = where.resource().stream(**request(sdk))
        if hasattr(manager, "__aenter__"):
            async with manager as events:
                return [type(event).__name__ async for event in events]
        with manager as events:
            return [type(event).__name__ for event in events]

    check_case(
        case, shop(sdk, "sync" if len(kind) % 2 else "async"), replaced(sdk, 1, CHUNKS[sdk][kind])
    )


class Lines(Reply):
    """A stream of lines as they are."""

    def chunks(self):
        yield from self.body


CHOPPED = json.dumps(delta(content=SECRET)).encode()
STREAMS = {
    "malformed JSON": [b"data: {oops\n\n"],
    "malformed after a chunk": [b"data: " + CHOPPED + b"\n\n", b"data: {oops\n\n"],
    "no end": [b"data: " + CHOPPED],
    "only done": [b"data: [DONE]\n\n"],
    "done twice": [b"data: [DONE]\n\ndata: [DONE]\n\n"],
    "comments": [b": keep-alive\n\n" * 5, b"data: [DONE]\n\n"],
    "cut inside": [b"da", b"ta: " + CHOPPED[:10], CHOPPED[10:] + b"\n", b"\n"],
    "not utf-8": [b"data: \xff\xfe\n\n"],
    "nothing": [],
    "empty lines": [b"\n\n\n\n"],
    "html": [b"<html>502</html>"],
}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("lines", STREAMS)
@pytest.mark.parametrize("sdk", SDKS)
def test_any_event_stream(sdk, lines, colour):
    """RE4: what is no event stream fails, or ends, as without us."""
    reply = Lines(STREAMS[lines], headers={"content-type": "text/event-stream"})
    seen = check_case(creating(lambda k: request(k, stream=True)), shop(sdk, colour), reply)
    assert bool(seen.call.error_type) == (seen.bare.error is not None)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("sdk", SDKS)
def test_a_connection_that_drops(sdk, after, colour):
    """RE4: the drop keeps its type; the span has the error and what was known until then."""
    reply = stream_reply(sdk, breaks_after=after)
    seen = check_case(creating(lambda k: request(k, stream=True)), shop(sdk, colour), reply)
    assert seen.bare.error is not None
    assert seen.call.error_type.endswith(seen.bare.error[0])
    assert seen.call.usage.input == (13 if sdk == "anthropic" and after else None)
