"""`tokentrace run`: a program that nobody changed is traced, and notices nothing of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner

import tokentrace
from otlp_receiver import receiving
from tokentrace import _config, analysis, boot, cli, readers, status, turns
from tokentrace.demo.server import Reply, Server
from tokentrace.prompt import CallRecord

RUN = [sys.executable, "-m", "tokentrace", "run"]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CALLER}-01"
# Says on stdin's lines what the user says; one call each, the history of the conversation with it.
AGENT = """
import sys
import openai

client = openai.OpenAI(api_key="test", max_retries=0)
talk = [{"role": "system", "content": "You look after a shop."}]
for line in sys.argv[1:] or sys.stdin:
    talk.append({"role": "user", "content": line})
    reply = client.chat.completions.create(model="gpt-4o", messages=talk)
    talk.append({"role": "assistant", "content": reply.choices[0].message.content})
    print(talk[-1]["content"])
"""
# One user input: a tool is called until the server has enough, and a small model is asked beside.
LOOP = """
import sys
import openai

client = openai.OpenAI(api_key="test", max_retries=0)
talk = [{"role": "system", "content": "You look after a shop."}]
talk += [{"role": "user", "content": f"Day {day} was calm."} for day in range(int(sys.argv[2]))]
talk += [{"role": "user", "content": sys.argv[1]}]
tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


def ask(model, messages, **more):
    return client.chat.completions.create(model=model, messages=messages, **more).choices[0].message


while (message := ask("gpt-4o", talk, tools=tools)).tool_calls:
    talk.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls:
        ask("gpt-4o-mini", [{"role": "user", "content": f"Shorten result {len(talk)}."}])
        talk.append({"role": "tool", "tool_call_id": call.id, "content": "Three nodes are ready."})
ask("gpt-4o-mini", [{"role": "user", "content": "Give this a title."}])
"""


def answer(body: Any) -> Reply:
    """Call the tool twice, where there is one; then answer."""
    results = sum(message["role"] == "tool" for message in body["messages"])
    if "tools" in body and results < 2:
        return Reply(tool=("look", "{}"), prompt=9, completion=3)
    return Reply("All is well.", prompt=9, completion=3)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Give a server that answers for OpenAI; programs run in a folder with two agents."""
    for name, text in (("agent.py", AGENT), ("loop.py", LOOP)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with Server(answer) as running:
        # Believed to be the provider: its proxy answers.
        monkeypatch.setenv("OPENAI_BASE_URL", "http://api.openai.com/v1")
        monkeypatch.setenv("HTTP_PROXY", running.origin)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


def run(
    *words: object, options: Sequence[object] = (), **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program as a user does."""
    line = [*RUN, *map(str, options), "--", *map(str, words)]
    plain = {"capture_output": True, "text": True, "timeout": 60}
    return subprocess.run(line, check=False, **(plain | more))


def python(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a script, which must end well and without a word on stderr."""
    ran = run(sys.executable, *words, **more)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran


def sessions() -> tuple[analysis.Session, ...]:
    """Return what the trace folder holds."""
    folder = os.environ["TOKENTRACE_DIR"]
    if not Path(folder).exists():
        return ()
    return analysis.sessions(readers.read([folder], readers.Problems()))


def calls() -> list[CallRecord]:
    """Return all calls of the trace folder, in the order of their time."""
    found = [call for session in sessions() for call in session.calls]
    return sorted(found, key=lambda call: call.start)


def spans() -> dict[str, list[dict[str, Any]]]:
    """Return all spans of the trace folder as they were written, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in Path(os.environ["TOKENTRACE_DIR"]).glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            for resource in json.loads(line).get("resourceSpans", ()):
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        found.setdefault(span["name"], []).append(span)
    return found


# ── tracing ──────────────────────────────────────────────────────────────────────────────────────


def test_an_unchanged_program_is_traced(server):
    """Its call is in the trace folder with components that add up; what it prints is its own."""
    ran = python("agent.py", "Is the shop up?")
    (call,) = calls()
    assert ran.stdout == "All is well.\n"
    assert (call.model, call.usage.input) == ("gpt-4o", 9)
    assert {"system", "user", "framing"} <= call.components.keys()
    assert sum(call.components.values()) == call.tokens


def test_words_are_clear_without_the_dashes(server):
    """The first word that is no option is the program; what follows belongs to it."""
    line = [*RUN, "--session", "s", sys.executable, "agent.py", "--session", "--", "--help"]
    ran = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("All is well.") == 3
    assert server.bodies[-1]["messages"][-1]["content"] == "--help"
    assert {call.session for call in calls()} == {"s"}


def test_options_become_variables(server, tmp_path, monkeypatch):
    """Each option is its variable for the program, and wins over the one that is set."""
    monkeypatch.setenv("TOKENTRACE_SESSION", "other")
    monkeypatch.setenv("TOKENTRACE_LIMIT", "7")
    given = {
        "--session": "s", "--turn": "3", "--dir": "here", "--exporter": "local",
        "--limit": "9000", "--on-exceed": "raise", "--service-name": "shop",
    }  # fmt: skip
    options = [word for pair in given.items() for word in pair]
    ran = python("-c", "import json, os; print(json.dumps(dict(os.environ)))", options=options)
    seen = json.loads(ran.stdout)
    assert {name: seen[name] for name in seen if name.startswith(("TOKENTRACE_", "OTEL_"))} == {
        "TOKENTRACE_SESSION": "s", "TOKENTRACE_TURN": "3", "TOKENTRACE_DIR": str(tmp_path / "here"),
        "TOKENTRACE_EXPORTER": "local", "TOKENTRACE_LIMIT": "9000", "TOKENTRACE_STRICT": "1",
            "TOKENTRACE_COSTS": "0",
        "TOKENTRACE_ON_EXCEED": "raise", "OTEL_SERVICE_NAME": "shop",
    }  # fmt: skip


def test_the_guard_refuses_as_told(server):
    """A limit and what to do at it need no code: nothing is sent."""
    ran = run(sys.executable, "agent.py", "Hm?", options=["--limit", 5, "--on-exceed", "raise"])
    assert ran.returncode == 1
    assert "TokenLimitExceeded" in ran.stderr
    assert server.bodies == []
    assert [call.decision for call in calls()] == ["refuse"]


def test_everything_of_one_run_is_in_one_folder(server, tmp_path, monkeypatch):
    """A relative trace folder is where the command was given, wherever the program goes."""
    monkeypatch.setenv("TOKENTRACE_DIR", "kept")
    (tmp_path / "deep").mkdir()
    script = "import os, runpy, sys; os.chdir('deep'); runpy.run_path('../agent.py')"
    python("-c", script, "Hm?")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == []
    assert list((tmp_path / "kept").glob("*.jsonl"))


def test_spans_go_over_otlp_where_asked(server, tmp_path, monkeypatch):
    """The service has its name, and a turn is a tree: the process, and below it its calls."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        options = ["--exporter", "otlp", "--service-name", "shop", "--session", "s"]
        python("loop.py", "Is the shop up?", 0, options=options)
    (turn,) = [span for span in receiver.spans if span.name == "invoke_agent"]
    below = [span for span in receiver.spans if span.name != "invoke_agent"]
    assert len(below) == 6
    assert {(span.trace_id, span.parent_id) for span in below} == {(turn.trace_id, turn.span_id)}
    assert turn.start <= min(span.start for span in below)
    assert turn.end >= max(span.end for span in below)
    assert {span.resource["service.name"] for span in receiver.spans} == {"shop"}
    assert not (tmp_path / "traces").exists()


def test_python_inside_a_shell_script_is_traced(server, tmp_path):
    """A program that is no Python passes on what its children need."""
    script = tmp_path / "start.sh"
    script.write_text(f'#!/bin/sh\necho "$1"\n"{sys.executable}" agent.py "$1"\n')
    script.chmod(0o755)
    ran = run("./start.sh", "Hm?")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Hm?\nAll is well.\n", "")
    assert len(calls()) == 1


def test_python_inside_python_is_traced(server):
    """A child process inherits it."""
    inner = (
        "import subprocess, sys; subprocess.run([sys.executable, 'agent.py', 'Hm?'], check=True)"
    )
    assert python("-c", inner).stdout == "All is well.\n"
    assert len(calls()) == 1


def test_a_program_that_instruments_itself_keeps_its_settings(server):
    """Its own `instrument()` replaces ours, without a second span."""
    script = (
        "import runpy, tokentrace; tokentrace.instrument(guard=False); runpy.run_path('agent.py')"
    )
    python("-c", script, "Hm?")
    assert [call.decision for call in calls()] == ["off"]


# ── one process a turn ───────────────────────────────────────────────────────────────────────────


def test_five_processes_are_five_turns(server):
    """One session, its turns in order; what no process could know is derived when read."""
    said = ["Is the shop up?", "And the nodes?", "The pods too?", "Ok?", "How many pods are there?"]
    for length in range(1, 6):
        script = "import runpy, sys; sys.argv[1:] = ['\\n'.join(sys.argv[1:])]; runpy.run_path('agent.py')"
        python("-c", script, *said[:length], options=["--session", "s"])
    (session,) = sessions()
    assert (session.id, session.named) == ("s", True)
    assert [turn.number for turn in session.turns] == [1, 2, 3, 4, 5]
    totals = [turn.total for turn in session.turns]
    assert totals == sorted(set(totals))
    steps = [after - before for before, after in pairwise(totals)]
    assert [turn.delta for turn in session.turns] == [None, *steps]
    assert [turn.trend for turn in session.turns] == ["", *["increase"] * 4]
    assert {(call.turn, call.delta, call.trend, call.forecast) for call in calls()} == {
        (1, None, "", None)
    }


def test_each_tool_loop_is_a_turn(server):
    """All calls of a process are one turn, those on the side too; its total is the loop's largest."""
    for turn in range(3):
        python("loop.py", "Is the shop up?", turn, options=["--session", "s"])
    (session,) = sessions()
    assert [(turn.number, len(turn.calls)) for turn in session.turns] == [(1, 6), (2, 6), (3, 6)]
    for turn in session.turns:
        assert turn.main.model == "gpt-4o"
        assert turn.total == max(call.tokens for call in turn.calls)
    assert [turn.trend for turn in session.turns] == ["", "increase", "increase"]
    assert len({call.trace_id for call in session.calls}) == 3


def test_a_long_chat_shows_its_turns(server):
    """One process that answers several inputs has as many turns, and the next process goes on."""
    options = ["--session", "s"]
    python("agent.py", options=options, input="Is the shop up?\nAnd the nodes?\nAnd the pods?\n")
    python("agent.py", options=options, input="Are you there?\nGood.\n")
    (session,) = sessions()
    assert [(turn.number, len(turn.calls)) for turn in session.turns] == [
        (n, 1) for n in range(1, 6)
    ]
    assert [turn.trend for turn in session.turns] == [
        "", "increase", "increase", "decrease", "increase"]  # fmt: skip
    assert len(spans()["invoke_agent"]) == 2


def test_a_number_that_is_given_holds(server):
    """With `--turn` a process is that turn, however many belong to it and whatever it says."""
    for turn, text in ((4, "One."), (4, "Two."), (6, "Three.")):
        python("agent.py", text, "More.", options=["--session", "s", "--turn", turn])
    (session,) = sessions()
    assert [(turn.number, len(turn.calls)) for turn in session.turns] == [(4, 4), (6, 2)]


def test_concurrent_processes_are_turns_of_their_own(server):
    """Whatever runs at the same time in one session is kept apart."""
    line = [*RUN, "--session", "s", "--", sys.executable, "loop.py", "Hm?", "2"]
    running = [subprocess.Popen(line) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    (session,) = sessions()
    assert [(turn.number, len(turn.calls)) for turn in session.turns] == [(1, 6), (2, 6), (3, 6)]
    assert all(len({call.trace_id for call in turn.calls}) == 1 for turn in session.turns)


def test_a_process_without_a_call_is_no_turn(server):
    """It leaves no span, so the numbers have no gap."""
    options = ["--session", "s"]
    python("agent.py", "One.", options=options)
    python("-c", "import openai; print('no call')", options=options)
    python("agent.py", "Two.", options=options)
    (session,) = sessions()
    assert [turn.number for turn in session.turns] == [1, 2]
    assert len(spans()["invoke_agent"]) == 2


def test_a_fork_goes_on_with_the_turn(server, tmp_path):
    """What a forked child calls belongs to the process's turn, whose span ends once."""
    (tmp_path / "fork.py").write_text(
        "import os, runpy, sys, warnings\n"
        "warnings.simplefilter('ignore')  # from 3.12 on of any process with threads that forks\n"
        "runpy.run_path('agent.py')\n"
        "if not (child := os.fork()):\n"
        "    sys.argv[1:] = ['Is the shop up?']\n"
        "    runpy.run_path('agent.py')\n"
        "    sys.exit(3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3\n",
        encoding="utf-8",
    )
    python("fork.py", "Is the shop up?", options=["--session", "s"])
    (session,) = sessions()
    (turn,) = session.turns
    (span,) = spans()["invoke_agent"]
    assert {call.parent_id for call in turn.calls} == {span["spanId"]}
    assert len(turn.calls) == 2


@pytest.mark.parametrize("name", [
    "ünïcode\n会話", "a=b;c,d '\"' $(date) `id` \\", "--session", "x" * 3000,
])  # fmt: skip
def test_odd_session_ids(server, name):
    """A session may be called anything; what is too long is cut with a mark that tells names apart."""
    python("agent.py", "Hm?", options=["--session", name])
    (session,) = sessions()
    assert session.named
    shown = name.replace("\n", " ")
    start, mark, rest = session.id.partition("…[cut: ")
    assert session.id == shown or (mark and name.startswith(start) and "of 3000 bytes" in rest)


def test_a_session_id_that_is_no_text(server):
    """Bytes that are no UTF-8 harm nothing."""
    line = [os.fsencode(word) for word in (*RUN, "--session")]
    line += [b"s\xff", b"--", os.fsencode(sys.executable), b"agent.py", b"Hm?"]
    ran = subprocess.run(line, capture_output=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"All is well.\n", b"")
    assert len(calls()) == 1


def test_the_caller_is_the_parent(server, monkeypatch):
    """A caller's trace goes on, and its number is the turn's."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    for step in ("One.", "Two."):
        python("agent.py", step, options=["--session", "s", "--turn", 1])
    (session,) = sessions()
    assert [(turn.number, len(turn.calls)) for turn in session.turns] == [(1, 2)]
    processes = spans()["invoke_agent"]
    assert {(span["traceId"], span["parentSpanId"]) for span in processes} == {(TRACE, CALLER)}
    assert {call.parent_id for call in calls()} == {span["spanId"] for span in processes}


def test_a_program_with_turns_of_its_own_has_those(server, tmp_path):
    """What it calls before its first turn has the process's; then its own are trees of their own."""
    (tmp_path / "own.py").write_text(
        "import runpy, sys, tokentrace\n"
        "runpy.run_path('agent.py')\n"
        "for _ in range(2):\n"
        "    with tokentrace.turn():\n"
        "        runpy.run_path('agent.py')\n",
        encoding="utf-8",
    )
    python("own.py", "Hm?", options=["--session", "s"])
    parents = [span.get("parentSpanId", "") for span in spans()["invoke_agent"]]
    assert parents == ["", "", ""]
    assert len({call.trace_id for call in calls()}) == 3


def test_a_session_of_the_programs_own_is_not_under_the_process(server, tmp_path):
    """A program that names its conversations has no turn that spans them."""
    (tmp_path / "own.py").write_text(
        "import runpy, tokentrace\n"
        "for name in 'ab':\n"
        "    with tokentrace.session(name):\n"
        "        runpy.run_path('agent.py')\n",
        encoding="utf-8",
    )
    python("own.py", "Hm?", options=["--session", "s"])
    assert [session.id for session in sessions()] == ["a", "b"]
    assert "invoke_agent" not in spans()


def test_a_killed_process_keeps_its_turn(server):
    """Its own span is lost, its calls and their number are not."""
    script = (
        "import os, runpy, signal, tokentrace.telemetry as telemetry\n"
        "runpy.run_path('agent.py')\n"
        "telemetry.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = run(sys.executable, "-c", script, "One.", options=["--session", "s"])
    assert killed.returncode == -signal.SIGKILL
    python("agent.py", "Two.", options=["--session", "s"])
    (session,) = sessions()
    assert [(turn.number, len(turn.calls)) for turn in session.turns] == [(1, 1), (2, 1)]


# ── the program's own ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", [3, 127])
def test_the_exit_code_is_the_programs(code):
    """Whatever it is."""
    assert run(sys.executable, "-c", f"raise SystemExit({code})").returncode == code


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT", "SIGPIPE"])
def test_a_killed_program_is_killed_by_that_signal(name):
    """No shell's 128 + n, no handler in between."""
    assert run("sh", "-c", f"kill -{name[3:]} $$").returncode == -getattr(signal, name)


def test_the_process_is_the_programs():
    """Its pid is the one that was started, so signals reach it."""
    line = [*RUN, "--", "sh", "-c", "echo $$; read line"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert int(process.stdout.readline()) == process.pid
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_a_pipe_that_closes_ends_the_program_silently():
    """Python ignores SIGPIPE; what it becomes does not."""
    line = f"{' '.join(RUN)} -- yes | head -n 1"
    ran = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("y\n", "")


def test_streams_pass_untouched():
    """Bytes in, bytes out, on both sides, whether or not they are text."""
    data = bytes(range(256)) * 300
    script = "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d); sys.stderr.buffer.write(d[::-1])"
    ran = run(sys.executable, "-c", script, input=data, text=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, data, data[::-1])


def test_arguments_pass_untouched():
    """Empty words, blanks, dashes and globs arrive as they were given."""
    words = ["", " a  b ", "--", "-h", "--turn", "*", "$HOME", "ü\n"]
    ran = python("-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words)
    assert json.loads(ran.stdout) == words


def test_imports_are_as_they_were(tmp_path, monkeypatch):
    """The path and what is on it differ in nothing; the variable is handed on."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}")
    script = (
        "import importlib.util as u, os, sys\n"
        "print(sys.path, u.find_spec('sitecustomize'), sys.flags, sys.argv)\n"
        "try:\n    import sitecustomize\n"
        "except ModuleNotFoundError as error:\n    print(error.name)\n"
    )
    bare = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert python("-c", script).stdout == bare.stdout
    handed = python("-c", "import os; print(os.environ['PYTHONPATH'])").stdout
    assert handed == f"{boot.FOLDER}{os.pathsep}{tmp_path}{os.pathsep}\n"


def test_the_users_sitecustomize_runs(server, tmp_path, monkeypatch):
    """It runs before us and under its own name: in the command, and in what that becomes."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("MARK = __file__\nprint('theirs')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    script = (
        "import sitecustomize, tokentrace; print(sitecustomize.MARK, tokentrace.status()['active'])"
    )
    expected = f"theirs\ntheirs\n{tmp_path / 'site' / 'sitecustomize.py'} True\n"
    assert python("-c", script).stdout == expected


@pytest.mark.parametrize("text", ["raise ValueError('no')", "import no_such_module"])
def test_a_broken_sitecustomize_is_told_as_ever(server, tmp_path, monkeypatch, text):
    """Python says what it says without us, and the program is traced."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    bare = subprocess.run(
        [sys.executable, "-c", "pass"], capture_output=True, text=True, check=False, timeout=60
    )
    ran = run(sys.executable, "agent.py", "Hm?")
    assert (ran.returncode, ran.stdout) == (0, "All is well.\n")
    assert ran.stderr == 2 * bare.stderr  # the command is a Python too
    assert len(calls()) == 1


BAD = {
    "TOKENTRACE_EXPORTER": "pigeon",
    "TOKENTRACE_LIMIT": "many",
    "TOKENTRACE_ON_EXCEED": "panic",
    "TOKENTRACE_SECTIONS": ",,",
    "TOKENTRACE_THRESHOLDS": "2,x",
    "TOKENTRACE_TURN": "first",
    "TRACEPARENT": "nonsense",
}


def test_bad_variables_leave_the_program_alone(server, monkeypatch):
    """Each is one line in the log, and the program does its work."""
    monkeypatch.delenv("TOKENTRACE_STRICT")
    for name, value in BAD.items():
        monkeypatch.setenv(name, value)
    ran = run(sys.executable, "agent.py", "Hm?", options=["--session", "s"])
    assert (ran.returncode, ran.stdout) == (0, "All is well.\n")
    assert "Traceback" not in ran.stderr
    assert [call.session for call in calls()] == ["s"]


def test_a_broken_tokentrace_leaves_the_program_alone(server, tmp_path, monkeypatch):
    """An OpenTelemetry that cannot be imported costs the trace only."""
    monkeypatch.delenv("TOKENTRACE_STRICT")
    broken = tmp_path / "broken" / "opentelemetry"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    ran = run(sys.executable, "agent.py", "Hm?")
    assert (ran.returncode, ran.stdout) == (0, "All is well.\n")
    assert "Traceback" not in ran.stderr


def test_a_folder_that_cannot_be_written_leaves_the_program_alone(server, tmp_path):
    """A file in the folder's place costs the trace only."""
    (tmp_path / "taken").write_text("")
    ran = run(sys.executable, "agent.py", "Hm?", options=["--dir", tmp_path / "taken"])
    assert (ran.returncode, ran.stdout) == (0, "All is well.\n")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_isolated_pythons_run_untraced(server, flag):
    """A Python that ignores PYTHONPATH or its site runs as ever."""
    ran = run(sys.executable, flag, "-c", "import sys; print('tokentrace' in sys.modules)")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "False\n", "")


# ── other Pythons ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a virtual environment of its own, without pip."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True, with_pip=False)
    return folder


def test_a_python_without_tokentrace_runs_untraced(environment):
    """One line says so and how to mend it; the program runs all the same."""
    other = environment / "bin" / "python"
    ran = run(other, "-c", "import sys; print(sys.prefix)")
    assert (ran.returncode, ran.stdout) == (0, f"{environment}\n")
    (line,) = ran.stderr.splitlines()
    assert f"{other} -m pip install tokentrace" in line


def test_a_virtualenvs_python_is_traced(server, environment, monkeypatch):
    """The Python of the program is its own; what it needs of ours it finds in its site."""
    here = [path for path in sys.path if path.endswith("site-packages") or Path(path).name == "src"]
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "here.pth").write_text("\n".join(here))
    try:
        ran = run(environment / "bin" / "python", "agent.py", "Hm?")
    finally:
        (site / "here.pth").unlink()
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "All is well.\n", "")
    assert len(calls()) == 1


# ── what cannot be run ───────────────────────────────────────────────────────────────────────────


def refused(ran: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Return exit code and the one line of a run that came to nothing."""
    (line,) = ran.stderr.splitlines()
    assert ran.stdout == ""
    assert line.startswith("tokentrace: ")
    return ran.returncode, line


@pytest.mark.parametrize(("program", "mend"), [
    ("no-such-program", "install it, or give its path"),
    ("./no/such", "check the path"),
    ("python agent.py", "without quotes"),
])  # fmt: skip
def test_a_missing_program(program, mend):
    """127, as shells have it, with the mend."""
    code, line = refused(run(program))
    assert code == 127
    assert mend in line


def test_a_program_that_cannot_be_executed(tmp_path, monkeypatch):
    """126, as shells have it, with the mend."""
    monkeypatch.chdir(tmp_path)
    plain = tmp_path / "plain.sh"
    plain.write_text("echo\n")
    assert refused(run("./plain.sh"))[0] == 126
    assert "chmod +x ./plain.sh" in refused(run("./plain.sh"))[1]
    plain.chmod(0o755)
    code, line = refused(run("./plain.sh"))
    assert code == 126
    assert "#! line" in line
    assert "it is a folder" in refused(run(tmp_path))[1]
    plain.write_text("#!/no/such/shell\n")
    code, line = refused(run("./plain.sh"))
    assert code == 127
    assert "is missing" in line


def test_no_program_is_a_usage_error():
    """It says how to use it, with exit code 2."""
    ran = subprocess.run(RUN, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "PROGRAM" in ran.stderr
    assert refused(run(""))[0] == 2


@pytest.mark.parametrize(("option", "value"), [("--exporter", "s3"), ("--on-exceed", "cry")])
def test_unknown_words_name_those_there_are(option, value):
    """A word that no variable takes is refused before anything runs."""
    code, line = refused(run("touch", "made", options=[option, value]))
    assert code == 2
    assert f"{option}: no {value!r} (" in line
    assert not Path("made").exists()


@pytest.mark.parametrize("options", [["--turn", "0"], ["--limit", "-1"], ["--colour"]])
def test_bad_options_are_usage_errors(options):
    """The program does not start."""
    ran = run("echo", "ran", options=options)
    assert (ran.returncode, ran.stdout) == (2, "")


# ── in this process ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Keep this process from becoming another: what it would become."""
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(os, "execvpe", lambda *words: seen.append(words))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return seen


def test_the_program_gets_its_words_and_its_variables(become, monkeypatch):
    """What is executed is what was asked for, with our folder first and the rest of the path behind."""
    monkeypatch.setenv("PYTHONPATH", f"a{os.pathsep}{boot.FOLDER}{os.pathsep}b")
    CliRunner().invoke(cli.app, ["run", "--turn", "2", "echo", "--turn", "3"])
    ((program, words, variables),) = become
    assert (program, words) == ("echo", ["echo", "--turn", "3"])
    assert variables["TOKENTRACE_TURN"] == "2"
    assert variables["PYTHONPATH"].split(os.pathsep) == [boot.FOLDER, "a", "b"]
    assert variables == os.environ | variables


@pytest.mark.parametrize(("options", "turn"), [
    ([], "7"),
    (["--session", "mine"], "7"),
    (["--session", "other"], None),
    (["--session", "other", "--turn", "2"], "2"),
])  # fmt: skip
def test_a_turn_is_not_handed_on_into_another_session(become, monkeypatch, options, turn):
    """A number that the environment holds belongs to the session that it holds."""
    monkeypatch.setenv("TOKENTRACE_SESSION", "mine")
    monkeypatch.setenv("TOKENTRACE_TURN", "7")
    CliRunner().invoke(cli.app, ["run", *options, "echo"])
    assert become[0][2].get("TOKENTRACE_TURN") == turn


def test_handing_down_leaves_this_process_alone(monkeypatch):
    """The variables are a copy; an unset path gets no empty entry, which would be the folder one is in."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    before = dict(os.environ)
    assert _config.handed_down({}, "first")["PYTHONPATH"] == "first"
    assert dict(os.environ) == before


@pytest.mark.parametrize(("error", "code", "mend"), [
    (FileNotFoundError(2, ""), 127, "install it"),
    (PermissionError(13, ""), 126, "chmod +x nothing"),
    (OSError(8, ""), 126, "#! line"),
])  # fmt: skip
def test_what_the_system_refuses_has_its_code(monkeypatch, error, code, mend):
    """126 or 127, and one line."""

    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(os, "execvpe", refuse)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    result = CliRunner().invoke(cli.app, ["run", "nothing"])
    assert result.exit_code == code
    assert mend in result.stderr


def test_a_python_elsewhere_is_asked_for_tokentrace(become, environment):
    """Only a Python, only of another environment."""
    result = CliRunner().invoke(cli.app, ["run", str(environment / "bin" / "python")])
    assert "pip install tokentrace" in result.stderr
    assert CliRunner().invoke(cli.app, ["run", sys.executable]).stderr == ""
    assert len(become) == 2


def test_the_start_of_a_python(monkeypatch, tmp_path):
    """Another sitecustomize is imported under its name, the path is cleared, tokentrace begins."""
    (tmp_path / "sitecustomize.py").write_text("MARK = 1\n")
    monkeypatch.setattr(sys, "path", [boot.FOLDER, str(tmp_path), *sys.path])
    monkeypatch.setitem(sys.modules, "sitecustomize", None)
    del sys.modules["sitecustomize"]
    assert import_module("sitecustomize").MARK == 1
    assert sys.modules["sitecustomize"].MARK == 1
    assert boot.FOLDER not in sys.path
    assert status()["active"]


def test_the_start_of_a_python_with_nothing_else(monkeypatch):
    """Where no other is there, none can be imported; one without tokentrace starts all the same."""
    monkeypatch.setattr(sys, "path", [boot.FOLDER])
    monkeypatch.setitem(sys.modules, "tokentrace.boot", None)
    monkeypatch.setitem(sys.modules, "sitecustomize", None)
    del sys.modules["sitecustomize"]
    import_module("sitecustomize")
    assert sys.modules["sitecustomize"] is None
    assert not status()["active"]


@pytest.fixture
def whole(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a function that asks once, in a process whose session the environment names."""
    monkeypatch.setenv("TOKENTRACE_SESSION", "s")
    tokentrace.instrument()
    with openai.OpenAI(api_key="test", max_retries=0) as client:

        def ask(text: str = "Hm?") -> None:
            messages = [{"role": "user", "content": text}]
            client.chat.completions.create(model="gpt-4o", messages=messages)

        yield ask


def written() -> dict[str, list[dict[str, Any]]]:
    """End the process's turn, and return all spans."""
    turns.ONLY.end()
    tokentrace.uninstrument()
    return spans()


def test_the_process_is_the_parent_of_its_calls(whole):
    """One span for the process, the session's, below which the calls are."""
    whole()
    whole()
    found = written()
    (turn,) = found["invoke_agent"]
    assert {call["parentSpanId"] for call in found["chat gpt-4o"]} == {turn["spanId"]}
    assert turn["endTimeUnixNano"] >= max(call["endTimeUnixNano"] for call in found["chat gpt-4o"])


def test_settings_may_change_meanwhile(whole):
    """Another `instrument()` forgets no parent."""
    whole()
    tokentrace.instrument(guard=False)
    whole()
    assert len({call["parentSpanId"] for call in written()["chat gpt-4o"]}) == 1


def test_a_turn_of_the_programs_own_ends_the_processs(whole, monkeypatch):
    """From then on the caller of the process is the parent again."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    whole()
    with tokentrace.turn():
        whole()
    whole()
    found = written()
    first, own = found["invoke_agent"]
    parents = [call["parentSpanId"] for call in found["chat gpt-4o"]]
    assert parents == [first["spanId"], own["spanId"], CALLER]
    assert {span["parentSpanId"] for span in (first, own)} == {CALLER}


def test_a_span_of_the_hosts_is_the_parent(whole):
    """A call inside a span of the application needs no turn of ours."""
    from opentelemetry import trace

    context = trace.SpanContext(int(TRACE, 16), int(CALLER, 16), False, trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        whole()
    found = written()
    assert "invoke_agent" not in found
    assert found["chat gpt-4o"][0]["parentSpanId"] == CALLER


def test_without_a_call_there_is_no_turn(whole):
    """Asking for the place opens a span, which nobody sees where no call follows."""
    turns.current()
    assert not Path(os.environ["TOKENTRACE_DIR"]).exists()
    turns.ONLY.end()
    tokentrace.uninstrument()
    assert not list(Path(os.environ["TOKENTRACE_DIR"]).glob("*.jsonl"))


def test_without_spans_there_is_no_turn(server, monkeypatch):
    """Where nothing is recorded the guard works all the same."""
    monkeypatch.setenv("TOKENTRACE_SESSION", "s")
    tokentrace.instrument(exporter="none")
    assert turns.current().session == "s"
    assert turns.ONLY._handle is None
