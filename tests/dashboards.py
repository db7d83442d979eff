"""What tests of the dashboard share: its panels and its queries, with Grafana's variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tokentrace import schema

DEPLOY = Path(__file__).parents[1] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "tokentrace.json"
RULES = DEPLOY / "prometheus"
FILLED = {
    "$service": ".*",
    "$model": ".*",
    "$session": ".*",
    "$__range": "1h",
    "$__interval": "1m",
}


def dashboard() -> dict:
    """Return the dashboard as committed."""
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def filled(query: str, **values: str) -> str:
    """Return a query with values in place of variables, longer names first."""
    known = FILLED | {f"${name}": value for name, value in values.items()}
    for name in sorted(known, key=len, reverse=True):
        query = query.replace(name, known[name])
    return query


def queries(key: str) -> Iterator[tuple[str, str]]:
    """Yield a panel's title and each of its queries: ``expr`` of Prometheus, ``query`` of Tempo."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            if key in target:
                yield f"{panel['title']} {target['refId']}", target[key]


def recording() -> dict[str, tuple[str, list[str], str]]:
    """Return, by the name of a recorded series, its counter, the labels that it keeps, and its rule."""
    (group,) = yaml.safe_load((RULES / "recording.rules.yml").read_text(encoding="utf-8"))["groups"]
    found = {}
    for rule in group["rules"]:
        labels, counter = re.match(r"sum by \(([^)]*)\) \(\s+\((\S+) - ", rule["expr"]).groups()
        name = re.sub(r'^\{__name__=~"(\w+)\(_total\)\?"\}$', r"\1", counter)
        found[rule["record"]] = (name, labels.split(", "), rule["expr"])
    return found


def attributes() -> set[str]:
    """Return every attribute that a span or its resource may bear, components' own aside."""
    tables = (schema.CALL, schema.USAGE, schema.CONTEXT)
    return {key for table in tables for _, key, _ in table} | {
        value for value in vars(schema).values() if isinstance(value, str) and "." in value
    }
