"""What a session keeps between its turns, and the bounded table of all sessions."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from typing import Any

from tokentrace._tags import Tags
from tokentrace.lineage import Lineages

MOST_SESSIONS = 4_096
IDLE_SECONDS = 21_600.0
MOST_RUNS = 64
ROOM = 24 * 2**20


class Registry:
    """The mutable part of a session: shared by every task, thread and turn in it. Thread-safe.

    Attributes:
        session: its id; empty for what happens outside any session.
        tags: texts that bear a component's name.
        lineages: its lines of calls.
        turn: the number of its newest turn, 0 before the first.
        last_turn: for telemetry, which links a turn's span to the one before.
        assemblies: those that ended since the last call, see `context.note_hits`.
        found: hashes of the tags that calls have held.
        lens: what lays its tags over texts, kept for as long as they are the same.
        merged: for `context.tags`, which keeps what it put together.
        runs: turn numbers of the frameworks' runs seen last.
    """

    def __init__(self, session: str = "") -> None:
        self.session = session
        self.tags = Tags()
        self.lineages = Lineages(named=bool(session), most=16 if session else 512)
        self.turn = 0
        self.last_turn: Any = None
        self.assemblies: list[Any] = []
        self.lens: Any = None
        self.found: set[int] = set()
        self.merged: Any = None
        self.runs: OrderedDict[str, int] = OrderedDict()
        self.used = time.monotonic()
        self.weighed = 0
        self._lock = threading.RLock()

    def number(self, wanted: int | None, first: int) -> int:
        """Return the number of a turn that begins: ``wanted``, or one more than the newest."""
        with self._lock:
            if wanted is not None:
                self.turn = max(self.turn, wanted)
                return wanted
            self.turn = self.turn + 1 if self.turn else first
            return self.turn

    def turn_of(self, run: str) -> int:
        """Return the number of the turn that a framework's run is: a new one for a new run."""
        with self._lock:
            known = self.runs.get(run)
            number = self.number(None, 1) if known is None else known
            self.runs[run] = number
            self.runs.move_to_end(run)
            while len(self.runs) > MOST_RUNS:
                self.runs.popitem(last=False)
            return number

    @property
    def weight(self) -> int:
        """Bytes held, about."""
        return self.tags.size + self.lineages.weight + 200 * len(self.runs)

    def renew(self) -> None:
        """Replace locks that another thread may have held at a fork."""
        self._lock = threading.RLock()
        self.tags.renew()
        self.lineages.renew()


class Sessions:
    """All sessions by id. Thread-safe.

    At most ``most`` sessions that hold ``room`` bytes together; beyond that, and after ``idle``
    seconds, the one not used for longest is forgotten and counted in ``evicted``. Whoever is inside
    a forgotten session keeps it to the end.
    """

    def __init__(
        self, most: int = MOST_SESSIONS, room: int = ROOM, idle: float = IDLE_SECONDS
    ) -> None:
        self._most = most
        self._room = room
        self._idle = idle
        self._all: OrderedDict[str, Registry] = OrderedDict()
        self._lock = threading.RLock()
        self._weight = 0
        self._dropped = 0
        self._ended = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._all)

    def open(self, session: str) -> Registry:
        """Return the registry of a session, a new one where it has none."""
        with self._lock:
            registry = self._all.get(session)
            if registry is None:
                registry = self._all[session] = Registry(session)
            registry.used = time.monotonic()
            self._all.move_to_end(session)
            self._weigh(registry)
            self._trim(registry)
            return registry

    def weigh(self, registry: Registry) -> None:
        """Hear that a registry has grown."""
        with self._lock:
            if self._all.get(registry.session) is registry:
                self._weigh(registry)
                self._trim(registry)

    def tags(self) -> int:
        """Return how many tags all sessions keep."""
        return sum(len(one.tags) for one in tuple(self._all.values()))

    def tags_dropped(self) -> int:
        """Return how many tags went for want of room, with their sessions or alone."""
        return self._dropped + sum(one.tags.dropped for one in tuple(self._all.values()))

    def lineages(self) -> int:
        """Return how many lines of calls all sessions keep."""
        return sum(len(one.lineages) for one in tuple(self._all.values()))

    def lineages_evicted(self) -> int:
        """Return how many were forgotten, with their sessions or alone."""
        return self._ended + sum(one.lineages.evicted for one in tuple(self._all.values()))

    def clear(self) -> None:
        """Forget all sessions (tests)."""
        with self._lock:
            self._all.clear()
            self._weight = self._dropped = self._ended = self.evicted = 0

    def renew(self) -> None:
        """Replace locks that another thread may have held at a fork."""
        self._lock = threading.RLock()
        for registry in self._all.values():
            registry.renew()

    def _weigh(self, registry: Registry) -> None:
        weight = registry.weight
        self._weight += weight - registry.weighed
        registry.weighed = weight

    def _trim(self, current: Registry) -> None:
        old = time.monotonic() - self._idle
        while len(self._all) > 1:
            first = next(iter(self._all.values()))
            full = len(self._all) > self._most or self._weight > self._room
            if first is current or not (full or first.used < old):
                return
            del self._all[first.session]
            self._weight -= first.weighed
            self._dropped += first.tags.dropped + len(first.tags)
            self._ended += first.lineages.evicted + len(first.lineages)
            self.evicted += 1


SESSIONS = Sessions()
PROCESS = Registry()


def reset() -> None:
    """Forget every session and what happened outside of them (tests)."""
    SESSIONS.clear()
    PROCESS.__init__()  # type: ignore[misc]


def _renew() -> None:
    SESSIONS.renew()
    PROCESS.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
