"""Files that are still being written: new whole lines at each look, across rotation and truncation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tokentrace.errors import InputError
from tokentrace.readers import Problems
from tokentrace.readers.lines import BOM, GZIP, LINE_CAP, unreadable

STEP = 1 << 20


@dataclass(slots=True)
class Tail:
    """The lines of one file as they come.

    A file that was replaced under its name is read to its end before the new one; one that shrank
    is read from its start. Half a line waits for its other half; one over 64 MB is skipped.

    Attributes:
        path: of the file, which need not exist yet.
        problems: takes what was skipped.
        number: lines so far.
    """

    path: str
    problems: Problems
    number: int = 0
    _file: BinaryIO | None = None
    _half: list[bytes] = field(default_factory=list)
    _held: int = 0
    _left: tuple[int, int, int] | None = None
    _top: bool = True  # whether the line at hand is a file's first

    def rest(self) -> None:
        """Let go of the file until it changes: a folder may hold more files than may be open."""
        if self._file is not None:
            mine = os.fstat(self._file.fileno())
            self._left = mine.st_dev, mine.st_ino, self._file.tell()
            self._file.close()
            self._file = None

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield what was written since the last look: each line and its number from 1.

        Raises:
            InputError: the file may not be read, or is packed.
        """
        if self._file is None and (self._unchanged() or not self._open()):
            return
        yield from self._new()
        if self._replaced():
            self.close()
            if self._open():
                yield from self._new()

    def close(self) -> None:
        """Let go of the file; half a line is given up."""
        if self._file is not None:
            self._file.close()
        self._file, self._half, self._held, self._left = None, [], 0, None

    def _unchanged(self) -> bool:
        """Whether the file that was let go of is as it was."""
        with suppress(OSError):
            now = Path(self.path).stat()
            return self._left == (now.st_dev, now.st_ino, now.st_size)
        return False

    def _open(self) -> bool:
        try:
            self._file = Path(self.path).open("rb", buffering=0)  # noqa: SIM115 - close() does
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unreadable(self.path, error) from error
        if self._file.read(2) == GZIP:
            self.close()
            mend = "tokentrace report reads it; watch the file that is being written"
            raise InputError("is packed, so nothing more will come", source=self.path, mend=mend)
        now, left = os.fstat(self._file.fileno()), self._left
        same = left and left[:2] == (now.st_dev, now.st_ino) and left[2] <= now.st_size
        if not same:  # half a line of another file is no beginning
            self._half, self._held, self._top = [], 0, True
        self._file.seek(left[2] if left and same else 0)
        self._left = None
        return True

    def _replaced(self) -> bool:
        """Whether another file stands under the name now; of a shorter one the start is read again."""
        if self._file is None:
            return False
        mine = os.fstat(self._file.fileno())
        if mine.st_size < self._file.tell():
            return True
        with suppress(OSError):
            now = Path(self.path).stat()
            return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino)
        return False

    def _new(self) -> Iterator[tuple[int, bytes]]:
        while self._file is not None and (data := self._file.read(STEP)):
            *whole, rest = data.split(b"\n")
            for piece in whole:
                yield from self._ended(piece)
            self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        self._held += len(piece)
        self._half = [*self._half, piece] if self._held <= LINE_CAP else []

    def _ended(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        self._keep(piece)
        whole, held = b"".join(self._half), self._held
        text = (whole.removeprefix(BOM) if self._top else whole).strip()
        self._half, self._held, self._top = [], 0, False
        self.number += 1
        if held > LINE_CAP:
            self.problems.add(self.path, self.number, f"line over {LINE_CAP >> 20} MB")
        elif text:
            yield self.number, text
