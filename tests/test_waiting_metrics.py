"""Metrics that wait for whoever collects them: the same numbers, nothing lost, nothing twice."""

from __future__ import annotations

import gc
import os
import tracemalloc
import weakref
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider

from tokentrace import schema, telemetry
from tokentrace.prompt import CallRecord, Usage
from tokentrace.telemetry import meters

RECORD = CallRecord(
    provider="openai",
    model="gpt-4o",
    tokens=85,
    method="exact",
    components={"history": 60, "system": 25},
    limit=100,
    decision="ok",
    server_address="api.openai.com",
    server_port=443,
    usage=Usage(input=87, output=5, response_model="gpt-4o-2024"),
)
TOKENS = st.none() | st.integers(-3, 2**40)
ENDED = st.tuples(
    st.builds(
        CallRecord,
        operation=st.sampled_from(["chat", "embeddings"]),
        provider=st.sampled_from(["", "openai"]),
        model=st.sampled_from(["", "gpt-4o", "m\x00odel"]),
        server_port=st.sampled_from([0, 443]),
        components=st.dictionaries(st.sampled_from("abc"), st.integers(0, 2**30), max_size=3),
        tokens=st.integers(0, 2**30),
        limit=st.none() | st.integers(0, 2**30),
        decision=st.sampled_from(["", "ok", "warn"]),
        usage=st.builds(
            Usage, input=TOKENS, output=TOKENS, response_model=st.sampled_from(["", "r"])
        ),
    ),
    st.sampled_from(["", "TimeoutError"]),
    st.floats(0, 1e4),
    st.none() | st.floats(-1, 10),
    st.booleans(),
)


def provider(temporality=None):
    """Return an application's meter provider and what collects from it."""
    kinds = {} if temporality is None else dict.fromkeys(meters_kinds(), temporality)
    reader = InMemoryMetricReader(preferred_temporality=kinds)
    return MeterProvider([reader], shutdown_on_exit=False), reader


def meters_kinds():
    """Return the kinds of instruments that we use."""
    from opentelemetry.sdk.metrics import Counter as Sum
    from opentelemetry.sdk.metrics import Histogram

    return Sum, Histogram


def points(data):
    """Return all data points, by metric and attributes, without their times."""
    found = data.resource_metrics if data else []
    return {
        (metric.name, tuple(sorted(point.attributes.items()))): told(point)
        for resource in found
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


def told(point):
    """Return the numbers of a point."""
    names = ("value", "count", "sum", "min", "max", "bucket_counts", "explicit_bounds")
    return {name: getattr(point, name) for name in names if hasattr(point, name)}


def recorded(calls, temporality):
    """Return what two collections see of calls that end before and between them."""
    metering, reader = provider(temporality)
    made = meters.of(metering.get_meter(schema.SCOPE), {})
    seen = []
    for part in (calls[::2], calls[1::2]):
        for record, failure, seconds, overhead, standard in part:
            made.call(record, failure, seconds, overhead, None, standard=standard)
        seen.append(points(reader.get_metrics_data()))
    return seen


@settings(max_examples=40)
@given(st.lists(ENDED, max_size=8), st.sampled_from(list(AggregationTemporality)[1:]))
def test_every_collection_sees_what_it_would_have_seen(calls, temporality):
    """Waiting or not, each point of each collection is the same, cumulative and delta."""
    waiting = recorded(calls, temporality)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meters, "COLLECTING", "nobody.")
        at_once = recorded(calls, temporality)
    assert waiting == at_once


@pytest.fixture
def app():
    """Have an application's providers record."""
    metering, reader = provider()
    tracing = TracerProvider(shutdown_on_exit=False)
    telemetry.configure(tracer_provider=tracing, meter_provider=metering)
    return metering, reader


def calls_in(data):
    """Return how many calls a collection holds."""
    found = points(data)
    return sum(one["count"] for (name, _), one in found.items() if name == schema.DURATION)


def call(count=1):
    """Let calls begin and end."""
    for _ in range(count):
        telemetry.open_call(RECORD).close(RECORD, None, 0.001)


def test_a_call_is_recorded_when_somebody_collects(app):
    """Until then its thread has recorded nothing; then once, however often one collects."""
    metering, reader = app
    made = meters.of(metering.get_meter(schema.SCOPE, telemetry.sources._version()), {})
    call(3)
    assert len(made._waiting) == 3
    assert calls_in(reader.get_metrics_data()) == 3
    assert calls_in(reader.get_metrics_data()) == 3
    assert not made._waiting


class Exported(MetricExporter):
    """Counts the calls of the last export."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        del timeout_millis, kwargs
        self.calls = calls_in(metrics_data)
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis=30_000, **kwargs):
        """Nothing is held."""

    def force_flush(self, timeout_millis=10_000):
        del timeout_millis
        return True


@pytest.mark.parametrize("end", ["force_flush", "shutdown"])
def test_a_flush_and_a_shutdown_send_what_waits(end):
    """Nothing waits beyond the end of the provider."""
    exported = Exported()
    reader = PeriodicExportingMetricReader(exported, export_interval_millis=3_600_000)
    metering = MeterProvider([reader], shutdown_on_exit=False)
    telemetry.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False), meter_provider=metering
    )
    call(5)
    getattr(metering, end)()
    assert exported.calls == 5
    metering.shutdown() if end == "force_flush" else None


def test_settings_that_change_keep_what_waits(app):
    """Configured anew on the same provider, the calls before and after are all there."""
    metering, reader = app
    call(2)
    telemetry.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False), meter_provider=metering
    )
    call(2)
    assert calls_in(reader.get_metrics_data()) == 4


def test_a_provider_that_is_replaced_gets_its_own_calls(app):
    """Each provider has the calls that ended while it was in charge."""
    _, first = app
    call(2)
    metering, second = provider()
    telemetry.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False), meter_provider=metering
    )
    call(3)
    assert (calls_in(first.get_metrics_data()), calls_in(second.get_metrics_data())) == (2, 3)


def test_beyond_the_bound_calls_are_recorded_as_others_end(app, monkeypatch):
    """Where nobody collects for long, the oldest are recorded; none is lost and few wait."""
    monkeypatch.setattr(meters, "MOST_WAITING", 4)
    metering, reader = app
    made = meters.of(metering.get_meter(schema.SCOPE, telemetry.sources._version()), {})
    call(10)
    assert len(made._waiting) == 4
    assert calls_in(reader.get_metrics_data()) == 10


def test_a_call_that_cannot_be_recorded_costs_itself_alone(app, monkeypatch):
    """One that fails is counted as an internal error; those behind it are recorded."""
    monkeypatch.setenv("TOKENTRACE_STRICT", "0")
    metering, reader = app
    made = meters.of(metering.get_meter(schema.SCOPE, telemetry.sources._version()), {})
    made.call(replace(RECORD, components={"a": "many"}), "", 1.0)
    call()
    found = points(reader.get_metrics_data())
    told_of = {name for name, _ in found}
    assert schema.INTERNAL_ERRORS in told_of
    assert found[schema.OVERHEAD, ((schema.REQUEST_MODEL, "gpt-4o"),)]["count"] == 1


def test_exemplars_lead_to_the_call(app):
    """A histogram's exemplar names the span of the call, though that has ended long ago."""
    _, reader = app
    handle = telemetry.open_call(RECORD)
    handle.close(RECORD)
    data = reader.get_metrics_data()
    found = [
        (metric.name, exemplar.span_id)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        for exemplar in point.exemplars
    ]
    named = Counter(name for name, span in found if span == handle.span.context.span_id)
    assert named[schema.DURATION] == 1
    assert named[schema.COMPONENT_TOKENS] == 2
    assert len(found) == named.total()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_tell_of_its_parents_calls(app):
    """What waits at a fork is the parent's alone."""
    _, reader = app
    call(3)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            call()
            code = 10 + calls_in(reader.get_metrics_data())
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 11
    assert calls_in(reader.get_metrics_data()) == 3


def test_a_provider_is_not_kept_alive(app):
    """What we keep of a meter goes with its provider."""
    del app
    metering, reader = provider()
    meter = metering.get_meter("ours")
    meters.of(meter, {}).call(RECORD, "", 1.0)
    known = weakref.ref(meter)
    del metering, reader, meter
    gc.collect()
    assert known() is None


def test_a_call_that_waits_keeps_less_than_a_kilobyte(app):
    """Neither its span nor its prompt is kept: a few numbers, whatever the prompt's size."""
    metering, reader = app
    call()
    records = [
        replace(
            RECORD,
            components={f"part{number}": number * turn for number in range(4)},
            usage=Usage(input=10**6 + turn, output=10**5 + turn, response_model=f"gpt-4o-{turn}"),
        )
        for turn in range(500)
    ]
    tracemalloc.start()
    try:
        for record in records:
            telemetry.open_call(record).close(record, None, 0.001)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] / len(records)
    finally:
        tracemalloc.stop()
    assert kept < 1_000
    assert calls_in(reader.get_metrics_data()) == len(records) + 1
    assert metering is not None
