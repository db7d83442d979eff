"""Two runs side by side, in a terminal and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokentrace.analysis.comparing import Change, Comparison, Pair
from tokentrace.analysis.findings import Finding
from tokentrace.report import cells, safe, verdicts, words
from tokentrace.report.json import finding

COMPONENTS = 12
TITLES = {
    "mean": "mean of a turn",
    "peak": "peak of a turn",
    "utilization": "peak use",
    "excluded_tokens": "excluded tokens",
    "saved_tokens": "saved tokens",
}
STEPS = {"better": "green", "worse": "bold red", "same": "dim"}


def render(compared: Comparison, console: Console) -> None:
    """Print what changed, pair by pair; what stayed as it was is left out of sums."""
    for pair in compared.pairs:
        names = f"{words.title(pair.session)} against {words.title(pair.base)}"
        console.print(Text(cells.cut(names, console.width), "bold"))
        console.print(Text(verdict(pair), STEPS[pair.verdict]))
        console.print()
        console.print(_table(pair))
        console.print()
        for title, found in (("new", pair.new), ("gone", pair.gone)):
            _findings(title, found, console)
    for line in alone(compared):
        console.print(Text(cells.cut(line, console.width), "yellow"))
    if compared.only_before or compared.only_after:
        console.print()


def verdict(pair: Pair) -> str:
    """Return the verdict's change in words."""
    if pair.verdict == "same":
        return f"verdict {pair.after.verdict}, as before"
    return f"verdict {pair.before.verdict} → {pair.after.verdict}"


def alone(compared: Comparison) -> list[str]:
    """Return a line for each session without a partner."""
    gone = [f"only before: {words.title(one)}" for one in compared.only_before]
    return [*gone, *(f"only now: {words.title(one)}" for one in compared.only_after)]


def groups(pair: Pair) -> list[tuple[str, Sequence[Change]]]:
    """Return the tables of a pair by their heading: totals, components, phases."""
    totals = [one for one in pair.totals if one.before or one.after]
    parts: list[tuple[str, Sequence[Change]]] = [("tokens", totals)]
    parts.append(("component, mean of a turn", pair.components[:COMPONENTS]))
    return [*parts, ("phase, mean of a turn", pair.phases)] if pair.phases else parts


def row(change: Change) -> tuple[str, str, str, str]:
    """Return a change as texts: name, before, after, difference."""
    name = cells.cut(TITLES.get(change.name, safe(change.name)), 28)
    return name, _figure(change, change.before), _figure(change, change.after), _step(change)


def _figure(change: Change, value: float | None) -> str:
    if value is None:
        return "-"
    return cells.percent(value) if change.share else f"{round(value):,}"


def _step(change: Change) -> str:
    """Return the difference, with its share of what was before where that says something."""
    delta = change.delta
    if delta is None:
        return "-"
    if not delta:
        return "="
    if change.share:
        return f"{100 * delta:+.1f}"
    part = f" ({100 * delta / change.before:+.1f}%)" if change.before else ""
    return f"{round(delta):+,}{part}"


def _table(pair: Pair) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("", "before", "now", "change"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for place, (heading, changes) in enumerate(groups(pair)):
        if place:
            table.add_row()
        table.add_row(Text(heading, "bold"))
        for change in changes:
            style = "dim" if not change.delta else ""
            table.add_row(*(Text(one, style) for one in row(change)))
    return table


def _findings(title: str, found: Sequence[Finding], console: Console) -> None:
    for one in found:
        head = Text(f"{title:<{verdicts.INDENT}}", cells.VERDICT_STYLES[one.level])
        verdicts.indented(f"{one.code}: {safe(one.message, 400)}", console, head)
    if found:
        console.print()


# ── plain data ───────────────────────────────────────────────────────────────────────────────────


def document(compared: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data; ``report.schema.json`` describes it."""
    return {
        "pairs": [_pair(pair) for pair in compared.pairs],
        "only_before": [session.id for session in compared.only_before],
        "only_after": [session.id for session in compared.only_after],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "id": pair.session.id,
        "base_id": pair.base.id,
        "verdict": {"before": pair.before.verdict, "after": pair.after.verdict},
        "totals": _changes(pair.totals),
        "components": _changes(pair.components),
        "peaks": _changes(pair.peaks),
        "phases": _changes(pair.phases),
        "new": [finding(one) for one in pair.new],
        "gone": [finding(one) for one in pair.gone],
    }


def _changes(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "before": _plain(one.before), "after": _plain(one.after)}
        for one in changes
    ]


def _plain(value: float | None) -> float | None:
    return round(value, 6) if isinstance(value, float) else value
