"""Records in any order → sessions, one at a time: what `grouping` needs of all others is a few numbers.

Of each record stay its ids and the number of its session, some 100 bytes; the record itself lies in a
`Records`, in memory or in a file. A session is built when it is asked for, from its own records.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from tokentrace.analysis.grouping import Key, built, heads, key_of, when
from tokentrace.analysis.shapes import Session
from tokentrace.prompt import CallRecord, ContextRecord, Record
from tokentrace.readers.spilling import Records

NOBODY = 2**32 - 1  # whose an assembly is, before all calls are known
LAST = 2**63
Place = tuple[str, str]


def sessions(records: Iterable[Record]) -> tuple[Session, ...]:
    """Return the conversations in ``records``, which may come in any order, oldest first.

    A span that was read twice counts once.
    """
    return tuple(Gathered(records, Records(sys.maxsize)))


class Gathered(Sequence[Session]):
    """The conversations in records, oldest first. A span that was read twice counts once.

    Args:
        records: in any order; read to their end at once.
        kept: where they are put.
    """

    def __init__(self, records: Iterable[Record], kept: Records) -> None:
        self._kept = kept
        self._keys: dict[Key, int] = {}
        self._owners = array("I")
        self._begins: list[int] = []
        self._serving: list[tuple[tuple[int, int, str], Key, str]] = []
        self._nobodys: list[tuple[int, Place, int]] = []
        seen: set[int | Place] = set()
        for record in records:
            place = _place(record)
            if place not in seen:
                self._add(record)
            if record.span_id:
                seen.add(place)
        del seen
        self._settle()
        self._sort()

    def _add(self, record: Record) -> None:
        key = key_of(record) if isinstance(record, CallRecord) or record.session else None
        if key is None:
            place = record.trace_id, record.parent_id
            self._nobodys.append((len(self._owners), place, record.start))
            self._owners.append(NOBODY)
        else:
            self._own(self._number(key), record.start)
            if isinstance(record, CallRecord) and record.turn_id and not record.session:
                self._serving.append((when(record), key, record.turn_id))
        self._kept.add(record)

    def _number(self, key: Key) -> int:
        number = self._keys.setdefault(key, len(self._keys))
        if number == len(self._begins):
            self._begins.append(LAST)
        return number

    def _own(self, number: int, start: int) -> None:
        self._owners.append(number)
        self._begins[number] = min(self._begins[number], start)

    # ── whose each record is ─────────────────────────────────────────────────────────────────────

    def _settle(self) -> None:
        """Give calls of a lineage that served another conversation to it, and nobody's assemblies."""
        served = heads(
            (key, turn) for _, key, turn in sorted(self._serving, key=lambda one: one[0])
        )
        self._serving = []
        moved = {self._keys[key]: self._keys[head] for key, head in served.items() if key != head}
        if moved:
            for place, owner in enumerate(self._owners):
                # an assembly that says its session stays: heads are of calls without one
                self._owners[place] = moved.get(owner, owner)
            for old, new in moved.items():
                self._begins[new] = min(self._begins[new], self._begins[old])
                self._begins[old] = LAST
        self._find(served)

    def _find(self, served: dict[Key, Key]) -> None:
        """Give nobody's assemblies to the first call beside them, else to the first of their trace."""
        asked = {place[0] for _, place, _ in self._nobodys}
        places: dict[Place, tuple[tuple[int, int, str], Key]] = {}
        for call in self._kept if asked else ():
            if isinstance(call, CallRecord) and call.trace_id in asked:
                key = key_of(call)
                told = when(call), served.get(key, key)
                for place in ((call.trace_id, call.parent_id), (call.trace_id, "")):
                    first = places.get(place)
                    if first is None or told[0] < first[0]:
                        places[place] = told
        for number, place, start in self._nobodys:
            found = places.get(place) or places.get((place[0], ""))
            owner = self._number(found[1] if found else (False, place[0]))
            self._owners[number] = owner
            self._begins[owner] = min(self._begins[owner], start)
        self._nobodys = []

    def _sort(self) -> None:
        """Put the records of a session side by side, and sessions in their order."""
        owners = self._owners
        self._order = array("I", sorted(range(len(owners)), key=owners.__getitem__))
        firsts = [
            0,
            *(
                place
                for place, (a, b) in enumerate(pairwise(self._order), 1)
                if owners[a] != owners[b]
            ),
        ]
        runs = [*pairwise([*firsts, len(owners)])] if len(owners) else []
        names = list(self._keys)
        told = [(names[owners[self._order[begin]]], begin, end) for begin, end in runs]
        self._runs = sorted(told, key=lambda run: (self._begins[self._keys[run[0]]], run[0][1]))
        self._break_ties()

    def _break_ties(self) -> None:
        """Put sessions of one beginning and one name in the order of their first calls."""
        same = groupby(self._runs, key=lambda run: (self._begins[self._keys[run[0]]], run[0][1]))
        self._runs = [
            run
            for group in (list(found) for _, found in same)
            for run in (sorted(group, key=self._first) if len(group) > 1 else group)
        ]

    def _first(self, run: tuple[Key, int, int]) -> tuple[bool, tuple[int, int, str]]:
        records = [self._kept[place] for place in self._order[run[1] : run[2]]]
        calls = [when(one) for one in records if isinstance(one, CallRecord)]
        return not calls, min(calls or map(when, records))

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────

    @property
    def ids(self) -> list[str]:
        """The ids of the sessions, in order."""
        return [key[1] for key, _, _ in self._runs]

    @property
    def spilled(self) -> bool:
        """Whether the records are in a file: sessions are built anew each time."""
        return self._kept.spilled

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 - as Sequence has it
        """Return one session, or those of a slice as a tuple."""
        if isinstance(place, slice):
            return tuple(map(self.build, range(len(self))[place]))
        return self.build(place)

    def __iter__(self) -> Iterator[Session]:
        return map(self.build, range(len(self)))

    def build(self, place: int) -> Session:
        """Return the session at a place of the order."""
        key, begin, end = self._runs[place]
        records = sorted((self._kept[one] for one in self._order[begin:end]), key=when)
        calls = [one for one in records if isinstance(one, CallRecord)]
        return built(key, calls, [one for one in records if isinstance(one, ContextRecord)])


def _place(record: Record) -> int | Place:
    """Return what tells a span from all others, as one number where it has the ids of OTLP."""
    trace, span = record.trace_id, record.span_id
    if len(trace) == 32 and len(span) == 16:
        try:
            return int(trace + span, 16)
        except ValueError:
            pass
    return trace, span
