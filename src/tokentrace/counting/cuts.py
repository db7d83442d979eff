"""Where a text may be cut so that the tokens of its pieces are the tokens of the whole.

A cut is safe by the two characters around it alone, whatever stands further away: the left half
ends with a character that no look-ahead of o200k_base's and cl100k_base's patterns reaches past,
and the right half begins with one that always begins a new match. `tests/counting/test_text.py`
holds that against tiktoken on random strings. Unsafe, and therefore not here: newline before "/"
(o200k_base takes slashes into the match of the newline), letter before apostrophe (contractions),
space before letter, newline before space, punctuation before letter or newline, digit before digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tokentrace.counting.pace import give_way

STRIDE = 4096
WINDOW = 1024
LONG = 2**16  # characters of a run that are skipped in one go: others wait meanwhile
NEAR = 64  # characters before a border in which a cut is looked for

_IDEOGRAPH = "\u4e00-\u9fa5\u3041-\u3096\u30a1-\u30fa\uac00-\ud7a3"
_WIDE_MARK = "、。，．！？：；「」『』（）《》〈〉【】…—·“”"

# Python's white space contains all of Rust's, so \S here is the narrower of the two.
CUT = re.compile(
    r"\S[ \t]"
    r"|\n[^\s/]"
    r"|[A-Za-z0-9]\n"
    r"|[A-Za-z][0-9!-&(-/:-@\[-`{-~]"
    r"|[0-9][A-Za-z!-/:-@\[-`{-~]"
    r"|[!-/:-@\[-`{-~][0-9]"
    rf"|[{_IDEOGRAPH}][{_WIDE_MARK}]"
)

# Runs in which no cut can be: skipping them is thirty times faster than looking for one.
RUN = re.compile(
    r"[A-Za-z']{64,}|\s{64,}|[0-9]{64,}|[!-/:-@\[-`{-~]{64,}"
    rf"|[^\x00-\x7f\s{_WIDE_MARK}]{{64,}}"
)


def split(text: str, start: int, end: int, borders: Iterable[int] = ()) -> Iterator[int]:
    """Yield the ends of the pieces of ``text[start:end]``, the last of which is ``end``.

    All but the last have at least `STRIDE` characters, and the last at most half as many again; one is
    much longer only where nothing between its `STRIDE`-th character and its end can be cut. Positions
    are in characters.

    Args:
        text: what is cut.
        start: where the first piece starts.
        end: where the last one ends.
        borders: sorted positions at which a cut is wanted, too; where there is none a small piece
            holds the border.
    """
    for border in borders:
        if start < border < end:
            for place in around(text, start, border, end):
                yield from _strides(text, start, place)
                start = place
    yield from _strides(text, start, end)


def around(text: str, start: int, border: int, end: int) -> Iterator[int]:
    """Yield the safe cut at a border, or the last shortly before it and the first behind it."""
    if CUT.match(text, border - 1, border + 1):
        yield border
        return
    last = start
    for found in CUT.finditer(text, max(start, border - NEAR), border):
        last = found.start() + 1
    yield last
    yield cut(text, border, end)


def _strides(text: str, start: int, end: int) -> Iterator[int]:
    while end - start > STRIDE + STRIDE // 2:
        start = cut(text, start + STRIDE, end)
        yield start
    if start < end:
        yield end


def cut(text: str, start: int, end: int) -> int:
    """Return the first safe cut after ``start`` and before ``end``, or ``end``."""
    while start < end:
        stop = min(start + WINDOW, end)
        found = CUT.search(text, start, stop)
        if found is not None:
            return found.start() + 1
        if stop == end:
            break
        give_way()
        run = RUN.match(text, stop - 1, min(stop + LONG, end))
        start = stop - 1 if run is None else run.end() - 1
    return end
