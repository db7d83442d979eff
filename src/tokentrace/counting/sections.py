"""Sections that a prompt already has: JSON blocks by key, XML-like tags, Markdown headings.

What counts as a section:

JSON block
    An object that `json` accepts, with a key, at least two keys or 40 characters, that starts the
    text or a line or follows ``:``, ``=``, ``>`` or ``)``. In running text only one of at least
    two keys and 200 characters. Never: elements of an array, code fenced as another language,
    three or more objects of the same keys (records of a log, not a context).
    Each top-level key is a section: from its opening quote to just before the next key. Braces
    and what stands around the block belong to no section.
XML-like tag
    An outermost element whose tag closes, outside JSON blocks and code fences; from ``<`` of the
    opening to ``>`` of the closing tag. Formatting tags of HTML and tags in back quotes are text.
Markdown heading
    An ATX heading (``#`` to ``######``) outside all of these; up to the next heading of the same
    or a higher level, or the end.

Sections nest (heading around tag around key) and never cross; where they nest the innermost owns
the text, which `tokentrace.counting.claims` decides. At most 64 sections a text, the first ones;
the rest is unclaimed. All scanning is linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from tokentrace.counting.pace import WINDOW, give_way, matches, search
from tokentrace.counting.spans import Inside, Span, merged

MOST = 64
MOST_TAGS = 10_000
MOST_FENCES = 2_000
MOST_FAILURES = 200
LONGEST_TEXT = 4_000_000
LONGEST_NAME = 200
SHORTEST_OBJECT = 40
SHORTEST_IN_PROSE = 200
RECORDS = 3
LONGEST_GAP = 256
MARKS = ("#", "`", "~")
REACH = 4_096  # characters that tell whether something begins at a place
TURNS = 64  # finds between which others get a turn

FORMATTING = frozenset(
    {"a", "b", "br", "center", "dd", "del", "div", "dl", "dt", "em", "font", "hr", "i", "img"}
    | {"ins", "kbd", "li", "mark", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "sup"}
    | {"table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"}
    | {"h1", "h2", "h3", "h4", "h5", "h6"}
)
JSON_FENCES = frozenset({"", "json", "json5", "jsonc", "jsonl", "text", "txt"})

_OBJECT = re.compile(r'\{[ \t\r\n]*+"')
_GAP = re.compile(r"[ \t\r\n]*+")
_TAG = re.compile(r"<(/?)([^\W\d][\w.:-]{0,63}+)(?:\s[^<>]{0,1023})?+>")
_HEADING = re.compile(r"\n {0,3}(#{1,6})[ \t]++([^\n]{1,200})")
_FENCE = re.compile(r"\n[ \t]*+(`{3,}+|~{3,}+)([^\n]*)")

Wanted = Callable[[str], bool]
Reader = Callable[[str, int], tuple[Any, int]]


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a text.

    Attributes:
        start, end: characters of the text.
        name: as in the text: a key, a tag's name, a heading's words (at most 200 characters).
        form: ``json``, ``xml`` or ``markdown``.
    """

    start: int
    end: int
    name: str
    form: str


Block = tuple[Span, list[Section]]


@dataclass(frozen=True, slots=True)
class _Fence:
    start: int
    end: int
    language: str


def likely(text: str) -> bool:
    """Whether `find` may find something: a look of well under a microsecond at 1 kB."""
    return _has_objects(text) or _has_tags(text) or _has_headings(text)


def _has_fences(text: str) -> bool:
    return ("`" in text and "```" in text) or ("~" in text and _turn(text) and "~~~" in text)


def _has_objects(text: str) -> bool:
    return "{" in text and '"' in text


def _has_tags(text: str) -> bool:
    return "<" in text and _turn(text) and "</" in text


def _has_headings(text: str) -> bool:
    return "#" in text and _turn(text) and ("# " in text or "#\t" in text)


def _turn(text: str) -> bool:
    """Give way ahead of a look at a long text."""
    if len(text) > WINDOW:
        give_way()
    return True


def find(text: str, wanted: Wanted | None = None) -> tuple[Section, ...]:
    """Return the sections of ``text`` in the order of their start, an outer one before an inner.

    Args:
        text: a part's text. One beyond 4,000,000 characters has no sections.
        wanted: says of a name whether it is looked for. Tags that are not wanted are looked
            through, so that a wanted one inside them is found.
    """
    if len(text) > LONGEST_TEXT or not likely(text):
        return ()
    fences = tuple(_fences(text)) if _has_fences(text) else ()
    blocks = _blocks(text, fences) if _has_objects(text) else []
    found = [key for _, keys in blocks for key in keys]
    closed = merged([*(span for span, _ in blocks), *((f.start, f.end) for f in fences)])
    elements = _elements(text, closed, wanted or _every) if _has_tags(text) else []
    found += elements
    if _has_headings(text):
        found += _headings(text, merged([*closed, *((e.start, e.end) for e in elements)]))
    if wanted is not None:
        found = [section for section in found if wanted(section.name)]
    found.sort(key=lambda section: (section.start, -section.end))
    return tuple(found[:MOST])


def _every(_name: str) -> bool:
    return True


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def _blocks(text: str, fences: tuple[_Fence, ...]) -> list[Block]:
    """Return the first JSON blocks; three or more of the same keys are records, not blocks."""
    found: list[tuple[Block, tuple[str, ...]]] = []
    sections = 0
    for block in _objects(text, fences):
        found.append((block, tuple(key.name for key in block[1])))
        sections += len(block[1])
        if sections >= MOST:
            break
    times = Counter(names for _, names in found)
    return [block for block, names in found if times[names] < RECORDS]


def _objects(text: str, fences: tuple[_Fence, ...]) -> Iterator[Block]:
    """Yield the JSON blocks of a text, each with its keys. Nothing is scanned twice."""
    from json.decoder import JSONDecoder

    # Numbers stay text (a million digits are dear), raw line ends in strings are fine.
    decoder = JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
    read = decoder.scan_once  # type: ignore[attr-defined]
    foreign = _Foreign(fences)
    here = failures = 0
    while failures < MOST_FAILURES and (opened := search(_OBJECT, text, here, REACH)):
        give_way()
        start = opened.start()
        if beyond := foreign.end(start):
            here = beyond
            continue
        apart = _stands_apart(text, start)
        if apart is None:
            here = start + 1
            continue
        keys, here = _keys(text, start, read)
        failures += not keys
        if _large(len(keys), here - start, apart=apart):
            yield (start, here), keys


def _large(keys: int, length: int, *, apart: bool) -> bool:
    """Whether an object is a block rather than braces that a sentence mentions."""
    if apart:
        return keys > 1 or (keys == 1 and length >= SHORTEST_OBJECT)
    return keys > 1 and length >= SHORTEST_IN_PROSE


def _stands_apart(text: str, start: int) -> bool | None:
    """Whether an object at ``start`` is apart from running text; None for one in an array."""
    before = text[max(0, start - LONGEST_GAP) : start].rstrip(" \t")
    above = before.rstrip()
    if not above:
        return start <= LONGEST_GAP or None
    if above[-1] in "[{" or (above[-1] == "," and above[:-1].rstrip().endswith("}")):
        return None
    return before[-1] in ":=>)\r\n"


def _keys(text: str, start: int, read: Reader) -> tuple[list[Section], int]:
    """Read the object at ``start``: its keys and its end, or no keys and how far reading went."""
    from json.decoder import JSONDecodeError

    names: list[str] = []
    borders: list[int] = []
    here = start + 1
    try:
        while not names or text[here] == ",":
            here = _after(text, here + bool(names))
            borders.append(here)
            name, here = _member(text, here, read)
            names.append(name)
        borders.append(here)
        if text[here] != "}":
            return [], here
    except JSONDecodeError as error:
        return [], max(here, error.pos)
    except StopIteration as end:
        return [], max(here, end.value)
    except (IndexError, RecursionError):
        return [], len(text)
    spans = pairwise(borders)
    return [
        Section(first, last, name[:LONGEST_NAME], "json")
        for name, (first, last) in zip(names, spans, strict=True)
    ], here + 1


def _member(text: str, here: int, read: Reader) -> tuple[str, int]:
    """Read a key, its value and the white space behind; StopIteration where that is no JSON."""
    from json.decoder import scanstring  # type: ignore[attr-defined]

    if text[here] != '"':
        raise StopIteration(here)
    name, here = scanstring(text, here + 1, False)
    here = _after(text, here)
    if text[here] != ":":
        raise StopIteration(here)
    _, here = read(text, _after(text, here + 1))
    return name, _after(text, here)


def _after(text: str, here: int) -> int:
    """Return where the white space at ``here`` ends."""
    gap = _GAP.match(text, here)
    assert gap is not None
    return gap.end()


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────


def _elements(text: str, closed: list[Span], wanted: Wanted) -> list[Section]:
    """Return the outermost elements outside ``closed``, in order."""
    found: list[Section] = []
    stack: list[tuple[str, int]] = []
    unclosed: dict[str, int] = {}
    for start, end, name, closing in _tags(text, closed):
        if not wanted(name):
            continue
        if not closing:
            stack.append((name, start))
            unclosed[name] = unclosed.get(name, 0) + 1
        elif unclosed.get(name):
            first = _unwind(stack, unclosed, name)
            while found and found[-1].start > first:
                found.pop()
            found.append(Section(first, end, name, "xml"))
    return found


def _unwind(stack: list[tuple[str, int]], unclosed: dict[str, int], name: str) -> int:
    """Take the innermost open ``name`` and all inside it off the stack; return its start."""
    while True:
        inner, start = stack.pop()
        unclosed[inner] -= 1
        if inner == name:
            return start


def _tags(text: str, closed: list[Span]) -> Iterator[tuple[int, int, str, bool]]:
    """Yield start, end, name and closing of the tags outside ``closed``."""
    inside = Inside(closed)
    for count, tag in enumerate(matches(_TAG, text, REACH)):
        if count >= MOST_TAGS:
            return
        if not count % TURNS:
            give_way()
        (start, end), (slash, name) = tag.span(), tag.groups()
        quoted = text[start - 1 : start] == "`" or text[end : end + 1] == "`"
        if quoted or name.lower() in FORMATTING or text[end - 2] == "/" or inside(start):
            continue
        yield start, end, name, bool(slash)


# ── headings and fences ──────────────────────────────────────────────────────────────────────────


def _headings(text: str, closed: list[Span]) -> list[Section]:
    """Return the headings outside ``closed``, each up to the next one that is not below it."""
    inside = Inside(closed)
    heads: list[tuple[int, int, str]] = []
    for start, _, signs, words in _lines(_HEADING, text):
        name = words.strip().rstrip("#").rstrip()
        if name and not inside(start):
            heads.append((start, len(signs), name))
            if len(heads) > MOST:
                break
    ends = [len(text)] * len(heads)
    above: list[int] = []
    for i, (start, level, _) in enumerate(heads):
        while above and heads[above[-1]][1] >= level:
            ends[above.pop()] = start
        above.append(i)
    return [
        Section(start, ends[i], name, "markdown") for i, (start, _, name) in enumerate(heads[:MOST])
    ]


def _fences(text: str) -> Iterator[_Fence]:
    """Yield the code fences of a text; one that never closes runs to the end, so does the last."""
    mark, start, language = "", 0, ""
    for begins, ends, run, words in islice(_lines(_FENCE, text), 2 * MOST_FENCES - 1):
        rest = words.strip()
        if not mark:
            if "`" not in rest:
                mark, start = run, begins
                language = rest.partition(" ")[0].lower()
        elif run.startswith(mark) and not rest:
            yield _Fence(start, ends, language)
            mark = ""
    if mark:
        yield _Fence(start, len(text), language)


def _lines(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int, str, str]]:
    """Yield start, end and groups of the lines that match, each behind its line end: that is C speed.

    The first line, which has none ahead of it, gets one; a copy of a long text would take as long.
    """
    if text[:REACH].lstrip(" \t")[:1] in MARKS:
        first = pattern.match("\n" + text.partition("\n")[0])
        if first is not None:
            yield 0, first.end() - 1, first[1], first[2]
    for line in matches(pattern, text, REACH):
        yield line.start() + 1, line.end(), line[1], line[2]


class _Foreign:
    """Says of positions that only grow whether they lie in a fence of another language."""

    def __init__(self, fences: tuple[_Fence, ...]) -> None:
        self._fences = [fence for fence in fences if fence.language not in JSON_FENCES]
        self._next = 0

    def end(self, position: int) -> int:
        """Return the end of the fence that ``position`` lies in, or 0."""
        fences = self._fences
        while self._next < len(fences) and fences[self._next].end <= position:
            self._next += 1
        if self._next < len(fences) and fences[self._next].start <= position:
            return fences[self._next].end
        return 0
