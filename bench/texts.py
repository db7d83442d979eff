"""Measure what counting texts costs beside encoding them once with tiktoken: CPU of one thread.

    python bench/texts.py [--rounds N] [--json] [--litellm PYTHON]

Ours and tiktoken's take turns in one process and the least of the rounds is kept, so that ratios hold on
a noisy machine. ``--litellm`` is an interpreter that has litellm: it counts the same conversations, and
encodes them once, in a process of its own; what is compared are the two ratios. All texts are made here.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pkgutil import get_data
from typing import Any

import table_of

TURNS = 25
MODEL = "gpt-4o"
SIZES = {"200K": 200_000, "1M": 1_000_000}
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


def conversation(tokens: int) -> list[list[dict[str, str]]]:
    """Return the messages of each of the turns; the last of them holds about so many tokens."""
    rng = random.Random(tokens)
    messages = [{"role": "system", "content": prose(rng, 2_000)}]
    turns = []
    pairs = tokens // TURNS // 440  # two messages of about 220 tokens
    for _ in range(TURNS):
        for _ in range(pairs):
            messages.append({"role": "user", "content": prose(rng, 830)})
            messages.append({"role": "assistant", "content": prose(rng, 830)})
        turns.append(list(messages))
    return turns


def once(turns: list[list[dict[str, str]]], encode: Callable[[str], Any]) -> None:
    """Encode every text of a conversation once."""
    for message in turns[-1]:
        encode(message["content"])


def counted(bodies: list[dict[str, Any]]) -> None:
    """Count every request of a conversation as the hook does."""
    from tokentrace.counting.counter import measure as count

    for body in bodies:
        count(body, api="openai.chat")


def fresh(turns: list[list[dict[str, str]]]) -> list[dict[str, Any]]:
    """Return the requests' bodies; as behind an SDK each has messages and dicts of its own."""
    return [{"model": MODEL, "messages": copy.deepcopy(messages)} for messages in turns]


def turns_cost(rounds: int, tokens: int) -> dict[str, float]:
    """Return what counting all turns costs beside encoding every text once."""
    turns, encode = conversation(tokens), encoder()
    ours, plain = [], []
    for _ in range(rounds):
        emptied()
        bodies = fresh(turns)
        ours.append(spent(lambda bodies=bodies: counted(bodies)))
        plain.append(spent(lambda: once(turns, encode)))
    return {"ours_ms": min(ours), "once_ms": min(plain), "ratio": min(ours) / min(plain)}


LITELLM = """
import json, sys, time
import litellm, tiktoken
turns, rounds = json.load(sys.stdin), int(sys.argv[1])
litellm.token_counter(model="gpt-4o", text="warm")
encoding = tiktoken.get_encoding("o200k_base")  # litellm carries the file
def spent(work):
    begun = time.thread_time()
    work()
    return 1e3 * (time.thread_time() - begun)
def peer():
    for messages in turns:
        litellm.token_counter(model="gpt-4o", messages=messages)
def once():
    for message in turns[-1]:
        encoding.encode_ordinary(message["content"])
print(min(spent(peer) for _ in range(rounds)), min(spent(once) for _ in range(rounds)))
"""


def litellm_cost(python: str, rounds: int, turns: list[list[dict[str, str]]]) -> dict[str, float]:
    """Return what litellm spends on the same turns, beside encoding every text once."""
    command = [python, "-c", LITELLM, str(rounds)]
    told = subprocess.run(
        command, input=json.dumps(turns), text=True, capture_output=True, check=True
    )
    peer, plain = map(float, told.stdout.split()[-2:])
    return {"litellm_ms": peer, "litellm_once_ms": plain, "litellm_ratio": peer / plain}


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


LOAD = """
import tiktoken, time
from tokentrace.counting import vocab
begun = time.process_time()
vocab.load("o200k_base")
print(time.process_time() - begun)
"""


def vocabulary_cost(rounds: int) -> dict[str, float]:
    """Return the seconds of CPU that a new process loads the vocabulary in, and its size packed."""
    packed = get_data("tokentrace.counting", "data/o200k_base.zlib") or b""
    command = [sys.executable, "-c", LOAD]
    told = [
        subprocess.run(command, text=True, capture_output=True, check=True).stdout
        for _ in range(rounds)
    ]
    return {"load_s": min(map(float, told)), "packed_mb": len(packed) / 1e6}


def measure(rounds: int, litellm: str = "") -> dict[str, dict[str, float]]:
    """Return all rows.

    Args:
        rounds: measurements of a row, of which the least is kept.
        litellm: an interpreter that has litellm; without it its figures are left out.
    """
    rows = {}
    for name, tokens in SIZES.items():
        row = turns_cost(rounds, tokens)
        if litellm:
            row |= litellm_cost(litellm, max(1, rounds // 3), conversation(tokens))
            row["times_less"] = row["litellm_ratio"] / row["ratio"]
        rows[f"25 turns to {name} tokens"] = row
    rows |= {f"4 MB, {kind}": long_text_cost(rounds, kind) for kind in KINDS}
    for kind, make in {"ASCII": prose, "half Chinese": half_chinese}.items():
        for form in ("plain", "nested", "escaped"):
            rows[f"50 tags, {form}, {kind}"] = tags_cost(rounds, make, form)
    rows |= {f"a million, {name}": odd_cost(rounds, make()) for name, make in ODD.items()}
    return rows | {"vocabulary": vocabulary_cost(min(rounds, 5))}


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description="What counting texts costs.")
    parser.add_argument("--rounds", type=int, default=11, help="measurements a row (11)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--litellm", default="", help="an interpreter that has litellm")
    options = parser.parse_args()
    table_of.show(measure(options.rounds, options.litellm), as_json=options.json, cell="10.3f")


if __name__ == "__main__":
    main()
