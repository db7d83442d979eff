"""Where two prompts first differ, whether that broke the cached prefix, and what was read of it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace.insights import cache
from tokentrace.insights.cache import Case, Difference, Piece, Reading
from tokentrace.providers import Caching

STEPS = Caching(minimum=1_024, step=128, life=300.0)
MARKS = Caching(minimum=1_024, step=1, exact=True, lookback=20, life=300.0)
FOUND = Difference("memory", "changed", start=2_000, end=2_100, again=1_500)


def row(names):
    """Return a piece for each letter, all of 100 tokens."""
    return [Piece(name.lower(), hash(name), 100) for name in names]


def case(read, *, before=4_000, found=FOUND, **changes):
    """Return a call that read so much, after one that had read ``before``."""
    told = {"rule": STEPS, "shared": 4_500, **changes}
    rule, after = told.pop("rule"), told.pop("after", 10.0)
    return Case(rule, Reading(4_600, before), Reading(5_000, read, at=after), found, **told)


@pytest.mark.parametrize(
    ("before", "now", "component", "reason", "ahead"),
    [
        ("abcde", "abXde", "x", "changed", 200),
        ("abcde", "abXcde", "x", "inserted", 200),
        ("abcde", "abde", "c", "removed", 200),
        ("abcde", "acdbe", "b", "moved", 100),
        ("abcde", "adbce", "d", "moved", 100),
        ("abc", "abcX", "x", "inserted", 300),
        ("abc", "ab", "c", "removed", 200),
        ("", "a", "a", "inserted", 0),
    ],
)
def test_the_first_difference_is_named(before, now, component, reason, ahead):
    """By the piece that was changed, moved, inserted or removed, with what stands ahead of it."""
    found = cache.difference(row(before), row(now))
    assert (found.component, found.reason, found.start) == (component, reason, ahead)


@pytest.mark.parametrize(("before", "now"), [("abc", "abc"), ("abc", "abcde"), ("abc", "a")])
def test_what_grows_or_is_cut_at_its_end_does_not_differ(before, now):
    """The end of a conversation breaks nothing."""
    assert cache.difference(row(before), row(now), grows=True) is None


@given(st.integers(0, 2**32), st.sampled_from(["changed", "inserted", "removed"]))
def test_one_known_edit_is_found_again(seed, how):
    """Whatever stands around it, and whatever grew behind it."""
    rng = random.Random(seed)
    before = [Piece(f"c{n}", n, rng.randint(1, 900)) for n in range(rng.randint(3, 30))]
    at, now = rng.randrange(len(before) - 1), list(before)
    fresh = Piece("new", 999, 50)
    if how == "removed":
        del now[at]
    else:
        now[at : at + (how == "changed")] = [fresh]
    now += [Piece("more", 1_000, 70)]
    found = cache.difference(before, now, grows=True)
    wanted = before[at].component if how == "removed" else "new"
    assert (found.component, found.reason) == (wanted, how)
    assert found.start == sum(piece.tokens for piece in before[:at])


@pytest.mark.parametrize("read", [2_048, 2_000, 1_920, 2_176])
def test_a_break_is_confirmed_where_what_is_read_ends_at_the_difference(read):
    """Within a step, and the difference's own size."""
    assert cache.judged(case(read)) == ("memory", "changed")


@pytest.mark.parametrize("read", [3_072, 4_000])
def test_more_than_stands_ahead_of_a_difference_contradicts_it(read):
    """Then it is none, whatever the hashes say."""
    assert cache.judged(case(read)) == ("", "")


@pytest.mark.parametrize(("after", "reason"), [(10.0, "missed"), (301.0, "expired")])
def test_less_than_stands_ahead_of_a_difference_is_another_loss(after, reason):
    """What was evicted ahead of it is nobody's fault."""
    assert cache.judged(case(0, after=after, life=300.0)) == ("", reason)


def test_a_difference_with_nothing_behind_it_breaks_nothing():
    """Where less had been read before anyway, and nothing behind it was sent again."""
    side = replace(FOUND, start=4_200, end=4_400, again=0)
    assert cache.judged(case(4_096, before=4_096, found=side)) == ("", "")


def test_a_prefix_that_was_never_read_is_broken_by_what_changes_each_time():
    """A clock at the top: the provider would have kept what stands behind it."""
    clock = Difference("system", "changed", start=0, end=30, again=4_000)
    assert cache.judged(case(0, before=0, found=clock)) == ("system", "changed")
    assert cache.judged(case(0, before=0, found=clock, doubted=True)) == ("", "")
    assert cache.judged(case(0, before=0, found=clock, rule=Caching())) == ("", "")


def test_what_is_read_up_to_a_difference_leaves_no_doubt():
    """Nothing had been read of the prompts before, and now what stands ahead of the change was."""
    told = {"before": 0, "doubted": True}
    assert cache.judged(case(2_048, **told)) == ("memory", "changed")
    assert cache.judged(case(0, **told)) == ("", "")


@pytest.mark.parametrize(
    ("before", "read", "doubted", "doubts"),
    [
        (0, 0, False, True),
        (4_000, 0, False, False),
        (0, 4_000, True, False),
        (0, 100, True, True),
    ],
)
def test_a_provider_is_doubted_where_it_read_nothing_twice(before, read, doubted, doubts):
    """Once may be a miss; what it says to have written is nothing that it read."""
    rule = replace(MARKS, minimum=None)
    now = Reading(5_000, read, 5_000 - read)
    assert Case(rule, Reading(4_600, before, 4_600 - before), now, doubted=doubted).doubts is doubts


@pytest.mark.parametrize("again", [0, 1_500])
def test_what_changed_after_all_had_expired_broke_nothing(again):
    """It would not have been read as it was, unless somebody else kept what stands ahead of it."""
    early = replace(FOUND, start=500, end=600, again=again)
    late = {"found": early, "after": 301.0, "life": 300.0}
    assert cache.judged(case(0, **late)) == ("", "expired")
    assert cache.judged(case(512, **late)) == ("memory", "changed")
    assert cache.judged(case(0, **{**late, "after": 299.0})) == ("memory", "changed")


def test_a_conversation_of_which_nothing_is_said_again_lost_nothing():
    """It is another one with the same agent: what stands ahead of it was read."""
    other = replace(FOUND, component="history", again=0)
    assert cache.judged(case(2_048, found=other)) == ("", "")
    assert cache.judged(case(2_048, found=replace(other, again=9))) == ("history", "changed")
    assert cache.judged(case(2_048, found=replace(other, component="memory"))) == (
        "memory",
        "changed",
    )


def test_a_prefix_below_the_minimum_is_told_as_such():
    """Whatever else differs."""
    now = Reading(900, 0, at=5.0)
    assert cache.judged(Case(STEPS, Reading(2_000, 1_920), now, FOUND)) == ("", "below_minimum")
    assert cache.judged(Case(STEPS, Reading(2_000, 1_920), now, None, 880)) == ("", "below_minimum")


def test_marks_ahead_of_a_difference_have_to_be_read():
    """A mark that was kept, stands surely ahead and was not read says that more was lost."""
    told = {"rule": MARKS, "before": 4_000}
    assert cache.judged(case(1_500, marks=(1_500, 4_000), **told)) == ("memory", "changed")
    assert cache.judged(case(0, marks=(1_500, 4_000), **told)) == ("", "missed")
    assert cache.judged(case(0, marks=(4_000,), **told)) == ("memory", "changed")


def test_numbers_that_cannot_be_say_nothing():
    """More read than sent."""
    assert cache.judged(case(6_000)) == ("", "")


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 10**6), max_size=8),
    st.floats(0, 1),
    st.floats(0.5, 2),
    st.randoms(use_true_random=False),
)
def test_shares_add_up_to_what_was_read(sizes, part, drift, rng):
    """As integers, none above its component, for counts above and below what was reported."""
    counted = sum(sizes.values())
    reported = round(counted * drift)
    read = round(part * reported)
    names = list(sizes)
    rng.shuffle(names)
    left, walked = read * counted / max(1, reported), {}
    for name in names:
        walked[name] = min(1.0, left / sizes[name]) if sizes[name] and left > 0 else 0.0
        left -= sizes[name]
    shares = cache.apportioned(read, sizes, walked, reported)
    goal = min(read, round(read * counted / max(1, reported)), counted)
    assert sum(shares.values()) == (goal if read and counted else 0)
    assert all(0 < tokens <= sizes[name] for name, tokens in shares.items())


@pytest.mark.parametrize(("read", "reported"), [(0, 100), (-5, 100), (200, 100), (10, 0)])
def test_absurd_numbers_are_shared_out_to_nobody(read, reported):
    """Nothing read, less than nothing, more than was sent."""
    assert cache.apportioned(read, {"a": 50}, {"a": 1.0}, reported) == {}
