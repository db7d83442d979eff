"""How many tokens a prompt's messages have up to each, and how many of them cannot be measured."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from tokentrace.prompt import Message

# What a message holds besides text; its size is known to the provider alone.
UNSURE = frozenset({"image", "audio", "video", "file", "other"})

Sums = tuple["array[int]", "array[int]"]
Kept = tuple[Any, Message]


class Sizes:
    """Two rows of running sums, from 0 on: tokens, and messages that cannot be measured from here.

    They are added up when somebody asks. The tallies are those that the messages had when they came
    in here: another count may give them others meanwhile.
    """

    __slots__ = ("_state",)

    def __init__(self, sums: Sums | None = None, ahead: Sequence[Kept] = ()) -> None:
        # In one piece, as two threads may ask at once.
        self._state = sums or (array("q", (0,)), array("q", (0,))), ahead

    def further(self, messages: Sequence[Message]) -> Sizes:
        """Return the sums over these messages, too."""
        sums, ahead = self._state
        return Sizes(sums, [*ahead, *[(one.memo.get("tally"), one) for one in messages]])

    def __getitem__(self, row: int) -> array[int]:
        return self.add_up()[row]

    def __iter__(self) -> Iterator[array[int]]:
        return iter(self.add_up())

    def add_up(self) -> Sums:
        """Return both rows."""
        sums, ahead = self._state
        if ahead:
            sums = _further(sums, ahead)
            self._state = sums, ()
        return sums


def _further(so_far: Sums, ahead: Sequence[Kept]) -> Sums:
    tokens, unsure = so_far[0][:], so_far[1][:]
    total, doubts = tokens[-1], unsure[-1]
    for kept, message in ahead:
        total += sum(kept[1].components.values()) if kept else 0
        doubts += not kept or not UNSURE.isdisjoint([part.kind for part in message.parts])
        tokens.append(total)
        unsure.append(doubts)
    return tokens, unsure
