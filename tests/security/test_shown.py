"""What is printed of foreign data: terminals get no controls, spreadsheets no formulas."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace.report import answers, safe

FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0")
CONTROLS = (
    "\x1b[2J",
    "\x1b]8;;http://x\x07",
    "\x9b31m",
    "a\u202eb",
    "\u2066",
    "\u200f",
    "\x00",
    "\r\n",
)


def rows(*values):
    """Return values as CSV gives them back to whoever reads it."""
    text = "".join(answers.as_csv(["name"], [[value] for value in values]))
    return [row[0] for row in csv.reader(io.StringIO(text))][1:]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_text_that_would_be_a_formula_is_quoted(formula):
    """A spreadsheet takes what begins so for a formula; the quote makes it text."""
    assert rows(formula)[0].startswith("'")


def test_numbers_and_plain_texts_are_as_they_are():
    """Negative numbers are numbers; texts that are none of that stay."""
    assert rows(-5, 1.5, "a=b", "gpt-4o", None, "") == ["-5", "1.5", "a=b", "gpt-4o", "", ""]


@pytest.mark.parametrize("control", CONTROLS)
def test_no_control_reaches_a_terminal_or_a_cell(control):
    """Escapes, line ends and what turns text around are left out."""
    assert not unsafe(safe(f"a{control}b"))
    assert not unsafe(rows(f"a{control}b")[0])


@given(st.text())
def test_any_text_is_safe(text):
    """Whatever a trace holds."""
    assert not unsafe(safe(text))
    cell = rows(text)[0]
    assert not unsafe(cell)
    assert not cell.startswith(("=", "+", "-", "@"))


def unsafe(text):
    return [one for one in text if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
