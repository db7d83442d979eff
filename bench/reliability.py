"""Make the tables of ``docs/reliability.md``: a sick collector, sick files, many calls.

    python bench/reliability.py [--rows exporter,files,soak] [--quick] [--json FILE] [--write-docs]

``--json`` keeps each row's figures as it is done; rows that are in the file already are not run
again. Exit code 1 says that a promise is broken. Needs the openai SDK; rows about file systems need
root. ``--quick`` drives less, for about two minutes,
and judges no seconds.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faults
import files

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reliability.md"
EXIT = 5.0  # seconds
SLOPE = 1.0  # MB for each 100,000 calls
LONG = 100_000  # calls from which a slope says something
MEASURED = 10_000
Figures = dict[str, Any]

SOAKS = {
    "openai SDK over a mock transport": ("wire", 200_000, ()),
    "`request` stubbed": ("stub", 1_000_000, ()),
    "openai SDK, without tokentrace": ("wire", 50_000, ("--bare",)),
}
EXPORTER = ("received", "dropped", "in no count", "CPU p50 µs", "call p50 µs", "call p99 ms",
            "RSS growth MB", "exit s", "total s")  # fmt: skip
FILES = (
    "made",
    "read back",
    "dropped",
    "removed",
    "in no count",
    "torn lines",
    "whole lines not read",
)

SOAKED = ("calls", "MB for 100,000 calls", "RSS MB", "threads", "open files", "wrong sums")


# ── running ──────────────────────────────────────────────────────────────────────────────────────


def exporter(quick: bool) -> Iterator[tuple[str, Callable[[], Figures | None]]]:
    """Yield the rows of the table of collectors, and how each is measured."""
    load = (100, 10) if quick else (1_000, 25)
    for row in faults.ROWS:
        for system in faults.SYSTEMS:
            if not quick or system == faults.OURS:
                yield f"{row} / {system}", lambda r=row, s=system: faults.measure(r, s, *load)  # type: ignore[misc]


def local(quick: bool) -> Iterator[tuple[str, Callable[[], Figures | None]]]:
    """Yield the rows of the table of files."""
    for row in files.ROWS:
        yield row, lambda r=row: files.measure(r, 2_000 if quick else 40_000)  # type: ignore[misc]


def soak(quick: bool) -> Iterator[tuple[str, Callable[[], Figures | None]]]:
    """Yield the rows of the table of many calls."""
    for row, (transport, calls, more) in SOAKS.items():
        told = ["--transport", transport, "--calls", str(MEASURED if quick else calls), *more]
        told += ["--minutes", "1", "--sessions", "100"] if quick else []
        if not quick or not more:
            yield row, lambda told=told: _soaked(told)  # type: ignore[misc]


def _soaked(told: list[str]) -> Figures:
    command = [sys.executable, str(HERE / "soak.py"), *told]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: Figures = json.loads(ran.stdout)
    return found


GROUPS = {"exporter": exporter, "files": local, "soak": soak}


def run(groups: list[str], quick: bool, kept: Path) -> dict[str, Figures]:
    """Run what is not in ``kept`` yet, and return all."""
    known = json.loads(kept.read_text()) if kept.exists() else {}
    for group in groups:
        rows = known.setdefault(group, {})
        for name, measure in GROUPS[group](quick):
            if name not in rows:
                print(f"{group}: {name} ...", file=sys.stderr, flush=True)
                rows[name] = measure()
                kept.write_text(json.dumps(known, indent=1))
    return known


# ── judging ──────────────────────────────────────────────────────────────────────────────────────


def broken(known: dict[str, Figures], *, timed: bool = True) -> Iterator[str]:
    """Yield the promises that figures break; ``timed`` ones hold on a machine that has time."""
    for name, row in known.get("exporter", {}).items():
        if name.endswith(faults.OURS):
            if row["in no count"] > 0:
                yield f"{name}: {row['in no count']} spans in no count"
            if timed and row["exit s"] > EXIT:
                yield f"{name}: {row['exit s']} s to exit"
    for name, row in known.get("files", {}).items():
        if row is not None:
            yield from _broken_file(name, row)
    for name, row in known.get("soak", {}).items():
        yield from _broken_soak(name, row)


def _broken_file(name: str, row: Figures) -> Iterator[str]:
    killed = name.startswith("killed")
    if row["whole lines not read"]:
        yield f"{name}: {row['whole lines not read']} whole lines not read"
    if not killed and (row["torn lines"] or row["in no count"] > 0):
        yield f"{name}: {row['torn lines']} torn lines, {row['in no count']} spans in no count"


def _broken_soak(name: str, row: Figures) -> Iterator[str]:
    for wrong in row["wrong"]:
        yield f"{name}: {wrong}"
    if row["kept"]:
        yield f"{name}: still there at the end: {row['kept']}"
    for what in ("threads", "files"):
        if len(row[what]) > 1:
            yield f"{name}: {what} from {min(row[what])} to {max(row[what])}"
    if row["calls"] >= LONG and row["slope_mb"] > SLOPE:
        yield f"{name}: {row['slope_mb']:.2f} MB for each 100,000 calls"


# ── telling ──────────────────────────────────────────────────────────────────────────────────────


def cell(value: Any) -> str:
    """Return a figure as it is printed."""
    if isinstance(value, list):
        return "-".join(dict.fromkeys(map(str, (value[0], value[-1])))) if value else "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def tables(known: dict[str, Figures]) -> dict[str, str]:
    """Return the Markdown tables of what was measured, by the names of their places in the page."""
    sys.path.append(str(HERE.parent / "scripts"))
    from accuracy_table import table

    made: dict[str, str] = {}
    for system in faults.SYSTEMS:
        rows = [
            (name.rpartition(" / ")[0], *(cell(row[key]) for key in EXPORTER))
            for name, row in known.get("exporter", {}).items()
            if name.endswith(f"/ {system}")
        ]
        made[system] = table(("collector", *EXPORTER), rows) if rows else ""
    rows = [
        (name, *(cell(row[key]) for key in FILES))
        for name, row in known.get("files", {}).items()
        if row is not None
    ]
    made["files"] = table(("folder", *FILES), rows) if rows else ""
    rows = [_soak(*one) for one in known.get("soak", {}).items()]
    made["soak"] = table(("transport", *SOAKED), rows) if rows else ""
    return {name: text for name, text in made.items() if text}


def _soak(name: str, row: Figures) -> tuple[str, ...]:
    sizes = row["rss_mb"]
    ends = f"{sizes[len(sizes) * 2 // 5]:.0f} → {sizes[-1]:.0f}"
    slope = f"{row['slope_mb']:.2f}"
    return (
        name,
        cell(row["calls"]),
        slope,
        ends,
        cell(row["threads"]),
        cell(row["files"]),
        str(len(row["wrong"])),
    )


def write(made: dict[str, str]) -> None:
    """Put the tables into the page."""
    from accuracy_table import between

    page = PAGE.read_text("utf-8")
    for name, text in made.items():
        page = between(page, name, text)
    PAGE.write_text(page, "utf-8")


def main() -> None:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(GROUPS), help="exporter, files, soak (all)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--write-docs", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = given.json or Path(folder) / "figures.json"
        known = run(given.rows.split(","), given.quick, kept)
    made = tables(known)
    print(f"{dt.datetime.now(tz=dt.UTC).date()}\n")
    print("\n\n".join(f"{name}\n{text}" for name, text in made.items()))
    if given.write_docs:
        write(made)
    found = list(broken(known, timed=not given.quick))
    print("\n".join(["", *(f"BROKEN: {one}" for one in found)]))
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
