"""How long sound and film are, and how many pages a PDF has: read from the bytes that a body holds.

Only headers are decoded, of a PDF at most `WHOLE` bytes. What cannot be read is 0: unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from struct import error, unpack
from typing import Any, Protocol

from tokentrace.dialects._documents import inflated

WHOLE = 2**21  # bytes of a PDF that are looked through; of a larger one its ends
FIRST, LAST = 2**18, 2**20
PACKED = 500  # streams of objects that are unpacked, of together so many bytes
UNPACKED = 2**22
NODES = 500  # of the page tree that are looked at
AROUND = 2**12  # bytes around a node of the page tree in which its count stands
MOST_PAGES = 10_000
BOXES = 256
MOVIE = 2**20  # bytes of a film's index that are looked at
HEAD = 2**12
LONGEST = 200_000.0  # seconds
FASTEST = 24  # frames a second that Gemini can be asked to look at

TREE = re.compile(rb"/Type\s*/Pages\b")
COUNT = re.compile(rb"/Count\s+(\d{1,6})\b")
LEAF = re.compile(rb"/Type\s*/Page\b")
LINEAR = re.compile(rb"/Linearized\b[^>]{0,400}?/N\s+(\d{1,6})\b")
PACK = re.compile(rb"/Type\s*/ObjStm\b")

# kbit/s by index, and samples a second, of MPEG 1 and 2 layer 3 (ISO 11172-3, 13818-3).
RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
FRAMES = 64  # of sound that are looked at: where their rate varies, the size tells no seconds
SAMPLES = (44_100, 48_000, 32_000)


class Source(Protocol):
    """Bytes that are decoded only where they are asked for."""

    def take(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""


class Bytes:
    """Bytes that are there already."""

    def __init__(self, held: bytes | bytearray) -> None:
        self._held = held

    def take(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        return bytes(self._held[offset : offset + length])


def told(source: Source, size: int, mime: str) -> dict[str, Any]:
    """Return what is known of a payload, as fields of `Media`: ``pages``, or ``seconds`` and ``sound``."""
    if mime == "application/pdf":
        return {"pages": pages(source, size)}
    if not mime.startswith(("audio/", "video/")):
        return {}
    head = source.take(0, 16)
    read = next((read for known, read in FORMATS if known(head)), None)
    try:
        seconds, sound = read(source, size) if read else (0.0, False)
    except (error, ZeroDivisionError, IndexError, OverflowError):  # damaged
        return {}
    return {"seconds": seconds, "sound": sound} if 0 < seconds < LONGEST else {}


# ── sound and film ───────────────────────────────────────────────────────────────────────────────


def _wav(source: Source, size: int) -> tuple[float, bool]:
    at, rate = 12, 0
    for _ in range(BOXES):
        name, length = unpack("<4sI", source.take(at, 8))
        if name == b"fmt ":
            (rate,) = unpack("<I", source.take(at + 16, 4))
        elif name == b"data":
            return min(length or size, max(0, size - at - 8)) / rate, True
        at += 8 + length + length % 2
    return 0.0, False


def _flac(source: Source, _size: int) -> tuple[float, bool]:
    (packed,) = unpack(">Q", source.take(18, 8))
    return (packed & (1 << 36) - 1) / (packed >> 44), True


def _mp3(source: Source, size: int) -> tuple[float, bool]:
    at, head = 0, source.take(0, 10)
    if head[:3] == b"ID3":
        at = 10 + sum(
            (byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
    (bits,) = unpack(">I", source.take(at, 4))
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    if bits >> 21 != 0x7FF or version == 1 or layer != 1:
        return 0.0, False
    rates = RATES_1 if version == 3 else RATES_2
    kbits = rates[bits >> 12 & 15]
    samples = SAMPLES[bits >> 10 & 3] // {3: 1, 2: 2, 0: 4}[version]
    frame = source.take(at, 192)
    mark = max(frame.find(b"Xing"), frame.find(b"Info"))
    if mark > 0 and frame[mark + 7] & 1:  # it says how many frames there are
        (frames,) = unpack(">I", frame[mark + 8 : mark + 12])
        return frames * (1152 if version == 3 else 576) / samples, True
    length = 144_000 * kbits // samples // (1 if version == 3 else 2)
    return (
        (max(0, size - at) / (kbits * 125), True) if _steady(source, at, length) else (0.0, False)
    )


def _steady(source: Source, at: int, length: int) -> bool:
    """Whether the first frames, of so many bytes and maybe one more, all have the same bit rate."""
    first = source.take(at, 4)
    for _ in range(FRAMES):
        at += length + (source.take(at + 2, 1)[0] >> 1 & 1)
        head = source.take(at, 4)
        if head[:2] != first[:2] or len(head) < 4:
            return True  # the end, or what cannot be followed
        if head[2] >> 4 != first[2] >> 4:
            return False
    return True


def _mp4(source: Source, size: int) -> tuple[float, bool]:
    at = 0
    for _ in range(BOXES):
        length, name = unpack(">I4s", source.take(at, 8))
        if length == 1:
            (length,) = unpack(">Q", source.take(at + 8, 8))
        if name == b"moov":
            return _movie(source.take(at, min(length or size, MOVIE)))
        if length < 8:
            break
        at += length
    return 0.0, False


def _movie(index: bytes) -> tuple[float, bool]:
    at = index.find(b"mvhd") + 4
    if at < 4:
        return 0.0, False
    form = ">II" if not index[at] else ">IQ"
    start = at + (12 if not index[at] else 20)
    scale, length = unpack(form, index[start : start + (8 if not index[at] else 12)])
    return length / scale, b"soun" in index


def _webm(source: Source, _size: int) -> tuple[float, bool]:
    head = source.take(0, HEAD)
    at = head.find(b"\x44\x89") + 2
    if at < 2:
        return 0.0, False
    form, width = (">d", 8) if head[at] == 0x88 else (">f", 4)
    (length,) = unpack(form, head[at + 1 : at + 1 + width])
    scaled = head.find(b"\x2a\xd7\xb1\x83")
    scale = int.from_bytes(head[scaled + 4 : scaled + 7], "big") if scaled >= 0 else 1_000_000
    return length * scale / 1e9, b"A_" in head


FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[Source, int], tuple[float, bool]]], ...] = (
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE", _wav),
    (lambda head: head[:4] == b"fLaC", _flac),
    (lambda head: head[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"wide"}, _mp4),
    (lambda head: head[:4] == b"\x1aE\xdf\xa3", _webm),
    (lambda head: head[:3] == b"ID3" or head[:1] == b"\xff", _mp3),
)


def clip(seconds: float, start: Any, stop: Any, often: Any) -> float:
    """Return the seconds of a clip, as many times as it has frames a second; 0 where unknown.

    Args:
        seconds: of the whole, 0 where unknown.
        start: as ``"12.5s"`` or as a number; anything else is none.
        stop: likewise.
        often: frames a second, one where none is asked for.
    """
    begins, ends = _seconds(start) or 0.0, _seconds(stop)
    ends = seconds if ends is None else min(ends, seconds or ends)
    known = isinstance(often, int | float) and 0 < often <= FASTEST
    return max(0.0, ends - begins) * (often if known else 1)


def _seconds(value: Any) -> float | None:
    text = value[:-1] if isinstance(value, str) and value.endswith("s") else value
    try:
        found = float(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if 0 <= found < LONGEST else None


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


def pages(source: Source, size: int) -> int:
    """Return the pages of a PDF, by its page tree, or by its pages where no tree can be read."""
    if size <= WHOLE:
        data = source.take(0, size)
    else:
        data = source.take(0, FIRST) + b"\n" + source.take(size - LAST, LAST)
    if not data.startswith(b"%PDF"):
        return 0
    linear = LINEAR.search(data, 0, HEAD)
    if linear is not None:
        return min(MOST_PAGES, int(linear[1]))
    found = max(_counts(data), default=0) or max(
        (count for held in _packed(data) for count in _counts(held)), default=0
    )
    return min(MOST_PAGES, found or (len(LEAF.findall(data)) if size <= WHOLE else 0))


def _counts(data: bytes) -> Iterator[int]:
    """Yield how many pages each node of the tree says it has."""
    for node in islice(TREE.finditer(data), NODES):
        start, stop = max(0, node.start() - AROUND), node.end() + AROUND
        start = max(start, data.rfind(b"obj", start, node.start()))
        end = data.find(b"endobj", node.end(), stop)
        near = COUNT.finditer(data, start, end if end >= 0 else stop)
        best = min(near, key=lambda match: abs(match.start() - node.start()), default=None)
        if best is not None:
            yield int(best[1])


def _packed(data: bytes) -> Iterator[bytes]:
    """Yield what streams of objects hold."""
    left = UNPACKED
    for pack in islice(PACK.finditer(data), PACKED):
        at = data.find(b"stream", pack.end(), pack.end() + AROUND)
        end = data.find(b"endstream", at)
        if min(at, end) < 0 or left <= 0:
            return
        held = inflated(data[at + 6 : end].removeprefix(b"\r").removeprefix(b"\n"))
        left -= len(held)
        yield held
