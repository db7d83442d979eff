"""Stretches of a text: start and end in characters."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]


class Inside:
    """Says of positions that only grow whether they lie in one of some sorted, disjoint spans."""

    def __init__(self, spans: list[Span]) -> None:
        self._spans = spans
        self._next = 0

    def __call__(self, position: int) -> bool:
        """Say so of the next one."""
        spans = self._spans
        while self._next < len(spans) and spans[self._next][1] <= position:
            self._next += 1
        return self._next < len(spans) and spans[self._next][0] <= position


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return ``spans`` sorted, with overlapping ones joined."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
