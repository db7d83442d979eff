"""When a conversation reaches its limit: robust growth since its last drop, with an interval.

Growth is the median of the slopes between all pairs of turns (Theil 1950, Sen 1968): a third of the
turns may be of any size. The interval is Sen's, from the variance of Kendall's S, at 90 percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from operator import lt, sub

from tokentrace.outlook import Forecast

WINDOW = 16  # turns that are looked back on
FEWEST = 3  # turns, to speak of growth
DROP = 0.05  # share of the prompt: what falls by more was cut, and growth begins anew
NINETY = 1.645  # the normal distribution's 95th percentile


def ahead(
    totals: Sequence[int], limit: int | None, components: Sequence[Mapping[str, int]] = ()
) -> Forecast | None:
    """Return when ``totals`` reach ``limit``; None without growth, limit or three turns of it.

    Args:
        totals: tokens a turn, oldest first, of one conversation.
        limit: the largest input in tokens.
        components: tokens by component of the same turns, at least of the last ones.
    """
    since = segment(totals)
    if limit is None or len(since) < FEWEST:
        return None
    pace, low, high = _paces(tuple(since))
    if pace <= 0:
        return None
    room = max(0, limit - since[-1])
    latest = room / low if low > 0 else 0.0 if not room else None
    return Forecast(
        turns=room / pace,
        earliest=room / high,
        latest=latest,
        pace=pace,
        growth=growth(components[-len(since) :]),
    )


def segment(totals: Sequence[int]) -> Sequence[int]:
    """Return the turns since the last one that was cut, at most `WINDOW`."""
    recent = totals[-WINDOW:]
    if not any(map(lt, recent[1:], recent)):
        return recent  # nothing fell
    for place in range(len(recent) - 1, 0, -1):
        if recent[place] < recent[place - 1] * (1 - DROP):
            return recent[place:]
    return recent


def growth(components: Sequence[Mapping[str, int]]) -> tuple[tuple[str, float], ...]:
    """Return tokens more a turn by component between the first and the last of some turns."""
    if len(components) < 2:
        return ()
    first, last, steps = components[0], components[-1], len(components) - 1
    grown = ((name, (tokens - first.get(name, 0)) / steps) for name, tokens in last.items())
    return tuple(sorted((pair for pair in grown if pair[1] > 0), key=_most))


def _most(pair: tuple[str, float]) -> tuple[float, str]:
    return -pair[1], pair[0]


@lru_cache(maxsize=256)  # the calls of a turn ask again
def _paces(totals: tuple[int, ...]) -> tuple[float, float, float]:
    """Return the median of the slopes between all pairs of turns, and both ends of its interval."""
    slopes = sorted(
        [
            rise / turns
            for turns in range(1, len(totals))
            for rise in map(sub, totals[turns:], totals)
        ]
    )
    pace = (slopes[(len(slopes) - 1) // 2] + slopes[len(slopes) // 2]) / 2
    return pace, *_interval(slopes, len(totals))


def _interval(slopes: Sequence[float], turns: int) -> tuple[float, float]:
    """Return the slopes at both ends of the interval; of few turns the least and the largest."""
    spread = NINETY * sqrt(turns * (turns - 1) * (2 * turns + 5) / 18)
    low = max(0, round((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, round((len(slopes) + spread) / 2))
    return slopes[low], slopes[high]
