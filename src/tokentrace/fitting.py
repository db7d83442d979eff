"""Cutting what is too long, so that nobody takes the rest for the whole. Pure functions, no names.

A text that is cut ends with ``…[cut: 200 of 900 bytes]``; entries that are left out leave ``+7`` in
their place, so that JSON stays JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

GONE = "…"
LEFT_OUT = re.compile(r"\+\d{1,9}")
DEEPEST = 32
LEAST_ENTRY = 160  # bytes that an entry of a list is given before others go
LEAST_FIELD = 48  # the same for a field
ROOMY = 64  # bytes in which even what is left of a list or an object of millions fits
BOUND = 5_000_000  # bytes of a trace that Tempo takes by default (3.0.3, 2026-08)
NEAR = 0.8  # share of it from which we warn
SPAN_BYTES = 76  # ids, times, kind and status of a span in OTLP's protobuf form
PAIR_BYTES = 8  # lengths and field numbers around a key and its value
LINK_BYTES = 34
EVENT_BYTES = 14


def utf8(text: str) -> bytes:
    """Return UTF-8; lone surrogates become question marks."""
    return text.encode("utf-8", "replace")


def cut(text: str, most: int) -> str:
    """Return a text of at most ``most`` bytes in UTF-8, with a mark at its end where it was cut."""
    if 4 * len(text) <= most:
        return text
    raw = utf8(text)
    return text if len(raw) <= most else _cut(raw, len(raw), most)


def _cut(raw: bytes, total: int, most: int) -> str:
    """Return the first bytes that leave room for the mark, whole characters of them."""
    room = max(0, most - len(utf8(mark(total, total))))
    kept = raw[:room].decode("utf-8", "ignore")
    told = f"{kept}{mark(len(utf8(kept)), total)}"
    return told if len(utf8(told)) <= most else raw[:most].decode("utf-8", "ignore")


def mark(kept: int, total: int, digest: str = "") -> str:
    """Return what stands at the end of a text that was cut."""
    return f"…[cut: {kept} of {total} bytes{digest and f', {digest}'}]"


def cut_entries(entries: Sequence[str], most: int) -> tuple[str, ...]:
    """Return the first texts that take at most ``most`` bytes together, ``+n`` for n left out."""
    if 4 * sum(map(len, entries)) <= most:
        return tuple(entries)
    sizes = [len(utf8(entry)) for entry in entries]
    if sum(sizes) <= most:
        return tuple(entries)
    room, count = most - len(f"+{len(entries)}"), 0
    while sizes[count] <= room:
        room -= sizes[count]
        count += 1
    return (*entries[:count], f"+{len(entries) - count}")


def cut_list(text: str, most: int) -> str:
    """Return a list in JSON of at most ``most`` bytes: its first entries, ``"+n"`` for n left out.

    What was left out of it before is counted, too. A text that is no such list is cut as a text.
    """
    if len(utf8(text)) <= most:
        return text
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return cut(text, most)
    gone = 0
    if entries and isinstance(entries[-1], str) and LEFT_OUT.fullmatch(entries[-1]):
        gone = int(entries.pop())
    room, kept = most - len(f'["+{gone + len(entries)}"]'), []
    for piece in map(_json, entries):
        room -= len(utf8(piece)) + 1
        if room < 0:
            break
        kept.append(piece)
    kept.append(f'"+{gone + len(entries) - len(kept)}"')
    return f"[{','.join(kept)}]"


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def dumped(tree: Any, most: int | None = None) -> str:
    """Return compact JSON, of at most ``most`` bytes (64 at least) where that is given.

    Of lists the last entries stay, of objects the first fields; what is short stays whole, what is
    long shares the room and is cut. Objects that JSON does not know are told by their type.
    """
    text = utf8(_json(tree)).decode("utf-8")
    if most is None or len(utf8(text)) <= most:
        return text
    return utf8(_json(_fitted(tree, most, 0))).decode("utf-8")


def _json(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"), default=_odd)


def _odd(value: Any) -> str:
    return f"<{type(value).__name__}>"


def _size(tree: Any) -> int:
    return len(utf8(_json(tree)))


def _fitted(tree: Any, room: int, depth: int) -> Any:
    if _size(tree) <= room:
        return tree
    if isinstance(tree, str):
        return _fitted_text(tree, room)
    known: Any = None
    if isinstance(tree, list | tuple) and depth < DEEPEST:
        known = _fitted_list(tree, room, depth)
    elif isinstance(tree, Mapping) and depth < DEEPEST:
        known = _fitted_object(tree, room, depth)
    if known is not None and (room >= ROOMY or _size(known) <= room):
        return known
    return GONE if room >= len(utf8(GONE)) + 2 else ""


def _fitted_text(text: str, room: int) -> str:
    """Return a text whose JSON, escapes and all, fits."""
    total, raw = len(utf8(text)), utf8(text[:room])
    most = room - 2
    while most > 0:
        known = _cut(raw, total, most)
        over = _size(known) - room
        if over <= 0:
            return known
        most -= over
    return ""


def _fitted_list(entries: Sequence[Any], room: int, depth: int) -> list[Any]:
    left = room - len(f'["+{len(entries)}"]')
    sizes = _kept((_size(entry) + 1 for entry in reversed(entries)), left, LEAST_ENTRY)
    kept = entries[len(entries) - len(sizes) :]
    given = shares(sizes[::-1], left)
    fitting = [
        _fitted(entry, share - 1, depth + 1) for entry, share in zip(kept, given, strict=True)
    ]
    dropped = len(entries) - len(kept)
    return [f"+{dropped}", *fitting] if dropped else fitting


def _fitted_object(fields: Mapping[Any, Any], room: int, depth: int) -> dict[Any, Any]:
    left = room - len(f'{{"…":"+{len(fields)}"}}') - 2
    heads = [_size(str(key)) + 2 for key in fields]
    pairs = zip(heads, fields.values(), strict=True)
    sizes = _kept((head + _size(value) for head, value in pairs), left, LEAST_FIELD)
    given = shares(sizes, left)
    fitting = {
        key: _fitted(value, share - head, depth + 1)
        for (key, value), share, head in zip(fields.items(), given, heads, strict=False)
        if share - head >= 2
    }
    dropped = len(fields) - len(fitting)
    return fitting | {GONE: f"+{dropped}"} if dropped else fitting


def _kept(sizes: Iterable[int], room: int, least: int) -> list[int]:
    """Return the first sizes that fit when the long ones are cut to ``least``, one at least."""
    kept: list[int] = []
    for size in sizes:
        room -= min(size, least)
        if room < 0 and kept:
            break
        kept.append(size)
    return kept


def shares(sizes: Sequence[int], room: int) -> list[int]:
    """Return what each gets of ``room``: the small all that they want, the others alike."""
    given = [0] * len(sizes)
    for place, index in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        given[index] = max(0, min(sizes[index], room // (len(sizes) - place)))
        room -= given[index]
    return given


# ── weight ───────────────────────────────────────────────────────────────────────────────────────


def weight(attributes: Mapping[str, Any]) -> int:
    """Return about how many bytes attributes take in OTLP's protobuf form."""
    pairs = attributes.items()
    return PAIR_BYTES * len(pairs) + sum(len(key) + heft(value) for key, value in pairs)


def heft(value: Any) -> int:
    """Return about how many bytes a value takes there: texts their UTF-8, whole numbers 3."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(utf8(value))
    if isinstance(value, float):
        return 8
    if isinstance(value, list | tuple):
        return sum(heft(entry) + 4 for entry in value)
    return 3
