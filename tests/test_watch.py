"""Sessions while they go on: from files that grow, and from senders."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

import agent_logs
import tokentrace
from tokentrace import telemetry
from tokentrace.analysis import sessions
from tokentrace.cli import app
from tokentrace.errors import InputError
from tokentrace.prompt import CallRecord, Event
from tokentrace.readers import Problems, agent_log, following
from tokentrace.report import live
from tokentrace.telemetry import local
from tokentrace.testing import Wire, capture, openai_chat
from tokentrace.watch import Board, Files
from tokentrace.watch.receiving import receiving


def call(turn, tokens, session="conv-1", **changes):
    """Return a call of a turn."""
    known = {
        "trace_id": f"{turn:032x}", "span_id": f"{turn:016x}", "start": turn * 10**9, "end": turn * 10**9 + 1,
        "session": session, "agent": "devops", "model": "gpt-5-mini", "lineage": "l1", "turn": turn,
        "tokens": tokens, "method": "exact", "components": {"history": tokens - 40, "system": 40},
        "limit": 1_000, "limit_source": "configured", "decision": "ok",
    }  # fmt: skip
    return CallRecord(**{**known, **changes})


def drawn(view, width=80, height=24):
    """Return the lines of a screen."""
    console = Console(file=StringIO(), width=width, height=height, color_system=None)
    console.print(live.screen(view, width, height))
    return console.file.getvalue().rstrip("\n").split("\n")


# ── the screen ───────────────────────────────────────────────────────────────────────────────────


def test_screen_shows_the_turn_against_its_limit():
    """Total, limit, share, change, room left, guard, bar and legend of the newest turn."""
    board = Board()
    board.take([call(1, 200), call(2, 500)])
    lines = drawn(live.View(board.sessions(), "traces"))
    assert "conv-1 · devops · gpt-5-mini · 2 turns · 2 calls" in lines[2]
    assert "turn 2  500 of 1,000 (50.0%)  +300 ▲ INCREASE  available 500  guard ok" in lines[3]
    assert (lines[4].count("█"), lines[4].count("░")) == (40, 40)
    assert "■ history 460  ■ system 40" in lines[5]
    assert "▄█" in lines[6]


@pytest.mark.parametrize("width", [20, 80, 200])
def test_screen_fits(width):
    """No line is wider than the terminal and there are no more lines than it has."""
    excluded = Event(
        "tokentrace.component.excluded", {"name": "n" * 90, "tokens": 5, "reason": "r" * 90}, 1
    )
    records = [
        call(turn, 1_300, f"conv-{number}" * 9, events=(excluded,), span_id=f"{number}{turn:014x}")
        for number in range(9)
        for turn in range(1, 60)
    ]
    view = live.View(sessions(records), "a" * 300, left_out=3, problems=["p" * 300])
    lines = drawn(view, width, 24)
    assert max(len(line) for line in lines) <= width
    assert len(lines) <= 24


def test_screen_before_the_first_call():
    """An empty source says what it waits for."""
    assert "waiting for the first call" in "".join(drawn(live.View((), "traces")))


def test_foreign_names_cannot_steer_the_terminal():
    """Escape sequences in names do not reach the screen."""
    evil = call(1, 100, "s\x1b[2J", agent="a\x1b]0;x\x07", components={"c\x1b[31m": 100})
    assert "\x1b" not in "".join(drawn(live.View(sessions([evil]), "p\x1b[2J")))


# ── the board ────────────────────────────────────────────────────────────────────────────────────


def test_board_keeps_the_newest():
    """Old records go when there are too many, and are counted; who spoke last comes last."""
    board = Board(most=2)
    board.take([call(1, 100), call(3, 100, "b"), call(2, 100, "a")])
    assert [one.id for one in board.sessions()] == ["a", "b"]
    assert board.left_out == 1


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def converse(folder, turns, first=1):
    """Write traces of a session as an agent does, through the real SDK."""
    wire = Wire(openai_chat("Done.", prompt_tokens=20))
    import openai

    client = openai.OpenAI(api_key="k", http_client=wire.client("openai"))
    with capture() as captured, tokentrace.session("conv-9"):
        for number in range(first, first + turns):
            with tokentrace.turn(number=number):
                messages = [{"role": "user", "content": "Is it up? " * number}]
                client.chat.completions.create(model="gpt-4o", messages=messages)
    folder.mkdir(exist_ok=True)
    with (folder / "1-1.jsonl").open("ab") as file:
        file.writelines(local.line(span) for span in captured.spans)
    return captured


def test_files_of_a_folder_that_fills(tmp_path):
    """Records come as they are written, also where the folder comes later."""
    folder = tmp_path / "filling"
    files = Files(str(folder), Problems())
    before = list(files.records())
    converse(folder, 2)
    first = [one for one in files.records() if isinstance(one, CallRecord)]
    converse(folder, 1, first=3)
    second = [one for one in files.records() if isinstance(one, CallRecord)]
    files.close()
    assert before == []
    assert [[one.turn for one in some] for some in (first, second)] == [[1, 2], [3]]


def test_a_folder_may_hold_more_files_than_may_be_open(tmp_path, monkeypatch):
    """Between two files none stays open, and a file that did not change is not opened again."""
    folder = tmp_path / "many"
    line = local.line(converse(folder, 1).spans[0])
    for number in range(2, 30):
        (folder / f"{number}.jsonl").write_bytes(line)
    files, opened, most = Files(str(folder), Problems()), [], []
    really = following.Path.open

    def counted(self, *words, **more):
        most.append(sum(one.tail._file is not None for one in files._sources.values()))
        opened.append(self.name)
        return really(self, *words, **more)

    monkeypatch.setattr(following.Path, "open", counted)
    assert len(list(files.records())) == len(opened) == 29
    assert max(most) == 0
    opened.clear()
    with really(folder / "7.jsonl", "ab") as file:
        file.write(line)
    assert (len(list(files.records())), opened) == (1, ["7.jsonl"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_follows_a_file(tmp_path, number):
    """Without a terminal each change is a line, until somebody interrupts: then exit code 0."""
    folder = tmp_path / "live"
    converse(folder, 1)
    command = [sys.executable, "-m", "tokentrace", "watch", str(folder), "--interval", "0.1"]
    watcher = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        first = watcher.stdout.readline()
        converse(folder, 1, first=2)
        second = watcher.stdout.readline()
    finally:
        watcher.send_signal(number)
        code = watcher.wait(60)
        watcher.stdout.close()
    assert "conv-9 turn 1 · " in first
    assert "conv-9 turn 2 · " in second
    assert "INCREASE" in second
    assert code == 0


def test_a_log_that_is_being_written(tmp_path):
    """Turns of a log come as they end; the one that it is still telling of is there so far."""
    path = tmp_path / "agent.log"
    plans = agent_logs.conversation(4)
    text = agent_logs.log(plans)
    files = Files(str(path), Problems(), agent_log.shipped())
    board = Board()
    totals = []
    for part in (text[: len(text) // 2], text[len(text) // 2 :]):
        with path.open("a") as file:
            file.write(part)
        board.take(files.records())
        board.hold(files.open())
        totals.append([turn.total for one in board.sessions() for turn in one.turns if turn.main])
    files.close()
    assert totals[1] == [plan.total for plan in plans]
    assert totals[0] == totals[1][: len(totals[0])]
    assert 0 < len(totals[0]) < 4


def test_one_bad_file_of_a_folder(tmp_path):
    """A packed file among the traces is told once; the others are watched on."""
    folder = tmp_path / "mixed"
    converse(folder, 1)
    (folder / "0.jsonl").write_bytes(gzip.compress(b"{}"))
    problems = Problems()
    files = Files(str(folder), problems)
    first = list(files.records())
    converse(folder, 1, first=2)
    second = list(files.records())
    files.close()
    assert (bool(first), bool(second)) == (True, True)
    assert [one.reason for one in problems.kept] == ["is packed, so nothing more will come"]


def test_a_file_that_is_neither(tmp_path):
    """A file that shows itself as nothing known is told, not watched for ever."""
    path = tmp_path / "other.log"
    path.write_text("one line\n" * 6_000)
    result = CliRunner().invoke(app, ["watch", str(path), "--once"])
    assert result.exit_code == 2
    assert "no trace, and no log that is known" in result.stderr


def test_once(tmp_path):
    """One look, and only the sessions that are asked for."""
    converse(tmp_path / "once", 2)
    shown = CliRunner().invoke(
        app, ["watch", str(tmp_path / "once"), "--once", "--session", "conv"]
    )
    hidden = CliRunner().invoke(app, ["watch", str(tmp_path / "once"), "--once", "--session", "x"])
    assert (shown.exit_code, shown.stdout.count("conv-9 turn")) == (0, 2)
    assert (hidden.exit_code, hidden.stdout) == (0, "")


def test_what_is_no_turn_is_told_beside_the_lines(tmp_path):
    """That there is nothing yet, and what was skipped, stand on stderr: stdout is for the turns."""
    nothing = CliRunner().invoke(app, ["watch", str(tmp_path / "later"), "--once"])
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert nothing.stderr == f"tokentrace: {tmp_path / 'later'}: nothing yet\n"
    converse(tmp_path / "half", 1)
    with (tmp_path / "half" / "1-1.jsonl").open("a") as file:
        file.write('{"resourceSpans": [{\n')
    some = CliRunner().invoke(app, ["watch", str(tmp_path / "half"), "--once"])
    assert (some.exit_code, some.stdout.count("conv-9 turn")) == (0, 1)
    assert "1-1.jsonl:3: " in some.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["x", "--otlp"], "not both"),
        (["--otlp", "--listen", "nowhere"], "is no HOST:PORT"),
        (["--otlp", "--listen", "127.0.0.1:99999"], "is no HOST:PORT"),
    ],
)
def test_wrong_words(words, reason):
    """What cannot be watched is one line and exit code 2."""
    result = CliRunner().invoke(app, ["watch", *words])
    assert result.exit_code == 2
    assert reason in result.stderr


# ── OTLP ─────────────────────────────────────────────────────────────────────────────────────────


def post(url, path, body, **headers):
    """Return the status of a request."""
    connection = HTTPConnection(url.removeprefix("http://").rpartition(":")[0].strip("[]"),
                                int(url.rpartition(":")[2]), timeout=60)  # fmt: skip
    connection.request("POST", path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.fixture
def open_end():
    """A receiver and the board that it fills."""
    board = Board()
    with receiving("127.0.0.1", 0, board.take) as url:
        yield url, board


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_an_exporter_sends(open_end, compression, monkeypatch):
    """OpenTelemetry's own exporter is understood; its spans are the same as in a local file."""
    url, board = open_end
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    import openai

    wire = Wire(openai_chat("Done.", prompt_tokens=20))
    tokentrace.instrument()
    client = openai.OpenAI(api_key="k", http_client=wire.client("openai"))
    with tokentrace.session("sent"), tokentrace.turn():
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Up?"}]
        )
    telemetry.shutdown()
    (session,) = board.sessions()
    (sent,) = session.calls
    assert (session.id, sent.model, sent.turn, sent.usage.input) == ("sent", "gpt-4o", 1, 20)
    assert sum(sent.components.values()) == sent.tokens > 0
    assert len(sent.span_id) == 16


def test_json_is_read_too(open_end, tmp_path):
    """OTLP JSON, packed and not, gives its records."""
    url, board = open_end
    line = local.line(converse(tmp_path / "j", 1).spans[0])
    kind = {"Content-Type": "application/json"}
    plain = post(url, "/v1/traces", line, **kind)
    packed = post(url, "/v1/traces", gzip.compress(line), **kind, **{"Content-Encoding": "gzip"})
    assert (plain, packed) == (200, 200)
    assert board.sessions()[0].calls[0].session == "conv-9"


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/traces", b"\xff\xff\xff", {}, 400),
        ("/v1/traces", b"{", {"Content-Type": "application/json"}, 400),
        ("/v1/traces", b"{}", {"Content-Type": "application/json"}, 200),
        ("/v1/traces", b"no gzip", {"Content-Encoding": "gzip"}, 400),
        ("/v1/metrics", b"", {}, 200),
        ("/other", b"", {}, 404),
        ("/v1/traces", b"", {"Content-Length": str(1 << 40)}, 413),
    ],
)
def test_what_is_no_export(open_end, path, body, headers, status):
    """Everything else is answered with its status, and the receiver lives on."""
    url, board = open_end
    assert post(url, path, body, **headers) == status
    assert post(url, "/v1/traces", b"") == 200
    assert board.sessions() == ()


def test_a_bomb_is_refused(open_end):
    """A packed body that unpacks to more than the cap is refused, not unpacked."""
    url, _ = open_end
    bomb = gzip.compress(b"\0" * (65 << 20))
    assert post(url, "/v1/traces", bomb, **{"Content-Encoding": "gzip"}) == 413


def test_a_port_that_is_taken():
    """The message says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="cannot listen") as raised:
            with receiving("127.0.0.1", port, lambda _: None):
                pass
    assert "--listen" in str(raised.value)


def test_command_opens_an_endpoint(tmp_path):
    """The command tells where it listens, and shows what arrives."""
    line = local.line(converse(tmp_path / "c", 1).spans[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tokentrace",
        "watch",
        "--otlp",
        "--listen",
        f"127.0.0.1:{port}",
    ]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told = watcher.stderr.readline()
        assert (
            post(
                f"http://127.0.0.1:{port}",
                "/v1/traces",
                line,
                **{"Content-Type": "application/json"},
            )
            == 200
        )
        shown = watcher.stdout.readline()
    finally:
        watcher.send_signal(2)
        watcher.communicate(timeout=60)
    assert f"http://127.0.0.1:{port}" in told
    assert "conv-9 turn 1" in shown
