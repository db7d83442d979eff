"""The report as one HTML page that stands by itself: no network, readable without script.

``render(report)`` returns the page, the same bytes for the same records. What a browser shows is
made twice and no more: tables and findings here, as plain HTML, and charts in ``page.js`` out of the
JSON that stands beside them. A content security policy lets nothing run or load but what is in the
page, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from tokentrace import analysis
from tokentrace.analysis import Comparison, Report, Session, Summary, spending
from tokentrace.analysis.findings import Judgement
from tokentrace.analysis.tally import Best, Tally
from tokentrace.readers import Problems
from tokentrace.report.html import embedding, filling
from tokentrace.report.html.colours import Palette

ROOM = 2_000_000  # bytes of sessions shown in full; the first is always in
TURNS = 2_000  # of one session, the newest
LISTED = 1_000  # sessions in the list
PAIRS = 50  # sessions compared with those of another run
SCRIPTS = ("early.js", "vendor/uPlot.iife.min.js", "page.js")  # the first in the head
LICENCE = "vendor/LICENSE-uPlot.txt"
STYLES = ("vendor/uPlot.min.css", "page.css")


@dataclass(frozen=True, slots=True)
class Entry:
    """A session in the list.

    Attributes:
        key: its anchor in the page.
        session: it, with its turns only where it is shown in full.
        start: when it began, in ns since the epoch.
        total: what it adds up to.
        judgement: what it was found to be.
        body: its section of the page, empty where there was no room.
    """

    key: str
    session: Session
    start: int
    total: Summary
    judgement: Judgement
    body: str = ""


def render(
    report: Report, compared: Comparison | None = None, *, priced: bool | None = None
) -> str:
    """Return the page, with what changed since another run where ``compared`` is given.

    Args:
        report: what to show.
        compared: what changed.
        priced: look prices up; by default where the list is there and not switched off.
    """
    tally, listed = listing()
    for session, judged in zip(report.sessions, report.judgements, strict=True):
        tally.add(session, judged)
    find = report.sessions.__getitem__
    return page(tally, listed, find, report.problems, compared, priced=priced)


def listing() -> tuple[Tally, Best]:
    """Return what is to be told of each session, and what keeps those that the page lists."""
    listed = Best(LISTED, lambda entry: entry.newest)
    return Tally(listed), listed


def page(
    tally: Tally,
    listed: Iterable[analysis.Entry],
    session: Callable[[int], Session],
    problems: Problems,
    compared: Comparison | None = None,
    *,
    priced: bool | None = None,
) -> str:
    """Return the page of sessions that were told of.

    Args:
        tally: all of them.
        listed: those in the list, in its order.
        session: gives the whole session at a place, for the few that are shown in full.
        problems: what was skipped while reading.
        compared: what changed since another run.
        priced: see `render`.
    """
    look_up = spending.listed() if priced is None else priced
    entries = list(_filled([*listed], session, look_up=look_up))
    return filling.template("page.html").render(
        entries=entries,
        bodies={one.key: filling.raw(one.body) for one in entries if one.body},
        total_sessions=tally.count,
        unlisted=tally.count - len(entries),
        left_out=tally.count - sum(bool(one.body) for one in entries),
        total=tally.summary,
        compared=compared,
        pairs=compared.pairs[:PAIRS] if compared else (),
        verdict=tally.verdict,
        problems=problems,
        scripts=[(filling.raw(text), text_hash(text)) for text in map(_file, SCRIPTS)],
        licence=filling.raw(_file(LICENCE)),
        style=filling.raw(_style()),
        style_hash=text_hash(_style()),
    )


def text_hash(text: str) -> str:
    """Return the source expression of a policy that lets exactly ``text`` pass."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _filled(
    listed: Sequence[analysis.Entry], session: Callable[[int], Session], *, look_up: bool
) -> Iterator[Entry]:
    """Yield the sessions with their sections, as long as there is room."""
    palette = Palette()
    room = ROOM
    for rank, one in enumerate(listed):
        entry = Entry(f"s{rank}", one.session, one.start, one.total, one.judgement)
        whole = session(one.place) if room > 0 else None
        body = _section(entry, whole, palette, look_up=look_up) if whole else ""
        room -= len(body)
        shown = body if room > 0 or not rank else ""
        room = room if shown else 0
        yield replace(entry, body=shown)


def _section(entry: Entry, whole: Session, palette: Palette, *, look_up: bool) -> str:
    """Return a session's part of the page."""
    session = whole.last(TURNS)
    chart = embedding.chart(session, palette)
    sheet = spending.sheet(whole, look_up=look_up)
    return filling.template("session.html").render(
        entry=replace(entry, session=whole),
        session=session,
        older=len(whole.turns) - len(session.turns),
        chart=chart,
        sheet=sheet,
        places={turn.number: place for place, turn in reversed([*enumerate(session.turns)])},
        happened=sum(len(turn.events) for turn in session.turns),
        data=filling.raw(embedding.data(session, entry.judgement, chart)),
    )


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _style() -> str:
    return "\n".join(map(_file, STYLES))
