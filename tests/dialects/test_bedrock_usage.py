"""Reading usage of Bedrock's answers and streams, as boto3 gives them."""

from __future__ import annotations

import json

import pytest

from tokentrace.dialects import bedrock_converse as converse
from tokentrace.dialects import bedrock_invoke as invoke
from tokentrace.prompt import Usage

REPORTED = {
    "inputTokens": 12,
    "outputTokens": 5,
    "totalTokens": 57,
    "cacheReadInputTokens": 30,
    "cacheWriteInputTokens": 10,
}
METRICS = {
    "inputTokenCount": 8,
    "outputTokenCount": 3,
    "cacheReadInputTokenCount": 20,
    "cacheWriteInputTokenCount": 0,
}


def folded(dialect, events):
    usage = Usage()
    for event in events:
        usage = dialect.fold(usage, event)
    return usage


def test_a_converse_answer_is_read_whole():
    """Total input = fresh + read + written; the reason and a router's model stand beside it."""
    trace = {"promptRouter": {"invokedModelId": "amazon.nova-lite-v1:0"}}
    answer = {"usage": REPORTED, "stopReason": "end_turn", "trace": trace}
    expected = Usage(52, 5, 30, 10, None, "", "amazon.nova-lite-v1:0", ("end_turn",))
    assert converse.usage(answer) == expected


def test_a_converse_stream_tells_at_its_end():
    """The metadata event comes last and holds the numbers; the stop event the reason."""
    events = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "max_tokens"}},
        {"metadata": {"usage": REPORTED, "metrics": {"latencyMs": 4}}},
    ]
    assert folded(converse, events[:3]) == Usage(finish_reasons=("max_tokens",))
    assert folded(converse, events) == Usage(52, 5, 30, 10, finish_reasons=("max_tokens",))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"inputTextTokenCount": 4, "results": [{"tokenCount": 9, "completionReason": "FINISH"}]},
         Usage(4, 9, finish_reasons=("FINISH",))),
        ({"prompt_token_count": 6, "generation_token_count": 7, "stop_reason": "stop"},
         Usage(6, 7, finish_reasons=("stop",))),
        ({"usage": REPORTED, "stopReason": "end_turn"},
         Usage(52, 5, 30, 10, finish_reasons=("end_turn",))),
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 2}}, Usage(3, 2)),
        ({"usage": {"input_tokens": 3, "output_tokens": 2}, "id": "m"},
         Usage(3, 2, response_id="m")),
        ({"inputTokens": 18}, Usage(18)),
    ],
    ids=["titan", "llama", "nova", "openai-form", "claude", "count"],
)  # fmt: skip
def test_an_invoked_answer_is_read_by_its_maker(body, expected):
    """Each maker's answer is read alone, and as boto3 would hold it in text."""
    assert invoke.usage(body) == expected
    assert invoke.usage({"body": json.dumps(body).encode()}) == expected


def test_headers_tell_where_the_body_is_a_stream():
    """An answer whose body only its owner may read is known by boto3's headers."""
    headers = {"x-amzn-bedrock-input-token-count": "21", "x-amzn-bedrock-output-token-count": "4"}
    answer = {"ResponseMetadata": {"HTTPHeaders": headers}, "body": object()}
    assert invoke.usage(answer) == Usage(21, 4)
    assert invoke.usage({"ResponseMetadata": {"HTTPHeaders": {}}}) == Usage()


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_last_chunk_has_the_metrics(wrapped):
    """The invocation metrics of the last chunk count, boxed as boto3 boxes them or plain."""
    events = [
        {"outputText": "Hi", "index": 0},
        {"outputText": "", METRICS_KEY: METRICS, "completionReason": "FINISH"},
    ]
    if wrapped:
        events = [{"chunk": {"bytes": json.dumps(one).encode()}} for one in events]
    found = folded(invoke, events)
    assert (found.input, found.output, found.cache_read) == (28, 3, 20)


METRICS_KEY = "amazon-bedrock-invocationMetrics"


def test_a_streamed_claude_and_nova_are_read_by_their_own_events():
    """Anthropic's and Nova's events inside of the chunks tell, and the metrics change nothing."""
    claude = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 9}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
         "usage": {"output_tokens": 6}},
        {"type": "message_stop", METRICS_KEY: {"inputTokenCount": 9, "outputTokenCount": 6}},
    ]  # fmt: skip
    assert folded(invoke, claude) == Usage(9, 6, response_id="m", finish_reasons=("end_turn",))
    nova = [{"messageStop": {"stopReason": "end_turn"}}, {"metadata": {"usage": REPORTED}}]
    assert folded(invoke, nova) == Usage(52, 5, 30, 10, finish_reasons=("end_turn",))


def test_llama_repeats_its_numbers():
    """Llama's chunks repeat the input and count the output up; the newest holds."""
    events = [
        {"generation": "H", "prompt_token_count": 5, "generation_token_count": 1},
        {"generation": "i", "prompt_token_count": None, "generation_token_count": 2},
        {"generation": "", "generation_token_count": 3, "stop_reason": "stop"},
    ]
    assert folded(invoke, events) == Usage(5, 3, finish_reasons=("stop",))


@pytest.mark.parametrize("body", [b"{", "no JSON", b"\xff\xfe", "W10=", "[" * 90_000])
def test_a_damaged_body_is_no_error(body):
    """A body that is no JSON object, plain or sealed, gives an empty prompt."""
    prompt = invoke.parse({"modelId": "m", "body": body})
    assert prompt.model == "m"
    assert "".join(part.text for part in prompt.parts) == ""
    assert invoke.usage({"body": body}) == Usage()


def test_a_request_of_boto3_is_opened():
    """The body that boto3 takes is read from bytes, from text, and as a mapping."""
    inner = {"inputText": "Name a star."}
    for body in (json.dumps(inner), json.dumps(inner).encode(), inner):
        prompt = invoke.parse({"modelId": "amazon.titan-text-lite-v1", "body": body})
        assert prompt.model == "amazon.titan-text-lite-v1"
        assert [part.text for part in prompt.parts] == ["Name a star."]
