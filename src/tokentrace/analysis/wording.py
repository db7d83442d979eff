"""How findings and reports write their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RUNS = 8  # runs of turns in a sentence


def percent(share: float) -> str:
    """Return a share as text."""
    return f"{100 * share:,.1f}%"


def many(number: int, thing: str) -> str:
    """Return a number and its noun."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def turns(numbers: Sequence[int]) -> str:
    """Return turn numbers as text: ``turn 3``, ``turns 3-5, 9``; of many runs the first and last."""
    told = [f"{a}-{b}" if a != b else f"{a}" for a, b in runs(numbers)]
    every = ""
    if len(told) > RUNS:
        told = [*told[: RUNS - 1], f"… {told[-1]}"]
        every = f" ({len(numbers):,} in all)"
    return f"turn{'' if len(numbers) == 1 else 's'} {', '.join(told)}{every}"


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of numbers that follow one another."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
