"""Runs: verdicts, what is kept of them, concurrency, and how they go on after an interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tokentrace.analysis import Session, Turn
from tokentrace.errors import InputError
from tokentrace.prompt import CallRecord
from tokentrace.scenario import journal, judging, loading
from tokentrace.scenario.judging import Result
from tokentrace.scenario.plan import Expected, Scenario, Step

SECRET = "sk-SECRET"
NOTHING = "true {prompt}"


def room():
    """Return the folders of all runs, oldest first."""
    return sorted((Path(os.environ["TOKENTRACE_DIR"]) / "scenarios").iterdir())


def runs():
    return [one for one in room() if one.is_dir()]


def codes(session):
    return [finding["code"] for finding in session["findings"]]


# ── what is recorded ─────────────────────────────────────────────────────────────────────────────


def test_a_callable_is_traced(document):
    """Its turns are those of one session, numbered, and the numbers are those of its spans."""
    found = document("--target", "the_agent:answer", "--limit", "5000")
    (session,) = found["sessions"]
    assert [turn["number"] for turn in session["turns"]] == [1, 2, 3]
    assert [turn["phase"] for turn in session["turns"]] == ["first", "first", "then"]
    totals = [turn["total"] for turn in session["turns"]]
    assert totals == sorted(totals)
    assert [turn["delta"] for turn in session["turns"]][1:] == [
        totals[1] - totals[0],
        totals[2] - totals[1],
    ]
    assert all(sum(turn["components"].values()) == turn["total"] for turn in session["turns"])
    assert {turn["limit"] for turn in session["turns"]} == {5000}
    assert (session["verdict"], session["findings"]) == ("healthy", [])


def test_an_agent_that_names_its_own_session(document):
    """All that a run records is the session of the run, by the time of its turns."""
    (session,) = document("--target", "the_agent:elsewhere")["sessions"]
    assert [(turn["number"], turn["calls"]) for turn in session["turns"]] == [
        (1, 1),
        (2, 1),
        (3, 1),
    ]
    assert session["verdict"] == "healthy"


def test_nothing_recorded_is_critical(document):
    """A run about which nothing can be said is not healthy."""
    found = document("--command", NOTHING)
    assert found["verdict"] == "critical"
    assert codes(found["sessions"][0]) == ["scenario.unrecorded"]


def test_a_callables_own_words_stay_out_of_files(invoke, here):
    """An exception is shown on the terminal; no file of the run and no result holds its text."""
    ran = invoke("run", "small.yaml", "--target", "the_agent:broken", "--junit", "junit.xml")
    assert ran.exit_code == 1
    assert f"ValueError: cannot serve one, token {SECRET}" in ran.stdout
    (folder,) = runs()
    kept = [path for path in folder.rglob("*") if path.is_file()] + [here / "junit.xml"]
    assert {path.name for path in kept} >= {"run.json", "junit.xml"}
    assert not [path for path in kept if SECRET in path.read_text()]
    assert "ValueError" in (folder / "run.json").read_text()


def test_answers_are_kept_nowhere(document, here):
    """What an agent says is looked at, and not written down."""
    (here / "small.yaml").write_text(
        (here / "small.yaml").read_text() + "expect: {response_contains: [you SAID]}\n"
    )
    found = document("--target", "the_agent:answer")
    assert [turn["expectations"] for turn in found["sessions"][0]["turns"]] == [
        {"response_contains": True}
    ] * 3
    assert "You said" not in json.dumps(found)
    (folder,) = runs()
    assert not [path for path in folder.iterdir() if "You said" in path.read_text()]


# ── verdicts ─────────────────────────────────────────────────────────────────────────────────────

CALL = CallRecord(
    session="s", tokens=100, limit=200, components={"user": 60, "section.core_goal": 40}
)
TURN = Turn(1, calls=(CALL,), main=CALL)


@pytest.mark.parametrize(("expected", "met"), [
    (Expected(), {}),
    (Expected(texts=("YES", "ja")), {"response_contains": True}),
    (Expected(texts=("yes", "no")), {"response_contains": False}),
    (Expected(components=("core_goal", "history")),
     {"component_present: core_goal": True, "component_present: history": False}),
    (Expected(total=100, utilization=0.5), {"max_total": True, "max_utilization": True}),
    (Expected(total=99, utilization=0.49), {"max_total": False, "max_utilization": False}),
    (Expected(most={"user": 60, "core_goal": 39, "history": 1}),
     {"max_component: user": True, "max_component: core_goal": False, "max_component: history": True}),
])  # fmt: skip
def test_expectations(expected, met):
    """Each is met or not, by its name; sections count with and without their prefix."""
    assert judging.checks(expected, "Yes. Ja.", TURN) == met


def test_what_is_not_known_is_not_met():
    """A turn that was not recorded, and a limit that nobody knows, meet nothing."""
    expected = Expected(components=("user",), total=1, utilization=1.0, most={"user": 1})
    assert set(judging.checks(expected, "", None).values()) == {False}
    call = CallRecord(session="s", tokens=1, components={"user": 1})
    met = judging.checks(expected, "", Turn(1, calls=(call,), main=call))
    assert [name for name, passed in met.items() if not passed] == ["max_utilization"]


def judged(*results):
    steps = tuple(Step(number, "a", "b", 1.0) for number in range(1, 4))
    return judging.judge(Scenario("x", "", steps), results, Session("s", turns=(TURN,)))


def test_failed_turns_and_unmet_expectations_are_findings():
    """Each with its turns; turns that were not tried are told too."""
    found = judged(
        Result(1, "a", "ok", checks={"max_total": False}),
        Result(2, "a", "timed_out", "no end after 1 s"),
    )
    assert found.verdict == "failing"
    assert {one.code: (one.turns, one.message) for one in found.findings} == {
        "scenario.failed": ((2,), "no answer in turn 2: no end after 1 s"),
        "scenario.stopped": ((), "1 turn not tried"),
        "scenario.unexpected": ((1,), "max_total is not met in turn 1"),
    }


def test_three_good_turns_are_healthy():
    """Nothing is found where there is nothing."""
    assert judged(*(Result(number, "a", "ok") for number in (1, 2, 3))).verdict == "healthy"


def test_a_session_is_given_up(document, here):
    """After so many failures one after the other the rest is not tried."""
    text = (here / "small.yaml").read_text()
    (here / "small.yaml").write_text(f"{text}stop_after: 2\n")
    (session,) = document("--command", "false {prompt}")["sessions"]
    assert [turn["state"] for turn in session["turns"]] == ["failed", "failed"]
    assert "scenario.stopped" in codes(session)


# ── results ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("options", "code"), [
    ([], 1), (["--fail-on", "critical"], 1), (["--fail-on", "never"], 0),
])  # fmt: skip
def test_the_exit_code_is_the_verdicts(invoke, options, code):
    """A critical run is exit code 1 unless nothing is to fail."""
    assert invoke("run", "small.yaml", "--command", NOTHING, *options).exit_code == code


def test_junit_has_a_case_for_each_turn_and_finding(invoke, here):
    """Failed turns and bad findings are failures, with their reasons; all of it is XML."""
    Path("odd.sh").write_text('test "$1" != two || exit 4\n')
    invoke("run", "small.yaml", "--command", "sh odd.sh {prompt}", "--junit", "out.xml")
    (suite,) = ET.parse("out.xml").getroot()
    told = {case.get("name"): case.find("failure") for case in suite}
    assert list(told) == ["turn 01", "turn 02", "turn 03", "scenario.unrecorded", "scenario.failed"]
    assert [name for name, failure in told.items() if failure is None] == ["turn 01", "turn 03"]
    assert told["turn 02"].get("message") == "exit code 4"
    assert (suite.get("tests"), suite.get("failures")) == ("5", "3")


def test_junit_is_xml_whatever_a_name_holds(invoke, here):
    """What XML and terminals forbid is left out of names that somebody else chose."""
    text = (here / "small.yaml").read_text().replace("name: first", 'name: "fi\\x01r\\x1bst"')
    (here / "odd.yaml").write_text(text)
    invoke("run", "odd.yaml", "--command", NOTHING, "--junit", "junit.xml")
    cases = ET.parse("junit.xml").iter("testcase")
    assert "small.first" in {case.get("classname") for case in cases}
    assert invoke("check", "odd.yaml").stdout == "small: 3 turns: first 1-2, then 3-3\n"


def test_sessions_at_the_same_time(document):
    """Each has its own id, its own folder, and all turns."""
    found = document("--target", "the_agent:answer", "--concurrency", "3")
    assert [len(session["turns"]) for session in found["sessions"]] == [3, 3, 3]
    assert len({session["id"] for session in found["sessions"]}) == 3
    (folder,) = runs()
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["1", "2", "3"]
    assert {session["verdict"] for session in found["sessions"]} == {"healthy"}


def test_runs_of_the_same_second_have_folders_of_their_own(document):
    """No run writes into another's."""
    folders = [document("--command", NOTHING)["folder"] for _ in range(3)]
    assert len(set(folders)) == 3
    assert {Path(folder).stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_a_turn_is_shown_with_its_numbers(invoke):
    """Phase, total, change, share of the limit and components, a line a turn; then the verdict."""
    ran = invoke("run", "small.yaml", "--target", "the_agent:answer", "--limit", "100")
    lines = [line for line in ran.stdout.splitlines() if line.startswith("turn ")]
    assert [line.split()[:3] for line in lines] == [
        ["turn", "1", "first"], ["turn", "2", "first"], ["turn", "3", "then"],
    ]  # fmt: skip
    assert all("% " in line and "user 1" in line for line in lines)
    assert "verdict healthy" in ran.stdout
    assert (ran.exit_code, ran.stderr) == (0, "")


@pytest.mark.parametrize(("words", "expected"), [
    ([], "which agent? (one of: --command"),
    (["--command", NOTHING, "--target", "a:b"], "which agent?"),
    (["--target", "a:b", "--stdin"], "--stdin: a callable gets its prompt as an argument"),
    (["--target", "no_such_agent:b"], "No module named 'no_such_agent'"),
    (["--command", NOTHING, "--junit", "no/such/place.xml"], "no/such/place.xml: cannot be written"),
    (["--command", NOTHING, "--fail-on", "monday"], "--fail-on"),
    (["--command", NOTHING, "--resume"], "--resume: no interrupted run of small in"),
    (["--command", NOTHING, "--dir", "small.yaml"], "cannot be written"),
])  # fmt: skip
def test_what_cannot_be_run(invoke, words, expected):
    """One line with the mend, exit code 2, and nothing on standard output."""
    ran = invoke("run", "small.yaml", *words)
    assert (ran.exit_code, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert expected in line


def test_other_words(invoke):
    """What there is, how it is written, and that it is right."""
    assert {line.split()[0] for line in invoke("list").stdout.splitlines()} == set(
        loading.shipped()
    )
    assert invoke("show", "quick").stdout == loading.find("quick")[0]
    assert invoke("check", "small.yaml").stdout == "small: 3 turns: first 1-2, then 3-3\n"
    assert json.loads(invoke("schema").stdout)["$defs"].keys() >= {"File", "Phase", "Turn"}
    Path("bad.yaml").write_text("name: x\nfases: []\n")
    ran = invoke("check", "bad.yaml")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr == "tokentrace: bad.yaml:2: unknown key 'fases' (did you mean 'phases'?)\n"


# ── interruptions ────────────────────────────────────────────────────────────────────────────────

WAITING = 'echo "$1" >> served; test "$1" != two || { echo $$ > pid; exec sleep 600; }\n'


@pytest.fixture
def started():
    """Start ``python ...`` with its outputs caught; what still runs at a test's end is ended."""
    made = []

    def start(*words):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        made.append(subprocess.Popen([sys.executable, *words], text=True, **pipes))
        return made[-1]

    yield start
    for process in made:
        if process.poll() is None:
            process.terminate()  # it ends its agent, too
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()


def wait_for(done, process):
    """Wait until something is so, as long as a process runs."""
    until = time.monotonic() + 120
    while not done():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_interrupted_goes_on(here, document, started, number):
    """The agent's processes end, exit code 130 and how to go on are told, and no turn is done twice."""
    Path("agent.sh").write_text(WAITING)
    words = ["run", "small.yaml", "--command", "sh agent.sh {prompt}"]
    process = started("-m", "tokentrace", "scenario", *words)
    wait_for(lambda: Path("pid").exists() and Path("pid").read_text().strip(), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert err == (
        "tokentrace: interrupted after 1 of 3 turns (the same command with --resume goes on)\n"
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)
    Path("agent.sh").write_text('echo "$1" >> served\n')
    found = document("--command", "sh agent.sh {prompt}", "--resume")
    assert Path("served").read_text().split() == ["one", "two", "two", "three"]
    assert [turn["number"] for turn in found["sessions"][0]["turns"]] == [1, 2, 3]
    assert len(runs()) == 1


def test_a_signal_that_another_thread_takes_ends_the_run(here, started):
    """The system may give it to any thread: the main one, which waits for the agents, hears of it all the same."""
    Path("agent.sh").write_text(WAITING)
    code = """
import signal, threading, time
from pathlib import Path
from tokentrace import cli

def hang_up():
    while not (Path("pid").exists() and Path("pid").read_text().strip()):
        time.sleep(0.05)
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
    time.sleep(600)

threading.Thread(target=hang_up, daemon=True).start()
cli.main()
"""
    words = ["scenario", "run", "small.yaml", "--command", "sh agent.sh {prompt}"]
    process = started("-c", code, *words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)


def test_a_run_that_nobody_reads_is_no_good_verdict(here, started):
    """A closed pipe ends the run like Ctrl-C: no verdict, so no exit code 0."""
    Path("agent.sh").write_text("while test ! -e closed; do sleep 0.1; done\n")
    words = ["run", "small.yaml", "--command", "sh agent.sh {prompt}"]
    process = started("-m", "tokentrace", "scenario", *words)
    process.stdout.close()
    Path("closed").touch()
    err = process.stderr.read()
    assert process.wait(120) == 130, err
    assert err.startswith("tokentrace: interrupted after 1 of 3 turns (")


def test_who_asks_twice_does_not_wait(here, started):
    """An agent that takes no notice is killed at once at the second Ctrl-C."""
    Path("agent.sh").write_text(
        'trap "touch asked" TERM\necho $$ > pid\nwhile true; do sleep 0.1; done\n'
    )
    code = (
        "import sys; from tokentrace import cli; from tokentrace.scenario import children; "
        "children.GRACE = 600.0; cli.main()"
    )
    words = ["scenario", "run", "small.yaml", "--command", "sh agent.sh {prompt}"]
    process = started("-c", code, *words)
    wait_for(lambda: Path("pid").exists() and Path("pid").read_text().strip(), process)
    process.send_signal(signal.SIGINT)
    wait_for(Path("asked").exists, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, (out, err)
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)


def test_what_an_interrupted_turn_recorded_is_no_turns(here):
    """It began after the last turn that was done, and before the run was gone on with."""
    known, mine = begun()
    (name,) = mine.pages.sessions
    mine.add(name, Result(1, "first", "ok", start=1_000, seconds=1e-6))
    mine.pages.resumed.append(5_000)
    mine.add(name, Result(2, "first", "ok", start=6_000, seconds=1e-6))
    assert mine.marks(name) == [(1_000, 1), (2_000, 0), (6_000, 2)]
    mine.pages.sessions[name].clear()
    assert mine.marks(name) == [(0, 0)]
    assert journal.resume(known, os.environ["TOKENTRACE_DIR"]).pages.resumed[0] == 5_000


def begun(text="small.yaml"):
    known = loading.load(text)
    return known, journal.begin(known, os.environ["TOKENTRACE_DIR"], 1)


def test_only_an_interrupted_run_of_the_same_scenario_is_resumed(here):
    """Not one that is finished, damaged, or of a file that was changed."""
    home = os.environ["TOKENTRACE_DIR"]
    known, first = begun()
    assert journal.resume(known, home).folder == first.folder
    first.finish()
    with pytest.raises(InputError, match="no interrupted run of small"):
        journal.resume(known, home)
    _, second = begun()
    for damaged in (b"{", b"\xff", (second.folder / "run.json").read_bytes().replace(b"[]", b"7")):
        (second.folder / "run.json").write_bytes(damaged)
        with pytest.raises(InputError, match="no interrupted run of small"):
            journal.resume(known, home)
    begun()
    (here / "small.yaml").write_text((here / "small.yaml").read_text() + "# x\n")
    with pytest.raises(InputError, match="small was changed since small-"):
        journal.resume(loading.load("small.yaml"), home)


def test_a_run_that_still_goes_on_is_not_resumed(here, invoke):
    """Two processes would serve the same turns; once it has ended it can be gone on with."""
    _, mine = begun()
    words = ["run", "small.yaml", "--command", NOTHING, "--resume", "--fail-on", "never"]
    with mine.alone():
        ran = invoke(*words)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"tokentrace: --resume: {mine.folder.name} is still going on "
        "(wait for it, or start a run without --resume)\n"
    )
    assert invoke(*words).exit_code == 0


def test_the_journal_is_whole_at_any_time(here):
    """A turn is there as soon as it is done, and read back as it was."""
    known, mine = begun()
    (name,) = mine.pages.sessions
    results = [
        Result(1, "first", "ok", "", 5, 0.5, {"max_total": True}),
        Result(2, "first", "failed", "exit code 3", 9, 1.5),
    ]
    for result in results:
        mine.add(name, result)
        assert journal.resume(known, os.environ["TOKENTRACE_DIR"]).results(name)[-1] == result
    assert journal.resume(known, os.environ["TOKENTRACE_DIR"]).results(name) == results
    assert [path.name for path in mine.folder.iterdir()] == ["run.json"]
    (mine.folder / "run.json").unlink()
    mine.folder.rmdir()
    with pytest.raises(InputError, match="cannot be written"):
        mine.finish()
