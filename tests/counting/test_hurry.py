"""Counting against a deadline keeps to it, says how far off it may be, and gets there in the end."""

from __future__ import annotations

import random

import pytest

from tokentrace.counting import counter
from tokentrace.counting.hurry import Hurried
from tokentrace.counting.store import STORE
from tokentrace.counting.text import ruler

WORDS = [
    "pod",
    "restarts",
    "because",
    "memory",
    "limit",
    "is",
    "lower",
    "than",
    "the",
    "cache",
    "needs",
    "at",
    "start",
]


@pytest.fixture(autouse=True)
def empty_store():
    STORE.clear()
    yield
    STORE.clear()


def prose(seed, number):
    """Return text that nobody has counted."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + str(rng.randrange(99)) for _ in range(number))


def test_in_time_it_counts_as_the_ruler_does():
    """With time left, numbers and errors are those of the ruler."""
    text = prose(1, 300)
    hurried = Hurried(ruler("o200k_base"), 60.0)
    assert hurried.tokens(text) == ruler("o200k_base").tokens(text)
    assert hurried.shares(text, [10, 50]) == ruler("o200k_base").shares(text, [10, 50])
    assert hurried.name == "o200k_base"


@pytest.mark.parametrize("seed", range(20))
def test_late_it_estimates_within_its_error(seed):
    """Text that comes too late is estimated, and the truth lies within the error."""
    late, text = Hurried(ruler("o200k_base"), 0.0), prose(seed, 200)
    tokens, error = late.tokens(text)
    shares, share_error = late.shares(text, [100, 300])
    truth, _ = ruler("o200k_base").tokens(text)
    assert error > 0
    assert abs(tokens - truth) <= error
    assert (sum(shares), share_error) == (tokens, error)


def test_what_was_counted_before_stays_exact():
    """A text that is known costs no time, so no deadline makes it an estimate."""
    text = prose(3, 200)
    truth = ruler("o200k_base").tokens(text)
    late = Hurried(ruler("o200k_base"), 0.0)
    assert late.known(text)
    assert late.tokens(text) == truth
    assert late.shares(text, [7]) == ruler("o200k_base").shares(text, [7])


def test_calls_that_follow_finish_the_count():
    """Each call goes on where the one before stopped, until the count is the full one."""
    messages = [{"role": "user", "content": prose(seed, 400)} for seed in range(60)]
    body = {"model": "gpt-4o", "messages": messages}
    counts = [counter.measure(body, api="openai.chat", budget_s=0.002)[1] for _ in range(60)]
    full = counter.count(body, api="openai.chat")
    assert counts[0].error > 0
    assert abs(counts[0].total - full.total) <= counts[0].error
    assert (counts[-1].total, counts[-1].error) == (full.total, full.error)
    assert all(sum(count.components.values()) == count.total for count in counts)
