"""`opentelemetry-instrument`: the other way to trace a program that nobody changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.sdk.trace import TracerProvider

import tokentrace
from otlp_receiver import receiving
from tokentrace import readers
from tokentrace.demo.server import Reply, Server
from tokentrace.instrumentor import TokentraceInstrumentor
from tokentrace.telemetry import sources

COMMAND = str(Path(sys.executable).parent / "opentelemetry-instrument")
AGENT = """
import openai

client = openai.OpenAI(api_key="test", max_retries=0)
messages = [{"role": "user", "content": "Is the shop up?"}]
print(client.chat.completions.create(model="gpt-4o", messages=messages).choices[0].message.content)
"""
QUIET = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


@pytest.fixture
def instrumentor() -> Iterator[TokentraceInstrumentor]:
    """Give the instrumentor, which is one a process, as it was before."""
    only = TokentraceInstrumentor()
    yield only
    if only.is_instrumented_by_opentelemetry:
        only.uninstrument()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Give a server that answers for OpenAI, and an agent in the working folder."""
    (tmp_path / "agent.py").write_text(AGENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with Server(lambda _body: Reply("All is well.", prompt=12, completion=3)) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://api.openai.com/v1")
        monkeypatch.setenv("HTTP_PROXY", running.origin)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


def run(*words: str) -> str:
    """Run the agent under OpenTelemetry's command; return what is on stderr."""
    line = [COMMAND, *words, sys.executable, "agent.py"]
    ran = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "All is well.\n"), ran.stderr
    return ran.stderr


def recorded(folder: Path) -> list[Any]:
    return list(readers.read([str(folder)], readers.Problems())) if folder.exists() else []


def test_the_entry_point_leads_to_the_instrumentor():
    """OpenTelemetry finds it by name, and it is of the kind that it takes."""
    (point,) = entry_points(group="opentelemetry_instrumentor", name="tokentrace")
    assert point.load() is TokentraceInstrumentor
    assert issubclass(point.load(), BaseInstrumentor)


def test_an_sdk_that_is_not_there_is_no_conflict(instrumentor):
    """Nothing is needed, so nothing keeps it out."""
    assert instrumentor.instrumentation_dependencies() == ()
    instrumentor.instrument()
    assert tokentrace.status()["active"]


def test_providers_are_passed_on(instrumentor):
    """Spans go where the caller says; other arguments are passed over."""
    provider = TracerProvider(shutdown_on_exit=False)
    instrumentor.instrument(tracer_provider=provider, meter_provider=None, colour="red")
    assert sources.settings().tracer_provider is provider
    assert sources.settings().meter_provider is None


def test_uninstrument_takes_it_out(instrumentor):
    """And it can be put in again."""
    for _ in range(2):
        instrumentor.instrument()
        assert tokentrace.status()["active"]
        instrumentor.uninstrument()
        assert not tokentrace.status()["active"]


def test_a_failure_keeps_no_other_instrumentation_out(instrumentor, monkeypatch):
    """OpenTelemetry's command gives up at the first one that raises."""

    def broken(**_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.delenv("TOKENTRACE_STRICT")
    monkeypatch.setattr(tokentrace, "instrument", broken)
    instrumentor.instrument()
    assert tokentrace.status()["errors"]


def test_with_a_distribution_spans_go_to_its_provider(server, tmp_path, monkeypatch):
    """The provider that the environment configures has the call with its components, and we none."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        monkeypatch.setenv("TOKENTRACE_SESSION", "s")
        for name, value in QUIET.items():
            monkeypatch.setenv(name, value)
        run()
    ours = {span.name: span for span in receiver.spans if span.scope == "tokentrace"}
    call, turn = ours["chat gpt-4o"], ours["invoke_agent"]
    assert call.attributes["gen_ai.usage.input_tokens"] == 12
    parts = [value for name, value in call.attributes.items() if name.endswith(".tokens")
             and name.startswith("tokentrace.component.")]  # fmt: skip
    assert sum(parts) == call.attributes["tokentrace.input.tokens"]
    assert (call.parent_id, turn.parent_id) == (turn.span_id, "")
    assert call.resource["service.name"] == "shop"
    assert call.resource["telemetry.auto.version"]
    assert not (tmp_path / "traces").exists()


def test_without_a_distribution_spans_go_to_local_files(server, tmp_path, monkeypatch):
    """Where nobody configures a provider, the private one writes files."""
    monkeypatch.setenv("OTEL_PYTHON_DISTRO", "none")
    monkeypatch.setenv("OTEL_PYTHON_CONFIGURATOR", "none")
    run()
    (call,) = recorded(tmp_path / "traces")
    assert (call.model, call.usage.input) == ("gpt-4o", 12)
    assert sum(call.components.values()) == call.tokens


def test_settings_come_from_variables(server, tmp_path, monkeypatch):
    """A limit is the guard's, with no code."""
    monkeypatch.setenv("OTEL_PYTHON_DISTRO", "none")
    monkeypatch.setenv("OTEL_PYTHON_CONFIGURATOR", "none")
    monkeypatch.setenv("TOKENTRACE_LIMIT", "5")
    assert "crossed" in run() or "TokenLimitWarning" in run()
    assert {call.limit for call in recorded(tmp_path / "traces")} == {5}


def test_it_can_be_left_out(server, tmp_path, monkeypatch):
    """By OpenTelemetry's own variable."""
    monkeypatch.setenv("OTEL_PYTHON_DISTRO", "none")
    monkeypatch.setenv("OTEL_PYTHON_CONFIGURATOR", "none")
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "tokentrace")
    run()
    assert recorded(tmp_path / "traces") == []


@pytest.mark.parametrize("inner", ["run", "instrument"])
def test_both_ways_at_once_make_one_span(server, tmp_path, monkeypatch, inner):
    """Whichever command stands inside the other."""
    monkeypatch.setenv("OTEL_PYTHON_DISTRO", "none")
    monkeypatch.setenv("OTEL_PYTHON_CONFIGURATOR", "none")
    ours = [sys.executable, "-m", "tokentrace", "run", "--"]
    words = [COMMAND, *ours] if inner == "run" else [*ours, COMMAND]
    ran = subprocess.run(
        [*words, sys.executable, "agent.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (0, "All is well.\n"), ran.stderr
    assert len(recorded(tmp_path / "traces")) == 1
