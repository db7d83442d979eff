"""Texts that the agent named in code, found again in a prompt.

A tag is found as it stands (which covers f-strings and concatenation), JSON-escaped with or
without ``ensure_ascii``, or indented by the same white space on each line. A tag under 16
characters claims only a whole part, a whole line or a whole JSON string value; a blank one
nothing. A tag that is found nowhere is looked for once more without the white space around it,
which prompt builders like to strip. Found twice counts twice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tokentrace.counting.finding import HEAD, Places

SHORT = 16
MOST_TRIES = 10_000
WIDEST_INDENT = 64

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tag:
    """A text that the agent's code named: the component's name, and the text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One occurrence of a tag: characters of the text, and the tag."""

    start: int
    end: int
    tag: Tag


def find_tags(text: str, tags: Iterable[Tag]) -> list[Hit]:
    """Return every occurrence of every tag, in the order of the tags; they may overlap."""
    tags = tuple(tags)
    places = Places(text, _heads(text, tags))
    hits: list[Hit] = []
    for tag in tags:
        needle = tag.text
        stripped = needle.strip()
        head = stripped[:HEAD]
        if not head or len(stripped) > len(text):
            continue
        # Most tags stand in another text: the beginning that all forms share tells it soonest.
        missing = head not in text if places.short else places.of(head) == []
        if missing and _is_plain(head):
            continue
        spans = _occurrences(text, needle, places)
        if not spans and len(needle) > len(stripped) >= SHORT:
            spans = _occurrences(text, stripped, places)
        hits += [Hit(start, end, tag) for start, end in spans]
    return hits


def _heads(text: str, tags: Iterable[Tag]) -> Iterator[str]:
    """Yield what the forms of all tags begin with, and what their longest lines do."""
    escaped = "\\" in text
    for tag in tags:
        for needle in dict.fromkeys((tag.text, tag.text.strip())):
            head = needle[:HEAD]
            yield head
            if escaped and not _is_plain(head):
                yield from _escaped_heads(head)
            if "\n" in head:
                lines = needle.split("\n")
                yield lines[_anchor(lines)][:HEAD]


def _is_plain(head: str) -> bool:
    """Whether a beginning looks the same in every form."""
    return head.isascii() and head.isprintable() and '"' not in head and "\\" not in head


def _occurrences(text: str, needle: str, places: Places) -> list[Span]:
    """Return where ``needle`` stands in any of its forms, each place once.

    Where a form starts its beginning tells: nothing else is compared.
    """
    head = needle[:HEAD]
    starts = places.of(head)
    spans = dict.fromkeys(_plain(text, needle, needle, starts))
    if places.escapes and _may_be_escaped(head, spans, places):
        for form in _escaped(needle):
            spans.update(dict.fromkeys(_plain(text, form, needle, places.of(form[:HEAD]))))
    if "\n" in needle:
        left = None if "\n" in head or starts is None else _unexplained(starts, spans)
        if left is None or left:
            spans.update(dict.fromkeys(_indented(text, needle, left, places)))
    return list(spans)


def _may_be_escaped(head: str, spans: dict[Span, None], places: Places) -> bool:
    """Whether an escaped form may start somewhere."""
    heads = [head] if _is_plain(head) else _escaped_heads(head)
    found = [places.of(one) for one in heads]
    return any(starts is None or bool(_unexplained(starts, spans)) for starts in found)


def _unexplained(starts: list[int], spans: dict[Span, None]) -> list[int]:
    """Return where something starts that no span begins with."""
    known = {start for start, _ in spans}
    return [start for start in starts if start not in known]


def _plain(text: str, form: str, needle: str, starts: list[int] | None) -> Iterator[Span]:
    """Yield where ``form`` stands; a short needle only where it stands alone."""
    short = len(needle) < SHORT
    places = _at(text, form, starts)
    for start in islice(places, MOST_TRIES) if short else places:
        end = start + len(form)
        if not short or _alone(text, start, end):
            yield start, end


def _anchor(lines: list[str]) -> int:
    """Return which line of a needle's is the longest, without the first."""
    sizes = [*map(len, map(str.strip, lines[1:]))]
    return 1 + sizes.index(max(sizes))


def _at(text: str, form: str, starts: list[int] | None) -> Iterator[int]:
    """Yield the starts of the occurrences, by where alone they may be where that is known."""
    return _each(text, form) if starts is None else _among(text, form, starts)


def _each(text: str, form: str, first: int = 0, last: int = sys.maxsize) -> Iterator[int]:
    """Yield the starts of the occurrences that do not overlap, from the left."""
    start = text.find(form, first, last)
    while start >= 0:
        yield start
        start = text.find(form, start + len(form), last)


def _among(text: str, form: str, starts: list[int]) -> Iterator[int]:
    """Yield the same as `_each`, knowing where to look."""
    end = 0
    for start in starts:
        if start >= end and text.startswith(form, start):
            yield start
            end = start + len(form)


def _escaped(needle: str) -> list[str]:
    """Return how the needle looks inside a JSON string, where that differs from itself."""
    from json.encoder import encode_basestring, encode_basestring_ascii

    forms = {encode_basestring(needle)[1:-1], encode_basestring_ascii(needle)[1:-1]}
    return sorted(forms - {needle})


def _escaped_heads(head: str) -> list[str]:
    """Return what the escaped forms of a needle begin with, by the needle's own beginning."""
    return [form[:HEAD] for form in _escaped(head)] or [head]


def _alone(text: str, start: int, end: int) -> bool:
    """Whether a span is a whole line, a whole text or a whole JSON string value."""
    before = text[max(0, start - WIDEST_INDENT) : start].rstrip(" \t")
    after = text[end : end + WIDEST_INDENT].lstrip(" \t\r")
    if before[-1:] in ("", "\n", "\r") and after[:1] in ("", "\n"):
        return (bool(before) or start <= WIDEST_INDENT) and (
            bool(after) or end + WIDEST_INDENT >= len(text)
        )
    if before[-1:] != '"' or after[:1] != '"' or text[start - 1] != '"' or text[end] != '"':
        return False
    return before[:-1].rstrip()[-1:] in (":", "[", ",") and after[1:].lstrip()[:1] in (
        ",",
        "]",
        "}",
    )


def _indented(text: str, needle: str, starts: list[int] | None, places: Places) -> Iterator[Span]:
    """Yield where all lines of ``needle`` but the first are set in by the same white space.

    The longest of these lines is searched for; what stands before it on its line is the indent,
    and with it the whole form is known. Blank lines may be set in or not.

    Args:
        text: all of it.
        needle: what is looked for.
        starts: where alone it may start; None where nobody knows.
        places: of the longest line's beginning, too.
    """
    lines = needle.split("\n")
    anchor = _anchor(lines)
    line = lines[anchor]
    if not line.strip():
        return
    forms: dict[str, list[tuple[int, str]]] = {}
    if starts is None:
        anchors = _at(text, line, places.of(line[:HEAD]))
    else:
        longest = len(needle) + WIDEST_INDENT * len(lines)
        anchors = (found for one in starts for found in _each(text, line, one, one + longest))
    for found in islice(anchors, MOST_TRIES):
        begun = text.rfind("\n", max(0, found - WIDEST_INDENT - 1), found) + 1
        indent = text[begun:found] if begun else ""
        if indent.isspace():
            if indent not in forms:
                forms[indent] = _set_in(lines, anchor, indent)
            for offset, form in forms[indent]:
                if found >= offset and text.startswith(form, found - offset):
                    yield found - offset, found - offset + len(form)
                    break


def _set_in(lines: list[str], anchor: int, indent: str) -> list[tuple[int, str]]:
    """Return the two indented forms, each with the offset of its anchor line's own text."""
    every = [lines[0], *(indent + line for line in lines[1:])]
    some = [lines[0], *(indent + line if line.strip() else line for line in lines[1:])]
    forms = [every] if every == some else [every, some]
    return [
        (sum(len(line) + 1 for line in form[:anchor]) + len(indent), "\n".join(form))
        for form in forms
    ]
