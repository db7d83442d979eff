"""Counting texts and sharing their tokens over segments, held against tiktoken itself."""

from __future__ import annotations

import random
import threading
import time
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odd_texts import HOSTILE, all_cuts, hostile, prose, repaired
from tokentrace import _failsafe
from tokentrace.counting import cuts, pieces, text, vocab
from tokentrace.counting.store import STORE
from tokentrace.counting.text import ruler
from tokentrace.counting.vocab import VocabularyError

NAMES = ["o200k_base", "cl100k_base"]


@pytest.fixture(autouse=True)
def empty_store():
    """Start each test with nothing remembered."""
    STORE.clear()


@pytest.fixture
def small(monkeypatch):
    """Make every text long: pieces of a few characters, runs that are sampled from 400 on."""
    shrink(monkeypatch)


def shrink(patch):
    """Set the sizes at which texts are cut, compared and sampled to a few characters."""
    patch.setattr(cuts, "STRIDE", 5)
    patch.setattr(cuts, "WINDOW", 7)
    patch.setattr(text, "SHORT", 0)
    for name, value in {"GRAIN": 3, "BLOCK": 11, "LONG": 16, "ENDS": 4}.items():
        patch.setattr(pieces, name, value)


@cache
def vocabulary(name):
    """Return tokens' bytes by rank."""
    return vocab.unpack(name)[1]


def encoded(name, value):
    """Return what tiktoken makes of the whole text."""
    return vocab.load(name).encode(value)


def reference(name, value, borders):
    """Return each segment's tokens the slow way: by the first byte of each decoded token."""
    edges = [len(repaired(value[:border]).encode()) for border in borders]
    shares = [0] * (len(borders) + 1)
    at = 0
    for rank in encoded(name, value):
        shares[sum(edge <= at for edge in edges)] += 1
        at += len(vocabulary(name)[rank])
    return shares


# --- exact counts and shares ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@given(HOSTILE)
def test_tokens_are_tiktokens(name, value):
    """A text has as many tokens as tiktoken makes of it, with no error."""
    assert ruler(name).tokens(value) == (len(encoded(name, value)), 0)


@pytest.mark.parametrize("name", NAMES)
@given(HOSTILE)
def test_tokens_of_pieces_are_tiktokens(name, value):
    """The same holds when the text is counted in pieces of a few characters."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        STORE.clear()
        assert ruler(name).tokens(value) == (len(encoded(name, value)), 0)


@pytest.mark.parametrize("pieced", [False, True])
@pytest.mark.parametrize("name", NAMES)
@given(HOSTILE, st.data())
def test_shares_are_the_reference(name, pieced, value, data):
    """Shares equal those by decoding each token, add up, and are the same when asked again."""
    places = st.lists(st.integers(0, len(value)), max_size=6).map(sorted)
    borders = data.draw(places)
    with pytest.MonkeyPatch.context() as patch:
        if pieced:
            shrink(patch)
        STORE.clear()
        shares, error = ruler(name).shares(value, borders)
        again = ruler(name).shares(value, borders)
        total = ruler(name).tokens(value)
    assert shares == reference(name, value, borders)
    assert (sum(shares), error) == total
    assert again == (shares, error)


@pytest.mark.parametrize("name", NAMES)
def test_long_text_is_exact(name):
    """Texts of a hundred thousand characters, cut as in production, are counted exactly."""
    rng = random.Random(3)
    for make in (lambda: prose(rng, 12_000), lambda: hostile(rng, 40_000)):
        value = make()
        borders = sorted(rng.sample(range(len(value)), 40))
        STORE.clear()
        shares, error = ruler(name).shares(value, borders)
        assert (sum(shares), error) == (len(encoded(name, value)), 0)
        assert shares == reference(name, value, borders)


def test_borders_beyond_the_text():
    """A border before the start or behind the end leaves an empty segment."""
    for value in ("one two", "汉字 two", "x\ud800 y"):
        whole = ruler("o200k_base").tokens(value)[0]
        assert ruler("o200k_base").shares(value, [-3, 0, 99, 100])[0] == [0, 0, whole, 0, 0]


def test_no_borders_is_one_segment():
    """Without borders the one segment has all tokens."""
    assert ruler("o200k_base").shares("one two", []) == ([2], 0)


def test_empty_text():
    """An empty text has no tokens, in however many segments."""
    assert ruler("o200k_base").tokens("") == (0, 0)
    assert ruler("o200k_base").shares("", [0, 0]) == ([0, 0, 0], 0)


def test_answers_can_be_changed_by_the_caller():
    """A list of shares belongs to the caller: changing it changes no later answer."""
    for value in ("one two three", "one two three " * 1000):
        first, _ = ruler("o200k_base").shares(value, [4])
        kept = first.copy()
        first[0] = 999
        assert ruler("o200k_base").shares(value, [4])[0] == kept


def test_surrogates_and_special_tokens():
    """Lone surrogates count as U+FFFD, halves of a pair as one character, specials as text."""
    count = ruler("o200k_base").tokens
    assert count("a\ud800b") == count("a\ufffdb")
    assert count("\ud83d\ude00") == count("😀")
    assert count("<|endoftext|>") == (len(encoded("o200k_base", "<|endoftext|>")), 0)
    assert count("<|endoftext|>")[0] > 1


@given(HOSTILE)
def test_size_is_the_bytes_that_are_encoded(value):
    """A text's size is that of what tiktoken encodes, surrogates joined or replaced."""
    assert text.size(value) == len(repaired(value).encode())


# --- what is remembered ---------------------------------------------------------------------------


class Counting:
    """Stands for a vocabulary's encoder and notes what it is given."""

    def __init__(self, name):
        self.real = vocab.load(name)
        self.seen = []

    def ruler(self):
        return text.TokenRuler(vocab.Vocabulary(self.real.name, self.encode, self.real.lengths))

    def encode(self, value):
        self.seen.append(value)
        return self.real.encode(value)


def test_a_text_is_encoded_once():
    """Equal texts are encoded once, short or long, whichever question comes first."""
    for value in ("one two three", "one two three " * 2000):
        spy = Counting("o200k_base")
        one = spy.ruler()
        one.shares(value, [4, 8])
        done = len(spy.seen)
        one.tokens("".join(list(value)))
        one.shares(value, [4, 8])
        assert len(spy.seen) == done
        assert sum(map(len, spy.seen)) == len(value)


def test_vocabularies_are_kept_apart():
    """The same text has its own count in each vocabulary."""
    value = "汉字汉字 नमस्ते"
    counts = [ruler(name).tokens(value)[0] for name in NAMES]
    assert counts == [len(encoded(name, value)) for name in NAMES]
    assert counts[0] != counts[1]


@pytest.mark.parametrize("place", ["start", "middle", "end", "append", "cut", "grow"])
def test_a_changed_text_is_encoded_where_it_changed(place):
    """After an edit of a long text only the pieces around it are encoded."""
    rng = random.Random(5)
    old = prose(rng, 40_000)
    half = len(old) // 2
    new = {
        "start": "new " + old,
        "middle": old[:half] + "something else" + old[half + 5 :],
        "end": old[:-9] + "else",
        "append": old + prose(rng, 50),
        "cut": old[: half - 100] + old[half:],
        "grow": old[:half] + prose(rng, 2000) + old[half:],
    }[place]
    spy = Counting("o200k_base")
    spy.ruler().tokens(old)
    spy.seen.clear()
    assert spy.ruler().tokens(new) == (len(encoded("o200k_base", new)), 0)
    assert sum(map(len, spy.seen)) < abs(len(new) - len(old)) + 5 * cuts.STRIDE


def test_a_changed_text_is_compared_with_its_own_past():
    """Of two texts that begin alike, an edit is compared with the one that also ends alike."""
    rng = random.Random(6)
    old = prose(rng, 40_000)
    half = len(old) // 2
    spy = Counting("o200k_base")
    one = spy.ruler()
    one.tokens(old)
    one.tokens(old + prose(rng, 50))
    one.tokens("another start " + prose(rng, 40_000) + old[-1000:])
    spy.seen.clear()
    one.tokens(old[:half] + "edit" + old[half:])
    assert sum(map(len, spy.seen)) < len(old) * 0.6
    spy.seen.clear()
    one.tokens(old[:half] + "again" + old[half:])
    assert sum(map(len, spy.seen)) < 4 * cuts.STRIDE


@pytest.mark.parametrize("name", NAMES)
@given(st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_edits_keep_counts_exact(name, rng):
    """A hostile text that is edited again and again is counted exactly each time."""
    value = hostile(rng, 80)
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        STORE.clear()
        for _ in range(12):
            place = rng.choice(all_cuts(value) or [0]) if rng.random() < 0.4 else None
            place = rng.randrange(len(value) + 1) if place is None else place
            until = place + rng.choice((0, 0, 1, 2, 9))
            value = value[:place] + hostile(rng, rng.choice((0, 1, 3, 20))) + value[until:]
            borders = sorted(rng.randrange(len(value) + 1) for _ in range(3))
            shares, error = ruler(name).shares(value, borders)
            assert shares == reference(name, value, borders)
            assert error == 0


def test_a_text_larger_than_its_share(monkeypatch):
    """A text too large to be kept is remembered by a salted digest, not by itself."""
    monkeypatch.setattr(pieces, "LARGEST_KEY", 40_000)
    value = prose(random.Random(8), 12_000) + "\ud800"
    spy = Counting("o200k_base")
    found = spy.ruler().tokens(value)
    done = len(spy.seen)
    assert found == (len(encoded("o200k_base", value)), 0)
    assert spy.ruler().tokens("".join(list(value))) == found
    assert spy.ruler().shares(value, [5_000])[1] == 0
    assert len(spy.seen) == done + 1
    assert STORE.used_bytes < 40_000


def test_the_store_bounds_what_texts_take():
    """Counting many long texts leaves the store within its limit."""
    count = Counting("cl100k_base")
    count.real = vocab.Vocabulary("fake", lambda value: [0] * (len(value) // 4), b"\x04")
    one = count.ruler()
    for number in range(60):
        one.tokens(f"{number} " + "word " * 200_000)
    assert STORE.used_bytes <= STORE.limit_bytes
    assert len(STORE) > 20


def test_threads_count_alike():
    """Threads that count the same texts at once all get tiktoken's numbers."""
    rng = random.Random(11)
    values = [prose(rng, size) for size in (5, 50, 3_000, 15_000)]
    expected = [(len(encoded("o200k_base", value)), 0) for value in values]
    wrong = []

    def work(seed):
        order = random.Random(seed).choices(range(len(values)), k=30)
        found = [(i, ruler("o200k_base").tokens(values[i])) for i in order]
        wrong.extend(pair for pair in found if pair[1] != expected[pair[0]])
        STORE.clear()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- estimates ------------------------------------------------------------------------------------

RUNS = {
    "letters": ("a" * 10**6, 125_000),
    "spaces": (" " * 10**6, 7_813),
    "tabs": ("\t" * 10**6, None),
    "signs": ("=" * 10**6, 15_625),
    "ideographs": ("汉" * 10**6, 1_000_000),
    "spaces inside": ("x" + " " * 1_200_000 + "y", 9_375),
    "surrogates": ("\ud800" * 10**6, None),
    "digits": ("1" * 10**6, 333_334),
}


@pytest.mark.parametrize(("value", "truth"), RUNS.values(), ids=RUNS.keys())
def test_a_run_without_cuts_is_estimated(value, truth):
    """A million characters that cannot be cut cost under 0.1 s CPU and hold the truth."""
    spy = Counting("o200k_base")
    begun = time.process_time()
    tokens, error = spy.ruler().tokens(value)
    assert time.process_time() - begun < 0.1
    assert max(map(len, spy.seen)) <= text.LONGEST_RUN
    assert 0 < error < max(tokens, 100)
    assert text.size(value) / text.LONGEST_TOKEN <= tokens <= text.size(value)
    if truth is not None:
        assert abs(tokens - truth) <= error


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "alphabet", ["abcdefghijklmnopqrstuvwxyz", "!#$%&*()-+{}[]", "汉字漢語中文学習"]
)
def test_a_random_run_holds_the_truth(name, alphabet):
    """Runs just over the bound are estimated, and what tiktoken counts lies within the error."""
    rng = random.Random(len(alphabet))
    for _ in range(3):
        value = "".join(rng.choices(alphabet, k=text.LONGEST_RUN + 100))
        tokens, error = ruler(name).tokens(value)
        assert 0 < abs(tokens - len(encoded(name, value))) + 1 <= error + 1
        assert error < tokens / 10


LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIGNS = "!#$%&*()-+{}[]"


def halves(rng, length):
    """Return a run whose second half has five times as many tokens as its first."""
    return "a" * (length // 2) + "".join(rng.choices(LETTERS, k=length // 2))


def patches(rng, length):
    """Return a run of patches of three kinds in any order."""
    kinds = ("a" * 510, "the" * 170, "".join(rng.choices(LETTERS, k=510)))
    return "".join(rng.choice(kinds) for _ in range(length // 510))


def waves(rng, length):
    """Return a run that changes just as often as samples at equal distances are taken."""
    period = (length - text.SAMPLE) // (text.SAMPLES - 1)
    wave = "a" * text.SAMPLE + "".join(rng.choices(LETTERS, k=period - text.SAMPLE))
    return (wave * (text.SAMPLES + 1))[:length]


def faces(rng, length):
    """Return a run of emoji."""
    return "".join(rng.choices("😀🎉🔥🚀🏽💡🤖", k=length))


def signs(rng, length):
    """Return a run of one sign and then of any."""
    return "=" * (length * 3 // 4) + "".join(rng.choices(SIGNS, k=length // 4))


@pytest.mark.parametrize("make", [halves, patches, waves, faces, signs])
def test_an_uneven_run_holds_the_truth(make):
    """What tiktoken counts lies within the error of a run that is not alike all over."""
    rng = random.Random(make.__name__)
    held = 0
    for _ in range(5):
        value = make(rng, text.LONGEST_RUN + 4_000)
        tokens, error = ruler("o200k_base").tokens(value)
        assert error > 0
        held += abs(tokens - len(encoded("o200k_base", value))) <= error
    assert held == 5


def test_shares_of_an_estimate_add_up():
    """An estimated run falls on its segments by their bytes; what is around it is exact."""
    value = "one two three " * 1000 + "a" * 200_000 + " four five" * 1000
    borders = [8, 14_000, 114_000, 214_000, 214_010]
    shares, error = ruler("o200k_base").shares(value, borders)
    total, same = ruler("o200k_base").tokens(value)
    assert (sum(shares), error) == (total, same)
    assert error > 0
    assert shares[0] == 3
    assert abs(shares[2] - 12_500) <= error
    assert abs(shares[3] - 12_500) <= error


def test_a_budget_bounds_the_time():
    """With a budget the rest is estimated within its error; without one it is counted then."""
    rng = random.Random(13)
    value = prose(rng, 300_000)
    truth = len(encoded("o200k_base", value))
    spy = Counting("o200k_base")
    tokens, error = spy.ruler().tokens(value, budget_s=0.01)
    assert error > 0
    assert abs(tokens - truth) <= error
    assert error < tokens / 5
    assert sum(map(len, spy.seen)) < len(value) / 2
    shares, _ = spy.ruler().shares(value, [1000, 1_000_000], budget_s=0.0)
    assert shares[0] == reference("o200k_base", value[:4000], [1000])[0]
    spy.seen.clear()
    assert spy.ruler().tokens(value) == (truth, 0)
    assert spy.seen[0] not in value[: cuts.STRIDE]
    spy.seen.clear()
    assert spy.ruler().tokens(value, budget_s=0.0) == (truth, 0)
    assert spy.seen == []


def test_errors_cover_mixed_texts():
    """In texts glued from many kinds, sampled errors hold the truth 95 times in 100."""
    rng = random.Random(17)
    kinds = (
        lambda: prose(rng, 150),
        lambda: "".join(rng.choices("0123456789abcdef", k=900)) + "\n",
        lambda: "".join(rng.choices("汉字漢語中文学習。", k=500)),
        lambda: '{"level": "info", "ts": 1732290000.123, "msg": "x"}\n' * 20,
    )
    held = 0
    for _ in range(100):
        chosen = rng.sample(kinds, rng.randint(1, 4))
        value = "".join(rng.choice(chosen)() for _ in range(100))
        tokens, error = ruler("o200k_base").tokens(value, budget_s=0.0)
        assert error > 0
        held += abs(tokens - len(encoded("o200k_base", value))) <= error
    assert held >= 95


class PanicException(BaseException):
    """Stands for pyo3's, which is no Exception either."""


def test_a_panic_is_an_estimate(monkeypatch):
    """Where tiktoken panics the text is estimated by its bytes, and the failure is counted."""
    monkeypatch.delenv("TOKENTRACE_STRICT")

    def panic(_value):
        raise PanicException

    one = text.TokenRuler(vocab.Vocabulary("panicking", panic, b""))
    for value in ("word " * 10, "word " * 5000, "a" * 100_000):
        tokens, error = one.tokens(value)
        shares, same = one.shares(value, [10, 20])
        assert (sum(shares), same) == (tokens, error)
        assert 0 < tokens < len(value) == tokens + error
    assert sum(_failsafe.failures.values()) > 3


# --- rulers ---------------------------------------------------------------------------------------


@pytest.fixture
def no_rulers(monkeypatch):
    """Run with no ruler made yet."""
    monkeypatch.setattr(text, "_rulers", {})


def test_ruler_is_made_once(no_rulers):
    """The same name gives the same ruler."""
    assert ruler("cl100k_base") is ruler("cl100k_base")
    assert ruler("cl100k_base").name == "cl100k_base"


def test_damaged_vocabulary_falls_back_to_bytes(no_rulers, monkeypatch, caplog):
    """A vocabulary that cannot be loaded gives one warning and honest estimates, time after time."""

    def refuse(name):
        raise VocabularyError(f"the table of {name} is damaged; install tokentrace again")

    monkeypatch.setattr(vocab, "load", refuse)
    for _ in range(3):
        one = ruler("o200k_base")
        assert one.name == "bytes"
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().endswith("again; tokens are estimated from bytes")
    assert one.tokens("one two three")[1] > 0


def test_unknown_vocabulary_falls_back_to_bytes(no_rulers, caplog):
    """A name that nobody packed gives the estimating ruler and one warning."""
    assert [ruler("p50k_base").name, ruler("p50k_base").name] == ["bytes", "bytes"]
    assert len(caplog.records) == 1
    assert text._rulers == {}


@given(HOSTILE, st.data())
def test_bytes_add_up(value, data):
    """Estimated shares are never negative and add up to the estimated total."""
    borders = data.draw(st.lists(st.integers(0, len(value)), max_size=5).map(sorted))
    shares, error = ruler("bytes").shares(value, borders)
    assert (sum(shares), error) == ruler("bytes").tokens(value)
    assert min(shares) >= 0
    assert all(
        share == 0 for share, gap in zip(shares, gaps(value, borders), strict=True) if not gap
    )


def gaps(value, borders):
    """Return the characters of each segment."""
    edges = [0, *borders, len(value)]
    return [b - a for a, b in pairwise(edges)]


@pytest.mark.parametrize("name", NAMES)
def test_byte_estimates_hold_the_truth(name):
    """Estimates by bytes hold the true count of prose, code, logs, Chinese and short words."""
    rng = random.Random(19)
    texts = [prose(rng, size) for size in (1, 5, 50, 500)]
    texts += ["a", "!", "hello", "汉字漢語", "0123456789abcdef" * 40, '{"a": [1, 2, 3]}' * 30]
    for value in texts:
        tokens, error = ruler("bytes").tokens(value)
        assert abs(tokens - len(encoded(name, value))) <= error, value
    assert ruler("bytes").tokens("") == (0, 0)
