"""Write the table of frameworks into docs/frameworks.md, from the rows of the package."""

from __future__ import annotations

from pathlib import Path

from tokentrace.instrument.frameworks import FRAMEWORKS

PAGE = Path(__file__).parents[1] / "docs" / "frameworks.md"
BEGIN, END = "<!-- frameworks: begin -->", "<!-- frameworks: end -->"
HEAD = ("framework", "session", "agent", "turn", "versions run")


def table() -> str:
    """Return the table."""
    rows = [(one.name, one.session, one.agent, one.turn, one.ran) for one in FRAMEWORKS]
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(cell or 'none' for cell in line)} |" for line in lines)


def written(page: str) -> str:
    """Return the page with the table between its markers.

    Raises:
        SystemExit: it has no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"the page has no markers {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
