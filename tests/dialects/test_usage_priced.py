"""What a price depends on besides tokens: tiers, hour-long writes, thoughts beside the answer."""

from __future__ import annotations

import pytest

from tokentrace import dialects
from tokentrace.prompt import Usage


def usage(api, answer):
    """Return the usage of a whole answer."""
    return dialects.find(api).usage(answer)


def chat(thought, total):
    """Return a chat usage of 100 tokens in and 30 out."""
    details = {"reasoning_tokens": thought}
    told = {"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": total}
    return {"usage": {**told, "completion_tokens_details": details}}


@pytest.mark.parametrize(
    ("thought", "total", "output"),
    [(150, 280, 180), (20, 150, 50), (20, 130, 30), (150, 130, 30), (0, 130, 30), (20, None, 30)],
)
def test_thoughts_beside_the_answer_are_output(thought, total, output):
    """Where the total says that thoughts are not in the output they are added, elsewhere never."""
    found = usage("openai.chat", chat(thought, total))
    assert (found.output, found.reasoning) == (output, thought)


@pytest.mark.parametrize(
    ("api", "answer", "tier"),
    [
        ("openai.chat", {"service_tier": "flex", "usage": {}}, "flex"),
        ("openai.responses", {"service_tier": "priority", "usage": {}}, "priority"),
        ("anthropic.messages", {"usage": {"service_tier": "batch"}}, "batch"),
        ("anthropic.messages", {"usage": {"service_tier": "standard", "speed": "fast"}}, "fast"),
        ("gemini.generateContent", {"usageMetadata": {"serviceTier": "STANDARD"}}, "standard"),
        ("gemini.generateContent", {"usageMetadata": {"trafficType": "ON_DEMAND"}}, ""),
        ("gemini.generateContent", {"usageMetadata": {"trafficType": "ON_DEMAND_FLEX"}}, "flex"),
        (
            "gemini.generateContent",
            {"usage_metadata": {"traffic_type": "ON_DEMAND_PRIORITY"}},
            "priority",
        ),
        (
            "gemini.generateContent",
            {"usageMetadata": {"trafficType": "PROVISIONED_THROUGHPUT"}},
            "provisioned_throughput",
        ),
        ("openai.chat", {"service_tier": 7, "usage": {}}, ""),
    ],
)
def test_the_tier_is_read(api, answer, tier):
    """The tier that served a call is read from the answer."""
    assert usage(api, answer).tier == tier


def test_a_stream_keeps_its_tier():
    """A tier that an early chunk tells is there at the end."""
    fold = dialects.find("openai.chat").fold
    running = fold(Usage(), {"id": "a", "service_tier": "flex", "choices": []})
    told = fold(
        running, {"id": "a", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    )
    assert (told.tier, told.input) == ("flex", 3)


@pytest.mark.parametrize(
    ("told", "kept"), [(30, 30), (0, None), (None, None), ("x", None), (-4, None)]
)
def test_hour_long_writes_are_read(told, kept):
    """What is kept for an hour is read where there is any."""
    written = {"ephemeral_1h_input_tokens": told}
    answer = {
        "usage": {"input_tokens": 1, "cache_creation_input_tokens": 30, "cache_creation": written}
    }
    assert usage("anthropic.messages", answer).cache_write_long == kept
