"""Which of the tools that a line of calls offers were called so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MOST = 256  # tools


class Offers:
    """The tools that a line's last call offered, and those that its calls brought back.

    Attributes:
        since: by name, how many turns there had been when it was offered first without a gap.
        called: names, of those that are still offered.
    """

    __slots__ = ("called", "since")

    def __init__(self) -> None:
        self.since: Mapping[str, int] = {}
        self.called: frozenset[str] = frozenset()

    def note(self, names: Iterable[str], called: Iterable[str], turns: int) -> None:
        """Remember what a call that was sent offers, and what it brings back.

        Args:
            names: of the tools that it offers; the first 256 count.
            called: of the tools whose calls stand in it for the first time.
            turns: that there had been before it.
        """
        before = self.since
        now = dict.fromkeys(list(names)[:MOST], turns)
        self.since = now | {name: since for name, since in before.items() if name in now}
        self.called = self.called.union(called) & now.keys()

    def idle(
        self, sizes: Mapping[str, int], called: Iterable[str], turns: int, least: int
    ) -> tuple[int, int]:
        """Return the tokens of the tools that nobody called for so many turns, and the most of these turns.

        Args:
            sizes: tokens by name, of the tools that a call offers.
            called: as in `note`.
            turns: that there have been, this one among them.
            least: turns.
        """
        asked = self.called.union(called)
        ages = {name: turns - self.since.get(name, turns) for name in sizes if name not in asked}
        old = [name for name, age in ages.items() if age >= least]
        return sum(sizes[name] for name in old), max(ages.values(), default=0)
