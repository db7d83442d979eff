"""Measure everything: tokentrace beside its peers, each in an environment of its own.

    python bench [--quick] [--rows WORD,…] [--no-peers] [--here] [--json FILE] [--write-docs]

Makes the environments below ``.bench/`` at the first run, which wants a package index; runs each part in a
process of its own; prints the goals with what was measured, and the peers' rows. Figures of one row
are of one process, whose ways took turns. ``--quick`` takes about five minutes, the whole under thirty.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import environments
import goals
import page
from environments import OURS, TOP, Environments, Unmade
from instrumentations import WAYS
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
LONGEST = 1_800  # seconds a part may take
ABSENT = "there is no such part yet"


@dataclass(frozen=True, slots=True)
class Part:
    """What is measured in one process.

    Attributes:
        module: the file beside this one; where there is none, the part is left out and said to be.
        where: the environment.
        rounds: how often, and how often with ``--quick``.
        quick: the latter.
        names: what of it.
    """

    module: str
    where: str
    rounds: int
    quick: int
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is called."""
        return " ".join((self.module, *self.names))


PARTS = (
    Part("calling", OURS, 24, 8),
    Part("turns", OURS, 7, 3, ("tokentrace", "tiktoken")),
    Part("texts", OURS, 15, 5),
    Part("lag", OURS, 7, 3),
    Part("held", OURS, 1, 1),
    Part("starting", OURS, 40, 12),
    Part("cost", OURS, 15, 5),
    Part("turns", "litellm", 2, 1, ("litellm",)),
    Part("turns", "tokencost", 2, 1, ("tokencost",)),
    *(Part("calling", way.where, 8, 2, (way.name,)) for way in WAYS),
    Part("sessions", OURS, 1, 1),
)


def chosen(parts: tuple[Part, ...], words: list[str], *, peers: bool) -> list[Part]:
    """Return the parts whose title or environment holds one of the words; all of them without words."""
    return [
        part
        for part in parts
        if (peers or part.where == OURS)
        and (not words or any(word in f"{part.title} {part.where}".lower() for word in words))
    ]


class Bench:
    """One run.

    Args:
        made: the environments.
        console: what is said while it runs.
        here: measure with this interpreter what is to be measured in the environment of ours.
        quick: fewer rounds.
    """

    def __init__(self, made: Environments, console: Console, *, here: bool, quick: bool) -> None:
        self._made, self._console, self._here, self._quick = made, console, here, quick
        self.rows: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.missing: dict[str, str] = {}

    def run(self, parts: list[Part], keep: Callable[[], object] = lambda: None) -> None:
        """Make the environments and run the parts, each said on a bar; call ``keep`` after each part."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        places = list(dict.fromkeys(part.where for part in parts))
        with Progress(*columns, TimeElapsedColumn(), console=self._console) as progress:
            bar = progress.add_task("environments", total=len(places) + len(parts))
            for where in places:
                progress.update(bar, description=f"environment {where}")
                self._make(where)
                progress.advance(bar)
            os.environ["TIKTOKEN_CACHE_DIR"] = str(
                environments.vocabularies(self._made.folder / "vocabularies")
            )
            for part in parts:
                progress.update(bar, description=part.title)
                self._measure(part)
                keep()
                progress.advance(bar)

    def _make(self, where: str) -> None:
        """Make an environment; one that cannot be made is said, and its parts are left out."""
        if where == OURS and self._here:
            self.versions[where] = {}
            return
        try:
            self._made.make(where)
            if where == OURS:
                self._weigh(self._made.wheel())
            self.versions[where] = self._made.versions(where)
        except Unmade as error:
            self._fail(where, f"the environment was not made: {error}")

    def _weigh(self, wheel: Path) -> None:
        """Note the size of each vocabulary in the wheel."""
        with zipfile.ZipFile(wheel) as file:
            for entry in file.infolist():
                name, _, kind = Path(entry.filename).name.partition(".")
                if kind == "zlib" and name.endswith("_base"):
                    self._add({f"vocabulary, {name}": {"wheel_mb": entry.compress_size / 1e6}})

    def _measure(self, part: Part) -> None:
        """Run a part in its environment; one that fails is said."""
        if not (HERE / f"{part.module}.py").exists():
            self.missing[part.title] = ABSENT
            return
        if part.where not in self.versions:
            self.missing[part.title] = f"no environment {part.where}"
            return
        here = self._here and part.where == OURS
        python = sys.executable if here else str(self._made.python(part.where))
        rounds = part.quick if self._quick else part.rounds
        command = [python, str(HERE / "part.py"), part.module, str(rounds), *part.names]
        try:
            ran = subprocess.run(
                command, cwd=TOP, capture_output=True, text=True, check=False, timeout=LONGEST
            )
        except subprocess.TimeoutExpired:
            self._fail(part.title, f"took longer than {LONGEST} s")
            return
        if ran.returncode:
            self._fail(part.title, ran.stderr.strip()[-600:] or f"ended with {ran.returncode}")
            return
        self._add(json.loads(ran.stdout.strip().splitlines()[-1]))

    def _add(self, rows: dict[str, Any]) -> None:
        self.rows = joined(self.rows, rows)

    def _fail(self, what: str, why: str) -> None:
        self.missing[what] = why.splitlines()[-1]
        self._console.print(f"[red]{what}[/red]: {why}", highlight=False)


def joined(rows: goals.Rows, new: goals.Rows) -> dict[str, Any]:
    """Return rows with those that are new; of a row that two parts measure both have their figures."""
    return {**rows, **{name: {**rows.get(name, {}), **row} for name, row in new.items()}}


def document(bench: Bench, before: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    """Return all figures with what they were taken on; rows that were not run are of before."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = {name: what for where in bench.versions.values() for name, what in where.items()}
    return {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": load,
        "quick": quick,
        "versions": before.get("versions", {}) | versions,
        "missing": bench.missing,
        "rows": goals.derived(joined(before.get("rows", {}), bench.rows)),
    }


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python bench", description="Measure tokentrace beside its peers."
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about five minutes")
    parser.add_argument(
        "--rows",
        default="",
        metavar="WORD,…",
        help="only parts with one of the words: "
        + ", ".join(dict.fromkeys(p.module for p in PARTS)),
    )
    parser.add_argument("--no-peers", action="store_true", help="tokentrace and the official one")
    parser.add_argument("--here", action="store_true", help="measure ours with this interpreter")
    parser.add_argument("--folder", type=Path, default=TOP / ".bench", help="of the environments")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="the figures (.bench/figures.json); --rows adds to it",
    )
    parser.add_argument("--write-docs", action="store_true", help="tables and charts of the docs")
    parser.add_argument("--no-run", action="store_true", help="only show the figures of the file")
    return parser.parse_args()


def kept(file: Path, *, wanted: bool) -> dict[str, Any]:
    """Return the figures of an earlier run, where they are wanted and there."""
    if wanted and file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
        return found | {"rows": goals.derived(found["rows"])}
    return {}


def told(found: dict[str, Any]) -> Iterator[str]:
    """Yield what the run could not measure."""
    for what, why in found["missing"].items():
        yield f"not measured: {what}: {why}"


def measured(given: argparse.Namespace, file: Path, console: Console) -> dict[str, Any]:
    """Run what is asked for; return the figures, which are kept in a file after every part."""
    before = kept(file, wanted=bool(given.rows))
    made = Environments.below(given.folder)
    bench = Bench(made, console, here=given.here, quick=given.quick)

    def keep() -> dict[str, Any]:
        found = document(bench, before, quick=given.quick)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return found

    words = [word.strip().lower() for word in given.rows.split(",") if word.strip()]
    bench.run(chosen(PARTS, words, peers=not given.no_peers), keep)
    return keep()


def main() -> int:
    """Run, print, write; 1 where a part failed."""
    given = options()
    console = Console(stderr=True)
    file = given.json or given.folder / "figures.json"
    found = kept(file, wanted=True) if given.no_run else measured(given, file, console)
    if not found:
        raise SystemExit(f"{file}: no figures there; run without --no-run first")
    page.show(found, Console(width=None if sys.stdout.isatty() else 150))
    for line in told(found):
        console.print(line, highlight=False, style="yellow")
    if given.write_docs:
        page.write(found)
    failed = [why for why in found["missing"].values() if why != ABSENT]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
