"""The loop of every measurement here: ways to do the same work take turns in one process.

A shared machine changes its speed by a factor of two within minutes. Ways that take turns meet the same
machine, and the least figure of many is the one least disturbed.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def take_turns(
    ways: Mapping[str, Callable[[], T]], rounds: int, warm: int = 0
) -> dict[str, list[T]]:
    """Return what each way gave in each round; the way that begins moves on with the rounds.

    Args:
        ways: what to run, by name.
        rounds: how often each runs.
        warm: how often each runs before, unseen.
    """
    names = list(ways)
    for _ in range(warm):
        for name in names:
            ways[name]()
    gc.collect()
    gc.freeze()  # what is there stays; no collection between the figures walks through it again
    found: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        begin = number % len(names)
        for name in names[begin:] + names[:begin]:
            found[name].append(ways[name]())
    return found


def spent(work: Callable[[], Any]) -> tuple[float, float]:
    """Return milliseconds of CPU of this thread and of the process that ``work`` takes."""
    process, thread = time.process_time_ns(), time.thread_time_ns()
    work()
    thread_end, process_end = time.thread_time_ns(), time.process_time_ns()
    return (thread_end - thread) / 1e6, (process_end - process) / 1e6


@contextmanager
def without_collector() -> Iterator[None]:
    """Hold the garbage collector back, so that no way pays for what another left."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def median(values: Iterable[float]) -> float:
    """Return the median, to the microsecond."""
    return round(statistics.median(values), 3)


def least(values: Iterable[float]) -> float:
    """Return the least figure, to a tenth of a microsecond."""
    return round(min(values), 4)
