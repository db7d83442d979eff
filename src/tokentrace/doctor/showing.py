"""Findings, shown: lines that fit the terminal, or JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from textwrap import wrap

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tokentrace.doctor.findings import FAULT, NOTE, OK, STATES, WARN, Finding
from tokentrace.report import cells, safe

STYLES = {OK: "green", NOTE: "blue", WARN: "yellow", FAULT: "bold red"}
NAMES = {NOTE: "note", WARN: "warning", FAULT: "fault"}
MEND = "→ "
GAP = 2
NARROW = 48  # cells below which findings stand under their codes
LONGEST = 2_000


def document(findings: Sequence[Finding]) -> str:
    """Return findings as one JSON document with stable names."""
    checks = [
        {
            "code": one.code,
            "state": one.state,
            "what": one.what,
            "mend": one.mend,
            "facts": dict(one.facts),
        }
        for one in findings
    ]
    known = {"version": 1, "checks": checks}
    return json.dumps(known, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print what was found; checks without anything to tell are counted in one line."""
    told = [one for one in findings if one.state != OK or one.facts]
    states = max(map(cell_len, STATES)) + GAP
    codes = max(cell_len(one.code) for one in findings) + GAP
    for one in told:
        _finding(one, console, states, codes)
    quiet = len(findings) - len(told)
    if quiet:
        text = f"{cells.many(quiet, 'more check')} found nothing; --json has all"
        rows = _rows(text, max(20, console.width - states))
        lines = f"\n{' ' * states}".join(rows)
        console.print(Text(f"{OK:<{states}}{lines}", "dim"), soft_wrap=True)
    console.print()
    console.print(_sums(findings))


def _finding(one: Finding, console: Console, states: int, codes: int) -> None:
    head = Text(f"{one.state:<{states}}", STYLES[one.state])
    head.append(f"{one.code:<{codes}}", "bold" if one.state == FAULT else "")
    below = console.width - states - codes < NARROW
    indent = states if below else states + codes
    room = max(20, console.width - indent)
    rows = _rows(one.what, room) or [""]
    if below:
        console.print(Text(head.plain.rstrip(), STYLES[one.state]), soft_wrap=True)
    else:
        console.print(head.append(rows.pop(0), ""), soft_wrap=True)
    for row in rows:
        console.print(Text(f"{' ' * indent}{row}"), soft_wrap=True)
    for number, row in enumerate(_rows(one.mend, room - len(MEND))):
        lead = MEND if not number else " " * len(MEND)
        console.print(Text(f"{' ' * indent}{lead}{row}", "bold"), soft_wrap=True)


def _rows(text: str, room: int) -> list[str]:
    """Return a text in lines; a path or command that is longer than a line stays whole."""
    return wrap(safe(text, LONGEST), room, break_long_words=False, break_on_hyphens=False)


def _sums(findings: Sequence[Finding]) -> Text:
    counted = Counter(one.state for one in findings)
    worst = next((state for state in reversed(STATES) if counted[state]), OK)
    words = [
        cells.many(counted[state], name)
        for state, name in reversed(NAMES.items())
        if counted[state] or state == FAULT
    ]
    return Text(" · ".join(words), STYLES[worst])
