"""Where records come from: one file a source, each with ``read(path, problems, seen)``.

A reader streams: it yields a record as soon as it is read and keeps none. What it must skip goes to
`Problems`; what it cannot use at all is an `InputError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from tokentrace.prompt import Record

READERS: dict[str, str] = {"otlp": "otlp_json"}
KEPT = 50

Seen = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was skipped: where (``line`` counts from 1, 0 for a whole file) and why."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        return f"{where}: {self.reason}"


@dataclass(slots=True)
class Problems:
    """All that was skipped while reading: counted in full, the first few kept.

    Attributes:
        count: lines, spans and files that were skipped.
        kept: the first of them, at most 50.
    """

    count: int = 0
    kept: list[Problem] = field(default_factory=list)

    def add(self, source: str, line: int, reason: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.kept) < KEPT:
            self.kept.append(Problem(source, line, reason))


def quiet(_size: int) -> None:
    """Take no notice of progress."""


def read(paths: Sequence[str], problems: Problems, seen: Seen = quiet) -> Iterator[Record]:
    """Yield the records of all ``paths``: files, folders, ``-`` for standard input.

    Args:
        paths: where to read, in this order.
        problems: takes what was skipped.
        seen: called with the number of bytes read since its last call, for a progress bar.

    Raises:
        InputError: a path is missing, empty, or no trace of tokentrace.
    """
    for path in paths:
        reader = import_module(f"{__name__}.{READERS['otlp']}")
        yield from reader.read(path, problems, seen)
