"""Write the tables of docs/findings.md from the code: python scripts/findings_page.py."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from tokentrace.analysis import CODES, Finding, Thresholds
from tokentrace.analysis.thresholds import DEFAULTS

sys.path.insert(0, str(Path(__file__).parent))
from findings_examples import examples

PAGE = Path(__file__).parents[1] / "docs" / "findings.md"


def codes() -> str:
    """Return a section a code: levels, meaning, remedy, thresholds."""
    sections = []
    shown = examples()
    for name, code in CODES.items():
        lines = [f"### {name}", "", f"*{', '.join(code.levels)}*. {code.means}", ""]
        lines.append(f"What to do: {code.remedy}.")
        if code.thresholds:
            told = ", ".join(f"`{one}`" for one in code.thresholds)
            lines += ["", f"Thresholds: {told}."]
        if name in shown:
            lines += ["", "```text", *example(shown[name]), "```"]
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def example(found: Finding) -> Iterator[str]:
    """Yield what a run says of a finding: its message, and where there are any tokens and money."""
    yield f"{found.level}: {found.message}"
    if found.tokens is not None:
        cost = "unknown" if found.cost_usd is None else f"{found.cost_usd:.6f}"
        yield f"tokens {found.tokens:,} · cost_usd {cost} · confidence {found.confidence}"


def thresholds() -> str:
    """Return the table of thresholds, described as in the docstring of the class."""
    told = re.split(
        r"\n    (?=\w+: )", cleandoc(Thresholds.__doc__ or "").partition("Attributes:")[2]
    )
    rows = ["| name | default | |", "|---|---|---|"]
    for entry in told[1:]:
        name, _, text = " ".join(entry.split()).partition(": ")
        default = DEFAULTS[name]
        shown = ", ".join(default) if isinstance(default, tuple) else default
        rows.append(f"| `{name}` | {shown} | {text.rstrip('.')} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """Return the page with its tables as the code has them."""
    for name, made in (("codes", codes()), ("thresholds", thresholds())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{made}\n\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
