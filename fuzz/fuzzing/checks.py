"""What must hold of every input, whatever the target: bounded time, and nothing of it in a log line."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

# Seconds of CPU for an input: instrumented code on a loaded machine, some thirty times what it needs.
FREE_S = 0.5
BYTE_S = 20e-6
TRIES = 3
TELLING = 12  # characters of a text that cannot stand in a log line by chance


class FindingError(AssertionError):
    """A property that an input breaks."""


def hold(condition: object, what: str) -> None:
    """Raise a finding where a property does not hold."""
    if not condition:
        raise FindingError(what)


def bounded(run: Callable[[bytes], None], data: bytes) -> None:
    """Run a target on an input, within its share of CPU time; a slow run has two more chances."""
    allowed = FREE_S + BYTE_S * len(data)
    took = 0.0
    for _ in range(TRIES):
        begun = time.thread_time()
        run(data)
        took = time.thread_time() - begun
        if took <= allowed:
            return
    raise FindingError(f"{took:.2f} s of CPU for {len(data)} bytes")


def value(data: bytes) -> Any:
    """Return the JSON that an input holds, surrogates, NaN and all; None for what is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def strings(held: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts inside a value of JSON that would tell something in a log line."""
    if isinstance(held, str) and len(held) >= TELLING:
        yield held
    elif isinstance(held, list) and depth < 50:
        for one in held:
            yield from strings(one, depth + 1)
    elif isinstance(held, dict) and depth < 50:
        for one in held.values():
            yield from strings(one, depth + 1)


class Told(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record, and of the exception with it."""
        self.lines.append(f"{record.getMessage()} {record.exc_info or ''}")

    def silent_on(self, texts: Iterator[str]) -> None:
        """Raise where a line holds one of ``texts``; forget the lines."""
        lines, self.lines = self.lines, []
        if lines:
            hold(not [1 for text in texts for line in lines if text in line], "text in a log line")


def listening() -> Told:
    """Return what hears the log of tokentrace from now on."""
    told = Told()
    logger = logging.getLogger("tokentrace")
    logger.addHandler(told)
    return told


TOLD = listening()
