"""Every query of the dashboard, asked of a real Prometheus, and of Tempo where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest
import yaml

from dashboards import RULES, filled, queries, recording

PROMETHEUS = shutil.which("prometheus")
TEMPO = os.environ.get("TEMPO_URL", "")
STACK = os.environ.get("TOKENTRACE_BACKENDS", "")  # the state of `scripts/backends`
MAY_BE_EMPTY = re.compile("Cost|Components by cost|Lost on the way|Pending and firing")
PATIENCE = 120  # seconds, on a loaded machine
PROMQL = dict(queries("expr"))
TRACEQL = dict(queries("query"))
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
    """Run Prometheus with the rules on a free port of loopback; yield its address."""
    hurried(folder, minute)
    scraped = [{"job_name": "tokentrace", "static_configs": [{"targets": [target]}]}]
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
        "rule_files": ["*.rules.yml"],
        "scrape_configs": scraped,
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
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


def up(url: str) -> list[dict]:
    """Return the targets that were up a hurried minute ago: from then on new counters are noticed."""
    try:
        return ask(url, "up offset 10s == 1")
    except OSError:  # it starts
        return []


def value(url: str, query: str) -> float:
    """Return the one number that Prometheus answers."""
    (one,) = ask(url, query)
    return float(one["value"][1])


def ask(url: str, query: str) -> list[dict]:
    """Return what Prometheus answers now; it says 400 to what is no PromQL."""
    with urlopen(f"{url}/api/v1/query?{urlencode({'query': query})}", timeout=60) as answer:
        return json.load(answer)["data"]["result"]


def unanswered(url: str, **values: str) -> list[str]:
    """Return the panels whose query has no data yet."""
    asked = {"__interval": "2m", "__range": "5m", **values}
    try:
        return [title for title, query in PROMQL.items() if not ask(url, filled(query, **asked))]
    except OSError as error:
        if isinstance(error, HTTPError) and error.code != 503:  # 400 is for what is no PromQL
            raise
        return list(PROMQL)  # it starts


def awaited(fulfilled: Callable[[], bool]) -> None:
    """Wait until something is so, or patience is at its end."""
    end = time.monotonic() + PATIENCE
    while not fulfilled() and time.monotonic() < end:
        time.sleep(1)


needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None, reason="no Prometheus: apt-get install prometheus"
)


@needs_prometheus
def test_every_panel_has_data_where_there_is_any(tmp_path):
    """With each counter growing, no query of the dashboard is an error, and none stays empty."""
    with serving() as port, prometheus(tmp_path, f"127.0.0.1:{port}", "6s") as url:
        awaited(lambda: not unanswered(url))
        assert unanswered(url) == []


@needs_prometheus
@pytest.mark.skipif(not STACK, reason="no Collector runs: scripts/backends test")
def test_the_demo_is_on_the_dashboard(tmp_path):
    """What the demo sends through the Collector is shown: every panel but prices, losses and alerts."""
    places = json.loads(Path(STACK).read_text("utf-8"))["places"]
    target = urlsplit(places["metrics"]).netloc
    sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": places["otlp_http"]}
    sent |= {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "TOKENTRACE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tokentrace", "demo", "--exporter", "otlp"]
    counted = "sum(tokentrace_span_calls_total{service_name='tokentrace-demo'})"
    shown = "sum(sum_over_time(tokentrace:calls:increase1m{service_name='tokentrace-demo'}[10m]))"

    def missing() -> set[str]:
        empty = unanswered(url, service="tokentrace-demo")
        return {title for title in empty if not MAY_BE_EMPTY.match(title)}

    with prometheus(tmp_path, target, "10s") as url:
        awaited(lambda: up(url))
        subprocess.run(command, check=True, env=os.environ | sent, timeout=120, capture_output=True)
        awaited(lambda: not missing())
        assert missing() == set()
        assert 0 < value(url, shown) <= value(url, counted)


@pytest.mark.skipif(not TEMPO, reason="no Tempo: TEMPO_URL is not set")
@pytest.mark.parametrize("title", TRACEQL)
def test_tempo_reads_every_query_about_a_session(title):
    """Each TraceQL query of the dashboard is answered with traces, not with an error."""
    now = int(time.time())
    asked = {"q": filled(TRACEQL[title]), "start": now - 3600, "end": now, "spss": 100}
    with urlopen(f"{TEMPO.rstrip('/')}/api/search?{urlencode(asked)}", timeout=60) as answer:
        assert isinstance(json.load(answer).get("traces", []), list)
