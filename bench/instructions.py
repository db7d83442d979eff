"""Guard the hot path by counting instructions, which do not depend on the load of the machine.

    python bench/instructions.py [--update] [--json]

Runs counted_calls.py under valgrind's callgrind. What tokentrace adds to a call is divided by what
one span and two histogram records written by hand add to it in the same run, so that versions of Python
and OpenTelemetry matter less; `import tokentrace` by `import asyncio`. Fails where a ratio passes its bound in
instructions.toml by more than the slack that is written there; ``--update`` writes today's ratios as bounds.
Without valgrind (Debian: apt-get install valgrind) it says so and is skipped. Takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
BOUNDS = HERE / "instructions.toml"
WORK = HERE / "counted_calls.py"
OPERATOR = "PyNumber_MatrixMultiply"
# The order of sets, and of what hangs on it, is the same in every run; no thread wakes meanwhile.
STEADY = {"PYTHONHASHSEED": "0", "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
HEAD = """\
# Instructions that tokentrace adds, over those of a reference in the same run. Written by
# `python bench/instructions.py --update`; a run fails that passes one by more than the slack.
slack = {slack}

[ratios]
"""


class Unusable(Exception):  # noqa: N818 - it says what happened
    """The work did not run, or callgrind counted nothing."""


def counted(work: Path) -> dict[str, list[int]] | int:
    """Return the instructions of each run of each work of a script, or the exit code where there are none.

    Why there are none is printed: no valgrind, which is no error, or a work that does not run.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("no valgrind here: instructions are not counted (Debian: apt-get install valgrind)")
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            return counts(Path(folder), valgrind, work)
    except Unusable as error:
        print(error, file=sys.stderr)
        return 2


def counts(folder: Path, valgrind: str, work: Path | None = None) -> dict[str, list[int]]:
    """Return the instructions of each run of each work.

    Args:
        folder: for what callgrind writes.
        valgrind: the program.
        work: the script of the works, where it is not ours.

    Raises:
        Unusable: the work fails, or the interpreter's symbols are not there.
    """
    environment = os.environ | STEADY
    run = [sys.executable, str(work or WORK)]
    # once without: it says what is wrong, and leaves compiled files behind
    names = json.loads(ran(run, environment).splitlines()[-1])
    out = folder / "out"
    environment["BENCH_VGDB"] = str(Path(valgrind).with_name("vgdb"))
    tool = [valgrind, "--tool=callgrind", f"--callgrind-out-file={out}"]
    tool += ["--instr-atstart=no", "--collect-atstart=no"]
    tool += [f"--toggle-collect={OPERATOR}", f"--dump-after={OPERATOR}"]
    ran([*tool, *run], environment)
    found: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names, 1):
        found[name].append(total(folder / f"out.{place}"))
    return found


def ran(command: list[str], environment: Mapping[str, str]) -> str:
    """Return what a command prints.

    Raises:
        Unusable: it fails.
    """
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unusable(done.stderr.strip()[-800:])
    return done.stdout


def total(file: Path) -> int:
    """Return the instructions of a dump.

    Raises:
        Unusable: it is not there, or holds none.
    """
    found = re.search(
        r"^totals: (\d+)", file.read_text("utf-8") if file.exists() else "", re.MULTILINE
    )
    if found is None or found[1] == "0":
        raise Unusable(f"callgrind counted nothing: has {sys.executable} the symbol {OPERATOR}?")
    return int(found[1])


def ratios(found: Mapping[str, list[int]]) -> dict[str, float]:
    """Return ours over the reference, both less the bare work, by row; medians of the runs."""
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for name, runs in found.items():
        row, _, way = name.rpartition("/")
        rows[row][way] = sorted(runs)[len(runs) // 2]
    return {
        row: round((of["ours"] - of.get("bare", 0)) / (of["reference"] - of.get("bare", 0)), 3)
        for row, of in rows.items()
    }


def passed(measured: Mapping[str, float], bounds: Mapping[str, float], slack: float) -> list[str]:
    """Return what passes its bound, or has none, as lines."""
    lines = []
    for row, ratio in measured.items():
        bound = bounds.get(row)
        if bound is None:
            lines.append(f"{row}: {ratio} has no bound; --update writes one")
        elif ratio > bound * (1 + slack):
            over = 100 * (ratio / bound - 1)
            lines.append(
                f"{row}: {ratio} is {over:.0f} % over {bound}, {100 * slack:.0f} % are left to it"
            )
    return lines


def written(measured: Mapping[str, float], slack: float) -> str:
    """Return the file of bounds."""
    return HEAD.format(slack=slack) + "".join(
        f'"{row}" = {ratio}\n' for row, ratio in measured.items()
    )


def main() -> int:
    """Count, print and judge; 1 where a bound is passed."""
    parser = argparse.ArgumentParser(description="Count the instructions of the hot path.")
    parser.add_argument("--update", action="store_true", help="take today's ratios as bounds")
    parser.add_argument("--json", action="store_true", help="print the instructions of each work")
    given = parser.parse_args()
    found = counted(WORK)
    if isinstance(found, int):
        return found
    measured = ratios(found)
    if given.json:
        print(json.dumps(found, indent=1))
    kept = (
        tomllib.loads(BOUNDS.read_text("utf-8"))
        if BOUNDS.exists()
        else {"slack": 0.08, "ratios": {}}
    )
    if given.update:
        BOUNDS.write_text(written(measured, kept["slack"]), encoding="utf-8")
    for row, ratio in measured.items():
        print(f"{row:36} {ratio:8.3f}   bound {kept['ratios'].get(row, '-')}")
    lines = [] if given.update else passed(measured, kept["ratios"], kept["slack"])
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
