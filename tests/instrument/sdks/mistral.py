"""Every way to call Mistral."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

from instrument.loopback import events, whole
from instrument.sdks.table import TEXT, Form, Row, usual
from tokentrace.testing import http_library

# since its second version a package without code holds the SDK
PACKAGE = "mistralai" if find_spec("mistralai").origin else "mistralai.client"
Mistral = import_module(PACKAGE).Mistral
HTTP = http_library("mistralai")

MODEL = "mistral-small-latest"
USAGE = {"prompt_tokens": 31, "completion_tokens": 2, "total_tokens": 33}
HEAD = {"id": "c1", "created": 1_750_000_000, "model": MODEL}


def piece(text, **more):
    """Return one chunk of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice], **more}


SAID = {
    "index": 0,
    "message": {"role": "assistant", "content": "Because."},
    "finish_reason": "stop",
}
PLAIN = whole({**HEAD, "object": "chat.completion", "choices": [SAID], "usage": USAGE})
PIECES = (piece("Be"), piece("cause"))
STREAM = events(*PIECES, piece("", usage=USAGE))
BROKEN = events(*PIECES, done=False, breaks=True)
REFUSED = whole({"object": "error", "message": "no", "code": "3051"}, status=400)
INVALID = whole({"detail": []}, status=422)


@contextmanager
def opened(url):
    """Return a client whose HTTP client is closed at the end."""
    with HTTP.Client() as http:
        yield Mistral(api_key="test", server_url=url, client=http)


@asynccontextmanager
async def opened_async(url):
    async with HTTP.AsyncClient() as http:
        yield Mistral(api_key="test", server_url=url, async_client=http)


def forms(resource):
    """Return the forms of a resource."""

    def plain(url, request):
        with opened(url) as client:
            return getattr(client, resource).complete(**request)

    async def awaited(url, request):
        async with opened_async(url) as client:
            return await getattr(client, resource).complete_async(**request)

    def stream(url, request):
        with opened(url) as client:
            return list(getattr(client, resource).stream(**request))

    def stream_in_with(url, request):
        with opened(url) as client, getattr(client, resource).stream(**request) as chunks:
            return list(chunks)

    async def stream_async(url, request):
        async with opened_async(url) as client:
            return [item async for item in await getattr(client, resource).stream_async(**request)]

    def early_exit(url, request):
        with opened(url) as client:
            chunks = getattr(client, resource).stream(**request)
            item = next(iter(chunks))
            chunks.response.close()
            return item

    async def early_exit_async(url, request):
        async with opened_async(url) as client:
            chunks = await getattr(client, resource).stream_async(**request)
            item = await anext(aiter(chunks))
            await chunks.response.aclose()
            return item

    def dropped(url, request):
        with opened(url) as client:
            chunks = getattr(client, resource).stream(**request)
            item = next(iter(chunks))
            del chunks
            gc.collect()
            return item

    def dropped_unread(url, request):
        with opened(url) as client:
            kind = type(getattr(client, resource).stream(**request)).__name__
            gc.collect()
            return kind

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
        ),
        "stream in with": Form(stream_in_with, STREAM, 31),
        "dropped unread": Form(dropped_unread, STREAM, None),
        "invalid": Form(plain, INVALID, None, fails=True),
        "stream invalid": Form(stream, INVALID, None, fails=True),
    }


CHAT = Row(
    name="mistral.chat",
    sdk="mistralai",
    api="mistral.chat",
    provider="mistral_ai",
    model=MODEL,
    request={"model": MODEL, "messages": [{"role": "user", "content": TEXT}]},
    forms=forms("chat"),
)
AGENTS = replace(
    CHAT,
    name="mistral.agents",
    model="",
    request={"agent_id": "ag_1", "messages": [{"role": "user", "content": TEXT}]},
    forms=forms("agents"),
)
FIM = replace(
    CHAT,
    name="mistral.fim",
    api="openai.completions",
    model="codestral-latest",
    request={"model": "codestral-latest", "prompt": TEXT},
    forms=forms("fim"),
)
ROWS = (CHAT, AGENTS, FIM)
