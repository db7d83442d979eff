"""Processes that do not outlive whoever started them, and faults with their mend."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

GRACE = 10.0  # seconds that a process has to end by itself
BREATH = 30.0  # seconds between two lines that say that a long work goes on
STORY = 15  # lines of a log that are shown when something failed
ROUTINE = re.compile("\tinfo\t|level=info")


class StackError(Exception):
    """What went wrong, the mend, and the log that tells more."""

    def __init__(self, fault: str, mend: str = "", log: Path | None = None) -> None:
        self.log = log
        super().__init__(f"{fault}; {mend}" if mend else fault)


def say(text: str) -> None:
    """Print a line at once, so that a long work is seen to go on."""
    print(text, flush=True)


def story(log: Path) -> None:
    """Print the end of a log, without what servers say when all is well."""
    if log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if not ROUTINE.search(line)]
        print(f"── the end of {log}", *told[-STORY:], sep="\n", file=sys.stderr, flush=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, first politely."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)


@contextmanager
def owned(
    command: Sequence[str], sink: object = None, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a process group of its own; nothing of the group outlives the block."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sink,
        stderr=sink,
        start_new_session=True,
        **options,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        end(process)
        with suppress(ProcessLookupError):  # what it left behind
            os.killpg(process.pid, signal.SIGKILL)


def work(title: str, command: Sequence[str], log: Path, **options: object) -> None:
    """Run a command to its end, its output in ``log``, with a line every half minute.

    Raises:
        StackError: it failed.
    """
    began = time.monotonic()
    say(f"{title} …")
    code = None
    with log.open("ab") as sink, owned(command, sink, **options) as process:
        while code is None:
            try:
                code = process.wait(BREATH)
            except subprocess.TimeoutExpired:
                say(f"{title} … {time.monotonic() - began:.0f} s")
    if code:
        raise StackError(f"{title} failed with exit code {code}", f"the log is {log}", log)
    say(f"{title}: {time.monotonic() - began:.0f} s")


def born(pid: int) -> str:
    """Return when a process started, in ticks of its system; empty where that is not told."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return line.rpartition(")")[2].split()[19]


def alive(pid: int, since: str) -> bool:
    """Whether a process runs that was born then: not another one of the same number."""
    with suppress(ChildProcessError):  # not our child: an earlier `up` started it
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return born(pid) == since


def end_old(pid: int, since: str) -> None:
    """End a process that an earlier command may have started, if it is still that one."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE
        if alive(pid, since):
            os.kill(pid, number)
        while alive(pid, since) and time.monotonic() < deadline:
            time.sleep(0.05)
