"""Where texts are cut: each kind of cut is held against the encoders themselves on random strings.

A million cases of each kind: ``CUT_CASES=1000000 pytest tests/counting/test_cuts.py -k safe``
"""

from __future__ import annotations

import os
import random
import re
import string
import time
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given

from odd_texts import ASCII, FOREIGN, HOSTILE, all_cuts, hostile
from tokentrace.counting import cuts, tekken, vocab

CASES = int(os.environ.get("CUT_CASES", "4000"))
NAMES = ["o200k_base", "cl100k_base", tekken.NAME]
SIDES = 20_000  # what may stand around a pair is drawn from so many strings

DIGITS = string.digits
LETTERS = string.ascii_letters
MARKS = string.punctuation
SLASH, APOSTROPHE = "/", "'"
IDEOGRAPHS = [
    chr(code) for code in (0x4E00, 0x9FA5, 0x3041, 0x3096, 0x30A1, 0x30FA, 0xAC00, 0xD7A3)
]


@cache
def every(pattern):
    """Return all characters there are that match a pattern."""
    wanted = re.compile(pattern)
    return [char for char in map(chr, range(0x110000)) if wanted.match(char)]


def solid():
    """Return all characters that are no white space, the hostile ones as often as all others."""
    odd = [char for char in ASCII + FOREIGN if not char.isspace()]
    return [odd, every(r"\S")]


def ideographs():
    """Return ideographs, kana and Hangul, their first and last ones more often."""
    return [IDEOGRAPHS, every(f"[{cuts._IDEOGRAPH}]")]


# By its name: what stands on the left and on the right, each as lists of which one is drawn first.
KINDS = {
    "solid|blank": (solid, lambda: [" \t"]),
    "newline|solid": (
        lambda: ["\n"],
        lambda: [[char for char in chars if char != SLASH] for chars in solid()],
    ),
    "letter or digit|newline": (lambda: [LETTERS + DIGITS], lambda: ["\n"]),
    "letter|digit": (lambda: [LETTERS], lambda: [DIGITS]),
    "letter|mark": (lambda: [LETTERS], lambda: [MARKS.replace(APOSTROPHE, "")]),
    "digit|letter": (lambda: [DIGITS], lambda: [LETTERS]),
    "digit|mark": (lambda: [DIGITS], lambda: [MARKS]),
    "mark|digit": (lambda: [MARKS], lambda: [DIGITS]),
    "ideograph|wide mark": (ideographs, lambda: [list(cuts._WIDE_MARK)]),
}
COMMON = "中国人的我们一是不了有"
# The same for places that are not cut, and the vocabularies whose tokens do depend on them.
UNSAFE = {
    "newline|slash": ("\n", "/", {"o200k_base", "tekken"}),
    "letter|apostrophe": (LETTERS, "'", {"o200k_base"}),
    "blank|letter": (" ", LETTERS, set(NAMES)),
    "newline|blank": ("\n", " ", {"o200k_base", "cl100k_base"}),
    "mark|letter": (MARKS, LETTERS, set(NAMES)),
    "mark|newline": (MARKS, "\n", set(NAMES)),
    "digit|digit": (DIGITS, DIGITS, {"o200k_base", "cl100k_base"}),
    "newline|newline": ("\n", "\n", set(NAMES)),
    "return|newline": ("\r", "\n", set(NAMES)),
    "ideograph|ideograph": (COMMON, COMMON, set(NAMES)),
    "wide mark|ideograph": (list(cuts._WIDE_MARK), COMMON, set(NAMES)),
}


def encode(name):
    """Return the encoder of a vocabulary; skip where Mistral's is not installed."""
    if name != tekken.NAME:
        return vocab.load(name).encode
    one = tekken.load()
    if one is None:
        pytest.skip("mistral-common is not installed")
    return one._encode


@cache
def sides(seed):
    """Return hostile strings, a third of them none."""
    rng = random.Random(seed)
    return ["" if rng.random() < 0.3 else hostile(rng, rng.randint(1, 6)) for _ in range(SIDES)]


def cases(rng, left, right, count):
    """Yield halves of random texts, of which the pair of characters in the middle is drawn."""
    before, behind = sides(1), sides(2)
    for _ in range(count):
        last, first = rng.choice(rng.choice(left)), rng.choice(rng.choice(right))
        yield rng.choice(before) + last, first + rng.choice(behind)


def broken(encoder, halves):
    """Return the halves that have other tokens than the whole, and how many there were."""
    found, checked = [], 0
    for left, right in halves:
        checked += 1
        if encoder(left) + encoder(right) != encoder(left + right):
            found.append((left, right))
    return found, checked


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_cuts_are_safe(kind, name):
    """Cut in two at such a place, random hostile texts have the tokens of the whole."""
    left, right = (sides_of() for sides_of in KINDS[kind])
    rng = random.Random(f"{kind} {name} {CASES}")
    found, checked = broken(encode(name), cases(rng, left, right, CASES))
    assert (found, checked) == ([], CASES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", UNSAFE)
def test_unsafe_places_fail_the_same_test(kind, name):
    """The very same cases find fault with a place that is not safe, which the code does not cut."""
    left, right, names = UNSAFE[kind]
    rng = random.Random(f"{kind} {name}")
    found, _ = broken(encode(name), cases(rng, [left], [right], 4_000))
    assert bool(found) == (name in names)
    assert not any(cuts.CUT.match(last + first) for last in left for first in right)


def kind_of(last, first):
    """Return the kinds of cut that a pair of characters is, by this test's own table."""
    blank = last.isspace()
    plain = {"letter": last in LETTERS, "digit": last in DIGITS, "mark": last in MARKS}
    then = {"letter": first in LETTERS, "digit": first in DIGITS, "mark": first in MARKS}
    told = {f"{a}|{b}": plain[a] and then[b] for a in plain for b in then}
    told["letter|mark"] &= first != APOSTROPHE
    told |= {
        "solid|blank": not blank and first in " \t",
        "newline|solid": last == "\n" and not first.isspace() and first != SLASH,
        "letter or digit|newline": (plain["letter"] or plain["digit"]) and first == "\n",
        "ideograph|wide mark": bool(re.match(f"[{cuts._IDEOGRAPH}]", last))
        and first in cuts._WIDE_MARK,
    }
    return {name for name in KINDS if told[name]}


def test_no_other_place_is_cut():
    """A pair of characters is cut if and only if it is of a kind that is proven."""
    rng = random.Random(7)
    chars = [*ASCII, *FOREIGN, *IDEOGRAPHS, *cuts._WIDE_MARK]
    chars += [chr(rng.randrange(0x110000)) for _ in range(300)]
    for last in chars:
        for first in chars:
            told = kind_of(last, first)
            assert bool(cuts.CUT.match(last + first)) == bool(told), (last, first, told)


@pytest.mark.parametrize("name", NAMES)
def test_all_cuts_of_a_text_at_once_are_safe(name):
    """Cut at every safe place, random hostile strings have the tokens of the whole."""
    rng = random.Random(20261122)
    encoder, places = encode(name), 0
    for _ in range(CASES):
        value = hostile(rng, rng.randint(2, 14))
        edges = [0, *all_cuts(value), len(value)]
        places += len(edges) - 2
        joined = [rank for a, b in pairwise(edges) for rank in encoder(value[a:b])]
        assert joined == encoder(value), (value, edges)
    assert places > CASES


def test_runs_without_cuts_are_skipped():
    """A cut behind a long run is found, and the run costs little."""
    for run in ("a" * 10**6, " " * 10**6, "汉" * 10**6, "😀" * 10**6, "=" * 10**6, "7" * 10**6):
        value = run + "x y"
        begun = time.process_time()
        place = cuts.cut(value, 0, len(value))
        assert time.process_time() - begun < 0.05
        assert place == len(run) + (run[0] != "7")


def test_nothing_has_no_cut():
    """An empty stretch has no cut: its end is returned."""
    assert cuts.cut("", 0, 0) == 0
    assert cuts.cut("a b", 3, 3) == 3


@given(HOSTILE)
def test_split_covers_the_text(value):
    """Pieces follow one another from the start to the end, and none is empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "STRIDE", 3)
        ends = list(cuts.split(value, 0, len(value)))
    assert ends == sorted(set(ends))
    assert ends[-1:] == ([len(value)] if value else [])
    assert 0 not in ends


@pytest.mark.parametrize("sign", ["a", " ", "7", "-", "é", "汉"])
@pytest.mark.parametrize("length", [64, 1_023, 1_100, 1_200, 1_300, 5_000])
def test_a_run_is_skipped_in_steps(monkeypatch, sign, length):
    """A cut behind a run is the one that is found when the run is skipped in one go."""
    text = "x" * 3 + " " + sign * length + "z1, and more of it"
    places = range(0, len(text), 7)
    whole = [cuts.cut(text, place, len(text)) for place in places]
    monkeypatch.setattr(cuts, "LONG", 100)
    assert [cuts.cut(text, place, len(text)) for place in places] == whole
