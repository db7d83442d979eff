"""Blocks of a text by which it is known again, and what in it is written wastefully.

A block is a few lines in a row. It ends at an empty line, or at a line that its own content picks, so
that two copies of a text are cut alike wherever they stand and an edit touches only its own block.
White space, quotes and braces around a line do not count, nor do JSON's escapes: a file inside a
JSON string has the blocks of the file. Only salted marks are kept, never text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from zlib import crc32

from tokentrace.counting.pace import WINDOW, give_way, matches, search, windows
from tokentrace.fitting import utf8

LEAST = 80  # characters of a block, white space at the ends of its lines left out
ENOUGH = 120  # characters from which on a line may end a block
PICKED = 1  # of the checksums of lines: every second may end a block
MOST = 2_000  # characters after which any line does
LONG_LINE = 600  # characters from which on a line is cut at ends of sentences
MOST_BLOCKS = 4_096  # a text
GAP = 2  # characters between blocks that follow one another
LONGEST = 2_000_000  # characters of a text that is looked through
MOST_JSON = 8  # blocks of JSON a text
SHORTEST_RUN = 256  # characters of base64
PROBE = 32  # characters
ROWS = 1_024  # lines that are made bare in one go
FOUR_LINES = 4 * 78  # characters
WORDY = 0.25  # share of small letters in a row of four or more: of base64 they are at most a sixth
SAMPLE = 4_096  # characters
KINDS = 24  # different signs of base64, at least

INDENTED = ("{\n", "[\n", "{\r\n", "[\r\n")
SENTENCES = ("},", ". ", ", ")
EDGES = " \t\r\n\\\"',{}[]"
_ESCAPED = re.compile(r"(\\r\\n|\\n|\n)")
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")
_OPENS = re.compile(r"[{\[]\r?\n[ \t]*[\"{\[\]}\w-]")
# A run is tried from its first character only, and given up at once: a text of many runs that are a
# little too short would take a second otherwise.
_BASE64 = re.compile(rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{SHORTEST_RUN},}}+")
_MORE64, _PADDING = re.compile("[A-Za-z0-9+/_-]*+"), re.compile("={0,2}")
_LINES64 = re.compile(r"(?:[A-Za-z0-9+/]{60,76}+(?:\r?\n|\\n)){4,}+[A-Za-z0-9+/]*+={0,2}")
_WORDS = re.compile("[a-z]{4,}")
_KINDS64 = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))

Block = tuple[int, int, int]
Pretty = tuple[int, int, str]
_READ = json.JSONDecoder().raw_decode


def blocks(text: str) -> tuple[Block, ...]:
    """Return mark, start and end in characters of a text's blocks, in order, at most 4,096."""
    if len(text) < LEAST or len(text) > LONGEST:
        return ()
    found: list[Block] = []
    marks: list[int] = []
    start = stop = at = size = 0
    for line, bare, width in _rows(text):
        if bare:
            mark = hash(bare)
            marks.append(mark)
            if not size:
                start = at
            stop = at + len(line)
            size += len(bare)
            full = size >= ENOUGH and (_picked(bare) or size >= MOST)
        else:
            full = bool(size) and not line.strip()
        at += len(line) + width
        if full:
            _close(found, marks, size, (start, stop))
            marks, size = [], 0
            if len(found) >= MOST_BLOCKS:
                break
    _close(found, marks, size, (start, stop))
    return tuple(found)


def _picked(bare: str) -> bool:
    """Whether a line may end a block, as every second does: by its content, alike in each process."""
    return not crc32(utf8(bare)) & PICKED


def _close(found: list[Block], marks: list[int], size: int, place: tuple[int, int]) -> None:
    """Add a block; what is too short for one is known by the block that it follows."""
    if size >= LEAST:
        found.append((hash(tuple(marks)), *place))
    elif size and found and place[0] - found[-1][2] <= GAP:
        found.append((hash((found[-1][0], *marks)), *place))


def _rows(text: str) -> Iterator[tuple[str, str, int]]:
    """Return a text's lines, what of each is compared, and the width of what stands behind it."""
    slashed = "\\" in text
    escaped = slashed and "\\n" in text
    if len(text) > WINDOW:
        return _windowed(text, slashed=slashed, escaped=escaped)
    lines, widths = _lines(text, 0, escaped=escaped)
    if len(lines) > ROWS:
        return _by_rows(lines, widths, slashed=slashed)
    give_way()
    return zip(lines, _bare(lines, slashed=slashed), widths, strict=False)


def _windowed(text: str, *, slashed: bool, escaped: bool) -> Iterator[tuple[str, str, int]]:
    """Yield the rows of a long text, stretch by stretch."""
    start = 0
    while start <= len(text):
        end = text.find("\n", start + WINDOW) if len(text) - start > WINDOW else -1
        last = end < 0
        end = len(text) if last else end
        lines, widths = _lines(text[start:end], int(not last), escaped=escaped)
        yield from _by_rows(lines, widths, slashed=slashed)
        start = end + 1


def _by_rows(
    lines: list[str], widths: Iterable[int], *, slashed: bool
) -> Iterator[tuple[str, str, int]]:
    """Yield rows, some at a time."""
    behind = iter(widths)
    for first in range(0, len(lines), ROWS):
        give_way()
        some = lines[first : first + ROWS]
        yield from zip(some, _bare(some, slashed=slashed), behind, strict=False)


def _lines(text: str, behind: int, *, escaped: bool) -> tuple[list[str], Iterable[int]]:
    """Return a stretch's lines, and the width of what stands behind each.

    Args:
        text: of the stretch.
        behind: the width of what stands behind the last one, where line ends are JSON's escapes, too.
        escaped: they are somewhere in the whole text.
    """
    widths: Iterable[int] = repeat(1)
    if escaped:
        pieces = _ESCAPED.split(text)
        lines, widths = pieces[::2], [*map(len, pieces[1::2]), behind]
    else:
        lines = text.split("\n")
    if max(map(len, lines)) <= LONG_LINE:
        return lines, widths
    if len(lines) == 1:
        pieces, gap = _cut(lines[0])
        return pieces, [*[gap] * (len(pieces) - 1), behind]
    cut = [(_cut(line), width) for line, width in zip(lines, widths, strict=False)]
    lines = [piece for (pieces, _), _ in cut for piece in pieces]
    return lines, [w for (pieces, gap), last in cut for w in (*[gap] * (len(pieces) - 1), last)]


def _cut(line: str) -> tuple[list[str], int]:
    """Return the sentences, or the objects, of a long line, and how wide the gap between them is."""
    if len(line) <= LONG_LINE:
        return [line], 0
    sign = next((sign for sign in SENTENCES if _holds(line, sign)), SENTENCES[0])
    give_way()
    return line.split(sign), len(sign)


def _bare(lines: list[str], *, slashed: bool) -> list[str]:
    """Return what of each line is compared: its words, as they are before JSON escapes them."""
    if slashed:
        lines = [_unescaped(line) if "\\" in line else line for line in lines]
    return [line.strip(EDGES) for line in lines]


def _unescaped(line: str) -> str:
    line = line.replace('\\"', '"').replace("\\t", "\t").replace("\\/", "/")
    if "\\u" in line:
        line = _UNICODE.sub(lambda found: chr(int(found[1], 16)), line)
    return line.replace("\\\\", "\\")


def joined(found: Sequence[Block]) -> list[tuple[int, int]]:
    """Return the stretches that blocks make, those that follow one another as one."""
    stretches: list[tuple[int, int]] = []
    for _, start, end in found:
        if stretches and start - stretches[-1][1] <= GAP:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return stretches


# ── JSON and base64 ──────────────────────────────────────────────────────────────────────────────


def compacted(text: str) -> str | None:
    """Return a text with its indented JSON written compactly; None where there is none."""
    found = pretty(text)
    return replaced(text, found) if found else None


def replaced(text: str, found: Sequence[Pretty]) -> str:
    """Return a text with what `pretty` found in it written compactly."""
    pieces: list[str] = []
    done = 0
    for start, end, compact in found:
        pieces += (text[done:start], compact)
        done = end
    return "".join([*pieces, text[done:]])


def pretty(text: str) -> list[Pretty]:
    """Return where indented JSON stands in a text, and what of it is not white space.

    Only the white space between tokens of JSON goes. What does not parse stays as it is.
    """
    found: list[Pretty] = []
    if len(text) > LONGEST or not _indented(text):
        return found
    opened = _OPENS.search(text)
    for _ in range(MOST_JSON):
        if opened is None:
            break
        start = opened.start()
        end = _end_of_json(text, start)
        compact = _compact(text[start:end])
        if compact:
            found.append((start, end, compact))
        opened = _OPENS.search(text, max(end, start + 1))
    return found


def _indented(text: str) -> bool:
    if not _holds(text, "\n"):
        return False
    return any(_holds(text, sign) for sign in INDENTED)


def _holds(text: str, sign: str) -> bool:
    """Whether a sign is in a text, which may be long."""
    give_way()
    return sign in text


def _end_of_json(text: str, start: int) -> int:
    """Return the end of the value that begins at ``start``; the start where there is none."""
    try:
        _, end = _READ(text, start)
    except (ValueError, RecursionError):
        return start
    return end


def _compact(raw: str) -> str:
    """Return JSON without white space, each of its tokens as it was written; empty for what is none."""
    import msgspec

    try:
        return msgspec.json.format(raw, indent=-1)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


def encoded(text: str) -> list[tuple[int, int]]:
    """Return where base64 stands in a text: one run of 256 characters, or four lines of it."""
    if len(text) < SHORTEST_RUN or not _dense(text):
        return []
    return [span for span in _spans(text) if _mixed(text, *span) and not _wordy(text, *span)]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where runs without a space are, and between them rows of lines, that may be base64."""
    done = 0
    for start, end in (*_runs(text), (len(text), len(text))):
        for match in matches(_LINES64, text[done:start], FOUR_LINES):
            yield done + match.start(), done + match.end()
        if start < end:
            yield start, end
        done = end


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Yield where runs without a space are that may be base64; one of megabytes in many steps."""
    here = 0
    while (run := search(_BASE64, text, here, SHORTEST_RUN)) is not None:
        here, stop = run.end(), run.endpos
        while here == stop < len(text):
            give_way()
            stop = min(here + WINDOW, len(text))
            here = _end(_MORE64, text, here, stop)
        here = _end(_PADDING, text, here, len(text))
        yield run.start(), here


def _end(pattern: re.Pattern[str], text: str, start: int, stop: int) -> int:
    found = pattern.match(text, start, stop)
    return start if found is None else found.end()


def _dense(text: str) -> bool:
    """Whether a run without a space may be in a text: one of 256 characters holds a probe whole."""
    for start in range(0, len(text), WINDOW):  # each begins where a probe does
        give_way()
        end = min(len(text), start + WINDOW) - PROBE + 1
        for at in range(start, end, SHORTEST_RUN // 2):
            if text.find(" ", at, at + PROBE) < 0:
                return True
    return False


def _mixed(text: str, start: int, end: int) -> bool:
    """Whether a run has letters of both cases and digits: no hash, no path, no row of signs."""
    signs: set[str] = set()
    for piece in windows(text, start, end):
        signs.update(piece)
        if len(signs) >= KINDS and all(kind.search("".join(signs)) for kind in _KINDS64):
            return True
    return False


def _wordy(text: str, start: int, end: int) -> bool:
    """Whether a run is words in a row, as a path or a long name is: these hold small letters."""
    end = min(end, start + SAMPLE)
    return sum(map(len, _WORDS.findall(text, start, end))) > WORDY * (end - start)
