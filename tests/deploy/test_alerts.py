"""Alerts and recording rules, held by Prometheus' own promtool (Debian: apt-get install prometheus)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from dashboards import filled, queries

TOP = Path(__file__).parents[2]
PROMETHEUS = TOP / "deploy" / "prometheus"
CASES = Path(__file__).parent / "rules.test.yml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool: apt-get install prometheus"
)


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(PROMTOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def alerts() -> dict[str, dict]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.rules.yml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@needs_promtool
def test_prometheus_takes_configuration_and_rules():
    """The configuration is valid, with every rule file that it names."""
    ran = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("rules found") == 2


@needs_promtool
def test_alerts_fire_and_keep_silent_as_they_should():
    """Every case of the file holds: exactly the alerts that are expected, word for word."""
    ran = promtool("test", "rules", CASES)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
def test_a_wrong_expectation_is_found(tmp_path):
    """The cases are really run: one that expects too many lost spans fails."""
    cases = CASES.read_text(encoding="utf-8").replace("lost 40 spans", "lost 41 spans")
    wrong = tmp_path / "rules.test.yml"
    wrong.write_text(cases.replace("../../deploy", str(TOP / "deploy")), encoding="utf-8")
    ran = promtool("test", "rules", wrong)
    assert ran.returncode == 1
    assert "TokentraceCollectorSendFailed" in ran.stdout + ran.stderr


@needs_promtool
def test_prometheus_can_read_every_query_of_the_dashboard(tmp_path):
    """With its variables filled in, each query is PromQL."""
    rules = [
        {"record": "x", "labels": {"panel": title}, "expr": filled(expr)}
        for title, expr in queries("expr")
    ]
    assert len(rules) > 20
    written = tmp_path / "queries.rules.yml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")
    ran = promtool("check", "rules", written)
    assert ran.returncode == 0, ran.stdout + ran.stderr


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
    page = (TOP / "docs" / "dashboards.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{name}` \|", page, re.MULTILINE)


def test_recording_rules_run_each_minute():
    """The rules look back one minute, so they have to run each minute."""
    (group,) = yaml.safe_load((PROMETHEUS / "recording.rules.yml").read_text(encoding="utf-8"))[
        "groups"
    ]
    assert group["interval"] == "1m"
    assert all("offset 1m" in rule["expr"] for rule in group["rules"])
