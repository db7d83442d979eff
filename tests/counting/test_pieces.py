"""Long texts that come again, changed: what is taken over never changes a number.

Four thousand edits of each text: ``EDIT_CASES=4000 pytest tests/counting/test_pieces.py -k edits``
"""

from __future__ import annotations

import os
import random

import pytest

from odd_texts import hostile, prose
from tokentrace.counting import cuts, pieces, vocab
from tokentrace.counting.pieces import LONG
from tokentrace.counting.store import STORE
from tokentrace.counting.text import TokenRuler, ruler

CASES = int(os.environ.get("EDIT_CASES", "25"))
NAMES = ["o200k_base", "cl100k_base"]
HAN = "的一是不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工"
FACES = "😀🎉🔥👩\u200d💻🚀👍🏽❤️"


def han(rng, length):
    """Return random Chinese with its marks."""
    words = ("".join(rng.choices(HAN, k=rng.randint(3, 20))) for _ in range(length))
    return "".join(word + rng.choice("，。：！") for word in words)


def faces(rng, length):
    """Return random words and emoji."""
    return "".join(
        prose(rng, 2) + "".join(rng.choices(FACES, k=rng.randint(1, 4))) for _ in range(length)
    )


MAKERS = {
    "ASCII": lambda rng: prose(rng, 11_000).replace("ö", "o").replace("ß", "s"),
    "Chinese": lambda rng: han(rng, 6_000),
    "emoji": lambda rng: faces(rng, 4_500),
    "hostile": lambda rng: hostile(rng, 35_000),
}


@pytest.fixture(autouse=True)
def empty_store():
    """Start each test with nothing remembered."""
    STORE.clear()


def pasted(rng, text):
    """Return something to put into a text: nothing, hostile, a long piece of the text itself."""
    kind = rng.randrange(8)
    if kind == 0:
        start = rng.randrange(len(text))
        return text[start : start + rng.randrange(9_000)]
    if kind == 1:
        return rng.choice(("汉", "😀", "é", "\ud800", "\udc00", "\n", " ", "'s", "/", "1"))
    return hostile(rng, rng.choice((0, 1, 2, 5, 30)))


def place_in(rng, text, ends):
    """Return where to edit: anywhere, about a border of pieces, or at an end."""
    kind = rng.randrange(4)
    if kind == 0 and ends:
        return min(len(text), max(0, rng.choice(ends) + rng.randint(-2, 2)))
    if kind == 1:
        return rng.choice((0, 1, len(text) - 1, len(text)))
    return rng.randrange(len(text))


def edited(rng, text, ends):
    """Return the text with something put in, taken out or both, at one place or at two."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        start = place_in(rng, text, ends)
        stop = start + rng.choice((0, 0, 1, 2, 40, 5_000))
        text = text[:start] + pasted(rng, text) + text[stop:]
    return text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", MAKERS)
def test_edits_equal_a_full_recount(kind, name):
    """A long text that is edited again and again has the tokens of a full recount each time."""
    rng = random.Random(f"{kind} {name} {CASES}")
    first = text = MAKERS[kind](rng)
    encode, count = vocab.load(name).encode, ruler(name).tokens
    wrong, reused, ends = [], 0, []
    for number in range(CASES):
        found = count(text)
        if found != (len(encode(text)), 0):
            wrong.append(number)
        kept = pieces.recall(name, text)
        reused += bool(kept and ends and len(set(kept.ends) & set(ends)))
        ends = kept.ends if kept else []
        smaller = len(text) < LONG * 1.05
        text = first if smaller and rng.random() < 0.3 else edited(rng, text, ends)
        if smaller or len(text) > 3 * LONG:
            text = text[: 2 * LONG] if len(text) > LONG else text + first
    assert wrong == []
    assert reused > CASES / 3


class Spied:
    """A vocabulary's own encoder, and how many characters it was given."""

    def __init__(self, name="o200k_base"):
        self.real, self.seen = vocab.load(name), 0

    def ruler(self):
        """Return a ruler that counts with it."""
        return TokenRuler(vocab.Vocabulary(self.real.name, self.encode, self.real.lengths))

    def encode(self, value):
        """Encode, and note how much."""
        self.seen += len(value)
        return self.real.encode(value)


def test_texts_alike_at_their_ends_and_middle_are_told_apart():
    """Texts of one length that are looked up alike are compared: each keeps its own count."""
    rng = random.Random(3)
    base = prose(rng, 20_000)
    place = len(base) // 4
    other = base[:place] + "!" * 200 + base[place + 200 :]
    assert pieces.handle(base) == pieces.handle(other)
    encode, count = vocab.load("o200k_base").encode, ruler("o200k_base").tokens
    for value in (base, other, base, other):
        assert count("".join(list(value))) == (len(encode(value)), 0)
    assert count(base) != count(other)


def test_an_equal_copy_is_not_encoded():
    """A long text that comes again as another object costs no encoding."""
    spy = Spied()
    value = prose(random.Random(4), 60_000)
    expected = spy.ruler().tokens(value)
    spy.seen = 0
    assert spy.ruler().tokens("".join(list(value))) == expected
    assert spy.seen == 0


@pytest.mark.parametrize("odd", ["é", "汉", "😀"])
def test_one_odd_character_makes_no_text_new(odd):
    """A text that becomes wider in memory is still encoded where it changed, and back again."""
    spy = Spied()
    plain = MAKERS["ASCII"](random.Random(5)) * 3
    wide = plain[:90_000] + odd + plain[90_000:]
    spy.ruler().tokens(plain)
    for value in (wide, wide[:-5], plain[:-5], plain[:-5] + odd):
        spy.seen = 0
        assert spy.ruler().tokens(value) == (len(spy.real.encode(value)), 0)
        assert spy.seen < 4 * cuts.STRIDE


@pytest.mark.parametrize("most", [0, 1, 5, 700, 40_000])
def test_reach_is_never_too_far(most):
    """What is said to be alike is alike, and at most so many characters too few."""
    rng = random.Random(most)
    for _ in range(200):
        true = rng.randint(0, most)
        found = pieces._reach(lambda _, far, true=true: far <= true, most)
        assert found <= true
        assert true - found <= pieces.GRAIN


def test_pieces_stay_few():
    """A thousand edits at one place leave about as many pieces as a text counted at once."""
    rng = random.Random(6)
    text = prose(rng, 20_000)
    count = ruler("o200k_base").tokens
    for _ in range(1_000):
        text = text[:80_000] + rng.choice(("a ", "1.", "汉。")) + text[80_000:]
        count(text)
    kept = pieces.recall("o200k_base", text)
    assert kept is not None
    assert len(kept.ends) < len(text) / cuts.STRIDE * 1.5


def test_the_store_under_pressure_changes_no_number(monkeypatch):
    """Where hardly anything can be kept every count is the same, and what is kept stays bounded."""
    rng = random.Random(8)
    texts = [make(rng) for make in MAKERS.values()] + [prose(rng, size) for size in (3, 90, 900)]
    borders = [5, 900, 70_000]
    one = ruler("o200k_base")
    expected = [(one.tokens(value), one.shares(value, borders)) for value in texts]
    monkeypatch.setattr(STORE, "limit_bytes", 300_000)
    STORE.clear()
    for _ in range(60):
        number = rng.randrange(len(texts))
        value = "".join(list(texts[number]))
        assert one.tokens(value) == expected[number][0]
        assert one.shares(value, borders) == expected[number][1]
        assert STORE.used_bytes <= STORE.limit_bytes
