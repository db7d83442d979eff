"""Every way to call ollama."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import ollama

from instrument.loopback import lines, whole
from instrument.sdks.table import TEXT, Form, Row, usual

MODEL = "llama3.2"
DONE = {"done": True, "done_reason": "stop", "prompt_eval_count": 31, "eval_count": 2}
HEAD = {"model": MODEL, "created_at": "2026-11-01T00:00:00Z", "done": False}


def said(text, **more):
    """Return an answer that either api understands."""
    return {**HEAD, "message": {"role": "assistant", "content": text}, "response": text, **more}


PLAIN = whole(said("Because.", **DONE))
STREAM = lines(said("Be"), said("cause"), said("", **DONE))
BROKEN = lines(said("Be"), said("cause"), breaks=True)
ODD = lines(said("Be"), {"error": "out of memory"})
REFUSED = whole({"error": "model not found"}, status=404)


@contextmanager
def opened(url):
    """Return a client that is closed at the end."""
    client = ollama.Client(host=url, verify=False)
    try:
        yield client
    finally:
        client._client.close()


@asynccontextmanager
async def opened_async(url):
    client = ollama.AsyncClient(host=url, verify=False)
    try:
        yield client
    finally:
        await client._client.aclose()


def forms(name):
    """Return the forms of a method."""

    def plain(url, request):
        with opened(url) as client:
            return getattr(client, name)(**request)

    async def awaited(url, request):
        async with opened_async(url) as client:
            return await getattr(client, name)(**request)

    def module_function(url, request):
        function = getattr(ollama, name)
        function.__self__._client.base_url = url
        return function(**request)

    def stream(url, request):
        with opened(url) as client:
            return list(getattr(client, name)(**request, stream=True))

    async def stream_async(url, request):
        async with opened_async(url) as client:
            return [item async for item in await getattr(client, name)(**request, stream=True)]

    def early_exit(url, request):
        with opened(url) as client:
            chunks = getattr(client, name)(**request, stream=True)
            item = next(chunks)
            chunks.close()
            return item

    async def early_exit_async(url, request):
        async with opened_async(url) as client:
            chunks = await getattr(client, name)(**request, stream=True)
            item = await anext(chunks)
            await chunks.aclose()
            return item

    def dropped(url, request):
        with opened(url) as client:
            chunks = getattr(client, name)(**request, stream=True)
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
            plain=PLAIN,
            stream=STREAM,
            refused=REFUSED,
            broken=BROKEN,
            odd=ODD,
        ),
        "module function": Form(module_function, PLAIN, 31),
    }


CHAT = Row(
    name="ollama.chat",
    sdk="ollama",
    api="ollama.chat",
    provider="ollama",
    model=MODEL,
    request={"model": MODEL, "messages": [{"role": "user", "content": TEXT}]},
    forms=forms("chat"),
)
GENERATE = replace(
    CHAT,
    name="ollama.generate",
    api="ollama.generate",
    request={"model": MODEL, "prompt": TEXT},
    forms=forms("generate"),
)
ROWS = (CHAT, GENERATE)
