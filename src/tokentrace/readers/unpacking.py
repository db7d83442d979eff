"""The bytes of a file, plain or packed with gzip or zstd, as long as they stay in proportion."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from tokentrace.errors import InputError
from tokentrace.readers import Seen

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
STEP = 1 << 16
RATIO_FREE = 16 << 20  # small files of repeated lines may well be denser than the cap
# What a packed trace may unpack to, as a multiple. Turns that repeat one another pack well: 1,000 of
# them in one stream of zstd came to 60 times (2026-11-30).
RATIO_CAP = 100
ZSTD_RATIO_CAP = 1_000
MISSING = "pip install 'tokentrace[zstd]'"


class PackedError(Exception):
    """Packed bytes that are damaged or cut off."""


@dataclass(slots=True)
class Metered:
    """A binary file that counts what is read from it and can look at its head."""

    file: BinaryIO
    seen: Seen
    count: int = 0
    ahead: bytes = b""

    def peek(self, size: int) -> bytes:
        """Return up to the first ``size`` bytes without consuming them."""
        while len(self.ahead) < size and (more := self.file.read(size - len(self.ahead))):
            self.ahead += more
        return self.ahead

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        if self.ahead:
            data, self.ahead = self.ahead[:size], self.ahead[size:]
        else:
            data = self.file.read(size)
        self.count += len(data)
        self.seen(len(data))
        return data

    read1 = read


@dataclass(slots=True)
class Source:
    """The unpacked bytes of a file, in order.

    Attributes:
        path: as named in errors.
        raw: the file.
        packed: ``gzip``, ``zstd``, or empty.
        made: bytes that came out so far.
    """

    path: str
    raw: Metered
    packed: str = ""
    made: int = 0
    _stream: Any = None
    _ahead: list[bytes] = field(default_factory=list)
    _broken: PackedError | None = None
    _damage: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)

    def __post_init__(self) -> None:
        head = self.raw.peek(4)
        self._stream = self.raw
        if head.startswith(GZIP):
            self.packed = "gzip"
            self._stream = gzip.GzipFile(fileobj=cast("BinaryIO", self.raw))
        elif head.startswith(ZSTD):
            self.packed = "zstd"
            module = zstd(self.path)
            self._stream = module.ZstdFile(self.raw)
            self._damage = (EOFError, module.ZstdError)

    def read(self) -> bytes:
        """Return the next bytes, none at the end.

        Raises:
            PackedError: they are damaged.
            InputError: they are out of proportion.
        """
        return self._ahead.pop(0) if self._ahead else self._next()

    def _next(self) -> bytes:
        if self._broken:
            raise self._broken
        # One step at a time: what is whole comes out before what follows it turns out damaged.
        if not self.packed:
            return cast("bytes", self._stream.read1(STEP))
        try:
            data = cast("bytes", self._stream.read1(STEP))
        except self._damage as error:
            raise PackedError(error) from error
        self.grown(len(data), RATIO_CAP if self.packed == "gzip" else ZSTD_RATIO_CAP)
        return data

    def grown(self, size: int, cap: int = ZSTD_RATIO_CAP) -> None:
        """Take note of ``size`` bytes that were unpacked.

        Raises:
            InputError: they are over ``cap`` times what was read.
        """
        self.made += size
        if self.made > RATIO_FREE and self.made > cap * self.raw.count:
            raise InputError(f"unpacks to over {cap} times its size", source=self.path)

    def peek(self, size: int) -> bytes:
        """Return about the first ``size`` bytes, or what there is of them, without consuming any."""
        held = sum(map(len, self._ahead))
        try:
            while held < size and (data := self._next()):
                self._ahead.append(data)
                held += len(data)
        except PackedError as error:  # what came before it is still to be read
            self._broken = error
        return b"".join(self._ahead)[:size]

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes, fewer at the end."""
        pieces: list[bytes] = []
        while size > 0 and (data := self.read()):
            if len(data) > size:
                self._ahead.insert(0, data[size:])
                data = data[:size]
            pieces.append(data)
            size -= len(data)
        return b"".join(pieces)

    def skip(self, size: int) -> int:
        """Pass over ``size`` bytes; return how many were missing."""
        while size > 0 and (data := self.take(min(size, STEP))):
            size -= len(data)
        return size


def zstd(path: str) -> Any:
    """Return the module of zstd: the interpreter's from Python 3.14 on, else its backport.

    Raises:
        InputError: it is not installed.
    """
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            text = "is packed with zstd, which needs a package"
            raise InputError(text, source=path, mend=MISSING) from None
    return zstd


def whole(data: bytes, source: Source, cap: int) -> bytes | None:
    """Return one message that is packed with zstd by itself, None where it is over ``cap`` bytes.

    Raises:
        PackedError: it is damaged.
        InputError: it is out of proportion, or zstd is not installed.
    """
    module = zstd(source.path)
    unpacker = module.ZstdDecompressor()
    try:
        text = cast("bytes", unpacker.decompress(data, cap + 1))
    except module.ZstdError as error:
        raise PackedError(error) from error
    source.grown(len(text))
    if len(text) > cap:
        return None
    if not unpacker.eof:
        raise PackedError("cut off")
    return text
