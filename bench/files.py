"""Spans on their way into local files: full disks, read-only folders, kills, many processes, rotation.

`measure` runs writers in processes of their own, and reads back what they left with the package's own
reader. The writers are ``files.py write``. What needs a file system of its own needs root (`mount`).
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__)
KILLS = 20
SCALE = 16  # a folder's bounds are that much smaller where it is to run full


# ── the writer ───────────────────────────────────────────────────────────────────────────────────


def write(spans: int, threads: int, scale: int, tally: str) -> None:
    """Make spans as fast as a few threads can; print what was dropped.

    Args:
        spans: how many, in all.
        threads: that make them.
        scale: the folder's bounds, divided by that.
        tally: a file of eight bytes in which the number made so far stands.
    """
    from tokentrace import telemetry
    from tokentrace.prompt import CallRecord
    from tokentrace.telemetry import local

    local.FILE_BYTES //= scale
    local.KEEP_BYTES //= scale
    local.LEAST_LOOK //= scale
    telemetry.configure(exporter="local")
    told = mmap.mmap(os.open(tally, os.O_RDWR), 8)
    lock = threading.Lock()
    made = [0]

    def work(most: int) -> None:
        for number in range(most):
            record = CallRecord(
                model="gpt-4o", session="s", turn=number, tokens=100, method="exact",
                components={"history": 60, "user": 40}, limit=1_000,
            )  # fmt: skip
            telemetry.open_call(record).close(record)
            with lock:
                made[0] += 1
                told[:] = made[0].to_bytes(8, "little")
            if number % 100 == 99:
                time.sleep(0.01)  # an agent waits for its provider: nobody makes spans all the time

    workers = [threading.Thread(target=work, args=(spans // threads,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    telemetry.shutdown()
    print(json.dumps(dict(telemetry.dropped())))


class Writer:
    """A process that writes spans into a folder."""

    def __init__(
        self, folder: Path, place: Path, spans: int, threads: int = 4, scale: int = 1
    ) -> None:
        self.tally = place / f"tally-{time.monotonic_ns()}"
        self.tally.write_bytes(bytes(8))
        told = [str(one) for one in (spans, threads, scale, self.tally)]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), "write", *told],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TOKENTRACE_DIR": str(folder), "TOKENTRACE_COSTS": "0"},
        )

    @property
    def made(self) -> int:
        """How many spans it has made."""
        return int.from_bytes(self.tally.read_bytes(), "little")

    def end(self) -> int:
        """Wait for its end; return how many spans it says it dropped."""
        out, err = self.process.communicate(timeout=300)
        if self.process.returncode or "Traceback" in err:
            raise SystemExit(err)
        return sum(json.loads(out).values())

    def kill(self, after: int) -> None:
        """Kill it once it has made so many spans."""
        while self.made < after and self.process.poll() is None:
            time.sleep(0.002)
        self.process.kill()
        self.process.communicate()


# ── reading back ─────────────────────────────────────────────────────────────────────────────────


def read(folder: Path) -> tuple[int, int, int]:
    """Return what a folder holds: spans that our reader finds, whole lines, lines that are torn."""
    from tokentrace import readers

    whole = torn = 0
    for file in folder.glob("*.jsonl"):
        for line in file.read_bytes().split(b"\n"):
            try:
                whole += "resourceSpans" in json.loads(line) if line else 0
            except ValueError:
                torn += 1
    problems = readers.Problems()
    found = sum(1 for _ in readers.read([str(folder)], problems)) if whole else 0
    return found, whole, torn


def row(made: int, folder: Path, dropped: int, removed: str = "") -> dict[str, Any]:
    """Return the figures of a row."""
    found, whole, torn = read(folder)
    missing = made - found - dropped
    return {
        "made": made,
        "read back": found,
        "dropped": dropped,
        "torn lines": torn,
        "whole lines not read": whole - found,
        "in no count": 0 if removed else missing,
        "removed": missing if removed else 0,
    }


@contextmanager
def mounted(place: Path, options: str) -> Iterator[bool]:
    """Have a small file system at a place; whether there is one."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    there = (
        shutil.which("mount") is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    try:
        yield there
    finally:
        if there:
            subprocess.run(["umount", "-l", str(place)], check=True)


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────


def well(place: Path, spans: int) -> dict[str, Any] | None:
    """Nothing is wrong."""
    writer = Writer(place / "t", place, spans)
    dropped = writer.end()
    return row(writer.made, place / "t", dropped)


def full(place: Path, spans: int) -> dict[str, Any] | None:
    """The disk has room for 2 MB."""
    with mounted(place / "disk", "size=2m") as there:
        if not there:
            return None
        writer = Writer(place / "disk" / "t", place, spans)
        dropped = writer.end()
        return row(writer.made, place / "disk" / "t", dropped)


def read_only(place: Path, spans: int) -> dict[str, Any] | None:
    """The folder's file system is read-only."""
    with mounted(place / "disk", "size=2m,ro") as there:
        if not there:
            return None
        writer = Writer(place / "disk" / "t", place, spans)
        dropped = writer.end()
        return row(writer.made, place / "disk" / "t", dropped)


def killed(place: Path, spans: int) -> dict[str, Any] | None:
    """Processes are killed while they write, one after the other."""
    made = 0
    for number in range(KILLS):
        writer = Writer(place / "t", place, 10**9)
        writer.kill(after=200 + number * spans // KILLS // 4)
        made += writer.made
    return row(made, place / "t", 0)


def eight(place: Path, spans: int) -> dict[str, Any] | None:
    """Eight processes write at the same time; all of it together fits into the folder."""
    writers = [Writer(place / "t", place, spans // 16) for _ in range(8)]
    dropped = sum(writer.end() for writer in writers)
    return row(sum(writer.made for writer in writers), place / "t", dropped)


def rotated(place: Path, spans: int) -> dict[str, Any] | None:
    """Four processes write many times what the folder may hold."""
    writers = [Writer(place / "t", place, spans // 4, scale=SCALE) for _ in range(4)]
    dropped = sum(writer.end() for writer in writers)
    made = sum(writer.made for writer in writers)
    figures = row(made, place / "t", dropped, "by rotation")
    size = sum(file.stat().st_size for file in (place / "t").glob("*.jsonl"))
    return {**figures, "MB": round(size / 2**20, 1)}


def deleted(place: Path, spans: int) -> dict[str, Any] | None:
    """Somebody deletes the folder again and again."""
    writer = Writer(place / "t", place, spans)
    step = spans // 10
    for number in range(1, 9):
        while writer.made < number * step and writer.process.poll() is None:
            time.sleep(0.002)
        shutil.rmtree(place / "t", ignore_errors=True)
    dropped = writer.end()
    return row(writer.made, place / "t", dropped, "by hand")


ROWS: dict[str, Callable[[Path, int], dict[str, Any] | None]] = {
    "nothing wrong": well,
    "full disk": full,
    "read-only": read_only,
    "killed, 20 times": killed,
    "eight processes": eight,
    "rotation": rotated,
    "folder deleted": deleted,
}


def measure(name: str, spans: int) -> dict[str, Any] | None:
    """Return the figures of one row; None where this machine cannot do it."""
    with tempfile.TemporaryDirectory() as place:
        return ROWS[name](Path(place), spans)


if __name__ == "__main__":
    write(*map(int, sys.argv[2:5]), sys.argv[5])
