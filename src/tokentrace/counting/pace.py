"""Giving way: on a thread that counts beside an event loop, others run every millisecond or so.

Python lets a thread that computes run on for five milliseconds before another gets its turn, and an
event loop that wakes up meanwhile is as late. Where nobody waits, giving way costs a look.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HELD = 0.0007  # seconds of work after which others get a turn
PAUSE = 0.00005  # seconds: a shorter one wakes nobody
WINDOW = 2**16  # characters of a text that are looked through in one go
EDGE = 2**10  # characters, the same at the ends of a stretch


class _Turn(threading.local):
    since: float | None = None


_turn = _Turn()


@contextmanager
def giving_way() -> Iterator[None]:
    """Have `give_way` do something in this thread, for the length of a block."""
    _turn.since = time.perf_counter()
    try:
        yield
    finally:
        _turn.since = None


def give_way() -> None:
    """Let other threads run, where this one counts beside them and has done so for a while."""
    since = _turn.since
    if since is not None and time.perf_counter() - since > HELD:
        time.sleep(PAUSE)
        _turn.since = time.perf_counter()


def windows(text: str, start: int = 0, end: int | None = None) -> Iterator[str]:
    """Yield a stretch of a text in pieces of `WINDOW` characters, giving way between them."""
    stop = len(text) if end is None else end
    for place in range(start, stop, WINDOW):
        give_way()
        yield text[place : min(place + WINDOW, stop)]


def hashed(text: str, start: int, end: int) -> int:
    """Return a hash of a stretch of a text; a long one is not copied for it, nor hashed in one go."""
    give_way()
    if end - start <= WINDOW:
        return hash(text[start:end])
    return hash(tuple(map(hash, windows(text, start, end))))


def trimmed(text: str, start: int, end: int, signs: str) -> tuple[int, int]:
    """Return the ends of a stretch without the characters of ``signs`` at either of them."""
    while start < end:
        piece = text[start : min(start + EDGE, end)]
        bare = piece.lstrip(signs)
        start += len(piece) - len(bare)
        if bare:
            break
    while start < end:
        piece = text[max(end - EDGE, start) : end]
        bare = piece.rstrip(signs)
        end -= len(piece) - len(bare)
        if bare:
            break
    return start, end


def search(pattern: re.Pattern[str], text: str, start: int, reach: int) -> re.Match[str] | None:
    """Return the first match of a pattern from a place on, giving way between windows.

    Args:
        pattern: of which ``reach`` characters from a place on tell whether it matches there.
        text: is looked through window by window, which overlap.
        start: in characters.
        reach: well below `WINDOW`.

    Returns:
        The match; one that reaches the end of its window (``endpos``) may go on behind it.
    """
    while start < len(text):
        end = min(start + WINDOW, len(text))
        found = pattern.search(text, start, end)
        if found is not None:
            return found
        start = end if end == len(text) else end - reach
        give_way()
    return None


def matches(pattern: re.Pattern[str], text: str, reach: int) -> Iterator[re.Match[str]]:
    """Yield the matches of a pattern as its ``finditer`` does, giving way between windows.

    Args:
        pattern: of which ``reach`` characters from a place on tell whether it matches there.
        text: is looked through window by window, which overlap.
        reach: well below `WINDOW`.
    """
    here = 0
    while here < len(text):
        end = min(here + WINDOW, len(text))
        sure = end if end == len(text) else end - reach
        for match in pattern.finditer(text, here, end):
            if match.start() >= sure:
                break  # the next window holds it whole
            whole = match if match.end() <= sure else pattern.match(text, match.start())
            here = match.end() if whole is None else whole.end()
            yield whole or match
            if here > sure:
                break
        here = max(here, sure)
        give_way()
