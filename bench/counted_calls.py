"""The fixed work whose instructions are counted: calls without, with a span by hand, and with tokentrace.

    python bench/counted_calls.py

Run under callgrind with its ``vgdb`` named in BENCH_VGDB, it has the slow part of callgrind off while it
imports and prepares. What is counted happens inside of the operator ``@``: nothing else in the process uses it, so callgrind is
told to collect within CPython's function behind it, and to write down its count at each return. Prints
the names of the works in their order, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

SIZES = (10, 1_000)
CALLS = 12
WARM = 4
UNHURRIED = 3_600.0  # seconds


class Counted:
    """What is counted: ``counted @ work`` runs the work."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __matmul__(self, work: Callable[[], Any]) -> Any:
        return work()

    def run(self, name: str, work: Callable[[], Any]) -> None:
        """Run a work that is counted under a name; the same name again adds to it."""
        self.names.append(name)
        self @ work


def switch(state: str) -> None:
    """Turn callgrind's instrumentation ``on`` or ``off``; without callgrind do nothing.

    Spins while it waits: callgrind looks for commands between pieces of code that run.
    """
    vgdb = os.environ.get("BENCH_VGDB")
    if vgdb:
        command = [vgdb, f"--pid={os.getpid()}", "instrumentation", state]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as told:
            while told.poll() is None:
                pass


def imports(counted: Counted) -> None:
    """Import tokentrace, and something of the standard library to compare it with."""
    switch("on")
    counted.run("import tokentrace/ours", partial(__import__, "tokentrace"))
    counted.run("import tokentrace/reference", partial(__import__, "asyncio"))
    switch("off")


def calls(counted: Counted) -> None:
    """Call with nothing new, and with two new messages, in every way."""
    from calling import FLOOR, OURS, Talk, begun
    from calling import counted as tokens
    from instrumentations import Telemetry
    from stubbed import Stub

    # Under callgrind a thread's CPU is fifty times as slow: a large prompt would be counted over many
    # calls, within their budgets, and each of these would be weighed with a part of that.
    import_module("tokentrace.instrument.counts").BUDGET = UNHURRIED
    stub = Stub()
    places, standing = begun((OURS, FLOOR), stub, Telemetry())
    switch("on")
    ways = {"bare": "bare", OURS: "ours", FLOOR: "reference"}
    for size in SIZES:
        for new in (0, 2):
            row = f"call, {size} messages, {new or 'nothing'} new"
            for way, short in ways.items():
                talk = Talk(stub, size, new, tokens)
                with places.standing(standing[way]):
                    one(counted, f"{row}/{short}", talk)


def one(counted: Counted, name: str, talk: Any) -> None:
    """Warm a conversation up, and count its calls one by one."""
    for _ in range(WARM):
        talk.again()
        talk.longer()()
    talk.again()
    for _ in range(CALLS):
        counted.run(name, talk.longer())


def run(*works: Callable[[Counted], None]) -> None:
    """Do works that are counted, print their names and end."""
    gc.disable()
    warnings.simplefilter("ignore")
    counted = Counted()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENTRACE_DIR"] = folder
        for work in works:
            work(counted)
    print(json.dumps(counted.names))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    run(imports, calls)
