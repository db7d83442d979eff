"""Measure what tokentrace costs: CPU a call, recounting, import. Medians of one run.

    python bench/cost.py [--rounds N] [--json]

Needs the openai SDK. A call goes through the real SDK over a mock transport; calls with and without
tokentrace take turns in one process, so that a noisy machine disturbs both alike. ``thread`` is the
CPU time of the calling thread, which is what a caller waits for; ``process`` holds the thread that
writes the trace, too.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import table_of

WORDS = "the pod restarts because its memory limit is lower than what the cache needs at start "


def messages(number: int) -> list[dict[str, Any]]:
    """Return a conversation of about 220 tokens a message."""
    talk: list[dict[str, Any]] = [{"role": "system", "content": "You are a careful SRE. " + WORDS}]
    for index in range(number - 1):
        role = ("user", "assistant")[index % 2]
        talk.append({"role": role, "content": f"{index}: " + WORDS * 11})
    return talk


def spent(work: Callable[[], Any]) -> tuple[float, float]:
    """Return milliseconds of CPU of this thread and of the process that ``work`` takes."""
    thread, process = time.thread_time(), time.process_time()
    work()
    return 1e3 * (time.thread_time() - thread), 1e3 * (time.process_time() - process)


def median(values: Any) -> float:
    """Return the median, to the microsecond."""
    return round(statistics.median(values), 3)


def call_cost(number: int, rounds: int, *, cached: bool = False) -> dict[str, float]:
    """Return milliseconds a call without tokentrace, and what it adds.

    With ``cached`` the provider reports that it read most of the prompt from its cache, so that this is
    shared out among the components, and the prompt compared with the last.
    """
    import openai

    import tokentrace
    from tokentrace import testing
    from tokentrace.instrument import state

    details = {"prompt_tokens_details": {"cached_tokens": 200 * number}} if cached else {}
    size = 220 * number if cached else 10
    usage = {"prompt_tokens": size, "completion_tokens": 5, "total_tokens": size + 5, **details}
    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=size, usage=usage))
    client = openai.OpenAI(api_key="bench", http_client=wire.client("openai"))
    talk: Any = messages(number)
    tokentrace.instrument(exporter="local")
    settings = state.settings

    def call(*, traced: bool) -> tuple[float, float]:
        state.settings = settings if traced else None
        wire.requests.clear()
        return spent(lambda: client.chat.completions.create(model="gpt-4.1", messages=talk))

    for _ in range(5):
        call(traced=True)
    pairs = [(call(traced=False), call(traced=True)) for _ in range(rounds)]
    tokentrace.uninstrument()
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


def import_cost(rounds: int) -> dict[str, float]:
    """Return milliseconds of CPU of a bare interpreter, and what ``import tokentrace`` adds."""
    usage = "resource.getrusage(resource.RUSAGE_SELF)"
    code = f"import resource; {{}}print({usage}.ru_utime + {usage}.ru_stime)"

    def run(statement: str) -> float:
        command = [sys.executable, "-c", code.format(statement)]
        return 1e3 * float(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout
        )

    run("import tokentrace; ")
    pairs = [(run(""), run("import tokentrace; ")) for _ in range(rounds)]
    bare = median(bare for bare, _ in pairs)
    return {"bare_ms": bare, "added_ms": median(ours - bare for bare, ours in pairs)}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return all rows."""
    import tokentrace

    tokentrace.count("warm", model="gpt-4.1")
    table = {f"call, {n} messages": call_cost(n, rounds) for n in (10, 100, 1000)}
    table |= {f"call, {n}, cached": call_cost(n, rounds, cached=True) for n in (10, 100, 1000)}
    table |= {f"recount, {n} messages": recount_cost(n, rounds) for n in (100, 1000)}
    return table | {"import": import_cost(rounds)}


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description="What tokentrace costs.")
    parser.add_argument("--rounds", type=int, default=41, help="measurements a row (41)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENTRACE_DIR"] = folder
        table = measure(options.rounds)
    table_of.show(table, as_json=options.json, cell="8.3f")


if __name__ == "__main__":
    main()
