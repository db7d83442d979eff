"""Versions of packages, compared by their leading numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True)
class Range:
    """The versions that work: ``least`` and later, below ``below`` where that is given."""

    least: str
    below: str = ""

    def __contains__(self, version: str) -> bool:
        known = numbers(version)
        return known >= numbers(self.least) and (not self.below or known < numbers(self.below))

    def __str__(self) -> str:
        return f">={self.least}{f',<{self.below}' if self.below else ''}"


def numbers(version: str) -> tuple[int, ...]:
    """Return ``(1, 60)`` for ``1.60.0b1``: numbers without zeros at their end."""
    pieces = re.split(r"[.\-+]", version)
    found = [int(piece) for piece in takewhile(str.isdecimal, pieces)]
    last = re.match(r"\d+", pieces[len(found)]) if len(found) < len(pieces) else None
    found += [int(last[0])] if last else []
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def required(line: str) -> tuple[str, Range] | None:
    """Return name and range of ``msgspec>=0.19``; None where it is needed by an extra only."""
    need, _, condition = line.partition(";")
    name, _, least = need.partition(">=")
    if "extra" in condition or not least:
        return None
    return name.strip(), Range(least.strip())
