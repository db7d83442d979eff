"""From an agent over OTLP and the Collector into Prometheus: the right names and the right sums."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import real_backends
from real_backends import ask, assert_soon, run, sums
from tokentrace import schema
from tokentrace.prompt import CallRecord, Usage
from tokentrace.report.html import colours

real_backends.required()

STANDARD = set(colours.KNOWN) - {"other"}
MODEL = "gen_ai_request_model"


def folded(components):
    """Return components as the Collector names them: those without a standard name are other."""
    found = Counter()
    for name, tokens in components.items():
        found[name if name in STANDARD else "other"] += tokens
    return found


def totals(calls, key):
    """Return sums of ``key(call)``, a mapping, over calls, zeros left out."""
    found = Counter()
    for call in calls:
        for name, value in key(call).items():
            found[name] += value
    return {name: value for name, value in found.items() if value}


def by_name(found):
    """Return what PromQL yielded by one label."""
    return {name: value for (name,), value in found.items()}


def times(number, found):
    return {name: number * value for name, value in found.items()}


def test_calls_are_counted_by_decision_and_band(backends, demo):
    """Each call stands under its decision and its band, once for each of both sessions."""
    query = 'tokentrace_span_calls_total{service_name="tokentrace-demo"}'
    labels = (MODEL, "tokentrace_guard_decision", "tokentrace_limit_band")
    told = totals(
        demo.calls,
        lambda call: {(call.model, call.decision, schema.band(call.utilization)): 1},
    )
    assert_soon(lambda: sums(backends, query, *labels), times(2, told))


def test_components_add_up_in_prometheus_too(backends, demo):
    """The components' counters are those of the trace file; their sum is the counted input."""
    service = '{service_name="tokentrace-demo"}'
    query = f"tokentrace_span_component_tokens_total{service}"
    told = totals(demo.calls, lambda call: folded(call.components))
    assert_soon(lambda: by_name(sums(backends, query, "tokentrace_component_name")), times(2, told))
    whole = sums(backends, f"sum(tokentrace_span_component_tokens_total{service})")
    assert whole == sums(backends, f"sum(tokentrace_span_input_tokens_total{service})")


@pytest.mark.parametrize(("name", "of"), [
    ("tokentrace_span_input_tokens_total", lambda call: call.tokens),
    ("tokentrace_span_input_drift_over_total", lambda call: max(0, call.drift or 0)),
    ("tokentrace_span_usage_input_tokens_total", lambda call: call.usage.input or 0),
    ("tokentrace_span_usage_output_tokens_total", lambda call: call.usage.output or 0),
    ("tokentrace_span_usage_cache_read_tokens_total", lambda call: call.usage.cache_read or 0),
])  # fmt: skip
def test_tokens_of_spans_are_summed_by_model(backends, demo, name, of):
    """Each sum over spans is that of the trace file, twice."""
    told = totals(demo.calls, lambda call: {call.model: of(call)})
    query = f'{name}{{service_name="tokentrace-demo"}}'
    assert_soon(lambda: by_name(sums(backends, query, MODEL)), times(2, told))


def test_drift_is_summed_on_both_sides_of_zero(backends, agent):
    """Tokens nobody counted and tokens nobody reported do not cancel out."""
    drifts = [call.drift or 0 for call in agent.calls]
    stem = "tokentrace_span_input_drift"
    told = {
        f"{stem}_over_total": sum(drift for drift in drifts if drift > 0),
        f"{stem}_under_total": -sum(drift for drift in drifts if drift < 0),
    }
    assert all(told.values())
    query = f'sum by (__name__) ({{__name__=~"{stem}_.*", service_name="careful"}})'
    assert_soon(lambda: by_name(sums(backends, query, "__name__")), told)


def test_refused_calls_are_counted(backends, agent):
    """A refusal, a warning and a call that failed are all calls."""
    query = (
        'sum by (tokentrace_guard_decision) (tokentrace_span_calls_total{service_name="careful"})'
    )
    told = totals(agent.calls, lambda call: {call.decision: 1})
    assert {"ok", "warn", "refuse"} <= set(told)
    assert_soon(lambda: by_name(sums(backends, query, "tokentrace_guard_decision")), told)


def test_what_calls_cost_is_summed(backends, agent):
    """Dollars by component, and of whole calls, are those of the trace file."""
    told = totals(agent.calls, lambda call: call.costs) | {
        "": sum(call.cost or 0 for call in agent.calls)
    }
    assert {"user", "framing"} < set(told)
    assert told[""] > sum(told.values()) / 2  # output and all
    query = '{__name__=~"tokentrace_span_(component_)?cost_USD_total", service_name="careful"}'

    def seen():
        found = by_name(sums(backends, query, "tokentrace_component_name"))
        return {name: round(dollars, 12) for name, dollars in found.items()}

    assert_soon(seen, {name: round(dollars, 12) for name, dollars in told.items()})


def test_what_came_from_the_cache_is_summed(backends, agent):
    """Tokens that the provider had in its cache are summed by model."""
    told = totals(agent.calls, lambda call: {call.model: call.usage.cache_read or 0})
    assert told
    query = 'tokentrace_span_usage_cache_read_tokens_total{service_name="careful"}'
    assert_soon(lambda: by_name(sums(backends, query, MODEL)), told)


# ── the library's own metrics ────────────────────────────────────────────────────────────────────


def test_usage_arrives_under_its_standard_name(backends, demo):
    """The standard's histogram has the tokens that the provider reported, each process its own."""
    query = 'sum by (gen_ai_token_type, exported_instance) (gen_ai_client_token_usage_sum{service_name="tokentrace-demo"})'
    told = totals(
        demo.calls,
        lambda call: {"input": call.usage.input or 0, "output": call.usage.output or 0},
    )
    expected = sorted([*told.items()] * 2)

    def seen():
        found = sums(backends, query, "gen_ai_token_type", "exported_instance")
        return sorted((kind, value) for (kind, _), value in found.items())

    assert_soon(seen, expected)


@pytest.mark.parametrize(("name", "label", "of"), [
    ("tokentrace_component_tokens_sum", "tokentrace_component_name", lambda call: call.components),
    ("tokentrace_guard_decisions_total", "tokentrace_guard_decision", lambda call: {call.decision: 1}),
    ("tokentrace_limit_utilization_count", MODEL, lambda call: {call.model: 1}),
    ("gen_ai_client_operation_duration_seconds_count", MODEL, lambda call: {call.model: 1}),
])  # fmt: skip
def test_metrics_of_the_library_arrive_with_their_sums(backends, demo, name, label, of):
    """Each metric that tokentrace itself sends has the sums of the trace file, twice."""
    query = f'sum by ({label}) ({name}{{service_name="tokentrace-demo"}})'
    told = times(2, totals(demo.calls, of))
    assert_soon(lambda: by_name(sums(backends, query, label)), told)


# ── spans made by hand ───────────────────────────────────────────────────────────────────────────

RECORD = CallRecord(
    model="gpt-4o", tokens=100, method="exact", components={"history": 60, "mine": 25, "system": 15},
    costs={"history": 0.5, "mine": 0.125, "system": 0.25}, cost=1.0, usage=Usage(input=100, output=1),
)  # fmt: skip


def send(backends, service, number):
    """Send spans of `RECORD` one by one, each in a request of its own."""
    provider = TracerProvider(resource=Resource({schema.SERVICE_NAME: service}))
    endpoint = backends.otlp_grpc.removeprefix("http://")
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for _ in range(number):
        with provider.get_tracer("hand").start_as_current_span("chat gpt-4o") as span:
            span.set_attributes(schema.dump(RECORD))
    provider.shutdown()


def test_costs_are_summed_by_component(backends):
    """Costs of components that have a standard name are summed in US dollars, and those of calls."""
    send(backends, "costly", 4)
    query = '{__name__=~"tokentrace_span_(component_)?cost_USD_total", service_name="costly"}'
    told = {"history": 2.0, "system": 1.0, "": 4.0}
    assert_soon(lambda: by_name(sums(backends, query, "tokentrace_component_name")), told)


def test_many_senders_at_once_lose_nothing(backends):
    """Eight processes' worth of small requests at the same time are all in the sums."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: send(backends, "crowd", 25), range(8)))
    query = 'sum({__name__=~"tokentrace_span_(calls|input_tokens)_total", service_name="crowd"}) by (__name__)'
    told = {"tokentrace_span_calls_total": 200, "tokentrace_span_input_tokens_total": 20_000}
    assert_soon(lambda: by_name(sums(backends, query, "__name__")), told)


def test_spans_without_a_model_are_counted_as_unknown(backends):
    """A span that names no model is counted all the same."""
    code = (
        "import tokentrace\n"
        "tokentrace.instrument(service_name='nameless')\n"
        "with tokentrace.llm_call({'messages': []}, api='openai.chat') as call: pass\n"
    )
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": backends.otlp_http}
    run("-c", code, **settings)
    query = 'tokentrace_span_calls_total{service_name="nameless"}'
    assert_soon(lambda: by_name(sums(backends, query, MODEL)), {"unknown": 1})


# ── the page ─────────────────────────────────────────────────────────────────────────────────────

PAGE = (real_backends.TOP / "docs" / "backends.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("query", re.findall(r"```promql\n(.+?)\n```", PAGE, re.DOTALL))
def test_the_queries_of_the_page_tell_something(backends, demo, agent, query):
    """Each query that the page shows yields shares between none and all."""
    assert_soon(lambda: bool(sums(backends, query)), wanted=True)
    assert all(0 <= share <= 1 for share in sums(backends, query).values())


def test_the_series_of_the_page_are_those_that_are_there(backends, demo, agent):
    """Every series of ours that the page lists exists, and every one that exists is listed."""
    send(backends, "listed", 1)
    ends = r"_(?:sum|count|bucket)$"
    named = set(re.findall(r"^\| `((?:tokentrace|gen_ai)_\w+)`", PAGE, re.MULTILINE))
    listed = {re.sub(ends, "", name) for name in named}

    def there():
        found = ask(f"{backends.prometheus}/api/v1/label/__name__/values")["data"]
        ours = (name for name in found if name.startswith(("tokentrace_", "gen_ai_")))
        return {re.sub(ends, "", name) for name in ours}

    assert_soon(there, listed)
