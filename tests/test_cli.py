"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from tokentrace import __version__, cli
from tokentrace.cli import showing

HERE = Path(__file__).parent
TRACE = HERE / "readers" / "data" / "conversation.jsonl"
GOLDEN = HERE / "report" / "golden"
COMMAND = [sys.executable, "-m", "tokentrace"]
BODY = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You answer briefly."},
        {"role": "user", "content": "Why is the sky blue?"},
    ],
}


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch, tmp_path):
    """Run in an empty folder, 80 columns wide, without colour."""
    for name in ("FORCE_COLOR", "CI", "GITHUB_ACTIONS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


def invoke(*words, **options):
    """Run a command in this process."""
    return CliRunner().invoke(cli.app, [str(word) for word in words], **options)


def run(*words, **options):
    """Run a command as a user does."""
    line = [*COMMAND, *map(str, words)]
    return subprocess.run(line, capture_output=True, timeout=60, check=False, **options)


def complaint(result):
    """Return the one line of a refused command."""
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("tokentrace: ")
    return line


# ── report ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("width", [80, 200])
def test_report_of_a_file_is_the_approved_page(width, monkeypatch):
    """From a trace file to the page that somebody found good."""
    monkeypatch.setenv("COLUMNS", str(width))
    result = invoke("report", TRACE)
    page = "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())
    assert page == (GOLDEN / f"{width}.txt").read_text("utf-8").split("1 damaged")[0]
    assert (result.exit_code, result.stderr) == (0, "")


def test_json_report_fits_the_schema_it_prints():
    """--schema describes what --json prints, and both are nothing but JSON."""
    schema = json.loads(invoke("report", "--schema").stdout)
    document = json.loads(invoke("report", TRACE, "--json").stdout)
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [turn["total"] for turn in document["sessions"][0]["turns"]][:3] == [1372, 3253, 5344]


def test_default_is_the_local_folder(monkeypatch):
    """Without a path the folder of the local exporter is read."""
    monkeypatch.setenv("TOKENTRACE_DIR", str(TRACE.parent))
    assert "conv-42 · devops" in invoke("report").stdout


def test_nothing_recorded_yet():
    """The first thing a new user may type says what to do first."""
    line = complaint(invoke("report"))
    assert "nothing is recorded here yet" in line
    assert "tokentrace demo" in line


def test_last_turns_and_one_session(tmp_path):
    """--last and --session narrow what is shown."""
    two = TRACE.read_text().replace("conv-42", "conv-43")
    path = tmp_path / "two.jsonl"
    path.write_text(TRACE.read_text() + re.sub(r'"spanId": "0', '"spanId": "1', two))
    document = json.loads(
        invoke("report", path, "--json", "--session", "conv-43", "--last", 2).stdout
    )
    (session,) = document["sessions"]
    assert session["id"] == "conv-43"
    assert [turn["number"] for turn in session["turns"]] == [5, 6]
    assert (
        len(json.loads(invoke("report", path, "--json", "--session", "conv").stdout)["sessions"])
        == 2
    )


def test_unknown_session_names_those_there_are():
    """A mistyped id is answered with the ids that come near it."""
    assert "conv-42" in complaint(invoke("report", TRACE, "--session", "con-42"))


def test_damaged_records_are_reported_and_the_rest_is_shown(tmp_path):
    """A broken line among good ones is one sentence under the report, and in the JSON."""
    good = TRACE.read_text().splitlines(keepends=True)
    path = tmp_path / "x.jsonl"
    path.write_text("".join([*good[:3], "{broken\n", *good[3:]]))
    result = invoke("report", path)
    assert result.exit_code == 0
    assert "1 damaged record skipped" in result.stdout
    assert "x.jsonl:4: broken JSON" in result.stdout.replace("\n", "")
    document = json.loads(invoke("report", path, "--json").stdout)
    assert document["problems"]["count"] == 1
    assert document["problems"]["first"][0]["line"] == 4


BAD_FILES = {
    "empty": b"",
    "truncated": TRACE.read_bytes()[:200],
    "foreign": b"timestamp,level,message\n1,INFO,hello\n",
    "binary": b"\x7fELF\x02\x01\x01\0\0\0",
    "deep": b"[" * 10_000,
    "bomb": gzip.compress(b" " * (64 << 20), 9),
    "cut gzip": gzip.compress(TRACE.read_bytes())[:30],
    "evil": b'{"resourceSpans": "\x1b]0;owned\x07"}',
}


@pytest.mark.parametrize("data", BAD_FILES.values(), ids=BAD_FILES)
def test_unusable_files_get_one_clear_line(tmp_path, data):
    """Exit 2, one line with the path, nothing on stdout, nothing that drives the terminal."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    line = complaint(invoke("report", path))
    assert str(path) in line
    assert "\x1b" not in line


@pytest.mark.parametrize("words", [["report", "none.jsonl"], ["count", "none.json"]])
def test_missing_file(words):
    """A path that is not there is named."""
    assert words[1] in complaint(invoke(*words))


# ── count ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def body(tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(BODY))
    return path


def test_count_of_a_body(body):
    """Components, total, method, limit and headroom of a request body; the api was assumed."""
    page = invoke("count", body).stdout
    assert 'assumed --api openai.chat: it holds "messages"' in page
    assert [word for word in ("system", "user", "framing", "total", "limit", "headroom")
            if f"\n{word}" not in page] == []  # fmt: skip


def test_count_as_json_adds_up(body):
    """The components of the document sum up to its total."""
    document = json.loads(invoke("count", body, "--api", "openai.chat", "--json").stdout)
    assert sum(document["components"].values()) == document["total"] > 10
    assert document["assumed"] == ""
    assert document["headroom"] == document["limit"] - document["total"]


def test_count_of_standard_input(body):
    """A dash counts what is piped in, whichever of body and text it is."""
    assert "standard input" in invoke("count", "-", input=body.read_text()).stdout
    assert "total" in invoke("count", "-", "--model", "gpt-4o", input="hello there").stdout


def test_count_of_a_text_given_here():
    """A text in the command line is counted with the model's vocabulary."""
    document = json.loads(
        invoke("count", "--text", "tokens are not words", "--model", "gpt-4o", "--json").stdout
    )
    assert document["tokenizer"] == "o200k_base"
    assert document["total"] == 4


def test_a_text_that_looks_like_json_stays_a_text():
    """--text is never read as a body."""
    result = invoke("count", "--text", json.dumps(BODY), "--model", "gpt-4o", "--json")
    assert "framing" not in json.loads(result.stdout)["components"]


GUESSES = {
    "openai.chat": BODY,
    "anthropic.messages": {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": []},
    "openai.responses": {"model": "gpt-4o", "input": "hi"},
    "openai.embeddings": {"model": "text-embedding-3-small", "input": ["hi"]},
    "openai.completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "hi"},
    "gemini.generateContent": {"contents": []},
}


@pytest.mark.parametrize(("api", "request_body"), GUESSES.items(), ids=GUESSES)
def test_api_of_a_body_is_guessed(api, request_body, tmp_path):
    """Each api is known by what only its bodies hold, and the guess is said."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps(request_body))
    document = json.loads(invoke("count", path, "--json").stdout)
    assert document["assumed"].startswith(f"assumed --api {api}:")


@pytest.mark.parametrize(
    "shape", [{"system": "x"}, {"tools": [{"name": "t", "input_schema": {}}]},
              {"anthropic_version": "bedrock-2023-05-31"}],
)  # fmt: skip
def test_anthropic_is_told_from_openai_by_its_shape(shape, tmp_path):
    """A body without a telling model name is known by fields that only one api has."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"messages": [], **shape}))
    assumed = json.loads(invoke("count", path, "--json").stdout)["assumed"]
    assert "anthropic.messages" in assumed


def test_a_bare_list_of_messages_is_a_chat():
    """What people paste most often is the list alone."""
    result = invoke("count", "-", "--model", "gpt-4o", "--json", input=json.dumps(BODY["messages"]))
    assert json.loads(result.stdout)["components"]["system"] > 0


COUNT_MISTAKES = {
    "nothing": ([], "give a FILE"),
    "both": (["x.json", "--text", "x"], "give a FILE"),
    "no model": (["--text", "hello"], "--model"),
    "api for a text": (["--text", "hello", "--api", "openai.chat"], "not a request body"),
    "unknown body": (["odd.json"], "--api"),
    "broken": (["broken.json"], "broken JSON"),
    "deep": (["deep.json"], "nested too deeply"),
    "no object": (["number.json"], "an object is needed"),
    "empty": (["empty.json"], "is empty"),
    "no text": (["bytes.json"], "no UTF-8"),
    "a folder": (["."], "Is a directory"),
}
COUNT_FILES = {
    "odd.json": b'{"x": 1}',
    "broken.json": b'{"messages": [',
    "deep.json": b'{"messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "number.json": b"17",
    "empty.json": b" \n",
    "bytes.json": b"\xff\xfe\x00",
}


@pytest.mark.parametrize(("words", "hint"), COUNT_MISTAKES.values(), ids=COUNT_MISTAKES)
def test_count_explains_mistakes(words, hint, tmp_path):
    """Each wrong input gets one line that says what is wrong or what to do."""
    for name, data in COUNT_FILES.items():
        (tmp_path / name).write_bytes(data)
    assert hint in complaint(invoke("count", *words))


def test_names_in_a_body_cannot_drive_the_terminal(tmp_path):
    """A model's name from a file is shown without its escapes."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**BODY, "model": "gpt\x1b[31m\u202e[bold]x"}))
    page = invoke("count", path).stdout
    assert "\x1b" not in page
    assert "[bold]x" in page


# ── demo ─────────────────────────────────────────────────────────────────────────────────────────


def test_demo_hands_its_options_on(monkeypatch):
    """The demo decides its exit code and gets where to write."""
    import tokentrace.demo

    seen = {}

    def fake(console, **options):
        seen.update(options, width=console.width)
        return 0

    monkeypatch.setattr(tokentrace.demo, "run", fake)
    assert invoke("demo", "--exporter", "none", "--dir", "here").exit_code == 0
    assert seen == {"exporter": "none", "directory": "here", "width": 80}


def test_demo_without_its_extra_names_the_install(monkeypatch):
    """Where the openai SDK is missing, the line can be pasted."""
    import tokentrace.demo

    def missing(*_args, **_options):
        raise ModuleNotFoundError("No module named 'openai'", name="openai")

    monkeypatch.setattr(tokentrace.demo, "run", missing)
    assert "pip install 'tokentrace[demo]'" in complaint(invoke("demo"))


def test_demo_refuses_an_unknown_exporter():
    """A mistyped exporter names the known ones."""
    assert "local, otlp, none" in complaint(invoke("demo", "--exporter", "jaeger"))


# ── help and the ends of commands ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["report", "count", "demo"])
def test_help_shows_examples(command):
    """Every command explains itself with lines that can be pasted."""
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"tokentrace {'report' if command == 'demo' else command} " in result.stdout


@pytest.mark.parametrize("words", [["report", "--lost"], ["nonsense"], ["report", "--last", "0"]])
def test_wrong_usage_is_exit_2(words):
    """Unknown options and values are usage errors on stderr."""
    result = invoke(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr


def test_exit_codes_of_the_real_program(tmp_path):
    """The installed module: version, a report, a missing file, a wrong option."""
    version = run("--version")
    assert (version.returncode, version.stdout.decode()) == (0, f"tokentrace {__version__}\n")
    assert run("report", TRACE).returncode == 0
    missing = run("report", tmp_path / "none")
    assert (missing.returncode, missing.stdout) == (2, b"")
    assert b"Traceback" not in missing.stderr
    assert run("report", "--lost").returncode == 2


def test_closed_pipe_is_quiet(tmp_path):
    """`tokentrace report | head -1` neither complains nor fails."""
    path = tmp_path / "long.jsonl"
    one = TRACE.read_text()
    path.write_text("".join(re.sub(r'"spanId": "0', f'"spanId": "{n:x}', one) for n in range(16)))
    script = f"{' '.join(COMMAND)} report {path} --json | head -1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["/bin/bash", "-c", script], capture_output=True, timeout=60, check=False
    )
    assert (result.stdout, result.stderr, result.returncode) == (b"{\n", b"", 0)


def test_interrupt_is_130():
    """Ctrl-C while waiting for standard input ends quietly."""
    process = subprocess.Popen(
        [*COMMAND, "report", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # More than a pipe holds: all of it is written only once the command reads.
    process.stdin.write(TRACE.read_bytes() + b"\n" * 200_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_output_that_cannot_show_a_letter_is_no_traceback():
    """A terminal without Unicode gets question marks, not an error."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = run("report", TRACE, env=environment)
    assert result.returncode == 0
    assert b"conv-42" in result.stdout


def test_progress_shows_after_a_while_and_only_in_a_terminal(monkeypatch):
    """A bar appears on stderr once reading takes longer than patience, never in a pipe."""
    monkeypatch.setattr(showing, "PATIENCE", -1.0)
    monkeypatch.delenv("NO_COLOR")
    assert invoke("report", TRACE).stderr == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "reading" in invoke("report", TRACE).stderr
    assert invoke("report", TRACE, "--json").stderr == ""
