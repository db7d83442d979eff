"""The tables that can be asked: a row of this file a column. What a column holds is said once, here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tokentrace.analysis import Finding, Happening, Judgement, Session, Turn, summary
from tokentrace.prompt import CallRecord

VERSION = 1  # of all tables together: another one makes tables that were kept useless
MICRO = 1_000

TEXT, INTEGER, REAL, FLAG, TIME = "VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP"


class Row(NamedTuple):
    """What a row is made of; which of it is there depends on the table."""

    session: Session
    judged: Judgement
    turn: Turn
    one: Any = None
    total: Any = None


class Column(NamedTuple):
    """A column: its name, DuckDB's type, what it holds, and how it is had of a row."""

    name: str
    type: str
    text: str
    get: Callable[[Row], Any]


NO_TURN = Turn(0)
EMPTY = CallRecord()


def _time(nanoseconds: int) -> int | None:
    """Return microseconds since the epoch, None where the time is unknown or none."""
    return nanoseconds // MICRO if 0 < nanoseconds < 2**62 else None


def _main(row: Row) -> CallRecord:
    return row.turn.main or EMPTY


SESSION = Column("session", TEXT, "the session's id", lambda row: row.session.id)
TURN = Column("turn", INTEGER, "the turn's number", lambda row: row.turn.number)
SPAN = Column("span_id", TEXT, "of the call", lambda row: row.one[0].span_id)

TABLES: dict[str, tuple[Column, ...]] = {
    "sessions": (
        SESSION,
        Column("named", FLAG, "whether the agent gave the id", lambda row: row.session.named),
        Column("agent", TEXT, "who held it", lambda row: row.session.agent),
        Column("service", TEXT, "of OpenTelemetry", lambda row: row.session.service),
        Column("start", TIME, "when it began, UTC", lambda row: _time(row.session.start)),
        Column("verdict", TEXT, "healthy, degraded, failing or critical", lambda row: row.judged.verdict),
        Column("findings", INTEGER, "how many", lambda row: len(row.judged.findings)),
        Column("turns", INTEGER, "how many", lambda row: row.total.turns),
        Column("calls", INTEGER, "how many", lambda row: row.total.calls),
        Column("peak", INTEGER, "largest total of a turn, tokens", lambda row: row.total.peak),
        Column("utilization", REAL, "largest share of a limit", lambda row: row.total.utilization),
        Column("tokens", INTEGER, "input counted, all calls that were sent", lambda row: row.total.tokens),
        Column("reported", INTEGER, "input as reported", lambda row: row.total.reported),
        Column("output", INTEGER, "output as reported", lambda row: row.total.output),
        Column("warnings", INTEGER, "how many", lambda row: row.total.warnings),
        Column("exceeded", INTEGER, "prompts over the limit", lambda row: row.total.exceeded),
        Column("refusals", INTEGER, "how many", lambda row: row.total.refusals),
        Column("failures", INTEGER, "how many", lambda row: row.total.failures),
        Column("exclusions", INTEGER, "how many", lambda row: row.total.exclusions),
        Column("excluded_tokens", INTEGER, "of them", lambda row: row.total.excluded_tokens),
        Column("compressions", INTEGER, "how many", lambda row: row.total.compressions),
        Column("saved_tokens", INTEGER, "by them", lambda row: row.total.saved_tokens),
    ),
    "turns": (
        SESSION,
        TURN,
        Column("start", TIME, "when it began, UTC", lambda row: _time(row.turn.start)),
        Column("end", TIME, "when it ended, UTC", lambda row: _time(row.turn.end)),
        Column("calls", INTEGER, "how many, sub-agents' among them", lambda row: len(row.turn.calls)),
        Column("model", TEXT, "of the main call", lambda row: _main(row).model),
        Column("total", INTEGER, "input tokens of the main call", lambda row: row.turn.total),
        Column("method", TEXT, "how they were counted", lambda row: _main(row).method),
        Column("error", INTEGER, "± tokens", lambda row: _main(row).error),
        Column("limit", INTEGER, "of the main call", lambda row: row.turn.limit),
        Column("utilization", REAL, "total / limit", lambda row: row.turn.utilization),
        Column("delta", INTEGER, "tokens against the turn before", lambda row: row.turn.delta),
        Column("trend", TEXT, "increase, decrease or stable", lambda row: row.turn.trend),
        Column("decision", TEXT, "the guard's gravest", lambda row: row.turn.decision),
        Column("reported", INTEGER, "input of the main call as reported", lambda row: row.turn.reported),
        Column("drift", INTEGER, "reported - counted", lambda row: row.turn.drift),
    ),
    "calls": (
        SESSION,
        TURN,
        Column("trace_id", TEXT, "hex", lambda row: row.one.trace_id),
        Column("span_id", TEXT, "hex", lambda row: row.one.span_id),
        Column("main", FLAG, "whether it is its turn's main call", lambda row: row.one is row.turn.main),
        Column("agent", TEXT, "who called", lambda row: row.one.agent),
        Column("service", TEXT, "of OpenTelemetry", lambda row: row.one.service),
        Column("start", TIME, "UTC", lambda row: _time(row.one.start)),
        Column("duration_ms", REAL, "milliseconds", lambda row: max(0, row.one.end - row.one.start) / 1e6),
        Column("operation", TEXT, "chat, embeddings …", lambda row: row.one.operation),
        Column("provider", TEXT, "who was asked", lambda row: row.one.provider),
        Column("api", TEXT, "openai.chat …", lambda row: row.one.api),
        Column("model", TEXT, "as requested", lambda row: row.one.model),
        Column("lineage", TEXT, "calls that go on with one another", lambda row: row.one.lineage),
        Column("tokens", INTEGER, "input counted", lambda row: row.one.tokens),
        Column("method", TEXT, "how they were counted", lambda row: row.one.method),
        Column("error", INTEGER, "± tokens", lambda row: row.one.error),
        Column("tokenizer", TEXT, "vocabulary", lambda row: row.one.tokenizer),
        Column("limit", INTEGER, "largest input", lambda row: row.one.limit),
        Column("limit_source", TEXT, "where that is from", lambda row: row.one.limit_source),
        Column("utilization", REAL, "tokens / limit", lambda row: row.one.utilization),
        Column("decision", TEXT, "the guard's", lambda row: row.one.decision),
        Column("forecast", REAL, "turns until the limit", lambda row: row.one.forecast),
        Column("input", INTEGER, "as reported", lambda row: row.one.usage.input),
        Column("output", INTEGER, "as reported", lambda row: row.one.usage.output),
        Column("cache_read", INTEGER, "part of input", lambda row: row.one.usage.cache_read),
        Column("cache_write", INTEGER, "part of input", lambda row: row.one.usage.cache_write),
        Column("reasoning", INTEGER, "part of output", lambda row: row.one.usage.reasoning),
        Column("drift", INTEGER, "input reported - counted", lambda row: row.one.drift),
        Column("cost_usd", REAL, "of the input's components where known", lambda row: sum(row.one.costs.values()) if row.one.costs else None),
        Column("duplicate_tokens", INTEGER, "text that stands twice", lambda row: row.one.duplicate_tokens),
        Column("cache_broken_by", TEXT, "component that broke the cached prefix", lambda row: row.one.cache_broken_by),
        Column("error_type", TEXT, "empty where it went well", lambda row: row.one.error_type),
    ),
    "components": (
        SESSION,
        TURN,
        SPAN,
        Column("main", FLAG, "whether the call is its turn's main call", lambda row: row.one[0] is row.turn.main),
        Column("component", TEXT, "its name", lambda row: row.one[1]),
        Column("tokens", INTEGER, "they sum up to the call's", lambda row: row.one[2]),
        Column("cached_tokens", INTEGER, "of them", lambda row: row.one[0].cached.get(row.one[1])),
        Column("cost_usd", REAL, "where known", lambda row: row.one[0].costs.get(row.one[1])),
    ),
    "events": (
        SESSION,
        TURN,
        Column("time", TIME, "UTC", lambda row: _time(row.one.time)),
        Column("kind", TEXT, "excluded, compressed, warning, exceeded, refused …", lambda row: row.one.kind),
        Column("component", TEXT, "empty where it is the whole prompt", lambda row: row.one.name),
        Column("tokens", INTEGER, "left out, saved, or judged", lambda row: row.one.tokens),
        Column("before", INTEGER, "a compression", lambda row: row.one.before),
        Column("after", INTEGER, "a compression", lambda row: row.one.after),
        Column("limit", INTEGER, "what was judged against", lambda row: row.one.limit),
        Column("reason", TEXT, "why", lambda row: row.one.reason),
    ),
    "findings": (
        SESSION,
        Column("code", TEXT, "as in the list of findings", lambda row: row.one.code),
        Column("level", TEXT, "the verdict that it leads to", lambda row: row.one.level),
        Column("component", TEXT, "empty where it is the whole prompt", lambda row: row.one.component),
        Column("turns", INTEGER, "how many show it", lambda row: len(row.one.turns)),
        Column("first_turn", INTEGER, "number of the first of them", lambda row: min(row.one.turns, default=None)),
        Column("message", TEXT, "one sentence", lambda row: row.one.message),
    ),
}  # fmt: skip


def rows(session: Session, judged: Judgement) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a session, each with the table that it goes into."""
    whole = Row(session, judged, NO_TURN)
    yield "sessions", whole._replace(total=summary([session]))
    finding: Finding
    for finding in judged.findings:
        yield "findings", whole._replace(one=finding)
    for turn in session.turns:
        inside = Row(session, judged, turn)
        yield "turns", inside
        event: Happening
        for event in turn.events:
            yield "events", inside._replace(one=event)
        for call in turn.calls:
            yield "calls", inside._replace(one=call)
            for name, tokens in call.components.items():
                yield "components", inside._replace(one=(call, name, tokens))


def definition(table: str) -> str:
    """Return the statement that makes a table."""
    told = ", ".join(f'"{column.name}" {column.type}' for column in TABLES[table])
    return f"CREATE TABLE {table} ({told})"
