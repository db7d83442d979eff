"""Every way to call litellm: through the openai SDK, and through its own HTTP."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import asks the network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import litellm
    from litellm import acompletion, completion

from instrument.loopback import Answer, events, whole
from instrument.sdks.table import TEXT, Form, Row, usual
from tokentrace.testing import anthropic_message, anthropic_stream, openai_chat, openai_chat_stream

litellm.suppress_debug_info = True
litellm.telemetry = False

REFUSED = whole({"error": {"message": "no", "type": "invalid_request_error"}}, status=400)
STREAM = openai_chat_stream("Be", "cause", prompt_tokens=31)
MUTE = openai_chat_stream("Be", "cause")


def sse(reply, **more):
    """Return a reply of `tokentrace.testing` as an answer."""
    names = [f"event: {name}\n".encode() if name else b"" for name, _ in reply.events]
    told = events(*(body for _, body in reply.events), done=reply.done)
    rest = told.pieces[len(names) :]
    pieces = tuple(map(bytes.__add__, names, told.pieces))
    return Answer((*pieces, *rest), told.kind, **more)


def steady(item):
    """Return what an answer or a chunk holds, without its random id and its time."""
    return type(item).__name__, item.model_dump(exclude={"id", "created"})


def keyed(url, request):
    """Return the arguments of a call."""
    return {**request, "api_base": url, "api_key": "t", "max_retries": 0}


def plain(url, request):
    return steady(litellm.completion(**keyed(url, request)))


def taken_before(url, request):
    given = keyed(url, request)
    return steady(completion(given.pop("model"), given.pop("messages"), **given))


async def awaited(url, request):
    return steady(await acompletion(**keyed(url, request)))


async def awaited_by_place(url, request):
    given = keyed(url, request)
    return steady(await litellm.acompletion(given.pop("model"), given.pop("messages"), **given))


def stream(url, request):
    opened = litellm.completion(**keyed(url, request), stream=True)
    return type(opened), list(map(steady, opened))


async def stream_async(url, request):
    opened = await litellm.acompletion(**keyed(url, request), stream=True)
    return type(opened), [steady(item) async for item in opened]


def stream_with_usage(url, request):
    options = {"include_usage": True}
    opened = litellm.completion(**keyed(url, request), stream=True, stream_options=options)
    return list(map(steady, opened))


def early_exit(url, request):
    opened = litellm.completion(**keyed(url, request), stream=True)
    item = next(opened)
    getattr(opened, "close", opened.completion_stream.close)()
    return steady(item)


async def early_exit_async(url, request):
    opened = await litellm.acompletion(**keyed(url, request), stream=True)
    item = await anext(opened)
    await opened.aclose()
    return steady(item)


def routed(url, request):
    model = {"model_name": "m", "litellm_params": {**keyed(url, {}), "model": request["model"]}}
    router = litellm.Router(model_list=[model], num_retries=0)
    return steady(router.completion("m", request["messages"]))


def forms(whole_answer, stream_answer):
    """Return the forms over one provider's answers."""
    return {
        **usual(
            plain,
            awaited,
            stream,
            stream_async,
            without=("async stream refused",),
            plain=whole_answer,
            stream=stream_answer,
            refused=REFUSED,
        ),
        "taken before": Form(taken_before, whole_answer, 31),
        "async by place": Form(awaited_by_place, whole_answer, 31),
        "router": Form(routed, whole_answer, 31),
        "stream with usage": Form(stream_with_usage, stream_answer, 31),
    }


OPENAI = Row(
    name="litellm openai",
    sdk="litellm",
    api="openai.chat",
    provider="local",
    model="openai/gpt-4o",
    request={"model": "openai/gpt-4o", "messages": [{"role": "user", "content": TEXT}]},
    forms={
        **forms(whole(openai_chat("Because.", prompt_tokens=31).body), sse(STREAM)),
        "early exit": Form(early_exit, sse(STREAM), None),
        "async early exit": Form(early_exit_async, sse(STREAM), None),
        "stream without usage": Form(stream, sse(MUTE), None),
    },
)
SPOKEN = anthropic_message("Because.", input_tokens=31)
CLAUDE = replace(
    OPENAI,
    name="litellm anthropic",
    provider="anthropic",
    model="anthropic/claude-sonnet-4-5",
    request={**OPENAI.request, "model": "anthropic/claude-sonnet-4-5"},
    forms=forms(whole(SPOKEN.body), sse(anthropic_stream("Be", "cause", input_tokens=31))),
)
ROWS = (OPENAI, CLAUDE)
