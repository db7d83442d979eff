"""The one place where counted things are remembered: bounded by bytes, least recently used first.

Everything in it can be computed again; forgetting costs time, never a number.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any

LIMIT_BYTES = 2**25
# Bytes of an entry beside its content: two tuples, the table's slot and its list node. Measured
# with tracemalloc on CPython 3.11.7 (2026-11-22); a test holds the store to it.
ENTRY_BYTES = 320


class Store:
    """A thread-safe table from keys to values, bounded by the sizes that callers state.

    Attributes:
        limit_bytes: bytes that all entries together may take.
        used_bytes: bytes that they take, each with `ENTRY_BYTES` of its own.
    """

    __slots__ = ("_entries", "_lock", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        # Re-entrant: a finaliser that runs inside `put` may count text of its own.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Any:
        """Return the value of ``key``, or None; it is now the most recently used."""
        entries = self._entries
        # Each step is one atomic operation of the table, so looking up needs no lock.
        found = entries.get(key)
        if found is None:
            return None
        try:
            entries.move_to_end(key)
        except KeyError:
            return None
        return found[0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Remember ``value``, which takes ``size`` bytes with its key, and forget the oldest.

        What takes more than the whole limit is not remembered.
        """
        self.put_all(((key, value, size),))

    def put_all(self, given: Iterable[tuple[Hashable, Any, int]]) -> None:
        """Remember many values at once: of each its key, itself and its bytes, as for `put`."""
        entries, limit = self._entries, self.limit_bytes
        with self._lock:
            for key, value, size in given:
                if key in entries:
                    self.used_bytes -= entries.pop(key)[1]
                size += ENTRY_BYTES  # noqa: PLW2901 - with its own
                if size <= limit:
                    entries[key] = (value, size)
                    self.used_bytes += size
                while entries and self.used_bytes > limit:
                    _, (_, freed) = entries.popitem(last=False)
                    self.used_bytes -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.used_bytes = 0

    def after_fork(self) -> None:
        """Take a new lock in the child; forget everything where a thread of the parent wrote."""
        torn = not self._lock.acquire(blocking=False)
        self._lock = threading.RLock()
        if torn:
            self._entries = OrderedDict()
            self.used_bytes = 0


STORE = Store()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STORE.after_fork)
