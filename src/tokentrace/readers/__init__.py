"""Where records come from: OTLP-JSON lines, logs of agents, and trace back ends.

A reader streams: it yields a record as soon as it is read and keeps none. What it must skip goes to
`Problems`; what it cannot use at all is an `InputError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokentrace.prompt import Record

if TYPE_CHECKING:
    from tokentrace.readers.backends import Wanted

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


def read(
    paths: Sequence[str],
    problems: Problems,
    seen: Seen = quiet,
    *,
    log_format: str = "",
    wanted: Wanted | None = None,
) -> Iterator[Record]:
    """Yield the records of all ``paths``: files, folders, back ends, ``-`` for standard input.

    What a file holds is seen from its lines: OTLP-JSON, or the log of an agent in a format that is
    known. Rotated files of one log are read in the order in which they were written.

    Args:
        paths: where to read, in this order.
        problems: takes what was skipped.
        seen: called with the number of bytes read since its last call, for a progress bar.
        log_format: path of a file that describes the log of another agent.
        wanted: what is asked of ``jaeger:…`` and ``tempo:…``; the last hour by default.

    Raises:
        InputError: a path is missing, empty, or nothing that can be read; or the format is none.
    """
    from tokentrace.readers import backends, choosing

    for path in filter(backends.is_backend, paths):
        yield from backends.read(path, wanted or backends.lately(), problems, seen)
    files = [path for path in paths if not backends.is_backend(path)]
    yield from choosing.read(files, problems, seen, log_format)
