"""What ties a tool's result to its call."""

from __future__ import annotations

from collections.abc import Sequence

from tokentrace.prompt import Message, Part


def called(part: Part, before: Sequence[Message]) -> str:
    """Return the tool whose result this is: by the call's id, else by the name it bears."""
    call, _ = call_of(part, before)
    return part.name if call is None else call.name


def call_of(part: Part, before: Sequence[Message]) -> tuple[Part | None, int]:
    """Return the call of a result by its id, and the index of its message; (None, -1) for none."""
    for at in range(len(before) - 1, -1, -1) if part.id else ():
        for call in before[at].parts:
            if call.kind == "call" and call.id == part.id:
                return call, at
    return None, -1
