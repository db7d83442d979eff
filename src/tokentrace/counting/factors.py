"""Factors that reported usage teaches: how much more, or less, a model counts than we do.

For prompts whose count is no exact one and that no earlier call of their conversation carries. A
factor is the median of what the latest such calls say, and its bound is what nearly all of them kept;
the rules' own bound fades to a part as calls come in. So one odd number moves neither.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from tokentrace.counting.anchoring import Footprint, plausible
from tokentrace.counting.folds import folded
from tokentrace.counting.keeping import Keeping
from tokentrace.counting.running import UNSURE
from tokentrace.counting.tally import Tally, scaled
from tokentrace.prompt import CALIBRATED, ESTIMATED, Count, Message, Prompt

MEMO = "factored"
MOST = 256
LIFE_SECONDS = 7 * 86_400.0
REMEMBERED = 64  # calls
# Shorter prompts are more frames than text, and are neither learned from nor changed.
LEAST_TOKENS = 500
# So many calls make a factor. Of the rules' own bound a part stays that shrinks from call to call, and in
# the end so much: calls of one fixed prompt agree very well, and say little of other prompts.
FEW, MANY, STAYS = 5, 20, 0.25
SLOWEST, FASTEST = 0.5, 2.0
# A factor says nothing of prompts so many times longer than the longest that taught it.
FARTHEST = 4
# Text is of another kind with so many fives of letters more or fewer for each token of ours: of a Claude's
# tokens prose has about 0.6, code 0.45, JSON 0.2, Chinese 0. Where too few calls of its kind taught, the
# bound reaches as far as the rules' own.
APART = 0.1
# The bound: what this share of calls kept (of n calls and the one to come), so many times, at least so
# much, and ± tokens on top.
HELD, TIMES, LEAST_SHARE, TOKENS = 0.95, 1.25, 0.02, 12
LEARNABLE = frozenset({CALIBRATED, ESTIMATED})

Call = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Factor:
    """What calls say of one model at one place.

    Attributes:
        calls: our own count, the reported number and fives of letters of each, the oldest first.
        value: reported tokens for each of ours, between `SLOWEST` and `FASTEST`.
        share: of a count, by which it may be off.
        longest: prompt that taught it, in our tokens.
        ruler: the vocabulary in which we counted; it says nothing of counts in another one.
    """

    calls: tuple[Call, ...]
    value: float
    share: float
    longest: int
    ruler: str = ""

    @property
    def useful(self) -> bool:
        """Whether enough calls say so."""
        return len(self.calls) >= FEW

    def knows(self, now: Footprint) -> bool:
        """Whether enough calls with text of a prompt's kind taught it."""
        here = now.marks[0] / now.total
        alike = sum(abs(letters / own - here) <= APART for own, _, letters in self.calls)
        return alike >= FEW


Factors = Keeping[Any, Factor]
FACTORS: Factors = Keeping(MOST, LIFE_SECONDS)


def of_calls(calls: tuple[Call, ...], ruler: str = "") -> Factor:
    """Return the factor that calls teach; only the latest are remembered."""
    calls = calls[-REMEMBERED:]
    ratios = [reported / own for own, reported, _ in calls]
    value = min(FASTEST, max(SLOWEST, median(ratios)))
    misses = sorted(abs(ratio / value - 1) for ratio in ratios)
    place = min(len(misses), math.ceil(HELD * (len(misses) + 1)))
    return Factor(calls, value, misses[place - 1], max(own for own, *_ in calls), ruler)


def note(key: Hashable, prompt: Prompt, count: Count, now: Footprint, reported: int) -> None:
    """Learn from a call that was counted by the rules alone.

    Args:
        key: whose model it is.
        prompt: as read and counted.
        count: our own.
        now: the prompt's footprint.
        reported: input tokens.
    """
    if plausible(now, reported) and _counts(prompt, count, now):
        call = (count.total, reported, now.marks[0])
        FACTORS.change(key, lambda before: of_calls((*_earlier(before, now), call), now.ruler))


def _earlier(before: Factor | None, now: Footprint) -> tuple[Call, ...]:
    """Return the calls that taught so far, none where a tokenizer's file has been loaded since."""
    return before.calls if before is not None and before.ruler == now.ruler else ()


def applied(key: Hashable, prompt: Prompt, count: Count, now: Footprint) -> Count:
    """Return a count as its model's factor corrects it, where there is one that says something."""
    factor = FACTORS.find(key)
    if factor is None or not factor.useful or not _counts(prompt, count, now):
        return count
    if factor.ruler != now.ruler or count.total > FARTHEST * factor.longest:
        return count
    known = prompt.memo.get(MEMO)
    if known is None or known[0] is not factor or known[1] is not count:
        known = prompt.memo[MEMO] = factor, count, _corrected(factor, count, now)
    corrected: Count = known[2]
    return corrected


def _corrected(factor: Factor, count: Count, now: Footprint) -> Count:
    total = round(factor.value * count.total)
    tally = scaled(Tally(dict(count.components)), total)
    fading = max(STAYS, 1 - len(factor.calls) / MANY) * factor.value * count.error
    learned = TOKENS + TIMES * max(LEAST_SHARE, factor.share) * total
    apart = 0 if factor.knows(now) else abs(total - count.total) + count.error
    error = math.ceil(max(learned, fading, apart))
    return replace(count, total=total, components=tally.components, method=CALIBRATED, error=error)


def _counts(prompt: Prompt, count: Count, now: Footprint) -> bool:
    """Whether a prompt can teach, and be corrected: all of it is text, and all of it was counted."""
    return (
        count.method in LEARNABLE
        and now.alone
        and count.total >= LEAST_TOKENS
        and not folded(prompt, "unsure", _unsure, start=False)
    )


def _unsure(so_far: bool, messages: Sequence[Message]) -> bool:
    return so_far or any(part.kind in UNSURE for one in messages for part in one.parts)
