"""Where the beginnings of many texts stand in a long one, found in one look at it.

To search a megabyte for each of fifty texts takes half as long as to count its tokens. Instead the long
text is read at every 32nd byte only, sixteen bytes at a time: wherever a beginning of 47 bytes stands,
these sixteen lie inside it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress
from struct import Struct

HEAD = 48  # characters of a beginning
MOST = 32  # places: a beginning that stands at more of them tells little
WORD = 8  # bytes
STEP = 32  # bytes, a multiple of a word's
READ = 2 * WORD  # bytes
SHORTEST = STEP + READ - 1  # bytes of a beginning
FEW = 12  # beginnings that are sooner searched for one by one
WORTHWHILE = 2**15  # characters of a text, the same

CONTINUED = bytes(range(0x80, 0xC0))  # of UTF-8: what begins no character

_ROW = Struct(f"={STEP // WORD}Q")


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
    """Return the places of heads; of those that can be told by what is read of them."""
    data = text.encode("utf-8", "surrogatepass")
    raws = [raw for raw in dict.fromkeys(heads.values()) if len(set(_reads(raw))) == STEP]
    found: dict[bytes, list[int]] = {raw: [] for raw in raws}
    for raw, start in _likely(data, raws):
        if len(found[raw]) <= MOST and start >= 0 and data.startswith(raw, start):
            found[raw].append(start)
    told = {head: found[raw] for head, raw in heads.items() if raw in found}
    few = {head: starts for head, starts in told.items() if len(starts) <= MOST}
    if len(data) > len(text):
        at = _characters(data, sorted({start for starts in few.values() for start in starts}))
        few = {head: [at[start] for start in starts] for head, starts in few.items()}
    return {head: few.get(head) for head in told}


def _reads(raw: bytes) -> list[bytes]:
    """Return all that may be read of a beginning, by how far into it.

    It must not hold any of that twice: where the text has a line of dashes, what begins with dashes
    might start anywhere.
    """
    return [raw[at : at + READ] for at in range(STEP)]


def _likely(data: bytes, raws: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the beginnings that may hold what is read, and where they then start, in its order."""
    wanted, more = _wanted(raws)
    firsts = {word for raw in raws for at in range(WORD) for word in _ROW.unpack_from(raw, at)}
    words = memoryview(data)[: len(data) // WORD * WORD].cast("Q")[:: STEP // WORD].tolist()
    # A comprehension would take twice as long: nearly all of this is thrown away.
    for at in compress(range(0, len(data), STEP), map(firsts.__contains__, words)):
        read = data[at : at + READ]
        number = wanted.get(read)
        if number is not None:
            for one in (number, *more.get(read, ())):
                yield raws[one // STEP], at - one % STEP


def _wanted(raws: list[bytes]) -> tuple[dict[bytes, int], dict[bytes, list[int]]]:
    """Return what may be read, by number: of which beginning, and how far into it; and the same of more.

    Numbers rather than pairs or lists: of these the garbage collector knows nothing.
    """
    wanted: dict[bytes, int] = {}
    more: dict[bytes, list[int]] = {}
    for index, raw in enumerate(raws):
        for number, read in enumerate(_reads(raw), STEP * index):
            if wanted.setdefault(read, number) != number:
                more.setdefault(read, []).append(number)
    return wanted, more


def _characters(data: bytes, starts: list[int]) -> dict[int, int]:
    """Return the positions in characters of rising positions in UTF-8."""
    found, before, place = {}, 0, 0
    for start in starts:
        place += len(data[before:start].translate(None, CONTINUED))
        before = start
        found[start] = place
    return found
