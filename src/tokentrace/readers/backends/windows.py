"""A range of time, asked window by window: one that holds more than a page is cut in two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

from tokentrace.errors import InputError
from tokentrace.readers import Problems
from tokentrace.readers.backends import HOUR, SECOND, Wanted

T = TypeVar("T")
PIECES = 24
MORE = 20
LONGEST = 100 * HOUR  # Tempo takes no search over more than a week


class Page(NamedTuple, Generic[T]):
    """What a window holds: ``full`` where it may hold more."""

    items: list[T]
    full: bool


def pages(
    wanted: Wanted,
    smallest: int,
    fetch: Callable[[int, int, int], Page[T]],
    problems: Problems,
    source: str,
) -> Iterator[list[T]]:
    """Yield what each window of the range that was asked for holds, the oldest first.

    Args:
        wanted: names the range.
        smallest: length of a window, in ns, that is not cut any more.
        fetch: returns the page of a window from its begin to before its end; the third number is
            how many times as much as usual it may hold.
        problems: takes windows that hold more than a page, however small.
        source: what they are a part of.
    """
    step = min(max(HOUR, (wanted.end - wanted.start) // PIECES), LONGEST)
    begins = range(wanted.start, wanted.end, step)
    left = [(begin, min(begin + step, wanted.end)) for begin in reversed(begins)]
    while left:
        begin, end = left.pop()
        page = fetch(begin, end, 1)
        middle = begin + (end - begin) // 2 // smallest * smallest
        if page.full and begin < middle < end:
            left += [(middle, end), (begin, middle)]
            continue
        if page.full:
            page = _larger(page, fetch, begin, end)
        if page.full:
            reason = f"more traces at {begin / SECOND:.3f} than are given at once: not all are read"
            problems.add(source, 0, reason)
        yield page.items


def _larger(
    page: Page[T], fetch: Callable[[int, int, int], Page[T]], begin: int, end: int
) -> Page[T]:
    """Return more of a window that cannot be cut, or what is at hand where that is too much."""
    try:
        more = fetch(begin, end, MORE)
    except InputError:  # some back ends refuse to give so much at once
        return page
    return more if more.items or not more.full else page
