"""What the figures are shown as: tables in a terminal, tables and charts in the docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import charts
from environments import TOP
from goals import GOALS, judged, plain
from instrumentations import WAYS
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

DOCS = TOP / "docs"
PAGE = DOCS / "performance.md"
CALL_CHART, COUNT_CHART = "cost-of-a-call.svg", "cost-of-counting.svg"
SIZES = (10, 100, 1_000, 5_000)
COUNTERS = ("tokentrace", "tiktoken", "litellm", "tokencost")
TURNS = 25
Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: above it.
        heads: of the columns; all but the first hold figures.
        rows: cells.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return it for the docs."""
        rule = ("---", *("---:" for _ in self.heads[1:]))
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.heads, rule, *self.rows))

    def rich(self) -> RichTable:
        """Return it for a terminal."""
        table = RichTable(title=self.title, title_justify="left")
        for place, head in enumerate(self.heads):
            table.add_column(head, justify="right" if place else "left", overflow="fold")
        for cells in self.rows:
            table.add_row(*map(coloured, cells))
        return table


def coloured(cell: str) -> Text:
    """Return a cell; a verdict has a colour."""
    style = "green" if cell == "met" else "red" if cell.startswith("missed") else ""
    return Text(cell.replace("`", ""), style=style)


def goals_table(found: Found) -> Table:
    """Return every goal with what was measured."""
    rows = tuple(one.cells for one in judged(found["rows"], GOALS))
    return Table("Goals", ("work", "measured", "goal", "held"), rows)


def calls_table(found: Found) -> Table:
    """Return what each instrumentation adds to a call."""
    rows = []
    for way in WAYS:
        row = found["rows"].get(f"a call with {way.name}")
        if row:
            figures = [plain(row[str(size)]) for size in SIZES]
            figures.append(plain(row["later"]) if "later" in row else "–")
            rows.append((way.name, "yes" if way.content else "no", *figures))
    sizes = (f"{size:,}" for size in SIZES)
    heads = ("ms of CPU added to a call, by messages", "texts kept", *sizes, "metrics, later")
    return Table("What an instrumentation adds to a call", heads, tuple(rows))


def counting_table(found: Found) -> Table:
    """Return what each counter takes for a conversation that grows."""
    rows = []
    for name in COUNTERS:
        cells = [name]
        for label in ("200K", "1M"):
            row = found["rows"].get(f"25 turns to {label} tokens, {name}")
            cells += [plain(row["ms"]), plain(row["ratio"])] if row else ["–", "–"]
        if set(cells[1:]) != {"–"}:
            rows.append(tuple(cells))
    heads = (f"{TURNS} turns, ms of CPU", "to 200K", "× once", "to 1M", "× once")
    return Table("What counting takes", heads, tuple(rows))


def real_table(found: Found) -> Table:
    """Return what a call of the real SDK takes with and without tokentrace."""
    rows = []
    for size in SIZES:
        row = found["rows"].get(f"call, {size} messages")
        if row:
            keys = ("bare_ms", "added_thread_ms", "added_process_ms")
            rows.append((f"{size:,}", *(plain(row[key]) for key in keys)))
    heads = ("messages", "without, ms", "added, of the thread", "added, of the process")
    return Table("The real SDK over a mock transport, medians", heads, tuple(rows))


def tables(found: Found) -> tuple[Table, ...]:
    """Return all tables that have rows."""
    made = (goals_table, calls_table, counting_table, real_table)
    return tuple(table for table in (make(found) for make in made) if table.rows)


def taken(found: Found) -> str:
    """Return when and on what the figures were taken."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    how = "`python bench --quick`" if found["quick"] else "`python bench`"
    return (
        f"{how} on {found['date']}, Python {found['python']}, {found['cores']} shared cores with a load "
        f"of {found['load']}: {versions}."
    )


def show(found: Found, console: Console) -> None:
    """Print the tables."""
    for table in tables(found):
        console.print(table.rich())
    console.print(taken(found).replace("`", ""), highlight=False)
    held = judged(found["rows"], GOALS)
    seen = [one for one in held if one.value is not None]
    console.print(
        f"{sum(one.met for one in seen)} of {len(seen)} goals held, {len(held) - len(seen)} not measured",
        highlight=False,
    )


# ── docs ─────────────────────────────────────────────────────────────────────────────────────────


def call_lines(found: Found) -> Iterator[charts.Line]:
    """Yield the lines of what each instrumentation adds to a call; a peer has one colour."""
    inks: dict[str, int] = {}
    for way in WAYS:
        row = found["rows"].get(f"a call with {way.name}")
        if row and all(row[str(size)] > 0 for size in SIZES):
            peer = way.name.partition(",")[0]
            points = tuple((size, row[str(size)]) for size in SIZES)
            ink = inks.setdefault(peer, len(inks))
            yield charts.Line(way.name, points, peer == "tokentrace", not way.content, ink)


def call_chart(found: Found) -> str:
    """Return the chart of cost a call over prompt size."""
    lines = list(call_lines(found))
    values = [y for line in lines for _, y in line.points]
    x = charts.Axis("messages of the prompt, about 200 tokens each", 10, 5_000, SIZES)
    y = charts.decades("CPU added to a call, ms", values)
    return charts.Chart(
        "Cost of a call over prompt size (dashed: keeps no texts)", x, y, lines
    ).svg()


def count_chart(found: Found) -> str:
    """Return the chart of CPU spent on counting, by turn."""
    rows = {name: found["rows"].get(f"25 turns to 1M tokens, {name}") for name in COUNTERS}
    turns = range(1, TURNS + 1)
    names = {name: name for name in COUNTERS} | {"tiktoken": "tiktoken, all anew"}
    lines = [
        charts.Line(
            names[name],
            tuple(zip(turns, row["by_turn_ms"], strict=True)),
            name == "tokentrace",
            ink=ink,
        )
        for ink, (name, row) in enumerate(rows.items())
        if row
    ]
    ours = rows["tokentrace"]
    if ours:
        once = tuple(zip(turns, ours["once_by_turn_ms"], strict=True))
        lines.append(charts.Line("each text encoded once", once, dashed=True, ink=len(COUNTERS)))
    values = [y for line in lines for _, y in line.points]
    x = charts.Axis("turn, 40,000 tokens more each", 1, TURNS, (1, 5, 10, 15, 20, 25), log=False)
    y = charts.decades("CPU spent on counting so far, ms", values)
    return charts.Chart("Counting a conversation that grows to 1M tokens", x, y, lines).svg()


def block(found: Found) -> str:
    """Return what stands between the markers of the page."""
    parts = [taken(found)]
    for table in tables(found):
        parts.append(f"**{table.title}**" if table.title != "Goals" else "")
        parts.append(table.markdown())
        if table.title == "What an instrumentation adds to a call":
            parts.append(f"![CPU added to a call over prompt size](images/{CALL_CHART})")
        if table.title == "What counting takes":
            parts.append(f"![CPU spent on counting, turn by turn](images/{COUNT_CHART})")
    return "\n\n".join(filter(None, parts))


def between(page: str, name: str, new: str) -> str:
    """Return a page with new text between the markers of a name.

    Raises:
        SystemExit: the page has no such markers.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in page or end not in page:
        raise SystemExit(f"{PAGE.name} has no {begin} … {end}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{new}\n\n{end}{rest.partition(end)[2]}"


def write(found: Found) -> None:
    """Write the docs' tables and charts."""
    images = DOCS / "images"
    if any(True for _ in call_lines(found)):
        (images / CALL_CHART).write_text(call_chart(found), encoding="utf-8")
    (images / COUNT_CHART).write_text(count_chart(found), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(between(page, "cost", block(found)), encoding="utf-8")
