"""Every way to call Cohere, in both versions of its API."""

from __future__ import annotations

import gc
import json
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import cohere
import httpx

from instrument.loopback import Answer, events, whole
from instrument.sdks.table import TEXT, Form, Row, usual

MODEL = "command-a-03-2025"
TOKENS = {"input_tokens": 31, "output_tokens": 2}
USAGE = {"billed_units": {"input_tokens": 7, "output_tokens": 2}, "tokens": TOKENS}

SAID = {"role": "assistant", "content": [{"type": "text", "text": "Because."}]}
PLAIN = whole({"id": "c1", "finish_reason": "COMPLETE", "message": SAID, "usage": USAGE})
PIECES = (
    {
        "type": "message-start",
        "id": "c1",
        "delta": {"message": {"role": "assistant", "content": []}},
    },
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Be"}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "cause"}}}},
)
END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": USAGE}}
STREAM = events(*PIECES, END)
BROKEN = events(*PIECES, done=False, breaks=True)
REFUSED = whole({"message": "no"}, status=400)

FIRST_PLAIN = whole({"text": "Because.", "generation_id": "g", "finish_reason": "COMPLETE",
                     "response_id": "r1", "meta": USAGE})  # fmt: skip
FIRST_PIECES = (
    {"event_type": "stream-start", "generation_id": "g", "is_finished": False},
    {"event_type": "text-generation", "text": "Be", "is_finished": False},
)
FIRST_END = {
    "event_type": "stream-end",
    "is_finished": True,
    "finish_reason": "COMPLETE",
    "response": json.loads(FIRST_PLAIN.pieces[0]),
}


def lined(*bodies, **more):
    """Return a stream of the first version: one JSON a line."""
    return Answer(
        tuple(json.dumps(body).encode() + b"\n" for body in bodies),
        "application/stream+json",
        **more,
    )


@contextmanager
def opened(url):
    """Return a client whose HTTP client is closed at the end."""
    with httpx.Client() as http:
        yield cohere.ClientV2("test", base_url=url, httpx_client=http)


@asynccontextmanager
async def opened_async(url):
    async with httpx.AsyncClient() as http:
        yield cohere.AsyncClientV2("test", base_url=url, httpx_client=http)


@contextmanager
def first(url):
    """Return a client of the first version."""
    with httpx.Client() as http:
        yield cohere.Client("test", base_url=url, httpx_client=http)


@asynccontextmanager
async def first_async(url):
    async with httpx.AsyncClient() as http:
        yield cohere.AsyncClient("test", base_url=url, httpx_client=http)


class LetGoError(Exception):
    """The caller's own."""


def let_go(chunks):
    raise LetGoError(type(next(iter(chunks))).__name__)


def forms(opened, opened_async, plain_answer, stream_answer, broken_answer):  # noqa: C901 - one a form
    """Return the forms of a version."""

    def plain(url, request):
        with opened(url) as client:
            return client.chat(**request)

    def raw(url, request):
        with opened(url) as client:
            return client.with_raw_response.chat(**request).data

    async def awaited(url, request):
        async with opened_async(url) as client:
            return await client.chat(**request)

    async def raw_async(url, request):
        async with opened_async(url) as client:
            return (await client.with_raw_response.chat(**request)).data

    def stream(url, request):
        with opened(url) as client:
            return list(client.chat_stream(**request))

    async def stream_async(url, request):
        async with opened_async(url) as client:
            return [item async for item in client.chat_stream(**request)]

    def raw_stream(url, request):
        with opened(url) as client, client.with_raw_response.chat_stream(**request) as raw:
            return list(raw.data)

    async def raw_stream_async(url, request):
        async with (
            opened_async(url) as client,
            client.with_raw_response.chat_stream(**request) as raw,
        ):
            return [item async for item in raw.data]

    def early_exit(url, request):
        with opened(url) as client:
            chunks = client.chat_stream(**request)
            item = next(chunks)
            chunks.close()
            return item

    async def early_exit_async(url, request):
        async with opened_async(url) as client:
            chunks = client.chat_stream(**request)
            item = await anext(chunks)
            await chunks.aclose()
            return item

    def early_exit_with_error(url, request):
        with opened(url) as client:
            try:
                with client.with_raw_response.chat_stream(**request) as raw:
                    let_go(raw.data)
            except LetGoError as error:
                return str(error)

    def dropped(url, request):
        with opened(url) as client:
            chunks = client.chat_stream(**request)
            item = next(chunks)
            del chunks
            gc.collect()
            return item

    return {
        **usual(
            plain,
            awaited,
            stream,
            stream_async,
            early_exit,
            early_exit_async,
            dropped,
            plain=plain_answer,
            stream=stream_answer,
            refused=REFUSED,
            broken=broken_answer,
        ),
        "raw": Form(raw, plain_answer, 31),
        "async raw": Form(raw_async, plain_answer, 31),
        "raw stream": Form(raw_stream, stream_answer, 31),
        "async raw stream": Form(raw_stream_async, stream_answer, 31),
        "early exit with error": Form(early_exit_with_error, stream_answer, None),
    }


SECOND = Row(
    name="cohere.chat",
    sdk="cohere",
    api="cohere.chat",
    provider="cohere",
    model=MODEL,
    request={"model": MODEL, "messages": [{"role": "user", "content": TEXT}]},
    forms=forms(opened, opened_async, PLAIN, STREAM, BROKEN),
)
FIRST = replace(
    SECOND,
    name="cohere.chat v1",
    request={"model": MODEL, "message": TEXT},
    forms=forms(
        first,
        first_async,
        FIRST_PLAIN,
        lined(*FIRST_PIECES, FIRST_END),
        lined(*FIRST_PIECES, breaks=True),
    ),
)
ROWS = (SECOND, FIRST)
