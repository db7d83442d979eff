"""A report from the real Jaeger, or Tempo, is to the byte that of the same run's trace file."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner

import real_backends
from real_backends import TEMPO, eventually
from tokentrace import cli
from tokentrace.readers.backends import jaeger

real_backends.required()

AGENT = str(Path(__file__).with_name("agent.py"))
RUNS = {
    "demo": lambda folder: real_backends.run("-m", "tokentrace", "demo", "--dir", folder),
    "agent": lambda folder: real_backends.run(AGENT, "reader", TOKENTRACE_DIR=folder),
}


def report(*words):
    """Run `tokentrace report` in this process; return what it prints."""
    return CliRunner().invoke(cli.app, ["report", *map(str, words)]).output


@pytest.fixture(scope="module", params=RUNS)
def run(request, backends, tmp_path_factory):
    """Give the folder of a run and the name of its session; its spans go to the Collector, too."""
    folder = tmp_path_factory.mktemp(request.param)
    RUNS[request.param](str(folder))
    for file in folder.glob("*.jsonl"):
        for line in file.read_bytes().splitlines():
            if b'"resourceSpans"' in line[:200]:
                send(f"{backends.otlp_http}/v1/traces", line)
    (session,) = json.loads(report(folder, "--json"))["sessions"]
    return folder, session["id"]


def send(url, line):
    with closing(
        urlopen(Request(url, line, {"Content-Type": "application/json"}), timeout=60)
    ) as ok:
        assert ok.status == 200


@pytest.mark.parametrize("page", [jaeger.LIMIT, 3])
def test_jaeger_gives_the_report_of_the_file(backends, run, page, monkeypatch):
    """Byte for byte, also where pages are so small that windows must be cut many times."""
    folder, session = run
    expected = report(folder, "--json", "--session", session)
    assert json.loads(expected)["summary"]["calls"] > 1
    monkeypatch.setattr(jaeger, "LIMIT", page)
    path = f"jaeger:{backends.jaeger}"
    eventually(lambda: report(path, "--json", "--session", session), expected)


def test_jaeger_is_told_what_it_lacks(backends, run):
    """A service and a time that it knows nothing of are one line each."""
    path = f"jaeger:{backends.jaeger}"
    assert "no service 'nobody' sent anything" in report(path, "--service", "nobody")
    told = report(path, "--from", "2020-01-01", "--to", "2020-01-02")
    assert "nothing of tokentrace from 2020-01-01T00:00:00Z to 2020-01-02T00:00:00Z" in told
    assert "but an HTML page" in report(f"{path}/elsewhere")


@pytest.mark.skipif(not TEMPO, reason="no TEMPO_URL")
def test_tempo_gives_the_report_of_the_file(run):
    """Byte for byte, once Tempo's search knows the whole run."""
    folder, session = run
    expected = report(folder, "--json", "--session", session)
    assert json.loads(expected)["summary"]["calls"] > 1
    eventually(lambda: report(f"tempo:{TEMPO}", "--json", "--session", session), expected)
