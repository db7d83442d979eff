"""Where the beginnings of many texts stand in a long one, found in one look at it.

To search a megabyte for each of fifty texts takes half as long as to count its tokens. Instead the long
text is read at every 32nd byte only, sixteen bytes at a time: wherever a beginning of 47 bytes stands,
these sixteen lie inside it once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import compress, count

HEAD = 48  # characters of a beginning
MOST = 32  # places: a beginning that stands at more of them tells little
WORD = 8  # bytes
STEP = 32  # bytes, a multiple of a word's
SHORTEST = STEP + 2 * WORD - 1  # bytes of a beginning
FEW = 12  # beginnings that are sooner searched for one by one
WORTHWHILE = 2**15  # characters of a text, the same

CONTINUED = bytes(range(0x80, 0xC0))  # of UTF-8: what begins no character

Reads = dict[tuple[int, int], list[tuple[bytes, int]]]


class Places:
    """The places of beginnings in a text.

    Args:
        text: any.
        heads: what will be asked for; others are searched for when asked for. A short text takes none.
    """

    __slots__ = ("_escapes", "_known", "_text", "short")

    def __init__(self, text: str, heads: Iterable[str]) -> None:
        self._text = text
        self._escapes: bool | None = None
        self.short = len(text) < WORTHWHILE
        self._known: dict[str, list[int] | None] = {}
        if not self.short:
            encoded = {head: head.encode("utf-8", "surrogatepass") for head in heads}
            long = {head: raw for head, raw in encoded.items() if len(raw) >= SHORTEST}
            if len(long) > FEW:
                self._known = _read(text, long)

    @property
    def escapes(self) -> bool:
        """Whether there is a backslash in the text."""
        if self._escapes is None:
            self._escapes = "\\" in self._text
        return self._escapes

    def of(self, head: str) -> list[int] | None:
        """Return where ``head`` starts, overlapping places too; None where it does so too often."""
        if head not in self._known:
            self._known[head] = _searched(self._text, head)
        return self._known[head]


def _searched(text: str, head: str) -> list[int] | None:
    starts: list[int] = []
    start = text.find(head)
    while start >= 0:
        starts.append(start)
        if len(starts) > MOST:
            return None
        start = text.find(head, start + 1)
    return starts


def _read(text: str, heads: dict[str, bytes]) -> dict[str, list[int] | None]:
    """Return the places of all heads."""
    data = text.encode("utf-8", "surrogatepass")
    found: dict[bytes, list[int]] = {raw: [] for raw in heads.values()}
    for raw, start in _likely(data, _reads(found)):
        if len(found[raw]) <= MOST and start >= 0 and data.startswith(raw, start):
            found[raw].append(start)
    few = {head: found[raw] for head, raw in heads.items() if len(found[raw]) <= MOST}
    at = _characters(data, sorted({start for starts in few.values() for start in starts}))
    return {head: [at[start] for start in few[head]] if head in few else None for head in heads}


def _likely(data: bytes, wanted: Reads) -> Iterator[tuple[bytes, int]]:
    """Yield the beginnings that may hold what is read, and where they then start, in its order."""
    words = memoryview(data)[: len(data) // WORD * WORD].cast("Q")
    first, second = words[:: STEP // WORD].tolist(), words[1 :: STEP // WORD].tolist()
    # Comprehensions would take twice as long: nearly all of this is thrown away.
    marked = list(map({word for word, _ in wanted}.__contains__, first))
    pairs = list(zip(compress(first, marked), compress(second, marked), strict=False))
    places = zip(compress(count(), marked), pairs, strict=False)
    for index, pair in compress(places, map(wanted.__contains__, pairs)):
        for raw, offset in wanted[pair]:
            yield raw, index * STEP - offset


def _reads(heads: Iterable[bytes]) -> Reads:
    """Return all that may be read of the heads: two words, and of which head, from where on."""
    wanted: Reads = {}
    for raw in heads:
        words = [int.from_bytes(raw[at : at + WORD], sys.byteorder) for at in range(STEP + WORD)]
        for offset, pair in enumerate(zip(words, words[WORD:], strict=False)):
            wanted.setdefault(pair, []).append((raw, offset))
    return wanted


def _characters(data: bytes, starts: list[int]) -> dict[int, int]:
    """Return the positions in characters of rising positions in UTF-8."""
    found, before, place = {}, 0, 0
    for start in starts:
        place += len(data[before:start].translate(None, CONTINUED))
        before = start
        found[start] = place
    return found
