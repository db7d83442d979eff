"""Reading usage of Anthropic's responses and streams."""

from __future__ import annotations

import pytest
from anthropic.types import (
    Message,
    MessageDeltaUsage,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    TextBlock,
)
from anthropic.types import Usage as SdkUsage
from anthropic.types.raw_message_delta_event import Delta

from tokentrace.dialects import anthropic_messages as dialect
from tokentrace.prompt import Usage

REPORTED = {
    "input_tokens": 10,
    "cache_read_input_tokens": 200,
    "cache_creation_input_tokens": 30,
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 5},
}


def sdk_message(**usage):
    return Message(
        id="msg_1",
        type="message",
        role="assistant",
        model="claude-sonnet-4-5-20250929",
        content=[TextBlock(type="text", text="Hi")],
        stop_reason="end_turn",
        stop_sequence=None,
        usage=SdkUsage(**{"input_tokens": 3, "output_tokens": 2, **usage}),
    )


def test_input_is_fresh_and_cached_together():
    """Total input = uncached + read + written; the parts stay visible."""
    found = dialect.usage({"usage": REPORTED, "id": "m", "model": "c", "stop_reason": "end_turn"})
    assert found == Usage(240, 7, 200, 30, 5, "m", "c", ("end_turn",))


def test_an_sdk_message_is_read():
    """A message object of the SDK gives the same numbers as its JSON."""
    message = sdk_message(cache_read_input_tokens=4)
    assert dialect.usage(message) == dialect.usage(message.model_dump())
    assert dialect.usage(message).input == 7


def test_a_token_count_is_an_input():
    """The answer of count_tokens is input alone."""
    assert dialect.usage({"input_tokens": 14}) == Usage(input=14)


def test_bedrock_metrics_are_read():
    """Bedrock's invocation metrics stand in where Anthropic's own usage is missing."""
    metrics = {"inputTokenCount": 16, "outputTokenCount": 3, "cacheReadInputTokenCount": 4}
    chunk = {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}
    assert dialect.fold(Usage(), chunk).input == 20
    assert dialect.usage({"usage": chunk}).output == 3


@pytest.mark.parametrize("odd", [None, 5, "x", [], {"usage": 5}, {"usage": {"input_tokens": "9"}}])
def test_odd_responses_report_nothing(odd):
    """A response of any shape gives a usage, empty where it says nothing."""
    assert dialect.usage(odd).input is None


def test_stream_events_are_cumulative():
    """message_start opens the numbers, message_delta replaces the output and adds late input."""
    start = RawMessageStartEvent(type="message_start", message=sdk_message())
    late = RawMessageDeltaEvent(
        type="message_delta",
        delta=Delta(stop_reason="tool_use", stop_sequence=None),
        usage=MessageDeltaUsage(output_tokens=40, input_tokens=2500),
    )
    running = dialect.fold(dialect.fold(Usage(), start), late)
    assert (running.input, running.output) == (2500, 40)
    assert running.response_model == "claude-sonnet-4-5-20250929"
    assert running.finish_reasons == ("tool_use",)


def test_zero_or_missing_input_of_a_delta_takes_nothing_back():
    """A delta that repeats no input, or sends 0, leaves the input of message_start."""
    start = {"type": "message_start", "message": {"id": "m", "usage": REPORTED}}
    running = dialect.fold(Usage(), start)
    for usage in ({"output_tokens": 9}, {"output_tokens": 9, "input_tokens": 0}):
        after = dialect.fold(running, {"type": "message_delta", "usage": usage, "delta": {}})
        assert (after.input, after.output) == (240, 9)


@pytest.mark.parametrize("odd", [None, "x", {"type": "ping"}, {"type": ["message_start"]}, 4])
def test_other_events_change_nothing(odd):
    """Events without numbers, and no events at all, leave the usage as it was."""
    assert dialect.fold(Usage(input=3), odd) == Usage(input=3)


def test_the_snapshot_of_a_stream_is_read_without_consuming():
    """A stream helper's snapshot gives the final usage; before the first event there is none."""

    class Helper:
        def __init__(self, snapshot):
            self.snapshot = snapshot

        @property
        def current_message_snapshot(self):
            assert self.snapshot is not None
            return self.snapshot

        def __iter__(self):
            raise AssertionError("consumed")

    assert dialect.final(Helper(sdk_message())).input == 3
    assert dialect.final(Helper(None)) is None
    assert dialect.final(object()) is None
