"""What ties a tool's result to its call."""

from __future__ import annotations

from collections.abc import Sequence

from tokentrace.prompt import Message, Part


def called(part: Part, before: Sequence[Message]) -> str:
    """Return the tool whose result this is: by the call's id, else by the name it bears."""
    if part.id:
        for message in reversed(before):
            for call in message.parts:
                if call.kind == "call" and call.id == part.id:
                    return call.name
    return part.name
