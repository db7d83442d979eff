"""The text of a file that a body holds: plain text as it is, a PDF as far as it is easily read.

A PDF's text stands in the operators of its pages. Fonts with tables of their own show glyphs, not
letters; those become as many letters of no meaning. Pictures of text hold none.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator

from tokentrace.dialects._reading import DATA_URL

LONGEST = 4_000_000  # characters of base64
LARGEST = 400_000  # bytes of a PDF's operators, read in about 90 ms; a larger one is not read
STREAMS = 5_000
HEADER = 2_000  # bytes ahead of a stream that say what it is
KINDS = re.compile(r"text/|application/(json|xml|yaml|x-yaml|toml|javascript)")
NAMES = re.compile(
    r".*\.(txt|md|csv|tsv|json|xml|ya?ml|toml|html?|py|js|ts|css|sql|log)", re.IGNORECASE
)

ELSE = re.compile(rb"/(Image|Length1|ObjStm|XRef|Metadata|ICCBased|CMapName|FontFile)|/N \d")
OPERATOR = re.compile(
    rb"(\((?:\\.|[^\\()]++|\((?:\\.|[^\\()]++)*+\))*+(?:\)|\\?\Z))|<([0-9A-Fa-f\s]*+)>"
    rb"|(-?\d++\.?\d*+|-?\.\d++)|(Tj|TJ|Td|TD|Tm|T\*|BT|'|\")(?![\w*])",
    re.DOTALL,
)
SPACES = re.compile(r" {2,}")
ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r?\n|.)", re.DOTALL)
ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"", b"f": b"", b"\n": b"", b"\r\n": b""}
GAP = -200  # thousandths of the font's size between two pieces of text: a space
LETTERS = "the text of it "


def text(payload: str, name: str) -> str:
    """Return the text of a file given as data URL or base64; empty where it cannot be told."""
    head = DATA_URL.match(payload[:200])
    start, kind = (head.end(), head.group(1)) if head else (0, "")
    if len(payload) - start > LONGEST or (head and not head.group(2)):
        return ""
    plain = bool(KINDS.match(kind) or NAMES.fullmatch(name))
    if not plain and not payload.startswith("JVBER", start):
        return ""
    try:
        data = b64decode(payload[start:])
    except ValueError:
        return ""
    return data.decode("utf-8", "replace") if plain else pdf(data)


def pdf(data: bytes) -> str:
    """Return the text of a PDF's pages, a line a line; empty where there is too much or none."""
    lines: list[str] = []
    left = LARGEST
    for operators in _pages(data):
        left -= len(operators)
        if left < 0:
            return ""
        lines += _lines(operators)
    return SPACES.sub(" ", "\n".join(lines))


def _pages(data: bytes) -> Iterator[bytes]:
    """Yield what the streams hold that write text."""
    end = 0
    for _ in range(STREAMS):
        at = data.find(b"stream", end)
        end = data.find(b"endstream", at)
        if min(at, end) < 0:
            return
        head = data[max(0, at - HEADER) : at].rpartition(b"obj")[2]
        held = data[at + 6 : end].removeprefix(b"\r").removeprefix(b"\n")
        end += 9
        if not ELSE.search(head):
            held = inflated(held) if b"/FlateDecode" in head else held
            if b"BT" in held:
                yield held


def inflated(data: bytes) -> bytes:
    """Return what a deflated stream holds, up to a little over `LARGEST`; nothing if damaged."""
    import zlib

    try:
        return zlib.decompressobj().decompress(data, LARGEST + 1)
    except zlib.error:
        return b""


def _lines(operators: bytes) -> list[str]:
    """Return the lines that a page's operators write."""
    lines, line, height = [], "", 0.0
    for moved, shown in _shown(operators):
        if moved is not None and moved != height:
            height = moved
            if line.strip():
                lines.append(line)
            line = ""
        line += shown
    return [*lines, line] if line.strip() else lines


def _shown(operators: bytes) -> Iterator[tuple[float | None, str]]:
    """Yield the height that the pen moves to, or None, and the text that it writes."""
    numbers: list[float] = []
    pieces: list[str] = []
    height = 0.0
    for string, digits, number, operator in OPERATOR.findall(operators):
        if number:
            numbers.append(float(number))
            if pieces and numbers[-1] < GAP:
                pieces.append(" ")
        elif not operator:
            pieces.append(_string(string) if string else _glyphs(digits))
        else:
            if operator in {b"T*", b"'", b'"'}:
                height -= 1
            elif numbers and operator in {b"Td", b"TD"}:
                height += numbers[-1]
            elif numbers and operator == b"Tm":
                height = numbers[-1]
            yield height, "".join(pieces)
            numbers, pieces = [], []


def _string(held: bytes) -> str:
    """Return what a string in parentheses says; glyphs of two bytes as `_glyphs` does."""
    raw = ESCAPE.sub(_escaped, held[1:-1])
    return _letters(len(raw) // 2) if b"\x00" in raw else raw.decode("cp1252", "replace")


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes((int(code, 8) & 255,)) if code.isdigit() else ESCAPES.get(code, code)


def _glyphs(digits: bytes) -> str:
    """Return letters for a string in hexadecimal digits, most often glyphs of two bytes."""
    return _letters(len(digits) // 4)


def _letters(number: int) -> str:
    return (LETTERS * (number // len(LETTERS) + 1))[:number]
