"""What was made of a whole request, for the next one that is the same: its prompt and its count.

A request is the same where its messages are those that were kept, compared as a whole, and all else in
it is the same JSON. Then nothing is read, summed or judged again. It lies with the snapshot of the
messages, in the one store, and is forgotten with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokentrace.counting import memory, waste
from tokentrace.counting.memory import Snapshot, Walker
from tokentrace.counting.rules.openai_appendix import fingerprint, written
from tokentrace.counting.store import STORE
from tokentrace.counting.text import Ruler
from tokentrace.prompt import Count, Limit, Part, Prompt

# Bytes that stay with a message that was counted, and with a request; measured as for the store.
LEFT_BYTES, REQUEST_BYTES = 900, 4_000
MOST = 4  # requests with the same messages: other tools, another model
LISTS = ("messages", "contents", "input")

Setting = tuple[Any, ...]
Definitions = tuple[tuple[Part, ...], Part | None]

NOTHING: Definitions = (), None


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request that was asked for.

    Attributes:
        raw: its list of messages.
        key: all else that its count follows from, see `asked`.
    """

    raw: list[Any]
    key: Setting


@dataclass(slots=True, eq=False)
class Made:
    """What was made of it.

    Attributes:
        key: see `Asked`.
        prompt: as read and counted; it holds nothing of the caller's but texts.
        told: the limit that it was given last, and its count with that limit.
        ruler: that measured its texts.
        current: gives the one that would measure them now: a file may have been loaded since.
    """

    key: Setting
    prompt: Prompt
    told: tuple[Limit, Count]
    ruler: Ruler
    current: Callable[[], Ruler]


def asked(body: Mapping[str, Any], *setting: Any) -> Asked | None:
    """Return what a request is known again by; None where that cannot be told.

    Args:
        body: the request's.
        setting: what else its count follows from.
    """
    for name in LISTS:
        raw = body.get(name)
        if type(raw) is list and raw:
            rest = dict(body)
            del rest[name]
            told = written(rest)
            return None if told is None else Asked(raw, (name, told, *setting))
    return None


def find(walker: Walker, sought: Asked) -> Made | None:
    """Return what was made of the same request before, as far as its walker knows."""
    kept = walker.last(sought.raw)
    if kept is None or not kept.made or kept.wire is None:
        return None
    key = sought.key
    for made in kept.made:
        if made.key == key and memory.alike(sought.raw, kept.wire):
            return made if made.current() is made.ruler else None
    return None


def keep(walker: Walker, new: Made, raw: list[Any]) -> None:
    """Keep what was made of a request.

    Args:
        walker: that has walked its messages.
        new: what was made of it; its prompt is one that stands `apart`.
        raw: its list of messages.
    """
    snapshot = walker.snapshot
    if snapshot is not None and _lies(walker, snapshot, raw):
        snapshot.made = [new, *snapshot.made[: MOST - 1]]


def _lies(walker: Walker, snapshot: Snapshot, raw: list[Any]) -> bool:
    """Whether the last messages of a snapshot are a request's list; which they are is noted there."""
    if snapshot.wire is None:
        ahead = len(walker.raw) - len(raw)
        if ahead == 0 and walker.raw is raw:
            snapshot.wire = snapshot.raw
        elif ahead >= 0 and walker.raw[ahead:] == raw:
            snapshot.wire = snapshot.raw[ahead:]
    return snapshot.wire is not None and len(snapshot.wire) == len(raw)


def apart(prompt: Prompt) -> Prompt | None:
    """Return a prompt whose definitions and settings are copies, None where they are no JSON."""
    settings = prompt.settings
    if any(type(value) is list for value in settings.values()):
        settings = memory.copy(dict(settings))
    if not prompt.tools and prompt.schema is None:
        return prompt if settings is prompt.settings else replace(prompt, settings=settings)
    asked_for = fingerprint(prompt)
    if asked_for is None:
        return None
    key = ("definitions", prompt.api, asked_for)
    known: Definitions | None = STORE.get(key)
    if known is None:
        known = _copied(prompt)
        STORE.put(key, known, 8 * len(asked_for))
    tools, schema = known
    if (tools, schema) == NOTHING:
        return None
    return replace(prompt, tools=tools, schema=schema, settings=settings)


def _copied(prompt: Prompt) -> Definitions:
    """Return copies of the definitions; nothing where an object among them has none that equals it."""
    parts = (*prompt.tools, *(() if prompt.schema is None else (prompt.schema,)))
    copies = tuple([replace(part, data=memory.copy(part.data)) for part in parts])
    if any(one.data != part.data for one, part in zip(copies, parts, strict=True)):
        return NOTHING
    return (copies, None) if prompt.schema is None else (copies[:-1], copies[-1])


def left(snapshot: Snapshot | None) -> int:
    """Return the bytes that counting has left with a snapshot's messages, about."""
    if snapshot is None:
        return 0
    requests = sum(REQUEST_BYTES + len(one.key[1]) for one in snapshot.made)
    return LEFT_BYTES * len(snapshot.messages) + requests + waste.weight(snapshot.kept)
