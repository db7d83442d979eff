"""`tokentrace report`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer

from tokentrace import _config
from tokentrace.analysis import Comparison, Gathered, Judgement, Report, Session, Thresholds
from tokentrace.cli import backends, options, pages, showing
from tokentrace.cli.judging import Judging, judging
from tokentrace.cli.streaming import Chosen, Telling
from tokentrace.errors import InputError
from tokentrace.readers import Problems
from tokentrace.readers.backends import Wanted, is_backend
from tokentrace.readers.spilling import Records
from tokentrace.report import costs

NEARBY = 2_000

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace report                            what agents recorded in this folder\n\n"
    "tokentrace report run.jsonl.gz --last 5      the end of a conversation\n\n"
    "tokentrace report --html report.html         one page to look at or pass on\n\n"
    "tokentrace report --json | jq .summary       for scripts\n\n"
    "tokentrace report new --against old          what changed between two runs\n\n"
    "tokentrace report jaeger:http://localhost:16686 --since 2h    from a back end\n\n"
    "tokentrace report --fail-on degraded         for CI: exit code 1 from this verdict on"
)


@backends.asking
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
    wanted: Wanted | None = None,
) -> None:
    """Show turns: components, total, limit, delta, trend, guard and events; and the verdict."""
    from tokentrace.report import json

    if schema:
        typer.echo(json.schema(), nl=False)
        return
    beside = costs.Wanted(cost=cost, tools=tools)
    _check(as_json, markdown, as_page, explain=explain, against=bool(against), beside=beside)
    by = judging(threshold or (), phase or (), fail_on)
    telling = Telling(_form(as_json, markdown, as_page), as_page, explain, beside)
    sources = paths or [home()]
    wanted = backends.question([*sources, *(against or ())], wanted, "" if against else session)
    reading = partial(
        read, log_format=log_format, progress=not (as_json or markdown), wanted=wanted
    )
    told = partial(_told, session=session, last=last, by=by, telling=telling)
    raise typer.Exit(by.code(told(sources, against or (), reading)))


def _told(
    sources: Sequence[str],
    against: Sequence[str],
    reading: Callable[..., Gathered],
    *,
    session: str,
    last: int | None,
    by: Judging,
    telling: Telling,
) -> str:
    """Read and tell; return the gravest verdict."""
    with collecting_less(), Records() as kept:
        problems = Problems()
        found = reading(sources, problems, kept)
        if found.spilled and not against:
            places = _places(found.ids, session)
            return telling.tell(Chosen(found, places, problems, by, last))
        plain = _unjudged(tuple(found), problems)
        base = _base(against, plain, reading) if against else None
        return _whole(plain, base, session, last, by=by, telling=telling)


@contextmanager
def collecting_less() -> Iterator[None]:
    """Look for garbage in cycles less often: records are many, and none of them is in a cycle."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _whole(
    found: Report,
    base: Report | None,
    session: str,
    last: int | None,
    *,
    by: Judging,
    telling: Telling,
) -> str:
    """Tell of sessions that are all in memory; return the gravest verdict."""
    kept = _without(found, base)
    shown = _judged(Report(chosen(kept, session), found.problems), by)
    compared = None if base is None else _compared(_judged(base, by), shown, session, by)
    cut = _cut(shown, last)
    if telling.page:
        pages.page(cut, telling.page, compared, priced=telling.beside.cost)
    if telling.form:
        explained = by.thresholds if telling.explain else None
        _print(cut, compared, explained, telling.form, telling.beside)
    return shown.verdict


def _check(
    as_json: bool,
    markdown: bool,
    as_page: str,
    *,
    explain: bool,
    against: bool,
    beside: costs.Wanted,
) -> None:
    """Raise InputError for options that say two things at once."""
    if as_json and markdown:
        raise InputError("not together with --markdown", source="--json")
    if explain and (markdown or against):
        other = "--markdown" if markdown else "--against"
        raise InputError(f"not together with {other}", source="--explain")
    if against and beside != costs.Wanted():
        asked = "--cost" if beside.cost else "--tools"
        raise InputError("not together with --against", source=asked)
    if beside.tools and markdown:
        raise InputError("not together with --markdown", source="--tools")
    if as_page == "-" and (as_json or markdown):
        raise InputError("one document at a time", source="--html -", mend="give --html a file")


def _form(as_json: bool, markdown: bool, as_page: str) -> str:
    """Return what is printed; nothing beside a page that was not asked for too."""
    return "json" if as_json else "markdown" if markdown else "" if as_page else "text"


def _print(
    shown: Report,
    compared: Comparison | None,
    explained: Thresholds | None,
    form: str,
    beside: costs.Wanted,
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
        priced = spending.listed(beside.cost)
        for piece in json.pieces({**json.document(shown, priced=priced), **more}):
            typer.echo(piece, nl=False)
    elif form == "markdown":
        told = markdown.render(shown, costs=beside.cost) if compared is None else None
        plain = markdown.compared(compared) if compared is not None else told
        typer.echo(plain, nl=False)
    elif compared is None:
        text.render(shown, showing.Output(), explained, beside)
    else:
        comparing.render(compared, showing.Output())


def read(
    paths: Sequence[str],
    problems: Problems,
    kept: Records,
    *,
    log_format: str,
    progress: bool,
    wanted: Wanted | None = None,
) -> Gathered:
    """Return the sessions of ``paths``, with a bar where it takes a while.

    Raises:
        InputError: nothing is there, or nothing that can be read.
    """
    from tokentrace import analysis, readers

    with showing.bar(paths, wanted=progress) as seen:
        records = readers.read(paths, problems, seen, log_format=log_format, wanted=wanted)
        return analysis.Gathered(records, kept)


def _unjudged(found: tuple[Session, ...], problems: Problems) -> Report:
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


def _base(against: Sequence[str], found: Report, reading: Callable[..., Gathered]) -> Report:
    """Return the run to compare with: files and folders, or sessions of what was read anyway."""
    paths = [one for one in against if is_backend(one) or Path(one).exists()]
    names = [one for one in against if one not in paths]
    known = tuple(one for name in names for one in chosen(found.sessions, name, "--against"))
    if not paths:
        return _unjudged(known, found.problems)
    problems = Problems()
    with Records() as kept:
        return _unjudged((*known, *reading(paths, problems, kept)), problems)


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
    kept = [before[place] for place in _matching([one.id for one, _ in before], wanted)] or before
    return analysis.compare(
        kept, list(zip(shown.sessions, shown.judgements, strict=True)), by.phases
    )


# ── which sessions ───────────────────────────────────────────────────────────────────────────────


def home() -> str:
    """Return the local trace folder; say what to do when there is none."""
    folder = _config.folder()
    if not Path(folder).exists():
        mend = "run an agent with tokentrace.instrument(), or `tokentrace demo`, or give a file"
        raise InputError("nothing is recorded here yet", source=folder, mend=mend)
    return folder


def chosen(
    found: tuple[Session, ...], wanted: str, source: str = "--session"
) -> tuple[Session, ...]:
    """Return the sessions that were asked for, all where none were."""
    return tuple(found[place] for place in _places([one.id for one in found], wanted, source))


def _places(ids: Sequence[str], wanted: str, source: str = "--session") -> Sequence[int]:
    """Return where the sessions stand that were asked for, all where none were."""
    matching = _matching(ids, wanted)
    if wanted and not matching:
        mend = _near(wanted, ids)
        what = "no session" if source == "--session" else "no file, folder or session"
        raise InputError(f"{what} {wanted!r}", source=source, mend=mend)
    return matching


def _matching(ids: Sequence[str], wanted: str) -> Sequence[int]:
    """Return the places of that id, else those of ids that begin so."""
    if not wanted:
        return range(len(ids))
    exact = [place for place, one in enumerate(ids) if one == wanted]
    return exact or [place for place, one in enumerate(ids) if one.startswith(wanted)]


def _near(wanted: str, ids: Sequence[str]) -> str:
    """Return what ids there are, those like ``wanted`` first."""
    from difflib import get_close_matches

    from tokentrace.report import safe

    likely = ids[-NEARBY:]  # of very many, looking at all would take minutes
    near = get_close_matches(wanted, likely, n=3, cutoff=0.4) or ids[-3:]
    return f"there are {len(ids)}, e.g. {', '.join(safe(name) for name in near)}"
