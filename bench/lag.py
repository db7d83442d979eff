"""Measure how long an event loop stands still when large new text comes to an agent, and what of it we add.

    python bench/lag.py [--rounds N] [--guard] [--json]

Needs the openai SDK. The real async client sends texts that nobody has counted over a mock transport that
answers after a while; calls with and without tokentrace take turns.

``gap``: a ticker wakes every millisecond and notes how late it is; of each call the longest gap counts. The
SDK's own, in which it writes megabytes of JSON, is in both. Other work of the machine is in it, too.
``loop``: CPU of the loop's thread that we add to a call: the loop stands still for so long at most.
``held``: CPU that the counting thread takes between two points at which it lets the loop go on: a loop that
wakes up meanwhile waits for so long. These two are the least of all calls, which no other work makes longer.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import table_of

ANSWER_S = 0.2
TICK_S = 0.001
SIZES = {"1 MB": (1_000_000, 10), "4 MB": (3_990_000, 4)}
HAN = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"

RNG = random.Random(8)
WORDS = ["".join(RNG.choices("etaoinshrdlcumwfgypbvk", k=RNG.randint(2, 9))) for _ in range(4_000)]


def prose() -> str:
    """Return a sentence, now and then with a heading ahead of it."""
    head = f"\n\n## {RNG.choice(WORDS)}\n\n" if RNG.random() < 0.01 else ""
    return (
        head + " ".join(RNG.choices(WORDS, k=12)).capitalize() + (". ", ".\n")[RNG.random() < 0.2]
    )


def code() -> str:
    """Return a function."""
    name, other = RNG.choices(WORDS, k=2)
    rows = [
        f"def {name}(a: dict[str, int]) -> int:",
        f"    if a['{other}'] < {RNG.randrange(999)}:",
        f'        return {{"{other}": "<{name}>"}}["{other}"]',
        f"    # </{name}> and what follows it",
        f"    return {other}(a)  # {name}",
    ]
    return "\n".join(rows) + "\n\n"


def chinese() -> str:
    """Return a clause."""
    return "".join(RNG.choices(HAN, k=18)) + ("，", "。\n")[RNG.random() < 0.1]


def base64_of() -> str:
    """Return base64 without a line end."""
    return base64.b64encode(RNG.randbytes(3_000)).decode()


def letters() -> str:
    """Return what can be cut nowhere."""
    return "a" * 10_000


KINDS = {
    "prose": prose,
    "code": code,
    "Chinese": chinese,
    "base64": base64_of,
    "one letter": letters,
}


def text_of(piece: Callable[[], str], size: int) -> str:
    """Return so many bytes of text."""
    pieces, made = [f"{RNG.random()} "], 0
    while made < size:
        pieces.append(piece())
        made += len(pieces[-1].encode())
    return "".join(pieces)


class Held:
    """Notes how long the counting thread computes before it lets others go on.

    Attributes:
        longest: seconds of its CPU, since it was set to 0.
    """

    def __init__(self) -> None:
        from tokentrace.counting import pace
        from tokentrace.counting.text import ruler
        from tokentrace.instrument.aside import Work

        self.longest = 0.0
        self._since = 0.0
        self._around(Work, "run", inside=True)
        self._around(ruler("o200k_base"), "_encode")
        pace.time = SimpleNamespace(perf_counter=time.perf_counter, sleep=time.sleep)
        self._around(pace.time, "sleep")

    def _around(self, owner: Any, name: str, *, inside: bool = False) -> None:
        real = getattr(owner, name)

        def watched(*args: Any) -> Any:
            ours = threading.current_thread() is not threading.main_thread()
            self._begin() if inside else self._end(ours=ours)
            result = real(*args)
            self._end(ours=ours) if inside else self._begin()
            return result

        setattr(owner, name, watched)

    def _begin(self) -> None:
        self._since = time.thread_time()

    def _end(self, *, ours: bool) -> None:
        if ours:
            self.longest = max(self.longest, time.thread_time() - self._since)


async def gap(work: Callable[[], Any], idle: Callable[[], bool]) -> float:
    """Return by how many milliseconds a ticker was late at most, while ``work()`` runs and until ``idle()``."""
    late: list[float] = []
    over = asyncio.Event()

    async def tick() -> None:
        while not over.is_set():
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            late.append(time.perf_counter() - before - TICK_S)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    late.clear()
    await work()
    while not idle():  # noqa: ASYNC110 - a thread's, which tells no loop
        await asyncio.sleep(TICK_S)
    over.set()
    await ticker
    return 1e3 * max(late)


async def spent(work: Callable[[], Any]) -> float:
    """Return the milliseconds of CPU that ``work()`` takes on the loop's thread."""
    began = time.thread_time()
    await work()
    return 1e3 * (time.thread_time() - began)


async def row(
    client: Any, held: Held, piece: Callable[[], str], size: int, rounds: int
) -> dict[str, float]:
    """Return the figures of calls with new texts of one size and kind."""
    from tokentrace.instrument import state
    from tokentrace.instrument.aside import BENCH

    settings = state.settings

    async def call(*, traced: bool) -> tuple[float, float, float]:
        state.settings = settings if traced else None

        def work() -> Callable[[], Any]:
            messages = [{"role": "user", "content": text_of(piece, size)}]
            return partial(client.chat.completions.create, model="gpt-4.1", messages=messages)

        held.longest = 0.0
        cpu = await spent(work())
        late = await gap(work(), lambda: BENCH.idle)
        return late, cpu, 1e3 * held.longest

    pairs = [(await call(traced=False), await call(traced=True)) for _ in range(rounds)]
    state.settings = settings
    bare, ours = ([pair[side] for pair in pairs] for side in (0, 1))
    return {
        "loop_added_ms": round(min(one[1] for one in ours) - min(one[1] for one in bare), 2),
        "held_ms": round(min(one[2] for one in ours), 2),
        "gap_bare_ms": round(statistics.median(late for late, *_ in bare), 2),
        "gap_with_ms": round(statistics.median(late for late, *_ in ours), 2),
        "gap_bare_max_ms": round(max(late for late, *_ in bare), 2),
        "gap_with_max_ms": round(max(late for late, *_ in ours), 2),
    }


async def rows(rounds: int, *, guard: bool) -> dict[str, dict[str, float]]:
    """Return all rows."""
    import openai

    import tokentrace
    from tokentrace import testing
    from tokentrace.testing import wire

    httpx = wire.http_library("openai")
    reply = testing.openai_chat("ok", prompt_tokens=10).body

    async def answer(_request: Any) -> Any:
        await asyncio.sleep(ANSWER_S)
        return httpx.Response(200, json=reply)

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = openai.AsyncOpenAI(api_key="bench", http_client=http)
    tokentrace.instrument(exporter="local", guard=None if guard else False)
    tokentrace.count("warm", model="gpt-4.1")
    held = Held()
    await row(client, held, prose, 100_000, 3)
    table = {
        f"{size} of {kind}": await row(client, held, piece, number, times * rounds)
        for size, (number, times) in SIZES.items()
        for kind, piece in KINDS.items()
    }
    tokentrace.uninstrument()
    return table


def measure(rounds: int = 1, *, guard: bool = False) -> dict[str, dict[str, float]]:
    """Return what a loop waits for at most, by size and kind of the new text.

    Args:
        rounds: ten calls with 1 MB and four with 4 MB of each kind are one.
        guard: with a guard, to whose verdict the count matters: the call awaits it.
    """
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENTRACE_DIR"] = folder
        return asyncio.run(rows(rounds, guard=guard))


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description="How long an event loop stands still.")
    parser.add_argument("--rounds", type=int, default=1, help="times that all is done (1)")
    parser.add_argument("--guard", action="store_true", help="with the default guard")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    table = measure(options.rounds, guard=options.guard)
    table_of.show(table, as_json=options.json, cell="8.2f")


if __name__ == "__main__":
    main()
