"""What the dashboard's panels are made of: queries as text, and one function a kind of panel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grafana_foundation_sdk.builders import bargauge as bargauges
from grafana_foundation_sdk.builders import common, dashboard, prometheus, tempo
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.builders import timeseries as graphs
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as formats
from grafana_foundation_sdk.models import tempo as searches

from recording_rules import (
    BAND,
    COMPONENT,
    DECISION,
    MODEL,
    SERVICE,
    recorded,
)  # fmt: skip
from tokentrace import schema

# ── queries ──────────────────────────────────────────────────────────────────────────────────────

CHOSEN = f'{SERVICE}=~"$service",{MODEL}=~"$model"'
REFUSED = f'{DECISION}="refuse"'
SHARE = "percentunit"
NEAR = f'{BAND}=~"90-100|100\\\\+"'


def total(name: str, *by: str, window: str = "$__range", where: str = CHOSEN) -> str:
    """Return PromQL for the sum of what was recorded in a window, by labels."""
    by_labels = f" by ({', '.join(by)})" if by else ""
    return f"sum{by_labels} (sum_over_time({recorded(name)}{{{where}}}[{window}]))"


def share(part: str, whole: str) -> str:
    """Return PromQL for a share; 0 where there is no part, nothing where there is no whole."""
    return f"(({part}) or 0 * ({whole})) / (({whole}) > 0)"


def step(name: str, *by: str, where: str = CHOSEN) -> str:
    """Return `total` for one bar of a graph."""
    return total(name, *by, window="$__interval", where=where)


def ask(expr: str, legend: str = "", *, instant: bool = False, kind: Any = None) -> Any:
    """Return a query to Prometheus, of the whole range or of now."""
    query = prometheus.Dataquery().expr(expr).legend_format(legend)
    query = query.instant() if instant else query.range()
    return query.format(kind or formats.PromQueryFormat.TIME_SERIES)


def key(name: str) -> str:
    """Return a component's attribute of tokens."""
    return f"{schema.COMPONENT}{name}.tokens"


# The components of which each call may have some; the agent's own names are rows of their own in
# Prometheus, and can be added here for the panels of one session.
ROLES = (
    *("system", "tools", "history", "user", "tool_results", "media", "reasoning", "framing"),
    *("server_context", "unattributed", "other"),
)
SESSION = (
    f'resource.{schema.SERVICE_NAME} =~ "$service" && span.{schema.CONVERSATION} =~ "$session"'
    f" && span.{schema.TOKENS} > 0"
)


def trace(spans: str, *shown: str, limit: int = 200) -> Any:
    """Return a TraceQL search for spans, with attributes as columns."""
    columns = ", ".join(f"span.{name}" for name in shown)
    return (
        tempo.Dataquery()
        .query(f"{{ {spans} }} | select({columns})")
        .query_type("traceql")
        .table_type(searches.SearchTableType.SPANS)
        .limit(limit)
        .spss(100)
    )


# ── panels ───────────────────────────────────────────────────────────────────────────────────────

METRICS = kinds.DataSourceRef(type_val="prometheus", uid="${metrics}")
TRACES = kinds.DataSourceRef(type_val="tempo", uid="${traces}")


def panel(
    made: Any, title: str, text: str, queries: Iterable[Any], size: tuple[int, int] = (12, 9)
) -> Any:
    """Return a panel with what all of them have; its queries are called A, B and so on."""
    made = made.title(title).description(text).span(size[0]).height(size[1])
    queries = list(queries)
    traced = any(isinstance(query, tempo.Dataquery) for query in queries)
    made = made.datasource(TRACES if traced else METRICS)
    return made.targets([query.ref_id(chr(65 + place)) for place, query in enumerate(queries)])


def steps(*limits: tuple[float | None, str]) -> Any:
    """Return thresholds: from which value on which colour."""
    made = [models.Threshold(value=value, color=colour) for value, colour in limits]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def number(
    title: str, text: str, expr: str, unit: str = "short", *limits: tuple[float, str]
) -> Any:
    """Return one number for the whole range."""
    made = stats.Panel().unit(unit).thresholds(steps((None, "green"), *limits))
    made = made.graph_mode(kinds.BigValueGraphMode.NONE)
    made = made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    return panel(made, title, text, [ask(expr, instant=True)], (3, 4))


def graph(title: str, text: str, unit: str, *queries: Any, bars: bool = False) -> Any:
    """Return a graph over time, of lines or of stacked bars."""
    made = graphs.Panel().unit(unit).min(0).interval("1m")
    if bars:
        stack = common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A")
        made = made.draw_style(kinds.GraphDrawStyle.BARS).fill_opacity(80).stacking(stack)
    return panel(made, title, text, queries)


def ranking(title: str, text: str, unit: str, expr: str) -> Any:
    """Return the largest of a kind, as bars."""
    made = bargauges.Panel().unit(unit).orientation(kinds.VizOrientation.HORIZONTAL).min(0)
    made = made.display_mode(kinds.BarGaugeDisplayMode.BASIC).thresholds(steps((None, "blue")))
    return panel(made, title, text, [ask(expr, f"{{{{{COMPONENT}}}}}", instant=True)])


def listing(title: str, text: str, *queries: Any, links: Any = ()) -> Any:
    """Return a table; ``links`` has a field's name and where its values lead."""
    made = tables.Panel()
    for name, link in links:
        made = made.override_by_name(name, [models.DynamicConfigValue("links", [link])])
    return panel(made, title, text, queries, (24, 9))
