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
from pathlib import Path
from typing import Any

import table_of

TURNS = 25
MODEL = "gpt-4o"
SIZES = {"200K": 200_000, "1M": 1_000_000}
LONG = 4_000_000  # bytes
TAGS = 50
TAGGED = 1_000_000  # bytes
RUN = 1_000_000  # characters
WORDS = (
    "the pod restarts because its memory limit is lower than what cache needs at start of each "
    "worker node and alert about latency was raised again by monitoring while nobody changed "
    "deployment request timeout gateway connection refused retrying container image digest"
).split()
SIGNS = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
FACES = "😀🎉🔥👩‍💻🚀👍🏽❤️🙏💡🤖"


def prose(rng: random.Random, size: int) -> str:
    """Return about ``size`` bytes of English: words, numbers, signs, lines."""
    made, left = [], size
    while left > 0:
        words = " ".join(rng.choices(WORDS, k=rng.randint(6, 18)))
        line = f"{words.capitalize()} ({rng.randint(0, 99999)}, {rng.choice(WORDS)}={rng.random():.3f}).\n"
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
        words = " ".join(rng.choices(WORDS, k=rng.randint(2, 8)))
        faces = "".join(rng.choices(FACES, k=rng.randint(1, 6)))
        line = f"{words} {faces}{''.join(rng.choices(SIGNS, k=4))}，ok!\n"
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
import tiktoken, litellm
turns = json.load(sys.stdin)
ranks = {}
def spent(work):
    begun = time.thread_time(); work(); return 1e3 * (time.thread_time() - begun)
def peer():
    for messages in turns:
        litellm.token_counter(model=sys.argv[1], messages=messages)
def once(encode):
    for message in turns[-1]:
        encode(message["content"])
from litellm.litellm_core_utils.token_counter import encoding as shipped
"""


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


if __name__ == "__main__":
    rounds = int(sys.argv[1])
    from tokentrace.counting.text import ruler

    for kind in KINDS:
        print(kind, {k: round(v, 3) for k, v in long_text_cost(rounds, kind).items()}, flush=True)
    for name, size in SIZES.items():
        print(name, turns_cost(min(rounds, 3), size), flush=True)
