"""What is litellm's own among the hooks: its decorator, its retries, its routers, its estimates."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("litellm", reason="litellm is not installed; nox -t apart")

from pydantic import BaseModel

import tokentrace
from instrument.loopback import Server, whole
from instrument.sdks import litellm as rows
from instrument.sdks.litellm import OPENAI, keyed, litellm
from tokentrace.testing import capture

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm warns of itself in many places


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run one server for all."""
    with Server() as running:
        running.answer = OPENAI.forms["plain"].answer
        yield running


def held():
    """Return what the decorator calls, and what it says that it wraps."""
    function = litellm.main.completion
    names = dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))
    return names["original_function"].cell_contents, function.__wrapped__


def test_hooks_come_out_whole():
    """Behind us the decorator holds litellm's own function again."""
    before = held()
    with capture():
        assert held()[0] is not before[0]
    after = held()
    assert after[0] is before[0]
    assert after[1] is before[1]


def test_embeddings_are_one_span(server):
    """An embedding over the openai SDK is counted once, by litellm's hook."""
    row = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}
    usage = {"prompt_tokens": 6, "total_tokens": 6}
    server.answer = whole({"object": "list", "data": [row], "model": "m", "usage": usage})
    with capture() as captured:
        model = "openai/text-embedding-3-small"
        litellm.embedding(model, input=["one text"], api_base=server.url, api_key="t")
    (call,) = captured.calls
    assert (call.api, call.operation, call.usage.input) == ("openai.embeddings", "embeddings", 6)


def test_a_class_as_response_format_is_counted(server):
    """A response schema given as a class is counted as litellm sends it."""

    class Answer(BaseModel):
        because: str

    server.answer = OPENAI.forms["plain"].answer
    with capture() as captured:
        litellm.completion(**keyed(server.url, OPENAI.request))
        litellm.completion(**keyed(server.url, OPENAI.request), response_format=Answer)
    plain, schema = captured.calls
    assert schema.tokens > plain.tokens


def test_a_callback_of_the_guard_sees_no_key(server):
    """The body that a compress callback gets holds what goes into a prompt, and nothing else."""
    seen = []
    guard = tokentrace.Guard(
        limit=400, on_exceed="raise", compress=lambda body, _: seen.append(body)
    )
    with capture(guard=guard), pytest.raises(tokentrace.TokenLimitExceeded):
        litellm.completion(**keyed(server.url, OPENAI.longer().request), temperature=0)
    assert set(seen[0]) == {"model", "messages", "temperature"}


def test_a_dropped_stream_ends_its_span(server):
    """A stream that nobody reads to its end is a call with what it told so far."""
    server.answer = OPENAI.forms["stream"].answer
    with capture() as captured:
        opened = litellm.completion(**keyed(server.url, OPENAI.request), stream=True)
        gone = weakref.ref(opened)
        del opened
        gc.collect()
        assert gone() is None
        (call,) = captured.calls
    assert call.usage.input is None


def test_a_broken_stream_says_so(server):
    """A stream that breaks off ends its span with the error that the caller sees."""
    server.answer = rows.sse(replace(rows.STREAM, done=False), breaks=True)
    with capture() as captured, pytest.raises(Exception, match="onnection error"):
        list(litellm.completion(**keyed(server.url, OPENAI.request), stream=True))
    (call,) = captured.calls
    assert call.error_type


def test_a_router_does_not_retry_a_refusal(server):
    """A refusal passes a router that would retry, and nothing is sent."""
    given = {**keyed(server.url, {}), "model": OPENAI.model}
    router = litellm.Router([{"model_name": "m", "litellm_params": given}], num_retries=2)
    server.requests.clear()
    guard = tokentrace.Guard(limit=10, on_exceed="raise")
    with capture(guard=guard), pytest.raises(tokentrace.TokenLimitExceeded):
        router.completion("m", OPENAI.longer().request["messages"])
    assert server.requests == []


def test_each_attempt_of_litellms_own_retries_is_a_call(server):
    """A retry of litellm itself sends the prompt again, and is a span of its own."""
    busy = whole({"error": {"message": "busy"}}, status=500)
    server.answer, server.requests = busy, []
    with capture() as captured, pytest.raises(litellm.InternalServerError):
        litellm.completion(**keyed(server.url, OPENAI.request), num_retries=1)
    assert 1 < len(captured.calls) <= len(server.requests)
