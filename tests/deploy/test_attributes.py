"""Attributes that the Collector's configuration and ClickHouse's queries name: spans bear each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dashboards import attributes
from tokentrace.report.html import colours

TOP = Path(__file__).parents[2]
CONFIG = TOP / "collector-config.yaml"
FILES = [CONFIG, *sorted((TOP / "deploy" / "clickhouse").rglob("*.sql"))]
NAME = re.compile(
    r"""(?:\["|\['|key: |^\s+")((?:gen_ai|tokentrace|service)\.[\w.]+)""", re.MULTILINE
)
COMPONENT = re.compile(r"tokentrace\.component\.(\w+)\.(tokens|cost_usd)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_attributes_are_those_of_the_schema(path):
    """A misspelt attribute would be silence: no error, and a series or a column with nothing in it."""
    named = set(NAME.findall(path.read_text(encoding="utf-8")))
    assert {name for name in named if not COMPONENT.fullmatch(name)} <= attributes()
    assert named or path != CONFIG


def test_the_collector_counts_and_prices_each_standard_component():
    """Tokens and costs have an entry for each component that has a name of its own in reports."""
    text = CONFIG.read_text(encoding="utf-8")
    made = re.findall(r"name: tokentrace\.span\.component\.(\w+)\.(tokens|cost)\n", text)
    for kind in ("tokens", "cost"):
        assert sorted(name for name, what in made if what == kind) == sorted(colours.KNOWN)
    valued = re.findall(rf"sum: {{value: 'span.attributes\[\"({COMPONENT.pattern})\"\]'", text)
    assert [(name, what.removesuffix("_usd")) for _, name, what in valued] == made
