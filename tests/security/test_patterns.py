"""No regular expression of the package takes longer than its text is long (ReDoS)."""

from __future__ import annotations

import re
import time
from functools import partial

import pytest

from security import patterns

# A line of 100 kB may take 50 ms of CPU; a fifth of it is tried, which what is quadratic takes 200 ms for.
SIZE = 20_000
ALLOWED_S = 0.02  # on a machine that needs `USUAL_S` for `plain`
USUAL_S = 0.0004
TRIES = 5
# Given only so many characters of a text by whoever uses it.
CLIPPED = {
    "data:([^;,]*)": 200,  # the head of a data URL
    ".*search-preview|": 200,  # the name of a model
    "OTEL_\\w+_LIMIT": 200,  # the name of a variable
}
EVERY = patterns.every()


def cpu(work, *args) -> float:
    """Return the seconds of CPU that a call takes."""
    begun = time.thread_time()
    work(*args)
    return time.thread_time() - begun


def plain() -> None:
    """Do what a linear pattern does."""
    re.compile("[ab]c").search("a" * SIZE)


def used(pattern: re.Pattern, text, *, anchored: bool = False) -> None:
    """Use a pattern on a text as the package does."""
    most = next((size for part, size in CLIPPED.items() if part in str(pattern.pattern)), SIZE)
    if anchored:
        pattern.match(text[:most])
        return
    for _ in pattern.finditer(text[:most]):
        pass


def slow(pattern: re.Pattern, text, *, anchored: bool = False) -> bool:
    """Whether a pattern takes too long for a text, every time; measured against a linear one."""
    return all(
        cpu(partial(used, pattern, text, anchored=anchored))
        > ALLOWED_S * max(1.0, cpu(plain) / USUAL_S)
        for _ in range(TRIES)
    )


def test_the_patterns_are_found():
    """They are collected from the modules and from their source: of the first kind, of the second."""
    from tokentrace.counting import sections

    held = {pattern.pattern for pattern, _ in EVERY.values()}
    assert len(EVERY) > 150
    assert sections._TAG.pattern in held
    assert r"(?<!^)([A-Z])" in held


@pytest.mark.parametrize("name", EVERY)
def test_no_pattern_is_nested(name):
    """No endless repeat that gives back stands in another one."""
    assert not patterns.nested(EVERY[name][0])


@pytest.mark.parametrize("name", EVERY)
def test_near_matches_take_linear_time(name):
    """What nearly matches takes no longer than its length says."""
    pattern, anchored = EVERY[name]
    every = patterns.texts(pattern, SIZE)
    assert not [text[:60] for text in every if slow(pattern, text, anchored=anchored)]


@pytest.mark.parametrize(("bad", "size"), [(r"(a+)+b", 26), (r"(\w+\s?)*!", 28), (r"x*y", 20_000)])
def test_a_planted_pattern_is_seen(bad, size):
    """The checks above can fail: a nested repeat is seen by its shape, a quadratic one by its time."""
    pattern = re.compile(bad)
    if size < 100:
        assert patterns.nested(pattern)
    else:
        assert slow(pattern, "x" * SIZE)
