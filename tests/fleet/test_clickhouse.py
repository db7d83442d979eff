"""The schema and queries for ClickHouse, over rows made from real spans."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tokentrace import telemetry
from tokentrace.prompt import CallRecord

QUERIES = sorted(
    path.stem for path in Path(__file__).parents[2].glob("deploy/clickhouse/queries/*.sql")
)


@pytest.fixture
def calls(fleet):
    """Return the records of the LLM calls that the rows were made from."""
    records = map(telemetry.record_of, fleet)
    return [record for record in records if isinstance(record, CallRecord)]


def test_every_span_is_a_row_with_its_numbers(database, calls, fleet):
    """Columns computed from attributes hold what the records say, links and events are there."""
    rows = database.ask(
        "SELECT Session, Model, Turn, InputTokens, LimitTokens, Decision, Components, Drift, Cost "
        "FROM otel.otel_traces WHERE Counted ORDER BY Timestamp"
    )
    for row, call in zip(rows, calls, strict=True):
        assert row["Components"] == dict(call.components)
        assert sum(row["Components"].values()) == row["InputTokens"] == call.tokens
        assert (row["Session"], row["Model"]) == (call.session, call.model)
        assert (row["Turn"], row["LimitTokens"]) == (call.turn, call.limit)
        assert (row["Decision"], row["Drift"]) == (call.decision, call.drift)
        assert row["Cost"] == call.cost
    (all_of_them,) = database.ask(
        "SELECT count() AS spans, sum(length(Links.TraceId)) AS links, sum(length(Events.Name)) AS events "
        "FROM otel.otel_traces"
    )
    assert all_of_them["spans"] == len(fleet)
    assert all_of_them["links"] == sum(len(span.links) for span in fleet) > 0
    assert all_of_them["events"] == sum(len(span.events) for span in fleet) > 0


def test_a_trace_is_found_by_its_id(database, fleet):
    """The table that the exporter's companion view fills knows each trace."""
    (row,) = database.ask("SELECT uniqExact(TraceId) AS traces FROM otel.otel_traces_trace_id_ts")
    assert row["traces"] == len({span.context.trace_id for span in fleet})


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_answers(database, name):
    """Each query runs, and has something to say about these agents."""
    assert database.run(name)


def test_tokens_by_component(database, calls):
    """A day's tokens are those of all calls, and shares add up to the whole."""
    rows = database.run("tokens_by_component")
    wanted = Counter()
    for call in calls:
        wanted.update(call.components)
    assert sum(row["input_tokens"] for row in rows) == sum(wanted.values())
    seen = Counter()
    for row in rows:
        seen[row["component"]] += row["input_tokens"]
    assert seen == wanted
    assert wanted["memory"] > 0


def test_near_limit(database, calls):
    """The two agents with a small limit are listed, the refused one first; the other is not."""
    rows = database.run("near_limit")
    assert [row["Session"] for row in rows] == ["batch-1", "devops-1"]
    newest = [call for call in calls if call.session == "devops-1"][-1]
    assert rows[1]["input_tokens"] == newest.tokens
    assert (rows[1]["turns"], rows[1]["limit_tokens"]) == (3, 140)


def test_refusals(database, calls):
    """One call was refused; the others were not."""
    rows = database.run("refusals")
    (refused,) = (call for call in calls if call.decision == "refuse")
    assert sum(row["refused"] for row in rows) == 1
    assert sum(row["calls"] for row in rows) == len(calls) == 6
    assert max(row["largest_excess"] for row in rows) == refused.tokens - 50


def test_drift(database, calls):
    """Drift is told by model and method, of the calls that reported usage."""
    (row,) = database.run("drift")
    drifts = sorted(call.drift for call in calls if call.drift is not None)
    assert (row["model"], row["calls"]) == ("gpt-4o", len(drifts))
    assert row["largest"] == max(map(abs, drifts))
    assert row["percent_outside"] == 100


def test_cache_misses(database):
    """The devops agent's third call read nothing, where its second had read 64 tokens."""
    (row,) = database.run("cache_misses")
    assert (row["Session"], row["turn"]) == ("devops-1", 3)
    assert (row["cached_before"], row["paid_again"]) == (64, 110)


def test_top_tools(database, calls):
    """The one tool's definition is summed over all calls."""
    (row,) = database.run("top_tools")
    wanted = sum(
        detail.tokens for call in calls for detail in call.details if detail.component == "tools"
    )
    assert (row["tool"], row["definition_tokens"], row["calls"]) == ("kubectl", wanted, len(calls))


def test_sessions(database, calls):
    """Each session has its calls, turns and cost; the largest comes first."""
    rows = database.run("sessions")
    for row in rows:
        paid = [c.cost for c in calls if c.session == row["Session"] and c.cost is not None]
        assert row["cost_usd"] == (pytest.approx(sum(paid)) if paid else None)
    assert sum(row["cost_usd"] is not None for row in rows) == 2  # the refused one cost nothing
    assert {row["Session"]: row["calls"] for row in rows} == Counter(c.session for c in calls)
    assert rows[0]["input_tokens"] == max(row["input_tokens"] for row in rows)
    assert rows[0]["agents"] == [rows[0]["Session"].removesuffix("-1")]


def test_large_traces(database, fleet):
    """A turn is a trace of its span and its call."""
    rows = database.run("large_traces")
    assert {row["spans"] for row in rows} == {2}
    assert sum(row["spans"] for row in rows) == len(fleet)
    assert all(1_000 < row["bytes"] < 10_000 for row in rows)
