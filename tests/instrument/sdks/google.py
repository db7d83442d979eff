"""Every way to call Gemini with google-genai, on the Gemini API and on Vertex AI."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace

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


def forms(opened):
    """Return the forms of a client."""

    def plain(url, request):
        with opened(url) as client:
            return told(client.models.generate_content(**request))

    def chat(url, request):
        with opened(url) as client:
            return told(
                client.chats.create(model=request["model"]).send_message(request["contents"])
            )

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
ROWS = (GEMINI, VERTEX)
