"""Counting against a deadline: what is new after it is estimated, and counted in a later call."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

from tokentrace.counting.pace import give_way
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import SHORT, Counts, Ruler, in_proportion, size
from tokentrace.prompt import Message

T = TypeVar("T")

# Tokens a byte of UTF-8 before anything was counted, and the share of an estimate that may be
# wrong: prose, code and logs lie between 0.2 and 0.4 tokens a byte (o200k_base, 2026-11).
RATE = 0.3
WRONG = 0.6
FRAMING = 4
PORTION = 0.5  # seconds after which a long count asks whether it may go on


class Hurried:
    """A ruler that counts for so many seconds and then estimates what nobody has counted yet.

    Seconds are of this thread's CPU: a machine that is busy with other work makes no count worse.
    Texts that were counted before cost no time and stay exact. An estimate is not kept with its
    message, so that the next call goes on where this one stopped.

    Attributes:
        skipped: something was estimated.
    """

    __slots__ = ("_bytes", "_deadline", "_ruler", "_tokens", "name", "skipped")

    def __init__(self, ruler: Ruler, seconds: float) -> None:
        self.name = ruler.name
        self._ruler = ruler
        self._deadline = time.thread_time() + seconds
        self._bytes = 1_000.0
        self._tokens = RATE * self._bytes
        self.skipped = False

    def tokens(self, text: str, budget_s: float | None = None) -> tuple[int, int]:  # noqa: ARG002
        """Return the text's tokens and their error, see `Ruler`."""
        left = self._deadline - time.thread_time()
        if left > 0:
            found = self._ruler.tokens(text, left)
            self._bytes += len(text)
            self._tokens += found[0]
        elif len(text) > SHORT or self._ruler.known(text):
            found = self._ruler.tokens(text, 0.0)
        else:
            found = self._guess(text)
        self.skipped = self.skipped or bool(found[1])
        return found

    def each(self, texts: Sequence[str], budget_s: float | None = None) -> Counts:  # noqa: ARG002
        """Return the tokens and the error of the texts for which there was time, see `Ruler`."""
        found: list[tuple[int, int] | None] = []
        ends = [*accumulate(map(len, texts), initial=0)]
        start = 0
        while start < len(texts) and (left := self._deadline - time.thread_time()) > 0:
            stop = max(start + 1, bisect_right(ends, ends[start] + SHORT) - 1)
            found += self._ruler.each(texts[start:stop], left)
            self._bytes += ends[stop] - ends[start]
            self._tokens += sum(one[0] for one in found[start:stop] if one)
            start = stop
        self.skipped = self.skipped or any(one[1] for one in found if one)
        return found + [None] * (len(texts) - len(found))

    def shares(
        self,
        text: str,
        borders: Sequence[int],
        budget_s: float | None = None,  # noqa: ARG002
    ) -> tuple[list[int], int]:
        """Return the tokens of each segment between ``borders``, see `Ruler`."""
        left = max(0.0, self._deadline - time.thread_time())
        if left or len(text) > SHORT or self._ruler.known(text):
            shares, error = self._ruler.shares(text, borders, left)
        else:
            tokens, error = self._guess(text)
            shares = in_proportion(tokens, text, borders)
        self.skipped = self.skipped or bool(error)
        return shares, error

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.thread_time() >= self._deadline

    def roughly(self, messages: Sequence[Message]) -> Tally:
        """Estimate many messages at once, which is all that there is time for."""
        self.skipped = True
        tally = Tally()
        for message in messages:
            letters = sum(len(part.text) for part in message.parts)
            tally.put("user" if message.role == "user" else "history", letters)
        rate = self._tokens / self._bytes
        for name, letters in tally.components.items():
            tally.components[name] = math.ceil(letters * rate)
        tally.put("framing", FRAMING * len(messages))
        tally.error = math.ceil(WRONG * tally.total)
        return tally

    def known(self, text: str) -> bool:
        """Whether the text was counted before."""
        return self._ruler.known(text)

    def _guess(self, text: str) -> tuple[int, int]:
        """Estimate by the rate of what was counted in time."""
        tokens = math.ceil(size(text) * self._tokens / self._bytes)
        return tokens, math.ceil(WRONG * tokens)


class Portions:
    """A ruler for a thread of its own: it counts portion by portion, until all is counted or it shall stop.

    Args:
        ruler: that counts.
        stop: says whether to stop; what is left of a long text is estimated then.
    """

    __slots__ = ("_ruler", "_stop", "name")

    def __init__(self, ruler: Ruler, stop: Callable[[], bool]) -> None:
        self.name = ruler.name
        self._ruler = ruler
        self._stop = stop

    def tokens(self, text: str, budget_s: float | None = None) -> tuple[int, int]:
        """Return the text's tokens and their error, see `Ruler`."""
        return self._whole(lambda seconds: self._ruler.tokens(text, seconds), budget_s)

    def each(self, texts: Sequence[str], budget_s: float | None = None) -> Counts:
        """Return the tokens and the error of each text, see `Ruler`."""
        return [self.tokens(text, budget_s) for text in texts]

    def shares(
        self, text: str, borders: Sequence[int], budget_s: float | None = None
    ) -> tuple[list[int], int]:
        """Return the tokens of each segment between ``borders``, see `Ruler`."""
        return self._whole(lambda seconds: self._ruler.shares(text, borders, seconds), budget_s)

    def known(self, text: str) -> bool:
        """Whether the text was counted before."""
        return self._ruler.known(text)

    def _whole(
        self, count: Callable[[float], tuple[T, int]], budget_s: float | None
    ) -> tuple[T, int]:
        """Return what ``count(seconds)`` says when it is not for want of time."""
        end = math.inf if budget_s is None else time.thread_time() + budget_s
        while True:
            give_way()
            begun = time.thread_time()
            portion = 0.0 if self._stop() else min(PORTION, end - begun)
            found = count(portion)
            if not found[1] or portion < PORTION or time.thread_time() - begun < PORTION:
                return found
