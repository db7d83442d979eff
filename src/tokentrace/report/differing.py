"""Two prompts side by side, in a terminal and as plain data."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokentrace.analysis.comparing import Change
from tokentrace.analysis.differing import GONE, GREW, NEW, SAME, Difference, Moved, Side, state
from tokentrace.prompt import EXACT, PROVIDER
from tokentrace.report import cells, safe

ROWS = 12  # details and messages shown
NAME = 34
STYLES = {NEW: "cyan", GREW: "yellow", SAME: "dim", GONE: "green"}


def render(found: Difference, console: Console) -> None:
    """Print what changed: the total, components, what is inside them, messages."""
    for side, word in ((found.before, "from"), (found.after, "to")):
        told = [side.label, side.api, side.model]
        names = " · ".join(safe(one) for one in told if one)
        console.print(Text(cells.cut(f"{word:<5}{names}", console.width), "bold"))
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("component", "before", "after", "change", ""):
        table.add_column(name, justify="left" if name in {"component", ""} else "right")
    for change in found.components:
        _row(table, cells.cut(safe(change.name), NAME), change)
    whole = Change("total", found.before.total, found.after.total)
    table.add_row()
    marks = "~" if {found.before.method, found.after.method} - {EXACT, PROVIDER} else ""
    _row(table, f"{marks}total", whole, "bold")
    _inside(table, found)
    _messages(table, found)
    console.print(table)


def _inside(table: Table, found: Difference) -> None:
    """Add the details that changed."""
    if not found.details:
        return
    table.add_row()
    partial = found.before.partial or found.after.partial
    table.add_row(Text("inside, of the largest" if partial else "inside", "bold"))
    for component, change in found.details[:ROWS]:
        _row(table, cells.cut(f"{safe(component)} / {safe(change.name)}", NAME), change)
    _more(table, len(found.details))


def _messages(table: Table, found: Difference) -> None:
    """Add the messages that changed, by place and role: their text is nobody's business here."""
    if not found.messages and not found.kept:
        return
    table.add_row()
    table.add_row(Text(f"messages, {found.kept:,} as before", "bold"))
    for one in found.messages[:ROWS]:
        style = STYLES.get(one.state, "")
        name = f"{one.place} {safe(one.role)}"
        shown = (name, _figure(one.before), _figure(one.after), _step(one.before, one.after))
        table.add_row(*(Text(cell, style) for cell in (*shown, one.state)))
    _more(table, len(found.messages))


def _more(table: Table, count: int) -> None:
    if count > ROWS:
        table.add_row(Text(f"and {count - ROWS:,} more", "dim"))


def _row(table: Table, name: str, change: Change, style: str = "") -> None:
    told = state(change)
    shown = (
        name,
        _figure(change.before),
        _figure(change.after),
        _step(change.before, change.after),
    )
    style = style or STYLES.get(told, "")
    table.add_row(*(Text(cell, style) for cell in (*shown, "" if told == SAME else told)))


def _figure(tokens: float | None) -> str:
    return "-" if tokens is None else f"{round(tokens):,}"


def _step(before: float | None, after: float | None) -> str:
    """Return the difference, with its share of what was before."""
    if before is None and after is None:
        return "-"
    step = (after or 0) - (before or 0)
    part = f" ({100 * step / before:+.1f}%)" if step and before and after else ""
    return f"{round(step):+,}{part}" if step else "="


# ── plain data ───────────────────────────────────────────────────────────────────────────────────


def document(found: Difference) -> str:
    """Return a difference as one JSON document with stable names, numbers as integers."""
    known = {
        "version": 1,
        "before": _side(found.before),
        "after": _side(found.after),
        "delta": found.delta,
        "components": [_change(one) for one in found.components],
        "details": [{"component": name, **_change(one)} for name, one in found.details],
        "messages": {"kept": found.kept, "changes": [_moved(one) for one in found.messages]},
    }
    return json.dumps(known, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _side(side: Side) -> dict[str, Any]:
    return {
        "label": side.label,
        "api": side.api,
        "model": side.model,
        "total": side.total,
        "method": side.method,
        "error": side.error,
        "limit": side.limit,
        "details_complete": not side.partial,
    }


def _change(change: Change) -> dict[str, Any]:
    step = (change.after or 0) - (change.before or 0)
    return {
        "name": change.name,
        "before": change.before,
        "after": change.after,
        "delta": step,
        "state": state(change),
    }


def _moved(one: Moved) -> dict[str, Any]:
    return {
        "state": one.state,
        "place": one.place,
        "role": one.role,
        "before": one.before,
        "after": one.after,
    }
