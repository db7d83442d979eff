"""`tokentrace report` judges: exit codes, thresholds, phases, the project's file, explanations."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from tokentrace import analysis, cli
from tokentrace.analysis import CODES, Judgement, Session, Thresholds
from tokentrace.analysis.optimising import sizes, triggers
from tokentrace.analysis.shapes import Happening, Turn
from tokentrace.prompt import CallRecord, ContextRecord
from tokentrace.report import json as as_json
from tokentrace.report import text, verdicts

TRACE = Path(__file__).parent / "readers" / "data" / "conversation.jsonl"


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    """Run in an empty folder, 80 columns wide, without colour."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


def invoke(*words):
    return CliRunner().invoke(cli.app, ["report", *map(str, words)])


def complaint(result):
    """Return the one line of a refused command."""
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


# The conversation is degraded: a refusal, a failure, one turn at 90.3 percent.
@pytest.mark.parametrize(("words", "code"), [
    ([], 0), (["--fail-on", "degraded"], 1), (["--fail-on", "failing"], 0),
    (["--threshold", "high=0.4"], 1),
    (["--threshold", "high=0.4", "--fail-on", "critical"], 0),
    (["--threshold", "high=0.4", "--fail-on", "never"], 0)])  # fmt: skip
def test_the_exit_code_is_the_verdicts(words, code):
    """It is 1 from failing on, or from what --fail-on says."""
    result = invoke(TRACE, "--json", *words)
    assert result.exit_code == code
    assert json.loads(result.stdout)["verdict"] == (
        "failing" if "high=0.4" in words else "degraded"
    )


def test_the_whole_session_is_judged_whatever_is_shown():
    """--last cuts what is shown, not what is judged."""
    document = json.loads(invoke(TRACE, "--json", "--last", 1).stdout)
    (session,) = document["sessions"]
    assert [turn["number"] for turn in session["turns"]] == [6]
    assert [found["turns"] for found in session["findings"]] == [[6], [4], [6]]


def test_findings_of_all_sessions_are_summed_up(tmp_path):
    """Each code with its gravest level and how many sessions have it."""
    two = TRACE.read_text().replace("conv-42", "conv-43").replace('"spanId": "0', '"spanId": "1')
    path = tmp_path / "two.jsonl"
    path.write_text(TRACE.read_text() + two)
    document = json.loads(invoke(path, "--json").stdout)
    assert {one["code"]: (one["level"], one["sessions"]) for one in document["findings"]} == {
        "limit.refused": ("degraded", 2), "turn.failed": ("degraded", 2),
        "utilization.high": ("degraded", 2)}  # fmt: skip
    page = invoke(path).stdout
    assert "verdict of all 2 sessions: degraded (2 degraded)" in page


@pytest.mark.parametrize(("words", "told"), [
    (["--threshold", "high"], "'high' is no NAME=VALUE"),
    (["--threshold", "high="], "'high=' is no NAME=VALUE"),
    (["--threshold", "hihg=1"], "no threshold 'hihg'"),
    (["--threshold", "long=0"], "long must be a whole number"),
    (["--fail-on", "bad"], "no verdict 'bad'"),
    (["--phase", "late=9-3"], "phase 'late' is '9-3'"),
    (["--phase", "late=x"], "phase 'late' is 'x'")])  # fmt: skip
def test_a_wrong_option_is_one_line(words, told):
    """It says which option, what was given and what would be right."""
    line = complaint(invoke(TRACE, *words))
    assert line.startswith(f"tokentrace: {words[0]}: ")
    assert told in line


def test_the_projects_file_sets_what_options_do_not(tmp_path, monkeypatch):
    """The nearest pyproject.toml above counts; an option goes before it."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.tokentrace]\nfail-on = "degraded"\n[tool.tokentrace.thresholds]\nhigh = 0.92\n'
        '[tool.tokentrace.phases]\nearly = "1-3"\nlate = "4-6"\n'
    )
    inside = tmp_path / "deep" / "er"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    result = invoke(TRACE, "--json")
    codes = [one["code"] for one in json.loads(result.stdout)["findings"]]
    assert (result.exit_code, codes) == (1, ["limit.refused", "turn.failed"])
    assert invoke(TRACE, "--fail-on", "never").exit_code == 0
    again = json.loads(invoke(TRACE, "--json", "--threshold", "high=0.8").stdout)
    assert "utilization.high" in [one["code"] for one in again["findings"]]


@pytest.mark.parametrize(("content", "told"), [
    ("[tool.tokentrace.thresholds]\nhihg = 1", "no threshold 'hihg'"),
    ("[tool.tokentrace.thresholds]\nhigh = 'x'", "high must be a share"),
    ("[tool.tokentrace]\nthresholds = 3", "[tool.tokentrace.thresholds] is no table"),
    ("[tool]\ntokentrace = 3", "[tool.tokentrace] is no table"),
    ("tool = 3", "[tool.tokentrace] is no table"),
    ("[tool.tokentrace]\nfail-on = 'x'", "no verdict 'x'"),
    ("[tool.tokentrace]\nfail_on = 'never'", "no setting 'fail_on' (known are fail-on,"),
    ("[tool.tokentrace.phases]\na = [1, 2]", "phase 'a'"),
    ("[tool.", "cannot be read"),
    ("\xff", "cannot be read")])  # fmt: skip
def test_a_broken_project_file_is_one_line(tmp_path, content, told):
    """The file's path stands before the fault."""
    (tmp_path / "pyproject.toml").write_bytes(content.encode("latin-1"))
    line = complaint(invoke(TRACE))
    assert "pyproject.toml: " in line
    assert told in line


def test_a_project_file_of_others_changes_nothing(tmp_path):
    """Most have no table for tokentrace."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert invoke(TRACE).exit_code == 0


# ── explained ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("width", [48, 80, 200])
def test_an_explanation_holds_meaning_evidence_and_thresholds(monkeypatch, width):
    """What the page on findings says of the codes, and the figures behind them, at any width."""
    monkeypatch.setenv("COLUMNS", str(width))
    page = invoke(TRACE, "--explain").stdout
    words = " ".join(page.split())
    for code in ("limit.refused", "utilization.high", "turn.failed"):
        assert CODES[code].means in words
    assert "evidence: turn 4, utilization 90.3%, threshold 80.0%" in words
    assert "thresholds: high 80.0%" in words
    assert max(map(cell_len, page.splitlines())) <= width
    assert "means" not in invoke(TRACE).stdout


def test_an_explanation_tells_what_cuts_context(monkeypatch):
    """Reasons with how often, how much and from which use on; budgets; sizes of components."""
    monkeypatch.setenv("COLUMNS", "160")
    page = invoke(TRACE, "--explain").stdout
    assert "excluded    code, exceeds available budget: 2 times, 4,820 tokens, turns 4-5, from 46.5% of the limit on" in page  # fmt: skip
    assert "compressed  history, no reason given: 1 time, 1,600 tokens, turn 5" in page
    assert "compressed  prompt, asked for by the guard: 1 time, 4,200 tokens, turn 5" in page
    assert "refused     prompt, over the guard's limit: 1 time, 8,450 tokens, turn 6" in page
    assert "assembly devops: budget 3,000 tokens" in page
    row = next(line for line in page.splitlines() if line.startswith("history"))
    assert row.split() == ["history", "0", "0", "1,205", "2,700", "4", "1,100"]


def test_an_explanation_in_json():
    """The same reasons and sizes, as the schema has them; without --explain they are not there."""
    document = json.loads(invoke(TRACE, "--json", "--explain").stdout)
    jsonschema.Draft202012Validator(json.loads(as_json.schema())).validate(document)
    (session,) = document["explained"]
    assert session["triggers"][0] == {
        "kind": "refused", "name": "", "reason": "over the guard's limit", "times": 1, "tokens": 8_450,
        "turns": [6], "lowest": 0.4605}  # fmt: skip
    assert session["sizes"][0] == {
        "name": "history", "first": 0, "least": 0, "mean": 1_205, "peak": 2_700, "peak_turn": 4, "last": 1_100}  # fmt: skip
    assert "explained" not in json.loads(invoke(TRACE, "--json").stdout)


@pytest.mark.parametrize("words", [["--markdown"], ["--against", str(TRACE)]])
def test_an_explanation_belongs_to_one_run(words):
    """A comment and a comparison have no room for it."""
    assert f"--explain: not together with {words[0]}" in complaint(
        invoke(TRACE, "--explain", *words)
    )


def shown(session, judged, width=100):
    file = io.StringIO()
    console = Console(width=width, file=file)
    verdicts.render(judged, console, Thresholds())
    verdicts.explain(session, console)
    return file.getvalue()


def test_a_session_without_anything_is_explained_too():
    """Nothing was cut, nothing was sent, and a code of others has no explanation."""
    other = analysis.Finding("mine.own", "failing", "x", numbers={"seconds": 1234.5})
    page = shown(Session("s"), Judgement("failing", (other,)))
    assert "nothing was excluded, compressed or refused" in page
    assert "evidence: seconds 1,234.5" in page


def test_many_reasons_and_components_are_bounded():
    """What does not fit is counted."""
    events = tuple(Happening("excluded", f"c{n}", 10) for n in range(40))
    call = CallRecord(tokens=100, components={f"c{n:02}": n for n in range(40)})
    session = Session("s", turns=(Turn(1, (call,), main=call, events=events),))
    page = shown(session, Judgement())
    assert page.count("and 20 more") == 1
    assert page.count("and 28 more") == 1
    assert len(triggers(session)) == len(sizes(session)) == 40


def test_an_assembly_without_a_name_has_its_budget_told():
    """Nothing is left blank."""
    room = ContextRecord(budget=1_000)
    assert "assembly without a name: budget 1,000" in shown(
        Session("s", turns=(Turn(1, (), (room,)),)), Judgement()
    )


def test_the_overview_has_a_verdict_a_session():
    """Of many sessions each line says how it went."""
    turns = [CallRecord(span_id=f"{n}", session=f"s{n}", start=n, tokens=n * 30, limit=100)
             for n in range(1, 5)]  # fmt: skip
    file = io.StringIO()
    text.render(analysis.Report(analysis.sessions(turns)), Console(width=80, file=file))
    rows = [line.split()[:2] for line in file.getvalue().splitlines()[1:5]]
    assert rows == [["s1", "healthy"], ["s2", "healthy"], ["s3", "degraded"], ["s4", "critical"]]
    assert "verdict of all 4 sessions: critical (1 critical, 1 degraded, 2 healthy)" in (
        file.getvalue()
    )
