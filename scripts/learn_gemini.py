"""Show how Gemini's rules fit recorded requests with reported usage, and what bounds they need.

usage: learn_gemini.py RECORDS.jsonl[.xz]

Each line is an object with ``api``, ``provider``, ``model``, ``request``, ``input_tokens`` and
``source``. The rules in ``counting/rules/gemini_*.py`` are a form that was guessed and tried, not
weights; so this prints what they leave over: by family and form, the errors; by kind of prompt, the
bound that held 95 and 98 of 100, and how the bounds of one half of the repositories hold in the
other. What it prints goes by hand into ``gemini_table.py``, with the date.
"""

from __future__ import annotations

import json
import lzma
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from tokentrace.counting.counter import measure
from tokentrace.counting.rules import Scope, gemini, gemini_text
from tokentrace.counting.rules import gemini_table as table

FIXED = (0, 1, 2, 3, 4, 6, 8)


def records(path: Path) -> Iterator[dict]:
    """Yield the requests to a Gemini api."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        yield from (one for one in map(json.loads, lines) if one["api"].startswith("gemini."))


def half(record: dict) -> int:
    """Return which half of the repositories a record belongs to."""
    return sha256(record["source"].partition(":")[0].encode()).digest()[0] % 2


def judged(record: dict) -> tuple:
    """Return (family, kind, counted, bound, miss, half) of a record as the rules count it."""
    body = {"model": record["model"], **record["request"]}
    prompt, count = measure(body, api=record["api"], provider=record["provider"])
    truths = {record["input_tokens"], *map(int, record.get("other_counts") or ())}
    miss = min(abs(count.total - truth) for truth in truths)
    scope = Scope(gemini_text.ruler(), None, prompt.model, prompt.api, record["provider"])
    family = table.family(prompt.model, record["provider"])
    own = {"tools": {("tools", one.name): 0 for one in count.details if one.component == "tools"}}
    tally = gemini.Tally(dict(count.components), own["tools"])
    kind = gemini.kind_of(prompt, tally, scope).kind
    if prompt.server or "media" in count.components:
        kind = "server or media"
    elif "reasoning" in count.components:
        kind = "thoughts"
    return f"{family.form} {family.match[0]}", kind, count.total, count.error, miss, half(record)


def families(rows: list[tuple]) -> None:
    """Print the error of each family, in percent, without what nobody can know."""
    found = defaultdict(list)
    for family, kind, counted, _, miss, _ in rows:
        if kind != "server or media":
            found[family].append((100 * miss / max(1, counted), miss == 0))
    for family, seen in sorted(found.items()):
        errors = sorted(error for error, _ in seen)
        exact = sum(right for _, right in seen) / len(seen)
        at = errors[min(len(errors) - 1, int(0.95 * len(errors)))]
        middle = statistics.median(errors)
        print(
            f"{family} (n={len(seen)}): exact {exact:.2f}, median {middle:.1f} %, 95 % {at:.1f} %"
        )


def needed(rows: list[tuple], fixed: int, part: float) -> float:
    """Return the share of the total that, with ``fixed`` tokens, holds ``part`` of the rows."""
    shares = sorted(max(0, row[4] - fixed) / max(1, row[2]) for row in rows)
    return shares[min(len(shares) - 1, math.ceil(part * len(shares)) - 1)]


def bounds(rows: list[tuple]) -> None:
    """Print for each kind the needed bounds, the coverage as shipped, and that across halves."""
    kinds = defaultdict(list)
    for row in rows:
        kinds[row[1]].append(row)
    for kind, seen in sorted(kinds.items()):
        held = sum(row[4] <= row[3] for row in seen) / len(seen)
        width = statistics.median(100 * row[3] / max(1, row[2]) for row in seen)
        print(f"{kind} (n={len(seen)}): covered {held:.3f}, median bound {width:.0f} %")
        for fixed in FIXED:
            at = [needed(seen, fixed, part) for part in (0.95, 0.98)]
            print(f"  ± {fixed} and {at[0]:.3f} (95 %), {at[1]:.3f} (98 %); {across(seen, fixed)}")


def across(rows: list[tuple], fixed: int) -> str:
    """Return the coverage of each half of the repositories by the other half's 98 % bound."""
    held = []
    for side in (0, 1):
        mine = [row for row in rows if row[5] == side]
        other = [row for row in rows if row[5] != side]
        if mine and other:
            share = needed(other, fixed, 0.98)
            held += [row[4] <= fixed + math.ceil(share * row[2]) for row in mine]
    return f"across halves {sum(held) / len(held):.3f}" if held else "one half only"


def main(argv: list[str]) -> None:
    """Print what the rules leave over, and the bounds."""
    rows = [judged(record) for record in records(Path(argv[0]))]
    families(rows)
    bounds(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
