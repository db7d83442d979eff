"""Measure how long an event loop stands still when large new text comes to an agent, and what of it we add.

    python bench/lag.py [--rounds N] [--guard] [--json]

Needs the openai SDK. The real async client sends texts that nobody has counted over a mock transport that
answers after a while; calls with and without tokentrace take turns.

``loop``: CPU that we take on the loop's thread in one go, before the call leaves or after its answer:
the loop stands still for so long. ``held``: CPU that the counting thread takes between two points at which
it lets the loop go on: a loop that wakes up meanwhile waits for so long. ``added`` is the longer of the two,
of each call. CPU, since a machine that halts the process would count as our doing otherwise.
``gap``: a ticker wakes every millisecond and notes how late it is; of each call the longest gap counts. The
SDK's own, in which it writes megabytes of JSON, is in it, and other work of the machine.
The garbage collector is held back: how long it takes is a matter of what the host keeps.
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
from interleaved import without_collector

ANSWER_S = 0.2
TICK_S = 0.001
SIZES = {"20 kB": (20_000, 10), "1 MB": (1_000_000, 10), "4 MB": (3_990_000, 4)}
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


class Stretches:
    """Notes what CPU we take without a break: on the loop's thread, and on the one that counts.

    Attributes:
        loop: seconds of the longest one on the loop's thread, since it was set to 0.
        held: the same of the counting thread.
    """

    def __init__(self) -> None:
        from tokentrace import names
        from tokentrace.counting import pace
        from tokentrace.counting.text import ruler
        from tokentrace.instrument import calls
        from tokentrace.instrument.aside import Work

        self.loop = self.held = 0.0
        self._since = 0.0
        for owner, name in ((calls, "live"), (calls.Call, "end")):
            setattr(owner, name, self._on_the_loop(getattr(owner, name)))
        self._around(Work, "run", inside=True)
        self._around(ruler("o200k_base"), "_encode")
        self._around(names, "digest")  # its hash runs beside others, as an encoder does
        pace.time = SimpleNamespace(perf_counter=time.perf_counter, sleep=time.sleep)
        self._around(pace.time, "sleep")

    def _on_the_loop(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any) -> Any:
            began = time.thread_time()
            try:
                return real(*args)
            finally:
                if not _aside():
                    self.loop = max(self.loop, time.thread_time() - began)

        return watched

    def _around(self, owner: Any, name: str, *, inside: bool = False) -> None:
        real = getattr(owner, name)

        def watched(*args: Any) -> Any:
            self._begin() if inside else self._end()
            result = real(*args)
            self._end() if inside else self._begin()
            return result

        setattr(owner, name, watched)

    def _begin(self) -> None:
        if _aside():
            self._since = time.thread_time()

    def _end(self) -> None:
        if _aside():
            self.held = max(self.held, time.thread_time() - self._since)


def _aside() -> bool:
    return threading.current_thread() is not threading.main_thread()


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


async def row(
    client: Any, ours: Stretches, piece: Callable[[], str], size: int, rounds: int
) -> dict[str, float]:
    """Return the figures of calls with new texts of one size and kind."""
    from tokentrace.instrument import state
    from tokentrace.instrument.aside import BENCH

    settings = state.settings

    async def call(*, traced: bool) -> tuple[float, float, float]:
        state.settings = settings if traced else None
        messages = [{"role": "user", "content": text_of(piece, size)}]
        work = partial(client.chat.completions.create, model="gpt-4.1", messages=messages)
        ours.loop = ours.held = 0.0
        with without_collector():
            late = await gap(work, lambda: BENCH.idle)
        return late, 1e3 * ours.loop, 1e3 * ours.held

    pairs = [(await call(traced=False), await call(traced=True)) for _ in range(rounds)]
    state.settings = settings
    bare, late = ([pair[side][0] for pair in pairs] for side in (0, 1))
    loop, held = ([pair[1][place] for pair in pairs] for place in (1, 2))
    added = [*map(max, loop, held)]
    return {
        "added_ms": round(statistics.median(added), 2),
        "added_least_ms": round(min(added), 2),
        "added_max_ms": round(max(added), 2),
        "loop_ms": round(statistics.median(loop), 2),
        "held_ms": round(statistics.median(held), 2),
        "gap_bare_ms": round(statistics.median(bare), 2),
        "gap_with_ms": round(statistics.median(late), 2),
        "gap_bare_max_ms": round(max(bare), 2),
        "gap_with_max_ms": round(max(late), 2),
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
    ours = Stretches()
    await row(client, ours, prose, 100_000, 3)
    table = {
        f"{size} of {kind}": await row(client, ours, piece, number, times * rounds)
        for size, (number, times) in SIZES.items()
        for kind, piece in KINDS.items()
    }
    tokentrace.uninstrument()
    return table


def measure(rounds: int = 1, *, guard: bool = False) -> dict[str, dict[str, float]]:
    """Return what a loop waits for at most, by size and kind of the new text.

    Args:
        rounds: ten calls with 20 kB and 1 MB and four with 4 MB of each kind are one.
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
