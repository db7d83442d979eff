"""What the messages of a prompt add up to, grown by those that are new since the prompt before."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tokentrace.prompt import Message, Prompt

V = TypeVar("V")

MEMO = "folds"


@dataclass(slots=True, eq=False)
class Folds:
    """Values by name, of the messages of one snapshot.

    Attributes:
        same: how many leading messages are all of the snapshot before; 0 where something else changed.
        before: that snapshot's values.
        known: the values of these messages.
    """

    same: int = 0
    before: Mapping[Hashable, Any] = field(default_factory=dict)
    known: dict[Hashable, Any] = field(default_factory=dict)


def folded(prompt: Prompt, name: Hashable, add: Callable[[V, Sequence[Message]], V], start: V) -> V:
    """Return what ``add`` makes of all messages of a prompt; only those that are new are walked.

    Args:
        prompt: as read.
        name: of the value; it stands for ``add`` and ``start``.
        add: gets the value so far and the messages that come next, and changes neither.
        start: the value of no messages.
    """
    folds: Folds | None = prompt.memo.get(MEMO)
    if folds is None:
        return add(start, prompt.messages)
    if name not in folds.known:
        before, done = folds.before.get(name), folds.same
        fresh = prompt.messages if before is None else prompt.messages[done:]
        folds.known[name] = add(start if before is None else before, fresh)
    value: V = folds.known[name]
    return value
