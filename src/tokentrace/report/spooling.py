"""A list of a JSON document that is longer than memory: its items wait as text in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Self

from tokentrace.errors import InputError

CHUNK = 1 << 20


class Spool:
    """The items of a list, each as indented text in ASCII; it lies two levels deep."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="tokentrace-", buffering=CHUNK)  # noqa: SIM115 - __exit__ closes it
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, text: str) -> None:
        """Put an item behind the others.

        Raises:
            InputError: there is no room for it.
        """
        before = ",\n    " if self._count else "[\n    "
        self._count += 1
        try:
            self._file.write(f"{before}{text}".encode("ascii"))
        except OSError as error:
            mend = "set TMPDIR to a folder with room for the document"
            where = tempfile.gettempdir()
            raise InputError(f"no room: {error.strerror}", source=where, mend=mend) from error

    def __iter__(self) -> Iterator[str]:
        """Yield the list's text."""
        self._file.seek(0)
        while data := self._file.read(CHUNK):
            yield data.decode("ascii")
        yield "\n  ]" if self._count else "[]"
