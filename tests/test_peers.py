"""Spans of others that are not current, or come late; and wrappers of others that came first."""

from __future__ import annotations

import functools
import sys
from types import SimpleNamespace

import pytest
import wrapt
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, use_span

import tokentrace
from instrument.forms import SDKS, Shop
from tokentrace import _failsafe, schema, telemetry
from tokentrace.instrument import captured
from tokentrace.prompt import CallRecord, Usage
from tokentrace.telemetry import peers, sources
from tokentrace.testing import Wire

LATE = "opentelemetry.instrumentation.openai.v1"
EARLY = "opentelemetry.instrumentation.anthropic"
RECORD = CallRecord(model="gpt-4o", api="openai.responses", tokens=9, method="exact")
ENDED = CallRecord(
    model="gpt-4o", api="openai.responses", tokens=9, method="exact", usage=Usage(input=12)
)


class Clock:
    """A wall clock that is moved by hand, in ns."""

    now = 10**18

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def spans(clock):
    """An application's provider, ours as well, whose ``start_span`` is watched."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.configure(tracer_provider=provider, wall=clock)

    def start(scope, name="theirs", **attributes):
        span = provider.get_tracer(scope).start_span(name, attributes=attributes)
        peers.started(span)
        return span

    yield SimpleNamespace(start=start, finished=exporter.get_finished_spans)
    peers.settle_all()


@pytest.fixture
def openllmetry(monkeypatch):
    """OpenLLMetry's instrumentor for openai, as switched on."""
    instance = SimpleNamespace(_is_instrumented_by_opentelemetry=True)
    kind = SimpleNamespace(_instance=instance)
    module = SimpleNamespace(OpenAIInstrumentor=kind)
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.openai", module)
    return instance


def names(spans):
    return [span.name for span in spans.finished()]


def test_a_span_that_was_started_but_not_made_current_is_found(spans):
    """OpenLLMetry's span of an Anthropic call is open beside the current one: ours go onto it."""
    marks = {schema.OPERATION: "chat", schema.REQUEST_MODEL: "gpt-4o"}
    theirs = spans.start(EARLY, **marks)
    telemetry.open_call(RECORD).close(ENDED)
    theirs.end()
    (span,) = spans.finished()
    assert span.attributes[schema.TOKENS] == 9


def test_one_that_has_ended_or_is_elsewhere_is_not(spans):
    """A span that is over, or was started under another one, is of another call."""
    marks = {schema.OPERATION: "chat", schema.REQUEST_MODEL: "gpt-4o"}
    spans.start(EARLY, **marks).end()
    telemetry.open_call(RECORD).close(ENDED)
    left = spans.start(EARLY, **marks)
    with telemetry.open_turn(SimpleNamespace(session="")).active():
        telemetry.open_call(RECORD).close(ENDED)
    left.end()
    ours = [span for span in spans.finished() if schema.TOKENS in span.attributes]
    assert [span.name for span in ours] == ["chat gpt-4o"] * 2


def test_a_late_span_gets_what_was_kept_for_it(spans, openllmetry):
    """OpenLLMetry starts its span of a Responses call when that has returned: one span, all ours on it."""
    handle = telemetry.open_call(RECORD)
    assert handle.recording
    telemetry.emit(schema.LIMIT_WARNING, {"tokens": 9}, handle)
    handle.close(ENDED)
    assert spans.finished() == ()
    spans.start(LATE, "openai.response").end()
    (span,) = spans.finished()
    assert span.attributes[schema.TOKENS] == 9
    assert span.attributes[schema.USAGE_INPUT] == 12
    assert [event.name for event in span.events] == [schema.LIMIT_WARNING]


def test_a_late_span_of_a_stream_comes_before_its_end(spans, openllmetry):
    """The span of a stream starts with it, and gets the late numbers when it has been read."""
    handle = telemetry.open_call(RECORD)
    theirs = spans.start(LATE, "openai.response")
    handle.close(ENDED)
    theirs.end()
    (span,) = spans.finished()
    assert span.attributes[schema.USAGE_INPUT] == 12


def test_where_no_late_span_comes_ours_is_made_in_its_place(spans, openllmetry, clock):
    """A call whose span was awaited in vain has one of ours, with its own times and its error."""
    telemetry.open_call(RECORD).close(ENDED, ValueError("no"))
    begun = clock.now
    clock.now += 2 * peers.PATIENCE_NS
    telemetry.open_call(RECORD)
    (span,) = spans.finished()
    assert (span.name, span.start_time) == ("chat gpt-4o", begun)
    assert span.end_time - span.start_time < peers.PATIENCE_NS
    assert span.attributes[schema.ERROR_TYPE] == "ValueError"
    assert not span.status.is_ok


def test_what_is_still_awaited_at_the_end_is_sent(spans, openllmetry):
    """Flushing makes spans of all that nobody has come for; each is made once."""
    telemetry.open_call(RECORD).close(ENDED)
    sources.flush()
    sources.flush()
    assert names(spans) == ["chat gpt-4o"]


def test_many_awaited_spans_do_not_grow_without_bound(spans, openllmetry):
    """Calls that never end are given up when there are too many of them."""
    for _ in range(peers.MOST_AWAITED + 10):
        telemetry.open_call(RECORD)
    assert len(peers._awaited) <= peers.MOST_AWAITED


def test_a_switched_off_instrumentation_is_not_waited_for(spans, openllmetry):
    """Without OpenLLMetry in place the span is ours at once."""
    openllmetry._is_instrumented_by_opentelemetry = False
    telemetry.open_call(RECORD).close(ENDED)
    assert names(spans) == ["chat gpt-4o"]


def test_two_instrumentations_are_told_once(spans, openllmetry, monkeypatch, caplog):
    """Two around one SDK are one warning that names both."""
    monkeypatch.setitem(sys.modules, "openai", SimpleNamespace(OpenAI=SimpleNamespace(
        _is_instrumented_by_logfire=True)))  # fmt: skip
    for _ in range(2):
        peers.tell("openai")
    assert caplog.text.count("Logfire and OpenLLMetry all trace the calls of openai") == 1


def test_a_broken_span_of_another_is_no_harm(spans, monkeypatch, caplog):
    """A span that cannot be asked is one line and one count: the call has a span of ours."""
    monkeypatch.setenv("TOKENTRACE_STRICT", "0")

    class Broken(NonRecordingSpan):
        attributes = property(lambda _self: 1 / 0)

        def is_recording(self):
            return True

    with use_span(Broken(INVALID_SPAN_CONTEXT)):
        telemetry.open_call(RECORD).close(ENDED)
        telemetry.open_call(RECORD).close(ENDED)
    assert names(spans) == ["chat gpt-4o"] * 2
    assert caplog.text.count("ZeroDivisionError") == 1
    assert _failsafe.failures == {"span_of:ZeroDivisionError": 2}


# ── who came first ───────────────────────────────────────────────────────────────────────────────


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return ["theirs", *function(*args, **kwargs)]

    return wrapper


def proxied(function):
    return wrapt.FunctionWrapper(function, lambda wrapped, _, a, k: ["theirs", *wrapped(*a, **k)])


@pytest.mark.parametrize("wrap", [decorated, proxied, lambda f: decorated(proxied(f))])
def test_wrappers_of_a_subclass_that_came_first_call_ours(wrap):
    """What another took hold of on a class below is replaced by ours, and put back."""

    class Base:
        def request(self):
            return ["sdk"]

    class Client(Base):
        pass

    original = Base.__dict__["request"]
    Client.request = wrap(Client.request)
    before = Client().request()
    Base.request = wrapt.FunctionWrapper(original, lambda w, _, a, k: ["ours", *w(*a, **k)])
    undo = captured.take(Base, "request", original)
    assert Client().request() == [*before[:-1], "ours", "sdk"]
    Base.request = original
    for put_back in undo:
        put_back()
    assert Client().request() == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_client_class_that_was_wrapped_before_us_is_traced():
    """With the real SDK: a wrapper that stood on the client class before us, and the way back."""
    import openai

    openai.OpenAI.request = proxied(openai.OpenAI.request)
    try:
        held = openai.OpenAI.__dict__["request"].__wrapped__
        wire = Wire(SDKS["openai"].plain)
        shop = Shop(SDKS["openai"], asynchronous=False, wire=wire)
        with tokentrace.testing.capture() as seen:
            answer = shop.resource().create(**SDKS["openai"].request)
            assert answer[0] == "theirs"
        assert len(seen.calls) == 1
        assert openai.OpenAI.__dict__["request"].__wrapped__ is held
    finally:
        del openai.OpenAI.request
