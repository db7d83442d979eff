"""`instrument`, `uninstrument` and `status`, and what a call does between them, on the real SDK."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tokentrace
from instrument.forms import SDKS, Shop
from tokentrace import _failsafe, schema
from tokentrace.instrument.hooks import HOOKS
from tokentrace.testing import Wire, capture, openai_chat

openai = pytest.importorskip("openai")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # anthropic's, of models

OPENAI = SDKS["openai"]
LONG = "The pod restarts because its memory limit is lower than what the cache needs. " * 40


def ask(*texts, wire=None, **more):
    """Make one call with these messages; return the wire."""
    wire = wire or Wire(OPENAI.plain)
    roles = ("user", "assistant")
    talk = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    Shop(OPENAI, asynchronous=False, wire=wire).resource().create(
        model="gpt-4o", messages=talk, **more
    )
    return wire


# ── putting in, taking out ───────────────────────────────────────────────────────────────────────


def test_hooks_go_in_once_and_come_out_whole(caplog):
    """Twice in is one span and one line; out is the SDK's own function again."""
    original = openai._base_client.SyncAPIClient.__dict__["request"]
    caplog.set_level(logging.INFO)
    with capture() as captured:
        tokentrace.instrument(tracer_provider=trace.NoOpTracerProvider())
        assert caplog.text.count("instrumented already") == 1
    with capture() as captured:
        ask("hi")
        assert len(captured.calls) == 1
    assert openai._base_client.SyncAPIClient.__dict__["request"] is original
    tokentrace.uninstrument()
    assert tokentrace.status()["active"] is False


def test_capture_leaves_an_application_as_it_was():
    """Its own exporter is open, its guard at work and its spans its own again, also after an inner one."""
    own = InMemorySpanExporter()
    tokentrace.instrument(exporter=own, guard=tokentrace.Guard(limit=200, on_exceed="raise"))
    ask("mine")
    with capture(guard=False) as captured:
        ask(LONG)
        with capture(guard=False) as inner:
            ask("inner")
        ask("outer")
    with pytest.raises(tokentrace.TokenLimitExceeded):
        ask(LONG)
    ask("mine")
    assert (len(captured.calls), len(inner.calls)) == (2, 1)
    assert len(own.get_finished_spans()) == 3


def test_another_wrapper_above_ours_stays_and_ours_sleeps():
    """Taking ours out leaves what somebody put on top of it; ours then does nothing."""
    owner = openai._base_client.SyncAPIClient
    original = owner.__dict__["request"]
    try:
        with capture() as captured:
            ours = owner.__dict__["request"]

            def theirs(self, *args, **kwargs):
                return ours.__get__(self)(*args, **kwargs)

            owner.request = theirs
        assert owner.__dict__["request"] is theirs
        ask("hi")
        assert captured.calls == []
    finally:
        owner.request = original


def test_status_tells_each_row():
    """Rows are hooked, off when left out, and told as such."""
    with capture(sdks="openai"):
        rows = tokentrace.status()["hooks"]
    assert rows["openai._base_client:SyncAPIClient.request"] == "hooked"
    assert rows["anthropic._base_client:SyncAPIClient.request"] == "off"


def test_an_unknown_sdk_is_told_with_the_known_ones(caplog):
    """A misspelled SDK is one warning that names those there are."""
    with capture(sdks=["opneai"]):
        assert "opneai" in caplog.text
        assert ", ".join(sorted({hook.sdk for hook in HOOKS})) in caplog.text


@pytest.mark.parametrize("guard", ["warn", 5, {}])
def test_a_guard_that_is_none_is_refused_at_once(guard):
    """A wrong argument is an error where it is given, not a default guard in production."""
    with pytest.raises(TypeError, match="Guard"):
        tokentrace.instrument(guard=guard)


def test_the_environment_shapes_the_default_guard(monkeypatch):
    """Limit, thresholds and what happens above come from the environment."""
    monkeypatch.setenv("TOKENTRACE_LIMIT", "100")
    monkeypatch.setenv("TOKENTRACE_ON_EXCEED", "raise")
    with capture() as captured, pytest.raises(tokentrace.TokenLimitExceeded) as caught:
        ask(LONG)
    assert caught.value.report.count.limit == 100
    assert captured.calls[0].limit_source == "configured"


@pytest.mark.parametrize(
    ("name", "value"),
    [("LIMIT", "-1"), ("LIMIT", "many"), ("THRESHOLDS", "2"), ("ON_EXCEED", "explode")],
)
def test_bad_settings_are_one_warning_and_the_default(monkeypatch, caplog, name, value):
    """A bad value of a variable never stops an agent."""
    monkeypatch.setenv(f"TOKENTRACE_{name}", value)
    with capture() as captured:
        ask("hi")
    assert len(captured.calls) == 1
    assert caplog.text.count(f"TOKENTRACE_{name}") == 1


def test_guard_off_still_traces():
    """Without a guard the span is there and says so."""
    with capture(guard=False) as captured:
        ask("hi")
    assert captured.calls[0].decision == "off"


# ── providers ────────────────────────────────────────────────────────────────────────────────────


def test_a_provider_that_the_application_sets_later_gets_the_spans(monkeypatch):
    """Which provider records is decided at each span: the application's, however late."""
    ours, theirs = InMemorySpanExporter(), InMemorySpanExporter()
    tokentrace.instrument(exporter=ours)
    ask("before")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    ask("after")
    tokentrace.uninstrument()
    assert len(ours.get_finished_spans()) == len(theirs.get_finished_spans()) == 1


def test_a_disabled_sdk_leaves_the_guard_at_work(monkeypatch):
    """OTEL_SDK_DISABLED means no span; the limit holds all the same."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with capture(guard=tokentrace.Guard(limit=100, on_exceed="raise")) as captured:
        with pytest.raises(tokentrace.TokenLimitExceeded):
            ask(LONG)
        ask("short")
    assert captured.spans == ()


# ── places ───────────────────────────────────────────────────────────────────────────────────────


def test_session_agent_and_turn_stand_on_the_span():
    """Calls of a session carry its names, lie under the turn's span and know their growth."""
    with capture() as captured:
        with tokentrace.session("conv-1", agent="devops", attributes={"tenant.id": "t1"}):
            for text in ("one", "one two three four"):
                with tokentrace.turn():
                    ask(text)
    first, second = captured.calls
    assert (first.session, first.agent, first.turn) == ("conv-1", "devops", 1)
    assert (second.turn, second.delta, second.trend) == (2, 3, "increase")
    assert first.lineage == second.lineage
    turns = [span for span in captured.spans if span.name == "invoke_agent devops"]
    assert [f"{turn.context.span_id:016x}" for turn in turns] == [
        call.parent_id for call in captured.calls
    ]
    assert all(span.attributes["tenant.id"] == "t1" for span in captured.spans)


def test_a_conversation_without_a_name_has_only_a_lineage():
    """Calls that continue one another share a lineage, others do not; no id is made up."""
    with capture() as captured:
        ask("What is a pod?")
        ask("What is a pod?", "A group of containers.", "And a node?")
        ask("Tell me a joke.")
    first, second, third = captured.calls
    assert first.lineage == second.lineage != third.lineage
    assert (first.session, first.turn, second.turn) == ("", 1, 2)


def test_tagged_text_is_a_component_and_a_lost_one_is_counted():
    """What a component function returned is found again inside a longer message."""

    @tokentrace.component("memory")
    def recall():
        return "The user works on staging, and the namespace is web."

    with capture() as captured, tokentrace.session("s"):
        ask(f"Context: {recall()}\nQuestion: why?")
        tokentrace.tag("runbook", "Restart loops: read the previous container's logs first.")
        ask("Context: nothing")
    assert captured.calls[0].components["memory"] == 11
    assert "memory" not in captured.calls[1].components


def test_names_from_user_text_stay_inside_until_they_are_a_template():
    """A key of a JSON block is told once it stood at the same place with other content."""
    blocks = [
        json.dumps({"core_goal": goal, "notes": "n" * 40}) for goal in ("ship", "rest", "fix")
    ]
    with capture() as captured, tokentrace.session("s", agent="a"):
        for block in blocks:
            ask(f"CONTEXT: {block}")
    assert "section.core_goal" not in captured.calls[0].components
    assert "section.core_goal" in captured.calls[1].components
    assert "section.notes" not in captured.calls[2].components
    assert all(sum(c.components.values()) == c.tokens for c in captured.calls)


@pytest.mark.parametrize(("wanted", "there"), [(False, False), (True, True)])
def test_content_leaves_only_when_asked_for(wanted, there):
    """No prompt text on any span, unless capture_content says so."""
    with capture(capture_content=wanted) as captured:
        ask("the password is swordfish")
    (span,) = captured.spans
    assert ("swordfish" in span.to_json()) is there
    assert (schema.INPUT_MESSAGES in span.attributes) is there


# ── the guard in a call ──────────────────────────────────────────────────────────────────────────


def shorten(body, report):
    """Keep the last message only."""
    assert report.decision == "compress"
    return {**body, "messages": body["messages"][-1:]}


async def shorten_later(body, report):
    """Do the same, after a moment."""
    await asyncio.sleep(0)
    return shorten(body, report)


def guarded(compress):
    """Return a guard that refuses above 500 tokens."""
    return tokentrace.Guard(limit=500, on_exceed="raise", compress=compress)


def test_a_compressed_body_is_what_leaves():
    """The callback's body is sent instead of the caller's, which stays as it was."""
    with capture(guard=guarded(shorten)) as captured:
        wire = ask(LONG, "And?", "why?")
    assert wire.requests[0].body["messages"] == [{"role": "user", "content": "why?"}]
    (call,) = captured.calls
    assert (call.decision, call.tokens) == ("compress", 9)
    assert call.compressed_tokens > 500
    assert [event.name for event in call.events] == [schema.CONTEXT_COMPRESSED]


@pytest.mark.parametrize("compress", [shorten, shorten_later])
def test_an_async_client_takes_callbacks_of_both_kinds(compress):
    """An async callback is awaited before anything is sent."""
    wire = Wire(OPENAI.plain)

    async def run():
        talk = [{"role": "user", "content": LONG}, {"role": "user", "content": "why?"}]
        create = Shop(OPENAI, asynchronous=True, wire=wire).resource().create
        return await create(model="gpt-4o", messages=talk)

    with capture(guard=guarded(compress)) as captured:
        assert asyncio.run(run()).choices[0].message.content == "Because."
    assert len(wire.requests[0].body["messages"]) == 1
    assert captured.calls[0].decision == "compress"


def test_an_async_callback_on_a_sync_client_is_an_error_of_the_callback():
    """Nobody can await it there, so it is counted, and on_exceed applies."""
    wire = Wire(OPENAI.plain)
    with capture(guard=guarded(shorten_later)), pytest.raises(tokentrace.TokenLimitExceeded):
        ask(LONG, "And?", "why?", wire=wire)
    assert wire.requests == []
    assert any("callback compress" in kind for kind in _failsafe.failures)


def test_calls_inside_a_callback_are_traced_and_not_guarded():
    """A callback may ask a model for a summary."""
    inner = Wire(openai_chat("short", prompt_tokens=5))

    def summarise(body, report):
        ask(LONG, wire=inner)
        return {**body, "messages": body["messages"][-1:]}

    with capture(guard=guarded(summarise)) as captured:
        ask(LONG, "And?", "why?")
    assert len(inner.requests) == 1
    assert [call.decision for call in captured.calls] == ["off", "compress"]


def test_a_warning_comes_once_a_crossing_and_again_after_a_fall():
    """One Python warning and one event for each upward crossing of a threshold."""
    guard = tokentrace.Guard(limit=1_000, thresholds=(0.5,), forecast_turns=0)
    sizes = [LONG, LONG + "more", "small", LONG]
    with capture(guard=guard) as captured, tokentrace.session("s", agent="a"):
        with pytest.warns(tokentrace.TokenLimitWarning) as warned:
            for text in sizes:
                ask(text)
    assert len(warned) == 2
    assert str(warned[0].message) == str(warned[1].message)
    assert warned[0].message.report.count.limit == 1_000
    told = [[event.name for event in call.events] for call in captured.calls]
    assert told == [[schema.LIMIT_WARNING], [], [], [schema.LIMIT_WARNING]]


def test_a_warning_that_is_an_error_stops_the_call():
    """Where the filter says error, nothing is sent."""
    wire = Wire(OPENAI.plain)
    guard = tokentrace.Guard(limit=1_000, thresholds=(0.5,))
    with capture(guard=guard), pytest.raises(tokentrace.TokenLimitWarning):
        ask(LONG, wire=wire)
    assert wire.requests == []


def test_a_session_may_bring_its_own_guard():
    """The session's guard wins over the process's; False is none."""
    strict = tokentrace.Guard(limit=10, on_exceed="raise")
    with capture(guard=False) as captured:
        with tokentrace.session("s", guard=strict), pytest.raises(tokentrace.TokenLimitExceeded):
            ask(LONG)
        with tokentrace.session("t", guard=False):
            ask(LONG)
    assert [call.decision for call in captured.calls] == ["refuse", "off"]


def test_reported_usage_makes_drift():
    """What the provider says beyond the count is drift, and what is unexplained is told."""
    with capture() as captured:
        ask("hi", wire=Wire(openai_chat("x", prompt_tokens=100)))
    (call,) = captured.calls
    assert call.drift == call.unattributed == 100 - call.tokens
    assert captured.spans[0].attributes[schema.DRIFT] == call.drift
