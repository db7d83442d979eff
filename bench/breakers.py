"""Measure how often the component that broke the cached prefix is named, and never another.

    python bench/breakers.py [--sessions N] [--json]

The providers are simulated (``tests/caches.py``): each keeps prefixes in its documented order, steps, minimum
and time, and cuts text in a way of its own. The real SDKs are driven through them; nothing is sent. In
each session one section, tool or message is changed, moved, inserted or removed; in as many others
the provider loses what it kept, and nobody is to blame.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import table_of

import houses
from caches import BREAKS, Talk
from tokentrace.insights import cache

RIGHT, SILENT, WRONG, NAMED = "right", "silent", "wrong", "named"
Truth = tuple[str, str]


def verdict(truth: Truth, told: Truth) -> str:
    """Return how well a break was told: by whom and how, nobody, or somebody else."""
    if told == truth:
        return RIGHT
    return WRONG if told[0] else SILENT


class Tally:
    """What became of the sessions, by provider and by what was done to them.

    ``others`` are components that were named in calls which nobody had meddled with.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.rows: dict[str, Counter[str]] = {}

    def add(self, provider: str, how: str, sort: str, others: list[Truth]) -> None:
        """Count a session in which ``how`` was done, under its verdict, in all of its rows."""
        for name in (provider, *how.split("_")):
            row = self.rows.setdefault(name, Counter())
            row.update({"sessions": 1, sort: 1, "others": sum(one[0] != "" for one in others)})

    def table(self, title: str) -> dict[str, dict[str, float]]:
        """Return the rows, of providers first."""
        names = sorted(self.rows, key=lambda name: name not in houses.HOUSES)
        keys = ("sessions", *self.columns, "others")
        return {f"{title}: {name}": {key: self.rows[name][key] for key in keys} for name in names}


def drive(name: str, first: int, sessions: int, edits: Tally, losses: Tally) -> None:
    """Drive a provider through sessions with an edit, and through as many with a loss.

    ``first`` is the seed of the first: no two sessions say the same.
    """
    middle = first + sessions
    with houses.own_time() as clock, houses.house(name, clock) as (provider, call, seen):
        run = partial(houses.session, call=call, seen=seen, clock=clock, turns=provider.turns)
        for seed in range(first, middle):
            how = BREAKS[seed % len(BREAKS)]
            (truth, told), others = run(seed, meddle=lambda talk, how=how: getattr(talk, how)())
            edits.add(name, how, verdict(truth, told), others)
        for seed in range(middle, middle + sessions):
            how = houses.LOSSES[seed % len(houses.LOSSES)]

            def lose(_: Talk, how: str = how) -> bool:
                houses.lose(how, provider, clock)
                return True

            (_, told), others = run(seed, meddle=lose)
            losses.add(name, how, NAMED if told[0] else told[1] or SILENT, others)


def measure(sessions: int) -> dict[str, dict[str, float]]:
    """Return name and figures of each row."""
    edits = Tally((RIGHT, SILENT, WRONG))
    losses = Tally((cache.MISSED, cache.EXPIRED, SILENT, NAMED))
    for number, name in enumerate(houses.HOUSES):
        drive(name, 2 * sessions * number, sessions, edits, losses)
    return edits.table("edited") | losses.table("lost")


if __name__ == "__main__":
    table_of.command(
        "How often the breaker of a prefix is named.",
        measure,
        ("--sessions", 100, "sessions a provider"),
        ">5",
    )
