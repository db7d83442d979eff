"""docs/findings.md says what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    """Return the script that writes the page's tables."""
    spec = importlib.util.spec_from_file_location("page", TOP / "scripts" / "findings_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_holds_every_code_and_threshold_as_the_code_has_them(script):
    """Written again, the page is what it is."""
    text = script.PAGE.read_text("utf-8")
    assert script.page(text) == text


def test_every_threshold_is_described(script):
    """A row each, none without a description."""
    rows = script.thresholds().splitlines()[2:]
    assert len(rows) == len(script.DEFAULTS)
    assert not [row for row in rows if row.endswith("|  |")]


def test_codes_name_thresholds_that_there_are(script):
    """What a code says it is decided by can be set."""
    named = {one for code in script.CODES.values() for one in code.thresholds}
    assert named <= script.DEFAULTS.keys()
    assert named == script.DEFAULTS.keys()


def test_every_code_has_an_example_from_a_run(script):
    """What a finding says is shown as it was said, whatever the salt of this process is."""
    shown = script.examples()
    assert {code for code in script.CODES if not code.startswith("cache.")} <= shown.keys()
