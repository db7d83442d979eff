"""When large new text is counted: before the call, aside while an event loop goes on, or in flight.

A call whose verdict is certain without a count leaves at once, and is counted while it is under way.
Where the verdict hangs on the count, an async caller awaits it. Who has no loop to keep going counts
on his own thread, within the budget: nobody else stands still for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

from tokentrace import context
from tokentrace.counting.anchoring import HIDDEN, HIGHEST
from tokentrace.counting.counter import UNREAD
from tokentrace.counting.hurry import Hurried, Portions
from tokentrace.counting.reading import Again, Reading
from tokentrace.instrument.aside import BENCH, Work, running
from tokentrace.instrument.counts import Counts, in_a_hurry
from tokentrace.prompt import EXACT, LimitReport

LARGE = 2**14  # characters of new text: 1 to 2 ms of counting
LONGEST = 20.0  # seconds of counting aside, of one call
PATIENCE = 0.1  # seconds that a count waits at most for the loop to go on
JOINED = 1.0  # seconds that a call waits for one of its lineage that is still counted

_under_way: dict[str, Work] = {}  # by the lineage's id


def at_leisure(ruler: Any) -> Hurried:
    """Return a ruler for the thread on which nobody waits."""
    return Hurried(Portions(ruler, BENCH.hurried), LONGEST)


def certain(counts: Counts, reading: Reading | Again) -> LimitReport | None:
    """Return the report on a prompt whose verdict needs no count; None where it does, or is no trouble.

    Its count is an estimate from sizes, with its bound.
    """
    if running() is None or _before(counts) or context.hears(counts.place.registry):
        return None
    if isinstance(reading, Again) or reading.fresh < LARGE:
        return None
    most = _most(counts, reading)
    if most is None:
        return None
    least = reading.bounded(most)
    high = replace(least, total=most, components={}, error=0, method=EXACT)
    standing = counts.lineage.standing(high, counts.turn)
    report = counts.judged(high, standing, unbounded=bool(counts.prompt.server))
    told = report.decision == "off" or (report.decision == "ok" and not report.message)
    return replace(report, count=least, grew=(), forecast=None, ahead=None) if told else None


def _most(counts: Counts, reading: Reading) -> int | None:
    """Return what no count of a prompt exceeds, whatever was learned; None where that is not known."""
    guard, most = counts.guard, reading.most
    if guard is not None and guard.components:
        return None
    if guard is None or reading.limit.tokens is None:
        return UNREAD if most is None else most  # there is no limit that it could exceed
    if most is None or reading.known or counts.lineage.turns:
        return None
    return highest(most)


def highest(most: int) -> int:
    """Return what the count of a prompt of at most ``most`` bytes, and its error, come to at most."""
    return round(HIGHEST * most) + HIDDEN


def _before(counts: Counts) -> Work | None:
    """Return the count in flight of the call before, of the same lineage."""
    return _under_way.get(counts.lineage.id) if _under_way else None


def begun(counts: Counts, letters: int, land: Callable[[], Any]) -> Work | None:
    """Have ``land()`` count a call aside that is on its way; None where there is no room for that."""
    work, line = Work(partial(_in_turn, _turned(), land), letters), counts.lineage.id
    _under_way[line] = work
    work.then(partial(_landed, line))
    if BENCH.put(work):
        return work
    _landed(line)
    return None


def _turned() -> threading.Event:
    """Return what is set as soon as the event loop goes on."""
    turned, loop = threading.Event(), running()
    if loop is None:
        turned.set()
    else:
        loop.call_soon(turned.set)
    return turned


def _in_turn(turned: threading.Event, land: Callable[[], Any]) -> None:
    """Begin when the loop is through with what makes the call leave: an SDK writes megabytes of JSON there.

    Two threads that compute take the interpreter from each other, and both are late.
    """
    turned.wait(PATIENCE)
    land()


def _landed(line: str) -> None:
    _under_way.pop(line, None)


def counted(
    counts: Counts, reading: Reading | Again, can_wait: Callable[[], bool], clock: Callable[[], Any]
) -> Generator[Any, Any, LimitReport]:
    """Count what was read, and return what the guard makes of it; yields what must be awaited.

    Args:
        counts: of the call.
        reading: what `Counts.read` made of its body.
        can_wait: whether the caller can; asked only where that makes a difference.
        clock: stops the clock of our own work, and starts it again, around what is awaited.
    """
    before = _before(counts)
    fresh = reading.fresh if running() is not None else 0
    awaits = (before is not None or fresh >= LARGE) and running() is not None and can_wait()
    if before is not None:
        clock()
        if awaits:
            yield before.wait()
        else:
            before.join(JOINED)
        clock()
    found: list[Any] = []
    if awaits and fresh >= LARGE:
        work = Work(lambda: found.append(counts.counted(reading, at_leisure)), fresh)
        if BENCH.put(work):
            clock()
            yield work.wait()
            clock()
    return counts.told(found[0] if found else counts.counted(reading, in_a_hurry))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_under_way.clear)
