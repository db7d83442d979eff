"""What is looked at while it goes on: records from files and from senders, as sessions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from tokentrace import analysis
from tokentrace.analysis import Session
from tokentrace.errors import InputError
from tokentrace.prompt import Record
from tokentrace.readers import Problems, agent_log, otlp_json
from tokentrace.readers.agent_log import Follower, Form
from tokentrace.readers.choosing import MEND
from tokentrace.readers.following import Tail

KEPT = 20_000  # records; grouping them takes a fraction of a second
FILES = "*.jsonl"
LOOKED_AT = 5_000  # lines until a file must have shown what it is


class Board:
    """The newest records, from any thread, and the sessions that they add up to."""

    def __init__(self, most: int = KEPT) -> None:
        self._records: deque[Record] = deque(maxlen=most)
        self._lock = Lock()
        self._open: tuple[Record, ...] = ()
        self._taken = self._shown = 0
        self._sessions: tuple[Session, ...] = ()

    def take(self, records: Iterable[Record]) -> None:
        """Keep ``records``, at the price of the oldest."""
        for record in records:  # one by one: a large folder need not fit into memory
            with self._lock:
                self._records.append(record)
                self._taken += 1

    def hold(self, still_open: Sequence[Record]) -> None:
        """Keep what is still being told of, until the next time."""
        with self._lock:
            if tuple(still_open) != self._open:
                self._open, self._shown = tuple(still_open), -1

    @property
    def left_out(self) -> int:
        """How many records were too old to be kept."""
        return self._taken - len(self._records)

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions, the one that spoke last at the end."""
        with self._lock:
            taken, records = self._taken, (*self._records, *self._open)
        if taken != self._shown:
            found = analysis.sessions(records)
            self._sessions = tuple(sorted(found, key=lambda one: one.turns[-1].end))
            self._shown = taken
        return self._sessions


@dataclass(slots=True)
class Source:
    """One file that is followed, and what its lines turned out to be.

    Attributes:
        tail: its lines as they come.
        log: the state of reading it as a log, None for a trace or while nobody knows.
        trace: whether it holds OTLP-JSON.
    """

    tail: Tail
    log: Follower | None = None
    trace: bool = False

    def new(self, forms: Sequence[Form]) -> Iterator[Record]:
        """Yield the records of what was written since the last look."""
        tail = self.tail
        for number, line in tail.lines():
            if not self.log and not self.trace:
                self._recognise(line, number, forms)
            if self.log:
                yield from self.log.feed(line, number)
            elif self.trace:
                yield from otlp_json.export(line, tail.problems, (tail.path, number))

    def _recognise(self, line: bytes, number: int, forms: Sequence[Form]) -> None:
        form = agent_log.recognised(line, forms)
        if form:
            self.log = Follower(form, Path(self.tail.path).name, self.tail.problems)
        self.trace = not form and line.startswith(b"{")
        if number > LOOKED_AT and not (self.log or self.trace):
            raise InputError("no trace, and no log that is known", source=self.tail.path, mend=MEND)


class Files:
    """The trace files of a folder, or one file: what was written since the last look.

    Args:
        path: a folder, a trace file, or a log; it need not exist yet.
        problems: takes what was skipped.
        forms: of logs that are known.
    """

    def __init__(self, path: str, problems: Problems, forms: Sequence[Form] = ()) -> None:
        self._path, self._problems, self._forms = Path(path), problems, forms
        self._sources: dict[Path, Source] = {}
        self._unusable: set[Path] = set()

    def records(self) -> Iterator[Record]:
        """Yield the new records.

        One file of a folder that cannot be used is told once, and left alone from then on.

        Raises:
            InputError: the file may not be read, is packed, or is neither a trace nor a known log.
        """
        if not self._path.is_dir():
            yield from self._source(self._path).new(self._forms)
            return
        for path in sorted(set(self._path.rglob(FILES)) - self._unusable):
            source = self._source(path)
            try:
                yield from source.new(self._forms)
            except InputError as error:
                self._problems.add(str(path), 0, str(error.args[0]))
                self._unusable.add(path)
            source.tail.rest()

    def _source(self, path: Path) -> Source:
        if path not in self._sources:
            self._sources[path] = Source(Tail(str(path), self._problems))
        return self._sources[path]

    def open(self) -> list[Record]:
        """Return the calls that logs are still telling of, as far as they have."""
        logs = [source.log for source in self._sources.values() if source.log]
        return [record for log in logs for record in log.now()]

    def close(self) -> None:
        """Let go of the files."""
        for source in self._sources.values():
            source.tail.close()
