"""Every query of the dashboard, asked of a real Prometheus, and of Tempo where there is one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from dashboards import RULES, filled, queries, recording

PROMETHEUS = shutil.which("prometheus")
TEMPO = os.environ.get("TEMPO_URL", "")
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


def hurried(folder: Path) -> None:
    """Write the rules as shipped, but with minutes of two seconds."""
    for path in RULES.glob("*.rules.yml"):
        text = path.read_text("utf-8").replace("interval: 1m", "interval: 2s")
        (folder / path.name).write_text(text.replace("offset 1m", "offset 2s"), "utf-8")


@contextmanager
def prometheus(folder: Path, jobs: dict[str, str]) -> Iterator[str]:
    """Run Prometheus on a free port of loopback, scraping a target a job; yield its address."""
    hurried(folder)
    scraped = [
        {"job_name": name, "static_configs": [{"targets": [target]}]}
        for name, target in jobs.items()
    ]
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
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


def ask(url: str, query: str) -> list[dict]:
    """Return what Prometheus answers now; it says 400 to what is no PromQL."""
    with urlopen(f"{url}/api/v1/query?{urlencode({'query': query})}", timeout=60) as answer:
        return json.load(answer)["data"]["result"]


def unanswered(url: str) -> list[str]:
    """Return the panels whose query has no data yet."""
    try:
        return [
            title
            for title, query in PROMQL.items()
            if not ask(url, filled(query, __interval="20s", __range="5m"))
        ]
    except ConnectionError:
        return ["all of them"]
    except OSError as error:
        if getattr(error, "code", None) == 400:
            raise
        return ["all of them"]


@pytest.mark.skipif(PROMETHEUS is None, reason="no Prometheus: apt-get install prometheus")
def test_every_panel_has_data_where_there_is_any(tmp_path):
    """With each counter growing, no query of the dashboard is an error, and none stays empty."""
    with serving() as port, prometheus(tmp_path, {"tokentrace": f"127.0.0.1:{port}"}) as url:
        end = time.monotonic() + PATIENCE
        while (missing := unanswered(url)) and time.monotonic() < end:
            time.sleep(1)
    assert missing == []


@pytest.mark.skipif(not TEMPO, reason="no Tempo: TEMPO_URL is not set")
@pytest.mark.parametrize("title", TRACEQL)
def test_tempo_reads_every_query_about_a_session(title):
    """Each TraceQL query of the dashboard is answered with traces, not with an error."""
    now = int(time.time())
    asked = {"q": filled(TRACEQL[title]), "start": now - 3600, "end": now, "spss": 100}
    with urlopen(f"{TEMPO.rstrip('/')}/api/search?{urlencode(asked)}", timeout=60) as answer:
        assert isinstance(json.load(answer)["traces"], list)
