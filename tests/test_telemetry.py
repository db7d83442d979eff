"""Spans, metrics and events as an application's providers see them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from opentelemetry import context, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode

from tokentrace import _failsafe, schema, telemetry
from tokentrace.errors import TokenLimitExceeded
from tokentrace.prompt import CallRecord, ContextRecord, Usage
from tokentrace.telemetry import meters

BEFORE = CallRecord(
    provider="openai",
    model="gpt-4o",
    api="openai.chat",
    session="s1",
    tokens=85,
    method="exact",
    components={"history": 60, "system": 25},
    limit=100,
    decision="warn",
)


def after(**changes):
    """Return the call as it stands when it ends."""
    from dataclasses import replace

    return replace(BEFORE, usage=Usage(input=87, output=5, response_model="gpt-4o-2024"), **changes)


def in_memory():
    """Return what keeps log records, by its name since OpenTelemetry 1.39 or its older one."""
    named = getattr(log_export, "InMemoryLogRecordExporter", None)
    return (named or log_export.InMemoryLogExporter)()


def event_of(line):
    """Return the event of a log record: its field since OpenTelemetry 1.35, or an attribute."""
    return getattr(line, "event_name", None) or line.attributes[schema.EVENT_NAME]


class Recorder:
    """Providers of an application, with everything they got."""

    def __init__(self, **tracing):
        self.exporter = InMemorySpanExporter()
        self.tracing = TracerProvider(shutdown_on_exit=False, **tracing)
        self.tracing.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.metering = MeterProvider([self.reader], shutdown_on_exit=False)
        self.lines = in_memory()
        self.logging = LoggerProvider(shutdown_on_exit=False)
        self.logging.add_log_record_processor(SimpleLogRecordProcessor(self.lines))

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    @property
    def logs(self):
        return [data.log_record for data in self.lines.get_finished_logs()]

    def points(self, name):
        """Return a metric's data points."""
        data = self.reader.get_metrics_data()
        found = data.resource_metrics if data else []
        return [
            point
            for resource in found
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def configure(self, **changes):
        telemetry.configure(
            tracer_provider=self.tracing,
            meter_provider=self.metering,
            logger_provider=self.logging,
            **changes,
        )


@pytest.fixture
def app():
    recorder = Recorder()
    recorder.configure()
    return recorder


@pytest.fixture
def no_global(monkeypatch):
    """Undo a global provider that a test sets, which the API allows only once."""
    from opentelemetry.util._once import Once

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


def test_a_call_is_one_span_with_its_numbers(app):
    """One CLIENT span bears what was known before and after, and reads back as the record."""
    telemetry.open_call(BEFORE).close(after())
    (span,) = app.spans
    assert (span.name, span.kind) == ("chat gpt-4o", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    read = telemetry.record_of(span)
    assert (read.tokens, read.usage.input, read.drift) == (85, 87, 2)
    assert read.components == {"history": 60, "system": 25}
    assert read.trace_id == f"{span.context.trace_id:032x}"


def test_samplers_get_the_attributes_at_the_start():
    """A sampler sees operation, provider and model before it decides."""
    seen = []

    class Sampler(type(ALWAYS_OFF)):
        def should_sample(self, *args, **kwargs):
            seen.append(dict(args[4]))
            return super().should_sample(*args, **kwargs)

    app = Recorder(sampler=Sampler(ALWAYS_OFF._decision))
    app.configure()
    telemetry.open_call(BEFORE).close(after())
    assert list(seen[0])[:3] == [schema.OPERATION, schema.PROVIDER, schema.REQUEST_MODEL]


def test_an_unsampled_call_records_metrics_but_no_span():
    """A sampler that drops everything leaves the handle not recording; metrics are still right."""
    app = Recorder(sampler=ALWAYS_OFF)
    app.configure()
    handle = telemetry.open_call(BEFORE)
    assert not handle.recording
    handle.close(after())
    assert app.spans == ()
    assert len(app.points(schema.TOKEN_USAGE)) == 2


def test_a_failed_call_has_an_error_type_and_no_text(app):
    """Status ERROR and the exception's type; what the exception says stays inside."""
    telemetry.open_call(BEFORE).close(BEFORE, ValueError("sk-secret in the prompt"))
    (span,) = app.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes[schema.ERROR_TYPE] == "ValueError"
    assert "secret" not in span.to_json()
    assert span.events == ()


def test_a_refused_call_has_its_span_without_usage(app):
    """A refusal is an error of our type, and nobody claims that tokens were used."""
    refusal = TokenLimitExceeded.__new__(TokenLimitExceeded)
    telemetry.open_call(BEFORE).close(BEFORE, refusal)
    (span,) = app.spans
    assert span.attributes[schema.ERROR_TYPE] == "tokentrace.TokenLimitExceeded"
    assert not [key for key in span.attributes if key.startswith("gen_ai.usage")]
    assert app.points(schema.TOKEN_USAGE) == []


def test_closing_twice_ends_once(app, caplog):
    """However often and from how many threads a call is closed, it ends once."""
    handle = telemetry.open_call(BEFORE)
    threads = [threading.Thread(target=handle.close, args=(after(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handle.close(after())
    assert len(app.spans) == 1
    assert sum(point.count for point in app.points(schema.DURATION)) == 1
    assert caplog.records == []


def test_late_numbers_arrive_in_one_go(app, monkeypatch):
    """What is known only afterwards is set by a single call on the span."""
    handle = telemetry.open_call(BEFORE)
    calls = []
    real = handle.span.set_attributes
    monkeypatch.setattr(
        handle.span, "set_attributes", lambda given: (calls.append(given), real(given))
    )
    handle.close(after(delta=3))
    assert len(calls) == 1
    assert schema.REQUEST_MODEL not in calls[0]
    assert calls[0][schema.DELTA] == 3


def test_components_that_vanish_have_no_tokens(app):
    """A recount with other components leaves no tokens of the first count behind."""
    handle = telemetry.open_call(BEFORE)
    handle.close(after(components={"memory": 85}))
    read = telemetry.record_of(app.spans[0])
    assert sum(read.components.values()) == read.tokens == 85


@pytest.mark.parametrize("limit", [4, 12, 24, 40, 64, 128])
def test_a_recount_on_a_small_span_keeps_the_sum(limit):
    """Components that change during the call still sum up, however few of them fit."""
    app = Recorder(span_limits=SpanLimits(max_span_attributes=limit))
    app.configure()
    first = {f"part_{number}": 100 + number for number in range(30)}
    second = {f"part_{number}": 7 + number for number in range(20, 50)}
    telemetry.open_call(
        CallRecord(tokens=sum(first.values()), method="estimated", components=first)
    ).close(
        CallRecord(
            tokens=sum(second.values()), method="exact", components=second, usage=Usage(1, 2)
        )
    )
    (span,) = app.spans
    components = schema.load({schema.TOKENS: 0, **span.attributes}).components
    assert span.dropped_attributes == 0
    assert not components or sum(components.values()) == span.attributes[schema.TOKENS] == sum(
        second.values()
    )


@pytest.mark.parametrize("limit", [4, 12, 24, 40, 64])
def test_a_small_attribute_limit_costs_ours_not_the_standards(limit):
    """Where a span holds few attributes, the first ones survive and Σ holds or is absent."""
    app = Recorder(span_limits=SpanLimits(max_span_attributes=limit))
    app.configure()
    many = {f"part_{number}": 100 - number for number in range(30)}
    tokens = sum(many.values())
    telemetry.open_call(
        CallRecord(model="m", tokens=tokens, method="exact", components=many)
    ).close(
        CallRecord(model="m", tokens=tokens, method="exact", components=many, usage=Usage(1, 2))
    )
    (span,) = app.spans
    assert len(span.attributes) <= limit
    assert span.dropped_attributes == 0
    assert span.attributes[schema.OPERATION] == "chat"
    components = schema.load({schema.TOKENS: 0, **span.attributes}).components
    assert not components or sum(components.values()) == tokens


def test_the_span_is_current_only_inside_active(app):
    """The host's call sees the span as its parent, and what was current before comes back."""
    before = context.get_current()
    handle = telemetry.open_call(BEFORE)
    with handle.active():
        assert trace.get_current_span() is handle.span
    assert context.get_current() is before
    handle.close(after())


def test_attaching_twice_still_finds_the_way_back(app):
    """Entering again before leaving does not lose what was current at first."""
    before = context.get_current()
    handle = telemetry.open_call(BEFORE)
    handle.attach()
    handle.attach()
    handle.detach()
    handle.detach()
    assert context.get_current() is before
    handle.close(after())


def test_new_numbers_can_be_set_while_the_call_runs(app):
    """A count that lands during the call is on the span with what it changes, and no more."""
    handle = telemetry.open_call(CallRecord(model="m"))
    handle.update(CallRecord(model="m", tokens=5, method="exact", components={"user": 5}))
    handle.close(CallRecord(model="m", tokens=5, method="exact", components={"user": 5}))
    read = telemetry.record_of(app.spans[0])
    assert (read.tokens, read.components) == (5, {"user": 5})


def test_a_call_is_a_child_of_its_turn_and_turns_are_linked(app):
    """A turn is an INTERNAL span, parent of its calls, linked to the turn before."""
    registry = SimpleNamespace(last_turn=None)
    place = SimpleNamespace(session="s1", agent="devops", turn_number=1, attributes={"tenant.id": "t1"},
                            registry=registry)  # fmt: skip
    first = telemetry.open_turn(place, current=True)
    telemetry.open_call(BEFORE).close(after())
    inner = telemetry.open_turn(place)
    inner.close()
    first.close()
    place.turn_number = 2
    telemetry.open_turn(place).close()
    call, nested, one, two = app.spans
    assert nested.links == ()
    assert (one.name, one.kind) == ("invoke_agent devops", SpanKind.INTERNAL)
    assert call.parent.span_id == one.context.span_id
    assert [link.context.span_id for link in two.links] == [one.context.span_id]
    assert one.attributes["tenant.id"] == "t1"
    assert two.attributes[schema.TURN] == 2
    assert telemetry.record_of(one) is None


def test_a_turn_closed_elsewhere_leaves_that_place_alone(app, caplog):
    """Closing in another task or thread changes no context there and logs no error."""
    handle = telemetry.open_turn(None, current=True)
    token = context.attach(context.set_value("key", 1))

    async def elsewhere():
        with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
            inside = context.get_current()
            handle.close()
            return context.get_current() is inside

    assert asyncio.run(elsewhere())
    context.detach(token)
    context.attach(context.Context())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_turn_that_is_not_current_leaves_the_context_alone(app):
    """Where a body yields, the turn is a parent by its context only."""
    before = context.get_current()
    turn = telemetry.open_turn(None)
    assert context.get_current() is before
    telemetry.open_call(BEFORE, parent=turn).close(after())
    turn.close()
    assert app.spans[0].parent.span_id == app.spans[1].context.span_id


def test_an_assembly_has_its_sums_and_events(app):
    """An assembly's span bears its totals, each excluded piece an event and a log record."""
    handle = telemetry.open_assembly(
        "main", SimpleNamespace(session="s1", agent="a", turn_number=3)
    )
    telemetry.emit(
        schema.COMPONENT_EXCLUDED, {"name": "code", "tokens": 12, "reason": "budget"}, handle
    )
    handle.close(ContextRecord(name="main", session="s1", included=80, excluded=12, lost=1))
    read = telemetry.record_of(app.spans[0])
    assert (read.name, read.session, read.included, read.excluded, read.lost) == (
        "main",
        "s1",
        80,
        12,
        1,
    )
    assert read.events[0].attributes == {"name": "code", "tokens": 12, "reason": "budget"}
    (line,) = app.logs
    assert event_of(line) == schema.COMPONENT_EXCLUDED
    assert (line.trace_id, line.span_id) == (
        app.spans[0].context.trace_id, app.spans[0].context.span_id,
    )  # fmt: skip
    assert (line.attributes[schema.COMPONENT_NAME], line.severity_text) == ("code", "INFO")


def test_an_event_without_a_handle_goes_to_the_current_span(app):
    """The span that is current gets the event, whosever it is."""
    with app.tracing.get_tracer("theirs").start_as_current_span("theirs"):
        telemetry.emit(schema.LIMIT_WARNING, {"tokens": 9, "limit": 10})
    assert app.spans[0].events[0].name == schema.LIMIT_WARNING
    assert app.logs[0].severity_text == "WARN"


def test_metrics_hold_the_call(app):
    """Usage is the provider's, components are ours, and every attribute has few values."""
    telemetry.open_call(BEFORE).close(after(), overhead=0.0004)
    usage = {
        point.attributes[schema.TOKEN_TYPE]: point.sum for point in app.points(schema.TOKEN_USAGE)
    }
    assert usage == {"input": 87, "output": 5}
    parts = {
        p.attributes[schema.COMPONENT_NAME]: p.sum for p in app.points(schema.COMPONENT_TOKENS)
    }
    assert parts == {"history": 60, "system": 25}
    (ratio,) = app.points(schema.UTILIZATION)
    assert ratio.sum == pytest.approx(0.85)
    assert tuple(ratio.explicit_bounds) == schema.RATIOS
    (decision,) = app.points(schema.DECISIONS)
    assert (decision.value, decision.attributes[schema.DECISION]) == (1, "warn")
    assert app.points(schema.OVERHEAD)[0].sum == pytest.approx(0.0004)
    assert "s1" not in str(
        [point.attributes for name in schema.METRICS for point in app.points(name)]
    )


def test_a_failed_call_counts_in_duration(app):
    """Duration is recorded for failures too, under the error's type."""
    telemetry.open_call(BEFORE).close(BEFORE, TimeoutError())
    (point,) = app.points(schema.DURATION)
    assert point.attributes[schema.ERROR_TYPE] == "TimeoutError"


def test_metrics_know_at_most_sixty_four_names():
    """The names of a process are bounded, the rest is one name."""
    shown = Counter(meters.shown(f"part{number}") for number in range(100))
    assert len(shown) == 65
    assert shown["__other__"] == 36
    assert meters.shown("part3") == "part3"


def test_internal_errors_and_drops_are_metrics(app, monkeypatch):
    """What failed inside and what was lost can be seen in the metrics."""
    telemetry.open_call(BEFORE).close(after())
    monkeypatch.setitem(_failsafe.failures, "count:KeyError", 3)
    telemetry.sources._count_dropped("queue full", 7)
    errors = {p.attributes[schema.FAILURE]: p.value for p in app.points(schema.INTERNAL_ERRORS)}
    lost = {p.attributes[schema.DROP_REASON]: p.value for p in app.points(schema.DROPPED)}
    assert errors == {"count:KeyError": 3}
    assert lost == {"queue full": 7} == dict(telemetry.dropped())


def test_durations_do_not_follow_the_wall_clock():
    """A wall clock that is set back during a call leaves its duration as it was."""
    wall, steady = iter([10**18, 5]), iter([1_000, 2_001_000])
    app = Recorder()
    app.configure(wall=lambda: next(wall), steady=lambda: next(steady))
    telemetry.open_call(BEFORE).close(after())
    (span,) = app.spans
    assert (span.start_time, span.end_time - span.start_time) == (10**18, 2_000_000)
    assert app.points(schema.DURATION)[0].sum == pytest.approx(0.002)


def test_a_frozen_clock_gives_a_duration_of_nothing():
    """Time that stands still is no error."""
    app = Recorder()
    app.configure(wall=lambda: 7, steady=lambda: 7)
    telemetry.open_call(BEFORE).close(after())
    assert app.spans[0].end_time == app.spans[0].start_time == 7


def test_the_application_may_set_its_provider_late(no_global):
    """Spans go to our own provider until the application has one, and to that from then on."""
    ours, theirs = InMemorySpanExporter(), InMemorySpanExporter()
    telemetry.configure(exporter=ours)
    telemetry.open_call(BEFORE).close(after())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    trace.set_tracer_provider(provider)
    telemetry.open_call(BEFORE).close(after())
    assert len(ours.get_finished_spans()) == len(theirs.get_finished_spans()) == 1


def test_we_never_set_a_global_provider(no_global):
    """Recording leaves the application's choice of providers open."""
    telemetry.configure(exporter=InMemorySpanExporter())
    telemetry.open_call(BEFORE).close(after())
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_suppressed_code_is_not_traced(app):
    """Inside suppress_instrumentation there is neither span nor metric nor event."""
    with suppress_instrumentation():
        assert not telemetry.enabled()
        handle = telemetry.open_call(BEFORE)
        with handle.active():
            assert not handle.recording
        handle.close(after())
        telemetry.open_turn(None).close()
        telemetry.open_assembly("x").close(ContextRecord())
        telemetry.emit(schema.LIMIT_WARNING, {})
    assert app.spans == ()
    assert app.logs == []
    assert app.points(schema.DURATION) == []


def test_a_disabled_sdk_is_obeyed(monkeypatch):
    """OTEL_SDK_DISABLED switches spans off, whatever provider there is."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    app = Recorder()
    app.configure()
    assert not telemetry.enabled()
    telemetry.open_call(BEFORE).close(after())
    assert app.spans == ()


def test_no_exporter_means_no_span(monkeypatch):
    """OTEL_TRACES_EXPORTER=none leaves nothing to record with, and nothing breaks."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    telemetry.configure()
    handle = telemetry.open_call(BEFORE)
    assert not handle.recording
    assert handle.span_context is None
    handle.close(after())
    telemetry.emit(schema.LIMIT_WARNING, {})
    assert telemetry.folder() == ""


def test_the_applications_noop_provider_is_its_choice():
    """A provider that records nothing is used, and costs nothing."""
    telemetry.configure(tracer_provider=NoOpTracerProvider())
    handle = telemetry.open_call(BEFORE)
    assert not handle.recording
    handle.close(after())
    assert not handle._open


@pytest.mark.parametrize("hook", ["on_start", "on_end"])
def test_a_raising_processor_costs_a_span_only(app, hook, monkeypatch):
    """A processor of the application that raises is kept from the host by the fail-safe."""
    monkeypatch.delenv("TOKENTRACE_STRICT")

    class Raising(SpanProcessor):
        pass

    def fail(*args, **kwargs):
        raise RuntimeError("theirs")

    monkeypatch.setattr(Raising, hook, fail)
    app.tracing.add_span_processor(Raising())
    handle = _failsafe.attempt(telemetry.open_call, BEFORE)
    if handle is not None:
        _failsafe.attempt(handle.close, after())
        assert len(app.points(schema.DURATION)) == 1
    assert sum(_failsafe.failures.values()) == 1


def test_a_parent_comes_from_another_process(app, monkeypatch):
    """TRACEPARENT is the parent where no span is current, and only there."""
    monkeypatch.setenv("TRACEPARENT", f"00-{'ab' * 16}-{'cd' * 8}-01")
    with app.tracing.get_tracer("theirs").start_as_current_span(
        "theirs", context=context.Context()
    ):
        telemetry.open_call(BEFORE).close(after())
    telemetry.open_turn(None).close()
    call, theirs, turn = app.spans
    assert call.parent.span_id == theirs.context.span_id
    assert (turn.context.trace_id, turn.parent.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))


@contextmanager
def of_others(app, scope="someone", model=BEFORE.model, **more):
    """Be inside an LLM span of somebody else."""
    marks = {schema.OPERATION: "chat", schema.REQUEST_MODEL: model} | more
    with app.tracing.get_tracer(scope).start_as_current_span("theirs", attributes=marks) as span:
        yield span


@pytest.mark.parametrize(
    ("scope", "measured"),
    [
        ("opentelemetry.instrumentation.genai.openai", 0),
        ("opentelemetry.instrumentation.openai.v1", 0),
        ("openinference.instrumentation.openai", 1),
        ("logfire.openai", 1),
        ("my.own", 1),
    ],
)
def test_riding_on_a_span_of_another(app, scope, measured):
    """Where a call has a span already, ours go onto it; its owner ends it, metrics come once."""
    with of_others(app, scope, server__address="theirs") as span:
        handle = telemetry.open_call(BEFORE)
        handle.close(after())
        assert span.is_recording()
    (span,) = app.spans
    assert span.attributes[schema.TOKENS] == 85
    assert span.name == "theirs"
    assert len(app.points(schema.TOKEN_USAGE)) == 2 * measured
    assert len(app.points(schema.DURATION)) == measured
    assert len(app.points(schema.DECISIONS)) == 1


@pytest.mark.parametrize(
    "marks",
    [
        {schema.REQUEST_MODEL: "another-model"},
        {schema.OPERATION: "embeddings"},
        {schema.OPERATION: "invoke_agent"},
        {schema.TOKENS: 7},
    ],
)
def test_a_span_of_another_call_is_left_alone(app, marks):
    """A span of another model, another kind, or one that a call stands on already, is not ridden."""
    with of_others(app, **marks):
        telemetry.open_call(BEFORE).close(after())
    ours, theirs = app.spans
    assert (ours.name, theirs.name) == (f"chat {BEFORE.model}", "theirs")
    assert theirs.attributes.get(schema.TOKENS) == marks.get(schema.TOKENS)


def test_a_provider_that_was_given_is_not_passed_over(app):
    """Spans go to the provider that `instrument` was given, not onto a span of another one."""
    other = Recorder()
    with of_others(other):
        telemetry.open_call(BEFORE).close(after())
    assert len(app.spans) == 1
    assert schema.TOKENS not in other.spans[0].attributes


def test_under_suppression_only_a_span_that_is_there_gets_our_attributes(app):
    """Logfire suppresses others under its own span: that one is ours to stand on, none is made."""
    with suppress_instrumentation():
        telemetry.open_call(BEFORE).close(after())
    assert app.spans == ()
    with of_others(app), suppress_instrumentation():
        telemetry.open_call(BEFORE).close(after())
    assert [span.attributes[schema.TOKENS] for span in app.spans] == [85]


def test_importing_telemetry_loads_no_opentelemetry():
    """The module itself is light; OpenTelemetry comes with the first span."""
    code = (
        "import sys, json, tokentrace.telemetry; print(json.dumps('opentelemetry' in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) is False


def test_a_forked_child_does_not_hang():
    """A child forked while another thread holds our lock still records."""
    code = textwrap.dedent("""
        import os, sys, threading
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from tokentrace import telemetry
        from tokentrace.telemetry import sources
        from tokentrace.prompt import CallRecord
        exporter = InMemorySpanExporter()
        telemetry.configure(exporter=exporter)
        sources._state.lock.acquire()
        child = os.fork()
        if child == 0:
            telemetry.open_call(CallRecord()).close(CallRecord())
            os._exit(0 if len(exporter.get_finished_spans()) == 1 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stdout.strip() == "0"
