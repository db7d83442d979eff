"""Reading usage of Gemini's answers and streams."""

from __future__ import annotations

import json
from enum import StrEnum
from types import SimpleNamespace

import pytest

from tokentrace import dialects
from tokentrace.dialects import gemini as dialect
from tokentrace.dialects import gemini_interactions as interactions
from tokentrace.prompt import Usage

REPORTED = {
    "promptTokenCount": 40,
    "cachedContentTokenCount": 30,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
    "toolUsePromptTokenCount": 60,
    "totalTokenCount": 112,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 40}],
}
ANSWER = {
    "responseId": "r1",
    "modelVersion": "gemini-2.5-flash",
    "candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "Fog."}]}}],
    "usageMetadata": REPORTED,
}
READ = Usage(100, 12, 30, None, 7, "r1", "gemini-2.5-flash", ("STOP",))
ODD = [None, 7, "x", True, {}, object(), [], [None], {"usageMetadata": 7}, {"candidates": [7]}]


class Reason(StrEnum):
    """A finish reason as the SDK's enumeration has it."""

    STOP = "STOP"


def folded(chunks, fold=dialect.fold):
    usage = Usage()
    for chunk in chunks:
        usage = fold(usage, chunk)
    return usage


def test_an_answer_is_read_whole():
    """Input is the prompt and what tools read, output the candidates and their thoughts."""
    assert dialect.usage(ANSWER) == READ


def test_an_sdk_object_is_read_like_its_json():
    """An object with snake_case attributes gives the same usage, its reason as plain text."""
    usage = {dialect.snake(name): value for name, value in REPORTED.items()}
    answer = SimpleNamespace(
        response_id="r1",
        model_version="gemini-2.5-flash",
        candidates=[SimpleNamespace(finish_reason=Reason.STOP)],
        usage_metadata=SimpleNamespace(**usage),
    )
    found = dialect.usage(answer)
    assert found == READ
    assert type(found.finish_reasons[0]) is str


@pytest.mark.parametrize("body", [json.dumps(ANSWER), "no json", None])
def test_a_client_s_response_holds_json_text(body):
    """What the SDK's client returns is opened; other text says nothing."""
    expected = READ if body and body.startswith("{") else Usage()
    assert dialect.usage(SimpleNamespace(body=body, headers={})) == expected


def test_the_last_chunk_of_a_stream_wins():
    """Numbers are repeated with every chunk; those of the last one hold, and names stay."""
    early = {"promptTokenCount": 40, "candidatesTokenCount": 1}
    chunks = [
        {"responseId": "r1", "modelVersion": "gemini-2.5-flash", "usageMetadata": early},
        {"candidates": [{"content": {"parts": [{"text": "Fo"}]}}]},
        {"candidates": [{"finishReason": "STOP"}], "usageMetadata": REPORTED},
        {},
    ]
    assert folded(chunks[:2]) == Usage(40, 1, response_id="r1", response_model="gemini-2.5-flash")
    assert folded(chunks) == READ


def test_a_token_count_is_an_input():
    """The answer of countTokens is an input without an output."""
    assert dialect.usage({"totalTokens": 31, "cachedContentTokenCount": 8}) == Usage(31, None, 8)


def test_a_recorded_usage_alone_is_read():
    """A usage object under ``usage``, or for itself, is read as one inside of an answer."""
    assert dialect.usage({"usage": REPORTED}).input == dialect.usage(REPORTED).input == 100


INTERACTION = {
    "id": "i1",
    "model": "gemini-3-flash-preview",
    "status": "completed",
    "usage": {
        "total_input_tokens": 40,
        "total_tool_use_tokens": 6,
        "total_cached_tokens": 3,
        "total_output_tokens": 5,
        "total_thought_tokens": 7,
        "total_tokens": 58,
    },
}


def test_an_interaction_is_read_whole():
    """Its usage has names of its own; output and thoughts stand apart there."""
    expected = Usage(46, 12, 3, None, 7, "i1", "gemini-3-flash-preview", ("completed",))
    assert interactions.usage(INTERACTION) == expected
    events = [
        {"event_type": "interaction.start", "interaction": {"id": "i1", "status": "in_progress"}},
        {"event_type": "content.delta", "delta": {"type": "text", "text": "Fog"}},
        {"event_type": "interaction.complete", "interaction": INTERACTION},
    ]
    assert folded(events, interactions.fold) == expected


@pytest.mark.parametrize("api", ["gemini.generateContent", "gemini.interactions"])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd).partition(" at 0x")[0])
def test_an_odd_answer_is_no_error(api, odd):
    """Whatever comes back, there is a usage that says nothing, and no snapshot."""
    dialect = dialects.find(api)
    assert dialect.usage(odd) == dialect.fold(Usage(), odd) == Usage()
    assert dialect.final(odd) is None


def test_an_answer_that_asks_for_tools_says_so():
    """Gemini's own reason is STOP either way; in a stream the call may come before it."""
    asks = {"content": {"parts": [{"text": "so"}, {"functionCall": {"name": "look"}}]}}
    ends = {"content": {"parts": [{"text": "."}]}, "finishReason": "STOP"}
    whole = {"candidates": [{**asks, "finishReason": "STOP"}]}
    assert dialect.usage(whole).finish_reasons == ("tool_calls",)
    chunks = [{"candidates": [one]} for one in (asks, ends)]
    assert folded(chunks).finish_reasons == ("tool_calls",)
    assert folded(chunks[1:]).finish_reasons == ("STOP",)
