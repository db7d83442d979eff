"""Measure what tokentrace costs: CPU a call, recounting, import. Medians of one run.

    python bench/cost.py [--rounds N] [--json]

Needs the openai SDK. A call goes through the real SDK over a mock transport; calls with and without
tokentrace take turns in one process, so that a noisy machine disturbs both alike. ``thread`` is the
CPU time of the calling thread, which is what a caller waits for; ``process`` holds the thread that
writes the trace, too.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import starting
import table_of
from interleaved import median, spent, take_turns
from stubbed import messages


def call_cost(number: int, rounds: int, *, cached: bool = False) -> dict[str, float]:
    """Return milliseconds a call without tokentrace, and what it adds.

    With ``cached`` the provider reports that it read most of the prompt from its cache, so that this is
    shared out among the components, and the prompt compared with the last.
    """
    import openai

    import tokentrace
    from tokentrace import testing
    from tokentrace.instrument import state

    talk: Any = messages(number)
    size = tokentrace.count({"model": "gpt-4.1", "messages": talk}, api="openai.chat").total
    details = {"prompt_tokens_details": {"cached_tokens": size * 9 // 10}} if cached else {}
    usage = {"prompt_tokens": size, "completion_tokens": 5, "total_tokens": size + 5, **details}
    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=size, usage=usage))
    client = openai.OpenAI(api_key="bench", http_client=wire.client("openai"))
    tokentrace.instrument(exporter="local")
    settings = state.settings

    def call(way: Any) -> tuple[float, float]:
        state.settings = way
        wire.requests.clear()
        return spent(lambda: client.chat.completions.create(model="gpt-4.1", messages=talk))

    ways = {"bare": partial(call, None), "traced": partial(call, settings)}
    found = take_turns(ways, rounds, warm=5)
    state.settings = settings
    tokentrace.uninstrument()
    pairs = list(zip(found["bare"], found["traced"], strict=True))
    return {
        "bare_ms": median(bare[0] for bare, _ in pairs),
        "added_thread_ms": median(ours[0] - bare[0] for bare, ours in pairs),
        "added_process_ms": median(ours[1] - bare[1] for bare, ours in pairs),
    }


def recount_cost(number: int, rounds: int) -> dict[str, float]:
    """Return milliseconds to count a conversation first, again, and with two new messages."""
    import tokentrace
    from tokentrace.counting.store import STORE

    body = {"model": "gpt-4.1", "messages": messages(number)}
    longer = {"model": "gpt-4.1", "messages": messages(number + 2)}

    def count(request: dict[str, Any]) -> float:
        return spent(lambda: tokentrace.count(request, api="openai.chat"))[0]

    rows = []
    for _ in range(rounds):
        STORE.clear()
        rows.append((count(body), count(copy.deepcopy(body)), count(copy.deepcopy(longer))))
    first, again, grown = map(median, zip(*rows, strict=True))
    return {"first_ms": first, "again_ms": again, "two_more_ms": grown}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return all rows."""
    import tokentrace

    tokentrace.count("warm", model="gpt-4.1")
    table = {f"call, {n} messages": call_cost(n, rounds) for n in (10, 100, 1000)}
    table |= {f"call, {n}, cached": call_cost(n, rounds, cached=True) for n in (10, 100, 1000)}
    table |= {f"recount, {n} messages": recount_cost(n, rounds) for n in (100, 1000)}
    return table | {"import tokentrace": starting.import_cost(rounds)}


if __name__ == "__main__":
    table_of.command("What tokentrace costs.", measure)
