"""One bounded table whose entries expire, for all that a process learns while it runs.

Limits that refusals told, contexts that a provider keeps, factors of models, questions asked: each is
a table of this kind. What is in it can be lost at any time; then it is learned again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FOREVER = float("inf")


class Keeping(Generic[K, V]):
    """A table of at most ``most`` entries, each for ``life`` seconds from its last change. Thread-safe.

    The entry that was changed longest ago goes first. A child after a fork has a lock of its own.
    The lock is re-entrant: a stream that is dropped is ended by the garbage collector, which may run
    while this very thread holds the table, and what it ended teaches something.

    Attributes:
        clock: gives seconds.
    """

    def __init__(
        self, most: int, life: float = FOREVER, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._most = most
        self._life = life
        self._kept: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._lock = threading.RLock()
        _TABLES.add(self)

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: K) -> V | None:
        """Return the value of ``key``, None where there is none, or not any more."""
        if not self._kept:
            return None
        with self._lock:
            return self._fresh(key)

    def change(self, key: K, work: Callable[[V | None], V | None]) -> V | None:
        """Put what ``work`` makes of the value of ``key`` in its place, and return it.

        Args:
            key: of the entry.
            work: gets the value, or None; runs under the table's lock. None takes the entry out, the
                very value that it got leaves the entry as it is.
        """
        with self._lock:
            before = self._fresh(key)
            value = work(before)
            if value is before:
                return value
            if value is None:
                self._kept.pop(key, None)
            else:
                self._put(key, value)
            return value

    def put(self, key: K, value: V) -> None:
        """Keep a value from now on."""
        with self._lock:
            self._put(key, value)

    def items(self) -> dict[K, V]:
        """Return what is kept, the entry changed last at the end."""
        with self._lock:
            found = ((key, self._fresh(key)) for key in tuple(self._kept))
            return {key: value for key, value in found if value is not None}

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()

    def renew(self) -> None:
        """Replace a lock that another thread may have held at a fork."""
        self._lock = threading.RLock()

    def _put(self, key: K, value: V) -> None:
        self._kept[key] = (value, self.clock() + self._life)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def _fresh(self, key: K) -> V | None:
        """Return a value; one whose time is over is dropped."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self.clock() >= kept[1]:
            self._kept.pop(key, None)
            return None
        return kept[0]


_TABLES: WeakSet[Keeping[Any, Any]] = WeakSet()


def _after_fork() -> None:
    for table in tuple(_TABLES):
        table.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
