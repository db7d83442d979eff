"""Processes that are somebody's agent: bounded in time and in what is kept of their output.

Each leads a process group of its own, which ends as a whole: first asked, then killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

KEPT = 2**20  # bytes of an output that are looked at
TAIL = 4_096  # bytes of it that are shown when something went wrong
FLOOD = 64 * 2**20  # bytes after which a process is ended
GRACE = 5.0  # seconds between asking and killing
DRAIN = 2.0  # seconds for output after the end; a child in the background may hold the pipe
STEP = 0.02
GONE = (ProcessLookupError, PermissionError)  # macOS refuses to signal a group of the dead


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """The run is being ended, no process may start."""


class Family:
    """The processes that live now, so that all of them can be ended at once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: set[Child] = set()
        self.ended = False

    def start(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        *,
        fed: bool = False,
        passed: tuple[int, ...] = (),
    ) -> Child:
        """Start a process.

        Args:
            words: program and arguments, which no shell sees.
            variables: its whole environment.
            fed: it has a standard input that is written; else it is empty.
            passed: file descriptors that it inherits.

        Raises:
            OSError: it cannot be started.
            Stopped: the run is being ended.
        """
        with self._lock:
            if self.ended:
                raise Stopped
            child = Child(words, variables, fed=fed, passed=passed)
            self._living.add(child)
        return child

    def leave(self, child: Child) -> None:
        """Forget a process that has ended."""
        with self._lock:
            self._living.discard(child)

    def end(self) -> None:
        """End every process, and let none start any more."""
        with self._lock:
            self.ended = True
            living = tuple(self._living)
        try:
            end(living)
        finally:  # whoever asks a second time does not wait
            for child in living:
                child.kill()


class Output:
    """What is kept of a stream: its beginning and its end."""

    def __init__(self) -> None:
        self.size = 0
        self._head = bytearray()
        self._tail = b""

    def take(self, block: bytes) -> None:
        """Take some more."""
        self.size += len(block)
        self._head += block[: max(0, KEPT - len(self._head))]
        self._tail = (self._tail + block)[-TAIL:]

    @property
    def text(self) -> str:
        """The first mebibyte."""
        return self._head.decode(errors="replace")

    @property
    def end(self) -> str:
        """The last lines."""
        return self._tail.decode(errors="replace").strip()


class Child:
    """One process, the first of its group.

    Attributes:
        out, err: what it wrote.
        flooded: it wrote so much that it was ended.
        stdin: its standard input where it is fed, else None.
    """

    def __init__(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        *,
        fed: bool,
        passed: tuple[int, ...],
    ) -> None:
        self.flooded = False
        self._process = subprocess.Popen(  # noqa: S603 - the user's own program, without a shell
            words, env=dict(variables), stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=passed, bufsize=0,
            start_new_session=True,
        )  # fmt: skip
        self.stdin = self._process.stdin
        self.out, self._reads_out = self._reader(self._process.stdout)
        self.err, self._reads_err = self._reader(self._process.stderr)

    def _reader(self, stream: IO[bytes] | None) -> tuple[Output, threading.Thread]:
        assert stream is not None
        output = Output()
        thread = threading.Thread(target=self._read, args=(stream, output), daemon=True)
        thread.start()
        return output, thread

    def _read(self, stream: IO[bytes], output: Output) -> None:
        with stream, suppress(OSError, ValueError):
            while block := stream.read(2**16):
                output.take(block)
                if output.size > FLOOD and not self.flooded:
                    self.flooded = True
                    self.kill()

    def feed(self, content: bytes) -> None:
        """Write all of its standard input from a thread; it need not read it."""

        def work() -> None:
            self.write(content)
            self.write(None)

        threading.Thread(target=work, daemon=True).start()

    def write(self, content: bytes | None) -> None:
        """Write to its standard input, which it may have closed; None ends it."""
        assert self.stdin is not None
        with suppress(OSError, ValueError):
            if content is None:
                self.stdin.close()
                return
            view = memoryview(content)
            while view:
                view = view[self.stdin.write(view) :]

    def wait(self, seconds: float) -> int | None:
        """Return the exit code (negative: the signal), or None where the time was not enough."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        until = time.monotonic() + DRAIN
        for thread in (self._reads_out, self._reads_err):
            thread.join(max(0.0, until - time.monotonic()))
        return code

    def ask(self) -> None:
        """Ask the group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the group."""
        self._signal(signal.SIGKILL)

    def lives(self) -> bool:
        """Whether anybody of the group is left."""
        self._process.poll()
        with suppress(*GONE):
            os.killpg(self._process.pid, 0)
            return True
        return False

    def _signal(self, number: int) -> None:
        with suppress(*GONE):
            os.killpg(self._process.pid, number)


def end(group: Sequence[Child]) -> None:
    """End processes with all that they started: ask them, wait a little for all at once, kill."""
    for child in group:
        child.ask()
    until = time.monotonic() + GRACE
    while time.monotonic() < until and any(child.lives() for child in group):
        time.sleep(STEP)
    for child in group:
        child.kill()
    for child in group:
        child.wait(GRACE)
