"""Every way to call dashscope's generations."""

from __future__ import annotations

import json
from dataclasses import replace

import dashscope
from dashscope import AioGeneration, Generation, MultiModalConversation

from instrument.loopback import Answer, whole
from instrument.sdks.table import TEXT, Form, Row, usual

MODEL = "kimi-k2"
USAGE = {"input_tokens": 31, "output_tokens": 2, "total_tokens": 33}


def said(text, reason="stop", **more):
    """Return an answer, or an item of a stream."""
    choice = {"finish_reason": reason, "message": {"role": "assistant", "content": text}}
    return {"request_id": "r-1", "output": {"choices": [choice]}, "usage": USAGE, **more}


def sse(*bodies, **more):
    """Return a stream of items, each with its status."""
    pieces = (
        f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:{json.dumps(body)}\n\n".encode()
        for number, body in enumerate(bodies, 1)
    )
    return Answer(tuple(pieces), "text/event-stream", **more)


PLAIN = whole(said("Because."))
STREAM = sse(said("Be", "null"), said("Because"))
FAILED = (
    b'id:2\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"Gone","message":"no","request_id":"r"}\n\n'
)
ODD = Answer((*sse(said("Be", "null", usage=None)).pieces, FAILED), "text/event-stream")
REFUSED = whole({"code": "InvalidParameter", "message": "no", "request_id": "r-1"}, status=400)


def asked(url, request):
    """Return the arguments of a call to the server."""
    dashscope.base_http_api_url = f"{url}/api/v1"
    return {**request, "api_key": "t", "result_format": "message"}


def held(item):
    """Return an answer's class and what it holds, without what differs from one run to the next."""
    return type(item).__name__, {key: value for key, value in item.items() if key != "headers"}


def plain(url, request):
    return held(Generation.call(**asked(url, request)))


def multimodal(url, request):
    return held(MultiModalConversation.call(**asked(url, request)))


async def awaited(url, request):
    return held(await AioGeneration.call(**asked(url, request)))


def stream(url, request):
    return list(map(held, Generation.call(**asked(url, request), stream=True)))


async def stream_async(url, request):
    opened = await AioGeneration.call(**asked(url, request), stream=True)
    return [held(item) async for item in opened]


def early_exit(url, request):
    opened = Generation.call(**asked(url, request), stream=True)
    item = next(opened)
    opened.close()
    return held(item)


async def early_exit_async(url, request):
    opened = await AioGeneration.call(**asked(url, request), stream=True)
    item = await anext(opened)
    await opened.aclose()
    return held(item)


CHAT = Row(
    name="dashscope",
    sdk="dashscope",
    api="openai.chat",
    provider="dashscope",
    model=MODEL,
    request={"model": MODEL, "messages": [{"role": "user", "content": TEXT}]},
    forms={
        **usual(
            plain,
            awaited,
            stream,
            stream_async,
            without=("async stream refused",),
            plain=PLAIN,
            stream=STREAM,
            refused=REFUSED,
            odd=ODD,
        ),
        "multimodal": Form(multimodal, PLAIN, 31),
        "early exit": Form(early_exit, STREAM, 31),
        "async early exit": Form(early_exit_async, STREAM, 31),
    },
)
PROMPT = replace(
    CHAT,
    name="dashscope prompt",
    request={"model": MODEL, "prompt": TEXT},
    forms={"plain": Form(plain, PLAIN, 31)},
)
ROWS = (CHAT, PROMPT)
