"""Salted hashes of messages: what a prompt shares with an earlier one, without its text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tokentrace.counting.folds import folded
from tokentrace.prompt import Media, Message, Prompt

SALT = int.from_bytes(os.urandom(8), "big")
WIDTH = 8
LONGEST = 4_096
LEADING = frozenset({"system", "developer"})


def digest(message: Message) -> bytes:
    """Return 8 bytes that tell this message from others in this process; kept with the message."""
    known: bytes | None = message.memo.get("digest")
    if known is None:
        parts = tuple([(p.kind, p.text, p.name, p.id, _data(p.data)) for p in message.parts])
        mark = hash((SALT, message.role, message.name, parts))
        known = message.memo["digest"] = (mark & (2**64 - 1)).to_bytes(WIDTH, "big")
    return known


def hashes_of(prompt: Prompt) -> bytes:
    """Return the digests of a prompt's messages; kept with the prompt, and with its messages."""
    known: bytes | None = prompt.memo.get("hashes")
    if known is None:
        known = prompt.memo["hashes"] = folded(prompt, "digests", _further, b"")
    return known


def _further(so_far: bytes, messages: Sequence[Message]) -> bytes:
    return so_far + digests_of(messages[: LONGEST - len(so_far) // WIDTH])


def digests_of(messages: Sequence[Message]) -> bytes:
    """Return the digests of the first 4,096 messages, one after the other."""
    messages = messages[:LONGEST]
    try:
        return b"".join([message.memo["digest"] for message in messages])
    except KeyError:
        return b"".join([digest(message) for message in messages])


def leading(messages: Sequence[Message]) -> int:
    """Return the width of the digests of the leading system messages, 8 bytes each."""
    for index, message in enumerate(messages):
        if message.role not in LEADING:
            return index * WIDTH
    return len(messages) * WIDTH


def _data(data: Any) -> Any:
    """Return what of a part's data can be hashed at no cost."""
    return data if isinstance(data, Media | str | int) else None


def common(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix in bytes, whole hashes only."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    low, high = 0, shorter // WIDTH
    while high - low > 1:
        middle = (low + high) // 2
        if one[: middle * WIDTH] == other[: middle * WIDTH]:
            low = middle
        else:
            high = middle
    return low * WIDTH


def suffix(one: bytes, other: bytes, prefix: int) -> int:
    """Return the length of the common suffix behind a common prefix, in bytes, whole hashes only."""
    room = min(len(one), len(other)) - prefix
    if room <= 0:
        return 0
    if one[len(one) - room :] == other[len(other) - room :]:
        return room
    low, high = 0, room // WIDTH
    while high - low > 1:
        middle = (low + high) // 2
        if one[len(one) - middle * WIDTH :] == other[len(other) - middle * WIDTH :]:
            low = middle
        else:
            high = middle
    return low * WIDTH
