"""What other tokenizers cut otherwise than ours: long words, digits and line breaks of a prompt's text.

They serve to count on from what was reported, so they are looked for only where somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokentrace.counting.folds import folded
from tokentrace.counting.pace import windows
from tokentrace.prompt import Message, Prompt

Marks = tuple[int, int, int]

DIGITS = b"0123456789"
LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FIELD = 40  # bits
MEMO, WHOLE = "marks", "whole"  # of a message; in a prompt's memo


def counted(prompt: Prompt) -> None:
    """Note that all of a prompt's messages were counted, and none skipped for want of time."""
    prompt.memo[WHOLE] = True


def of_prompt(prompt: Prompt) -> Marks | None:
    """Return the marks of a prompt's text; None where some of it was skipped, or not counted yet."""
    return unpacked(folded(prompt, MEMO, _added, 0)) if prompt.memo.get(WHOLE) else None


def _added(so_far: int, messages: Sequence[Message]) -> int:
    return so_far + sum(map(of_message, messages))


def of_message(message: Message) -> int:
    """Return how many fives of ASCII letters, digits and line breaks a message's text has, packed.

    Packed numbers add up like three: what a prompt has is the sum over its messages.
    """
    known: int | None = message.memo.get(MEMO)
    if known is None:
        known = message.memo[MEMO] = _found(message)
    return known


def _found(message: Message) -> int:
    letters = digits = breaks = 0
    for part in message.parts:
        for piece in windows(part.text):
            raw = piece.encode("utf-8", "surrogatepass")
            rest = raw.translate(None, LETTERS)  # a fifth of it: the second look is a short one
            letters += len(raw) - len(rest)
            digits += len(rest) - len(rest.translate(None, DIGITS))
            breaks += rest.count(b"\n")
    return (letters // 5 << 2 * FIELD) + (digits << FIELD) + breaks


def unpacked(packed: int) -> Marks:
    """Return fives of letters, digits and line breaks."""
    mask = (1 << FIELD) - 1
    return packed >> 2 * FIELD, packed >> FIELD & mask, packed & mask
