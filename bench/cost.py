"""Measure what tokentrace costs: CPU a call, recounting, import. Ratios and medians of one run.

    python bench/cost.py [--rounds N] [--json]

Needs the openai SDK. A call goes through the real SDK over a mock transport; calls with and without
tokentrace take turns, so that a noisy machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

WORDS = "the pod restarts because its memory limit is lower than what the cache needs at start "


def messages(number: int) -> list[dict[str, Any]]:
    """Return a conversation of about 220 tokens a message."""
    talk: list[dict[str, Any]] = [{"role": "system", "content": "You are a careful SRE. " + WORDS}]
    for index in range(number - 1):
        role = ("user", "assistant")[index % 2]
        talk.append({"role": role, "content": f"{index}: " + WORDS * 11})
    return talk


def cpu(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of this process that ``work`` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def call_cost(number: int, rounds: int) -> dict[str, float]:
    """Return milliseconds of CPU a call, without and with tokentrace, and the difference."""
    import openai

    import tokentrace
    from tokentrace import testing

    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=10))
    client = openai.OpenAI(api_key="bench", http_client=wire.client("openai"))
    talk = messages(number)

    def call() -> None:
        client.chat.completions.create(model="gpt-4o", messages=talk)  # type: ignore[arg-type]
        wire.requests.clear()

    def traced() -> float:
        tokentrace.instrument(exporter="local")
        call()
        spent = cpu(call)
        tokentrace.uninstrument()
        return spent

    def bare() -> float:
        call()
        return cpu(call)

    pairs = [(bare(), traced()) for _ in range(rounds)]
    without = statistics.median(a for a, _ in pairs) * 1e3
    added = statistics.median(b - a for a, b in pairs) * 1e3
    return {"bare_ms": without, "added_ms": added}


def recount_cost(number: int, rounds: int) -> dict[str, float]:
    """Return milliseconds to count a conversation first, again, and with two new messages."""
    import copy

    import tokentrace
    from tokentrace.counting.store import STORE

    body = {"model": "gpt-4o", "messages": messages(number)}
    longer = {"model": "gpt-4o", "messages": messages(number + 2)}

    def count(request: dict[str, Any]) -> None:
        tokentrace.count(request, api="openai.chat")

    count(body)
    rows = []
    for _ in range(rounds):
        STORE.clear()
        first = cpu(lambda: count(body))
        fresh = copy.deepcopy(body)
        again = cpu(lambda: count(fresh))
        grown = cpu(lambda: count(longer))
        rows.append((first, again, grown))
    first, again, grown = (statistics.median(column) * 1e3 for column in zip(*rows, strict=True))
    return {"first_ms": first, "again_ms": again, "two_more_ms": grown}


def import_cost(rounds: int) -> dict[str, float]:
    """Return milliseconds of CPU of a bare interpreter and of ``import tokentrace`` on top."""
    code = "import resource; {}print(resource.getrusage(resource.RUSAGE_SELF).ru_utime + resource.getrusage(resource.RUSAGE_SELF).ru_stime)"

    def run(statement: str) -> float:
        out = subprocess.run(
            [sys.executable, "-c", code.format(statement)],
            capture_output=True,
            text=True,
            check=True,
        )
        return float(out.stdout)

    pairs = [(run(""), run("import tokentrace; ")) for _ in range(rounds)]
    bare = statistics.median(a for a, _ in pairs) * 1e3
    return {"bare_ms": bare, "added_ms": statistics.median(b - a for a, b in pairs) * 1e3}


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import os

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENTRACE_DIR"] = folder
        table = {f"call, {n} messages": call_cost(n, options.rounds) for n in (10, 100, 1000)}
        table |= {f"recount, {n} messages": recount_cost(n, options.rounds) for n in (100, 1000)}
        table["import"] = import_cost(options.rounds)
    if options.json:
        print(json.dumps(table, indent=1))
        return
    for name, row in table.items():
        print(f"{name:28}" + "  ".join(f"{key} {value:8.3f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
