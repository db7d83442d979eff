"""Write the measured tables of ``docs/accuracy.md`` anew.

    python scripts/accuracy_table.py scores.json --requests 3629 [--date 2026-11-22] [--page FILE]

``scores.json`` maps a group (provider and api) to its scores, as the page's first table explains
them; ``-`` reads standard input. The second table is made from the evidence in the package. Both
stand between markers in the page; nothing else is touched.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
LEAST = 20
COLUMNS = (
    *("n", "exact", "labelled", "precision", "covered", "bound", "tokens", "median", "p95"),
    *("sums", "crashed"),
)


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, numbers: bool = True) -> str:
    """Return a Markdown table; its columns but the first are numbers, or none is."""
    head = list(head)
    lines = [head, ["---", *["---:" if numbers else "---"] * (len(head) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scores(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of groups with at least `LEAST` requests, the largest first."""
    shown = [(name, row) for name, row in groups.items() if row["n"] >= LEAST]
    shown.sort(key=lambda pair: -pair[1]["n"])
    return table(
        ("group", *COLUMNS),
        (
            (name, *("-" if row[key] is None else f"{row[key]}" for key in COLUMNS))
            for name, row in shown
        ),
    )


def evidence() -> str:
    """Return a table of what the label ``exact`` rests on, by api and family of models."""
    from tokentrace.counting.rules import openai_evidence, openai_table

    rows = []
    for row, kinds in sorted(openai_table.SEEN.items()):
        labelled = [
            seen for marks, seen in kinds.items() if (row, marks) in openai_evidence.LABELLED
        ]
        sums = (
            sum(seen for seen, _ in kinds.values()),
            sum(exact for _, exact in kinds.values()),
            len(kinds),
            len(labelled),
            sum(seen for seen, _ in labelled),
        )
        rows.append((row, *map(str, sums)))
    head = ("api, family", "recorded", "exact", "feature sets", "labelled sets", "requests in them")
    return table(head, rows)


def between(page: str, name: str, text: str) -> str:
    """Return ``page`` with ``text`` between the markers ``name``."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"the page has no markers {begin} … {end}")
    return pattern.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", page, count=1)


def main() -> None:
    """Read the scores and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scores", help="a JSON file, or - for standard input")
    parser.add_argument("--requests", type=int, required=True, help="recorded requests scored")
    parser.add_argument("--date", default=str(dt.datetime.now(dt.UTC).date()))
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    raw = sys.stdin.read() if options.scores == "-" else Path(options.scores).read_text("utf-8")
    groups = json.loads(raw)
    counted = groups.get("all all", {}).get("n")
    if counted not in (None, options.requests):
        raise SystemExit(f"the scores are of {counted} requests, not of {options.requests}")
    told = f"Scored on {options.date}, {options.requests:,} requests; groups of {LEAST} or more."
    page = options.page.read_text("utf-8")
    page = between(page, "scores", f"{told}\n\n{scores(groups)}")
    page = between(page, "evidence", evidence())
    options.page.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
