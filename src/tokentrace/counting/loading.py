"""What is loaded aside, so that no call waits: each once at a time, and anew after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Loads(Generic[K]):
    """Loads that go on, on threads of their own.

    The interpreter's exit waits for them: a daemon thread that dies inside Rust aborts the process.

    Args:
        name: of the threads.

    Attributes:
        lock: held by a load. Re-entrant: a finaliser that runs meanwhile may count text of its own.
        under_way: what was begun and has not ended.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        """Take a lock that nobody holds, and forget loads that went on in a parent process."""
        self.lock = threading.RLock()
        self.under_way: set[K] = set()

    def begin(self, key: K, load: Callable[[K], Any]) -> None:
        """Start ``load(key)``, unless it is on its way; never raises.

        Without the lock, which a running load holds: two threads at once cost no second load.
        """
        if key in self.under_way:
            return
        self.under_way.add(key)
        try:
            threading.Thread(target=self._run, args=(key, load), name=self._name).start()
        except RuntimeError:  # no more threads, or the interpreter is shutting down
            self.under_way.discard(key)

    def _run(self, key: K, load: Callable[[K], Any]) -> None:
        try:
            load(key)
        finally:
            self.under_way.discard(key)
