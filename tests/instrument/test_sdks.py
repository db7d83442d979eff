"""SDKs that bring their own HTTP, in every form of a call: the real SDK against a server on loopback."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import tokentrace
from instrument.loopback import Server
from instrument.sdks.table import MANY, shorter
from tokentrace.testing import capture

# an SDK's stream that is dropped leaves its socket to the collector, with us and without
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    # google-genai where aiohttp is installed
    pytest.mark.filterwarnings("ignore:Inheritance class Aiohttp:DeprecationWarning"),
]

# the module of rows, by the SDK that it needs
MODULES = {
    "ollama": "ollama",
    "botocore": "bedrock",
    "huggingface_hub": "huggingface",
    "google.genai": "google",
    "mistralai": "mistral",
    "cohere": "cohere",
    "litellm": "litellm",
    "aiobotocore": "aiobotocore",
    "dashscope": "dashscope",
}
ROWS = {
    row.name: row
    for needed, module in MODULES.items()
    if find_spec(needed)
    for row in import_module(f"instrument.sdks.{module}").ROWS
}
# litellm warns of itself in many places
MARKS = {"litellm": (pytest.mark.filterwarnings("ignore"),)}
CASES = [
    pytest.param(name, form, id=f"{name}-{form}", marks=MARKS.get(row.sdk, ()))
    for name, row in ROWS.items()
    for form in row.forms
]

every_form = pytest.mark.parametrize(("name", "form"), CASES)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run one server for all."""
    with Server() as running:
        yield running


def perform(server, row, form):
    """Do what a caller does; return the outcome and the requests that arrived."""
    chosen = row.forms[form]
    server.answer, server.requests = chosen.answer, []
    try:
        outcome = chosen.do(server.url, row.request)
        if inspect.iscoroutine(outcome):
            outcome = asyncio.run(outcome)
    except Exception as error:
        outcome = (type(error).__name__, str(error))
    return outcome, [(sent.path, sent.content) for sent in server.requests]


def comparable(outcome):
    """Return an outcome so that two runs of it compare equal."""
    if isinstance(outcome, list | tuple):
        return type(outcome)(comparable(item) for item in outcome)
    dump = getattr(outcome, "model_dump", None)
    return (type(outcome).__name__, dump() if dump else outcome)


@every_form
def test_one_span_with_the_numbers(server, name, form):
    """One call is one span, with the counted and the reported tokens."""
    row = ROWS[name]
    with capture() as captured:
        perform(server, row, form)
    (call,) = captured.calls
    assert len(captured.spans) == 1
    assert (call.api, call.provider, call.model) == (row.api, row.provider, row.model)
    assert call.usage.input == row.forms[form].reported
    assert call.tokens == sum(call.components.values())
    assert 5 <= call.components["user"] <= 9
    assert bool(call.error_type) == row.forms[form].fails
    assert bool(call.settings.get("stream")) == (
        "stream" in form or "exit" in form or "drop" in form
    )


@every_form
def test_the_host_gets_what_it_would_get(server, name, form):
    """Result, types, errors and the bytes on the wire are those of a run without us."""
    bare, bare_sent = perform(server, ROWS[name], form)
    with capture():
        traced, sent = perform(server, ROWS[name], form)
    assert comparable(traced) == comparable(bare)
    assert sent == bare_sent
    assert len(sent) == 1


@every_form
def test_the_caller_is_the_parent(server, name, form):
    """The span lies under the span that was current, and leaves it current."""
    tracer = TracerProvider().get_tracer("app")
    with capture() as captured, tracer.start_as_current_span("agent") as span:
        perform(server, ROWS[name], form)
        assert trace.get_current_span() is span
    (call,) = captured.calls
    assert call.parent_id == f"{span.get_span_context().span_id:016x}"


@every_form
def test_a_refusal_leaves_no_byte(server, name, form):
    """The guard's refusal reaches the caller as it is, before anything is sent."""
    guard = tokentrace.Guard(limit=10, on_exceed="raise")
    with capture(guard=guard) as captured:
        outcome, sent = perform(server, ROWS[name].longer(), form)
    assert outcome[0] == "TokenLimitExceeded"
    assert sent == []
    (call,) = captured.calls
    assert (call.decision, call.usage.input) == ("refuse", None)
    assert call.error_type == "tokentrace.TokenLimitExceeded"


@every_form
def test_a_shorter_body_is_what_is_sent(server, name, form):
    """What the guard's callback leaves of a body goes onto the wire."""
    _, bare = perform(server, ROWS[name], form)
    guard = tokentrace.Guard(limit=900, on_exceed="raise", compress=shorter)
    with capture(guard=guard) as captured:
        _, sent = perform(server, ROWS[name].longer(), form)
    assert sent == bare
    (call,) = captured.calls
    assert call.compressed_tokens > 3 * MANY
