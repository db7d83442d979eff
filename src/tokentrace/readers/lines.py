"""Lines of files that nobody vouches for: capped, streamed, unpacked on the way.

Where a file holds no lines but messages (`framing`), each of them stands for a line.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from tokentrace.errors import InputError
from tokentrace.readers import Problems, Seen, framing, quiet
from tokentrace.readers.framing import Message
from tokentrace.readers.unpacking import GZIP, Metered, PackedError, Source

__all__ = ["GZIP", "LINE_CAP", "STDIN", "Message", "Torn", "files", "read", "size", "unreadable"]

STDIN = "-"
LINE_CAP = 64 << 20
BOM = b"\xef\xbb\xbf"
NAMED = "*.jsonl*"
SIGNALS = (b'"resourceSpans"', b'"resourceLogs"', b'"resourceMetrics"')
SIGHT = 256  # bytes of a line in which its signal stands


class Torn(bytes):
    """A last line without an end: it may still be being written, or have been cut off."""

    __slots__ = ()


def _lines(source: Source) -> Iterator[bytes | str]:
    """Yield each line without its end; for a line over the cap, what is wrong with it."""
    over = f"line over {LINE_CAP >> 20} MB"
    pieces: list[bytes] = []
    held = 0
    while data := source.read():
        first, *others = data.split(b"\n")
        for piece in others:
            yield over if held + len(first) > LINE_CAP else b"".join((*pieces, first))
            pieces, held, first = [], 0, piece
        held += len(first)
        pieces = [] if held > LINE_CAP else [*pieces, first]
    if held:
        yield over if held > LINE_CAP else Torn(b"".join(pieces))


def files(path: str) -> list[Path]:
    """Return the trace files that ``path`` means, oldest first: itself, or those of a folder.

    Of a folder these are the files named ``*.jsonl*``, and what else is seen to hold exports.

    Raises:
        InputError: there is nothing at ``path``, or nothing that may be read.
    """
    place = Path(path)
    try:
        mode = place.stat().st_mode
        if not stat.S_ISDIR(mode):
            return [place]
        inside = [file for file in place.iterdir() if file.is_file()]
        found = [(file.stat().st_mtime_ns, file) for file in inside if _meant(file)]
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not found:
        mend = "run the agent with tokentrace.instrument(), or give a file"
        raise InputError("no *.jsonl trace files in this folder", source=path, mend=mend)
    return [file for _, file in sorted(found)]


def _meant(file: Path) -> bool:
    """Whether a file of a folder is a trace: by its name, else by how it begins."""
    if file.match(NAMED):
        return True
    if file.name.startswith("."):
        return False
    try:
        with file.open("rb", buffering=0) as opened:
            source = Source(str(file), Metered(cast("BinaryIO", opened), quiet))
            head = source.peek(framing.HEAD)
    except InputError:  # zstd that nothing can unpack: to be told of
        return True
    except (OSError, PackedError):
        return False
    if framing.form(head, LINE_CAP) in {framing.FRAMED, framing.PROTOBUF}:
        return True
    head = head.removeprefix(BOM).lstrip()[:SIGHT]
    return head.startswith(b"{") and any(signal in head for signal in SIGNALS)


def read(path: str, problems: Problems, seen: Seen = quiet) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a file and its number from 1; empty lines are left out.

    A line over 64 MB is skipped and goes to ``problems``, as does the end of a packed file that was
    cut off. A last line that has no end is `Torn`, a message in protobuf a `Message`.

    Raises:
        InputError: the file cannot be opened, is binary, or unpacks to far more than its size.
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
    number, packed = 0, ""
    try:
        source = Source(path, Metered(file, seen))
        packed = source.packed
        for number, line in enumerate(_pieces(path, source), 1):
            if isinstance(line, str):
                problems.add(path, number, line)
            elif isinstance(line, Message):
                yield number, line
            elif text := (line.removeprefix(BOM) if number == 1 else line).strip():
                yield number, Torn(text) if isinstance(line, Torn) else text
    except PackedError as error:
        problems.add(path, number + 1, f"{packed} data damaged or cut off here: {error}")
    except OSError as error:
        raise unreadable(path, error) from error


def _pieces(path: str, source: Source) -> Iterator[bytes | str]:
    """Yield the lines or messages of a file, or why one was skipped."""
    form = framing.form(source.peek(framing.HEAD), LINE_CAP)
    if not form:
        raise InputError("a binary file, not lines of text", source=path)
    if form == framing.LINES:
        return _lines(source)
    return (framing.framed if form == framing.FRAMED else framing.protobuf)(source, LINE_CAP)


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
