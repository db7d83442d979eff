"""The counted pieces of a long text, and which of them a text that changed can take over."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

GRAIN = 512  # characters: how closely the changed middle is found


@dataclass(slots=True, eq=False, weakref_slot=True)
class Pieces:
    """A long text's pieces.

    Attributes:
        text: the whole text; empty where it is too large to be kept.
        ends: where each piece ends, in characters.
        tokens: of each piece.
        errors: ± tokens of each piece; 0 for those that were encoded.
        firm: how many pieces are final; those behind were estimated for want of time.
        laid: the last borders that were asked for, and their shares.
    """

    text: str
    ends: list[int]
    tokens: list[int]
    errors: list[int]
    firm: int = 0
    laid: tuple[tuple[int, ...], list[int]] = ((), [])
    sum: tuple[int, int] = field(default=(0, 0))

    def add(self, end: int, tokens: int, error: int) -> None:
        """Append a piece."""
        self.ends.append(end)
        self.tokens.append(tokens)
        self.errors.append(error)


def take_over(text: str, made: Pieces, kin: Pieces | None) -> tuple[int, int, int]:
    """Take over the pieces that ``text`` begins with.

    Returns:
        Where the text to be encoded starts and ends, in characters, and the first of ``kin``'s
        pieces behind it.
    """
    if kin is None:
        return 0, len(text), 0
    # A text that is not kept is found by its digest only: it is the same.
    prefix = _common(text, kin.text) if kin.text else len(text)
    count = min(bisect_left(kin.ends, prefix), kin.firm)
    made.ends += kin.ends[:count]
    made.tokens += kin.tokens[:count]
    made.errors += kin.errors[:count]
    start = made.ends[-1] if made.ends else 0
    if kin.firm < len(kin.ends):
        return start, len(text), len(kin.ends)
    length = kin.ends[-1]
    suffix = _common_end(text, kin.text, min(len(text), length) - prefix)
    # A cut needs the characters on both its sides.
    place = bisect_left(kin.ends, length - suffix + 1)
    if place >= len(kin.ends) - 1:
        return start, len(text), len(kin.ends)
    return start, kin.ends[place] + len(text) - length, place + 1


def _common(text: str, other: str) -> int:
    """Return how many leading characters are equal, at most `GRAIN` too few."""
    low, high = 0, min(len(text), len(other))
    if text[:high] == other[:high]:
        return high
    while high - low > GRAIN:
        middle = (low + high) // 2
        if text[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _common_end(text: str, other: str, high: int) -> int:
    """Return how many of the last ``high`` characters are equal, at most `GRAIN` too few."""
    ends, others = len(text), len(other)
    low = 0
    if text[ends - high :] == other[others - high :]:
        return high
    while high - low > GRAIN:
        middle = (low + high) // 2
        if text[ends - middle : ends - low] == other[others - middle : others - low]:
            low = middle
        else:
            high = middle
    return low
