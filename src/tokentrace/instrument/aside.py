"""A thread that counts large new text, so that neither an event loop nor a call waits for it.

There is one, made when it is needed, which ends when it has nothing to do. It is no daemon: one that
dies inside Rust aborts the process. So the interpreter's exit waits for it, and from then on it
estimates what it has not counted. Work is done in the order in which it came.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from types import BuiltinFunctionType
from typing import Any

from tokentrace._failsafe import attempt
from tokentrace.counting.pace import giving_way
from tokentrace.telemetry import sources

MOST_WAITING = 64
MOST_LETTERS = 2**26  # of the texts of all that waits
PATIENCE = 1.0  # seconds that a flush waits for counts
GRACE = 1.0  # seconds more for the estimates instead


class Work:
    """Something that is done aside.

    Args:
        do: is called there, in the caller's context.
        letters: of the texts that it holds.

    Attributes:
        done: it is over.
    """

    def __init__(self, do: Callable[[], Any], letters: int) -> None:
        self._do: Callable[[], Any] | None = partial(copy_context().run, attempt, do)
        self._after: deque[Callable[[], Any]] = deque()
        self.letters = letters
        self.done = False

    def run(self) -> None:
        """Do it, and what was to follow."""
        do, self._do = self._do, None
        try:
            if do is not None:
                do()
        finally:
            self.done = True
            self._follow()

    def then(self, work: Callable[[], Any]) -> None:
        """Have ``work()`` called when it is done: on that thread, or now."""
        self._after.append(work)
        if self.done:
            self._follow()

    def _follow(self) -> None:
        """Call what has to follow; each once, whichever thread comes first."""
        while self._after:
            try:
                work = self._after.popleft()
            except IndexError:
                return
            attempt(work)

    def join(self, seconds: float) -> None:
        """Wait until it is done, on a thread that may stand still."""
        over = threading.Event()
        self.then(over.set)
        over.wait(seconds)

    def wait(self) -> Coroutine[Any, Any, None] | None:
        """Return what an event loop awaits until it is done; None where no loop of asyncio runs."""
        loop = running()
        return None if loop is None else self._awaited(loop)

    async def _awaited(self, loop: Any) -> None:
        over = loop.create_future()

        def tell() -> None:
            if not over.done():
                over.set_result(None)

        self.then(partial(_call_soon, loop, tell))
        await over


def _call_soon(loop: Any, tell: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)


def running() -> Any:
    """Return the loop of asyncio that runs on this thread, or None."""
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001 - public in name only


class Bench:
    """Where work lies until it is done."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.renew()

    def renew(self) -> None:
        """Begin anew: in a fork's child there is no thread, and the parent's work is the parent's."""
        self._lock = threading.RLock()
        self._idle = threading.Event()
        self._idle.set()
        self._waiting: deque[Work] = deque()
        self._letters = 0
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None
        self.counts.clear()

    def put(self, work: Work) -> bool:
        """Take work in; False, and counted, where there is too much of it or no thread to do it."""
        with self._lock:
            full = len(self._waiting) >= MOST_WAITING or self._letters + work.letters > MOST_LETTERS
            reason = "full" if full and self._waiting else "" if self._start(work) else "no thread"
            self.counts[reason or "taken"] += 1
        return not reason

    def _start(self, work: Work) -> bool:
        """Put work on the bench, and somebody to it."""
        if patched():
            return False
        self._waiting.append(work)
        self._letters += work.letters
        if self._thread is not None:
            return True
        thread = threading.Thread(target=self._run, name="tokentrace-count")
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is shutting down
            self._waiting.pop()
            self._letters -= work.letters
            return False
        self._thread = thread
        self._idle.clear()
        return True

    def _run(self) -> None:
        try:
            with giving_way():
                while (work := self._next()) is not None:
                    attempt(work.run)
                    del work  # what it holds is free before the next comes
        finally:
            self._leave()

    def _leave(self) -> None:
        """The thread is over."""
        with self._lock:
            if self._thread is threading.current_thread():
                self._thread = None
                self._idle.set()

    def _next(self) -> Work | None:
        """Take the oldest work; without any the thread is over."""
        with self._lock:
            if self._thread is not threading.current_thread():
                return None  # a fork's child, or a bench begun anew
            if self._waiting:
                work = self._waiting.popleft()
                self._letters -= work.letters
                return work
            self._leave()
            return None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._thread is None

    def hurried(self) -> bool:
        """Whether what is counted now must come to an end: somebody has waited for it, or the exit has."""
        if self._deadline is None and not threading.main_thread().is_alive():
            self._deadline = time.monotonic() + PATIENCE
        deadline = self._deadline
        return deadline is not None and time.monotonic() > deadline

    def settle(self, seconds: float | None = None) -> None:
        """Wait for all of it, for so many seconds; then for the estimates that stand in for counts."""
        if self._thread in (None, threading.current_thread()):
            return
        patience = PATIENCE if seconds is None else seconds
        self._deadline = time.monotonic() + patience
        try:
            self._idle.wait(patience + GRACE)
        finally:
            self._deadline = None


def patched() -> bool:
    """Whether a thread is none: gevent's and the like run on the thread of the caller."""
    return not isinstance(_thread.start_new_thread, BuiltinFunctionType)


BENCH = Bench()
sources.CLOSING.insert(0, BENCH.settle)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BENCH.renew)
