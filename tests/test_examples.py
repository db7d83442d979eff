"""The examples run as a user would run them, against servers on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import openai
import pytest

from tokentrace import readers, testing
from tokentrace.demo.server import Reply, Server
from tokentrace.prompt import CallRecord, ContextRecord

EXAMPLES = Path(__file__).parents[1] / "examples"

# What these prompts cost by OpenAI's rules, taken down from a script of its own (2026-11-22): 4 for
# each message, its text in o200k_base, and 3 for the reply.
QUICKSTART = (37, 67, 91)


def run(name: str, folder: Path, proxy: str, *words: str) -> str:
    """Run an example in a Python of its own and return what it prints.

    It believes that it talks to its provider; a server of ours, its HTTP proxy, answers.
    """
    settings = {
        "HTTP_PROXY": proxy,
        "OPENAI_API_KEY": "test",
        "OPENAI_BASE_URL": "http://api.openai.com/v1",
        "ANTHROPIC_API_KEY": "test",
        "ANTHROPIC_BASE_URL": "http://api.anthropic.com",
    }
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words], env=os.environ | settings, cwd=folder,
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def recorded() -> tuple[list[CallRecord], list[ContextRecord]]:
    """Return the calls and assemblies that an example left in its trace folder."""
    found = list(readers.read([os.environ["TOKENTRACE_DIR"]], readers.Problems()))
    calls = [record for record in found if isinstance(record, CallRecord)]
    return calls, [record for record in found if isinstance(record, ContextRecord)]


def test_openai_quickstart(tmp_path):
    """Three turns are counted, and what was counted is what OpenAI's rules say."""
    numbers = iter(QUICKSTART)
    with Server(
        lambda _body: Reply("Look at its events.", prompt=next(numbers), completion=5)
    ) as server:
        printed = run("openai_quickstart.py", tmp_path, server.origin)
    calls, _ = recorded()
    assert printed.count("Look at its events.") == 3
    assert [(call.session, call.turn, call.tokens) for call in calls] == [
        ("quickstart", 1, QUICKSTART[0]), ("quickstart", 2, QUICKSTART[1]), ("quickstart", 3, QUICKSTART[2]),
    ]  # fmt: skip
    assert [call.drift for call in calls] == [0, 0, 0]


def test_context_assembly(tmp_path):
    """Tagged parts are components, the rest of the assembly is told."""
    with Server(lambda _body: Reply("It ran out of memory.", prompt=150)) as server:
        run("context_assembly.py", tmp_path, server.origin)
    (call,), (context,) = recorded()
    assert {"memory", "documents", "system", "user"} <= call.components.keys()
    assert sum(call.components.values()) == call.tokens
    assert (context.name, context.budget, len(context.events)) == ("support", 500, 2)


def test_guard_in_production(tmp_path):
    """A prompt near its limit is shortened, one over it is refused and never sent."""
    with Server(lambda _body: Reply("Connections are short.", prompt=20)) as server:
        printed = run("guard_in_production.py", tmp_path, server.origin)
    calls, _ = recorded()
    assert [call.decision for call in calls] == ["ok", "compress", "refuse"]
    assert len(server.bodies) == 2
    assert "Too long:" in printed


class Claude(BaseHTTPRequestHandler):
    """Streams one recorded message as Anthropic does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece in testing.anthropic_stream(
            "No limits. ", "One replica.", input_tokens=95
        ).chunks():
            self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        """Keep the terminal for the tests."""


@pytest.fixture
def claude() -> Iterator[str]:
    """Give the URL of a server that speaks as much Anthropic as the example needs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Claude) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_anthropic_quickstart(tmp_path, claude):
    """A streamed message is printed whole, with what was counted and what was reported."""
    printed = run("anthropic_quickstart.py", tmp_path, claude)
    (call,), _ = recorded()
    assert "No limits. One replica." in printed
    assert (call.usage.input, call.session, call.turn) == (95, "review", 1)
    assert call.components["manifest"] > 0
    assert call.error > 0


def test_the_stand_in_speaks_to_a_real_sdk(monkeypatch):
    """The model on loopback calls a tool for an input, and answers for its result."""
    monkeypatch.syspath_prepend(EXAMPLES)
    client = openai.OpenAI(api_key="t", base_url=f"{import_module('stand_in').start()}/v1")
    talk: list[Any] = [{"role": "user", "content": "Is the shop healthy?"}]
    chat = [client.chat.completions.create(model="m", messages=talk).choices[0]]
    said = [client.responses.create(model="m", input=talk).output[0]]
    talk.append({"role": "tool", "tool_call_id": "c", "content": "Running"})
    chat.append(client.chat.completions.create(model="m", messages=talk).choices[0])
    result: Any = {"type": "function_call_output", "call_id": "c", "output": "Running"}
    said.append(client.responses.create(model="m", input=[result]).output[0])
    assert [one.finish_reason for one in chat] == ["tool_calls", "stop"]
    assert [one.type for one in said] == ["function_call", "message"]
    assert (EXAMPLES / "stand_in.py").exists()


def test_long_conversation(tmp_path):
    """Its memory is kept between its processes, and each turn asks, looks and answers."""
    for prompt in ("Is the cluster healthy?", "And the shop?"):
        run("long_conversation.py", tmp_path, "", "s1", prompt)
    memory = json.loads((tmp_path / ".agent" / "s1.json").read_text("utf-8"))
    roles = ["user", "assistant", "tool", "assistant"]
    assert [[message["role"] for message in turn] for turn in memory["turns"]] == [roles, roles]


def test_every_example_is_tested_and_listed():
    """No example lies about without a test and a line in the table."""
    names = {path.name for path in EXAMPLES.glob("*.py")}
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    here = Path(__file__)
    apart = here.parent / "frameworks" / "test_framework_examples.py"
    tests = "".join(path.read_text(encoding="utf-8") for path in (here, apart))
    assert {
        name for name in names if f'"{name}"' not in tests or f"]({name})" not in table
    } == set()
    assert json.dumps(sorted(names)).count(".py") == 10


def test_examples_are_short():
    """An example can be read at a glance; the server that some share is none."""
    lines = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in EXAMPLES.glob("*.py")
        if path.name != "stand_in.py"
    }
    assert max(lines.values()) <= 60
