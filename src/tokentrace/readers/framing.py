"""Exports that are no lines: the Collector's file exporter with a length before each, or protobuf.

With ``format: proto`` or with ``compression: zstd`` the Collector's file exporter writes the length of
each export before it, four bytes, the largest first; packed exports are packed each by itself. With
its feature gate ``exporter.file.nativeCompression`` (0.154 and later) the file is packed as a whole
instead, JSON in lines, protobuf with lengths (read in its source, 2026-11). A bare
``ExportTraceServiceRequest``, ``TracesData``, or several of them one behind another, is protobuf too.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokentrace.readers.unpacking import ZSTD, PackedError, Source, whole

LINES = "lines"
FRAMED = "framed"
PROTOBUF = "protobuf"
HEAD = 4_096
EMPTY_AFTER = 1_000  # messages of no byte in a row: a file of zeros
RESOURCE = 0x0A  # the first field of every export, of a length
BINARY = frozenset(range(0x09)) | frozenset(range(0x0E, 0x20)) - {0x1B}


class Message(bytes):
    """One or more resources of an export, in protobuf."""

    __slots__ = ()


def form(head: bytes, cap: int) -> str:
    """Return how what begins with ``head`` is written; empty for bytes that are none of it."""
    if len(head) > 5 and int.from_bytes(head[:4], "big") in range(1, cap + 1):
        body = head[4:]
        if body[0] == RESOURCE or body.startswith((ZSTD, b"{")):
            return FRAMED
    if head[:1] == bytes([RESOURCE]) and not BINARY.isdisjoint(head):
        return PROTOBUF
    return "" if b"\0" in head else LINES


def framed(source: Source, cap: int) -> Iterator[bytes | str]:
    """Yield each message behind its length, or why it was skipped.

    Raises:
        PackedError: the file is damaged as a whole.
        InputError: it is out of proportion, or zstd is not installed.
    """
    empty = 0
    while head := source.take(4):
        size = int.from_bytes(head, "big")
        empty = 0 if size else empty + 1
        if len(head) < 4 or empty > EMPTY_AFTER:
            yield "no message follows"
            return
        if size > cap:
            missing = source.skip(size)
            yield f"message of {size:,} bytes{' is cut off' if missing else ''}"
            continue
        data = source.take(size)
        if len(data) < size:
            yield f"cut off: {size - len(data):,} bytes of a message are missing"
        elif data:
            yield _message(data, source, cap)


def _message(data: bytes, source: Source, cap: int) -> bytes | str:
    if data.startswith(ZSTD):
        try:
            unpacked = whole(data, source, cap)
        except PackedError as error:
            return f"zstd data damaged or cut off here: {error}"
        if unpacked is None:
            return f"message over {cap >> 20} MB"
        data = unpacked
    return data if data.startswith(b"{") else Message(data)


def protobuf(source: Source, cap: int) -> Iterator[bytes | str]:
    """Yield each resource of one or more exports as an export of its own, or why it was skipped.

    Raises:
        PackedError: the file is damaged as a whole.
        InputError: it is out of proportion.
    """
    while tag := source.take(1):
        size, read = _varint(source)
        if tag[0] != RESOURCE or size is None:
            yield "no protobuf of traces from here on"
            return
        if size > cap:
            source.skip(size)
            yield f"resource over {cap >> 20} MB"
            continue
        data = source.take(size)
        if len(data) < size:
            yield f"cut off: {size - len(data):,} bytes of a resource are missing"
        else:
            yield Message(b"".join((tag, read, data)))


def _varint(source: Source) -> tuple[int | None, bytes]:
    """Return a length and its bytes, None where it is none."""
    read, size = b"", 0
    for shift in range(0, 35, 7):
        byte = source.take(1)
        if not byte:
            break
        read += byte
        size |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return size, read
    return None, read
