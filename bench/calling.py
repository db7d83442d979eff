"""Measure what a call costs with an instrumentation, over a call without: CPU, minima of one process.

    python bench/part.py calling ROUNDS [WAY…]

The transport and the SDK's transform are stubbed (see stubbed.py). Without names of ways it is the rows
that have goals: tokentrace beside the official instrumentation with content off, in one process; with
names, one table of each way at all sizes. `thread` is the calling thread, which is what a caller waits
for; `process` holds the thread of the batch too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from instrumentations import BY_NAME, Telemetry
from interleaved import least, spent, take_turns, without_collector
from stubbed import PER_MESSAGE, WORDS, Places, Stub, messages

SIZES = (10, 100, 1_000, 5_000)
CALLS = 12  # of which the least is a figure
COLLECTED = 500  # calls whose metrics are collected at once
WARM = 2  # calls before, after a way has been put in place
OURS, OFFICIAL, FLOOR = (
    "tokentrace",
    "official, content off",
    "one span and two histograms, by hand",
)
TALKS = count()
Figures = dict[str, float]
Tokens = Callable[[list[dict[str, Any]]], int]


class Talk:
    """A conversation that is sent again and again, with or without two new messages.

    Args:
        stub: the client.
        number: messages of a call.
        new: how many of them, at the end, are new in each timed call.
        tokens: what the provider reports for messages.
    """

    def __init__(self, stub: Stub, number: int, new: int, tokens: Tokens) -> None:
        self._stub, self._new, self._tokens = stub, new, tokens
        self._old = messages(number - new)
        self._size = tokens(self._old)
        self._own = next(TALKS)
        self._calls = 0

    def again(self) -> None:
        """Call with nothing new."""
        self._stub.call(self._old, self._size)

    def longer(self) -> Callable[[], None]:
        """Return a call that has new messages, where it is to have any, ready to be timed.

        A call without them is made before: the new ones are then all that is new. Whoever remembers
        texts would know those of another conversation.
        """
        if not self._new:
            return self.again
        self._calls += 1
        new = self.new(self._calls)
        size = self._size + self._tokens(new) - self._tokens([])
        self.again()
        return partial(self._stub.call, [*self._old, *new], size)

    def new(self, number: int) -> list[dict[str, Any]]:
        """Return the new messages of a call; no other call or conversation has their texts."""
        return [
            {"role": role, "content": f"{self._own}.{number} {role}: " + WORDS * 11}
            for role in ("assistant", "user")[: self._new]
        ]

    def figure(self) -> tuple[float, float]:
        """Return milliseconds of the least of some calls, of the thread and of the process."""
        for _ in range(WARM):
            self.again()
        with without_collector():
            figures = [spent(self.longer()) for _ in range(CALLS)]
        thread, process = map(min, zip(*figures, strict=True))
        return thread, process


def begun(
    names: tuple[str, ...], stub: Stub, telemetry: Telemetry
) -> tuple[Places, dict[str, list[Any]]]:
    """Begin each way, and return what each put in the SDK's places; without any it is ``bare``.

    Raises:
        SystemExit: a way does not end one span a call, so that its figures would be of nothing.
    """
    places = Places()
    bare = places.kept()
    standing = {"bare": bare}
    for name in names:
        BY_NAME[name].start(telemetry)
        standing[name] = places.kept()
        if all(now is before for now, before in zip(standing[name], bare, strict=True)):
            raise SystemExit(f"{name} wraps the SDK at no place that is known here")
        talk = Talk(stub, 3, 0, reported(name))
        if spans(telemetry, talk.again) != 1:
            raise SystemExit(f"{name} does not end one span a call here")
        places.put(bare)
    return places, standing


def spans(telemetry: Telemetry, work: Callable[[], Any]) -> int:
    """Return how many spans ended during ``work``."""
    telemetry.arrived.clear()
    work()
    telemetry.tracers.force_flush()
    return len(telemetry.arrived)


def costs(
    places: Places, standing: dict[str, list[Any]], talk: Talk, rounds: int
) -> dict[str, Figures]:
    """Return milliseconds of a bare call, and what each way adds to it."""

    def way(kept: list[Any]) -> tuple[float, float]:
        with places.standing(kept):
            return talk.figure()

    found = take_turns({name: partial(way, kept) for name, kept in standing.items()}, rounds, 1)
    thread, process = (
        {name: least(pair[kind] for pair in pairs) for name, pairs in found.items()}
        for kind in (0, 1)
    )
    return {
        name: {
            "thread_ms": round(thread[name] - thread["bare"], 4),
            "process_ms": round(process[name] - process["bare"], 4),
            "bare_ms": thread["bare"],
        }
        for name in standing
        if name != "bare"
    }


def counted(talk: list[dict[str, Any]]) -> int:
    """Return the tokens that OpenAI reports: of each text, three a message and role, and three."""
    from tokentrace.counting import vocab

    encode = vocab.load("o200k_base").encode
    return 3 + sum(3 + len(encode(m["role"])) + len(encode(m["content"])) for m in talk)


def guessed(talk: list[dict[str, Any]]) -> int:
    """Return about as many, for those that do not count."""
    return PER_MESSAGE * len(talk)


def reported(name: str) -> Tokens:
    """Return how to know what the provider reports beside a way: exactly, where it is ours."""
    return counted if BY_NAME[name].where == "ours" else guessed


def beside_official(rounds: int) -> dict[str, Figures]:
    """Return the rows that have goals, and those with the caller's own dicts."""
    stub = Stub()
    places, standing = begun((OURS, OFFICIAL, FLOOR), stub, Telemetry())
    rows: dict[str, Figures] = {}
    for new, sizes, fresh in ((0, SIZES, True), (2, SIZES[:3], True), (0, SIZES[2:], False)):
        stub.fresh = fresh
        for number in sizes:
            name = f"call, {number} messages, {new or 'nothing'} new"
            talk = Talk(stub, number, new, counted)
            row = against(costs(places, standing, talk, rounds))
            rows[name if fresh else f"{name}, the caller's dicts"] = row
    return rows


def against(found: dict[str, Figures]) -> Figures:
    """Return one row of ours, the official's and the floor, with the ratios."""
    ours, official = found[OURS], found[OFFICIAL]
    return {
        "bare_ms": ours["bare_ms"],
        "ours_ms": ours["thread_ms"],
        "official_ms": official["thread_ms"],
        "floor_ms": found[FLOOR]["thread_ms"],
        "ours_process_ms": ours["process_ms"],
        "official_process_ms": official["process_ms"],
        "ratio": round(ours["thread_ms"] / official["thread_ms"], 3),
        "process_ratio": round(ours["process_ms"] / official["process_ms"], 3),
    }


def alone(names: tuple[str, ...], rounds: int) -> dict[str, Figures]:
    """Return what each way adds at every size."""
    stub, telemetry = Stub(), Telemetry()
    places, standing = begun(names, stub, telemetry)
    rows: dict[str, Figures] = {name: {} for name in names}
    for name in names:
        talk = Talk(stub, SIZES[0], 0, reported(name))
        with places.standing(standing[name]):
            rows[name]["later"] = later(telemetry, talk, rounds)
    for number in SIZES:
        talk = Talk(stub, number, 0, reported(names[0]))
        found = costs(places, standing, talk, rounds)
        for name in names:
            rows[name][str(number)] = found[name]["thread_ms"]
    return {f"a call with {name}": row for name, row in rows.items()}


def later(telemetry: Telemetry, talk: Talk, rounds: int) -> float:
    """Return the milliseconds that collecting metrics takes for each call made since the time before."""
    collect = telemetry.reader.collect
    collect()
    figures = []
    for _ in range(rounds):
        for _ in range(COLLECTED):
            talk.again()
        with without_collector():
            held, empty = (spent(collect)[0] for _ in range(2))
        figures.append((held - empty) / COLLECTED)
    return round(max(0.0, min(figures)), 4)


def measure(rounds: int, *names: str) -> dict[str, Figures]:
    """Return all rows."""
    return alone(names, rounds) if names else beside_official(rounds)
