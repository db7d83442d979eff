"""Reading usage of Mistral's, Cohere's and Ollama's answers and streams."""

from __future__ import annotations

from types import SimpleNamespace

from tokentrace.dialects import cohere_chat as cohere
from tokentrace.dialects import mistral_chat as mistral
from tokentrace.dialects import ollama_chat as ollama
from tokentrace.prompt import Usage


def test_mistral_is_read_like_openai():
    """Tokens, cached ones under either name, id and reason are read."""
    reported = {"prompt_tokens": 9, "completion_tokens": 4, "num_cached_tokens": 6}
    answer = {
        "id": "c", "model": "mistral-large-2512", "usage": reported,
        "choices": [{"finish_reason": "stop"}],
    }  # fmt: skip
    expected = Usage(9, 4, 6, None, None, "c", "mistral-large-2512", ("stop",))
    assert mistral.usage(answer) == expected
    details = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}}
    assert mistral.usage({"usage": details}).cache_read == 5


def test_mistrals_stream_tells_with_its_last_event():
    """The SDK's events hold the chunk under ``data``; plain chunks are read too."""
    last = {"id": "c", "usage": {"prompt_tokens": 9, "completion_tokens": 4}, "choices": []}
    event = SimpleNamespace(data=SimpleNamespace(id="c", usage=None, choices=[]))
    running = mistral.fold(Usage(), event)
    assert running == Usage(response_id="c")
    assert mistral.fold(running, last) == Usage(9, 4, response_id="c")


def test_cohere_counts_hidden_prompts_too():
    """All tokens count, not those that are billed; these stand in where there are no others."""
    reported = {
        "billed_units": {"input_tokens": 7, "output_tokens": 3},
        "tokens": {"input_tokens": 502, "output_tokens": 5, "reasoning_tokens": 2},
        "cached_tokens": 464,
    }
    answer = {"id": "r", "finish_reason": "COMPLETE", "usage": reported}
    expected = Usage(502, 5, 464, None, 2, "r", "", ("COMPLETE",), billed=(7, 3))
    assert cohere.usage(answer) == expected
    assert cohere.usage({"meta": {"billed_units": {"input_tokens": 7}}}) == Usage(7)


def test_coheres_streams_tell_at_their_end():
    """Version 2 ends with ``message-end``, version 1 with ``stream-end``."""
    reported = {"tokens": {"input_tokens": 40, "output_tokens": 2}}
    second = [
        {"type": "message-start", "id": "s"},
        {"type": "content-delta", "delta": {"message": {"content": {"text": "Hi"}}}},
        {"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS", "usage": reported}},
    ]
    first = [
        {"event_type": "text-generation", "text": "Hi"},
        {"event_type": "stream-end", "response": {"response_id": "o", "meta": reported}},
    ]
    usage = Usage()
    for event in second:
        usage = cohere.fold(usage, event)
    assert usage == Usage(40, 2, response_id="s", finish_reasons=("MAX_TOKENS",))
    for event in first:
        usage = cohere.fold(usage, event)
    assert (usage.input, usage.response_id) == (40, "o")


def test_ollama_tells_that_it_asks_for_tools():
    """In a stream the calls may come before the end, whose reason is to stop."""
    asks = {"model": "m", "message": {"tool_calls": [{"function": {"name": "look"}}]}}
    ends = {"model": "m", "done": True, "done_reason": "stop", "eval_count": 3}
    assert ollama.usage({**ends, **asks}).finish_reasons == ("tool_calls",)
    assert ollama.fold(ollama.fold(Usage(), asks), ends) == Usage(
        output=3, response_model="m", finish_reasons=("tool_calls",)
    )


def test_ollama_tells_when_it_is_done():
    """The last chunk has the counts; a whole answer is such a chunk."""
    done = {
        "model": "llama3.2", "done": True, "done_reason": "stop",
        "prompt_eval_count": 31, "eval_count": 12,
    }  # fmt: skip
    expected = Usage(31, 12, response_model="llama3.2", finish_reasons=("stop",))
    assert ollama.usage(done) == expected
    running = ollama.fold(Usage(), {"model": "llama3.2", "message": {"content": "H"}})
    assert running == Usage(response_model="llama3.2")
    assert ollama.fold(running, {"model": "llama3.2", "response": "i"}) is running
    assert ollama.fold(running, done) == expected
    assert ollama.usage({"usage": {"prompt_eval_count": 5}}) == Usage(5)


def test_models_of_an_sdk_are_read_like_mappings():
    """An answer as an object gives what its JSON gives."""
    tokens = SimpleNamespace(input_tokens=4, output_tokens=1)
    usage = SimpleNamespace(tokens=tokens, billed_units=None, cached_tokens=None)
    assert cohere.usage(SimpleNamespace(id="x", usage=usage, finish_reason=None)).input == 4
    assert ollama.usage(SimpleNamespace(model="m", prompt_eval_count=4)).input == 4
