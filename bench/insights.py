"""Measure what cache, cost, waste and forecast add to a call. Medians of one run.

    python bench/insights.py [--rounds N] [--json]

Needs the openai SDK and genai-prices. Every call goes through the real SDK over a mock transport, in a
session, and reports cached tokens; those of an event loop are the async client's. Calls without tokentrace, with it but without these parts (their four
entry points are replaced), and with all of it take turns in one process. CPU of the calling thread:

``bare`` is the call without tokentrace, ``less`` with tokentrace less these parts, ``all`` with all of it, in
milliseconds; ``ratio`` is ``all`` over ``less``, ``ours`` the same of what tokentrace adds to the bare
call. The others are milliseconds inside the entry point of each part, in calls of their own.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import table_of
from interleaved import median, spent, take_turns
from stubbed import WORDS, messages

SIZES = (10, 100, 1_000)
PARTS: dict[str, tuple[str, Callable[..., Any] | None]] = {
    "cache": ("tokentrace.instrument.caching.told", lambda *_: {}),
    "cost": ("tokentrace.instrument.records._costs", lambda *_: {}),
    "waste": ("tokentrace.counting.waste.look", None),
    "forecast": ("tokentrace.lineage.line.ahead", lambda *_: None),
}


@contextmanager
def without() -> Iterator[None]:
    """Replace the entry points of all parts by ones that do nothing."""
    from tokentrace.counting.waste import UNSEEN

    with ExitStack() as stack:
        for place, nothing in PARTS.values():
            stack.enter_context(mock.patch(place, nothing or (lambda *_: UNSEEN)))
        yield


@contextmanager
def timed(spent: dict[str, list[float]]) -> Iterator[None]:
    """Add what each part's entry point takes, in milliseconds, to the last of its figures."""

    def around(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            started = time.thread_time()
            try:
                return work(*args)
            finally:
                spent[name][-1] += 1e3 * (time.thread_time() - started)

        return wrapper

    with ExitStack() as stack:
        for name, (place, _) in PARTS.items():
            module, _, attribute = place.rpartition(".")
            work = getattr(importlib.import_module(module), attribute)
            stack.enter_context(mock.patch(place, around(name, work)))
        yield


class Talk:
    """A client and one conversation for each way to call, so that none finds another's texts counted.

    Args:
        number: messages of the conversation.
        fresh: how many of them, at the end, are new in each call.
        loop: the event loop that the calls are made in; None for the plain client.
    """

    def __init__(self, number: int, fresh: int, loop: Any = None) -> None:
        import openai

        from tokentrace import testing

        size = 220 * number
        usage = {
            "prompt_tokens": size,
            "completion_tokens": 5,
            "total_tokens": size + 5,
            "prompt_tokens_details": {"cached_tokens": size - 220 * (fresh + 1)},
        }
        self._wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=size, usage=usage))
        made = openai.OpenAI if loop is None else openai.AsyncOpenAI
        transport = self._wire.client("openai", asynchronous=loop is not None)
        create = made(api_key="bench", http_client=transport).chat.completions.create
        self._create = (
            create if loop is None else lambda **body: loop.run_until_complete(create(**body))
        )
        self._number, self._fresh = number, fresh
        self._calls = 0

    def call(self, way: str, inside: dict[str, list[float]] | None = None) -> float:
        """Return milliseconds of one call; what the parts of it take goes into ``inside``."""
        import tokentrace
        from tokentrace.instrument import state

        self._calls += 1
        old, new = self._bodies(way)
        create = self._create
        settings = state.settings
        with ExitStack() as stack:
            if way == "less":
                stack.enter_context(without())
            if way == "bare":
                state.settings = None
            else:
                stack.enter_context(tokentrace.session(f"{way} {self._number} {self._fresh}"))
            if self._fresh:
                create(model="gpt-4.1", messages=old)
            self._wire.requests.clear()
            if inside is not None:
                for figures in inside.values():
                    figures.append(0.0)
                stack.enter_context(timed(inside))
            took, _ = spent(lambda: create(model="gpt-4.1", messages=new))
        state.settings = settings
        return took

    def _bodies(self, way: str) -> tuple[Any, Any]:
        """Return the conversation without its new messages, which is sent untimed, and with them."""
        system, *talk = messages(self._number - self._fresh)
        talk[0] = {"role": "user", "content": f"A conversation of {way}. {WORDS}"}
        new = [
            {"role": role, "content": f"{way} {self._calls}: {WORDS * 11}"}
            for role in ("assistant", "user")[: self._fresh]
        ]
        return [system, *talk], [system, *talk, *new]


def added(number: int, fresh: int, rounds: int, loop: Any = None) -> dict[str, float]:
    """Return milliseconds a call, the ratios, and what each part takes."""
    import tokentrace

    tokentrace.instrument(exporter="local")
    talk = Talk(number, fresh, loop)
    ways = ("bare", "less", "all")
    found = take_turns({way: partial(talk.call, way) for way in ways}, rounds, warm=6)
    inside: dict[str, list[float]] = {name: [] for name in PARTS}
    for _ in range(rounds):
        talk.call("all", inside)
    tokentrace.uninstrument()
    bare, less, whole = (median(found[way]) for way in ways)
    ours = [
        median(one - before for one, before in zip(found[way], found["bare"], strict=True))
        for way in ("less", "all")
    ]
    parts = {name: median(figures) for name, figures in inside.items()}
    return {
        "bare": bare,
        "less": less,
        "all": whole,
        "ratio": round(whole / less, 3),
        "ours": round(ours[1] / ours[0], 3),
        **parts,
    }


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return all rows."""
    import tokentrace
    from tokentrace.providers import prices

    tokentrace.count("warm", model="gpt-4.1")
    if not prices.load():
        raise SystemExit("genai-prices is not installed: pip install 'tokentrace[cost]'")
    rows = {
        f"{number} messages, {fresh or 'nothing'} new": added(number, fresh, rounds)
        for number in SIZES
        for fresh in (0, 2)
    }
    with closing(asyncio.new_event_loop()) as loop:
        return rows | {
            f"{number} messages, nothing new, in an event loop": added(number, 0, rounds, loop)
            for number in SIZES
        }


if __name__ == "__main__":
    table_of.command("What cache, cost, waste and forecast cost.", measure)
