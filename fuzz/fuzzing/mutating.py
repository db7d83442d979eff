"""Inputs out of inputs: edits in the structure of JSON, and words put into text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# What stands where something else was meant.
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 2**31, 2**53, 2**63, -(2**63), 2**70, 10**400, 0.5, -0.0),
    *(float("nan"), float("inf"), 1e308, "", " ", "0", "-7", "1e999", "\ud800", "a\0b", "\x1b[2J"),
    *("<a>x</a>", '{"k": 1, "l": 2}', "# h\nx", "data:image/png;base64,iVBORw0KGgo=", "x" * 300),
    *([], {}, [[]], [None], {"": ""}, [{"type": "text", "text": "t"}], "\u202e", "é" * 40),
)
ODD = tuple(map(json.dumps, _ODD))
Flip = Callable[[bytes, int], bytes]


def edited(data: bytes, size: int, seed: int, words: Sequence[str], flip: Flip) -> bytes:
    """Return an input changed in its structure where it is JSON, in its text elsewhere."""
    chance = random.Random(seed)
    if chance.random() < 0.2:
        return flip(data, size)
    try:
        held = json.loads(data)
    except (ValueError, RecursionError):
        return worded(data, size, seed, words, flip)
    for _ in range(chance.randint(1, 4)):
        held = _edited(held, chance, words)
    try:
        made = json.dumps(held).encode()
    except (ValueError, RecursionError):
        return data
    return made if len(made) <= size else data[:size]


def worded(data: bytes, size: int, seed: int, words: Sequence[str], flip: Flip) -> bytes:
    """Return a text with a word put in, a piece doubled, moved or left out, or bytes flipped."""
    chance = random.Random(seed)
    kind = chance.randrange(6)
    if kind == 0 or not words:
        return flip(data, size)
    begin, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    word = chance.choice(words).encode("utf-8", "surrogatepass")
    made = {
        1: data[:begin] + word + data[begin:],
        2: data[:begin] + word + data[end:],
        3: data[:end] + data[begin:end] + data[end:],
        4: data[:begin] + data[end:],
        5: data[:begin] + word * chance.randint(2, 40) + data[begin:],
    }[kind]
    return made[:size]


def _places(held: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each holder inside a value, and each key or index of it."""
    waiting = [held]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from ((one, key) for key in one)
            waiting += one.values()
        elif isinstance(one, list):
            yield from ((one, at) for at in range(len(one)))
            waiting += one


def _odd(chance: random.Random) -> Any:
    return json.loads(ODD[chance.randrange(len(ODD))])  # afresh: it is edited in its turn


def _edited(held: Any, chance: random.Random, words: Sequence[str]) -> Any:
    places = list(_places(held))
    if not places:
        return {chance.choice(words): _odd(chance)}
    holder, key = chance.choice(places)
    other, name = chance.choice(places)
    kind = chance.randrange(7)
    if kind == 0:
        holder[key] = _odd(chance)
    elif kind == 1:
        holder[key] = json.loads(json.dumps(other[name]))
    elif kind == 2:
        holder[key] = chance.choice(words)
    elif kind == 3:
        holder[key] = [holder[key], *(_odd(chance) for _ in range(chance.choice((0, 1, 30))))]
    elif kind == 4:
        del holder[key]
    elif isinstance(holder, dict):
        holder[chance.choice(words)] = holder.pop(key) if kind == 5 else _odd(chance)
    else:
        holder.insert(key, json.loads(json.dumps(other[name])))
    return held
