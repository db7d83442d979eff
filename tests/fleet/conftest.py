"""Spans of a small fleet of agents, and a ClickHouse inside this process that holds them as rows."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import openai
import pytest

import tokentrace
from tokentrace.providers import prices
from tokentrace.testing import Reply, Wire, capture, openai_chat

TOP = Path(__file__).parents[2]
CLICKHOUSE = TOP / "deploy" / "clickhouse"

KUBECTL = {
    "type": "function",
    "function": {
        "name": "kubectl",
        "description": "Runs kubectl with arguments and returns what it prints.",
        "parameters": {"type": "object", "properties": {"args": {"type": "string"}}},
    },
}


def answered(tokens: int, cached: int = 0) -> Reply:
    """Return an answer that reports usage, some of it read from the cache."""
    reply = openai_chat("All is well.", prompt_tokens=tokens)
    reply.body["usage"]["prompt_tokens_details"]["cached_tokens"] = cached
    return reply


# What happens to the one session of each agent: reported tokens, those of them that were cached.
USAGE = {"devops": [(90, 0), (100, 64), (110, 0)], "support": [(60, 32), (60, 32)], "batch": []}


@pytest.fixture(scope="session")
def fleet():
    """Return the finished spans of three agents: one near its limit, one well off, one refused."""
    wire = Wire(*(answered(*usage) for calls in USAGE.values() for usage in calls))
    client = openai.OpenAI(api_key="test", http_client=wire.client("openai"))
    guards = {
        "devops": tokentrace.Guard(limit={"gpt-4o": 140}, thresholds=(1,)),
        "support": tokentrace.Guard(limit={"gpt-4o": 10_000}),
        "batch": tokentrace.Guard(limit={"gpt-4o": 50}, on_exceed="raise"),
    }
    prices.load()  # now: calls that end before it is loaded bear no cost
    with capture(service_name="fleet") as captured, warnings.catch_warnings(action="ignore"):
        for agent, calls in USAGE.items():
            for number in range(max(1, len(calls))):
                text = f"Question {number} about the cluster, with some words around it. " * (
                    number + 2
                )
                _turn(client, agent, guards[agent], text)
    return captured.spans


def _turn(client, agent, guard, text):
    """Have an agent ask once, with a tool, in a turn of its session."""
    name = tokentrace.session(f"{agent}-1", agent=agent, guard=guard)
    with name, tokentrace.turn(), suppress(tokentrace.TokenLimitExceeded):
        memory = tokentrace.tag("memory", "The user prefers short answers in English.")
        messages = [
            {"role": "system", "content": f"You look after things. {memory}"},
            {"role": "user", "content": text},
        ]
        client.chat.completions.create(model="gpt-4o", messages=messages, tools=[KUBECTL])


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


def written(value):
    """Return an attribute's value as the exporter writes it: all texts, lists as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def texts(attributes):
    return {key: written(value) for key, value in (attributes or {}).items()}


def when(nanoseconds):
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09d}"


def row(span):
    """Return a span as the exporter's row."""
    scope, status = span.instrumentation_scope, span.status.status_code.name
    return {
        "Timestamp": when(span.start_time),
        "TraceId": f"{span.context.trace_id:032x}",
        "SpanId": f"{span.context.span_id:016x}",
        "ParentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
        "TraceState": "",
        "SpanName": span.name,
        "SpanKind": span.kind.name.title(),
        "ServiceName": span.resource.attributes["service.name"],
        "ResourceAttributes": texts(span.resource.attributes),
        "ScopeName": scope.name,
        "ScopeVersion": scope.version or "",
        "SpanAttributes": texts(span.attributes),
        "Duration": span.end_time - span.start_time,
        "StatusCode": status.title(),
        "StatusMessage": span.status.description or "",
        "Events.Timestamp": [when(event.timestamp) for event in span.events],
        "Events.Name": [event.name for event in span.events],
        "Events.Attributes": [texts(event.attributes) for event in span.events],
        "Links.TraceId": [f"{link.context.trace_id:032x}" for link in span.links],
        "Links.SpanId": [f"{link.context.span_id:016x}" for link in span.links],
        "Links.TraceState": ["" for _ in span.links],
        "Links.Attributes": [texts(link.attributes) for link in span.links],
    }


class Database:
    """ClickHouse in this process, with our schema and the fleet's spans."""

    def __init__(self, session, spans):
        self._session = session
        for statement in (CLICKHOUSE / "schema.sql").read_text().split(";\n"):
            if statement.strip():
                session.query(statement)
        self.columns = list(row(spans[0]))
        names = ", ".join(f"`{name}`" for name in self.columns)
        lines = "\n".join(json.dumps(row(span)) for span in spans)
        session.query(f"INSERT INTO otel.otel_traces ({names}) FORMAT JSONEachRow\n{lines}")

    def ask(self, sql):
        """Return the rows of a query, one dict each, numbers as numbers."""
        answer = self._session.query(
            f"{sql.strip().removesuffix(';')} SETTINGS output_format_json_quote_64bit_integers=0",
            "JSONEachRow",
        )
        return [json.loads(line) for line in str(answer).splitlines() if line]

    def run(self, name):
        """Return the rows of one of the queries that come with the schema."""
        return self.ask((CLICKHOUSE / "queries" / f"{name}.sql").read_text())


@pytest.fixture(scope="session")
def database(fleet, tmp_path_factory):
    session = pytest.importorskip("chdb.session", reason="chdb is not installed: nox -s fleet")
    opened = session.Session(str(tmp_path_factory.mktemp("clickhouse")))
    opened.query("SET session_timezone = 'UTC'")
    yield Database(opened, fleet)
    opened.close()
