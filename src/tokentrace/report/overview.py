"""Many sessions in a terminal: what they add up to, and a line for each of the worst."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokentrace.analysis import Judgement, Session, spending
from tokentrace.analysis.tally import Best, Entry, Tally
from tokentrace.report import cells, words

LISTED = 20
CODES = 12


def told(
    sessions: Iterable[tuple[Session, Judgement]], *, priced: bool = False
) -> tuple[Tally, Best]:
    """Return what sessions add up to, with what they cost if asked, and the worst of them."""
    worst = Best(LISTED, lambda entry: entry.badness)
    tally = Tally(worst, last=LISTED)
    for session, judged in sessions:
        sheet = spending.sheet(session, look_up=spending.listed(asked=True)) if priced else None
        tally.add(session, judged, sheet)
    return tally, worst


def render(tally: Tally, worst: Best, console: Console) -> None:
    """Print sums, the worst sessions and the findings of all."""
    for line in _sums(tally):
        console.print(Text(line), soft_wrap=True)
    console.print()
    console.print(table(worst, console))
    more = tally.count - len(list(worst))
    hint = "The first of them follows; --session ID shows another, --json and --html more."
    console.print(Text(f"and {more:,} more sessions. {hint}", "dim"), soft_wrap=True)
    console.print()
    _codes(tally, console)


def _sums(tally: Tally) -> list[str]:
    total = tally.summary
    sent = f"{total.tokens:,} input tokens counted"
    reported = f", {total.reported:,} reported (drift {total.drift:+,})" if total.reported else ""
    share = (
        ""
        if total.utilization is None
        else f", at most {cells.percent(total.utilization)} of a limit"
    )
    happened = {
        "warning": total.warnings, "call over the limit": total.exceeded, "refusal": total.refusals,
        "failure": total.failures, "exclusion": total.exclusions, "compression": total.compressions,
    }  # fmt: skip
    counted = [cells.many(count, what) for what, count in happened.items() if count]
    return [
        f"{cells.many(tally.count, 'session')} · {cells.many(total.turns, 'turn')}, {cells.many(total.calls, 'call')}",
        f"{sent}{reported}, {total.output:,} output",
        f"peak {total.peak:,}{share}",
        *([" · ".join(counted)] if counted else []),
    ]


def table(entries: Iterable[Entry], console: Console) -> Table:
    """Return a line a session, in the order that is given."""
    shown = list(entries)
    room = max(12, console.width - 56)
    sums = [one.total for one in shown]
    verdicts = [one.judgement.verdict for one in shown]
    titles = [Text(cells.cut(words.title(one.session), room), "bold") for one in shown]
    return cells.table(
        [
            cells.Column("session", titles, left=True),
            cells.Column(
                "verdict", [Text(one, cells.VERDICT_STYLES[one]) for one in verdicts], left=True
            ),
            cells.numbers("turns", [one.turns for one in sums]),
            cells.numbers("calls", [one.calls for one in sums]),
            cells.numbers("peak", [one.peak for one in sums]),
            cells.Column("used", [cells.share(one.utilization) for one in sums]),
            cells.numbers("warned", [one.warnings for one in sums]),
            cells.numbers("refused", [one.refusals for one in sums]),
        ]
    )


def _codes(tally: Tally, console: Console) -> None:
    """Print in how many sessions each finding is, the gravest first."""
    found = tally.codes.heaviest()
    if not found:
        return
    console.print(
        cells.table(
            [
                cells.Column("finding", [Text(code) for code, *_ in found[:CODES]], left=True),
                cells.Column(
                    "up to",
                    [Text(level, cells.VERDICT_STYLES[level]) for _, level, _ in found[:CODES]],
                    left=True,
                ),
                cells.numbers("sessions", [count for *_, count in found[:CODES]]),
            ]
        )
    )
    if len(found) > CODES:
        console.print(Text(f"and {len(found) - CODES} more kinds", "dim"))
    console.print()
