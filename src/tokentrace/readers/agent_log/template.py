"""Lines as templates: ``Total Used: {used} / {limit}``. Text stands for itself, ``{name}`` for a value.

A template becomes one regular expression that cannot run away. A value is at most 200 bytes long;
one of words ends where the text behind it first stands, and nothing is tried again: each piece is
an atomic group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

LONGEST_TEMPLATE = 500
MOST_VALUES = 12
SKIP = "_"

# A number with separators of thousands: , . _ ' and the narrow spaces in UTF-8 and Latin-1.
_THOUSANDS = rb"(?:(?:[,._']|\xc2?\xa0|\xe2\x80\xaf)[0-9]{3}(?![0-9])){0,20}+"
WHOLE = rb"-?[0-9]{1,40}+" + _THOUSANDS
SHARE = rb"-?[0-9]{1,20}+(?:[.,][0-9]{1,20}+)?+"
WORD = rb"[A-Za-z]{1,20}+"
TIME = rb"[0-9][0-9A-Za-z:.,+/ \-]{3,40}?"
WORDS = rb".{1,200}?"
LINE = rb".{1,200}"  # words with nothing behind them

WHOLES = frozenset({
    "turn", "total", "total_also", "limit", "limit_also", "used", "base", "context", "budget", "tokens", "before",
    "after", "before_chars", "after_chars",
})  # fmt: skip
SHARES = frozenset({"utilization", "utilization_also"})
TEXTS = frozenset({
    "session", "agent", "model", "tokenizer", "name", "component", "reason", "error", "where", "value",
})  # fmt: skip
VALUES = WHOLES | SHARES | TEXTS | {"time", "level", SKIP}

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
# Blanks, punctuation and pictograms, which loggers put before a text: ``  ✅ ``, ``[``, ``⚠️ ``.
_PLAIN = rb"[^0-9A-Za-z\x80-\xff]*+"
ORNAMENTS = _PLAIN + rb"(?:(?:\xf0\x9f..|\xe2..|\xef\xb8.)" + _PLAIN + rb")*+"
_LEADING = re.compile(ORNAMENTS, re.DOTALL)


class Piece(NamedTuple):
    """A text that stands for itself, or the name of a value."""

    text: str
    named: bool


class Template(NamedTuple):
    """What a template became.

    Attributes:
        first: the text that it begins with, as bytes, without ornaments; empty for a value.
        pattern: the expression for the whole of it, ``first`` included.
        names: of its values.
        percent: names of the values that a ``%`` follows.
    """

    first: bytes
    pattern: bytes
    names: frozenset[str]
    percent: frozenset[str]


def compiled(text: str, allowed: Iterable[str] = VALUES, *, bare: bool = True) -> Template:
    """Return what ``text`` stands for.

    Args:
        text: as in the file.
        allowed: names of the values that may stand in it.
        bare: leave out ornaments at its beginning, as `ORNAMENTS` does in a line.

    Raises:
        ValueError: a value is not ``allowed`` or stands twice, or there is no text between two.
    """
    if len(text) > LONGEST_TEMPLATE:
        raise ValueError(f"longer than {LONGEST_TEMPLATE} characters")
    pieces = _bare(list(_pieces(text))) if bare else list(_pieces(text))
    names = [piece.text for piece in pieces if piece.named]
    _check(names, pieces, frozenset(allowed))
    first = pieces[0].text.encode() if pieces and not pieces[0].named else b""
    pairs = list(pairwise([*pieces, Piece("", named=False)]))
    percent = {one.text for one, behind in pairs if one.named and behind.text.startswith("%")}
    pattern = re.escape(first) + b"".join(_group(*pair) for pair in pairs if pair[0].named)
    return Template(first, pattern, frozenset(names) - {SKIP}, frozenset(percent))


def _pieces(text: str) -> Iterator[Piece]:
    """Yield texts and names in turn; doubled braces are braces."""
    held, end = "", 0
    for found in _PIECE.finditer(text):
        held += text[end : found.start()]
        end = found.end()
        if found[0] in {"{{", "}}"}:
            held += found[0][0]
        elif found[1] is None:
            raise ValueError(f"a lone {found[0]}; a brace that is none of ours is doubled")
        else:
            if held:
                yield Piece(held, named=False)
            held = ""
            yield Piece(found[1], named=True)
    if held := held + text[end:]:
        yield Piece(held, named=False)


def _bare(pieces: list[Piece]) -> list[Piece]:
    """Return pieces without ornaments before the first text."""
    if not pieces or pieces[0].named:
        return pieces
    raw = pieces[0].text.encode()
    found = _LEADING.match(raw)
    text = raw[found.end() if found else 0 :].decode()
    return [Piece(text, named=False), *pieces[1:]] if text else pieces[1:]


def _check(names: list[str], pieces: list[Piece], allowed: frozenset[str]) -> None:
    known = [name for name in names if name != SKIP]
    for name in known:
        if name not in allowed:
            choice = ", ".join(sorted(allowed - {SKIP})) or "none"
            raise ValueError(f"{{{name}}} is no value here; known are {choice}, and {{_}}")
        if known.count(name) > 1:
            raise ValueError(f"{{{name}}} stands twice")
    if len(names) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values")
    for one, behind in pairwise(pieces):
        if one.named and behind.named:
            raise ValueError(f"no text between {{{one.text}}} and {{{behind.text}}}")


def _group(value: Piece, behind: Piece) -> bytes:
    """Return the expression of a value and of the text that ends it."""
    name = value.text
    if name in WHOLES:
        kind = WHOLE
    elif name in SHARES:
        kind = SHARE
    else:
        kind = {"level": WORD, "time": TIME}.get(name, WORDS if behind.text else LINE)
    held = b"(?:" + kind + b")" if name == SKIP else b"(?P<" + name.encode() + b">" + kind + b")"
    return b"(?>" + held + re.escape(behind.text.encode()) + b")"
