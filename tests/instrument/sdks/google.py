"""Every way to call Gemini with google-genai, on the Gemini API and on Vertex AI."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec

from google import genai
from google.genai import types

from instrument.loopback import events, whole
from instrument.sdks.table import TEXT, Form, Row, usual

MODEL = "gemini-2.5-flash"
USAGE = {"promptTokenCount": 31, "candidatesTokenCount": 2, "totalTokenCount": 33}


def said(text, **more):
    """Return a response, or a chunk of one."""
    content = {"role": "model", "parts": [{"text": text}]}
    return {"candidates": [{"content": content}], "modelVersion": MODEL, "responseId": "r1", **more}


PLAIN = whole(said("Because.", usageMetadata=USAGE))
STREAM = events(said("Be"), said("cause"), said("", usageMetadata=USAGE), done=False)
BROKEN = events(said("Be"), said("cause"), done=False, breaks=True)
REFUSED = whole({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}, status=400)
# older generations hand out no response of their HTTP library
RAW = (
    {"should_return_http_response": True}
    if "should_return_http_response" in types.GenerateContentConfig.model_fields
    else {}
)


@contextmanager
def gemini(url):
    """Return a client of the Gemini API; it closes its connections when it is dropped."""
    yield genai.Client(api_key="test", http_options=types.HttpOptions(base_url=url))


@contextmanager
def vertex(url):
    """Return a client of Vertex AI in express mode, which needs no credentials."""
    options = types.HttpOptions(base_url=url)
    yield genai.Client(vertexai=True, api_key="test", http_options=options)


def told(response):
    """Return what a response holds, without its headers, which tell the time."""
    return type(response).__name__, response.model_dump(exclude={"sdk_http_response"})


def forms(opened):  # noqa: C901 - one a form
    """Return the forms of a client."""

    def plain(url, request):
        with opened(url) as client:
            return told(client.models.generate_content(**request))

    def chat(url, request):
        with opened(url) as client:
            return told(
                client.chats.create(model=request["model"]).send_message(request["contents"])
            )

    def raw(url, request):
        with opened(url) as client:
            answer = client.models.generate_content(**request, config=RAW)
            return answer.sdk_http_response.body

    async def raw_async(url, request):
        with opened(url) as client:
            answer = await client.aio.models.generate_content(**request, config=RAW)
            return answer.sdk_http_response.body

    async def awaited(url, request):
        with opened(url) as client:
            return told(await client.aio.models.generate_content(**request))

    def stream(url, request):
        with opened(url) as client:
            return list(map(told, client.models.generate_content_stream(**request)))

    async def stream_async(url, request):
        with opened(url) as client:
            chunks = await client.aio.models.generate_content_stream(**request)
            return [told(item) async for item in chunks]

    def early_exit(url, request):
        with opened(url) as client:
            chunks = client.models.generate_content_stream(**request)
            item = next(chunks)
            chunks.close()
            return told(item)

    async def early_exit_async(url, request):
        with opened(url) as client:
            chunks = await client.aio.models.generate_content_stream(**request)
            item = await anext(chunks)
            await chunks.aclose()
            del chunks
            gc.collect()
            return told(item)

    def dropped(url, request):
        with opened(url) as client:
            chunks = client.models.generate_content_stream(**request)
            item = next(chunks)
            del chunks
            gc.collect()
            return told(item)

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
        "chat": Form(chat, PLAIN, 31),
        **({"raw": Form(raw, PLAIN, 31), "async raw": Form(raw_async, PLAIN, 31)} if RAW else {}),
    }


GEMINI = Row(
    name="gemini",
    sdk="google-genai",
    api="gemini.generateContent",
    provider="gcp.gemini",
    model=MODEL,
    request={"model": MODEL, "contents": TEXT},
    forms=forms(gemini),
)
VERTEX = replace(GEMINI, name="vertex", provider="gcp.vertex_ai", forms=forms(vertex))


# ── interactions, which have a client of their own in the SDK ────────────────────────────────────

DONE = {
    "id": "i1",
    "object": "interaction",
    "status": "completed",
    "model": MODEL,
    "usage": {"total_input_tokens": 31, "total_output_tokens": 2, "total_tokens": 33},
}
ANSWERED = whole(DONE)
PIECES = (
    {"event_type": "interaction.start", "interaction": {**DONE, "status": "in_progress", "usage": None}},
    {"event_type": "interaction.complete", "interaction": DONE},
)  # fmt: skip
ANSWERING = events(*PIECES, done=False)


def interact(url, request):
    with gemini(url) as client:
        return client.interactions.create(**request)


async def interact_async(url, request):
    with gemini(url) as client:
        return await client.aio.interactions.create(**request)


def interact_stream(url, request):
    with gemini(url) as client:
        return list(client.interactions.create(**request, stream=True))


async def interact_stream_async(url, request):
    with gemini(url) as client:
        opened = await client.aio.interactions.create(**request, stream=True)
        return [item async for item in opened]


def interact_exit(url, request):
    with gemini(url) as client:
        opened = client.interactions.create(**request, stream=True)
        item = next(iter(opened))
        opened.response.close()
        return item


async def interact_exit_async(url, request):
    with gemini(url) as client:
        opened = await client.aio.interactions.create(**request, stream=True)
        item = await anext(aiter(opened))
        await opened.response.aclose()
        return item


INTERACTIONS = replace(
    GEMINI,
    name="interactions",
    api="gemini.interactions",
    request={"model": MODEL, "input": TEXT},
    forms={
        "plain": Form(interact, ANSWERED, 31),
        "async": Form(interact_async, ANSWERED, 31),
        "stream": Form(interact_stream, ANSWERING, 31),
        "async stream": Form(interact_stream_async, ANSWERING, 31),
        "early exit": Form(interact_exit, ANSWERING, None),
        "async early exit": Form(interact_exit_async, ANSWERING, None),
        "refused": Form(interact, REFUSED, None, fails=True),
        "async refused": Form(interact_async, REFUSED, None, fails=True),
        "stream refused": Form(interact_stream, REFUSED, None, fails=True),
    },
)
ROWS = (GEMINI, VERTEX, *([INTERACTIONS] if find_spec("google.genai._gaos") else []))
