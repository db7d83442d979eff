"""Environment variables: bad values are one warning and the default; nothing raises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tokentrace import _config

TOP = Path(__file__).parents[1]


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


def test_the_collector_defines_what_its_pipelines_use():
    """Every receiver, processor and exporter of a pipeline is configured, and none is idle."""
    text = (TOP / "collector-config.yaml").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^(\w+):\n((?:(?:[ #].*)?\n)+)", text, re.MULTILINE))
    for kind in ("receivers", "processors", "exporters"):
        defined = set(re.findall(r"^  ([\w/]+):", blocks[kind], re.MULTILINE))
        lists = re.findall(rf"^      {kind}: \[(.*)\]$", blocks["service"], re.MULTILINE)
        used = {name for one in lists for name in one.split(", ")}
        assert defined == used != set()


def test_the_collector_limits_memory_first_and_batches_last():
    """Each pipeline begins with the memory limiter and ends with the batch."""
    text = (TOP / "collector-config.yaml").read_text(encoding="utf-8")
    orders = re.findall(r"^      processors: \[(.*)\]$", text, re.MULTILINE)
    assert len(orders) == 3
    assert {(order.split(", ")[0], order.split(", ")[-1]) for order in orders} == {
        ("memory_limiter", "batch")
    }


def test_the_collector_sends_traces_to_both_back_ends():
    """Traces go to Tempo and Jaeger by the exporter's name of Collector 0.144 and later."""
    text = (TOP / "collector-config.yaml").read_text(encoding="utf-8")
    assert "exporters: [otlp_grpc/tempo, otlp_grpc/jaeger]" in text
    assert "0.144" in text
    assert "\t" not in text
