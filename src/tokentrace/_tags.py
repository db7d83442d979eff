"""Tagged texts of one session or of the process: bounded, oldest first, safe between threads."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict

from tokentrace.counting.tags import Tag

__all__ = ["Tag", "Tags"]


class Tags:
    """Tagged texts in the order of their tagging: of nested texts the inner one comes first.

    At most ``most`` texts of together ``room`` bytes; beyond that the oldest go. With
    ``keep_held``, texts that nobody but this object holds go before older ones that, say, a cached
    function keeps.
    """

    def __init__(self, *, most: int = 4_096, room: int = 2**22, keep_held: bool = False) -> None:
        self._most = most
        self._room = room
        self._keep_held = keep_held
        self._tags: OrderedDict[Tag, Tag] = OrderedDict()
        self._lock = threading.RLock()
        self._all: tuple[Tag, ...] | None = ()
        self._last_held: tuple[Tag, ...] = ()
        self.size = 0
        self.version = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._tags)

    def add(self, tag: Tag) -> Tag:
        """Remember a tag and return the one that is kept; one that is there stays in its place."""
        with self._lock:
            known = self._tags.get(tag)
            if known is not None:
                return known
            self._tags[tag] = tag
            self.size += sys.getsizeof(tag.text)
            self.version += 1
            self._all = None
            if len(self._tags) > self._most or self.size > self._room:
                self._trim()
            return tag

    def held(self) -> tuple[Tag, ...]:
        """Return the tags whose text somebody else holds; the same tuple while nothing changed."""
        if not self._tags and not self._last_held:
            return ()
        with self._lock:
            now = tuple(tag for tag in self._tags if _held(tag))
            if now != self._last_held:
                self._last_held = now
            return self._last_held

    def all(self) -> tuple[Tag, ...]:
        """Return all tags; the same tuple as long as nothing changed."""
        known = self._all
        if known is not None:
            return known
        with self._lock:
            known = self._all = tuple(self._tags.values())
            return known

    def clear(self) -> None:
        """Drop every tag, counted."""
        with self._lock:
            for tag in tuple(self._tags):
                self._drop(tag)

    def renew(self) -> None:
        """Replace a lock that another thread may have held at a fork."""
        self._lock = threading.RLock()

    def _trim(self) -> None:
        """Drop until a quarter is free, so that a flood does not sort them at every text."""
        loose = [tag for tag in self._tags if not _held(tag)] if self._keep_held else []
        for tag in (*loose, *tuple(self._tags)):
            if len(self._tags) <= self._most * 3 // 4 and self.size <= self._room * 3 // 4:
                return
            if tag in self._tags:
                self._drop(tag)

    def _drop(self, tag: Tag) -> None:
        del self._tags[tag]
        self.size -= sys.getsizeof(tag.text)
        self.dropped += 1
        self.version += 1
        self._all = None


def _held(tag: Tag) -> bool:
    """Whether somebody holds the text besides the tag (and the argument of this very question)."""
    return sys.getrefcount(tag.text) > 2
