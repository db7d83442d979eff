"""Forecasts: robust growth since the last drop, its interval, and what grows."""

from __future__ import annotations

import statistics
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentrace.insights.forecast import DROP, WINDOW, ahead, growth, segment

STEADY = [1_000 + 500 * n for n in range(6)]


def test_steady_growth_has_a_narrow_interval():
    """Five hundred a turn and five thousand left are ten turns, for certain."""
    coming = ahead(STEADY, 8_500)
    assert coming is not None
    assert (coming.turns, coming.earliest, coming.latest, coming.pace) == (10, 10, 10, 500)


def test_one_large_turn_moves_the_forecast_little():
    """A paste that is gone in the next turn does not change the pace."""
    noisy = [1_000, 1_500, 2_020, 2_480, 3_000, 3_510]
    pasted = [*noisy[:3], 2_650, *noisy[4:]]
    plain, moved = ahead(noisy, 8_500), ahead(pasted, 8_500)
    assert plain is not None
    assert moved is not None
    assert moved.turns == pytest.approx(plain.turns, rel=0.05)
    assert moved.earliest < moved.turns < (moved.latest or 0)


def test_growth_begins_anew_after_a_drop():
    """What was before a compaction says nothing; two turns after it are not enough."""
    cut = [1_000, 3_000, 5_000, 1_000, 1_100]
    assert ahead(cut, 10_000) is None
    coming = ahead([*cut, 1_200], 10_000)
    assert coming is not None
    assert (coming.turns, coming.pace) == (88, 100)


def test_a_small_step_back_is_no_drop():
    """Less than a twentieth is noise: the growth around it still counts."""
    assert segment([1_000, 2_000, 1_950, 3_000]) == [1_000, 2_000, 1_950, 3_000]
    assert segment([1_000, 2_000, 1_850, 3_000]) == [1_850, 3_000]


def test_where_growth_may_be_none_there_is_no_latest():
    """Up and down around a slow rise: the interval has no end."""
    coming = ahead([1_000, 1_030, 1_000, 1_040, 1_010, 1_035], 2_000)
    assert coming is not None
    assert coming.latest is None
    assert coming.earliest < coming.turns


STEPS = {
    "even": lambda pick: pick.randint(100, 300),
    "skewed": lambda pick: round(pick.expovariate(1 / 200)),
    "mostly small": lambda pick: 60 if pick.random() < 0.6 else 410,
}


@pytest.mark.parametrize("turns", [5, 9, 16, 30])
@pytest.mark.parametrize("kind", STEPS)
def test_nine_of_ten_intervals_hold_the_turn_in_which_the_limit_is_reached(kind, turns):
    """Conversations that go on with steps like those before; nearly as many where few are known."""
    pick, step = Random(turns), STEPS[kind]
    held = made = 0
    for _ in range(600):
        totals = [500]
        while len(totals) < turns:
            totals.append(totals[-1] + step(pick))
        limit = totals[-1] + 200 * pick.choice((3, 6, 12, 40))
        coming = ahead(totals, limit)
        if coming is None:
            continue
        now, after = totals[-1], 0
        while now < limit:
            now, after = now + step(pick), after + 1
        made += 1
        held += coming.earliest <= after and (coming.latest is None or after - 1 <= coming.latest)
    assert made > 500
    assert held / made >= (0.84 if turns > 5 else 0.7)


@pytest.mark.parametrize(("totals", "limit"), [
    ([], 100), ([50], 100), ([50, 60], 100), ([50, 50, 50], 100), ([90, 88, 86], 100), (STEADY, None),
])  # fmt: skip
def test_without_growth_turns_or_limit_nothing_is_forecast(totals, limit):
    """One call, two turns, a level, a slow fall and an unknown limit have none."""
    assert ahead(totals, limit) is None


def test_at_the_limit_it_is_no_turns():
    """At or above it the limit is now, however the turns before it grew."""
    for totals in (STEADY, [1_000, 1_700, 2_100, 3_500]):
        coming = ahead(totals, 3_000)
        assert coming is not None
        assert (coming.turns, coming.earliest, coming.latest) == (0, 0, 0)


def test_growth_by_component_names_what_grows():
    """The largest first; what shrinks or stays is left out, what is new grew from nothing."""
    first = {"system": 100, "history": 50, "old": 40}
    last = {"system": 100, "history": 250, "tool_results": 600, "old": 10}
    assert growth([first, {}, last]) == (("tool_results", 300.0), ("history", 100.0))
    coming = ahead(STEADY, 8_500, [{"history": total} for total in STEADY])
    assert coming is not None
    assert coming.growth == (("history", 500.0),)


def test_growth_by_component_is_as_robust_as_that_of_the_whole():
    """A long result in the third turn grows nothing afterwards; steps every other turn do."""
    turns = [
        {"history": 100 * n, "tool_results": 5_000 if n > 2 else 0, "user": 60 * (n // 2)}
        for n in range(12)
    ]
    coming = ahead([sum(held.values()) for held in turns], 20_000, turns)
    assert coming is not None
    assert dict(coming.growth) == pytest.approx({"history": 100, "user": 30}, abs=10)
    assert sum(pace for _, pace in coming.growth) == pytest.approx(coming.pace, rel=0.2)


def test_of_very_many_turns_the_last_ones_count():
    """Ten thousand turns cost what sixteen do."""
    assert len(segment(range(10_000))) == WINDOW
    coming = ahead([*[5] * 10_000, *range(10, 10 * WINDOW + 10, 10)], 1_000)
    assert coming is not None
    assert coming.pace == 10


@given(st.lists(st.integers(0, 10**9), max_size=40), st.none() | st.integers(0, 10**9))
@settings(deadline=None)
def test_an_interval_holds_its_forecast(totals, limit):
    """Whatever the turns were: earliest, turns and latest are in order, and none is negative."""
    coming = ahead(totals, limit)
    if coming is not None:
        latest = float("inf") if coming.latest is None else coming.latest
        assert 0 <= coming.earliest <= coming.turns <= latest


@given(st.lists(st.integers(0, 60) | st.integers(0, 10**9), min_size=3, max_size=40))
@settings(deadline=None, max_examples=300)
def test_a_forecast_is_that_of_all_pairs_spelled_out(totals):
    """Its pace is the median of the slopes between any two turns since the last drop."""
    recent = totals[-WINDOW:]
    drops = [at for at in range(1, len(recent)) if recent[at] < recent[at - 1] * (1 - DROP)]
    since = recent[max(drops, default=0) :]
    assert segment(totals) == since
    pairs = [(since[j] - since[i]) / (j - i) for j in range(len(since)) for i in range(j)]
    coming = ahead(totals, 10**9)
    pace = statistics.median(pairs) if len(since) >= 3 else 0
    assert (coming.pace if coming else None) == (pace if pace > 0 else None)
