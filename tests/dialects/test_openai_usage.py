"""Reading what OpenAI's responses and streams report."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tokentrace import dialects
from tokentrace.dialects import openai_chat, openai_responses, openai_simple
from tokentrace.prompt import Usage

Response = pytest.importorskip(
    "openai.types.responses", reason="openai before 1.66 has no such api"
).Response
USAGE = {
    "prompt_tokens": 40,
    "completion_tokens": 9,
    "total_tokens": 49,
    "prompt_tokens_details": {"cached_tokens": 32, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "hi"},
            "logprobs": None,
        }
    ],
    "usage": USAGE,
}
REPORTED = Usage(40, 9, 32, None, 4, "chatcmpl-1", "gpt-4o-2024-08-06", ("stop",))
ANSWER = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5-2025-08-07",
    "status": "incomplete",
    "incomplete_details": {"reason": "max_output_tokens"},
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 70,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": 90,
    },
}
ANSWERED = Usage(70, 20, 64, 0, 12, "resp_1", "gpt-5-2025-08-07", ("max_output_tokens",))


def chunk(**changes):
    base = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [],
        "usage": None,
    }
    return {**base, **changes}


def choice(**changes):
    return {"index": 0, "delta": {"content": "h"}, "finish_reason": None, **changes}


CHUNKS = [
    chunk(choices=[choice()]),
    chunk(choices=[choice(finish_reason="stop", delta={})]),
    chunk(usage=USAGE),
]


@pytest.mark.parametrize("form", [dict, ChatCompletion.model_validate])
def test_a_whole_completion(form):
    """Mapping and SDK object of a completion give the same usage."""
    assert openai_chat.usage(form(COMPLETION)) == REPORTED


@pytest.mark.parametrize("form", [dict, ChatCompletionChunk.model_validate])
def test_a_stream_of_chunks(form):
    """Folding the chunks of a stream gives what the whole completion gives."""
    usage = Usage()
    for one in CHUNKS:
        usage = openai_chat.fold(usage, form(one))
    assert usage == REPORTED


def test_an_event_of_the_stream_helper_carries_its_chunk():
    """The helper's chunk events count, its other events change nothing."""
    usage = Usage()
    for one in CHUNKS:
        usage = openai_chat.fold(usage, SimpleNamespace(type="chunk", chunk=one))
        usage = openai_chat.fold(usage, SimpleNamespace(type="content.delta", delta="h"))
    assert usage == REPORTED


@pytest.mark.parametrize("form", [dict, Response.model_construct])
def test_a_whole_response(form):
    """A response of the Responses API tells its numbers and what cut it short."""
    held = form(**ANSWER)
    assert openai_responses.usage(held) == ANSWERED


@pytest.mark.parametrize(("output", "cut", "reason"), [
    (["message", "function_call"], None, "tool_calls"),
    (["web_search_call", "message"], None, "completed"),  # the provider's own tool is done
    (["function_call"], {"reason": "max_output_tokens"}, "max_output_tokens"),
])  # fmt: skip
def test_a_response_that_asks_for_tools_says_so(output, cut, reason):
    """Its status is completed either way; what cut it short is said first."""
    held = {
        "status": "completed",
        "output": [{"type": one} for one in output],
        "incomplete_details": cut,
        "usage": {"input_tokens": 3},
    }
    assert openai_responses.usage(held).finish_reasons == (reason,)


def test_a_stream_of_events():
    """Ids come with the first event, numbers with the last; others change nothing."""
    usage = openai_responses.fold(Usage(), {"type": "response.created", "response": {"id": "r"}})
    assert usage == Usage(response_id="r")
    assert openai_responses.fold(usage, {"type": "response.output_text.delta"}) == usage
    done = {"type": "response.incomplete", "response": ANSWER}
    assert openai_responses.fold(usage, done) == ANSWERED


@pytest.mark.parametrize("api", sorted(name for name in dialects.DIALECTS if "openai" in name))
@pytest.mark.parametrize(
    "odd",
    [
        *(None, 7, "text", [], {}, object()),
        *({"usage": 3}, {"usage": {"prompt_tokens": "many"}}, {"usage": {"prompt_tokens": -1}}),
        *({"choices": None}, {"choices": [None]}),
    ],
)
def test_odd_responses_are_empty_usage(api, odd):
    """What cannot be read says nothing."""
    dialect = dialects.find(api)
    assert dialect.usage(odd) == Usage()
    assert dialect.fold(Usage(), odd) == Usage()
    assert dialect.final(odd) is None


def test_a_token_count_answer():
    """The answer of the token count is its input tokens."""
    assert openai_responses.usage({"object": "x", "input_tokens": 12}).input == 12


def test_embeddings_report_input_only():
    """An embedding's usage has no output."""
    usage = openai_simple.usage({"model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5}})
    assert (usage.input, usage.output) == (5, None)


class Early:
    """A stream helper before its first chunk."""

    @property
    def current_completion_snapshot(self):
        raise AssertionError


def test_final_snapshots():
    """A helper's snapshot is read at the end; before the first chunk there is none."""
    state = SimpleNamespace(current_completion_snapshot=COMPLETION)
    assert openai_chat.final(SimpleNamespace(_state=state)) == REPORTED
    assert openai_chat.final(Early()) is None
    done = SimpleNamespace(_state=SimpleNamespace(_completed_response=ANSWER))
    assert openai_responses.final(done) == ANSWERED
    assert openai_simple.final(done) is None
