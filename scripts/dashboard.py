"""Writes Grafana's dashboard, ``deploy/grafana/dashboards/tokentrace.json``.

    .venv/bin/python scripts/dashboard.py           # writes it
    .venv/bin/python scripts/dashboard.py --check   # exit 1 where it is not what would be written

The dashboard is built with Grafana's own SDK (grafana-foundation-sdk, Apache-2.0).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import barchart as barcharts
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders import heatmap as heatmaps
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heats
from grafana_foundation_sdk.models import prometheus as formats

from dashboard_panels import (
    CHOSEN,
    METRICS,
    NEAR,
    REFUSED,
    ROLES,
    SESSION,
    SHARE,
    ask,
    graph,
    key,
    listing,
    number,
    panel,
    ranking,
    share,
    step,
    total,
    trace,
)
from recording_rules import (
    BAND,
    BOTH,
    COMPONENT,
    DECISION,
    FAILURE,
    MODEL,
    REASON,
    RECORDED,
    SERVICE,
    TOP,
    keep,
)  # fmt: skip
from tokentrace import schema

DASHBOARD = TOP / "deploy" / "grafana" / "dashboards" / "tokentrace.json"


def heat() -> Any:
    """Return how full the windows were."""
    colour = heatmaps.HeatmapColorOptions().mode(heats.HeatmapColorMode.SCHEME).scheme("Oranges")
    made = heatmaps.Panel().calculate(False).color(colour).interval("1m")
    made = made.y_axis(heatmaps.YAxisConfig().unit("percentunit"))
    query = ask(step("utilization_bucket", "le"), "{{le}}", kind=formats.PromQueryFormat.HEATMAP)
    text = "Calls by counted input tokens over their limit, above 100 % is refused: from the agents' metrics."
    return panel(made, "How full the window was", text, [query])


def turns() -> Any:
    """Return one session's components, a bar a turn: the largest call of each."""
    numbers = [*map(key, ROLES), schema.TURN]
    options = [{"targetField": name, "destinationType": "number"} for name in numbers]
    grouped = {key(name): {"aggregations": ["max"], "operation": "aggregate"} for name in ROLES}
    grouped[schema.TURN] = {"aggregations": [], "operation": "groupby"}
    names = {f"{key(name)} (max)": name for name in ROLES}
    axis = [{"targetField": schema.TURN, "destinationType": "string"}]
    changes = (
        ("convertFieldType", {"conversions": options}),
        ("groupBy", {"fields": grouped}),
        ("sortBy", {"sort": [{"field": schema.TURN}]}),
        ("convertFieldType", {"conversions": axis}),
        ("organize", {"renameByName": names}),
    )
    made = barcharts.Panel().unit("short").stacking(kinds.StackingMode.NORMAL).x_field(schema.TURN)
    for name, settings in changes:
        made = made.with_transformation(models.DataTransformerConfig(id_val=name, options=settings))
    text = "A bar a turn, with the most that each component took in it. Name one session above."
    return panel(made, "A session, turn by turn", text, [trace(SESSION, *numbers)], (24, 10))


# ── the dashboard ────────────────────────────────────────────────────────────────────────────────

Row = tuple[str, list[Any]]


def now() -> Row:
    """Return the row of single numbers."""
    calls, tokens = total("calls"), total("input_tokens")
    off = " + ".join(share(total(f"input_drift_{way}"), tokens) for way in ("over", "under"))
    full = f"histogram_quantile(0.95, {total('utilization_bucket', 'le')})"
    lost = " + ".join(
        f"({total(name, where=OF_SERVICE)} or vector(0))"
        for name in ("telemetry_dropped", "internal_errors")
    )
    refused = total("calls", where=f"{CHOSEN},{REFUSED}")
    near = total("calls", where=f"{CHOSEN},{NEAR}")
    warn = ((0.02, "orange"), (0.05, "red"))
    return "In this time", [
        number("Calls", "LLM calls with a span, refused ones included.", calls),
        number("Input tokens", "Counted.", tokens),
        number("Cost", "Of calls with a known price.", total("cost_usd"), "currencyUSD"),
        number("Refused", "By the guard, before a byte left.", share(refused, calls), SHARE, *warn),
        number(
            "Near the limit", "At 90 % of it and above.", share(near, calls), SHARE, (0.2, "red")
        ),
        number("Fullest of 20", "Limit used, 95th percentile.", full, SHARE, (0.9, "red")),
        number("Drift", "Σ |reported − counted| over counted.", off, SHARE, *warn),
        number("Lost or failed", "Inside the agents.", lost, "short", (1, "red")),
    ]


def tokens_row() -> Row:
    """Return the row on components."""
    named = f"{{{{{COMPONENT}}}}}"
    each = (
        f"{step('named_component_tokens', COMPONENT)} / on () group_left () ({step('calls')} > 0)"
    )
    return "Where the tokens go", [
        graph(
            "Input tokens by component",
            "What was sent, split as counted. Names of your own are in `other`.",
            "short",
            ask(step("component_tokens", COMPONENT), named),
            bars=True,
        ),
        graph(
            "The average call by component",
            "Tokens of each component a call, with names of your own: from the agents' metrics.",
            "short",
            ask(each, named),
            bars=True,
        ),
        ranking(
            "Components by cost",
            "The ten that cost most, where prices are known; without names of your own.",
            "currencyUSD",
            f"sort_desc(topk(10, {total('component_cost_usd', COMPONENT)}))",
        ),
        ranking(
            "Components by tokens",
            "The ten largest, with names of your own: from the agents' metrics.",
            "short",
            f"sort_desc(topk(10, {total('named_component_tokens', COMPONENT)}))",
        ),
    ]


def limits_row() -> Row:
    """Return the row on limits and the guard."""
    near = share(step("calls", *BOTH, where=f"{CHOSEN},{NEAR}"), step("calls", *BOTH))
    legend = f"{{{{{SERVICE}}}}} {{{{{MODEL}}}}}"
    return "Limits and the guard", [
        heat(),
        graph(
            "Calls by how full the window was",
            "From the calls' spans: also where an agent sends no metrics.",
            "short",
            ask(step("calls", BAND), f"{{{{{BAND}}}}} %"),
            bars=True,
        ),
        graph(
            "Decisions of the guard",
            "ok, warn, compress, refuse, off.",
            "short",
            ask(step("calls", DECISION), f"{{{{{DECISION}}}}}"),
            bars=True,
        ),
        graph(
            "Share of calls near the limit",
            "At 90 % and above, refused ones included.",
            "percentunit",
            ask(near, legend),
        ),
    ]


def accuracy_row() -> Row:
    """Return the row on counts, durations and overhead."""
    whole = step("input_tokens", *BOTH)
    legend = f"{{{{{SERVICE}}}}} {{{{{MODEL}}}}}"

    def tail(name: str, by: tuple[str, ...]) -> str:
        chosen = CHOSEN if MODEL in by else f'{SERVICE}=~"$service"'
        return f"histogram_quantile(0.95, {step(name, 'le', *by, where=chosen)})"

    return "Can the numbers be trusted", [
        graph(
            "Drift",
            "What the provider reported beyond our count, and below it, over counted tokens.",
            "percentunit",
            ask(share(step("input_drift_over", *BOTH), whole), f"reported more: {legend}"),
            ask(share(step("input_drift_under", *BOTH), whole), f"reported less: {legend}"),
        ),
        graph(
            "Duration of calls, and what tokentrace added: 95th percentile",
            "From the agents' own metrics.",
            "s",
            ask(tail("duration_seconds_bucket", BOTH), f"call: {legend}"),
            ask(tail("overhead_seconds_bucket", (SERVICE,)), f"added: {{{{{SERVICE}}}}}"),
        ),
        graph(
            "Tokens as reported",
            "By the provider. What it read from its cache is part of the input.",
            "short",
            ask(step("usage_input_tokens"), "input"),
            ask(step("usage_cache_read_tokens"), "of it cached"),
            ask(step("usage_output_tokens"), "output"),
        ),
        graph(
            "Lost on the way",
            "Any of these means that a trace or a number is missing.",
            "short",
            *(
                ask(step(name, *by, where=where), f"{text} {{{{{by[-1]}}}}}")
                for name, by, where, text in LOSSES
            ),
            bars=True,
        ),
    ]


OF_SERVICE = f'{SERVICE}=~"$service"'
LOSSES = (
    ("telemetry_dropped", (SERVICE, REASON), OF_SERVICE, "agent dropped:"),
    ("internal_errors", (SERVICE, FAILURE), OF_SERVICE, "tokentrace failed:"),
    ("collector_refused_spans", ("receiver",), "", "Collector refused:"),
    ("collector_failed_spans", ("exporter",), "", "Collector could not send:"),
    ("collector_unqueued_spans", ("exporter",), "", "Collector had no room:"),
    ("collector_hurried_traces", ("instance",), "", "Collector forgot traces:"),
    ("tempo_truncated_attributes", ("scope",), "", "Tempo cut attributes:"),
    ("tempo_discarded_spans", ("reason",), "", "Tempo discarded:"),
)


def session_row() -> Row:
    """Return the row of one session, out of traces."""
    stopped = (
        f'resource.{schema.SERVICE_NAME} =~ "$service" && span.{schema.CONVERSATION} =~ "$session"'
        f' && span.{schema.DECISION} =~ "warn|compress|refuse"'
    )
    choose = {
        "title": "This session only",
        "url": "/d/tokentrace?var-session=${__value.raw}&${service:queryparam}&${__url_time_range}",
    }
    facts = (schema.CONVERSATION, schema.TURN, schema.REQUEST_MODEL, schema.TOKENS)
    more = (schema.METHOD, schema.DRIFT, schema.BAND, schema.DECISION, schema.USAGE_OUTPUT)
    why = (schema.LIMIT, schema.UTILIZATION, schema.DECISION, schema.COMPRESSED_TOKENS)
    return "One session (name it above; .* is all)", [
        turns(),
        listing(
            "Calls of the session",
            "A span id leads to the trace, a session's name to that session alone.",
            trace(SESSION, *facts, *more, schema.TREND, schema.DELTA),
            links=[(schema.CONVERSATION, choose)],
        ),
        listing(
            "Warned, compressed or refused",
            "Where the guard stepped in.",
            trace(stopped, *facts, *why),
            links=[(schema.CONVERSATION, choose)],
        ),
    ]


def alerts_row() -> Row:
    """Return the row of what fires."""
    firing = 'ALERTS{alertname=~"Tokentrace.*"}'
    query = ask(firing, instant=True, kind=formats.PromQueryFormat.TABLE)
    return "Alerts", [listing("Pending and firing", "From Prometheus' rules.", query)]


ROWS: tuple[Callable[[], Row], ...] = (
    *(now, tokens_row, limits_row, session_row, accuracy_row, alerts_row),
)


def chooser(name: str, shown: str) -> Any:
    """Return a variable with the values of a label."""
    query = f"label_values({RECORDED['calls'][0]}, {name})"
    everything = models.VariableOption(selected=True, text="All", value="$__all")
    return (
        dashboard.QueryVariable(shown)
        .label(shown.capitalize())
        .datasource(METRICS)
        .query({"query": query, "refId": "variable"})
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def text_box(name: str, start: str) -> Any:
    """Return a variable that is typed in."""
    option = models.VariableOption(selected=True, text=start, value=start)
    made = dashboard.TextBoxVariable(name).label(name.capitalize()).default_value(start)
    return made.current(option).options([option])


def build() -> Any:
    """Return the dashboard."""
    made = (
        dashboard.Dashboard("tokentrace")
        .uid("tokentrace")
        .description("Where every input token of LLM agents goes. Written by scripts/dashboard.py.")
        .tags(["llm", "tokens", "tokentrace"])
        .time("now-1h", "now")
        .timezone("browser")
        .refresh("1m")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("metrics").label("Metrics").type("prometheus"))
        .with_variable(dashboard.DatasourceVariable("traces").label("Traces").type("tempo"))
        .with_variable(chooser(SERVICE, "service"))
        .with_variable(chooser(MODEL, "model"))
        .with_variable(text_box("session", ".*"))
    )
    ids = count(1)
    for row in ROWS:
        title, panels = row()
        made = made.with_row(dashboard.Row(title).id(next(ids)))
        for one in panels:
            made = made.with_panel(one.id(next(ids)))
    return made.build()


if __name__ == "__main__":
    shown = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(build())
    sys.exit(keep(DASHBOARD, shown + "\n"))
