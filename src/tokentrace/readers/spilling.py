"""Records put aside: a few in memory, many in a file without a name that goes with the process."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, Any, Self

import msgspec

from tokentrace.errors import InputError
from tokentrace.prompt import CallRecord, ContextRecord, Event, Record

MOST = 20_000  # records in memory; with their turns and findings they take some 150 MB
BUFFER = 1 << 20  # bytes written at once

_ENCODER = msgspec.msgpack.Encoder()
_CALL = msgspec.msgpack.Decoder(CallRecord)
_CONTEXT = msgspec.msgpack.Decoder(ContextRecord)


class Records:
    """Records by the order in which they came, each as it was given.

    Args:
        most: how many are kept in memory, `MOST` where nothing is said; with one more all of them
            go into a file.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST if most is None else most
        self._held: list[Record] = []
        self._odd: dict[int, Record] = {}  # with texts that are no Unicode
        self._ends = array("Q")
        self._contexts = bytearray()
        self._waiting: list[bytes] = []
        self._size = self._written = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._held) or len(self._ends)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def spilled(self) -> bool:
        """Whether they are in a file."""
        return self._file is not None

    def add(self, record: Record) -> None:
        """Put a record behind the others.

        Raises:
            InputError: there is no room for the file.
        """
        if self._file is None:
            self._held.append(record)
            if len(self._held) > self._most:
                self._file = tempfile.TemporaryFile(prefix="tokentrace-", buffering=0)  # noqa: SIM115 - __exit__ closes it
                held, self._held = self._held, []
                for one in held:
                    self._put(one)
        else:
            self._put(record)

    def _put(self, record: Record) -> None:
        try:
            data = _ENCODER.encode(record)
        except (UnicodeEncodeError, OverflowError):
            self._odd[len(self._ends)] = record
            data = b""
        self._contexts.append(isinstance(record, ContextRecord))
        self._waiting.append(data)
        self._size += len(data)
        self._ends.append(self._size)
        if self._size - self._written > BUFFER:
            self._flush()

    def _flush(self) -> None:
        if self._file is None or not self._waiting:
            return
        view = memoryview(b"".join(self._waiting))
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            mend = "set TMPDIR to a folder with room for about a third of the traces"
            raise InputError(
                f"no room for what is read: {error.strerror}",
                source=tempfile.gettempdir(),
                mend=mend,
            ) from error
        self._written, self._waiting = self._size, []

    def __getitem__(self, place: int) -> Record:
        if self._file is None:
            return self._held[place]
        if place in self._odd:
            return self._odd[place]
        self._flush()
        begin = self._ends[place - 1] if place else 0
        data = os.pread(self._file.fileno(), self._ends[place] - begin, begin)
        return _loaded((_CONTEXT if self._contexts[place] else _CALL).decode(data))

    def __iter__(self) -> Iterator[Record]:
        return map(self.__getitem__, range(len(self)))


def _loaded(record: Record) -> Record:
    """Return a record with the tuples that stand as lists in the file."""
    if record.events:
        events = [Event(one.name, _tuples(one.attributes), one.time) for one in record.events]
        record = replace(record, events=tuple(events))
    if isinstance(record, CallRecord) and list in map(type, record.settings.values()):
        record = replace(record, settings=_tuples(record.settings))
    return record


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _tuple(value) for name, value in values.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
