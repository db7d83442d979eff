"""Cells and columns of the tables in a terminal: one function a kind of value."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from tokentrace.analysis import wording
from tokentrace.analysis.findings import CRITICAL, DEGRADED, FAILING, HEALTHY
from tokentrace.analysis.shapes import (
    COMPRESSED,
    DISAGREEMENT,
    EXCEEDED,
    EXCLUDED,
    FAILED,
    LOW,
    REFUSED,
    WARNING,
    Turn,
)
from tokentrace.report import safe

GAP = 2  # between columns
LEAST = 8  # cells of a column of text that is cut
HEADING = 12
WATCHED, CLOSE = 0.8, 0.95  # shares of the limit that are coloured
ARROWS = {"increase": "▲", "decrease": "▼", "stable": "="}
STYLES = {"warn": "yellow", "compress": "cyan", "refuse": "bold red", "off": "dim"}
EVENT_STYLES = {
    EXCLUDED: "blue",
    COMPRESSED: "cyan",
    WARNING: "yellow",
    EXCEEDED: "red",
    REFUSED: "bold red",
    FAILED: "bold red",
    LOW: "dim",
    DISAGREEMENT: "yellow",
}
VERDICT_STYLES = {HEALTHY: "green", DEGRADED: "yellow", FAILING: "red", CRITICAL: "bold red"}
percent = wording.percent
many = wording.many


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: heading lines, and a cell for each turn."""

    heading: str
    cells: Sequence[Text]
    left: bool = False

    @property
    def width(self) -> int:
        """Terminal cells that it needs."""
        lines = (*self.heading.split("\n"), *(cell.plain for cell in self.cells))
        return max(cell_len(line) for line in lines)


def table(columns: Sequence[Column], width: int | None = None) -> Table:
    """Return columns as a table without lines; within a ``width`` texts are cut, and no number is."""
    shown = columns if width is None else _fitted(columns, width)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for one in shown:
        table.add_column(
            one.heading, justify="left" if one.left else "right", no_wrap=True, vertical="bottom"
        )
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*row)
    return table


def listed(
    names: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    left: Container[str],
    width: int | None = None,
) -> Table:
    """Return rows as such a table, under their columns' names; ``left`` are those that hold texts."""
    columns = [
        Column(name, [one if isinstance(one, Text) else Text(one) for one in column], name in left)
        for name, *column in zip(names, *rows, strict=True)
    ]
    return table(columns, width)


def _fitted(columns: Sequence[Column], width: int) -> list[Column]:
    """Return columns of which those of text are cut, the widest first, until a row fits."""
    excess = sum(column.width + GAP for column in columns) - GAP - width
    room = {at: column.width for at, column in enumerate(columns) if column.left}
    while excess > 0 and max(room.values(), default=0) > LEAST:
        room[max(room, key=lambda at: room[at])] -= 1
        excess -= 1
    return [_narrowed(one, room.get(at, one.width)) for at, one in enumerate(columns)]


def _narrowed(column: Column, width: int) -> Column:
    if column.width <= width:
        return column
    shown = [cell.copy() for cell in column.cells]
    for cell in shown:
        cell.truncate(width, overflow="ellipsis")
    return Column(cut(column.heading, width), shown, column.left)


def numbers(heading: str, values: Iterable[int | None]) -> Column:
    """Return a column of integers; zeros are dim, what is not known is a dash."""
    return Column(heading, [_number(value) for value in values])


def _number(value: int | None) -> Text:
    if value is None:
        return Text("-", "dim")
    return Text(f"{value:,}", "" if value else "dim")


def heading(name: str) -> str:
    """Return a component's name in lines of at most 12 cells, cut at its own borders."""
    text = safe(name).removeprefix("section.")
    if cell_len(text) <= HEADING - 4:
        return text
    pieces = text.replace("_", "_\0").replace(".", ".\0").replace("-", "-\0").split("\0")
    rows = [""]
    for piece in filter(None, pieces):
        joined = rows[-1] + piece
        rows = [*rows[:-1], joined] if cell_len(joined) <= HEADING - 4 else [*rows, piece]
    kept = [row for row in rows if row]
    return "\n".join(cut(row, HEADING) for row in ([*kept[:2], "…"] if len(kept) > 3 else kept))


def total(turn: Turn) -> Text:
    """Return the turn's tokens, with a ``~`` where they are no sure number."""
    if turn.main is None:
        return Text("-", "dim")
    return Text(f"{'' if turn.exact else '~'}{turn.total:,}", "bold")


def share(share: float | None) -> Text:
    """Return a share of the limit, in the colour of its danger."""
    return Text("-", "dim") if share is None else Text(percent(share), _heat(share))


def _heat(share: float) -> str:
    return "red" if share >= CLOSE else "yellow" if share >= WATCHED else "green"


def delta(turn: Turn) -> Text:
    """Return the change against the turn before, and its arrow."""
    if turn.delta is None:
        return Text("-", "dim")
    style = {"decrease": "green", "stable": "dim"}.get(turn.trend, "")
    return Text(f"{turn.delta:+,} {ARROWS.get(turn.trend, ' ')}", style)


def guard(turn: Turn) -> Text:
    """Return the guard's decision."""
    return Text(safe(turn.decision) or "-", STYLES.get(turn.decision, "dim"))


def signed(value: int | None) -> Text:
    """Return a number with its sign."""
    return (
        Text("-", "dim")
        if value is None
        else Text(f"{value:+,}" if value else "0", "" if value else "dim")
    )


def sums(turn: Turn, kind: str) -> Text:
    """Return how many events of a kind there were, and their tokens."""
    found = turn.of(kind)
    tokens = sum(event.tokens for event in found)
    return Text(f"{len(found)} ({tokens:,})", EVENT_STYLES[kind]) if found else Text("-", "dim")


def compressions(turn: Turn) -> Text:
    """Return ``before→after`` of a turn's compression; of several, how many and what they saved."""
    found = turn.of(COMPRESSED)
    if not found:
        return Text("-", "dim")
    first = found[0]
    if len(found) == 1 and first.before is not None and first.after is not None:
        return Text(f"{first.before:,}→{first.after:,}", EVENT_STYLES[COMPRESSED])
    saved = sum(event.tokens for event in found)
    return Text(f"{len(found)} ({-saved:,})", EVENT_STYLES[COMPRESSED])


def output(turn: Turn) -> int | None:
    """Return the output tokens of all calls, None where nobody reported any."""
    known = [call.usage.output for call in turn.calls if call.usage.output is not None]
    return sum(known) if known else None


def bar(share: float | None, cells: int = 10) -> Text:
    """Return a share as a bar of ``cells`` blocks, full at the limit."""
    if share is None:
        return Text("-", "dim")
    filled = min(cells, round(cells * share))
    return Text("█" * filled, _heat(share)).append("░" * (cells - filled), "dim")


def cut(text: str, room: int) -> str:
    """Return ``text`` in at most ``room`` terminal cells."""
    if cell_len(text) <= room:
        return text
    while text and cell_len(text) > room - 1:
        text = text[:-1]
    return f"{text}…"
