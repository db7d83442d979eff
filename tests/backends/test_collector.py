"""The shipped configuration of the Collector: valid, started, and what it keeps and leaves out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest

import real_backends
from backend_stack import building, processes, running
from real_backends import assert_soon, run, spans, tagged, trace

real_backends.required()

AGENT = str(real_backends.TOP / "tests" / "backends" / "agent.py")
WHICH = [*building.COLLECTORS]
HERE = {"collector:8889": "127.0.0.1:1", "collector:8888": "127.0.0.1:2"}


@contextmanager
def collecting(binary, folder, **settings) -> Iterator[dict[str, str]]:
    """Run a Collector of our own with the shipped configuration; give its endpoints."""
    ports = running.free_ports(running.COLLECTOR_PORTS)
    process = running.start(running.collector(binary, ports, "own", **settings), folder)
    try:
        yield {name: f"http://{running.HOST}:{port}" for name, port in ports.items()}
    finally:
        processes.end(process)


def text(url):
    with urlopen(url, timeout=60) as reply:
        return reply.read().decode()


@pytest.mark.parametrize("which", WHICH)
def test_the_configuration_is_valid(backends, which):
    """The Collector's own check finds nothing, not even something to warn of."""
    binary = backends.found["collectors"][which]
    command = [binary, "validate", "--config", str(running.CONFIG)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("which", WHICH)
def test_the_configuration_starts_and_counts(backends, which, tmp_path):
    """The Collector starts with it and makes the same numbers of the same calls, and logs no error."""
    targets = {"JAEGER_ENDPOINT": backends.jaeger_otlp, "TEMPO_ENDPOINT": backends.tempo_otlp}
    binary = backends.found["collectors"][which]
    assert building.COLLECTORS[which][0] in subprocess.check_output(
        [binary, "--version"], text=True
    )
    with collecting(binary, tmp_path, **targets) as at:
        run(AGENT, which, OTEL_EXPORTER_OTLP_ENDPOINT=at["HTTP"])
        wanted = r'^tokentrace_span_calls_total\{.*guard_decision="(\w+)".*\} (\d+)$'

        def counted():
            found = re.findall(wanted, text(f"{at['PROMETHEUS']}/metrics"), re.MULTILINE)
            return sorted((decision, int(number)) for decision, number in found)

        assert_soon(counted, [("ok", 1), ("ok", 3), ("refuse", 1), ("warn", 1)])
    log = (tmp_path / "own.log").read_text(encoding="utf-8")
    assert "Everything is ready" in log
    assert "\terror\t" not in log


def test_what_is_remarkable_is_kept_and_the_rest_sampled(backends, agent, tmp_path):
    """With nothing sampled of the rest, exactly the turns that warn, refuse or fail reach Jaeger."""
    targets = {"JAEGER_ENDPOINT": backends.jaeger_otlp, "TEMPO_ENDPOINT": backends.tempo_otlp}
    sampling = {"SAMPLING_PERCENTAGE": "0", "SAMPLING_WAIT": "1s"}
    binary = backends.found["collectors"]["newest"]
    with collecting(binary, tmp_path, **targets, **sampling) as at:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": at["GRPC"],
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        }
        run(AGENT, "sampled", **settings)
        name = "otelcol_processor_tail_sampling_global_count_traces_sampled"

        def decided():
            found = re.findall(
                rf"^{name}\S* (\d+)$", text(f"{at['TELEMETRY']}/metrics"), re.MULTILINE
            )
            return sum(map(int, found))

        assert_soon(decided, len(agent.calls))
        assert_soon(lambda: len(tagged(backends, "sampled")), 3)
        kept = [trace(backends, one) for one in tagged(backends, "sampled")]
    told = [
        {pair["key"]: pair["value"] for pair in span["attributes"]}
        for one in kept
        for span in spans(one)
        if span["name"].startswith("chat")
    ]
    turns = sorted(int(one["tokentrace.turn.number"]["intValue"]) for one in told)
    remarkable = [call.turn for call in agent.calls if call.decision != "ok" or call.error_type]
    assert turns == remarkable
    assert len(remarkable) == 3


def test_metrics_know_what_sampling_left_out(backends, tmp_path):
    """Calls that are not sampled are counted all the same."""
    targets = {"JAEGER_ENDPOINT": backends.jaeger_otlp, "TEMPO_ENDPOINT": backends.tempo_otlp}
    binary = backends.found["collectors"]["newest"]
    with collecting(binary, tmp_path, **targets, SAMPLING_PERCENTAGE="0") as at:
        run(AGENT, "unseen", OTEL_EXPORTER_OTLP_ENDPOINT=at["HTTP"])

        def counted():
            page = text(f"{at['PROMETHEUS']}/metrics")
            found = re.findall(r"^tokentrace_span_calls_total\S* (\d+)$", page, re.MULTILINE)
            return sum(map(int, found))

        assert_soon(counted, 6)


def test_prometheus_takes_its_configuration(backends, tmp_path):
    """Promtool finds nothing wrong with what Prometheus is started with."""
    (tmp_path / "prometheus.yml").write_text(running.scraping(HERE), encoding="utf-8")
    command = [backends.found["promtool"], "check", "config", str(tmp_path / "prometheus.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
