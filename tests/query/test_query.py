"""`tokentrace query`: the tables, what may be asked of them, and the forms of an answer."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tokentrace import schema
from tokentrace.cli import app
from tokentrace.errors import InputError
from tokentrace.prompt import CallRecord, Event, Usage
from tokentrace.query import cache, engine, tables
from tokentrace.readers import spilling
from tokentrace.report import answers

duckdb = pytest.importorskip("duckdb")

SECOND = 10**9
BEGIN = 1_760_000_000 * SECOND


def value(raw):
    kind = {int: "intValue", float: "doubleValue", str: "stringValue"}[type(raw)]
    return {kind: str(raw) if kind == "intValue" else raw}


def attributes(pairs):
    return [{"key": key, "value": value(raw)} for key, raw in pairs.items()]


def line(record):
    """Return a call as a line of OTLP-JSON."""
    events = [
        {"name": one.name, "timeUnixNano": str(one.time),
         "attributes": attributes(schema.dump_event(one.name, one.attributes))}
        for one in record.events
    ]  # fmt: skip
    span = {
        "traceId": record.trace_id, "spanId": record.span_id, "name": "chat gpt-5",
        "startTimeUnixNano": str(record.start), "endTimeUnixNano": str(record.end),
        "attributes": attributes(schema.dump(record)), "events": events,
    }  # fmt: skip
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}) + "\n"


def call(session, turn, tokens):
    place = session * 100 + turn
    events = ()
    if tokens > 900:
        told = {"tokens": tokens, "limit": 1_000, "decision": "warn"}
        events = (Event(schema.LIMIT_WARNING, told, BEGIN + turn * SECOND),)
    return CallRecord(
        trace_id=f"{place:032x}", span_id=f"{place:016x}", start=BEGIN + turn * SECOND,
        end=BEGIN + turn * SECOND + SECOND // 2, model="gpt-5", session=f"s-{session}", turn=turn,
        lineage=f"l{session}", tokens=tokens, method="exact", limit=1_000, decision="ok", events=events,
        components={"history": tokens - 50, "system": 50}, cached={"system": 40},
        costs={"system": 0.25, "history": 0.5}, usage=Usage(tokens + 1, 7),
    )  # fmt: skip


@pytest.fixture
def traces(tmp_path):
    """Two sessions of three turns; one of them comes near its limit."""
    path = tmp_path / "run.jsonl"
    sizes = {1: (100, 200, 300), 2: (500, 800, 950)}
    calls = [
        call(session, turn, tokens)
        for session, own in sizes.items()
        for turn, tokens in enumerate(own, 1)
    ]
    path.write_text("".join(map(line, calls)), encoding="utf-8")
    return path


def run(*words):
    return CliRunner().invoke(app, ["query", *map(str, words)], prog_name="tokentrace")


def asked(sql, path, *options):
    """Return an answer's rows as objects."""
    result = run(sql, path, "--json", *options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def test_the_tables_hold_what_was_recorded(traces):
    """Each table has its rows, and they agree with one another and with the records."""
    count = "select " + ", ".join(f"(select count(*) from {one}) {one}" for one in tables.TABLES)
    (found,) = asked(count, traces)
    findings = found.pop("findings")
    assert found == {"sessions": 2, "turns": 6, "calls": 6, "components": 12, "events": 1}
    assert findings == asked("select sum(findings)::int n from sessions", traces)[0]["n"] > 0
    same = "select c.tokens = (select sum(tokens) from components k where k.span_id = c.span_id) ok"
    assert asked(f"{same}, cost_usd from calls c", traces) == [{"ok": True, "cost_usd": 0.75}] * 6
    (row,) = asked("select * from turns where session = 's-2' and turn = 2", traces)
    assert (row["total"], row["delta"], row["trend"]) == (800, 300, "increase")
    assert row["start"] == "2025-10-09T08:53:22"
    (event,) = asked("select * from events", traces)
    assert (event["kind"], event["tokens"], event["limit"]) == ("warning", 950, 1_000)


def test_tables_out_of_a_file_are_those_out_of_memory(traces, monkeypatch):
    """Records that were spilled make the same tables."""
    everything = [f"from {table} order by all" for table in tables.TABLES]
    whole = [asked(sql, traces) for sql in everything]
    monkeypatch.setattr(spilling, "MOST", 2)
    monkeypatch.setattr(engine, "BATCH", 2)
    assert [asked(sql, traces) for sql in everything] == whole


def test_the_schema_names_every_column():
    """--schema prints each table and column with its type, and asks for no file."""
    result = run("--schema")
    assert result.exit_code == 0
    for table, columns in tables.TABLES.items():
        assert f"{table}\n" in result.stdout
        for column in columns:
            assert f"  {column.name} " in result.stdout


# ── what may be asked ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sql", [
    "", ";", "selec", "select foo from calls", "select 1; select 2", "drop table calls",
    "delete from calls", "copy calls to 'x.csv'", "attach 'x.db'", "set lock_configuration=false",
    "install httpfs", "pragma enable_profiling", "create table x as select 1", "select * from traces",
    "select * from read_text('/etc/hostname')", "from read_csv('/etc/hostname')", "from glob('/*')",
    "from '/etc/hostname'", "from read_parquet('/tmp/x.parquet')", "select getenv('HOME')",
])  # fmt: skip
def test_anything_but_a_select_of_the_tables_is_one_clear_line(sql, traces):
    """Bad SQL and SQL that reaches for more than the tables end with one line and exit code 2."""
    result = run(sql, traces)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("tokentrace: SQL: ")
    assert result.stderr.count("\n") == 1


def test_sql_is_looked_at_before_anything_is_read(tmp_path):
    """A slip is told at once, not after minutes of reading."""
    result = run("select foo from calls", tmp_path / "missing.jsonl")
    assert "foo" in result.stderr


def test_an_error_in_the_middle_of_an_answer_is_one_clear_line(traces):
    """What shows itself only with the rows is told in the same way."""
    result = run("select cast(session as int) from sessions", traces)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_two_forms_at_once_and_a_missing_file(traces):
    """Options that say two things, and a path that is none, are told of."""
    assert run("from calls", traces, "--json", "--csv").exit_code == 2
    assert "no such file" in run("from calls", traces.parent / "none").stderr


@pytest.mark.parametrize("library", ["duckdb", "pyarrow"])
def test_without_the_library_the_extra_is_named(library, traces, monkeypatch):
    """Where a library is missing, the message says what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    result = run("from calls", traces)
    assert result.exit_code == 2
    assert "tokentrace[query]" in result.stderr


# ── forms ────────────────────────────────────────────────────────────────────────────────────────


def test_a_table_a_csv_and_a_list(traces):
    """The same answer in each form."""
    sql = "select session, max(total) as most from turns group by all order by all"
    assert asked(sql, traces) == [{"session": "s-1", "most": 300}, {"session": "s-2", "most": 950}]
    rows = list(csv.reader(io.StringIO(run(sql, traces, "--csv").stdout)))
    assert rows == [["session", "most"], ["s-1", "300"], ["s-2", "950"]]
    shown = run(sql, traces).stdout
    assert [one.split() for one in shown.splitlines()] == [*rows, ["2", "rows"]]


def test_no_rows_are_an_answer_too(traces):
    """An empty answer is an empty list, a head, or no rows."""
    sql = "from calls where tokens > 9999"
    assert asked(sql, traces) == []
    assert run(sql, traces, "--csv").stdout.startswith("session,turn,")
    assert "0 rows" in run(sql, traces).stdout


def test_odd_values_are_written_as_json_and_csv_can():
    """Times, decimals, bytes, lists and what is no number have a form; a text stays on its line."""
    row = (
        datetime(2026, 1, 2, tzinfo=UTC), timedelta(seconds=1.5), Decimal("1.5"), math.nan,
        b"\x01", [1, {"a": math.inf}], True, None, "a\x1b[31m\nb", 10**20,
    )  # fmt: skip
    names = list("abcdefghij")
    (held,) = json.loads("".join(answers.as_json(names, [row])))
    assert held == {
        "a": "2026-01-02T00:00:00+00:00", "b": 1.5, "c": 1.5, "d": None, "e": "01",
        "f": [1, {"a": None}], "g": True, "h": None, "i": "a\x1b[31m\nb", "j": 10**20,
    }  # fmt: skip
    (_, told) = csv.reader(io.StringIO("".join(answers.as_csv(names, [row])), newline=""))
    assert told[3:8] == ["", "01", '[1, {"a": null}]', "true", ""]
    file = io.StringIO()
    answers.render(names, [row], Console(file=file, width=200))
    assert "\x1b" not in file.getvalue()


def test_a_terminal_shows_the_first_rows_and_says_so(traces):
    """Of a long answer the first rows are shown."""
    shown = run("select i, i / 3 as part from range(1000) t(i)", traces).stdout
    assert shown.count("\n") == answers.SHOWN + 2
    assert "the first 200 rows" in shown


# ── tables that are kept ─────────────────────────────────────────────────────────────────────────


def test_parquet_is_kept_and_taken_as_long_as_it_is_fresh(traces, monkeypatch):
    """The second question reads no trace; a file that has grown is read again."""
    first = asked("from calls order by all", traces, "--parquet")
    folder = cache.place([str(traces)])
    assert {one.name for one in folder.iterdir()} == {
        *(f"{table}.parquet" for table in tables.TABLES), cache.ABOUT,
    }  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr("tokentrace.cli.query._made", None)
        assert asked("from calls order by all", traces, "--parquet") == first
    with traces.open("a", encoding="utf-8") as file:
        file.write(line(call(3, 1, 60)))
    assert len(asked("from calls", traces, "--parquet")) == len(first) + 1


def test_what_was_skipped_is_told_out_of_parquet_as_well(traces):
    """Damage is not forgotten by what is kept."""
    with traces.open("a", encoding="utf-8") as file:
        file.write('{"resourceSpans": [{\n')
    for _ in range(2):
        assert "1 damaged record skipped" in run("from calls", traces, "--parquet").stderr


def test_a_folder_keeps_its_tables_inside(traces):
    """Of a folder the tables lie in a folder of it, and are no trace of their own."""
    folder = traces.parent
    assert len(asked("from calls", folder, "--parquet")) == 6
    assert (folder / cache.INSIDE / "calls.parquet").is_file()
    assert len(asked("from calls", folder, "--parquet")) == 6


def test_damaged_parquet_and_standard_input_are_told_of(traces):
    """Tables that are none, and a source that cannot be come back to, end in one line."""
    asked("from calls", traces, "--parquet")
    (cache.place([str(traces)]) / "calls.parquet").write_bytes(b"none")
    assert "remove the folder" in run("from calls", traces, "--parquet").stderr
    assert "standard input" in run("from calls", "-", "--parquet").stderr


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path):
    """Where no folder can be made, the reason is given."""
    (tmp_path / "kept").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        cache.keep(tmp_path / "none.duckdb", tmp_path / "kept" / "x", {}, 0)
