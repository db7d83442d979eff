"""What is deployed, held by Prometheus' own promtool (Debian: apt-get install prometheus)."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import yaml

from dashboards import DEPLOY, RULES, filled, queries

CASES = DEPLOY.parent / "tests" / "deploy" / "rules.test.yml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool: apt-get install prometheus"
)


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(PROMTOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@needs_promtool
def test_prometheus_takes_configuration_and_rules():
    """The configuration is valid, with every rule file that it names."""
    ran = promtool("check", "config", RULES / "prometheus.yml")
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
    wrong.write_text(cases.replace("../../deploy", str(DEPLOY)), encoding="utf-8")
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
