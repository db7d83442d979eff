"""Sessions while they go on: what fits a terminal, and a line a turn where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from tokentrace import analysis
from tokentrace.analysis.shapes import Session, Turn
from tokentrace.report import cells, safe, words

COLOURS = ("blue", "magenta", "cyan", "green", "yellow", "bright_blue", "bright_magenta", "red")
SPARKS = "▁▂▃▄▅▆▇█"
LEAST = 7  # lines of a session without its events
NAMES = 20
TRENDS = {"increase": "INCREASE", "decrease": "DECREASE", "stable": "STABLE", "": "-"}


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at.

    Attributes:
        sessions: the one that spoke last comes last.
        source: where they come from, in words.
        left_out: records that were too old to be kept.
        problems: what was skipped, the newest last.
    """

    sessions: Sequence[Session]
    source: str
    left_out: int = 0
    problems: Sequence[str] = ()


def screen(view: View, width: int, height: int) -> RenderableType:
    """Return the newest sessions in at most ``height`` lines of ``width`` terminal cells."""
    rows: list[RenderableType] = [Text(cells.cut(_heading(view), width), "bold")]
    problems = [Text(cells.cut(safe(one), width), "yellow") for one in view.problems[-2:]]
    room = height - len(rows) - len(problems)
    if not view.sessions:
        return Group(*rows, Text("nothing yet: waiting for the first call", "dim"), *problems)
    shown = max(1, min(len(view.sessions), room // LEAST))
    each = max(LEAST, room // shown)
    for session in view.sessions[: -shown - 1 : -1]:
        rows += list(_session(session, width, each))
    return Group(*rows, *problems)


def _heading(view: View) -> str:
    facts = [f"tokentrace watch · {safe(view.source)}", cells.many(len(view.sessions), "session")]
    if view.left_out:
        facts.append(f"{view.left_out:,} older records left out")
    return " · ".join(facts)


def _session(session: Session, width: int, height: int) -> Iterator[RenderableType]:
    yield Rule(style="dim")
    total = analysis.summary([session])
    facts = [words.title(session), safe(session.agent), _model(session)]
    facts += [cells.many(total.turns, "turn"), cells.many(total.calls, "call")]
    yield Text(cells.cut(" · ".join(filter(None, facts)), width), "bold")
    turn = next((one for one in reversed(session.turns) if one.main), None)
    if turn is None:
        yield Text("no call yet", "dim")
        return
    size = _size(turn)
    size.truncate(width, overflow="ellipsis")
    yield size
    yield bar(turn, width)
    yield _legend(turn, width)
    yield _trend(session, width)
    yield from _events(session, width, height - LEAST + 1)


def _model(session: Session) -> str:
    return next((safe(turn.main.model) for turn in reversed(session.turns) if turn.main), "")


def _size(turn: Turn) -> Text:
    """Return the turn's total against the limit, and what the guard said."""
    line = Text(f"turn {turn.number}  ").append(cells.total(turn))
    if turn.limit is not None:
        line.append(f" of {turn.limit:,} (").append(cells.share(turn.utilization)).append(")")
    line.append("  ").append(cells.delta(turn)).append(f" {TRENDS.get(turn.trend, '')}")
    if turn.headroom is not None:
        line.append(f"  available {turn.headroom:,}")
    return line.append("  guard ").append(cells.guard(turn))


def _ranked(turn: Turn) -> list[tuple[str, int]]:
    return sorted(turn.components.items(), key=lambda pair: (-pair[1], pair[0]))


def bar(turn: Turn, width: int) -> Text:
    """Return the components as one bar of ``width`` cells; its right end is the limit."""
    full = max(turn.total, turn.limit or turn.total, 1)
    line, drawn, tokens = Text(), 0, 0
    for place, (_, size) in enumerate(_ranked(turn)):
        tokens += size
        reached = round(width * tokens / full)
        line.append("█" * (reached - drawn), COLOURS[place % len(COLOURS)])
        drawn = max(drawn, reached)
    return line.append("░" * (width - drawn), "dim")


def _legend(turn: Turn, width: int) -> Text:
    """Return names and tokens of the components in the colours of the bar, as many as fit."""
    line = Text()
    for place, (name, size) in enumerate(_ranked(turn)):
        entry = f"■ {safe(name).removeprefix('section.')} {size:,}  "
        if line.cell_len + len(entry) > width:
            break
        line.append(entry, COLOURS[place % len(COLOURS)])
    return line


def _trend(session: Session, width: int) -> Text:
    """Return the totals of the last turns as a line of blocks, with the largest."""
    totals = [turn.total for turn in session.turns if turn.main]
    peak = max(*totals, 1)
    label = f"  peak {peak:,}"
    steps, shown = len(SPARKS) - 1, totals[-max(1, width - len(label) - 6) :]
    line = Text("trend ")
    line.append("".join(SPARKS[round(steps * total / peak)] for total in shown), "green")
    line.append(label, "dim").truncate(width, overflow="ellipsis")
    return line


def _events(session: Session, width: int, most: int) -> Iterator[Text]:
    """Yield the newest events, the last one last."""
    found = [(turn.number, event) for turn in session.turns for event in turn.events]
    for number, event in found[-most:] if most > 0 else ():
        line = words.head(f"turn {number}", event, NAMES)
        line.append(" · ".join(filter(None, (words.numbers(event), words.why(event)))))
        line.truncate(width, overflow="ellipsis")
        yield line


# ── lines ────────────────────────────────────────────────────────────────────────────────────────


def line(session: Session, turn: Turn) -> str:
    """Return a turn as one line: what changed, and what happened."""
    sure = "" if turn.exact else "~"
    facts = [f"{words.title(session)} turn {turn.number}", f"{sure}{turn.total:,} tokens"]
    if turn.limit is not None and turn.utilization is not None:
        facts[-1] += f" of {turn.limit:,} ({cells.percent(turn.utilization)})"
    if turn.delta is not None:
        facts.append(f"{turn.delta:+,} {TRENDS.get(turn.trend, '')}")
    facts += [f"guard {safe(turn.decision)}"] if turn.decision else []
    for event in turn.events:
        named = f"{words.kind(event)} {safe(event.name)}".rstrip()
        facts.append(" ".join(filter(None, (named, words.numbers(event)))))
    return " · ".join(facts)
