"""Counting on from what a provider reported: only the difference to an earlier prompt is estimated.

What was reported for an earlier call of the conversation is certain. The next prompt is that number
plus what our own count says of the difference, at the pace at which reported numbers have followed
ours in this conversation. That serves prompts that were appended to, edited or compacted alike: of
the calls that are remembered, the one from which least has changed is counted on from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import is_
from typing import Any

from tokentrace.counting import marks
from tokentrace.counting.digests import LONGEST, WIDTH, common, hashes_of, suffix
from tokentrace.counting.folds import folded
from tokentrace.counting.marks import Marks
from tokentrace.counting.running import Sizes
from tokentrace.counting.tally import Tally, scaled
from tokentrace.prompt import ANCHORED, CALIBRATED, EXACT, PROVIDER, Count, Message, Prompt, Usage

# Of the tokens that changed, the share by which their estimate may be off, and ± tokens on top. Of
# 474 recorded pairs, of which the second request continues the first and is not counted exactly,
# these held 98 in 100 (2026-11-25). The share of estimates is also that of methods not named.
SHARES = {CALIBRATED: 0.35}
SHARE = 0.8
TOKENS = 12
# Reported tokens for each of ours: first as in the first call, of which so many tokens count for one
# each; then as the differences between calls say, against a prior of so many tokens.
LEVEL = 2_000
PRIOR = 20.0
FORGET = 0.95
SLOWEST, FASTEST = 0.5, 2.0
# No tokenizer in use makes less or more than so many tokens of one of ours; what a provider adds to
# a prompt of its own is no more than so many tokens.
LOWEST, HIGHEST = 0.5, 3.0
SLACK, HIDDEN = 40, 3_000
# A difference is never expected, or learned, to be more than so many times what changed.
MOST = 3.0
# A share learned in the conversation: so many times the mean miss, and at least so much; it counts
# by half after so many changed tokens.
TIMES = 3.0
LEAST = 0.05
HALF = 400
REMEMBERED = 4
TINY = 1e-9
NO_MARKS = (0, 0, 0)
SIZES, MEMO = "sizes", "footprint"  # in a prompt's memo

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Footprint:
    """A prompt as we counted it ourselves: numbers and hashes, no text.

    Attributes:
        total: tokens.
        error: ± tokens of it, as we said.
        fixed: tokens that belong to no message: definitions, schema.
        marks: letters, digits and line breaks in the text of the messages, see `marks.of_message`.
        digests: 8 bytes for each message.
        alone: the body is the whole prompt, and all of it was counted: what a provider adds, or what
            there was no time for, is no measure for the next one.
        ruler: the vocabulary; what was counted in another one is no measure either.
    """

    total: int
    error: int
    fixed: int
    marks: Marks
    digests: bytes
    alone: bool = True
    ruler: str = ""

    def since(self, before: Footprint) -> Vector:
        """Return what was added since an earlier prompt: tokens of ours, and marks."""
        pairs = zip(self.marks, before.marks, strict=True)
        return (float(self.total - before.total), *(float(now - then) for now, then in pairs))


@dataclass(frozen=True, slots=True)
class Anchor:
    """A prompt, the input tokens that the provider reported for it, and the reasoning it led to."""

    before: Footprint
    reported: int
    reasoning: int = 0

    @property
    def held(self) -> bool:
        """Whether our own bound held there."""
        return abs(self.reported - self.before.total) <= self.before.error


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two prompts: tokens, and whether some of them cannot be measured."""

    tokens: int
    unsure: bool = False


def footprint(prompt: Prompt, count: Count) -> Footprint:
    """Return the footprint of a prompt; ``count`` is our own, not an anchored one."""
    known: tuple[Count, Footprint] | None = prompt.memo.get(MEMO)
    if known is None or known[0] is not count:
        known = prompt.memo[MEMO] = count, _footprint(prompt, count)
    return known[1]


def _footprint(prompt: Prompt, count: Count) -> Footprint:
    fixed, found = count.components.get("tools", 0), marks.of_prompt(prompt)
    whole = found is not None and not prompt.server and not prompt.stored
    return Footprint(
        count.total,
        count.error,
        fixed,
        found or NO_MARKS,
        hashes_of(prompt),
        alone=whole,
        ruler=count.tokenizer,
    )


def plausible(now: Footprint, reported: int) -> bool:
    """Whether a reported number can be that of a prompt: a test double's or a broken proxy's is not."""
    near = abs(reported - now.total) <= now.error
    return near or LOWEST * now.total - SLACK <= reported <= HIGHEST * now.total + HIDDEN


def enough(shown: int, reported: int) -> bool:
    """Whether a reported number can be that of a prompt that is more than the tokens of its body."""
    return reported >= LOWEST * shown - SLACK


def measured(prompt: Prompt, key: Any) -> None:
    """Keep with a prompt how many tokens its messages have up to each, and how many are unsure.

    Args:
        prompt: whose messages were all counted.
        key: of their tallies.
    """
    prompt.memo[SIZES] = folded(prompt, (SIZES, key), Sizes.further, Sizes())


def sized(prompt: Prompt) -> None:
    """Add up what `measured` has kept with a prompt, where it has."""
    if SIZES in prompt.memo:
        prompt.memo[SIZES].add_up()


def change(before: Footprint, now: Footprint, prompt: Prompt) -> Change:
    """Return what stands in one of two prompts only, as far as whole messages tell.

    Args:
        before: the earlier one.
        now: the later one.
        prompt: the later one, as read and counted.
    """
    messages = prompt.messages
    if before is now:
        return Change(0, len(messages) > LONGEST)
    prefix = common(before.digests, now.digests)
    tail = suffix(before.digests, now.digests, prefix)
    start, end = prefix // WIDTH, (len(now.digests) - tail) // WIDTH
    tokens, doubts = prompt.memo.get(SIZES) or Sizes().further(messages)
    new = tokens[end] - tokens[start]
    fixed = now.fixed - before.fixed
    grown = now.total - before.total
    gone = max(0, new + fixed - grown)
    unsure = len(messages) > LONGEST or doubts[end] > doubts[start]
    return Change(max(new + gone, abs(grown)) + abs(fixed), unsure)


def size_of(message: Message) -> int:
    """Return the tokens that a message was counted with; 0 where they were estimated."""
    kept = message.memo.get("tally")
    return kept[1].total if isinstance(kept, tuple) else 0


class Pace:
    """How reported numbers follow ours: tokens for each token and mark that is added.

    A least-squares fit that forgets slowly, drawn to what the first call said.
    """

    __slots__ = ("_first", "_products", "_sums", "weights")

    def __init__(self, first: Anchor) -> None:
        level = (LEVEL + first.reported) / (LEVEL + first.before.total)
        self._first: Vector = (min(FASTEST, max(SLOWEST, level)), 0.0, 0.0, 0.0)
        self._products = [[0.0] * len(self._first) for _ in self._first]
        self._sums = [0.0] * len(self._first)
        self.weights: Vector = self._first

    def expected(self, added: Vector, moved: int) -> int:
        """Return the reported tokens that are expected for what was added."""
        tokens = sum(weight * size for weight, size in zip(self.weights, added, strict=True))
        return round(min(MOST * moved, max(-MOST * moved, tokens)))

    def learn(self, added: Vector, reported: int, moved: int) -> None:
        """Hear how many tokens more, or less, were reported for what was added."""
        reported = round(min(MOST * moved, max(-MOST * moved, reported)))
        for row, size in enumerate(added):
            products = self._products[row]
            products[:] = [
                FORGET * old + size * other / moved
                for old, other in zip(products, added, strict=True)
            ]
            self._sums[row] = FORGET * self._sums[row] + size * reported / moved
        self.weights = self._fit() or self.weights

    def _fit(self) -> Vector | None:
        drawn = [
            [*row, total + PRIOR * first]
            for row, total, first in zip(self._products, self._sums, self._first, strict=True)
        ]
        for place in range(len(drawn)):
            drawn[place][place] += PRIOR
        return _solved(drawn)


def _solved(rows: list[list[float]]) -> Vector | None:
    """Return the solution of linear equations, each a row that ends in its right side."""
    size = len(rows)
    for place in range(size):
        best = max(range(place, size), key=lambda row: abs(rows[row][place]))
        rows[place], rows[best] = rows[best], rows[place]
        pivot = rows[place][place]
        if abs(pivot) < TINY:
            return None
        for row in range(size):
            if row != place:
                factor = rows[row][place] / pivot
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[place], strict=True)]
    return tuple(rows[place][size] / rows[place][place] for place in range(size))


@dataclass(slots=True)
class History:
    """What a provider reported for the calls of one conversation, and what that teaches.

    Attributes:
        anchors: the first call, and the latest ones.
        pace: how reported numbers follow ours; None before the first.
    """

    anchors: tuple[Anchor, ...] = ()
    pace: Pace | None = None
    _missed: float = 0.0
    _moved: float = 0.0
    _last: tuple[Any, ...] = ()

    def share(self, method: str) -> float:
        """Return the share of changed tokens by which an estimate of them may be off."""
        seen = self._moved / (self._moved + HALF)
        mean = self._missed / self._moved if self._moved else 0.0
        return seen * max(LEAST, TIMES * mean) + (1 - seen) * SHARES.get(method, SHARE)

    @property
    def weight(self) -> int:
        """Bytes held, about."""
        return 1_000 + sum(150 + len(one.before.digests) for one in self.anchors)

    def note(self, prompt: Prompt, now: Footprint, usage: Usage) -> None:
        """Learn from what the provider reported for a prompt."""
        if not usage.input or not now.alone or not plausible(now, usage.input):
            return
        here = self._repeated(now, usage) or Anchor(now, usage.input, usage.reasoning or 0)
        if self.anchors and self.anchors[-1].before.ruler != now.ruler:
            self.anchors, self.pace = (), None  # a file has been loaded since
        if self.pace is None:
            self.pace = Pace(here)
        elif now.error and here.before is not self.anchors[-1].before:
            self._learn(self.pace, prompt, here)  # of what is exact there is nothing to learn
        kept = (*self.anchors, here)
        kept = kept if len(kept) <= REMEMBERED else (kept[0], *kept[2:])
        if len(kept) != len(self.anchors) or not all(map(is_, kept, self.anchors)):
            self.anchors = kept

    def _repeated(self, now: Footprint, usage: Usage) -> Anchor | None:
        """Return the last anchor, where the very same prompt was reported alike."""
        last = self.anchors[-1] if self.anchors else None
        if last is None or last.before is not now or last.reported != usage.input:
            return None
        return last if last.reasoning == (usage.reasoning or 0) else None

    def _learn(self, pace: Pace, prompt: Prompt, here: Anchor) -> None:
        """Hear what was reported for what has changed since the nearest call."""
        anchor, moved = self.nearest(prompt, here.before)
        if anchor is None or not moved.tokens or moved.unsure:
            return
        added, reported = here.before.since(anchor.before), here.reported - anchor.reported
        missed = abs(reported - pace.expected(added, moved.tokens))
        self._missed = FORGET * self._missed + min(missed, moved.tokens)
        self._moved = FORGET * self._moved + moved.tokens
        pace.learn(added, reported, moved.tokens)

    def nearest(self, prompt: Prompt, now: Footprint) -> tuple[Anchor | None, Change]:
        """Return the call from which least has changed, and what has."""
        found: tuple[Anchor | None, Change] = None, Change(0)
        for one in reversed(self.anchors):
            moved = change(one.before, now, prompt)
            if found[0] is None or moved.tokens < found[1].tokens:
                found = one, moved
            if not moved.tokens:
                break
        return found


def anchored(count: Count, prompt: Prompt, history: History) -> Count:
    """Return the count on top of what was reported, where there is such a call to count on from.

    Args:
        count: our own count of ``prompt``.
        prompt: as read and counted.
        history: of the conversation.
    """
    pace = history.pace
    if pace is None or count.method in (EXACT, PROVIDER):
        return count
    known = history._last  # noqa: SLF001 - ours
    if not known or known[0] is not count or known[1] is not history.anchors:
        known = count, history.anchors, _anchored(count, prompt, history, pace)
        history._last = known  # noqa: SLF001 - ours
    found: Count = known[2]
    return found


def _anchored(count: Count, prompt: Prompt, history: History, pace: Pace) -> Count:
    now = footprint(prompt, count)
    if not now.alone or history.anchors[-1].before.ruler != now.ruler:
        return count
    anchor, moved = history.nearest(prompt, now)
    if anchor is None:
        return count
    total = anchor.reported + pace.expected(now.since(anchor.before), moved.tokens)
    if total <= 0:
        return count
    tally = scaled(Tally(dict(count.components)), total)
    error = _bound(count, anchor, moved, history)
    return replace(count, total=total, components=tally.components, method=ANCHORED, error=error)


def _bound(count: Count, anchor: Anchor, moved: Change, history: History) -> int:
    """Return ± tokens of what is counted on from a call.

    The provider may put the reasoning of its answer back, whatever the next body shows of it. Our
    own bound is no smaller where something cannot be measured, and no larger where it held before.
    """
    share = history.share(count.method)
    error = math.ceil(TOKENS + share * moved.tokens + anchor.reasoning)
    if moved.unsure:
        return max(error, count.error)
    return min(error, count.error) if anchor.held else error
