"""Forks under load and gunicorn: every call answered, every span there."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import pytest

from lifecycles.conftest import CALL, PATIENCE, spans_in

pytest.importorskip("openai", reason="openai is not installed")

# ── forks ────────────────────────────────────────────────────────────────────────────────────────

FORKS = (
    CALL
    + """
import os, signal, threading
tokentrace.instrument()
client = openai.OpenAI(max_retries=0)
call(client)
stop, ready = threading.Event(), threading.Barrier(5)
def work():
    own = openai.OpenAI(max_retries=0)
    ready.wait()  # OpenSSL holds a lock while a client is made, and a fork in it stops the child
    while not stop.is_set():
        with tokentrace.session(str(threading.get_ident())):
            call(own)
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
ready.wait()
children = []
for _ in range(10):
    child = os.fork()
    if not child:
        signal.alarm(60)  # who hangs dies of it
        own = openai.OpenAI(max_retries=0)
        for _ in range(3):
            call(own)
        errors = tokentrace.status()["errors"]
        tokentrace.uninstrument()
        os._exit(1 if errors else 0)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
stop.set()
[thread.join() for thread in threads]
print(tokentrace.status()["errors"])
"""
)


def test_ten_children_of_a_process_whose_threads_are_calling(agent, tmp_path):
    """LI3: none hangs, each answers its calls and writes its own spans, and the parent goes on."""
    assert agent(FORKS).split("\n")[:2] == [str([0] * 10), "{}"]
    sizes = sorted(map(len, spans_in(tmp_path / "traces").values()))
    assert sizes[:10] == [3] * 10
    assert len(sizes) == 11


# ── gunicorn ─────────────────────────────────────────────────────────────────────────────────────

APP = (
    CALL
    + """
import os
tokentrace.instrument()
kept = []
def app(environ, start_response):
    if not kept:
        kept.append(openai.OpenAI(max_retries=0))
    answer = call(kept[0])
    start_response("200 OK", [("content-type", "text/plain")])
    return [f"{os.getpid()} {answer.id}".encode()]
"""
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def asked(url):
    """Return what a worker answers, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError):
            return urllib.request.urlopen(url, timeout=PATIENCE).read().decode()
        assert time.monotonic() < deadline, "no worker answers"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_workers_forked_after_instrument(kind, around, tmp_path):
    """LI3: under ``gunicorn --preload`` each worker answers, and its spans arrive in its own file."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed; nox -s lifecycles")
    if kind == "gevent":
        pytest.importorskip("gevent", reason="gevent is not installed; nox -s lifecycles")
    (tmp_path / "agent_app.py").write_text(APP)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--worker-class", kind,
               "--bind", f"127.0.0.1:{port}", "--no-control-socket", "agent_app:app"]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, env=around, stdout=log, stderr=log)
    try:
        answers = [asked(f"http://127.0.0.1:{port}/") for _ in range(40)]
    finally:
        running.send_signal(signal.SIGTERM)
        code = running.wait(PATIENCE)
    told = (tmp_path / "log").read_text()
    assert code == 0, told
    assert "Traceback" not in told
    assert {answer.split()[1] for answer in answers} == {"chatcmpl-1"}
    by_file = spans_in(tmp_path / "traces")
    workers = {answer.split()[0] for answer in answers}
    assert sum(map(len, by_file.values())) == 40
    assert len([name for name, spans in by_file.items() if spans]) == len(workers)
