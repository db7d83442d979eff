"""Measure what reading costs: CPU of reading, grouping, judging and showing a folder of traces.

    python bench/reading.py [--sessions N] [--turns N] [--json]

Makes a folder as the local exporter would: a turn is one line with the span of its assembly and the
span of its call. Each step is timed in CPU seconds of this thread, in one run.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from otlp_lines import attributes, span
from tokentrace import schema
from tokentrace.prompt import CallRecord, ContextRecord, Event, Record, Usage

BEGIN = 1_760_000_000 * 10**9
SECOND = 10**9
NAMES = ("system", "tools", "user", "history", "tool_results", "code_snippets", "framing")


def turn(session: int, number: int, noise: random.Random) -> Iterator[Record]:
    """Yield the assembly and the call of a turn: growth, now and then a compression."""
    start = BEGIN + (number * 60 + session) * SECOND
    ids = {"trace_id": f"{session * 1_000 + number + 1:032x}", "session": f"conv-{session:05}"}
    left_out = {"name": "code.app", "tokens": 700, "reason": "over the budget"}
    shorter = {"name": "history", "before": 4_000, "after": 900}
    events = (
        Event(schema.COMPONENT_EXCLUDED, left_out, start),
        *([Event(schema.CONTEXT_COMPRESSED, shorter, start)] if number % 8 == 0 else []),
    )
    place = session * 1_000 + number + 1
    yield ContextRecord(
        span_id=f"{2 * place:016x}", start=start, end=start + 900, name="agent", turn=number,
        included=3_000, excluded=700, budget=9_000, events=events, **ids,
    )  # fmt: skip
    grown = 300 * (number % 8 + 1)
    sizes = (420, 910, noise.randint(5, 90), grown, 2 * grown, noise.randint(0, 900), 40)
    components = dict(zip(NAMES, sizes, strict=True))
    yield CallRecord(
        span_id=f"{2 * place + 1:016x}", parent_id=f"{3 * place:016x}", start=start + 1_000,
        end=start + 2 * SECOND, provider="openai", api="openai.chat", model="gpt-5-mini",
        settings={"temperature": 0.2, "stream": True}, server_address="api.openai.com", turn=number,
        agent="devops", lineage=f"{session:08x}", tokens=sum(sizes), method="exact", tokenizer="o200k_base",
        components=components, limit=12_000, limit_source="configured", decision="ok", forecast=9.5,
        delta=300, trend="increase", usage=Usage(sum(sizes), 120, finish_reasons=("stop",)), **ids,
    )  # fmt: skip


def make(folder: Path, sessions: int, turns: int) -> int:
    """Write the traces, a file for every 100 sessions; return their bytes."""
    noise, size = random.Random(1), 0
    for first in range(0, sessions, 100):
        path = folder / f"{first:06}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(1, turns + 1):
                for session in range(first, min(first + 100, sessions)):
                    spans = [span(record) for record in turn(session, number, noise)]
                    resource_of = {"attributes": attributes({schema.SERVICE_NAME: "agents"})}
                    scope = {"scope": {"name": "tokentrace"}, "spans": spans}
                    line = {"resourceSpans": [{"resource": resource_of, "scopeSpans": [scope]}]}
                    file.write(json.dumps(line, separators=(",", ":")) + "\n")
        size += path.stat().st_size
    return size


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what work returns, and its CPU seconds."""
    begun = time.thread_time()
    result = work()
    return result, round(time.thread_time() - begun, 3)


def measure(folder: Path) -> dict[str, float]:
    """Return the CPU seconds of each step over a folder, and the memory at the end in MB."""
    from rich.console import Console

    from tokentrace import analysis, readers
    from tokentrace.report import html, text
    from tokentrace.report import json as as_json

    problems = readers.Problems()
    records, read = timed(lambda: list(readers.read([str(folder)], problems)))
    found, group = timed(lambda: analysis.sessions(records))
    report, judge = timed(lambda: analysis.Report(found, problems))
    console = Console(width=120, file=io.StringIO())
    _, shown = timed(lambda: text.render(report, console))
    _, printed = timed(lambda: as_json.render(report))
    page, drawn = timed(lambda: html.render(report))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    steps = {"read_s": read, "group_s": group, "judge_s": judge, "text_s": shown}
    more = {"json_s": printed, "html_s": drawn, "html_kb": len(page) // 1000, "mb": peak}
    return {**steps, "text_report_s": round(sum(steps.values()), 3), **more}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        size = make(Path(name), given.sessions, given.turns)
        figures = {"sessions": given.sessions, "turns": given.turns, "trace_mb": size >> 20}
        figures |= measure(Path(name))
    if given.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<14} {figure:,}" for name, figure in figures.items()))


if __name__ == "__main__":
    main()
