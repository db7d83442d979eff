"""Every way to chat with huggingface_hub's inference clients."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager, contextmanager

import huggingface_hub
from huggingface_hub import AsyncInferenceClient, InferenceClient

from instrument.loopback import events, whole
from instrument.sdks.table import TEXT, Form, Row, usual

MODEL = "openai/gpt-oss-20b"
HEAD = {"id": "chatcmpl-1", "created": 1_780_000_000, "model": MODEL, "system_fingerprint": ""}
USAGE = {"prompt_tokens": 31, "completion_tokens": 2, "total_tokens": 33}


def piece(text, **more):
    """Return one chunk of a stream."""
    delta = {"role": "assistant", "content": text}
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}


SAID = {"role": "assistant", "content": "Because."}
PLAIN = whole(
    {**HEAD, "choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}], "usage": USAGE}
)
LAST = {**HEAD, "choices": [], "usage": USAGE}
STREAM = events(piece("Be"), piece("cause"), LAST)
BROKEN = events(piece("Be"), piece("cause"), done=False, breaks=True)
ODD = events(piece("Be"), {"error": "too long", "error_type": "validation"})
REFUSED = whole({"error": "no such model"}, status=404)


@contextmanager
def opened(url):
    """Return a client that is closed at the end."""
    client = InferenceClient(base_url=url, api_key="t")
    try:
        yield client
    finally:
        if hasattr(client, "exit_stack"):
            client.exit_stack.close()
        if hasattr(huggingface_hub, "close_session"):
            huggingface_hub.close_session()


@asynccontextmanager
async def opened_async(url):
    async with AsyncInferenceClient(base_url=url, api_key="t") as client:
        yield client


def plain(url, request):
    with opened(url) as client:
        return client.chat_completion(**request)


def like_openai(url, request):
    with opened(url) as client:
        return client.chat.completions.create(**request)


async def awaited(url, request):
    async with opened_async(url) as client:
        return await client.chat_completion(**request)


def stream(url, request):
    with opened(url) as client:
        return list(client.chat_completion(**request, stream=True))


async def stream_async(url, request):
    async with opened_async(url) as client:
        return [item async for item in await client.chat_completion(**request, stream=True)]


def early_exit(url, request):
    with opened(url) as client:
        chunks = client.chat_completion(**request, stream=True)
        item = next(chunks)
        chunks.close()
        return item


async def early_exit_async(url, request):
    async with opened_async(url) as client:
        chunks = await client.chat_completion(**request, stream=True)
        item = await anext(chunks)
        await chunks.aclose()
        return item


def dropped(url, request):
    with opened(url) as client:
        chunks = client.chat_completion(**request, stream=True)
        item = next(chunks)
        del chunks
        gc.collect()
        return item


CHAT = Row(
    name="huggingface_hub",
    sdk="huggingface_hub",
    api="openai.chat",
    provider="local",
    model=MODEL,
    request={"model": MODEL, "messages": [{"role": "user", "content": TEXT}]},
    forms={
        **usual(
            plain,
            awaited,
            stream,
            stream_async,
            early_exit,
            early_exit_async,
            dropped,
            plain=PLAIN,
            stream=STREAM,
            refused=REFUSED,
            broken=BROKEN,
            odd=ODD,
        ),
        "like openai": Form(like_openai, PLAIN, 31),
    },
)
ROWS = (CHAT,)
