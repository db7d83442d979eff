"""What is looked at while it goes on: records from files and from senders, as sessions."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from tokentrace import analysis
from tokentrace.analysis import Session
from tokentrace.prompt import Record
from tokentrace.readers import Problems, otlp_json
from tokentrace.readers.following import Tail

KEPT = 20_000  # records; grouping them takes a fraction of a second
FILES = "*.jsonl"


class Board:
    """The newest records, from any thread, and the sessions that they add up to."""

    def __init__(self, most: int = KEPT) -> None:
        self._records: deque[Record] = deque(maxlen=most)
        self._lock = Lock()
        self._taken = self._shown = 0
        self._sessions: tuple[Session, ...] = ()

    def take(self, records: Sequence[Record]) -> None:
        """Keep ``records``, at the price of the oldest."""
        with self._lock:
            self._records.extend(records)
            self._taken += len(records)

    @property
    def left_out(self) -> int:
        """How many records were too old to be kept."""
        return self._taken - len(self._records)

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions, the one that spoke last at the end."""
        with self._lock:
            taken, records = self._taken, tuple(self._records)
        if taken != self._shown:
            found = analysis.sessions(records)
            self._sessions = tuple(sorted(found, key=lambda one: one.turns[-1].end))
            self._shown = taken
        return self._sessions


class Files:
    """The trace files of a folder, or one file: what was written since the last look."""

    def __init__(self, path: str, problems: Problems) -> None:
        self._path, self._problems = Path(path), problems
        self._tails: dict[Path, Tail] = {}

    def records(self) -> list[Record]:
        """Return the new records.

        Raises:
            InputError: a file may not be read, or is packed.
        """
        found: list[Record] = []
        for path in sorted(self._path.glob(FILES)) if self._path.is_dir() else [self._path]:
            tail = self._tails.setdefault(path, Tail(str(path), self._problems))
            for number, line in tail.lines():
                found += otlp_json.export(line, self._problems, (str(path), number))
        return found

    def close(self) -> None:
        """Let go of the files."""
        for tail in self._tails.values():
            tail.close()
