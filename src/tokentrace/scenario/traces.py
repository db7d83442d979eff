"""What a session of a run recorded, read again after each turn.

A run has a folder of its own for each session, so that all in it belongs to that session, whatever the
agent calls it, and to the turn in whose time it began.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tokentrace import analysis, readers
from tokentrace.analysis import Session
from tokentrace.errors import InputError
from tokentrace.prompt import Record
from tokentrace.readers import lines


@dataclass(slots=True)
class Traces:
    """The trace files of one session.

    Attributes:
        folder: where they are.
        session: the id that all of it gets.
        problems: what could not be read, of each file once for each size that it had.
    """

    folder: Path
    session: str
    problems: readers.Problems = field(default_factory=readers.Problems)
    _known: dict[Path, tuple[int, tuple[Record, ...]]] = field(default_factory=dict)

    def read(self, marks: Sequence[tuple[int, int]]) -> Session:
        """Return the session so far.

        Args:
            marks: begin (ns since the epoch) and number of the turns so far, in their order; what
                begins after a number 0 is no turn's.
        """
        begins = [start for start, _ in marks]
        mine = [
            replace(record, session=self.session, turn=number)
            for record in self._records()
            if (place := bisect_right(begins, record.start)) and (number := marks[place - 1][1])
        ]
        found = analysis.sessions(mine)
        return found[0] if found else Session(self.session)

    def _records(self) -> list[Record]:
        try:
            files = lines.files(str(self.folder))
        except InputError:
            return []
        for file in files:
            size = file.stat().st_size
            if self._known.get(file, (-1, ()))[0] != size:
                self._known[file] = size, tuple(self._file(file))
        return [record for _, held in self._known.values() for record in held]

    def _file(self, file: Path) -> list[Record]:
        try:
            return list(readers.read([str(file)], self.problems))
        except InputError:  # no span of ours yet
            return []
