"""The report as one HTML page that stands by itself: no network, readable without script.

``render(report)`` returns the page, the same bytes for the same records. What a browser shows is
made twice and no more: tables and findings here, as plain HTML, and charts in ``page.js`` out of the
JSON that stands beside them. A content security policy lets nothing run or load but what is in the
page, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tokentrace import analysis
from tokentrace.analysis import Comparison, Report, Session, Summary, spending
from tokentrace.analysis.findings import Judgement, gravity
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
        session, total: it and what it adds up to.
        judgement: what it was found to be.
        body: its section of the page, empty where there was no room.
    """

    key: str
    session: Session
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
    look_up = spending.listed() if priced is None else priced
    entries = list(_filled(_ordered(report), look_up=look_up))
    total = analysis.summary(report.sessions)
    return filling.template("page.html").render(
        entries=entries[:LISTED],
        bodies={one.key: filling.raw(one.body) for one in entries if one.body},
        total_sessions=len(entries),
        unlisted=max(0, len(entries) - LISTED),
        left_out=sum(not one.body for one in entries),
        total=total,
        compared=compared,
        pairs=compared.pairs[:PAIRS] if compared else (),
        verdict=report.verdict,
        problems=report.problems,
        scripts=[(filling.raw(text), text_hash(text)) for text in map(_file, SCRIPTS)],
        licence=filling.raw(_file(LICENCE)),
        style=filling.raw(_style()),
        style_hash=text_hash(_style()),
    )


def text_hash(text: str) -> str:
    """Return the source expression of a policy that lets exactly ``text`` pass."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _ordered(report: Report) -> list[Entry]:
    """Return the sessions as they are listed: the gravest first, then the newest."""
    pairs = [*zip(report.sessions, report.judgements, strict=True)][::-1]
    pairs.sort(key=lambda pair: -gravity(pair[1].verdict))
    return [
        Entry(f"s{place}", session, analysis.summary([session]), judgement)
        for place, (session, judgement) in enumerate(pairs)
    ]


def _filled(entries: Sequence[Entry], *, look_up: bool) -> Iterator[Entry]:
    """Yield the sessions with their sections, as long as there is room."""
    palette = Palette()
    room = ROOM
    for entry in entries:
        body = _section(entry, palette, look_up=look_up) if room > 0 else ""
        room -= len(body)
        shown = body if room > 0 or entry is entries[0] else ""
        room = room if shown else 0
        yield Entry(entry.key, entry.session, entry.total, entry.judgement, shown)


def _section(entry: Entry, palette: Palette, *, look_up: bool) -> str:
    """Return a session's part of the page."""
    session = entry.session.last(TURNS)
    chart = embedding.chart(session, palette)
    sheet = spending.sheet(entry.session, look_up=look_up)
    return filling.template("session.html").render(
        entry=entry,
        session=session,
        older=len(entry.session.turns) - len(session.turns),
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
