"""DuckDB over the tables: filled once, then locked, then asked. Heavy imports stand inside.

What is asked is somebody's SQL: it sees our tables and nothing else. Access to files, to the network, to
extensions, to variables of this process and to the configuration itself is off before it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokentrace.analysis import Judgement, Session
from tokentrace.errors import InputError
from tokentrace.query.tables import FLAG, INTEGER, REAL, TABLES, TEXT, TIME, Row, definition, rows

MISSING = "pip install 'tokentrace[query]'"
BATCH = 20_000  # rows of a table put in at once
FETCHED = 1_000
MEMORY = "400MB"  # what is more goes to the folder of the data
LONGEST = 400  # characters of what DuckDB says of a statement
FILLING = {"threads": "2", "memory_limit": MEMORY, "preserve_insertion_order": "true"}
LOCKED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "2",
    "memory_limit": MEMORY,
    "lock_configuration": "true",
}


def modules() -> tuple[Any, Any]:
    """Return DuckDB and PyArrow.

    Raises:
        InputError: one of them is not installed.
    """
    try:
        import duckdb
        import pyarrow as pa
    except ImportError as error:
        text = f"needs {error.name}, which is not installed"
        raise InputError(text, source="query", mend=MISSING) from None
    return duckdb, pa


def fill(file: Path, sessions: Iterable[tuple[Session, Judgement]]) -> None:
    """Make a database of sessions.

    Args:
        file: the database, which does not exist yet.
        sessions: with what each was found to be.
    """
    duckdb, pa = modules()
    types = {
        TEXT: pa.string(), INTEGER: pa.int64(), REAL: pa.float64(),
        FLAG: pa.bool_(), TIME: pa.timestamp("us"),
    }  # fmt: skip
    shapes = {
        table: pa.schema([(column.name, types[column.type]) for column in columns])
        for table, columns in TABLES.items()
    }
    waiting: dict[str, list[Row]] = {table: [] for table in TABLES}
    with duckdb.connect(str(file), config=FILLING) as connection:

        def put(table: str) -> None:
            held, waiting[table] = waiting[table], []
            arrays = [
                pa.array(_column(held, column.get), types[column.type]) for column in TABLES[table]
            ]
            batch = pa.Table.from_arrays(arrays, schema=shapes[table])
            connection.register("batch", batch)
            connection.execute(f"INSERT INTO {table} SELECT * FROM batch")  # noqa: S608 - our names
            connection.unregister("batch")

        for table in TABLES:
            connection.execute(definition(table))
        for session, judged in sessions:
            for table, row in rows(session, judged):
                waiting[table].append(row)
            for table, held in waiting.items():
                if len(held) >= BATCH:
                    put(table)
        for table in TABLES:
            put(table)


def _column(held: Sequence[Row], get: Any) -> list[Any]:
    """Return a column; a text that is no Unicode, the name of a file say, has marks in it instead."""
    return [_sound(get(row)) for row in held]


def _sound(value: Any) -> Any:
    if type(value) is not str or value.isascii():
        return value
    return value.encode("utf-8", "replace").decode()


def export(file: Path, folder: Path) -> None:
    """Write each table of a database as a Parquet file into ``folder``.

    Raises:
        OSError: it cannot be written there.
    """
    duckdb, _ = modules()
    with duckdb.connect(str(file), read_only=True) as connection:
        for table in TABLES:
            target = _quoted(folder / f"{table}.parquet")
            try:
                connection.execute(f"COPY {table} TO {target} (FORMAT parquet, COMPRESSION zstd)")
            except duckdb.IOException as error:
                raise OSError(_first_line(error)) from None


def restore(file: Path, folder: Path) -> None:
    """Make a database of the Parquet files in ``folder``.

    Raises:
        InputError: one of them is none.
    """
    duckdb, _ = modules()
    with duckdb.connect(str(file), config=FILLING) as connection:
        for table in TABLES:
            source = _quoted(folder / f"{table}.parquet")
            connection.execute(definition(table))
            try:
                connection.execute(f"INSERT INTO {table} SELECT * FROM read_parquet({source})")  # noqa: S608 - our names
            except duckdb.Error as error:
                mend = "remove the folder; it is made anew"
                raise InputError(_first_line(error), source=str(folder), mend=mend) from None


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


class Answer:
    """The rows that a statement gives, in pieces.

    Attributes:
        names: of the columns.
    """

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.names: list[str] = [one[0] for one in cursor.description]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        duckdb, _ = modules()
        try:
            while found := self._cursor.fetchmany(FETCHED):
                yield from found
        except duckdb.Error as error:
            raise InputError(_first_line(error), source="SQL") from None


def check(statement: str) -> None:
    """See whether a statement fits the tables, before anything is read.

    Raises:
        InputError: it does not, or it is no single SELECT.
    """
    duckdb, _ = modules()
    with duckdb.connect(":memory:", config={**LOCKED, "lock_configuration": "false"}) as empty:
        for table in TABLES:
            empty.execute(definition(table))
        _run(empty, _select(statement), "EXPLAIN ")


def ask(connection: Any, statement: str) -> Answer:
    """Run one SELECT.

    Raises:
        InputError: it is none, or DuckDB cannot run it.
    """
    return Answer(_run(connection, _select(statement)))


def _select(statement: str) -> str:
    """Return the one statement that a text holds.

    Raises:
        InputError: it is no SELECT, or there are more, or none.
    """
    duckdb, _ = modules()
    try:
        found = duckdb.extract_statements(statement)
    except duckdb.Error as error:
        raise InputError(_first_line(error), source="SQL") from None
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        text = "one SELECT is wanted" if found else "no statement"
        mend = f"tables are {', '.join(TABLES)}; --schema shows their columns"
        raise InputError(text, source="SQL", mend=mend)
    return str(found[0].query)


def _run(connection: Any, statement: str, before: str = "") -> Any:
    duckdb, _ = modules()
    try:
        return connection.execute(f"{before}{statement}")
    except duckdb.Error as error:
        raise InputError(_first_line(error), source="SQL") from None


def locked(file: Path) -> Any:
    """Open a database to be asked: read-only, and nothing but it in reach."""
    duckdb, _ = modules()
    config = {**LOCKED, "temp_directory": str(file.with_suffix(".tmp"))}
    return duckdb.connect(str(file), read_only=True, config=config)


def _first_line(error: Exception) -> str:
    """Return what DuckDB says without its picture of the statement."""
    told = re.split(r"\n[^\S\n]*+LINE \d+:", str(error))[0]
    return re.sub(r"\s+", " ", told).strip()[:LONGEST]
