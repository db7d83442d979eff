"""What tests of the dashboard share: its panels and its queries, with Grafana's variables filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

DASHBOARD = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "tokentrace.json"
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
