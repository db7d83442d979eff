"""The threat model names tests, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "threat-model.md"
NAMED = re.compile(r"`((?:tests|scripts)/[\w/.]+\.py)(?:::(\w+))?`")
LEAST = 18  # threats; one that is left out is missed here


def threats() -> dict[str, list[tuple[str, str]]]:
    """Return the tests by threat."""
    table = PAGE.read_text("utf-8").partition("## Threats")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| ")]
    return {row[1].strip(): NAMED.findall(row[3]) for row in rows if row[1].strip() != "threat"}


THREATS = threats()


@pytest.mark.parametrize("threat", THREATS)
def test_each_threat_has_tests_that_exist(threat):
    """Every row names at least one test, and each is a function of the file that is named."""
    assert THREATS[threat]
    for path, name in THREATS[threat]:
        tree = ast.parse((TOP / path).read_text("utf-8"))
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}  # fmt: skip
        assert not name or name in there, f"{path}::{name}"


def test_no_threat_is_left_out():
    """The table has a row for each threat that was ever in it."""
    assert len(THREATS) >= LEAST
