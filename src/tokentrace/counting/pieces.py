"""The counted pieces of a long text, and which of them a text that changed can take over."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from sys import getsizeof
from weakref import ref

from tokentrace.counting.store import STORE
from tokentrace.names import digest

LONG = 2**16  # characters from which on a changed text is compared with what it was
LARGEST_KEY = 2**24  # bytes of a text that may lie in the store itself
WIDEST = 4  # bytes of a character in memory
PIECE_BYTES = 128  # of the three numbers of a piece
ENDS = 256  # characters at either end by which a changed text finds what it was
BLOCK = 2**15  # characters that are compared at once
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
    most = min(len(text), len(other))
    end = max(0, most - ENDS)
    # Most long texts were appended to; one comparison is soonest where both are equally wide.
    if text.isascii() and text.startswith(other[end:], end) and text.startswith(other):
        return most
    return _reach(lambda near, far: text[near:far] == other[near:far], most)


def _common_end(text: str, other: str, most: int) -> int:
    """Return how many of the last ``most`` characters are equal, at most `GRAIN` too few."""
    end, others = len(text), len(other)
    return _reach(
        lambda near, far: text[end - far : end - near] == other[others - far : others - near], most
    )


def _reach(alike: Callable[[int, int], bool], most: int) -> int:
    """Return how far two texts are alike: block by block, then by halves of the one that differs.

    Both are sliced. One odd character makes a whole string wider in memory, and strings of two widths
    are compared a character at a time; their slices are equally wide where they are alike.
    """
    low = 0
    high = min(BLOCK, most)
    while low < most and alike(low, high):
        low, high = high, min(high + BLOCK, most)
    while high - low > GRAIN:
        middle = (low + high) // 2
        if alike(low, middle):
            low = middle
        else:
            high = middle
    return low


# ── remembering ──────────────────────────────────────────────────────────────────────────────────


def handle(text: str) -> Hashable:
    """Return what a text is looked up by: itself, or what is soon told of a long one.

    To hash a long text costs ten times as much as to compare it. Whoever finds something by a handle
    compares the texts.
    """
    if len(text) <= LONG:
        return text
    middle = len(text) // 2
    return len(text), text[:ENDS], text[middle : middle + ENDS], text[-ENDS:]


def recall(name: str, text: str) -> Pieces | None:
    """Return what was counted of this very text in a vocabulary."""
    if too_large(text):
        large: Pieces | None = STORE.get((name, digest(text)))
        return large
    found: Pieces | None = STORE.get((name, handle(text)))
    return found if found is not None and found.text == text else None


def kin(name: str, text: str) -> Pieces | None:
    """Return the newest long text with the same end and beginning, else with one of the two."""
    if len(text) <= LONG or too_large(text):
        return None
    head, tail = text[:ENDS], text[-ENDS:]
    first = _linked(name, "head", head)
    last = _linked(name, "tail", tail)
    if last is not None and (first is None or last.text.startswith(head)):
        return last
    return first


def remember(name: str, text: str, made: Pieces) -> None:
    """Keep what was counted of a text, with the text unless that is too large."""
    taken = PIECE_BYTES * len(made.ends)
    if too_large(text):
        STORE.put((name, digest(text)), made, taken)
        return
    made.text = text
    STORE.put((name, handle(text)), made, taken + getsizeof(text))
    if len(text) > LONG:
        link = ref(made)
        STORE.put((name, "head", text[:ENDS]), link, WIDEST * ENDS)
        STORE.put((name, "tail", text[-ENDS:]), link, WIDEST * ENDS)


def too_large(text: str) -> bool:
    """Whether a text is not kept, but only a digest of it."""
    return len(text) > LARGEST_KEY // WIDEST and getsizeof(text) > LARGEST_KEY


def _linked(name: str, side: str, end: str) -> Pieces | None:
    link = STORE.get((name, side, end))
    return None if link is None else link()
