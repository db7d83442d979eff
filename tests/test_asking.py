"""`tokentrace models NAME --ask`, against a server on loopback: who is asked, what is read, what is never told."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from tokentrace import cli, providers
from tokentrace.cli import asking

KEY = "sk-very-secret-1"
VARIABLES = {name for one in (*asking.ENDPOINTS.values(), asking.GIVEN) for name in one.keys}


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    """Start without keys, 200 columns wide and without colour."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("FORCE_COLOR", "CI", "GITHUB_ACTIONS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@contextmanager
def served(answer, status=200, headers=()):
    """Serve one answer to every request; give the URL and the requests seen."""
    seen = []
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def invoke(*words):
    """Run the command in this process."""
    return CliRunner().invoke(cli.app, ["models", *map(str, words), "--ask"])


TELLING = {
    "anthropic": (
        "claude-acme-9", "/v1/models/claude-acme-9", "ANTHROPIC_API_KEY", ("x-api-key", KEY),
        {"id": "claude-acme-9", "type": "model", "max_input_tokens": 200_001, "max_tokens": 64_001},
        (200_001, 64_001),
    ),
    "gemini": (
        "models/gemini-acme-9", "/v1beta/models/gemini-acme-9", "GEMINI_API_KEY", ("x-goog-api-key", KEY),
        {"name": "models/gemini-acme-9", "inputTokenLimit": 1_000_001, "outputTokenLimit": 8_001},
        (1_000_001, 8_001),
    ),
    "mistral": (
        "mistral/mistral-acme-9", "/v1/models/mistral-acme-9", "MISTRAL_API_KEY",
        ("authorization", f"Bearer {KEY}"),
        {"id": "mistral-acme-9", "max_context_length": 32_001}, (32_001, None),
    ),
    "cohere": (
        "command-acme-9", "/v1/models/command-acme-9", "CO_API_KEY", ("authorization", f"Bearer {KEY}"),
        {"name": "command-acme-9", "context_length": 128_001.0, "endpoints": ["chat"]}, (128_001, None),
    ),
    "groq": (
        "acme/model-9", "/openai/v1/models/acme%2Fmodel-9", "GROQ_API_KEY", ("authorization", f"Bearer {KEY}"),
        {"id": "acme/model-9", "context_window": 131_001, "max_completion_tokens": 8_001}, (131_001, 8_001),
    ),
    "openrouter": (
        "acme/model-9", "/api/v1/models", "OPENROUTER_API_KEY", ("authorization", f"Bearer {KEY}"),
        {"data": [{"id": "other", "context_length": 1}, "odd",
                  {"id": "acme/model-9", "context_length": 16_001, "top_provider": {"max_completion_tokens": 4_001}}]},
        (16_001, 4_001),
    ),
    "local": (
        "acme/model-9", "/models", "OPENAI_API_KEY", ("authorization", f"Bearer {KEY}"),
        {"object": "list", "data": [{"id": "acme/model-9", "max_model_len": 8_001}]}, (8_001, None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("provider", TELLING)
def test_each_provider_is_asked_in_its_own_way(provider, monkeypatch):
    """Path, header and key are those of its SDK; the numbers come back under its own names."""
    name, path, variable, header, answer, (limit, output) = TELLING[provider]
    monkeypatch.setenv(variable, KEY)
    with served(answer) as (url, seen):
        result = invoke(name, "--provider", provider, "--base-url", url, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    ((asked, headers),) = seen
    assert asked == path
    assert headers[header[0]] == header[1]
    (told,) = json.loads(result.stdout)["asked"]
    assert (told["input"], told["output"], told["served_by"]) == (limit, output, provider)
    assert KEY not in result.output


def test_what_is_printed_can_be_set(monkeypatch):
    """The line is a value of TOKENTRACE_LIMITS that makes the answer the limit of a call."""
    from tokentrace.guard import limit_of
    from tokentrace.prompt import Limit, Prompt

    with served({"data": [{"id": "acme/model-9", "max_model_len": 8_001}]}) as (url, _):
        page = invoke("acme/model-9", "--base-url", f"{url}/v1").stdout
    assert page.splitlines()[:2] == [
        f"acme/model-9 at {url.removeprefix('http://')}",
        "input   8,001",
    ]
    (line,) = [line for line in page.splitlines() if line.startswith("set ")]
    monkeypatch.setenv("TOKENTRACE_LIMITS", line.partition("=")[2].strip("'"))
    prompt = Prompt("openai.chat", "acme/model-9")
    assert limit_of(None, "", f"{url}/v1", prompt) == Limit(8_001, "configured")


@pytest.mark.parametrize("base", ["", "/", "/openai", "/openai/v1", "/openai/v1/"])
def test_a_base_url_may_hold_the_beginning_of_the_path(base, monkeypatch):
    """Base URLs are written with and without version, as SDKs take them."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with served({"context_window": 9}) as (url, seen):
        invoke("model-9", "--provider", "groq", "--base-url", url + base)
    assert seen[0][0] == "/openai/v1/models/model-9"


# ── nobody to ask, nothing told ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["gpt-4o"], "the model endpoint of openai tells no limit"),
        (["gpt-4o", "--provider", "azure"], "azure tells no limit"),
        (["grok-4"], "no model endpoint of xai is known (give --base-url"),
        (["zzz"], "no model endpoint is known"),
        (["claude-sonnet-4-5"], "there is no key (set ANTHROPIC_API_KEY)"),
        (["gemini-2.5-pro"], "there is no key (set GEMINI_API_KEY)"),
        (["x", "--base-url", "file:///etc/hostname"], "http:// or https://"),
        (["x", "--base-url", "localhost:1"], "http:// or https://"),
        (["x", "--base-url", "http://[::1"], "http:// or https://"),
        (["x", "--base-url", "http://{0}:80"], "--ask"),
        (["x", "--base-url", "http://localhost:999999"], "http:// or https://"),
        (["x", "--base-url", "http://localhost:1\r\nX: y"], "http:// or https://"),
    ],
)
def test_who_cannot_be_asked_is_one_line_and_exit_2(words, hint):
    """No endpoint, no key, no URL: said in one line, before anything is sent."""
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert hint in line


BAD = {
    "refused": (401, {"error": {"message": f"bad key {KEY}"}}, (), "401 Unauthorized"),
    "unknown": (404, {"error": "no such model"}, (), "404 Not Found"),
    "moved": (302, {}, (("Location", "http://127.0.0.1:9/stolen"),), "302 Found"),
    "no json": (200, b"<html>", (), "no JSON came back"),
    "deep": (200, b"[" * 100_000, (), "no JSON came back"),
    "no limit": (200, {"id": "claude-acme-9", "object": "model"}, (), "tells no limit of 'claude-acme-9'"),
    "odd": (200, [1, None, {"id": {}}], (), "tells no limit"),
    "not a number": (200, {"max_input_tokens": True, "context_length": "9"}, (), "tells no limit"),
    "none": (200, {"max_input_tokens": -1, "context_length": 2**60}, (), "tells no limit"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "answer", "headers", "hint"), BAD.values(), ids=BAD)
def test_a_bad_answer_is_one_line_without_the_key(status, answer, headers, hint, monkeypatch):
    """Refusals, redirects and odd answers end in one line; the key is asked for once and never shown."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with served(answer, status, headers) as (url, seen):
        result = invoke("claude-acme-9", "--base-url", url, "--provider", "anthropic")
    assert (result.exit_code, result.stdout, len(seen)) == (2, "", 1)
    (line,) = result.stderr.splitlines()
    assert hint in line
    assert KEY not in line


def test_a_dead_port_is_one_line():
    """Nobody listens: the kind of error is told."""
    with served({}) as (url, _):
        pass
    result = invoke("x", "--base-url", url)
    assert result.exit_code == 2
    assert "ConnectionRefusedError" in result.stderr


def test_a_key_that_cannot_be_sent_is_not_shown(monkeypatch):
    """A key with a line break would be quoted by the HTTP library's own error."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"{KEY}\r\nX-Evil: 1")
    with served({}) as (url, seen):
        result = invoke("claude-acme-9", "--base-url", url, "--provider", "anthropic")
    assert (result.exit_code, seen) == (2, [])
    assert KEY not in result.output


def test_a_key_leaves_over_https_only():
    """Over plain http a key goes to this machine, and nowhere else."""
    endpoint = asking.ENDPOINTS["mistral"]
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.setenv(name, KEY)
        with pytest.raises(asking.InputError, match="https only"):
            asking._headers(endpoint, "mistral", "http://llm.example/v1/models/x")
        plain = asking._headers(asking.GIVEN, "", "http://llm.example/v1/models")
        secure = asking._headers(asking.GIVEN, "", "https://llm.example/v1/models")
    assert "Authorization" not in plain
    assert secure["Authorization"] == f"Bearer {KEY}"


def test_an_endless_answer_ends(monkeypatch):
    """More than is read of an answer is an error, not memory."""
    monkeypatch.setattr(asking, "LONGEST", 1_000)
    with served(b" " * 200_000) as (url, _):
        result = invoke("x", "--base-url", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "TimeoutError" in result.stderr


def test_a_slow_answer_ends(monkeypatch):
    """Time is up for the whole answer, not for each piece of it."""
    clock = iter([0.0, 5.0, 11.0, 17.0])
    monkeypatch.setattr(asking.time, "monotonic", lambda: next(clock))

    class Dripping:
        def read1(self, _):
            return b" "

    with pytest.raises(TimeoutError):
        asking._read(Dripping())


def test_nobody_is_asked_without_ask(monkeypatch):
    """The table and a name's row need no network."""
    monkeypatch.setattr(asking, "_fetched", lambda *_: pytest.fail("something was asked"))
    result = CliRunner().invoke(
        cli.app, ["models", "claude-sonnet-4-5", "--base-url", "http://localhost:1"]
    )
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "claude-sonnet-4-5")
    assert "served by local" in result.stdout


def test_every_endpoint_is_a_known_providers():
    """Each row's base lies on a host of that provider, over https."""
    for name, endpoint in asking.ENDPOINTS.items():
        assert endpoint.base.startswith("https://")
        assert providers.find("x", "", endpoint.base)[0].name == name
