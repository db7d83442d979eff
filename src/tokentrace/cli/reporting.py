"""`tokentrace report`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import typer

from tokentrace import _config
from tokentrace.analysis import Comparison, Judgement, Report, Session, Thresholds
from tokentrace.cli import options, pages, showing
from tokentrace.cli.judging import Judging, judging
from tokentrace.errors import InputError
from tokentrace.report.costs import Wanted

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace report                            what agents recorded in this folder\n\n"
    "tokentrace report run.jsonl.gz --last 5      the end of a conversation\n\n"
    "tokentrace report --html report.html         one page to look at or pass on\n\n"
    "tokentrace report --json | jq .summary       for scripts\n\n"
    "tokentrace report new --against old          what changed between two runs\n\n"
    "tokentrace report --fail-on degraded         for CI: exit code 1 from this verdict on"
)


def report(
    paths: options.Paths = None,
    *,
    as_json: options.AsJson = False,
    as_page: options.AsPage = "",
    markdown: options.AsMarkdown = False,
    against: options.Against = None,
    session: options.Chosen = "",
    last: options.Last = None,
    explain: options.Explain = False,
    cost: options.Cost = False,
    tools: options.Tools = False,
    fail_on: options.FailOn = "",
    threshold: options.Settings = None,
    phase: options.Spans = None,
    log_format: options.LogFormat = "",
    schema: options.AsSchema = False,
) -> None:
    """Show turns: components, total, limit, delta, trend, guard and events; and the verdict."""
    from tokentrace.report import json

    if schema:
        typer.echo(json.schema(), nl=False)
        return
    wanted = Wanted(cost=cost, tools=tools)
    _check(as_json, markdown, as_page, explain=explain, against=bool(against), wanted=wanted)
    quiet = as_json or markdown
    by = judging(threshold or (), phase or (), fail_on)
    read = partial(_read, log_format=log_format, progress=not quiet)
    found = read(paths or [_home()])
    base = _base(against, found, read) if against else None
    shown = _judged(Report(_chosen(_without(found, base), session), found.problems), by)
    compared = None if base is None else _compared(_judged(base, by), shown, session, by)
    cut = _cut(shown, last)
    if as_page:
        pages.page(cut, as_page, compared, priced=cost)
    if quiet or not as_page:
        _print(cut, compared, by.thresholds if explain else None, _form(as_json, markdown), wanted)
    raise typer.Exit(by.code(shown.verdict))


def _check(
    as_json: bool, markdown: bool, as_page: str, *, explain: bool, against: bool, wanted: Wanted
) -> None:
    """Raise InputError for options that say two things at once."""
    if as_json and markdown:
        raise InputError("not together with --markdown", source="--json")
    if explain and (markdown or against):
        other = "--markdown" if markdown else "--against"
        raise InputError(f"not together with {other}", source="--explain")
    if against and wanted != Wanted():
        asked = "--cost" if wanted.cost else "--tools"
        raise InputError("not together with --against", source=asked)
    if wanted.tools and markdown:
        raise InputError("not together with --markdown", source="--tools")
    if as_page == "-" and (as_json or markdown):
        raise InputError("one document at a time", source="--html -", mend="give --html a file")


def _form(as_json: bool, markdown: bool) -> str:
    return "json" if as_json else "markdown" if markdown else "text"


def _print(
    shown: Report,
    compared: Comparison | None,
    explained: Thresholds | None,
    form: str,
    wanted: Wanted,
) -> None:
    """Print a report, or what changed, in the form that was asked for."""
    from tokentrace.analysis import spending
    from tokentrace.report import comparing, json, markdown, text

    if form == "json":
        more: dict[str, Any] = {}
        if compared is not None:
            more["comparison"] = comparing.document(compared)
        if explained:
            more["explained"] = json.explained(shown)
        priced = spending.listed(wanted.cost)
        for piece in json.pieces({**json.document(shown, priced=priced), **more}):
            typer.echo(piece, nl=False)
    elif form == "markdown":
        told = markdown.render(shown, costs=wanted.cost) if compared is None else None
        plain = markdown.compared(compared) if compared is not None else told
        typer.echo(plain, nl=False)
    elif compared is None:
        text.render(shown, showing.Output(), explained, wanted)
    else:
        comparing.render(compared, showing.Output())


def _read(paths: Sequence[str], *, log_format: str, progress: bool) -> Report:
    from tokentrace import analysis, readers

    problems = readers.Problems()
    with showing.bar(paths, wanted=progress) as seen:
        records = readers.read(paths, problems, seen, log_format=log_format)
        found = analysis.sessions(records)
    return Report(found, problems, tuple(Judgement() for _ in found))


def _judged(found: Report, by: Judging) -> Report:
    """Return what was read with its verdicts."""
    from tokentrace import analysis

    judged = (analysis.judge(one, by.thresholds, by.phases) for one in found.sessions)
    return Report(found.sessions, found.problems, tuple(judged))


def _cut(report: Report, last: int | None) -> Report:
    """Return the last turns of each session, under the verdict of the whole."""
    if last is None:
        return report
    cut = tuple(one.last(last) for one in report.sessions)
    return Report(cut, report.problems, report.judgements)


# ── two runs ─────────────────────────────────────────────────────────────────────────────────────


def _base(
    against: Sequence[str], found: Report, reading: Callable[[Sequence[str]], Report]
) -> Report:
    """Return the run to compare with: files and folders, or sessions of what was read anyway."""
    paths = [one for one in against if Path(one).exists()]
    names = [one for one in against if one not in paths]
    known = tuple(one for name in names for one in _chosen(found.sessions, name, "--against"))
    if not paths:
        return Report(known, found.problems, tuple(Judgement() for _ in known))
    read = reading(paths)
    both = (*known, *read.sessions)
    return Report(both, read.problems, tuple(Judgement() for _ in both))


def _without(found: Report, base: Report | None) -> tuple[Session, ...]:
    """Return the sessions that were read, but for those that they are compared with."""
    others = set() if base is None else {id(one) for one in base.sessions}
    kept = tuple(one for one in found.sessions if id(one) not in others)
    if not kept:
        raise InputError("no session is left to compare with it", source="--against")
    return kept


def _compared(base: Report, shown: Report, wanted: str, by: Judging) -> Comparison:
    """Return what changed; a session that was asked for has its namesakes as partners, if any."""
    from tokentrace import analysis

    before = list(zip(base.sessions, base.judgements, strict=True))
    same = set(map(id, _matching(base.sessions, wanted)))
    kept = [one for one in before if id(one[0]) in same] or before
    return analysis.compare(
        kept, list(zip(shown.sessions, shown.judgements, strict=True)), by.phases
    )


# ── which sessions ───────────────────────────────────────────────────────────────────────────────


def _home() -> str:
    """Return the local trace folder; say what to do when there is none."""
    folder = _config.folder()
    if not Path(folder).exists():
        mend = "run an agent with tokentrace.instrument(), or `tokentrace demo`, or give a file"
        raise InputError("nothing is recorded here yet", source=folder, mend=mend)
    return folder


def _chosen(
    found: tuple[Session, ...], wanted: str, source: str = "--session"
) -> tuple[Session, ...]:
    """Return the sessions that were asked for, all where none were."""
    matching = _matching(found, wanted)
    if wanted and not matching:
        mend = _near(wanted, found)
        what = "no session" if source == "--session" else "no file, folder or session"
        raise InputError(f"{what} {wanted!r}", source=source, mend=mend)
    return matching


def _matching(found: Sequence[Session], wanted: str) -> tuple[Session, ...]:
    """Return the sessions of that id, else those whose ids begin so."""
    exact = tuple(one for one in found if wanted and one.id == wanted)
    return exact or tuple(one for one in found if one.id.startswith(wanted))


def _near(wanted: str, found: Sequence[Session]) -> str:
    """Return what ids there are, those like ``wanted`` first."""
    from difflib import get_close_matches

    from tokentrace.report import safe

    ids = [one.id for one in found]
    near = get_close_matches(wanted, ids, n=3, cutoff=0.4) or ids[-3:]
    return f"there are {len(ids)}, e.g. {', '.join(safe(name) for name in near)}"
