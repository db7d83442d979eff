"""`tokentrace report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from tokentrace import _config
from tokentrace.analysis import Report, Session
from tokentrace.cli import options, showing
from tokentrace.cli.judging import Judging, judging
from tokentrace.errors import InputError

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace report                            what agents recorded in this folder\n\n"
    "tokentrace report run.jsonl.gz --last 5      the end of a conversation\n\n"
    "tokentrace report --json | jq .summary       for scripts\n\n"
    "tokentrace report --fail-on degraded         for CI: exit code 1 from this verdict on"
)


def report(
    paths: options.Paths = None,
    *,
    as_json: options.AsJson = False,
    session: options.Chosen = "",
    last: options.Last = None,
    explain: options.Explain = False,
    fail_on: options.FailOn = "",
    threshold: options.Settings = None,
    phase: options.Spans = None,
    schema: options.AsSchema = False,
) -> None:
    """Show turns: components, total, limit, delta, trend, guard and events; and the verdict."""
    from tokentrace.report import json, text

    if schema:
        typer.echo(json.schema(), nl=False)
        return
    by = judging(threshold or (), phase or (), fail_on)
    shown = _report(paths or [_home()], by, session, last, progress=not as_json)
    if as_json:
        typer.echo(json.render(shown), nl=False)
    else:
        text.render(shown, showing.Output(), by.thresholds if explain else None)
    raise typer.Exit(by.code(shown.verdict))


def _report(
    paths: Sequence[str], by: Judging, session: str, last: int | None, *, progress: bool
) -> Report:
    """Return what was recorded, judged as a whole, then cut to what is to be shown."""
    from tokentrace import analysis, readers

    problems = readers.Problems()
    with showing.bar(paths, wanted=progress) as seen:
        found = analysis.sessions(readers.read(paths, problems, seen))
    chosen = _chosen(found, session)
    judged = tuple(analysis.judge(one, by.thresholds, by.phases) for one in chosen)
    cut = chosen if last is None else tuple(one.last(last) for one in chosen)
    return Report(cut, problems, judged)


def _home() -> str:
    """Return the local trace folder; say what to do when there is none."""
    folder = _config.folder()
    if not Path(folder).exists():
        mend = "run an agent with tokentrace.instrument(), or `tokentrace demo`, or give a file"
        raise InputError("nothing is recorded here yet", source=folder, mend=mend)
    return folder


def _chosen(found: tuple[Session, ...], wanted: str) -> tuple[Session, ...]:
    """Return the sessions to show."""
    if wanted:
        exact = [one for one in found if one.id == wanted]
        begins = [one for one in found if one.id.startswith(wanted)]
        if not begins:
            mend = _near(wanted, found)
            raise InputError(f"no session {wanted!r}", source="--session", mend=mend)
        found = tuple(exact or begins)
    return found


def _near(wanted: str, found: Sequence[Session]) -> str:
    """Return what ids there are, those like ``wanted`` first."""
    from difflib import get_close_matches

    from tokentrace.report import safe

    ids = [one.id for one in found]
    near = get_close_matches(wanted, ids, n=3, cutoff=0.4) or ids[-3:]
    return f"there are {len(ids)}, e.g. {', '.join(safe(name) for name in near)}"
