"""Measure what counting texts costs beside encoding them once with tiktoken: CPU of one thread.

    python bench/texts.py [--rounds N] [--json]

Ours and tiktoken's take turns in one process and the least of the rounds is kept, so that ratios hold on
a noisy machine. All texts are made here; conversations are `turns`, vocabularies `starting`.
"""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import table_of

LONG = 4_000_000  # bytes
TAGS = 50
TAGGED = 1_000_000  # bytes
RUN = 1_000_000  # characters
SIGNS = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
FACES = "😀🎉🔥👩‍💻🚀👍🏽❤️🙏💡🤖"


@cache
def words() -> list[str]:
    """Return the words of Python's own help, as they stand: English with some code."""
    from pydoc_data.topics import topics

    return " ".join(topics.values()).split()


def run_of(rng: random.Random, least: int, most: int) -> str:
    """Return some words that follow one another."""
    first = rng.randrange(len(words()) - most)
    return " ".join(words()[first : first + rng.randint(least, most)])


def prose(rng: random.Random, size: int) -> str:
    """Return about ``size`` bytes of ASCII: sentences with a number in each, and lines."""
    made, left = [], size
    while left > 0:
        line = f"{run_of(rng, 6, 18)} ({rng.randint(0, 99999)}).\n"
        line = line.encode("ascii", "replace").decode()
        made.append(line)
        left -= len(line)
    return "".join(made)


def chinese(rng: random.Random, size: int) -> str:
    """Return about ``size`` bytes of Chinese with its marks."""
    made, left = [], size
    while left > 0:
        line = "".join(rng.choices(SIGNS, k=rng.randint(5, 25))) + rng.choice("，。，。；：！")
        made.append(line)
        left -= 3 * len(line)
    return "".join(made)


def chat(rng: random.Random, size: int) -> str:
    """Return about ``size`` bytes of short lines of English, Chinese and emoji."""
    made, left = [], size
    while left > 0:
        faces = "".join(rng.choices(FACES, k=rng.randint(1, 6)))
        line = f"{run_of(rng, 2, 8)} {faces}{''.join(rng.choices(SIGNS, k=4))}，ok!\n"
        made.append(line)
        left -= len(line.encode())
    return "".join(made)


KINDS = {"ASCII": prose, "Chinese": chinese, "emoji mix": chat}


def spent(work: Callable[[], Any]) -> float:
    """Return milliseconds of CPU that ``work`` takes on this thread."""
    gc.collect()
    begun = time.thread_time()
    work()
    return 1e3 * (time.thread_time() - begun)


def copied(text: str) -> str:
    """Return an equal text that is another object, as the next request's body holds it."""
    return "".join([text[: len(text) // 2], text[len(text) // 2 :]])


def emptied() -> None:
    """Forget everything that was counted."""
    from tokentrace.counting.store import STORE

    STORE.clear()


# ── a conversation ───────────────────────────────────────────────────────────────────────────────


def encoder() -> Callable[[str], Any]:
    """Return tiktoken's own way from a text to its tokens."""
    from tokentrace.counting import vocab

    return vocab.load("o200k_base").encode


# ── one long text ────────────────────────────────────────────────────────────────────────────────


def long_text_cost(rounds: int, kind: str) -> dict[str, float]:
    """Return what a text of 4 MB costs: first, unchanged, appended to, edited in the middle."""
    from tokentrace.counting.text import ruler

    rng = random.Random(kind)
    text, encode = KINDS[kind](rng, LONG), encoder()
    count = ruler("o200k_base").tokens
    rows: dict[str, list[float]] = {}

    def note(name: str, work: Callable[[], Any]) -> None:
        rows.setdefault(name, []).append(spent(work))

    for _ in range(rounds):
        emptied()
        note("encode_ms", lambda: encode(text))
        note("first_ms", lambda: count(text))
        for value in edits(rng, text, KINDS[kind]):
            count(text)
            note(value[0], lambda value=value: count(value[1]))
    least = {name: min(values) for name, values in rows.items()}
    return least | {"first_ratio": least["first_ms"] / least["encode_ms"]}


def edits(
    rng: random.Random, text: str, make: Callable[[random.Random, int], str]
) -> Iterator[tuple[str, str]]:
    """Yield the name of each edit of a text and the text as it is then."""
    middle = len(text) // 2 + rng.randrange(-10_000, 10_000)
    new = make(rng, 200)
    yield "unchanged_ms", copied(text)
    yield "append_ms", text + new
    yield "middle_ms", text[:middle] + new + text[middle + 50 :]


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────


def half_chinese(rng: random.Random, size: int) -> str:
    """Return about ``size`` bytes, half of them Chinese, in paragraphs of both."""
    made = (prose(rng, 1_000) + chinese(rng, 1_000) for _ in range(max(1, size // 2_000)))
    return "".join(made)


def tagged(
    rng: random.Random, make: Callable[[random.Random, int], str], form: str
) -> tuple[str, list[Any]]:
    """Return a prompt of about a megabyte and its 50 tags; ``nested`` ones hold one more each."""
    from tokentrace.counting.tags import Tag

    tags, parts = [], []
    for number in range(TAGS):
        text = make(rng, TAGGED // TAGS * 2 // 5)
        tags.append(Tag(f"tag{number}", text))
        if form == "nested":
            tags.insert(0, Tag(f"inner{number}", text[len(text) // 4 : len(text) // 3]))
        body = json.dumps({"text": text}) if form == "escaped" else text
        parts += [make(rng, TAGGED // TAGS * 3 // 5), body, "\n"]
    return "".join(parts), tags


def tags_cost(
    rounds: int, make: Callable[[random.Random, int], str], form: str
) -> dict[str, float]:
    """Return what finding all tags and sharing the tokens costs beside the encoding alone."""
    from tokentrace.counting.claims import Lens
    from tokentrace.counting.text import ruler

    text, tags = tagged(random.Random(form), make, form)
    lens, encode, ours, plain = Lens(tags), encoder(), [], []
    for _ in range(rounds):
        emptied()
        ours.append(spent(lambda: lens.spread(text, "user", ruler("o200k_base"), ())))
        plain.append(spent(lambda: encode(text)))
    return {"ours_ms": min(ours), "encode_ms": min(plain), "ratio": min(ours) / min(plain)}


# ── odd texts, and the vocabulary ────────────────────────────────────────────────────────────────

ODD = {
    "one letter": lambda: "a" * RUN,
    "spaces": lambda: " " * RUN,
    "emoji": lambda: "".join(random.Random(1).choices(FACES, k=RUN)),
    "Chinese without marks": lambda: "".join(random.Random(2).choices(SIGNS, k=RUN)),
}


def odd_cost(rounds: int, text: str) -> dict[str, float]:
    """Return what a million characters cost that cannot be cut, their count and its error."""
    from tokentrace.counting.text import ruler

    times, found = [], (0, 0)
    for _ in range(rounds):
        emptied()
        begun = time.thread_time()
        found = ruler("o200k_base").tokens(text)
        times.append(1e3 * (time.thread_time() - begun))
    return {"ours_ms": min(times), "tokens": found[0], "error": found[1]}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return all rows; of ``rounds`` measurements of each the least is kept."""
    rows = {f"4 MB, {kind}": long_text_cost(rounds, kind) for kind in KINDS}
    for kind, make in {"ASCII": prose, "half Chinese": half_chinese}.items():
        for form in ("plain", "nested", "escaped"):
            rows[f"50 tags, {form}, {kind}"] = tags_cost(rounds, make, form)
    return rows | {f"a million, {name}": odd_cost(rounds, make()) for name, make in ODD.items()}


if __name__ == "__main__":
    table_of.command("What counting texts costs.", measure)
