"""The alerts: each with cases, words and a row on the page. What they do is held by promtool."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dashboards import DEPLOY, RULES, recording

CASES = Path(__file__).parent / "rules.test.yml"
PAGE = DEPLOY.parent / "docs" / "dashboards.md"


def groups(name: str) -> list[dict]:
    return yaml.safe_load((RULES / f"{name}.rules.yml").read_text(encoding="utf-8"))["groups"]


def alerts() -> dict[str, dict]:
    rules = [rule for group in groups("alerts") for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


@pytest.mark.parametrize("name", alerts())
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(name):
    """Nobody adds an alert that was never seen firing, or never seen silent."""
    tests = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    cases = [
        case
        for one in tests
        for case in one.get("alert_rule_test", ())
        if case["alertname"] == name
    ]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


@pytest.mark.parametrize("name", alerts())
def test_each_alert_says_what_it_is_and_is_on_the_page(name):
    """An alert has a severity, a summary with its subject, a description, and a row in the docs."""
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert "{{" in rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    page = PAGE.read_text(encoding="utf-8")
    assert re.search(rf"^\| `{name}` \|", page, re.MULTILINE)


def test_alerts_ask_for_what_is_recorded():
    """Every series in a rule of the alerts is recorded, there or before, or is `up`."""
    rules = [rule for group in groups("alerts") for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"tokentrace:\w+:\w+", rule["expr"])}
    known = {rule["record"] for rule in rules if "record" in rule} | set(recording())
    assert len(asked) > 10
    assert asked <= known


def test_recording_rules_run_each_minute():
    """The rules look back one minute, so they have to run each minute."""
    (group,) = groups("recording")
    assert group["interval"] == "1m"
    assert all("offset 1m" in rule for *_, rule in recording().values())
