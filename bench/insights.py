"""Measure what cache, cost, waste and forecast add to a call. Medians of one run.

    python bench/insights.py [--rounds N] [--json]

Needs the openai SDK and genai-prices. Every call goes through the real SDK over a mock transport, in a
session, and reports cached tokens. Calls without tokentrace, with it but without these parts (their four
entry points are replaced), and with all of it take turns in one process. CPU of the calling thread:

``bare`` the call without tokentrace, ``before`` with tokentrace less these parts, ``all`` with them;
``parts`` what they add; ``of_call`` that as a share of ``before``, ``of_ours`` as a share of what
tokentrace adds to a call without them. A part's own row is the time inside its entry point.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import cost
import table_of

SIZES = (10, 100, 1_000)
PARTS = {
    "cache": ("tokentrace.instrument.caching.told", lambda record, *_: record),
    "cost": ("tokentrace.instrument.records.priced", lambda record: record),
    "waste": ("tokentrace.counting.waste.look", None),
    "forecast": ("tokentrace.lineage.ahead", lambda *_: None),
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
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up the seconds inside each part's entry point."""

    def around(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            started = time.thread_time()
            try:
                return work(*args)
            finally:
                spent[name] = spent.get(name, 0.0) + time.thread_time() - started

        return wrapper

    with ExitStack() as stack:
        for name, (place, _) in PARTS.items():
            module, _, attribute = place.rpartition(".")
            found = getattr(__import__(module, fromlist=["x"]), attribute)
            stack.enter_context(mock.patch(place, around(name, found)))
        yield


class Talk:
    """A client, its conversation, and how a call of it is made with more or less of tokentrace.

    Args:
        number: messages of the conversation.
        fresh: how many of them are new in each call.
    """

    def __init__(self, number: int, fresh: int) -> None:
        import openai

        from tokentrace import testing

        size = 220 * number
        usage = {
            "prompt_tokens": size,
            "completion_tokens": 5,
            "total_tokens": size + 5,
            "prompt_tokens_details": {"cached_tokens": 200 * number},
        }
        self._wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=size, usage=usage))
        self._client = openai.OpenAI(api_key="bench", http_client=self._wire.client("openai"))
        self._talk = cost.messages(number - fresh)
        self._fresh, self._calls = fresh, 0

    def _body(self, way: str) -> list[dict[str, Any]]:
        """Return the conversation of one way to call: each has its own, so that none reads another's."""
        self._calls += 1
        first, *talk = self._talk
        new = [
            {"role": role, "content": f"{way} {self._calls}: {cost.WORDS * 11}"}
            for role in ("user", "assistant", "user")[-self._fresh :]
        ]
        own = {"role": "user", "content": f"This is {way}'s conversation."}
        return [first, own, *talk[1:], *(new if self._fresh else ())]

    def call(self, way: str) -> float:
        """Return milliseconds of one call."""
        import tokentrace
        from tokentrace.instrument import state

        settings = state.settings
        talk: Any = self._body(way)
        before: Any = talk[: len(talk) - self._fresh]
        create = self._client.chat.completions.create
        with ExitStack() as stack:
            if way == "before":
                stack.enter_context(without())
            if way == "bare":
                state.settings = None
            else:
                stack.enter_context(tokentrace.session(f"{way} {len(talk)} {self._fresh}"))
            if self._fresh:
                create(model="gpt-4.1", messages=before)
            self._wire.requests.clear()
            took, _ = cost.spent(lambda: create(model="gpt-4.1", messages=talk))
        state.settings = settings
        return took


def added(number: int, fresh: int, rounds: int) -> dict[str, float]:
    """Return milliseconds a call, what the parts add, and their shares."""
    import tokentrace

    tokentrace.instrument(exporter="local")
    talk = Talk(number, fresh)
    for _ in range(6):
        for way in ("bare", "before", "all"):
            talk.call(way)
    rows = [[talk.call(way) for way in ("bare", "before", "all")] for _ in range(rounds)]
    inside: dict[str, float] = {}
    with timed(inside):
        for _ in range(rounds):
            talk.call("all")
    tokentrace.uninstrument()
    bare = cost.median(row[0] for row in rows)
    before = cost.median(row[1] for row in rows)
    more = cost.median(row[2] - row[1] for row in rows)
    ours = cost.median(row[1] - row[0] for row in rows)
    calls = rounds * (2 if fresh else 1)
    return {
        "bare": bare,
        "before": before,
        "all": cost.median(row[2] for row in rows),
        "parts": more,
        "of_call": round(more / before, 3),
        "of_ours": round(more / ours, 3),
        **{name: round(1e3 * seconds / calls, 3) for name, seconds in inside.items()},
    }


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description="What cache, cost, waste and forecast cost.")
    parser.add_argument("--rounds", type=int, default=41, help="measurements a row (41)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENTRACE_DIR"] = folder
        import tokentrace
        from tokentrace.providers import prices

        tokentrace.count("warm", model="gpt-4.1")
        if not prices.load():
            raise SystemExit("genai-prices is not installed: pip install 'tokentrace[cost]'")
        table = {
            f"{number} messages, {fresh or 'nothing'} new": added(number, fresh, options.rounds)
            for number in SIZES
            for fresh in (0, 2)
        }
    table_of.show(table, as_json=options.json, cell="8.3f")


if __name__ == "__main__":
    main()
