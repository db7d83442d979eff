"""Turn numbers over all processes of a session: those on the spans, and those they leave open.

A number on a span is the agent's, or it was counted from 1 by a process that knew nothing of those
before it. Calls that share a lineage, a trace or a turn's id knew of one another: they are one *run*. Runs that
each begin at 1 follow one another in the order of their time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from tokentrace.prompt import CallRecord

TOOL_RESULTS = "tool_results"
USER = "user"
CARRIED = ("history", TOOL_RESULTS)
EMBEDDINGS = "embeddings"  # an operation

Name = tuple[str, str]
K = TypeVar("K", bound=Hashable)


def lineage_of(call: CallRecord) -> Name:
    """Return whose call this is, and which line of calls it continues."""
    return call.agent, call.lineage


def numbers(calls: Sequence[CallRecord]) -> list[int]:
    """Return each call's turn number; one without takes that of the turn it happened in.

    Args:
        calls: of one session, oldest first.
    """
    told = _merged(calls, _said(calls))
    known = [number for number in told if number is not None]
    if not known:
        return _counted(calls)
    numbers, now = [], known[0]
    for number in told:
        now = now if number is None else number
        numbers.append(now)
    return numbers


def ranks(numbered: Iterable[tuple[int, CallRecord]]) -> dict[Name, int]:
    """Return the rank of each lineage: of the most turns, then a conversation, then the first.

    Embeddings come last: a search before each turn is not what the turn's prompt is.
    """
    turns: dict[Name, set[int]] = defaultdict(set)
    found: dict[Name, list[CallRecord]] = defaultdict(list)
    for number, call in numbered:
        turns[lineage_of(call)].add(number)
        found[lineage_of(call)].append(call)

    def place(name: Name) -> tuple[bool, int, bool]:
        calls = found[name]
        aside = all(call.operation == EMBEDDINGS for call in calls)
        return aside, -len(turns[name]), not _talks(calls)

    return {name: rank for rank, name in enumerate(sorted(found, key=place))}


def _talks(calls: Iterable[CallRecord]) -> bool:
    """Whether calls go on with a conversation, as a summary on the side does not."""
    return any(call.components.get(name) for call in calls for name in CARRIED)


def _grouped(calls: Iterable[CallRecord], keys: Iterable[K]) -> dict[K, list[CallRecord]]:
    found: dict[K, list[CallRecord]] = defaultdict(list)
    for key, call in zip(keys, calls, strict=True):
        found[key].append(call)
    return found


# ── numbers on spans ─────────────────────────────────────────────────────────────────────────────


def _said(calls: Sequence[CallRecord]) -> list[int | None]:
    """Return the numbers on the calls; under one span or id, those of its first conversation.

    A lineage without the agent's numbers counts for itself: a summary on the side does not know in
    which turn it helps.
    """
    said = [call.turn for call in calls]
    spans: dict[Name, list[int]] = defaultdict(list)
    for place, call in enumerate(calls):
        if (call.turn_id or call.parent_id) and call.turn is not None:
            key = ("", call.turn_id) if call.turn_id else (call.trace_id, call.parent_id)
            spans[key].append(place)
    for places in spans.values():
        inside = [calls[place] for place in places]
        lineages = _grouped(inside, map(lineage_of, inside))
        main = max(lineages, key=lambda name: _talks(lineages[name]))
        now = lineages[main][0].turn
        for place in places:
            now = calls[place].turn if lineage_of(calls[place]) == main else now
            said[place] = now
    return said


def _merged(calls: Sequence[CallRecord], said: list[int | None]) -> list[int | None]:
    """Return the numbers of all runs as one count.

    A run that begins above 1, and not after all that came before, bears the agent's numbers: then
    they all are.
    """
    runs = _runs(calls)
    aside = _aside(_grouped(calls, runs))
    owners: dict[int, Any] = {}
    shifts: dict[Any, int] = {}
    known: dict[tuple[Any, int], int] = {}
    merged: list[int | None] = []
    reached = 0
    for run, number in zip(runs, said, strict=True):
        if number is None or run in aside:
            merged.append(None)
            continue
        if run not in shifts and number != 1 and number <= reached:
            return said
        if (run, number) not in known:
            place = number + shifts.setdefault(run, reached if number == 1 else 0)
            if owners.setdefault(place, run) != run:  # another process was quicker
                place = reached + 1
                shifts[run] = place - number
                owners[place] = run
            known[run, number] = place
            reached = max(reached, place)
        merged.append(known[run, number])
    return merged


def _runs(calls: Sequence[CallRecord]) -> list[Hashable]:
    """Return each call's run."""
    heads: dict[Hashable, Hashable] = {}

    def head(key: Hashable) -> Hashable:
        while heads.setdefault(key, key) != key:
            heads[key] = key = heads[heads[key]]
        return key

    for call in calls:
        if call.lineage and call.trace_id:
            heads[head((call.trace_id,))] = head(lineage_of(call))
        if call.lineage and call.turn_id:
            heads[head(("", "", call.turn_id))] = head(lineage_of(call))
    return [head(lineage_of(call) if call.lineage else (call.trace_id,)) for call in calls]


def _aside(runs: Mapping[Hashable, Sequence[CallRecord]]) -> set[Hashable]:
    """Return the runs that lie inside another's time, and that no span sets apart: sub-agents."""
    apart = {run for run, calls in runs.items() if any(call.parent_id for call in calls)}
    return runs.keys() - apart - _row(runs)


# ── calls without a number ───────────────────────────────────────────────────────────────────────


def _counted(calls: Sequence[CallRecord]) -> list[int]:
    """Number calls that bear no number: each call of the main line is a turn of its own.

    Except one that goes on with its forerunner's tool results: the same user text, more results.
    Calls of sub-agents belong to the turn in which they happen.
    """
    line = _row(_grouped(calls, map(lineage_of, calls)))
    numbers: list[int] = []
    now, before = 0, None
    for call in calls:
        if lineage_of(call) in line:
            now += 0 if before is not None and _continues(before, call) else 1
            before = call
        numbers.append(max(now, 1))
    return numbers


def _row(groups: Mapping[K, Sequence[CallRecord]]) -> set[K]:
    """Return the groups that follow one another without overlap, the broadest among them.

    A compacted history and one process a turn start a new lineage when the old one has ended; a
    sub-agent's lies inside its caller's.
    """
    chosen: set[K] = set()
    taken: list[tuple[int, int]] = []
    for key in sorted(groups, key=lambda key: -_breadth(groups[key])):
        first, last = groups[key][0].start, groups[key][-1].start
        place = bisect_left(taken, (first, last))
        after = not place or taken[place - 1][1] < first
        if after and (place == len(taken) or last < taken[place][0]):
            taken.insert(place, (first, last))
            chosen.add(key)
    return chosen


def _breadth(calls: Sequence[CallRecord]) -> int:
    numbers = {call.turn for call in calls if call.turn is not None}
    return len(numbers) or len(calls)


def _continues(before: CallRecord, call: CallRecord) -> bool:
    """Whether a call is the next step of the same turn's tool loop."""
    same = lineage_of(before) == lineage_of(call)
    had, has = before.components, call.components
    grew = has.get(TOOL_RESULTS, 0) > had.get(TOOL_RESULTS, 0)
    return same and grew and has.get(USER, 0) == had.get(USER, 0)
