"""Readers shared by the dialects. They take anything and never raise, iterate or change it."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cache, lru_cache
from typing import Any

from tokentrace.prompt import Media, Message, Usage

DEPTH = 64
NODES = 10_000
LONGEST = 20_000
JPEG_SEGMENTS = 2_000
HEAD = 2**18  # bytes of an image that are looked at for its size
TOOL_CALLS = "tool_calls"  # a reason of the end, where a provider's own reasons do not say so
URL_SAFE = b"-_"  # in place of + and /, which are read as well: Google's SDK writes them
DATA_URL = re.compile(r"data:([^;,]*)[^,]*?(;base64)?,", re.ASCII)

Walk = Callable[[Any, Callable[[Any], Message]], Sequence[Message]]


def each(raw: Any, read: Callable[[Any], Message]) -> Sequence[Message]:
    """Read every message of a list: the walker of a dialect that is given none."""
    return [read(message) for message in items(raw)]


# ── values of any type ───────────────────────────────────────────────────────────────────────────


SCALARS = (str, bytes, int, float, list, tuple)
PLAIN = frozenset({*SCALARS, bool, type(None)})
# Ways to ask an object for a value by name.
ITEM, ATTRIBUTE, EXTRA, NOTHING = "item", "attribute", "__pydantic_extra__", "nothing"


def get(value: Any, key: str, default: Any = None) -> Any:
    """Return a mapping's item or an object's attribute; ``default`` where there is none."""
    kind = type(value)
    if kind is dict:
        return value.get(key, default)
    if kind in PLAIN:
        return default
    way = _WAY(kind, key)
    if way is ATTRIBUTE:
        return getattr(value, key, default)
    if way is ITEM:
        return value.get(key, default)
    if way is EXTRA:
        held = getattr(value, EXTRA, None)
        return held.get(key, default) if type(held) is dict else default
    return default


@lru_cache(maxsize=256)
def snake(name: str) -> str:
    """Return a name as Python users write it: ``topP`` is ``top_p``."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def either(value: Any, name: str) -> Any:
    """Return what a mapping or an object holds under a name in camelCase or in snake_case."""
    found = get(value, name)
    return get(value, snake(name)) if found is None else found


@lru_cache(maxsize=4_096)
def _way(kind: Any, key: str) -> str:
    """Return how an object of a class is asked for a value; remembered, for finding out is slow."""
    if issubclass(kind, Mapping):
        return ITEM
    if issubclass(kind, SCALARS):
        return NOTHING
    return EXTRA if _is_extra(kind, key) else ATTRIBUTE


_WAY: Callable[[Any, str], str] = _way


def _is_extra(kind: type, key: str) -> bool:
    """Whether a class is a model that knows no such field: asking an object of it for one is slow."""
    known = getattr(kind, "__pydantic_fields__", None)
    if type(known) is not dict or key in known or key.startswith("_"):
        return False
    return not any(key in vars(one) for one in kind.__mro__)


@lru_cache(maxsize=512)
def is_mapping(kind: type) -> bool:
    """Whether a class is a mapping; remembered, for asking an abstract class is slow."""
    return issubclass(kind, Mapping)


def fields(value: Any) -> Mapping[str, Any] | None:
    """Return what a message or block holds: a mapping, or an SDK model's fields; None for others.

    An SDK's response model is valid input: agents append it to the conversation as it came.
    """
    kind = type(value)
    if kind is dict:
        return value  # type: ignore[no-any-return]
    if kind in PLAIN:
        return None
    if isinstance(value, Mapping):
        return value
    if hasattr(kind, "model_fields") or hasattr(kind, "__fields__"):
        held: Mapping[str, Any] = getattr(value, "__dict__", {})
        return held
    return None


def items(value: Any) -> Sequence[Any]:
    """Return a list or tuple as it is, and nothing for everything else."""
    return value if isinstance(value, (list, tuple)) else ()


def text_of(value: Any) -> str:
    """Return a string as it is, and the empty one for everything else."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> int | None:
    """Return a whole number that is not negative; None for everything else, True included."""
    if type(value) is int:
        return value if value >= 0 else None
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer() and value < 2**53:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def picked(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the plain settings of a body under the short names that ``names`` gives them."""
    return {
        short: body[name] for name, short in names.items() if name in body and _plain(body[name])
    }


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 64 and all(isinstance(one, str) for one in value)
    return isinstance(value, bool | int | float | str)


# ── JSON of anything ─────────────────────────────────────────────────────────────────────────────


def compact(value: Any) -> str:
    """Return compact JSON of a value: at most 64 deep and 10,000 nodes, without payloads.

    Bytes, long base64 and data URLs are left out; what is no JSON is ``null``.
    """
    return _encode()(_bounded(value, 0, [NODES]))


def _bounded(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > DEPTH:
        return None
    if isinstance(value, str):
        return "" if _payload(value) else value
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_bounded(one, depth + 1, left) for one in value[: left[0] + 1]]
    held = fields(value)
    if held is None:
        return value.isoformat() if isinstance(value, date) else None
    pairs = list(held.items())[: left[0] + 1]
    return {str(k): _bounded(v, depth + 1, left) for k, v in pairs if isinstance(k, str | int)}


def _payload(text: str) -> bool:
    """Whether a long text is a payload rather than words: a data URL, or one run without spaces."""
    if len(text) < 1_000:
        return False
    return text.startswith("data:") or not any(c.isspace() for c in text[:500])


# ── payloads ─────────────────────────────────────────────────────────────────────────────────────


def payload_size(data: str) -> int:
    """Return the bytes that a base64 text decodes to, without decoding it."""
    padding = 2 if data.endswith("==") else int(data.endswith("="))
    return max(0, len(data) * 3 // 4 - padding)


def media(url: Any, detail: Any = "", mime: str = "") -> Media:
    """Describe a payload given as data URL, as plain URL or as base64 text (with ``mime``)."""
    hint = text_of(detail)
    if not isinstance(url, str) or not url:
        return Media(detail=hint, mime=mime, remote=True)
    head = DATA_URL.match(url[:200])
    if head is None and (not mime or url.startswith(("http:", "https:", "gs:", "s3:", "file:"))):
        return Media(detail=hint, mime=mime, remote=True)
    start = head.end() if head else 0
    kind = mime or (head.group(1) if head else "")
    if head and not head.group(2):
        return Media(detail=hint, size=len(url) - start, mime=kind)
    width, height = image_size(url, start) if kind.startswith("image/") or not kind else (0, 0)
    size = max(0, (len(url) - start) * 3 // 4)
    return replace(Media(width, height, hint, size, kind), **lengths(url, size, kind, start))


def lengths(given: str | bytes | bytearray, size: int, mime: str, start: int = 0) -> dict[str, Any]:
    """Return the pages or seconds of a payload, as fields of `Media`, where its type has any."""
    if not mime.startswith(("audio/", "video/", "application/pdf")):
        return {}
    from tokentrace.dialects import _lengths

    source = Payload(given, start) if isinstance(given, str) else _lengths.Bytes(given)
    return _lengths.told(source, size, mime)


def payload(given: Any, mime: str) -> Media:
    """Describe a payload given as bytes, which an SDK will encode, or as `media` takes it."""
    if not isinstance(given, bytes | bytearray):
        return media(given, mime=mime)
    if not mime.startswith("image/"):
        return Media(size=len(given), mime=mime, **lengths(given, len(given), mime))
    head = b64encode(given[:HEAD]).decode("ascii")
    return replace(media(head, mime=mime), size=len(given), remote=False)


class Payload:
    """Bytes of a base64 text, decoded only where they are asked for."""

    def __init__(self, text: str, start: int = 0) -> None:
        self.text = text
        self.start = start

    def take(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; fewer at the end or in damaged text."""
        first = self.start + offset // 3 * 4
        last = self.start + (offset + length + 2) // 3 * 4
        piece = self.text[first:last].rstrip("=")
        piece = piece[: len(piece) // 4 * 4 + (len(piece) % 4 if len(piece) % 4 > 1 else 0)]
        try:
            decoded = b64decode(piece + "=" * (-len(piece) % 4), URL_SAFE)
        except ValueError:
            return b""
        return decoded[offset % 3 : offset % 3 + length]


def image_size(data: str, start: int = 0) -> tuple[int, int]:
    """Return width and height in pixels of an image in base64, (0, 0) where nobody can tell.

    Reads PNG, GIF, WebP and JPEG headers; only the header's bytes are decoded.
    """
    if "\n" in data[start : start + 200]:
        data, start = re.sub(r"\s+", "", data[start : start + 2**20]), 0
    payload = Payload(data, start)
    head = payload.take(0, 30)
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head[:6] in {b"GIF87a", b"GIF89a"} and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) == 30:
        return _webp(head)
    if head[:2] == b"\xff\xd8":
        return _jpeg(payload)
    return 0, 0


def _webp(head: bytes) -> tuple[int, int]:
    form = head[12:16]
    if form == b"VP8 ":
        width, height = head[26:28], head[28:30]
        return int.from_bytes(width, "little") & 0x3FFF, int.from_bytes(height, "little") & 0x3FFF
    if form == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return 0, 0


def _jpeg(payload: Payload) -> tuple[int, int]:
    """Walk the segments to the frame header; every segment says its length."""
    at = 2
    for _ in range(JPEG_SEGMENTS):
        head = payload.take(at, 9)
        if len(head) < 9:
            return 0, 0
        mark = head[1]
        if head[0] != 0xFF or mark == 0xFF:
            at += 1
        elif 0xC0 <= mark <= 0xCF and mark not in {0xC4, 0xC8, 0xCC}:
            return int.from_bytes(head[7:9], "big"), int.from_bytes(head[5:7], "big")
        elif mark == 0x01 or 0xD0 <= mark <= 0xD8:
            at += 2
        else:
            at += 2 + int.from_bytes(head[2:4], "big")
    return 0, 0


# ── usage ────────────────────────────────────────────────────────────────────────────────────────


def in_parts(before: Usage, prompt: int | None, *parts: int | None) -> Usage:
    """Return the usage with what Google told, in parts that are added up; None says nothing.

    Args:
        before: what was told so far.
        prompt: of the input.
        parts: what its own tools added to the input, the answer, thoughts, cached tokens.
    """
    used, spoken, thoughts, cached = parts
    return replace(
        before,
        input=before.input if prompt is None else prompt + (used or 0),
        output=before.output if spoken is thoughts is None else (spoken or 0) + (thoughts or 0),
        cache_read=before.cache_read if cached is None else cached,
        reasoning=before.reasoning if thoughts is None else thoughts,
    )


def written(value: Any) -> str:
    """Return arguments or a result as compact JSON; a payload inside is text to the model."""
    try:
        return _encode()({} if value is None else value)
    except (TypeError, ValueError, RecursionError):
        return compact(value)


@cache
def _encode() -> Callable[[Any], str]:
    """Return the one encoder: to make one takes longer than to write most values."""
    from json import JSONEncoder

    return JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
