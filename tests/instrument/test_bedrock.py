"""What is Bedrock's own among the hooks: other services, bodies read once, streams let go, refusals."""

from __future__ import annotations

import gc
import importlib
import io
import json
import weakref
from collections.abc import Iterator

import pytest

import tokentrace
from instrument.loopback import Answer, Server, whole
from tokentrace.testing import capture

pytest.importorskip("botocore", reason="boto3 is not installed")

from instrument.sdks import bedrock
from instrument.sdks.bedrock import CONVERSE, INVOKE, body_of, client
from tokentrace.instrument.hooks import HOOKS
from tokentrace.instrument.places.bedrock import read

unread = importlib.import_module("tokentrace.instrument.unread")  # the name is a function too

HOOK = next(hook for hook in HOOKS if hook.sdk == "boto3")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run one server for all."""
    with Server() as running:
        yield running


def test_counting_tokens_is_silent(server):
    """Bedrock's own count generates nothing and has no span."""
    server.answer = whole({"inputTokens": 12})
    asked = {"converse": {"messages": CONVERSE.request["messages"]}}
    if not hasattr(client(server.url), "count_tokens"):
        pytest.skip("this botocore has no such call")
    with capture() as captured:
        answer = client(server.url).count_tokens(modelId=bedrock.MODEL, input=asked)
    assert answer["inputTokens"] == 12
    assert captured.spans == ()


def test_calls_of_other_services_pass(server):
    """Another service's call has no span, whatever its operation is called."""
    server.answer = Answer((b"{}",), "application/x-amz-json-1.0")
    with capture() as captured:
        answer = client(server.url, "dynamodb").list_tables()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert captured.spans == ()


def test_an_operation_of_that_name_elsewhere_is_none_of_ours(server):
    """The service is asked, not only the operation's name."""
    params = dict(CONVERSE.request)
    assert read(HOOK, client(server.url, "dynamodb"), ("Converse", params), {}) is None
    assert read(HOOK, client(server.url), ("Converse", params), {}) is not None
    assert read(HOOK, client(server.url), (), {}) is None


def test_a_body_that_can_be_read_once_is_left_alone(server):
    """A pipe as body is not touched; its call goes through, untraced."""

    class Pipe(io.RawIOBase):
        read_before = False

        def read(self, size=-1):
            self.read_before = True
            raise AssertionError("read by us")

        def seekable(self):
            return False

    pipe = Pipe()
    assert (
        read(HOOK, client(server.url), ("InvokeModel", {"modelId": "m", "body": pipe}), {}) is None
    )
    assert not pipe.read_before


def test_a_body_that_is_no_json_goes_through(server):
    """What cannot be read is counted as nothing and sent as it is."""
    server.answer, server.requests = bedrock.INVOKED, []
    with capture() as captured:
        bedrock.invoked(server.url, {"modelId": bedrock.MODEL, "body": b"no json"})["body"].read()
    assert server.requests[0].content == b"no json"
    (call,) = captured.calls
    assert call.model == bedrock.MODEL


@pytest.mark.parametrize("instrumented", [False, True])
def test_a_stream_that_was_read_goes_at_once(server, instrumented):
    """What was read to its end is freed without the collector's help, as without us."""
    server.answer = bedrock.STREAM

    def run():
        opened = client(server.url).converse_stream(**CONVERSE.request)["stream"]
        list(opened)
        return weakref.ref(opened)

    gc.disable()
    try:
        if instrumented:
            with capture():
                assert run()() is None
        else:
            assert run()() is None
    finally:
        gc.enable()


def test_a_long_body_is_not_kept(server, monkeypatch):
    """Of a body above the bound the headers tell."""
    monkeypatch.setattr(unread, "MOST", 64)
    server.answer = bedrock.INVOKED
    with capture() as captured:
        body = bedrock.invoked(server.url, body_of(INVOKE.request))["body"]
        assert json.loads(b"".join(body)) == bedrock.CLAUDE_SAID
    (call,) = captured.calls
    assert call.usage.input == 21


def test_a_refusal_of_the_service_teaches_the_limit(server):
    """A context-length error that names its limit is learned, as of any provider."""
    text = "The model returned the following errors: prompt is too long: 1400 tokens > 1000 maximum"
    error = {"x-amzn-errortype": "ValidationException"}
    server.answer = whole({"message": text}, status=400, headers=error)
    with capture() as captured:
        with pytest.raises(client(server.url).exceptions.ValidationException):
            client(server.url).converse(**CONVERSE.longer().request)
        (learned,) = tokentrace.status()["learned"].values()
    assert learned["tokens"] == 1000
    (call,) = captured.calls
    assert call.error_type
