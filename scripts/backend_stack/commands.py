"""Builds and runs the programs that traces are looked at in: Collector, Jaeger and Prometheus.

build   the OpenTelemetry Collector (two versions) and Jaeger from their Go modules, Prometheus out
        of Debian's package where it is not on PATH; what is built already is kept
up      starts them on free ports of loopback, waits until they answer, prints where they are
down    ends exactly what `up` started
test    up, then pytest tests/backends, then down, whatever happens; where no Python at hand has
        tokentrace and what the tests need, it makes an environment in .backends/venv

Needs Python 3.11 and Go, nothing else, in a fresh clone too. What is built lies in TOKENTRACE_BACKENDS_CACHE, by default
~/.cache/tokentrace/backends, under a name that is made from all that went into it. With TEMPO_URL
the tests ask that Tempo, too, and the Collector sends to TEMPO_ENDPOINT, by default its port 4317.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backend_stack import building, running
from backend_stack.processes import StackError, alive, born, end, end_old, owned, say, story, work

TOP = building.HERE.parents[1]
STATE = "state.json"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OWN = TOP / ".backends" / "venv"
# A nox environment is not among them: what it has of tokentrace may be older than the checkout.
PYTHONS = (sys.executable, str(TOP / ".venv" / "bin" / "python"), str(OWN / "bin" / "python"))
NEEDED = "import genai_prices, hypothesis, openai, pytest, tokentrace"


def build(_options: argparse.Namespace) -> int:
    """Build or fetch what is not there yet."""
    building.everything()
    return 0


def read(folder: Path) -> dict[str, Any]:
    """Return what `up` left in a folder, empty where nothing was started."""
    try:
        return dict(json.loads((folder / STATE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def ours(state: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return the processes of a state that still run, the last started first."""
    told = [(one["pid"], one["born"]) for one in reversed(state.get("running", ()))]
    return [one for one in told if alive(*one)]


def write(folder: Path, state: Mapping[str, Any], processes: Sequence[Any]) -> None:
    """Leave word of what runs."""
    told = [{"pid": one.pid, "born": born(one.pid)} for one in processes]
    text = json.dumps({**state, "running": told}, indent=1)
    (folder / STATE).write_text(text, encoding="utf-8")


def up(options: argparse.Namespace) -> int:
    """Start everything and leave it running."""
    folder = Path(options.dir).resolve()
    state = read(folder)
    left = ours(state)
    if not left or len(left) < len(state["running"]):
        for one in left:
            end_old(*one)
        state = _up(folder, options.collector)
    for name, where in state["places"].items():
        say(f"{name:<12}{where}")
    endpoint = f"OTEL_EXPORTER_OTLP_ENDPOINT={state['places']['otlp_http']}"
    say(f"\n{endpoint} tokentrace demo --exporter otlp")
    return 0


def _up(folder: Path, which: str) -> dict[str, Any]:
    found = building.everything()
    folder.mkdir(parents=True, exist_ok=True)
    programs, places = running.plan(found, which, folder)
    state = {"places": places, "found": asdict(found), "collector": which}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        running.start_all(programs, folder, processes, apart=True)
        write(folder, state, processes)
    except BaseException:
        end_all(processes)
        raise
    return state


def end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes of our own, the last started first; nothing interrupts that."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for process in reversed(processes):
        end(process)


def down(options: argparse.Namespace) -> int:
    """End what `up` started."""
    folder = Path(options.dir).resolve()
    found = ours(read(folder))
    for pid, since in found:
        end_old(pid, since)
        say(f"process {pid} has ended")
    (folder / STATE).unlink(missing_ok=True)
    if not found:
        say("nothing runs")
    return 0


def interpreter() -> str:
    """Return a Python that has tokentrace and what its tests need, made where none is at hand.

    Raises:
        StackError: it cannot be made.
    """
    for python in filter(shutil.which, PYTHONS):
        command = [python, "-c", NEEDED]
        if not subprocess.run(command, capture_output=True, check=False).returncode:
            return python
    python, log = str(OWN / "bin" / "python"), OWN.with_suffix(".log")
    OWN.parent.mkdir(parents=True, exist_ok=True)
    install = [python, "-m", "pip", "install", "-q"]
    work(f"making {OWN.relative_to(TOP)}", [sys.executable, "-m", "venv", "--clear", str(OWN)], log)
    work("installing pip", [*install, "-U", "pip"], log)  # the one of venv knows no groups
    wanted = ["-e", ".[cost,demo]", "--group", "pytest"]
    work("installing tokentrace and what its tests need", [*install, *wanted], log, cwd=TOP)
    return python


def test(options: argparse.Namespace) -> int:
    """Start everything, run the tests against it, end everything."""
    python, found = interpreter(), building.everything()
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="tokentrace-backends-") as scratch:
        folder = Path(scratch)
        programs, places = running.plan(found, options.collector, folder)
        try:
            running.start_all(programs, folder, processes, apart=False)
            write(folder, {"places": places, "found": asdict(found)}, processes)
            tests = str(TOP / "tests" / "backends")
            command = [python, "-m", "pytest", tests, *options.pytest]
            path = f"{Path(found.prometheus).parent}{os.pathsep}{os.environ['PATH']}"
            told = os.environ | {"TOKENTRACE_BACKENDS": str(folder / STATE), "PATH": path}
            with owned(command, env=told, cwd=TOP) as process:
                code = process.wait()
            for program in programs if code else ():
                story(folder / f"{program.name}.log")
        except StackError as error:
            tell(error)  # as long as its log is there
            raise
        finally:
            end_all(processes)
    return code


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    whole = argparse.ArgumentParser(
        prog="scripts/backends",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(required=True, metavar="build|up|down|test")
    added = {}
    for does in (build, up, down, test):
        told = (does.__doc__ or "").rstrip(".")
        added[does] = commands.add_parser(does.__name__, help=told, description=told)
        added[does].set_defaults(does=does)
    for one in (added[up], added[test]):
        rows = building.COLLECTORS
        one.add_argument("--collector", choices=rows, default="newest", help="the one that runs")
    for one in (added[up], added[down]):
        help_text = "folder of logs and state (%(default)s)"
        one.add_argument("--dir", default=TOP / ".backends", help=help_text)
    added[test].add_argument("pytest", nargs="*", help="arguments of pytest, behind --")
    return whole


def interrupted(number: int, _frame: object) -> None:
    """Leave by an exception, so that everything is ended on the way."""
    sys.exit(128 + number)


def tell(error: StackError) -> None:
    """Print the end of the log that a fault names."""
    if error.log is not None:
        story(error.log)


def careful(name: str, does: Callable[[], int]) -> int:
    """Do something that starts processes; return an exit code. A fault is told, and where its log ends."""
    for number in SIGNALS:
        signal.signal(number, interrupted)
    try:
        return does()
    except StackError as error:
        tell(error)
        print(f"{name}: {error}", file=sys.stderr)
        return 1


def main() -> int:
    """Run the command; return an exit code."""
    options = parser().parse_args()
    return careful("scripts/backends", lambda: int(options.does(options)))
