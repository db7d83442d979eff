"""Every query of the dashboard, asked of a real Prometheus, and of Tempo where there is one."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

import real_backends
from backend_stack import running
from dashboards import RULES, filled, queries, recording
from real_backends import STATE, TEMPO, assert_soon

PROMETHEUS = shutil.which("prometheus")
AGENT = str(Path(__file__).with_name("agent.py"))
PROMQL = dict(queries("expr"))
TRACEQL = dict(queries("query"))
# What a small agent shows none of: losses, alarms.
MAY_BE_EMPTY = re.compile("Lost on the way|Pending")
# A label's values in the counters below; everything else is called `some`.
VALUES = {
    "le": ["0.5", "0.95", "+Inf"],
    "tokentrace_guard_decision": ["ok", "refuse"],
    "tokentrace_limit_band": ["80-90", "100+"],
    "tokentrace_component_name": ["system", "tools"],
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def counters() -> list[str]:
    """Return one series of each label's values for every counter that a rule records."""
    lines = []
    for name, labels, _ in recording().values():
        known = [(label, VALUES.get(label, ["some"])) for label in labels]
        for place in range(max(len(values) for _, values in known)):
            named = ",".join(f'{label}="{values[place % len(values)]}"' for label, values in known)
            lines.append(f"{name}{{{named}}}")
    return lines


class Counting(BaseHTTPRequestHandler):
    """Counters that grow with each scrape."""

    lines = counters()
    scrapes = 0

    def do_GET(self):
        Counting.scrapes += 1
        body = "".join(f"{line} {Counting.scrapes * 5}\n" for line in self.lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hurried(folder: Path, minute: str) -> None:
    """Write the rules as shipped, but with other minutes."""
    for path in RULES.glob("*.rules.yml"):
        text = path.read_text("utf-8").replace("interval: 1m", f"interval: {minute}")
        (folder / path.name).write_text(text.replace("offset 1m", f"offset {minute}"), "utf-8")


@contextmanager
def prometheus(folder: Path, target: str, minute: str) -> Iterator[str]:
    """Run Prometheus as shipped, with hurried rules, on a free port of loopback; yield its address."""
    hurried(folder, minute)
    config = running.scraping({"collector:8889": target}, folder)
    (folder / "prometheus.yml").write_text(config, "utf-8")
    port = free_port()
    command = [
        str(PROMETHEUS),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def ask(url: str, query: str) -> list[dict]:
    """Return what Prometheus answers now; it says 400 to what is no PromQL."""
    return real_backends.ask(f"{url}/api/v1/query", query=query)["data"]["result"]


def up(url: str) -> bool:
    """Whether the target was up a hurried minute ago: from then on new counters are noticed."""
    try:
        return bool(ask(url, "up offset 10s == 1"))
    except OSError:  # it starts
        return False


def value(url: str, query: str) -> float:
    """Return the one number that Prometheus answers."""
    (one,) = ask(url, query)
    return float(one["value"][1])


def unanswered(url: str, **values: str) -> list[str]:
    """Return the panels whose query has no data yet."""
    asked = {"__interval": "2m", "__range": "5m", **values}
    try:
        return [title for title, query in PROMQL.items() if not ask(url, filled(query, **asked))]
    except OSError as error:
        if isinstance(error, HTTPError) and error.code != 503:  # 400 is for what is no PromQL
            raise
        return list(PROMQL)  # it starts


needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None, reason="no Prometheus: apt-get install prometheus"
)
needs_stack = pytest.mark.skipif(not STATE, reason="no back ends run here: scripts/backends test")


@needs_prometheus
@needs_stack
def test_every_panel_has_data_where_there_is_any(tmp_path):
    """With each counter growing, no query of the dashboard is an error, and none stays empty."""
    with serving() as port, prometheus(tmp_path, f"127.0.0.1:{port}", "6s") as url:
        assert_soon(lambda: unanswered(url), [])


@needs_prometheus
@needs_stack
def test_an_agent_is_on_the_dashboard(tmp_path, backends):
    """What an agent sends through the Collector is shown: every panel but losses and alerts."""
    service = f"dashboard-{time.time_ns()}"  # nobody else's sums are touched
    sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": backends.otlp_http}
    counted = f"sum(tokentrace_span_calls_total{{service_name='{service}'}})"
    shown = f"sum(sum_over_time(tokentrace:calls:increase1m{{service_name='{service}'}}[10m]))"

    def missing() -> list[str]:
        empty = unanswered(url, service=service)
        return [title for title in empty if not MAY_BE_EMPTY.match(title)]

    with prometheus(tmp_path, urlsplit(backends.metrics).netloc, "10s") as url:
        assert_soon(lambda: up(url), wanted=True)
        real_backends.run(AGENT, service, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", **sent)
        assert_soon(missing, [])
        assert 0 < value(url, shown) <= value(url, counted)


@needs_stack
@pytest.mark.skipif(not TEMPO, reason="no Tempo here: TEMPO_URL is not set")
@pytest.mark.parametrize("title", TRACEQL)
def test_a_session_is_found_in_tempo(title, agent):
    """Each TraceQL query of the dashboard finds the agent's session."""
    query = filled(TRACEQL[title], service=agent.service, session=agent.sessions[0])

    def traces() -> list[dict]:
        now = int(time.time())
        asked = {"q": query, "start": now - 3600, "end": now + 60, "spss": 100}
        return real_backends.ask(f"{TEMPO}/api/search", **asked).get("traces", [])

    assert_soon(lambda: bool(traces()), wanted=True)
