"""`tokentrace report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tokentrace import _config
from tokentrace.analysis import Report, Session
from tokentrace.cli import showing
from tokentrace.errors import InputError

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace report                            what agents recorded in this folder\n\n"
    "tokentrace report run.jsonl.gz --last 5      the end of a conversation\n\n"
    "tokentrace report --json | jq .summary       for scripts"
)

LogFormat = Annotated[
    str,
    typer.Option(
        metavar="FILE", help="A TOML file that describes the lines of another agent's log."
    ),
]


def report(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="OTLP-JSON files, folders of them, logs of agents, or - for standard input. "
            "Default: the local trace folder.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    session: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Only the session with this id, or those whose ids begin so."
        ),
    ] = "",
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the last N turns of each session.")
    ] = None,
    log_format: LogFormat = "",
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of --json and leave.")
    ] = False,
) -> None:
    """Show turns: components, total, limit, delta, trend, guard and events."""
    from tokentrace.report import json, text

    if schema:
        typer.echo(json.schema(), nl=False)
        return
    found = _read(paths or [_home()], log_format, progress=not as_json)
    shown = Report(_chosen(found.sessions, session, last), found.problems)
    if as_json:
        typer.echo(json.render(shown), nl=False)
    else:
        text.render(shown, showing.Output())


def _read(paths: Sequence[str], log_format: str, *, progress: bool) -> Report:
    from tokentrace import analysis, readers

    problems = readers.Problems()
    with showing.bar(paths, wanted=progress) as seen:
        found = analysis.sessions(readers.read(paths, problems, seen, log_format=log_format))
    return Report(found, problems)


def _home() -> str:
    """Return the local trace folder; say what to do when there is none."""
    folder = _config.folder()
    if not Path(folder).exists():
        mend = "run an agent with tokentrace.instrument(), or `tokentrace demo`, or give a file"
        raise InputError("nothing is recorded here yet", source=folder, mend=mend)
    return folder


def _chosen(found: tuple[Session, ...], wanted: str, last: int | None) -> tuple[Session, ...]:
    """Return the sessions to show."""
    if wanted:
        exact = [one for one in found if one.id == wanted]
        begins = [one for one in found if one.id.startswith(wanted)]
        if not begins:
            mend = _near(wanted, found)
            raise InputError(f"no session {wanted!r}", source="--session", mend=mend)
        found = tuple(exact or begins)
    return found if last is None else tuple(one.last(last) for one in found)


def _near(wanted: str, found: Sequence[Session]) -> str:
    """Return what ids there are, those like ``wanted`` first."""
    from difflib import get_close_matches

    from tokentrace.report import safe

    ids = [one.id for one in found]
    near = get_close_matches(wanted, ids, n=3, cutoff=0.4) or ids[-3:]
    return f"there are {len(ids)}, e.g. {', '.join(safe(name) for name in near)}"
