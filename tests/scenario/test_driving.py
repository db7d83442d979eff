"""Agents as commands and as callables: what they are given, and how they end."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from tokentrace import boot
from tokentrace.errors import InputError
from tokentrace.scenario import children, driving, worker
from tokentrace.scenario.plan import Step

HOSTILE = "a {turn} 'b' \"c\" ; touch made $(touch made) `touch made` | > made {prompt} {x} \\ -n é"
PYTHON = sys.executable


def place(folder):
    return driving.Place("s1", str(folder / "traces"), children.Family(), {"TOKENTRACE_LIMIT": "9"})


def served(make, folder, *, prompt="hello", timeout=60.0, turn=2):
    """Return how one turn goes."""
    driver = make(place(folder))
    try:
        return driver.serve(Step(turn, "high load", prompt, timeout))
    finally:
        driver.close()


def gone(pid):
    """Wait until a process is no more, and say whether that is so."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and _zombie(pid):
            return True
        time.sleep(0.05)
    return False


def _zombie(pid):
    """Whether nobody has reaped it yet, as in a container without an init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


def test_a_prompt_is_one_word_and_no_shell_sees_it(here):
    """Quotes, braces and what a shell would run reach the program as they are, once filled in."""
    script = "import sys; print(sys.argv[1:])"
    make = driving.command(f'{PYTHON} -c "{script}" {{turn}}/{{phase}} {{session}} x{{prompt}}y')
    outcome = served(make, here, prompt=HOSTILE)
    assert outcome.answer == f"{['2/high load', 's1', f'x{HOSTILE}y']}\n"
    assert not (here / "made").exists()


def test_a_prompt_on_standard_input(here):
    """It comes whole, and a program that reads none of it is no error."""
    long = "é" * 300_000
    assert served(driving.command("cat", stdin=True), here, prompt=long).answer == long
    assert served(driving.command("true", stdin=True), here, prompt=long).state == "ok"


def test_the_environment_of_a_command(here, monkeypatch):
    """It is traced into the run's folder as a turn of the session, whatever else was said."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("TOKENTRACE_EXPORTER", "otlp")
    monkeypatch.setenv("TOKENTRACE_TURN", "9")
    names = ("DIR", "EXPORTER", "SESSION", "TURN", "LIMIT")
    script = f"import os; print([os.environ['TOKENTRACE_' + n] for n in {names}], os.environ['PYTHONPATH'], 'OTEL_TRACES_EXPORTER' in os.environ)"
    outcome = served(driving.command(f'{PYTHON} -S -c "{script}" {{prompt}}'), here)
    told = [str(here / "traces"), "local", "s1", "2", "9"]
    assert outcome.answer.startswith(f"{told} {boot.FOLDER}")
    assert outcome.answer.endswith(" False\n")


@pytest.mark.parametrize(("script", "reason", "shown"), [
    ("echo oh no >&2; exit 3", "exit code 3", "oh no"),
    ("echo oh no; exit 1", "exit code 1", "oh no"),
    ("kill -9 $$", "ended by SIGKILL", ""),
])  # fmt: skip
def test_a_command_that_fails(here, script, reason, shown):
    """Its code or signal is the reason, its last words are shown."""
    outcome = served(driving.command(f"sh -c '{script}' {{prompt}}"), here)
    assert (outcome.state, outcome.reason, outcome.shown) == ("failed", reason, shown)
    assert outcome.answer == ""


def late_once(monkeypatch, file):
    """Have the time of a turn be over as soon as a file is there, however long that takes."""
    really, waits = children.Child.wait, []

    def wait(child, seconds):
        if waits:
            return really(child, seconds)
        waits.append(seconds)
        until = time.monotonic() + 120
        while not Path(file).exists() and time.monotonic() < until:
            time.sleep(0.02)
        return None

    monkeypatch.setattr(children.Child, "wait", wait)


def test_a_command_that_hangs_ends_with_all_that_it_started(here, monkeypatch):
    """Who takes no notice of the question is killed, and so is its child."""
    monkeypatch.setattr(children, "GRACE", 0.2)
    late_once(monkeypatch, "hangs")
    script = 'trap "" TERM; sleep 600 & echo $! > child; echo $$ > parent; touch hangs; wait'
    Path("hang.sh").write_text(script)
    outcome = served(driving.command("sh hang.sh {prompt}"), here, timeout=2.0)
    assert (outcome.state, outcome.reason) == ("timed_out", "no end after 2 s")
    assert all(gone(int(Path(name).read_text())) for name in ("child", "parent"))


def test_a_command_that_hangs_may_say_goodbye(here, monkeypatch):
    """Who takes notice has time to write what it has to write."""
    late_once(monkeypatch, "ready")
    Path("bye.sh").write_text('trap "echo bye > bye; exit" TERM\ntouch ready\nsleep 600 & wait\n')
    assert served(driving.command("sh bye.sh {prompt}"), here).state == "timed_out"
    assert Path("bye").read_text() == "bye\n"


def test_the_time_of_a_turn_ends(here):
    """A command that gives no sign of life is ended when its time is over."""
    outcome = served(driving.command("sleep 600", stdin=True), here, timeout=0.2)
    assert (outcome.state, outcome.reason) == ("timed_out", "no end after 0.2 s")


def test_a_flood_is_cut(here, monkeypatch):
    """Output without an end ends the program; of much output the beginning is kept."""
    monkeypatch.setattr(children, "FLOOD", 2**22)
    outcome = served(driving.command("yes {prompt}"), here)
    assert (outcome.state, outcome.reason) == ("flooded", "endless output")
    script = "print('x' * 3_000_000)"
    outcome = served(driving.command(f'{PYTHON} -S -c "{script}" {{prompt}}'), here)
    assert (outcome.state, len(outcome.answer)) == ("ok", children.KEPT)


def test_a_background_child_does_not_hold_a_turn_up(here):
    """A server that a command leaves running keeps the pipe open, and is left alone."""
    outcome = served(driving.command("sh -c 'sleep 600 & echo $!' {prompt}"), here)
    assert outcome.state == "ok"
    pid = int(outcome.answer)
    os.kill(pid, 15)
    assert gone(pid)


@pytest.mark.parametrize(("text", "expected"), [
    ("", "--command: is empty"),
    ("'a", "--command: no closing quotation"),
    ("echo {promt}", "the prompt reaches it nowhere (put {prompt} into it, or add --stdin)"),
    ("{prompt}", "the prompt reaches it nowhere"),
    ("no-such-program {prompt}", "no-such-program: no such file or directory (install it"),
    ("./no/such {prompt}", "(check the path)"),
    ("./small.yaml {prompt}", "permission denied (make it executable: chmod +x ./small.yaml"),
])  # fmt: skip
def test_commands_that_are_none(text, expected):
    """Each is refused before anything runs, with the mend."""
    with pytest.raises(InputError) as caught:
        driving.command(text)
    assert expected in str(caught.value)


def test_a_command_that_cannot_be_executed(here):
    """What turns out only when it is started is told as well, with the mend."""
    Path("plain").write_text("no program\n")
    Path("plain").chmod(0o755)
    for text, prompt, expected in (
        ("./plain {prompt}", "hi", "put its interpreter before it"),
        ("echo {prompt}", "x" * 3_000_000, "standard input"),
    ):
        with pytest.raises(InputError) as caught:
            served(driving.command(text), here, prompt=prompt)
        assert expected in str(caught.value)


def test_nothing_starts_once_the_run_is_being_ended(here):
    """A family that has ended takes no new member."""
    where = place(here)
    where.family.end()
    with pytest.raises(children.Stopped):
        driving.command("echo {prompt}")(where).serve(Step(1, "a", "b", 1.0))


# ── callables ────────────────────────────────────────────────────────────────────────────────────


def test_a_callable_lives_from_turn_to_turn(here):
    """One process serves a session, an async callable too, with what it has parameters for."""
    driver = driving.target("the_agent:slowly")(place(here))
    told = [driver.serve(Step(turn, "late", "hi {turn}", 60.0)).answer for turn in (1, 2)]
    driver.close()
    assert told == ["You said hi {turn}. s1 1 late 1", "You said hi {turn}. s1 2 late 2"]


def test_callables_that_fail(here):
    """The error is their own, without our frames; the next turn has a process again."""
    driver = driving.target("the_agent:broken_slowly")(place(here))
    outcome = driver.serve(Step(1, "a", "this", 60.0))
    driver.close()
    assert (outcome.state, outcome.reason, outcome.answer) == ("failed", "ValueError", "")
    assert "cannot serve this" in outcome.shown
    assert "the_agent.py" in outcome.shown
    assert "tokentrace" not in outcome.shown


def test_a_callable_that_ends_its_process(here):
    """Its exit code is told, and the next turn finds a new one."""
    driver = driving.target("the_agent:leaves")(place(here))
    reasons = [driver.serve(Step(turn, "a", "b", 60.0)).reason for turn in (1, 2)]
    driver.close()
    assert reasons == ["its process ended: exit code 3"] * 2


def test_a_callable_that_hangs(here):
    """Its process ends when the time is over."""
    outcome = served(driving.target("the_agent:endless"), here, timeout=4.0)
    assert (outcome.state, outcome.reason) == ("timed_out", "no end after 4 s")


@pytest.mark.parametrize(("name", "expected"), [
    ("no_such_agent:answer", "No module named 'no_such_agent' (start from the folder"),
    ("the_agent:nobody", "AttributeError"),
    ("the_agent:NUMBER", "TypeError: NUMBER cannot be called"),
])  # fmt: skip
def test_callables_that_cannot_be_had(here, name, expected):
    """The first turn says why."""
    with pytest.raises(InputError) as caught:
        served(driving.target(name), here)
    assert str(caught.value).startswith(f"--target: {name}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["a", "a:", ":b", "a:b c", "a:b;c", "os:path-x", "a/b.py:c"])
def test_names_that_are_none(name):
    """Only a module, a colon and a callable are one."""
    with pytest.raises(InputError, match=r"package\.module:callable"):
        driving.target(name)


# ── the worker, in this process ──────────────────────────────────────────────────────────────────


@pytest.fixture
def agent(here, monkeypatch):
    """Give the callables of the agent, found as the worker finds them."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield lambda name: worker.load(f"the_agent:{name}")
    sys.modules.pop("the_agent", None)


TURN = {"prompt": "hi", "turn": 3, "phase": "late", "session": "s"}


@pytest.mark.parametrize(("name", "expected"), [
    ("answer", {"state": "ok", "answer": "You said hi."}),
    ("slowly", {"state": "ok", "answer": "You said hi. s 3 late 1"}),
    ("pieces", {"state": "failed", "reason": "no answer"}),
    ("broken", {"state": "failed", "reason": "ValueError"}),
])  # fmt: skip
def test_what_a_callable_returns(agent, name, expected):
    """A text, an awaitable's text, no text, an error."""
    with asyncio.Runner() as runner:
        told = worker.serve(agent(name), TURN, runner)
    assert {key: told[key] for key in expected} == expected


def test_a_builtin_gets_the_prompt_alone():
    """What cannot be asked for its parameters is given one."""
    with asyncio.Runner() as runner:
        assert worker.serve(str, TURN, runner) == {"state": "ok", "answer": "hi"}


@pytest.mark.parametrize(("name", "mend"), [("no_such:f", True), ("the_agent:nobody", False)])
def test_why_a_callable_cannot_be_had(here, monkeypatch, name, mend):
    """Only a module that is not there has a mend: another folder."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises((ImportError, AttributeError)) as caught:
        worker.load(name)
    told = worker.unusable(name, caught.value)
    assert told["input"].startswith(f"{name}: ")
    assert bool(told["mend"]) is mend
    sys.modules.pop("the_agent", None)
