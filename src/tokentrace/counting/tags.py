"""Texts that the agent named in code, found again in a prompt.

A tag is found as it stands (which covers f-strings and concatenation), JSON-escaped with or
without ``ensure_ascii``, or indented by the same white space on each line. A tag under 16
characters claims only a whole part, a whole line or a whole JSON string value; a blank one
nothing. A tag that is found nowhere is looked for once more without the white space around it,
which prompt builders like to strip. Found twice counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

SHORT = 16
HEAD = 32
MOST_STARTS = 32
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
    hits: list[Hit] = []
    for tag in tags:
        needle = tag.text
        stripped = needle.strip()
        head = stripped[:HEAD]
        # Most tags stand in another text: the beginning that all forms share tells it soonest.
        if not head or len(stripped) > len(text) or (head not in text and _is_plain(head)):
            continue
        spans = _occurrences(text, needle)
        if not spans and len(needle) > len(stripped) >= SHORT:
            spans = _occurrences(text, stripped)
        hits += [Hit(start, end, tag) for start, end in spans]
    return hits


def _is_plain(head: str) -> bool:
    """Whether a beginning looks the same in every form."""
    return head.isascii() and head.isprintable() and '"' not in head and "\\" not in head


def _occurrences(text: str, needle: str) -> list[Span]:
    """Return where ``needle`` stands in any of its forms, each place once.

    All forms begin alike where the needle begins with plain characters. Then one search for these
    tells most often that nothing is left to explain.
    """
    starts = _starts(text, needle)
    spans = dict.fromkeys(_plain(text, needle, needle, starts))
    if "\\" in text and _unexplained(starts, spans):
        for form in _escaped(needle):
            spans.update(dict.fromkeys(_plain(text, form, needle, starts)))
    if "\n" in needle and _unexplained(starts, spans):
        spans.update(dict.fromkeys(_indented(text, needle)))
    return list(spans)


def _starts(text: str, needle: str) -> list[int] | None:
    """Return where any form may start; None where one search does not tell."""
    head = needle[:HEAD]
    if not _is_plain(head):
        return None
    starts: list[int] = []
    start = text.find(head)
    while start >= 0:
        starts.append(start)
        if len(starts) > MOST_STARTS:
            return None
        start = text.find(head, start + 1)
    return starts


def _unexplained(starts: list[int] | None, spans: dict[Span, None]) -> bool:
    """Whether another form may stand somewhere."""
    return starts is None or len(starts) > len(spans)


def _plain(text: str, form: str, needle: str, starts: list[int] | None) -> Iterator[Span]:
    """Yield where ``form`` stands; a short needle only where it stands alone."""
    short = len(needle) < SHORT
    places = _each(text, form) if starts is None else _among(text, form, starts)
    for start in islice(places, MOST_TRIES) if short else places:
        end = start + len(form)
        if not short or _alone(text, start, end):
            yield start, end


def _each(text: str, form: str) -> Iterator[int]:
    """Yield the starts of the occurrences that do not overlap, from the left."""
    start = text.find(form)
    while start >= 0:
        yield start
        start = text.find(form, start + len(form))


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


def _indented(text: str, needle: str) -> Iterator[Span]:
    """Yield where all lines of ``needle`` but the first are set in by the same white space.

    The longest of these lines is searched for; what stands before it on its line is the indent,
    and with it the whole form is known. Blank lines may be set in or not.
    """
    lines = needle.split("\n")
    anchor = max(range(1, len(lines)), key=lambda i: len(lines[i].strip()))
    if not lines[anchor].strip():
        return
    forms: dict[str, list[tuple[int, str]]] = {}
    for found in islice(_each(text, lines[anchor]), MOST_TRIES):
        line = text.rfind("\n", max(0, found - WIDEST_INDENT - 1), found) + 1
        indent = text[line:found] if line else ""
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
