"""Looking through a text window by window finds what looking at all of it finds; others get their turn."""

from __future__ import annotations

import random
import re
import threading

import pytest

from tokentrace.counting import blocks, marks, pace, sections
from tokentrace.prompt import Message, Part

SIGNS = "ABCDEFGHabcdefgh0123456789+/xyzXYZklmnopqrstuvw"
WORDS = ["".join(random.Random(n).choices("etaoinshrdlcum", k=2 + n % 8)) for n in range(300)]
MODULES = (pace, blocks, sections)


def run(rng, most):
    return "".join(rng.choices(SIGNS, k=most))


PIECES = (
    lambda rng: "\n" * rng.randint(1, 3),
    lambda rng: run(rng, rng.choice((100, 255, 256, 257, 900, 2_000))) + "=" * rng.randint(0, 3),
    lambda rng: "".join(
        run(rng, rng.choice((60, 64, 76))) + rng.choice(("\n", "\r\n", "\\n"))
        for _ in range(rng.randint(1, 9))
    ),
    lambda rng: f"\n## {rng.choice(WORDS)}\n",
    lambda rng: f"<{rng.choice(('a1', 'ctx', 'p'))}{rng.choice(('', ' x=1', ' y' + chr(10)))}>",
    lambda rng: f"</{rng.choice(('a1', 'ctx', 'p'))}>",
    lambda rng: f'\n{{"{rng.choice(WORDS)}": [1, 2], "k": "{"z" * rng.randint(0, 300)}"}}\n',
    lambda rng: f"\n```{rng.choice(('', 'py', 'json'))}\n",
    lambda rng: "{" + " " * rng.randint(0, 5),
    lambda rng: "\\n".join(rng.choices(WORDS, k=30)),
    lambda rng: ". ".join(rng.choices(WORDS, k=150)),
    lambda rng: "中文，测试。" * rng.randint(1, 30),
    lambda rng: '\n{\n  "a": [1,\n 2],\n "b": "c"\n}\n',
    lambda rng: " ".join(rng.choices(WORDS, k=rng.randint(1, 40))),
)


def looked(text):
    """Return everything that is found in a text."""
    parts = (Part("text", text), Part("text", "x1\n"))
    return (
        blocks.blocks(text),
        blocks.encoded(text),
        blocks.compacted(text),
        sections.find(text),
        marks.of_message(Message("user", parts)),
    )


@pytest.mark.parametrize("seed", range(400))
def test_windows_change_nothing(monkeypatch, seed):
    """Blocks, base64, compact JSON, sections and marks are the same in small windows as in one."""
    rng = random.Random(seed)
    text = "".join(rng.choice(PIECES)(rng) for _ in range(rng.randint(1, 40)))
    whole = looked(text)
    monkeypatch.setattr(sections, "REACH", 200)
    for module in MODULES:
        monkeypatch.setattr(module, "WINDOW", 700)
    assert looked(text) == whole


def test_a_match_longer_than_a_window_is_whole(monkeypatch):
    """What begins in a window is followed to its end."""
    monkeypatch.setattr(pace, "WINDOW", 64)
    text = "-" * 50 + "a" * 500 + "-" * 50 + "a" * 20
    found = [match.span() for match in pace.matches(re.compile("a{8,}"), text, 8)]
    assert found == [(50, 550), (600, 620)]


def test_only_a_thread_that_shall_gives_way(monkeypatch):
    """Elsewhere giving way is a look."""
    slept = []
    monkeypatch.setattr(pace.time, "sleep", slept.append)
    monkeypatch.setattr(pace, "HELD", -1.0)
    pace.give_way()
    assert not slept
    with pace.giving_way():
        pace.give_way()
        other = threading.Thread(target=pace.give_way)
        other.start()
        other.join()
    pace.give_way()
    assert slept == [pace.PAUSE]


def test_the_hash_of_a_stretch_follows_from_its_characters_alone(monkeypatch):
    """Wherever it stands; a long one is hashed window by window, and each character counts."""
    monkeypatch.setattr(pace, "WINDOW", 64)
    rng = random.Random(3)
    for length in (0, 1, 63, 64, 65, 128, 1_000):
        stretch = run(rng, length)
        own = pace.hashed(stretch, 0, length)
        assert pace.hashed(f"ab{stretch}c", 2, 2 + length) == own
        for place in range(0, length, 61):
            other = f"{stretch[:place]}-{stretch[place + 1 :]}"
            assert pace.hashed(other, 0, length) != own


@pytest.mark.parametrize("edge", [1, 3, 1_024])
def test_trimmed_is_strip(monkeypatch, edge):
    """The ends of a stretch are those that `str.strip` leaves."""
    monkeypatch.setattr(pace, "EDGE", edge)
    rng = random.Random(edge)
    for _ in range(2_000):
        text = "".join(rng.choices(" \n,ab", weights=(6, 2, 2, 1, 1), k=rng.randint(0, 40)))
        start = rng.randint(0, len(text))
        end = rng.randint(start, len(text))
        first, last = pace.trimmed(text, start, end, " \n,")
        assert text[first:last] == text[start:end].strip(" \n,")
        assert start <= first <= last <= end


def test_runs_of_base64_are_those_of_one_regex(monkeypatch):
    """Window by window a run has the ends, with its padding, that one look at all of it gives."""
    whole = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{256,}+={0,2}")
    monkeypatch.setattr(pace, "WINDOW", 300)
    monkeypatch.setattr(blocks, "WINDOW", 300)
    rng = random.Random(64)
    for _ in range(600):
        lengths = (1, 40, 255, 256, 257, 300, 301, 556, 900)
        text = "".join(
            run(rng, rng.choice(lengths)) + "=" * rng.randint(0, 4) + rng.choice(("", " ", ".\n"))
            for _ in range(rng.randint(1, 6))
        )
        assert [*blocks._runs(text)] == [match.span() for match in whole.finditer(text)]
