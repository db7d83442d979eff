"""The dashboard: what the script makes, of names that exist, with nothing that overlaps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards import attributes, dashboard, queries, recording
from tokentrace import schema

TOP = Path(__file__).parents[2]
ALERTS = TOP / "deploy" / "prometheus" / "alerts.rules.yml"
PROMQL = dict(queries("expr"))
TRACEQL = dict(queries("query"))

# What the Collector derives of spans, and what other programs count: no metrics of the package's own.
DERIVED = re.compile(
    r"tokentrace_span_(calls|cost_USD|component_(tokens|cost_USD)|input_\w+|usage_\w+)_total"
)
OTHERS = ("otelcol_", "tempo_")
WORDS = re.compile(r"[a-zA-Z_][a-zA-Z0-9_:]*")
LABELS = re.compile(r"(?:by|on|group_left) \(([^)]*)\)|(\w+)=~?\"")


def spelled(name: str) -> str:
    return name.replace(".", "_")


def own_series() -> set[str]:
    """Return the series of the package's own metrics, by OpenTelemetry's rules for Prometheus."""
    found = set()
    for name, metric in schema.METRICS.items():
        stem = spelled(name) + ("_seconds" if metric.unit == "s" else "")
        parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("_total",)
        found |= {stem + part for part in parts}
    return found


@pytest.mark.parametrize("script", ["recording_rules.py", "dashboard.py"])
def test_what_is_committed_is_what_the_script_makes(script):
    """Neither the rules nor the dashboard were edited by hand, or forgotten after an edit."""
    command = [sys.executable, str(TOP / "scripts" / script), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def test_panels_are_those_that_were_asked_for():
    """Components, heatmap, decisions, drift, cost, one session, losses and alerts are there."""
    kinds = {panel["title"]: panel["type"] for panel in dashboard()["panels"]}
    assert kinds["A session, turn by turn"] == "barchart"
    assert kinds["How full the window was"] == "heatmap"
    assert kinds["Components by cost"] == "bargauge"
    assert kinds["Calls of the session"] == "table"
    assert {"Input tokens by component", "Decisions of the guard", "Drift"} <= set(kinds)
    assert {"Lost on the way", "Pending and firing"} <= set(kinds)


def test_panels_have_numbers_and_room():
    """Each panel has an id of its own, stands within 24 columns, and none covers another."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & mine, panel["title"]
        cells |= mine


def test_every_panel_says_what_it_shows():
    """Each panel but a row's heading has a description, and asks one of the chosen data sources."""
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in panels if not panel.get("description")] == []
    assert {panel["datasource"]["uid"] for panel in panels} == {"${metrics}", "${traces}"}


def test_variables_are_declared():
    """Every variable of a query is Grafana's own or one of the dashboard's."""
    known = {variable["name"] for variable in dashboard()["templating"]["list"]}
    assert known == {"metrics", "traces", "service", "model", "session"}
    asked = {*PROMQL.values(), *TRACEQL.values()}
    used = {name for query in asked for name in re.findall(r"\$(\w+)", query)}
    assert used <= known | {"__range", "__interval"}
    assert {"service", "model", "session"} <= used


@pytest.mark.parametrize("title", PROMQL)
def test_queries_ask_for_what_is_recorded(title):
    """A query asks for series that a recording rule makes, or for alerts."""
    asked = {word for word in WORDS.findall(PROMQL[title]) if ":" in word or word.isupper()}
    assert asked
    assert asked <= set(recording()) | {"ALERTS"}


@pytest.mark.parametrize("name", recording())
def test_rules_record_what_is_sent(name):
    """A rule's counter is one of ours, one that the Collector derives, or another program's."""
    counter, _, rule = recording()[name]
    assert counter in own_series() or DERIVED.fullmatch(counter) or counter.startswith(OTHERS)
    assert rule.count(counter) == 3


def test_the_collector_derives_what_is_recorded():
    """Every derived counter's metric is in the Collector's configuration."""
    config = (TOP / "collector-config.yaml").read_text(encoding="utf-8")
    made = {spelled(name) for name in re.findall(r"name: (tokentrace\.span\.[\w.]+)", config)}
    made |= {re.sub(r"(_component)_\w+?_(tokens|cost)$", r"\1_\2", name) for name in made}
    derived = {counter for counter, *_ in recording().values() if DERIVED.fullmatch(counter)}
    assert len(derived) >= 8
    assert {re.sub(r"(_USD)?_total$", "", counter) for counter in derived} <= made


def test_labels_are_attributes():
    """Every label in a query or rule of ours is an attribute of the schema, or a back end's own."""
    texts = [
        *PROMQL.values(),
        *(rule for *_, rule in recording().values()),
        ALERTS.read_text(encoding="utf-8"),
    ]
    found = {
        label.strip()
        for text in texts
        for group, one in LABELS.findall(text)
        for label in (group or one).split(",")
        if label.strip()
    }
    others = {
        "le",
        "job",
        "instance",
        "receiver",
        "exporter",
        "scope",
        "reason",
        "alertname",
        "__name__",
    }
    assert found - others <= {spelled(name) for name in attributes()}
    assert len(found - others) >= 6


@pytest.mark.parametrize("title", TRACEQL)
def test_traces_are_asked_for_attributes_that_exist(title):
    """A TraceQL query names attributes of the schema only, with their scope."""
    found = re.findall(r"\b(?:span|resource)\.([\w.]+)", TRACEQL[title])
    components = {
        name for name in found if re.fullmatch(r"tokentrace\.component\.\w+\.tokens", name)
    }
    assert set(found) - components <= attributes()
    assert schema.CONVERSATION in found


def test_a_sessions_bars_are_made_of_what_was_fetched():
    """The session's panel turns into numbers, groups by turn and names exactly its columns."""
    (panel,) = (one for one in dashboard()["panels"] if one["title"] == "A session, turn by turn")
    fetched = set(re.findall(r"select\((.*)\)", panel["targets"][0]["query"])[0].split(", "))
    columns = {name.removeprefix("span.") for name in fetched}
    numbers, grouped, *_, renamed = (one["options"] for one in panel["transformations"])
    assert {one["targetField"] for one in numbers["conversions"]} == columns
    assert set(grouped["fields"]) == columns
    assert panel["options"]["xField"] == schema.TURN
    assert set(renamed["renameByName"]) == {f"{name} (max)" for name in columns - {schema.TURN}}
