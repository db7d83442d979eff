"""What changed between two runs, shown: in a terminal, as Markdown, as JSON."""

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
from tokentrace.analysis import Finding, Judgement, Report, Session
from tokentrace.prompt import CallRecord
from tokentrace.readers import Problems
from tokentrace.report import comparing, markdown
from tokentrace.report import json as as_json

TRACE = Path(__file__).parents[1] / "readers" / "data" / "conversation.jsonl"


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    """Run in an empty folder, 100 columns wide, without colour."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


def runs():
    """Return two runs: the second one has a prompt over its limit, and more history."""

    def run(name, sizes):
        calls = [
            CallRecord(
                span_id=f"{name}{n}", session=name, turn=n, start=n, tokens=size + 100, limit=1_000,
                components={"history": size, "system|x": 100},
            )
            for n, size in enumerate(sizes, 1)
        ]  # fmt: skip
        return [(one, analysis.judge(one)) for one in analysis.sessions(calls)]

    return run("old", [100, 200, 300]), run("new", [100, 400, 1_100])


def test_a_session_without_a_name_is_called_the_same_everywhere():
    """Nobody reads sixteen digits of a lineage as a name."""
    ((_, judged),) = runs()[0]
    nameless = Session("0123456789abcdef", named=False)
    changed = analysis.compare([(nameless, judged)], [(nameless, judged)])
    out = io.StringIO()
    comparing.render(changed, Console(file=out, width=100))
    shown = (out.getvalue(), markdown.compared(changed), markdown.render(Report((nameless,))))
    assert all("lineage 0123456789ab" in text and "cdef" not in text for text in shown)
    assert comparing.alone(analysis.compare([(nameless, judged)], [])) == [
        "only before: lineage 0123456789ab"
    ]


def compared(**options):
    return analysis.compare(*runs(), **options)


@pytest.mark.parametrize("width", [60, 100])
def test_a_comparison_in_a_terminal(width):
    """Names, verdicts, figures with their change, and what is new; no line is too wide."""
    file = io.StringIO()
    comparing.render(compared(phases={"late": (3, 3)}), Console(width=width, file=file))
    page = file.getvalue()
    assert "new against old" in page
    assert "verdict healthy → critical" in page
    rows = {line.split("  ")[0]: line.split()[-4:] for line in page.splitlines()}
    assert rows["peak of a turn"] == ["400", "1,200", "+800", "(+200.0%)"]
    assert rows["peak use"][1:] == ["40.0%", "120.0%", "+80.0"]
    assert rows["history"] == ["200", "533", "+333", "(+166.5%)"]
    assert rows["system|x"][1:] == ["100", "100", "="]
    assert rows["late"] == ["400", "1,200", "+800", "(+200.0%)"]
    assert "new         limit.exceeded: turn 3 went over the limit" in page
    assert max(map(cell_len, page.splitlines())) <= width


def test_a_comparison_as_markdown():
    """Tables for a comment; names are no markup."""
    page = markdown.compared(compared())
    assert page.startswith("### ⛔ tokentrace: verdict healthy → critical\n\nnew against old\n")
    assert "| peak of a turn | 400 | 1,200 | +800 (+200.0%) |" in page
    assert "| system\\|x | 100 | 100 | = |" in page
    assert "**new**\n\n- ⛔ `limit.exceeded`: turn 3 went over" in page


def test_sessions_without_a_partner_are_told():
    """In each form."""
    old, new = runs()
    lone = analysis.compare([*old, (Session("gone"), Judgement())], new)
    file = io.StringIO()
    comparing.render(lone, Console(width=80, file=file))
    assert "only before: gone" in file.getvalue()
    assert markdown.compared(lone).endswith("only before: gone\n")
    more = analysis.compare(old, [*new, (Session("come"), Judgement())])
    assert "only now: come" in markdown.compared(more)
    assert comparing.document(more)["only_after"] == ["come"]


def test_a_report_as_markdown():
    """A line a session, their findings, what is left out and what was damaged."""
    problems = Problems()
    problems.add("x", 1, "broken")
    _, new = runs()
    sessions = [Session(f"<b>s{n}") for n in range(24)] + [new[0][0]]
    page = markdown.render(Report(tuple(sessions), problems))
    assert page.startswith("### ⛔ tokentrace: critical\n")
    assert "| new | critical | 3 | 1,200 | 120.0% | 0 | 0 |" in page
    assert "| \\<b\\>s23 | healthy | 0 | 0 | - | 0 | 0 |" in page
    assert "and 5 older sessions" in page
    assert "1 damaged record skipped" in page
    assert "To do: let the guard compress" in page
    assert markdown.render(Report(())) == "### 🟢 tokentrace: healthy\n"


def test_hostile_names_are_no_markup():
    """Neither a mention nor a link, a tag or a new row comes from a name."""
    found = Finding("limit.exceeded", "critical", "a|b @all [x](y) <img>\n| c", "`run`")
    page = markdown.render(
        Report((Session("s|\n@x"),), judgements=(Judgement("critical", (found,)),))
    )
    assert "\\@all \\[x\\](y) \\<img\\>\\| c" in page
    assert "| s\\|\\@x | critical |" in page


# ── the command line ─────────────────────────────────────────────────────────────────────────────


def invoke(*words):
    return CliRunner().invoke(cli.app, ["report", *map(str, words)])


@pytest.fixture
def other(tmp_path):
    """Return a trace of another run of the same conversation."""
    path = tmp_path / "other.jsonl"
    told = TRACE.read_text().replace("conv-42", "conv-43").replace('"spanId": "0', '"spanId": "1')
    path.write_text(told)
    return path


def test_two_files_are_compared(other):
    """The document is that of a report, with the comparison beside it."""
    result = invoke(other, "--against", TRACE, "--json")
    document = json.loads(result.stdout)
    jsonschema.Draft202012Validator(json.loads(as_json.schema())).validate(document)
    (pair,) = document["comparison"]["pairs"]
    assert (pair["base_id"], pair["id"]) == ("conv-42", "conv-43")
    assert pair["verdict"] == {"before": "degraded", "after": "degraded"}
    assert [one["id"] for one in document["sessions"]] == ["conv-43"]
    assert "comparison" not in json.loads(invoke(other, "--json").stdout)


def test_sessions_of_one_folder_are_compared(other):
    """A base that is no file is a session of what is read, by its id or how that begins."""
    both = other.parent / "both.jsonl"
    both.write_text(TRACE.read_text() + other.read_text())
    page = invoke(both, "--against", "conv-42").stdout
    assert page.startswith("conv-43 against conv-42\nverdict degraded, as before\n")
    page = invoke(both, "--against", "conv-43", "--markdown").stdout
    assert "conv-42 against conv-43" in page


def test_one_session_is_compared_with_its_namesake(other):
    """--session chooses in the base too, where it has a session of that id."""
    both = other.parent / "both.jsonl"
    both.write_text(TRACE.read_text() + other.read_text())
    page = invoke(both, "--session", "conv-43", "--against", both).stdout
    assert page.startswith("conv-43 against conv-43\n")
    assert "only before" not in page
    page = invoke(other, "--session", "conv-43", "--against", TRACE).stdout
    assert page.startswith("conv-43 against conv-42\n")


def test_the_exit_code_is_that_of_the_newer_run(other):
    """A base that is worse fails nothing."""
    assert invoke(other, "--against", TRACE).exit_code == 0
    assert invoke(other, "--against", TRACE, "--threshold", "high=0.4").exit_code == 1


@pytest.mark.parametrize(("words", "told"), [
    (["--against", "none"], "--against: no file, folder or session 'none'"),
    (["--against", "conv"], "--against: no session is left"),
    (["--json", "--markdown"], "--json: not together with --markdown")])  # fmt: skip
def test_a_wrong_base_is_one_line(words, told):
    """It says what is missing."""
    result = invoke(TRACE, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert told in line


def test_markdown_of_a_report():
    """Without a base it is the report itself."""
    page = invoke(TRACE, "--markdown").stdout
    assert page.startswith("### 🟡 tokentrace: degraded\n")
    assert "| conv-42 | degraded | 6 | 7,222 | 90.3% | 5,475 | 5,800 |" in page
