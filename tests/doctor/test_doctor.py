"""The command: what it prints at which width, its JSON, its exit codes, and that nothing stops it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from tokentrace import cli, doctor
from tokentrace.doctor import showing, versions
from tokentrace.doctor.findings import Finding, fault, note, ok, warn

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"

FOUND = [
    Finding("ok", "Python 3.11.7", "", {"version": "3.11.7"}, "python"),
    Finding("ok", "nothing stands in the way", "", {}, "sdk.shadowed"),
    Finding("fault", f"no trace can be written to {'/long' * 30}: Read-only file system",
            "make it a folder that this user may write to, or set TOKENTRACE_DIR to another folder", {}, "folder"),
    Finding("warn", "nothing reads TOKENTRACE_\x1b[31mX", "unset it", {}, "env.name"),
    Finding("note", "not installed: groq", "", {}, "sdk"),
]  # fmt: skip


@pytest.fixture
def one_check(monkeypatch):
    """Have doctor run the checks that a test gives it."""

    def given(**looks):
        monkeypatch.setattr(
            doctor, "CHECKS", {code: (look, "fine") for code, look in looks.items()}
        )

    return given


def shown(width):
    file = io.StringIO()
    showing.render(FOUND, Console(width=width, file=file))
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_lines_fit_the_terminal(width):
    """Every line is as wide as the terminal at most, but for words that are wider."""
    rows = shown(width).splitlines()
    assert all(cell_len(row) <= width or "/long/long" in row for row in rows), rows
    words = " ".join(" ".join(rows).split())
    assert "fault" in words
    assert "make it a folder that this user may write to" in words.replace("→ ", "")


def test_the_page_is_as_somebody_found_it_good():
    """State, code and finding stand beside each other, the mend below, the sums at the end."""
    rows = shown(80).splitlines()
    assert rows[0] == "ok     python        Python 3.11.7"
    assert rows[-6] == "warn   env.name      nothing reads TOKENTRACE_[31mX"
    assert rows[-5].strip() == "→ unset it"
    assert rows[-1] == "1 fault · 1 warning · 1 note"
    assert "1 more check found nothing; --json has all" in shown(80)
    assert "\x1b" not in shown(80)


def test_nothing_that_is_fine_hides_a_fault():
    """Without a fault the sums say so in as many words."""
    file = io.StringIO()
    showing.render([FOUND[0]], Console(width=80, file=file))
    assert file.getvalue().splitlines()[-1] == "0 faults"


@pytest.mark.parametrize(("finding", "code"), [
    (ok("x", y=1), 0), (note("x"), 0), (warn("x", "y"), 0), (fault("x", "y"), 1),
])  # fmt: skip
def test_exit_codes(one_check, finding, code):
    """A fault is exit code 1; notes and warnings are 0."""
    one_check(planted=lambda _: [finding])
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert (result.exit_code, finding.state in result.stdout) == (code, True)
    assert CliRunner().invoke(cli.app, ["doctor", "--json"]).exit_code == code


@pytest.mark.parametrize("words", [["--nope"], ["folder"], ["--patience", "0"]])
def test_usage_errors(words):
    """A wrong option or argument is exit code 2, before anything is looked at."""
    assert CliRunner().invoke(cli.app, ["doctor", *words]).exit_code == 2


def test_a_check_that_fails_is_a_finding(one_check, monkeypatch):
    """Neither what is too broken to be looked at nor a bug of ours ends the other checks."""

    def broken(_):
        raise ImportError("no such thing")

    def wrong(_):
        raise KeyError("x")

    monkeypatch.delenv("TOKENTRACE_STRICT")
    one_check(one=broken, two=wrong, three=lambda _: [])
    found = list(doctor.diagnose(doctor.Machine()))
    assert [(one.code, one.state) for one in found] == [
        ("one", "warn"),
        ("two", "fault"),
        ("three", "ok"),
    ]
    assert "no such thing" in found[0].what
    assert "TOKENTRACE_STRICT=1" in found[1].mend


def test_our_log_is_still_while_doctor_looks(one_check, monkeypatch, caplog):
    """What the log would warn of, the findings say; afterwards the log speaks again."""
    monkeypatch.setenv("TOKENTRACE_EXPORTER", "s3")
    assert [one.state for one in doctor.examine("env.value", doctor.Machine())] == ["fault", "ok"]
    doctor.examine("exporter", doctor.Machine())
    assert caplog.records == []
    from tokentrace import _failsafe

    _failsafe.say("again")
    assert [record.message for record in caplog.records] == ["again"]


def test_a_secret_in_a_variable_is_not_shown(one_check, monkeypatch):
    """Of a header that is sent along only that it is set is told, also to scripts."""
    monkeypatch.setenv("TOKENTRACE_HEADER", "Authorization: Bearer s3cret")
    (found,) = doctor.examine("env.value", doctor.Machine())
    assert "TOKENTRACE_HEADER=…" in found.what
    assert "s3cret" not in repr(found)


def test_the_whole_of_it_as_a_user_runs_it(tmp_path):
    """On a healthy machine every code is in the document, no fault, and nothing on stderr."""
    clean = {name: text for name, text in os.environ.items() if name != "TOKENTRACE_STRICT"}
    ran = subprocess.run(
        [sys.executable, "-m", "tokentrace", "doctor", "--json"], cwd=tmp_path, capture_output=True,
        text=True, check=False, timeout=120, env=clean,
    )  # fmt: skip
    document = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert document.keys() == {"version", "checks"}
    assert list(dict.fromkeys(one["code"] for one in document["checks"])) == list(doctor.CHECKS)
    for one in document["checks"]:
        assert list(one) == ["code", "state", "what", "mend", "facts"]
        assert one["what"]
        assert one["state"] in ("ok", "note", "warn")
    assert not (tmp_path / "traces").exists()


def test_every_code_is_on_the_page():
    """The page has a row for each check, and invents none."""
    text = PAGE.read_text("utf-8")
    rows = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert rows >= set(doctor.CHECKS)
    assert {row for row in rows if row not in doctor.CHECKS} <= {"ok", "note", "warn", "fault"}


@pytest.mark.parametrize(("version", "known"), [
    ("1.60.0", (1, 60)), ("3.57.0", (3, 57)), ("4.0.0b1", (4,)), ("0.66b2", (0, 66)), ("2!1", (2,)), ("", ()),
])  # fmt: skip
def test_versions_are_read_by_their_numbers(version, known):
    """Leading numbers count, zeros at the end and marks of pre-releases do not."""
    assert versions.numbers(version) == known


def test_a_range_holds_its_least_and_not_its_bound():
    """The least version is inside, the bound outside, and both are in its text."""
    known = versions.Range("1.60", "4")
    inside = [version in known for version in ("1.59.9", "1.60.0", "3.99", "4.0.0")]
    assert inside == [False, True, True, False]
    assert str(known) == ">=1.60,<4"
    assert versions.required("openai>=1.60; extra == 'demo'") is None
