"""A hot path that takes more instructions than its bound is said."""

from __future__ import annotations

import sys
import tomllib

import instructions
import pytest


def test_ratios_are_of_what_is_added():
    """Bare work is taken off both; of several runs the middle one counts."""
    found = {
        "call/bare": [100, 100, 900],
        "call/ours": [300, 300, 300],
        "call/reference": [200, 200, 200],
        "import/ours": [50],
        "import/reference": [100],
    }
    assert instructions.ratios(found) == {"call": 2.0, "import": 0.5}


def test_a_bound_holds_within_the_slack():
    """Within the slack nothing is said; beyond it, and without a bound, a line."""
    bounds = {"call": 2.0}
    assert instructions.passed({"call": 2.15}, bounds, 0.08) == []
    (over,) = instructions.passed({"call": 2.2}, bounds, 0.08)
    assert "10 % over 2.0" in over
    (unknown,) = instructions.passed({"other": 0.1}, bounds, 0.08)
    assert "no bound" in unknown


def test_bounds_are_written_as_they_are_read():
    """What --update writes is what the next run compares with."""
    kept = tomllib.loads(instructions.written({"call, 10": 1.25}, 0.08))
    assert kept == {"slack": 0.08, "ratios": {"call, 10": 1.25}}


def test_the_shipped_bounds_are_of_the_rows_that_are_counted():
    """Each size is bounded with nothing new and with two new messages, and the import is."""
    kept = tomllib.loads(instructions.BOUNDS.read_text(encoding="utf-8"))
    assert 0 < kept["slack"] <= 0.1
    assert kept["ratios"].keys() == {
        *(f"call, {n} messages, {new} new" for n in (10, 1_000) for new in ("nothing", 2)),
        "import tokentrace",
    }


def test_without_valgrind_one_line_says_so(monkeypatch, capsys):
    """The check is skipped, not failed, where the tool is missing."""
    monkeypatch.setattr(instructions.shutil, "which", lambda _name: None)
    monkeypatch.setattr(sys, "argv", ["instructions.py"])
    assert instructions.main() == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_a_work_that_fails_is_said(tmp_path, monkeypatch):
    """The error of the work itself is shown, not that nothing was counted."""
    work = tmp_path / "work.py"
    work.write_text("raise SystemExit('no openai here')", encoding="utf-8")
    monkeypatch.setattr(instructions, "WORK", work)
    with pytest.raises(instructions.Unusable, match="no openai here"):
        instructions.counts(tmp_path, "valgrind")


def test_a_dump_without_a_total_is_unusable(tmp_path):
    """An interpreter without symbols counts nothing, which is not zero instructions."""
    dump = tmp_path / "out.1"
    dump.write_text("events: Ir\ntotals: 1234\n", encoding="utf-8")
    assert instructions.total(dump) == 1234
    dump.write_text("totals: 0\n", encoding="utf-8")
    with pytest.raises(instructions.Unusable, match="symbol"):
        instructions.total(dump)
