"""Every way to call Bedrock with boto3."""

from __future__ import annotations

import base64
import gc
import io
import json
import struct
import sys
from dataclasses import replace
from functools import cache
from zlib import crc32

import botocore.session
from botocore.config import Config

from instrument.loopback import Answer, whole
from instrument.sdks.table import TEXT, Form, Row

MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "amazon.nova-lite-v1:0"


# ── what the service answers ─────────────────────────────────────────────────────────────────────


def frame(payload, **headers):
    """Return one message of AWS's event stream encoding, its headers all text."""
    head = b"".join(
        bytes([len(name) + 1])
        + f":{name}".encode()
        + b"\x07"
        + struct.pack("!H", len(value))
        + value.encode()
        for name, value in ((name.replace("_", "-"), value) for name, value in headers.items())
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(head) + len(body), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + body
    return message + struct.pack("!I", crc32(message))


def event(kind, payload):
    """Return an event."""
    return frame(payload, event_type=kind, content_type="application/json", message_type="event")


def thrown(kind, message):
    """Return an exception in the midst of a stream."""
    return frame(
        {"message": message},
        exception_type=kind,
        content_type="application/json",
        message_type="exception",
    )


def stream_of(*frames, **more):
    """Return an answer that is an event stream."""
    return Answer(frames, "application/vnd.amazon.eventstream", **more)


def chunk(body):
    """Return an event of an invoked model's stream: its maker's own event inside."""
    text = base64.b64encode(json.dumps(body).encode()).decode()
    return event("chunk", {"bytes": text})


USAGE = {"inputTokens": 21, "outputTokens": 4, "totalTokens": 35, "cacheReadInputTokens": 10}
SAID = {"role": "assistant", "content": [{"text": "Because."}]}
CONVERSED = whole(
    {
        "output": {"message": SAID},
        "stopReason": "end_turn",
        "usage": USAGE,
        "metrics": {"latencyMs": 3},
    }
)
DELTAS = (
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"delta": {"text": "Be"}, "contentBlockIndex": 0}),
    event("contentBlockDelta", {"delta": {"text": "cause"}, "contentBlockIndex": 0}),
)
STREAM = stream_of(
    *DELTAS,
    event("messageStop", {"stopReason": "end_turn"}),
    event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 3}}),
)
THROTTLED = thrown("throttlingException", "slow down")
DENIED = whole({"message": "no"}, status=403, headers={"x-amzn-errortype": "AccessDeniedException"})

CLAUDE_USAGE = {"input_tokens": 21, "output_tokens": 4, "cache_read_input_tokens": 10}
CLAUDE_SAID = {"id": "msg_1", "type": "message", "role": "assistant", "stop_reason": "end_turn",
               "content": [{"type": "text", "text": "Because."}], "usage": CLAUDE_USAGE}  # fmt: skip
HEADERS = {"x-amzn-bedrock-input-token-count": "21", "x-amzn-bedrock-output-token-count": "4"}
INVOKED = whole(CLAUDE_SAID, headers=HEADERS)
NOVA_SAID = whole({"output": {"message": SAID}, "stopReason": "end_turn", "usage": USAGE})
START = {"type": "message_start", "message": {**CLAUDE_SAID, "content": []}}
PIECES = [
    START,
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Be"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
    {"type": "message_stop"},
]
INVOKED_STREAM = stream_of(*map(chunk, PIECES))


# ── the forms ────────────────────────────────────────────────────────────────────────────────────


@cache
def client(url, service="bedrock-runtime"):
    """Return a client of a service; making one is slow."""
    config = Config(retries={"max_attempts": 0}, proxies={})
    session = botocore.session.Session()
    session.set_credentials("a", "b")
    return session.create_client(service, "us-east-1", endpoint_url=url, config=config)


def without_times(answer):
    """Return what an answer holds, without what differs from one run to the next."""
    told = dict(answer)
    told["ResponseMetadata"] = told["ResponseMetadata"]["HTTPStatusCode"]
    return told


def converse(url, request):
    return without_times(client(url).converse(**request))


def streamed(name, held):
    """Return the forms of a streamed operation, whose events lie under ``held``."""

    def stream(url, request):
        opened = getattr(client(url), name)(**request)[held]
        return type(opened).__name__, list(opened)

    def early_exit(url, request):
        opened = getattr(client(url), name)(**request)[held]
        item = next(iter(opened))
        opened.close()
        return item

    def dropped(url, request):
        opened = getattr(client(url), name)(**request)[held]
        item = next(iter(opened))
        del opened
        gc.collect()
        return item

    def unread(url, request):
        answer = getattr(client(url), name)(**request)
        told = without_times(answer)
        del told[held], answer
        gc.collect()
        return told

    return stream, early_exit, dropped, unread


def body_of(request):
    """Return the arguments of InvokeModel with the body as bytes."""
    return {**request, "body": json.dumps(request["body"]).encode()}


def invoked(url, request):
    return client(url).invoke_model(**request)


def invoke(url, request):
    body = invoked(url, body_of(request))["body"]
    return type(body).__name__, json.loads(body.read())


def invoke_text(url, request):
    given = {**request, "body": json.dumps(request["body"])}
    return json.load(invoked(url, given)["body"])


def invoke_file(url, request):
    file = io.BytesIO(b"> " + json.dumps(request["body"]).encode())
    file.seek(2)
    return json.load(invoked(url, {**request, "body": file})["body"]), file.closed


def invoke_pieces(url, request):
    return list(invoked(url, body_of(request))["body"].iter_chunks(16))


def invoke_lines(url, request):
    return invoked(url, body_of(request))["body"].readlines()


def invoke_with(url, request):
    with invoked(url, body_of(request))["body"] as raw:
        return raw.read(), raw.status


def invoke_into(url, request):
    body, into = invoked(url, body_of(request))["body"], bytearray(4096)
    size = body.readinto(into)
    return bytes(into[:size]), body.readinto(into)


def invoke_closed(url, request):
    body = invoked(url, body_of(request))["body"]
    piece = body.read(8)
    body.close()
    return piece


def invoke_unread(url, request):
    return invoked(url, body_of(request))["contentType"]


def with_bytes(form):
    """Return a form that is given the body as bytes."""
    return lambda url, request: form(url, body_of(request))


stream, early_exit, dropped, unread = streamed("converse_stream", "stream")
invoked_stream, invoked_exit, invoked_drop, _ = map(
    with_bytes, streamed("invoke_model_with_response_stream", "body")
)

CONVERSE = Row(
    name="bedrock.converse",
    sdk="boto3",
    api="bedrock.converse",
    provider="aws.bedrock",
    model=MODEL,
    request={"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": TEXT}]}]},
    forms={
        "plain": Form(converse, CONVERSED, 31),
        "stream": Form(stream, STREAM, 31),
        "early exit": Form(early_exit, STREAM, None),
        "dropped": Form(dropped, STREAM, None),
        "dropped unread": Form(unread, STREAM, None),
        "refused": Form(converse, DENIED, None, fails=True),
        "stream refused": Form(stream, DENIED, None, fails=True),
        "broken stream": Form(stream, stream_of(*DELTAS, breaks=True), None, fails=True),
        "error in a stream": Form(stream, stream_of(*DELTAS, THROTTLED), None, fails=True),
    },
)
CLAUDE = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": TEXT}],
}
# CPython 3.13.0 at times keeps what the absence of an environment variable raised inside botocore, and
# with it the frames of the call and its answer: nobody has let go of that yet.
LET_GO = (
    {} if sys.version_info[:3] == (3, 13, 0) else {"not read": Form(invoke_unread, INVOKED, 21)}
)
INVOKE = replace(
    CONVERSE,
    name="bedrock.invoke",
    api="bedrock.invoke",
    request={"modelId": MODEL, "body": CLAUDE},
    forms={
        "plain": Form(invoke, INVOKED, 31),
        "body as text": Form(invoke_text, INVOKED, 31),
        "body as file": Form(invoke_file, INVOKED, 31),
        "read in pieces": Form(invoke_pieces, INVOKED, 31),
        "read by lines": Form(invoke_lines, INVOKED, 31),
        "read into": Form(invoke_into, INVOKED, 31),
        "with": Form(invoke_with, INVOKED, 31),
        "closed half read": Form(invoke_closed, INVOKED, 21),
        **LET_GO,
        "stream": Form(invoked_stream, INVOKED_STREAM, 31),
        "early exit": Form(invoked_exit, INVOKED_STREAM, 31),
        "dropped": Form(invoked_drop, INVOKED_STREAM, 31),
        "refused": Form(invoke, DENIED, None, fails=True),
        "broken": Form(invoke, replace(INVOKED, breaks=True), None, fails=True),
    },
)
INVOKE_NOVA = replace(
    INVOKE,
    name="bedrock.invoke nova",
    model=NOVA,
    request={
        "modelId": NOVA,
        "body": {"inferenceConfig": {}, "messages": CONVERSE.request["messages"]},
    },
    forms={"plain": Form(invoke, NOVA_SAID, 31)},
)
ROWS = (CONVERSE, INVOKE, INVOKE_NOVA)
