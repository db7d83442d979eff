"""Lines of files that nobody vouches for: capped, streamed, gzip taken apart on the way."""

from __future__ import annotations

import gzip
import stat
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tokentrace.errors import InputError
from tokentrace.readers import Problems, Seen, quiet

STDIN = "-"
LINE_CAP = 64 << 20
RATIO_CAP = 100
RATIO_FREE = 16 << 20  # small files of repeated lines may well be denser than the cap
STEP = 1 << 16
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"


class Torn(bytes):
    """A last line without an end: it may still be being written, or have been cut off."""

    __slots__ = ()


@dataclass(slots=True)
class _Metered:
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
class _Unpacked:
    """The bytes of a stream, gzip or not, as long as they stay in proportion to what was read."""

    path: str
    raw: _Metered
    stream: _Metered | gzip.GzipFile
    made: int = 0

    def read(self) -> bytes:
        """Return the next bytes, none at the end; raise InputError for a bomb."""
        # One step at a time: what is whole comes out before what follows it turns out damaged.
        data = self.stream.read1(STEP)
        self.made += len(data)
        if self.made > RATIO_FREE and self.made > RATIO_CAP * self.raw.count:
            raise InputError(f"unpacks to over {RATIO_CAP} times its size", source=self.path)
        return data


def _lines(source: _Unpacked) -> Iterator[bytes | None]:
    """Yield each line without its end; None for a line over the cap."""
    pieces: list[bytes] = []
    held = 0
    while data := source.read():
        first, *others = data.split(b"\n")
        for piece in others:
            yield None if held + len(first) > LINE_CAP else b"".join((*pieces, first))
            pieces, held, first = [], 0, piece
        held += len(first)
        pieces = [] if held > LINE_CAP else [*pieces, first]
    if held:
        yield None if held > LINE_CAP else Torn(b"".join(pieces))


def files(path: str) -> list[Path]:
    """Return the trace files that ``path`` means, oldest first: itself, or those of a folder.

    Raises:
        InputError: there is nothing at ``path``, or nothing that may be read.
    """
    place = Path(path)
    try:
        mode = place.stat().st_mode
        if not stat.S_ISDIR(mode):
            return [place]
        found = [(f.stat().st_mtime_ns, f) for f in place.glob("*.jsonl*") if f.is_file()]
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not found:
        mend = "run the agent with tokentrace.instrument(), or give a file"
        raise InputError("no *.jsonl trace files in this folder", source=path, mend=mend)
    return [file for _, file in sorted(found)]


def read(path: str, problems: Problems, seen: Seen = quiet) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a file and its number from 1; empty lines are left out.

    A line over 64 MB is skipped and goes to ``problems``, as does the end of a gzip file that was
    cut off. A last line that has no end is `Torn`.

    Raises:
        InputError: the file cannot be opened, is binary, or unpacks to over 100 times its size.
    """
    if path == STDIN:
        yield from _split(path, sys.stdin.buffer, problems, seen)
        return
    try:
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - the generator closes it below
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with file:
        yield from _split(path, cast("BinaryIO", file), problems, seen)


def _split(
    path: str, file: BinaryIO, problems: Problems, seen: Seen
) -> Iterator[tuple[int, bytes]]:
    raw = _Metered(file, seen)
    number = 0
    try:
        packed = raw.peek(2) == GZIP
        if not packed and b"\0" in raw.peek(4096):
            raise InputError("a binary file, not lines of text", source=path)
        stream = gzip.GzipFile(fileobj=cast("BinaryIO", raw)) if packed else raw
        for number, line in enumerate(_lines(_Unpacked(path, raw, stream)), 1):
            if line is None:
                problems.add(path, number, f"line over {LINE_CAP >> 20} MB")
            elif text := (line.removeprefix(BOM) if number == 1 else line).strip():
                yield number, Torn(text) if isinstance(line, Torn) else text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problems.add(path, number + 1, f"gzip data damaged or cut off here: {error}")
    except OSError as error:
        raise unreadable(path, error) from error


def size(paths: Sequence[str]) -> int:
    """Return the bytes on disk that `read` will go through, 0 where that is not known."""
    total = 0
    for path in paths:
        try:
            total += sum(file.stat().st_size for file in files(path)) if path != STDIN else 0
        except (InputError, OSError):
            continue
    return total


def unreadable(path: str, error: Exception) -> InputError:
    """Return what to say of a file that the system does not give."""
    if isinstance(error, FileNotFoundError):
        return InputError("no such file or folder", source=path, mend="check the path")
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"cannot be read: {reason}", source=path, mend="check its permissions")
