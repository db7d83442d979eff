"""What leaves an agent fits into the back ends: texts, lists, spans, traces."""

from __future__ import annotations

import json
import logging

import openai
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tokentrace
from tokentrace import fitting, schema
from tokentrace.telemetry import weighing
from tokentrace.testing import Wire, capture, openai_chat

TEMPO = 2_048  # bytes of a text, by default
LONG = "Straße 1, " * 2_000
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"a_tool_with_a_rather_long_name_that_goes_on_and_on_{n:03}",
            "description": f"Does the thing number {n}. " * 4,
            "parameters": {"type": "object", "properties": {}},
        },
    }
    for n in range(80)
]


@pytest.fixture
def ask():
    """Return what sends one message, with a real client over a wire in this process."""
    wire = Wire(openai_chat("Done.", prompt_tokens=50))
    client = openai.OpenAI(api_key="test", http_client=wire.client("openai"))

    def ask(content, **more):
        messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
        return client.chat.completions.create(model="gpt-4o", messages=messages, **more)

    return ask


@pytest.fixture
def app():
    """Return a provider of an application and its spans."""

    def app(**limits):
        exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(**limits))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return provider, exporter.get_finished_spans

    return app


def texts(span):
    """Yield every text on a span and its events, with the name of its attribute."""
    for known in (span.attributes, *(event.attributes for event in span.events)):
        for key, value in known.items():
            if isinstance(value, str):
                yield key, value
            elif isinstance(value, tuple):
                yield key, "".join(map(str, value))


def size(text):
    return len(text.encode())


def test_no_text_of_a_talkative_agent_is_longer_than_tempo_takes(ask):
    """Names, reasons, lists, details and content that are far too long leave as what fits, marked."""
    attributes = {"tenant.id": LONG, "tenant.tags": [f"{n} {LONG}" for n in range(64)]}
    with (
        capture(capture_content=True, guard=tokentrace.Guard(limit=1_000)) as captured,
        tokentrace.session(LONG, agent=LONG, attributes=attributes),
        tokentrace.turn(),
        tokentrace.assembly(LONG),
        pytest.warns(tokentrace.TokenLimitWarning),
    ):
        tokentrace.exclude(LONG, LONG, reason=LONG)
        ask(LONG, tools=TOOLS, user=LONG)
    found = [pair for span in captured.spans for pair in texts(span)]
    assert max(size(text) for _, text in found) <= 2_000
    assert all(size(span.name) < TEMPO for span in captured.spans)
    cut = {key for key, text in found if "…[cut: " in text}
    assert {schema.CONVERSATION, schema.AGENT, "tenant.id", schema.INPUT_MESSAGES} <= cut
    (call,) = (span for span in captured.spans if span.name.startswith("chat"))
    assert call.attributes["tenant.tags"][-1].startswith("+")
    assert json.loads(call.attributes[schema.DETAILS])[-1].startswith("+")
    (message,) = json.loads(call.attributes[schema.INPUT_MESSAGES])["messages"]
    assert message["content"].startswith("Straße 1, ")


def test_content_has_as_much_room_as_was_asked_for(ask, monkeypatch):
    """A back end that takes more is told more: the bound is a setting."""
    monkeypatch.setenv("TOKENTRACE_ATTRIBUTE_BYTES", "64000")
    with capture(capture_content=True) as captured:
        ask(LONG)
    (span,) = captured.spans
    assert json.loads(span.attributes[schema.INPUT_MESSAGES])["messages"][0]["content"] == LONG


def test_a_bound_that_is_none_is_the_default(ask, monkeypatch, caplog):
    """A bound too small for a mark is refused with one warning."""
    monkeypatch.setenv("TOKENTRACE_ATTRIBUTE_BYTES", "16")
    with caplog.at_level(logging.WARNING, "tokentrace"), capture(capture_content=True) as captured:
        ask(LONG)
    assert "TOKENTRACE_ATTRIBUTE_BYTES" in caplog.text
    assert 1_900 < size(captured.spans[0].attributes[schema.INPUT_MESSAGES]) <= 2_000


@pytest.mark.parametrize(
    "limit", [{"max_span_attribute_length": 300}, {"max_attribute_length": 300}]
)
def test_a_providers_own_limit_breaks_no_json(ask, app, limit):
    """Where the SDK would cut at 300 characters, we cut before it, with a mark."""
    provider, spans = app(**limit)
    tokentrace.instrument(tracer_provider=provider, capture_content=True)
    ask(LONG, tools=TOOLS)
    (span,) = spans()
    for key in (schema.INPUT_MESSAGES, schema.DETAILS):
        assert json.loads(span.attributes[key])
        assert size(span.attributes[key]) <= 300


# ── traces ───────────────────────────────────────────────────────────────────────────────────────


def test_a_session_is_one_trace_a_turn_linked(ask):
    """Turns of a session are traces of their own, each linked to the one before, calls inside."""
    with capture() as captured, tokentrace.session("s", agent="a"):
        for number in range(30):
            with tokentrace.turn():
                ask(f"question {number}")
                ask(f"question {number}, again")
    turns = [span for span in captured.spans if span.name == "invoke_agent a"]
    traces = {span.context.trace_id for span in captured.spans}
    assert len(turns) == len(traces) == 30
    assert [turn.links[0].context for turn in turns[1:]] == [turn.context for turn in turns[:-1]]
    assert tokentrace.status()["traces"]["largest_spans"] == 3


@pytest.mark.parametrize("named", [True, False])
def test_an_agent_without_turns_is_one_trace_a_call_linked(ask, named):
    """Calls that nothing is open around are linked along their conversation, named or not."""
    messages = [{"role": "user", "content": "first question"}]
    with capture() as captured:
        for number in range(10):
            with tokentrace.session("s" if named else None):
                ask(messages)
            answer = {"role": "assistant", "content": f"answer {number}"}
            messages = [*messages, answer, {"role": "user", "content": f"question {number}"}]
    spans = captured.spans
    assert len({span.context.trace_id for span in spans}) == 10
    assert spans[0].links == ()
    assert [span.links[0].context for span in spans[1:]] == [span.context for span in spans[:-1]]


def test_conversations_are_not_linked_to_one_another(ask):
    """Two sessions that take turns make two chains."""
    with capture() as captured:
        for number in range(6):
            with tokentrace.session(f"s{number % 2}"):
                ask(f"question {number}")
    spans = captured.spans
    assert [span.links[0].context for span in spans[2:]] == [span.context for span in spans[:-2]]


def test_a_call_below_a_span_is_in_its_trace(ask, app):
    """What has a parent needs no link."""
    provider, spans = app()
    tokentrace.instrument(tracer_provider=provider)
    with provider.get_tracer("app").start_as_current_span("request"):
        ask("one")
        ask("one, and two")
    *calls, request = spans()
    assert all(call.parent == request.context and not call.links for call in calls)


def test_a_span_around_the_whole_agent_makes_one_large_trace_and_a_warning(
    ask, app, monkeypatch, caplog
):
    """Turns under a span of the application pile up in its trace; near the bound we say so, once."""
    monkeypatch.setenv("TOKENTRACE_ATTRIBUTE_BYTES", "100000")
    provider, spans = app()
    tokentrace.instrument(tracer_provider=provider, capture_content=True)
    text = LONG * 5  # 110 kB
    with (
        caplog.at_level(logging.WARNING, "tokentrace"),
        provider.get_tracer("app").start_as_current_span("the agent's loop"),
        tokentrace.session("s", agent="a"),
    ):
        for _ in range(45):
            with tokentrace.turn():
                ask(text)
    told = [record for record in caplog.records if "Tempo drops" in record.getMessage()]
    seen = tokentrace.status()["traces"]
    assert len({span.context.trace_id for span in spans()}) == 1
    assert len(told) == 1
    assert seen["largest_spans"] == 90
    assert seen["near_bound"] == 1
    assert fitting.NEAR * fitting.BOUND < seen["largest_bytes"] < fitting.BOUND


def test_weights_are_about_what_goes_over_the_wire(ask):
    """The weight of a trace is within a tenth of its spans in OTLP's protobuf form."""
    with capture() as captured, tokentrace.session("s", agent="a"), tokentrace.turn():
        tokentrace.exclude("memory", tokens=5, reason="too old")
        for number in range(20):
            ask(f"Grüße, question {number}", tools=TOOLS[:5])
    real = encode_spans(captured.spans)
    sent = sum(
        span.ByteSize()
        for resource in real.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )
    assert tokentrace.status()["traces"]["largest_bytes"] == pytest.approx(sent, rel=0.1)


def test_only_so_many_traces_are_weighed(ask):
    """The table of traces is bounded, whatever their number; the largest is remembered."""
    with capture():
        with tokentrace.session("s"), tokentrace.turn():
            ask("one")
            ask("one, two")
        for number in range(weighing.MOST_TRACES + 10):
            with tokentrace.session(f"s{number}"):
                ask("hello")
    assert len(weighing._traces) == weighing.MOST_TRACES
    assert tokentrace.status()["traces"]["largest_spans"] == 3
