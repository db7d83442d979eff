"""Measure what counting a growing conversation costs, turn by turn: CPU of one thread, minima of one process.

    python bench/part.py turns ROUNDS COUNTER [COUNTER…]

A conversation grows in 25 turns to about 200,000 and to 1,000,000 tokens, and the whole of it is counted at
each turn, as it is sent at each turn. `once` is the yardstick: tiktoken encodes every text exactly once,
in the turn in which it is new. It takes turns with the counter in the same process, so that counters
of different environments can be compared by their ratios to it. The other counters know nothing of the
turn before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from interleaved import spent, take_turns, without_collector
from stubbed import note

TURNS = 25
SIZES = {"200K": 200_000, "1M": 1_000_000}
PER_MESSAGE = 200  # tokens, about
MODEL = "gpt-4o"
Talk = list[dict[str, Any]]
Counter = Callable[[Talk], int]


def growth(tokens: int) -> list[Talk]:
    """Return the messages that are new in each turn."""
    noise = random.Random(tokens)
    each = tokens // TURNS // PER_MESSAGE
    return [
        [
            {
                "role": ("user", "assistant")[place % 2],
                "content": f"{turn}.{place}: " + note(noise, 80),
            }
            for place in range(each)
        ]
        for turn in range(TURNS)
    ]


def encoder() -> Callable[[str], list[int]]:
    """Return tiktoken's way from a text to tokens; its vocabulary lies in TIKTOKEN_CACHE_DIR."""
    import tiktoken

    return tiktoken.get_encoding("o200k_base").encode_ordinary


def tokentrace_counter() -> Counter:
    import tokentrace
    from tokentrace.counting.store import STORE

    STORE.clear()
    return lambda talk: (
        tokentrace.count({"model": MODEL, "messages": talk}, api="openai.chat").total
    )


def tiktoken_counter() -> Counter:
    encode = encoder()
    return lambda talk: sum(3 + len(encode(m["content"])) for m in talk)


def litellm_counter() -> Counter:
    import litellm

    return lambda talk: litellm.token_counter(model=MODEL, messages=talk)


def tokencost_counter() -> Counter:
    import tokencost

    return lambda talk: tokencost.count_message_tokens(talk, MODEL)


COUNTERS = {
    "tokentrace": tokentrace_counter,
    "tiktoken": tiktoken_counter,
    "litellm": litellm_counter,
    "tokencost": tokencost_counter,
}


def requests(news: list[Talk]) -> Iterator[Talk]:
    """Yield the conversation of each turn, in a list and dicts of its own, as an SDK makes them."""
    talk: Talk = []
    for new in news:
        talk = [*talk, *new]
        yield [dict(message) for message in talk]


def counted(news: list[Talk], begin: Callable[[], Counter]) -> list[float]:
    """Return milliseconds of each turn when the whole conversation is counted."""
    count = begin()
    figures = []
    for talk in requests(news):
        with without_collector():
            figures.append(spent(partial(count, talk))[0])
    return figures


def encoded_once(news: list[Talk], encode: Callable[[str], list[int]]) -> list[float]:
    """Return milliseconds of each turn when only what is new is encoded."""
    figures = []
    for new in news:
        with without_collector():
            figures.append(spent(lambda new=new: [encode(m["content"]) for m in new])[0])
    return figures


def total(rows: list[list[float]]) -> list[float]:
    """Return the milliseconds spent up to and with each turn; of each turn the least of its rounds."""
    least = [min(turn) for turn in zip(*rows, strict=True)]
    return [round(sum(least[: place + 1]), 3) for place in range(len(least))]


def measure(rounds: int, *names: str) -> dict[str, dict[str, Any]]:
    """Return the rows of the counters, with the milliseconds spent by each turn."""
    rows: dict[str, dict[str, Any]] = {}
    for label, tokens in SIZES.items():
        news, encode = growth(tokens), encoder()
        for name in names:
            begin = COUNTERS[name]
            begin()(news[0])
            ways = {
                "counter": partial(counted, news, begin),
                "once": partial(encoded_once, news, encode),
            }
            found = take_turns(ways, rounds)
            spent_by, once = total(found["counter"]), total(found["once"])
            rows[f"25 turns to {label} tokens, {name}"] = {
                "ms": spent_by[-1],
                "once_ms": once[-1],
                "ratio": round(spent_by[-1] / once[-1], 3),
                "by_turn_ms": spent_by,
                "once_by_turn_ms": once,
            }
    return rows
