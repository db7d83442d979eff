"""Fuzz what reads foreign input: ``python fuzz [target …] [--seconds N]``.

Each target runs in a process of its own, under atheris (libFuzzer for Python), in an environment that
is made at the first run in ``.fuzz/``. What breaks a property lies in ``.fuzz/found/TARGET`` afterwards,
and the command ends with 1. ``--here`` uses the environment that runs this. ``--keep`` puts what the
runs reached into ``fuzz/corpus``, the smallest inputs first.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

from fuzzing import kept

FUZZ = Path(__file__).parent
TOP = FUZZ.parent
WORK = TOP / ".fuzz"
ENGINE = "atheris==3.0.0"
SECONDS = 600
OPTIONS = ("-timeout=60", "-rss_limit_mb=2500", "-print_final_stats=1")
DONE = re.compile(r"^#(\d+)\s.*\bcov: (\d+) ft: (\d+)", re.MULTILINE)
NAMES = kept.NAMES


def environment() -> str:
    """Return the interpreter of an environment with the engine and this package, made where missing."""
    python = WORK / "env" / "bin" / "python"
    if not python.exists():
        venv.create(WORK / "env", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", ENGINE, "-e", TOP], check=True)
    return str(python)


def run(python: str, name: str, seconds: int, seed: int = 0) -> bool:
    """Fuzz one target; print a line about it, and all that the engine said where it found something."""
    corpus, found = WORK / "corpus" / name, WORK / "found" / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    command = [python, str(FUZZ / "fuzzing" / "driver.py"), name, str(corpus), str(corpus)]
    bounds = [f"-max_total_time={seconds}", f"-seed={seed}"]
    options = [*OPTIONS, *bounds, f"-artifact_prefix={found}/"]
    hashes = str(seed) if seed else "random"
    environ = {**os.environ, "PYTHONPATH": str(FUZZ), "PYTHONHASHSEED": hashes}
    ended = subprocess.run(
        [*command, *options], check=False, env=environ, cwd=WORK,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    last = (DONE.findall(ended.stdout) or [("0", "0", "0")])[-1]
    verdict = "nothing found" if ended.returncode == 0 else f"FOUND something: {found}"
    print(
        f"{name:<12} {int(last[0]):>10,} runs  {last[1]:>6} edges  {last[2]:>6} features  {verdict}",
        flush=True,
    )
    if ended.returncode:
        print(ended.stdout[-6_000:])
    return ended.returncode == 0


def main() -> None:
    """Fuzz the targets that are named, all of them by default."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="the same inputs each time; 0: others")
    parser.add_argument("--here", action="store_true", help="in this environment")
    parser.add_argument("--keep", action="store_true", help="keep what was reached, then end")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(NAMES):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if given.keep:
        for name in given.targets or NAMES:
            kept.keep(name, WORK / "corpus" / name)
        return
    WORK.mkdir(exist_ok=True)
    python = sys.executable if given.here else environment()
    bounds = given.seconds, given.seed
    found = [name for name in given.targets or NAMES if not run(python, name, *bounds)]
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
