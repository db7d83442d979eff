"""A report on more records than memory holds: one walk over the sessions, each let go of at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import typer

from tokentrace.analysis import Best, Gathered, Judgement, Session, Tally, spending
from tokentrace.analysis.spending import Sheet
from tokentrace.cli import pages, showing
from tokentrace.cli.judging import Judging
from tokentrace.readers import Problems
from tokentrace.report.costs import Wanted

OFTEN = 256  # sessions between two looks at the progress bar


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sessions that a report is on.

    Attributes:
        found: all sessions.
        places: of those that are shown, in order.
        problems: what was skipped while reading.
        by: how they are judged.
        last: how many turns of each are shown, None for all.
    """

    found: Gathered
    places: Sequence[int]
    problems: Problems
    by: Judging
    last: int | None = None

    def cut(self, place: int) -> Session:
        """Return the session at a place of those that are shown, with the turns that are shown."""
        return self._cut(self.found.build(self.places[place]))

    def _cut(self, session: Session) -> Session:
        return session if self.last is None else session.last(self.last)

    def judged(self, *, quiet: bool) -> Iterator[tuple[Session, Judgement]]:
        """Yield each session as it is shown, and its verdict as a whole."""
        from tokentrace import analysis

        with showing.counting("judging", len(self.places), wanted=not quiet) as step:
            for done, place in enumerate(self.places, 1):
                session = self.found.build(place)
                yield (
                    self._cut(session),
                    analysis.judge(session, self.by.thresholds, self.by.phases),
                )
                if not done % OFTEN:
                    step(OFTEN)


@dataclass(slots=True)
class Telling:
    """What is told of the sessions: the forms that were asked for, filled in one walk.

    Attributes:
        form: ``text``, ``json`` or ``markdown``; empty for none.
        page: where the HTML page goes, empty for none.
        explain: whether findings are explained.
        beside: what is told beside the turns.
    """

    form: str
    page: str = ""
    explain: bool = False
    beside: Wanted = field(default_factory=Wanted)
    _stack: ExitStack = field(default_factory=ExitStack)

    def tell(self, chosen: Chosen) -> str:
        """Print or write all of it; return the gravest verdict."""
        from tokentrace.report import html, overview

        worst = Best(overview.LISTED, lambda entry: entry.badness)
        listed = Best(html.LISTED if self.page else 0, lambda entry: entry.newest)
        tally = Tally(worst, listed, last=overview.LISTED)
        look_up = spending.listed(self.beside.cost)
        counted = self.beside.cost or self.form == "json"
        with self._stack:
            spools = self._spools()
            for session, judged in chosen.judged(quiet=self.form in {"json", "markdown"}):
                sheet = spending.sheet(session, look_up=look_up) if counted else None
                tally.add(session, judged, sheet)
                if spools and sheet is not None:
                    _spool(spools, session, judged, sheet)
            if self.page:
                parts = tally, listed, chosen.cut, chosen.problems
                pages.made(lambda: html.page(*parts, priced=look_up), self.page)
            self._print(chosen, tally, worst, spools)
        return tally.verdict

    def _spools(self) -> dict[str, Any]:
        from tokentrace.report.spooling import Spool

        names = ("sessions", *(["explained"] if self.explain else []))
        kept = names if self.form == "json" else ()
        return {name: self._stack.enter_context(Spool()) for name in kept}

    def _print(self, chosen: Chosen, tally: Tally, worst: Best, spools: dict[str, Any]) -> None:
        from tokentrace.report import json, markdown, text

        if self.form == "json":
            held = json.framed(tally, spools["sessions"], chosen.problems)
            for piece in json.pieces({**held, **spools}):
                typer.echo(piece, nl=False)
        elif self.form == "markdown":
            told = markdown.told(tally, chosen.problems.count, costs=self.beside.cost)
            typer.echo(told, nl=False)
        elif self.form:
            output = showing.Output()
            explained = chosen.by.thresholds if self.explain else None
            text.told(tally, worst, chosen.cut, output, explained, wanted=self.beside)
            text.problems(chosen.problems, output)


def _spool(spools: dict[str, Any], session: Session, judged: Judgement, sheet: Sheet) -> None:
    from tokentrace.report import json

    spools["sessions"].add(json.item(session, judged, sheet))
    if "explained" in spools:
        spools["explained"].add(json.explanation(session))
