"""When a conversation reaches its limit: robust growth since its last drop, with an interval.

Growth is the median of the slopes between all pairs of turns (Theil 1950, Sen 1968): a third of the
turns may be of any size. The interval is that of the turn in which the limit will be reached, not of
the growth alone: coming steps vary as those before them did (Fieller 1954, Student's t, 90 percent).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from operator import lt, mul, sub

from tokentrace.outlook import Forecast

WINDOW = 16  # turns that are looked back on
FEWEST = 3  # turns, to speak of growth
DROP = 0.05  # share of the prompt: what falls by more was cut, and growth begins anew
# Student's 95th percentile, by degrees of freedom from 1: a step less than there are steps.
STUDENT = (
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761,
)  # fmt: skip
CERTAIN = 1e-9  # share of its square that growth must be above its own doubt, to have an end


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
    pace, doubt = _pace(tuple(since))
    if pace <= 0:
        return None
    room = max(0, limit - since[-1])
    earliest, latest = _interval(room, pace, doubt, len(since) - 1)
    return Forecast(
        turns=room / pace,
        earliest=earliest,
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
    """Return tokens more a turn by component, as robust as the growth of all of them is.

    The median of what each grew by, a quarter of the turns at a time: one paste or long result is
    a step in one of them.
    """
    if len(components) < 2:
        return ()
    lag = max(1, len(components) // 4)
    seen = components[::-lag]  # the newest first
    grown = []
    for name, now in seen[0].items():
        if now <= seen[-1].get(name, 0):
            continue  # most are as they were
        held = [one.get(name, 0) for one in seen]
        steps = sorted(map(sub, held, held[1:]))
        step = steps[(len(steps) - 1) // 2] + steps[len(steps) // 2]
        if step > 0:
            grown.append((name, step / 2 / lag))
    return tuple(sorted(grown, key=_most))


def _most(pair: tuple[str, float]) -> tuple[float, str]:
    return -pair[1], pair[0]


@lru_cache(maxsize=256)  # the calls of a turn ask again
def _pace(totals: tuple[int, ...]) -> tuple[float, float]:
    """Return the median of the slopes between all pairs of turns, and the doubt in a step.

    That is the variance of the steps around it times Student's t squared.
    """
    slopes = sorted(
        [
            rise / turns
            for turns in range(1, len(totals))
            for rise in map(sub, totals[turns:], totals)
        ]
    )
    pace = (slopes[(len(slopes) - 1) // 2] + slopes[len(slopes) // 2]) / 2
    steps = [*map(sub, totals[1:], totals)]
    count = len(steps)
    away = sum(map(mul, steps, steps)) - pace * (2 * sum(steps) - count * pace)
    return pace, STUDENT[count - 2] ** 2 * max(0.0, away) / (count - 1)


def _interval(room: int, pace: float, doubt: float, steps: int) -> tuple[float, float | None]:
    """Return the turns at both ends of the interval; None where growth may as well be none.

    After n turns the prompt has grown by n times the pace, give or take the square root of
    doubt * (n + n²/steps): the coming steps vary, and the pace itself is known from a few. The ends
    are where that is the room.
    """
    turns = room / pace
    if not (doubt and room):
        return turns, turns
    certain = pace * pace - doubt / steps
    half = room * pace + doubt / 2
    root = sqrt(max(0.0, half * half - certain * room * room))
    earliest = room * room / (half + root)
    if certain <= CERTAIN * pace * pace:
        return min(earliest, turns), None
    return min(earliest, turns), max(turns, (half + root) / certain)
