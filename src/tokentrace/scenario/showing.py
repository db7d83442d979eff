"""A turn that is over, as lines in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from tokentrace.analysis import Turn
from tokentrace.report import cells, safe
from tokentrace.scenario.driving import OK
from tokentrace.scenario.running import Told

COMPONENTS = 4
LINES = 12  # of an agent's own account of a failure
PHASE = 14


def turn(told: Told, place: int = 0) -> Iterator[Text]:
    """Yield the lines of a turn.

    Args:
        told: the turn.
        place: which session, from 1; 0 where there is only one.
    """
    result = told.result
    head = Text(f"[{place}] " if place else "", "dim")
    head.append(f"turn {result.number:>2}  {cells.cut(safe(result.phase), PHASE):<{PHASE}}  ")
    head.append(f"{result.seconds:>6.1f} s  ", "dim")
    yield head.append_text(_size(told.turn) if told.turn else Text("nothing recorded", "yellow"))
    indent = " " * (4 if place else 0)
    if result.state != OK:
        yield Text(f"{indent}  {result.state.replace('_', ' ')}: {safe(result.reason)}", "red")
    for line in told.shown.splitlines()[-LINES:]:
        yield Text(f"{indent}  | {safe(line)}", "dim")
    for name, met in result.checks.items():
        if told.turn and not met:
            yield Text(f"{indent}  not met: {safe(name)}", "red")


def _size(turn: Turn) -> Text:
    """Return total, change and share of a turn, and its largest components."""
    line = Text.assemble(
        *(cell.copy() for cell in (cells.total(turn), Text("  "), cells.delta(turn), Text("  ")))
    )
    line = Text(" " * max(0, 18 - line.cell_len)).append_text(line)
    line.append_text(cells.share(turn.utilization)).append("  ")
    ordered = sorted(turn.components.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{safe(name)} {tokens:,}" for name, tokens in ordered[:COMPONENTS] if tokens]
    return line.append(" · ".join(named), "dim")
