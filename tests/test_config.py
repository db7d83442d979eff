"""Environment variables: bad values are one warning and the default; nothing raises."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokentrace import _config, schema
from tokentrace.report.html import colours

TOP = Path(__file__).parents[1]
STANDARD = set(colours.KNOWN) - {"other"}  # components that no agent has to name


@pytest.mark.parametrize("bad", ["abc", "-1", "1e9", "0", "9" * 30, "1.5"])
@pytest.mark.parametrize("name", ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_SCHEDULE_DELAY"])
def test_a_bad_number_is_one_warning_and_the_default(monkeypatch, caplog, name, bad):
    """Whatever a number's variable holds, the batch has a size."""
    monkeypatch.setenv(name, bad)
    assert _config.batching() == _config.batching() == (2_048, 512, 5.0)
    assert len(caplog.records) == 1
    assert name in caplog.text


def test_an_empty_variable_is_none(monkeypatch, caplog):
    """An empty value means the default, without a word."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "  ")
    assert _config.batching()[0] == 2_048
    assert caplog.records == []


def test_a_variable_is_read_when_it_is_asked_for(monkeypatch):
    """Set, changed and deleted while the process runs, in whatever stands for the environment."""
    for environment in (os.environ, dict(os.environ)):
        monkeypatch.setattr(os, "environ", environment)
        assert _config.text("TOKENTRACE_SESSION", "none") == "none"
        for told in (" one ", "two", " "):
            monkeypatch.setitem(environment, "TOKENTRACE_SESSION", told)
            assert _config.text("TOKENTRACE_SESSION", "none") == (told.strip() or "none")
        monkeypatch.delitem(environment, "TOKENTRACE_SESSION")
        assert _config.text("TOKENTRACE_SESSION", "none") == "none"


def test_batching_is_opentelemetrys(monkeypatch):
    """Queue, batch and delay follow OpenTelemetry's variables; a batch fits into its queue."""
    for name, value in (
        ("MAX_QUEUE_SIZE", "100"),
        ("MAX_EXPORT_BATCH_SIZE", "512"),
        ("SCHEDULE_DELAY", "250"),
    ):
        monkeypatch.setenv(f"OTEL_BSP_{name}", value)
    assert _config.batching() == (100, 100, 0.25)


@pytest.mark.parametrize(
    ("raw", "disabled"), [("true", True), ("TRUE", True), ("1", False), ("", False)]
)
def test_the_sdk_is_disabled_by_true_alone(monkeypatch, raw, disabled):
    """OTEL_SDK_DISABLED means what OpenTelemetry says: ``true`` in any case, nothing else."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", raw)
    assert _config.sdk_disabled() is disabled


def test_a_bad_exporter_is_one_warning_and_auto(monkeypatch, caplog):
    """A misspelled TOKENTRACE_EXPORTER warns once and is passed over."""
    monkeypatch.setenv("TOKENTRACE_EXPORTER", "jaeger")
    assert [_config.exporter("auto") for _ in range(2)] == ["local", "local"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("signal", "environment", "protocol"), [
    ("TRACES", {}, "http"),
    ("METRICS", {}, None),
    ("METRICS", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, "http"),
    ("METRICS", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_METRICS_EXPORTER": "none"}, None),
    ("LOGS", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h"}, None),
    ("LOGS", {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://h", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
    ("TRACES", {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "grpc"),
    ("TRACES", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "http"),
])  # fmt: skip
def test_each_signal_goes_where_it_is_wanted(monkeypatch, signal, environment, protocol):
    """Metrics and logs go only where an endpoint takes them and nobody said none."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _config.otlp_protocol(signal) == protocol


def test_the_parent_of_another_process_is_a_carrier(monkeypatch):
    """TRACEPARENT and TRACESTATE become W3C headers; a state without a parent is nothing."""
    monkeypatch.setenv("TRACESTATE", "k=v")
    assert _config.traceparent() == {}
    monkeypatch.setenv("TRACEPARENT", "00-x")
    assert _config.traceparent() == {"traceparent": "00-x", "tracestate": "k=v"}


def test_every_variable_of_ours_is_documented():
    """The table at the top of the file names every variable that the package reads."""
    read = set()
    for path in (TOP / "src" / "tokentrace").rglob("*.py"):
        read |= set(re.findall(r'["\'](TOKENTRACE_[A-Z_]+)["\']', path.read_text(encoding="utf-8")))
    assert read <= set(re.findall(r"^(TOKENTRACE_[A-Z_]+)", _config.__doc__ or "", re.MULTILINE))
    assert "TOKENTRACE_DIR" in read


@pytest.fixture(scope="module")
def collector() -> dict[str, Any]:
    """Give the Collector's configuration, its variables unread."""
    return yaml.safe_load((TOP / "collector-config.yaml").read_text(encoding="utf-8"))


def test_the_collector_defines_what_its_pipelines_use(collector):
    """Every receiver, processor, exporter and connector of a pipeline is configured, none is idle."""
    connectors = set(collector["connectors"])
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipe in collector["service"]["pipelines"].values() for name in pipe[kind]}
        assert used - connectors == set(collector[kind]) != set()
        assert kind == "processors" or connectors <= used


def test_the_collector_limits_memory_first_and_batches_last(collector):
    """Each pipeline that agents send to begins with the memory limiter and ends with the batch."""
    pipes = collector["service"]["pipelines"].values()
    orders = [pipe["processors"] for pipe in pipes if pipe["receivers"] == ["otlp"]]
    assert len(orders) == 4
    assert {(order[0], order[-1]) for order in orders} == {("memory_limiter", "batch")}


def test_the_collector_counts_before_it_samples(collector):
    """No pipeline that samples makes metrics, and the one that makes them sees every span."""
    pipes = collector["service"]["pipelines"].values()
    counting = [pipe for pipe in pipes if "signal_to_metrics" in pipe["exporters"]]
    assert [pipe["receivers"] for pipe in counting] == [["otlp"]]
    assert "tail_sampling" not in counting[0]["processors"]


def test_the_collector_counts_every_standard_component(collector):
    """Tokens and costs have a metric for each standard name, and `other` is what these leave."""
    named = {*STANDARD, "other"}
    spans = collector["connectors"]["signal_to_metrics"]["spans"]
    stem = "tokentrace.span.component."
    found = {one["name"].removeprefix(stem) for one in spans if one["name"].startswith(stem)}
    assert found == {f"{name}.{end}" for name in named for end in ("tokens", "cost")}
    for statement in collector["processors"]["transform/components"]["trace_statements"]:
        told = set(re.findall(r"component\.(\w+)\.tokens", statement)) - {"other"}
        assert told == STANDARD


def test_the_collector_spells_attributes_as_the_schema_does(collector):
    """Every attribute of a span that the configuration reads is one that tokentrace writes."""
    text = json.dumps(collector)
    read = set(re.findall(r'span\.attributes\[\\?"([^"\\]+)', text))
    read |= set(re.findall(r'"key": "((?:tokentrace|gen_ai)\.[^"]+)"', text))
    keys = {key for table in (schema.CALL, schema.USAGE) for _, key, _ in table}
    known = {*keys, schema.DRIFT, schema.BAND}
    shares = {key for name in {*STANDARD, "other"} for key in schema.keys(name)}
    assert read - known <= shares
    assert {schema.TOKENS, schema.DECISION, schema.BAND} <= read


def test_the_collector_keeps_what_the_guard_says_and_what_is_near_a_limit(collector):
    """The decisions and bands that are kept whole are those that the schema writes."""
    policies = collector["processors"]["tail_sampling"]["policies"]
    kept = {
        one["string_attribute"]["key"]: one["string_attribute"]["values"]
        for one in policies
        if "string_attribute" in one
    }
    assert kept == {
        schema.DECISION: ["refuse", "warn", "compress"],
        schema.BAND: [schema.band(share) for share in (0.8, 0.9, 1.0)],
    }


def test_the_collector_sends_traces_to_both_back_ends(collector):
    """Traces go to Tempo and Jaeger by the exporter's name of Collector 0.144 and later."""
    pipe = collector["service"]["pipelines"]["traces"]
    assert pipe["exporters"] == ["otlp_grpc/tempo", "otlp_grpc/jaeger"]
