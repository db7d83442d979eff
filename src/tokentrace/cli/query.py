"""`tokentrace query`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tokentrace.cli import options, showing
from tokentrace.cli.judging import Judging, judging
from tokentrace.cli.reporting import collecting_less, home, read
from tokentrace.errors import InputError

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    'tokentrace query "select model, count(*), avg(tokens) from calls group by all"\n\n'
    'tokentrace query "select * from sessions order by peak desc limit 5" traces/ --json\n\n'
    'tokentrace query --parquet "from components" run.jsonl --csv > components.csv\n\n'
    "tokentrace query --schema                    what tables and columns there are"
)


def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One SELECT, as DuckDB has it.", show_default=False)
    ] = "",
    paths: options.Paths = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list of objects.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    parquet: Annotated[
        bool,
        typer.Option(
            "--parquet", help="Keep the tables as Parquet beside PATH, and take them from there."
        ),
    ] = False,
    log_format: options.LogFormat = "",
    schema: Annotated[
        bool, typer.Option("--schema", help="Print tables and columns and leave.")
    ] = False,
) -> None:
    """Ask sessions, turns, calls, components, events and findings in SQL."""
    from tokentrace.query import engine
    from tokentrace.report import answers

    if schema:
        _schema()
        return
    if as_json and as_csv:
        raise InputError("not together with --csv", source="--json")
    engine.check(sql)
    with tempfile.TemporaryDirectory(prefix="tokentrace-") as folder:
        file = Path(folder) / "tables.duckdb"
        quiet = as_json or as_csv
        _fill(file, paths or [home()], log_format, keep=parquet, quiet=quiet)
        with engine.locked(file) as connection:
            found = engine.ask(connection, sql)
            if not quiet:
                answers.render(found.names, found, showing.Output())
                return
            for piece in (answers.as_json if as_json else answers.as_csv)(found.names, found):
                typer.echo(piece, nl=False)


def _fill(file: Path, paths: Sequence[str], log_format: str, *, keep: bool, quiet: bool) -> None:
    """Make the database: out of tables that were kept, or out of records."""
    from tokentrace.query import cache, engine

    by = judging((), (), "")
    folder = cache.place(paths) if keep else None
    known = cache.facts(paths, (by.thresholds, by.phases, log_format)) if folder else {}
    skipped = cache.skipped(folder, known) if folder else None
    if folder and skipped is not None:
        engine.restore(file, folder)
    else:
        skipped = _made(file, paths, log_format, by, quiet=quiet)
        if folder:
            cache.keep(file, folder, known, skipped)
    if skipped:
        from tokentrace.report import cells

        typer.echo(f"tokentrace: {cells.many(skipped, 'damaged record')} skipped", err=True)


def _made(file: Path, paths: Sequence[str], log_format: str, by: Judging, *, quiet: bool) -> int:
    """Fill a database out of records; return how much was skipped."""
    from tokentrace import analysis
    from tokentrace.query import engine
    from tokentrace.readers import Problems
    from tokentrace.readers.spilling import Records

    problems = Problems()
    with collecting_less(), Records() as kept:
        found = read(paths, problems, kept, log_format=log_format, progress=not quiet)

        def judged() -> Iterator[tuple[analysis.Session, analysis.Judgement]]:
            with showing.counting("tables", len(found), wanted=not quiet) as step:
                for session in found:
                    yield session, analysis.judge(session, by.thresholds, by.phases)
                    step(1)

        engine.fill(file, judged())
    return problems.count


def _schema() -> None:
    from tokentrace.query.tables import TABLES

    for table, columns in TABLES.items():
        typer.echo(table)
        for column in columns:
            typer.echo(f"  {column.name:<17} {column.type:<10} {column.text}")
