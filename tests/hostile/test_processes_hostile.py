"""Processes that fork, end, are interrupted, or export to a collector that is not well."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

EXIT = 5.0  # seconds that a process may take to end with a dead collector

# Loads the SDK once; each case is a child of its own that ends as a process does.
ZYGOTE = """
import atexit, gc, importlib, json, logging, os, signal, sys, threading, time, warnings
import openai, tokentrace, tokentrace.telemetry.exporting, opentelemetry.exporter.otlp.proto.http.trace_exporter
from tokentrace.counting import vocab
vocab.load("o200k_base")
from tokentrace.testing import Wire, openai_chat, openai_chat_stream
def answer(sent):
    if sent.body.get("stream"):
        return openai_chat_stream("a", "b", prompt_tokens=13)
    return openai_chat("Because.", prompt_tokens=13)
wire = Wire(answer)
client = openai.OpenAI(
    api_key="k", base_url="http://wire.test", http_client=wire.client("openai"), max_retries=0)
def call(**more):
    messages = [{"role": "user", "content": "hi"}]
    return client.chat.completions.create(model="gpt-4o", messages=messages, **more)
warnings.simplefilter("ignore")
def become(case):
    os.setsid()
    for number in (1, 2):
        os.dup2(os.open(f"{case['folder']}/out{number}", os.O_CREAT | os.O_WRONLY), number)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    os.environ.update(case["environment"])
    def closed():  # runs last of all exit handlers: what it costs to tear the interpreter down is not ours
        open(f"{case['folder']}/closed", "w").write(str(time.monotonic()))
    atexit.register(closed)
    if case["traced"]:
        tokentrace.instrument()
    end = f"\\nopen({case['folder'] + '/ended'!r}, 'w').write(str(time.monotonic()))"
    return compile(case["script"] + end, "case", "exec")
def stamp(case, name):
    try:
        return float(open(f"{case['folder']}/{name}").read())
    except FileNotFoundError:
        return 0.0
cases = json.load(open(sys.argv[1]))
waiting, running, done, code = list(cases), {}, {}, None
while waiting or running:
    while waiting and len(running) < 6:
        case = waiting.pop(0)
        child = os.fork()
        if not child:
            code = become(case)
            break
        running[child] = (case, time.monotonic())
    if code is not None:
        break
    child, status = os.waitpid(-1, os.WNOHANG)
    if child:
        case, began = running.pop(child)
        ended, closed = (stamp(case, name) for name in ("ended", "closed"))
        took = closed - ended if ended and closed else time.monotonic() - began
        done[case["name"]] = (os.waitstatus_to_exitcode(status), took)
    for child, (case, began) in list(running.items()):
        if time.monotonic() - began > 30:
            os.kill(child, signal.SIGKILL)
    time.sleep(0.01)
if code is not None:
    exec(code)
else:
    print(json.dumps(done))
"""

FORK = """
call()
stop = threading.Event()
def work():
    while not stop.is_set():
        call()
threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
for _ in range(15):
    child = os.fork()
    if not child:
        signal.alarm(10)
        for _ in range(3):
            call()
        tokentrace.uninstrument()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
stop.set()
[thread.join() for thread in threads]
"""
FORK_IN_STREAM = """
stream = call(stream=True)
next(stream)
child = os.fork()
if not child:
    list(stream)
    tokentrace.uninstrument()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
list(stream)
"""
DYING = """
class Dying:
    def __del__(self, call=call):
        call()
kept = Dying()
"""
DAEMON = """
def work():
    while True:
        call()
threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
"""
THREADS = """
def work():
    import anthropic
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
call()
"""
RELOAD = "import openai._base_client as base; importlib.reload(base); call()"
CYCLE = "stream = call(stream=True); next(stream); ring = [stream]; ring.append(ring)"

# name: script, exit code, spans in the files (None: any)
PROCESSES = {
    "plain": ("call()", 0, 1),
    "atexit": ("atexit.register(call)", 0, None),
    "atexit after a call": ("call(); atexit.register(call)", 0, 2),
    "atexit and uninstrument": (
        "atexit.register(call); atexit.register(tokentrace.uninstrument)",
        0,
        0,
    ),
    "del at exit": (DYING, 0, None),
    "daemon thread at exit": (DAEMON, 0, None),
    "stream open at exit": ("stream = call(stream=True); next(stream)", 0, None),
    "stream in a cycle at exit": (CYCLE, 0, None),
    "interrupt": ("call(); signal.raise_signal(signal.SIGINT)", -2, 1),
    "exit in a stream": ("for _ in call(stream=True): sys.exit(3)", 3, 1),
    "exception": ("call(); 1 / 0", 1, 1),
    "os exit": ("call(); tokentrace.uninstrument(); os._exit(0)", 0, 1),
    "fork": (FORK, 0, None),
    "fork in a stream": (FORK_IN_STREAM, 0, None),
    "import in threads": (THREADS, 0, 1),
    "reload": (RELOAD, 0, None),
    "unwritable folder": ("call()", 0, None),
}

# their own tracebacks are the SDK's or the script's
NOISY = {
    "del at exit",
    "stream open at exit",
    "stream in a cycle at exit",
    "interrupt",
    "exception",
}
LONG = {"exception", "interrupt", "exit in a stream", "os exit"}  # timed from their beginning

MANY = "[call() for _ in range(60)]"
COLLECTORS = ("refused", "black hole", "503", "slow", "rubbish")


# ── collectors that are not well ─────────────────────────────────────────────────────────────────


class Handler(BaseHTTPRequestHandler):
    """Answers as its server was told to."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        manner = self.path.split("/")[1]
        threading.Event().wait(2 if manner == "slow" else 0)
        status = 503 if manner == "503" else 200
        self.send_response(status)
        self.end_headers()
        if manner == "rubbish":
            self.wfile.write(b"\xff" * 1000)

    def log_message(self, *_args):
        """Stay quiet."""


@pytest.fixture(scope="module")
def endpoints():
    """Return the address of each collector."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hole = socket.create_server(("127.0.0.1", 0), backlog=16)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]
    known = {name: f"http://127.0.0.1:{server.server_port}/{name}" for name in COLLECTORS}
    known["refused"] = f"http://127.0.0.1:{refused}"
    known["black hole"] = f"http://127.0.0.1:{hole.getsockname()[1]}"
    yield known
    hole.close()
    server.shutdown()
    server.server_close()


# ── running ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def results(endpoints, tmp_path_factory):
    """Run every process, traced and bare; return exit code, seconds of its exit handlers, stderr and spans of each."""
    top = tmp_path_factory.mktemp("processes")
    cases = []

    def add(name, script, environment, *, traced=True):
        folder = top / f"{len(cases)}"
        folder.mkdir()
        known = {"TOKENTRACE_DIR": str(folder / "traces"), **environment}
        cases.append(
            {
                "name": name,
                "script": script,
                "environment": known,
                "folder": str(folder),
                "traced": traced,
            }
        )

    for name, endpoint in endpoints.items():
        add(name, MANY, {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    for name, (script, _, _) in PROCESSES.items():
        blocked = {"TOKENTRACE_DIR": "/proc/none"} if name == "unwritable folder" else {}
        add(name, script, blocked)
        if name in NOISY:
            add(f"{name}, bare", script, {}, traced=False)
    listed = top / "cases.json"
    listed.write_text(json.dumps(cases))
    known = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "TOKENTRACE_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", ZYGOTE, str(listed)],
        env=known,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout)
    folders = {case["name"]: Path(case["folder"]) for case in cases}
    return {
        name: (
            *codes[name],
            (folders[name] / "out2").read_text(errors="replace"),
            spans_in(folders[name] / "traces"),
        )
        for name in folders
    }


def spans_in(folder):
    """Return the file and the id of every span that the files of a folder hold."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            for resource in json.loads(line).get("resourceSpans", ()):
                scopes = resource["scopeSpans"]
                found += [
                    (path.name, span["spanId"]) for scope in scopes for span in scope["spans"]
                ]
    return found


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_ends_as_it_would(results, name):
    """LI3, LI5, CO4: the exit code of a bare run, no hang, no more tracebacks, and its spans."""
    code, seconds, err, spans = results[name]
    _, expected, known = PROCESSES[name]
    bare_code, _, bare_err, _ = results.get(f"{name}, bare", (expected, 0, "", []))
    if bare_code < 0 and code == bare_code:
        pytest.skip(f"this Python dies of it without tokentrace, too: signal {-bare_code}")
    assert (code, bare_code) == (expected, expected), err
    assert err.count("Traceback") <= bare_err.count("Traceback"), err
    assert "ERROR" not in err
    assert seconds < (EXIT if name not in LONG else 20)
    if known is not None:
        assert len(spans) == known, err
    assert len(set(spans)) == len(spans)


def test_each_child_writes_its_own_file(results):
    """LI3: what a child calls is in the child's file, and nothing of the parent's is in it."""
    files = {}
    for name, span in results["fork"][3]:
        files.setdefault(name, []).append(span)
    sizes = sorted(map(len, files.values()))
    assert sizes[:15] == [3] * 15
    assert len(sizes) == 16


@pytest.mark.parametrize("collector", COLLECTORS)
def test_a_dead_collector_costs_telemetry_only(results, collector):
    """EX1: 60 calls go through and the process ends within five seconds."""
    code, seconds, err, _ = results[collector]
    assert code == 0, err
    assert "Traceback" not in err
    assert seconds < EXIT
    told = [line for line in err.splitlines() if line.startswith("ERROR")]
    assert not [line for line in told if "tokentrace" in line]
    assert len(err.splitlines()) < 60
