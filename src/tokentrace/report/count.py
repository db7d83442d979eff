"""One count, shown: a table of its components, or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokentrace.prompt import EXACT, PROVIDER, Count
from tokentrace.report import cells, safe

INSIDE = 8  # details shown inside a component
NAMES = 40


def document(count: Count, assumed: str = "") -> str:
    """Return a count as one JSON document with stable names, numbers as integers."""
    share = count.utilization
    known: dict[str, Any] = {
        "version": 1,
        "api": count.api,
        "model": count.model,
        "assumed": assumed,
        "total": count.total,
        "method": count.method,
        "error": count.error,
        "tokenizer": count.tokenizer,
        "limit": count.limit,
        "limit_source": count.limit_source,
        "limit_hard": count.limit_hard,
        "utilization": None if share is None else round(share, 6),
        "headroom": count.headroom,
        "components": dict(count.components),
        "details": [asdict(detail) for detail in count.details],
    }
    return json.dumps(known, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def render(count: Count, console: Console, source: str, assumed: str = "") -> None:
    """Print a count: components with their shares and details, then total, limit and headroom."""
    names = [safe(name) for name in (count.api, count.model, source) if name]
    console.print(Text(" · ".join(names), "bold"), overflow="ellipsis", no_wrap=True)
    if assumed:
        console.print(Text(assumed, "yellow"))
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("component", no_wrap=True, overflow="ellipsis")
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name, tokens in count.components.items():
        _component(table, count, name, tokens)
    table.add_section()
    _totals(table, count)
    console.print(table)


def _component(table: Table, count: Count, name: str, tokens: int) -> None:
    share = tokens / max(1, count.total)
    bar = Text("█" * round(20 * share), "cyan")
    table.add_row(Text(cells.cut(safe(name), NAMES)), f"{tokens:,}", cells.percent(share), bar)
    inside = [detail for detail in count.details if detail.component == name]
    for detail in inside[:INSIDE]:
        label = Text(f"  {cells.cut(safe(detail.name), NAMES)}", "dim")
        table.add_row(label, Text(f"{detail.tokens:,}", "dim"))
    if len(inside) > INSIDE:
        table.add_row(Text(f"  and {len(inside) - INSIDE} more", "dim"))


def _totals(table: Table, count: Count) -> None:
    """Add what the components come to, and what is left."""
    sure = count.method in (EXACT, PROVIDER)
    error = f"{count.method}" if sure else f"{count.method}, ±{count.error:,}"
    vocabulary = f", {count.tokenizer}" if count.tokenizer else ""
    rows = [("total", f"{'' if sure else '~'}{count.total:,}", f"{error}{vocabulary}", "bold")]
    if count.limit is None:
        rows.append(("limit", "-", "unknown for this model", "dim"))
    else:
        soft = "" if count.limit_hard else ", not enforced by the provider"
        rows.append(("limit", f"{count.limit:,}", f"{count.limit_source}{soft}", ""))
        rows.append(("utilization", cells.percent(count.utilization or 0.0), "", ""))
        rows.append(("headroom", f"{count.headroom:,}", "", ""))
    table.add_row()
    for name, value, note, style in rows:
        table.add_row(Text(name, style), Text(value, style), "", Text(safe(note), "dim"))
