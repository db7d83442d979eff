"""Measure `tokentrace report` over many spans: CPU seconds and the largest resident size.

    python bench/scale.py [--spans N] [--turns N] [--forms text,json,html] [--file PATH] [--json]

Makes OTLP-JSON lines of calls with 40 attributes each, 50 spans a line, sessions interleaved as many
agents at work would write them; then runs the command on them in a process of its own for each form.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from reading import BEGIN, NAMES, SECOND, attributes, span

from tokentrace import schema
from tokentrace.prompt import CallRecord, Detail, Event, Usage

BATCH = 50  # spans a line
AT_WORK = 200  # sessions at the same time
ATTRIBUTES = 40
LIMIT = 60_000
FORMS = {"text": (), "json": ("--json",), "html": ("--html", os.devnull)}
ENCODER = msgspec.json.Encoder()


def call(session: int, turn: int, noise: random.Random) -> CallRecord:
    """Return a turn's call: sessions grow, some past a warning, one in fifty over the limit."""
    start = BEGIN + (session // AT_WORK * 40_000 + turn * 60 + session % AT_WORK) * SECOND
    steep = 40 if session % 50 == 0 else 6 if session % 7 else 18
    grown = steep * 80 * turn % 200_000
    sizes = (420, 910, noise.randint(5, 90), grown, grown // 3, noise.randint(0, 900), 40)
    total = sum(sizes)
    warned = {"tokens": total, "limit": LIMIT, "threshold": 0.8, "decision": "warn"}
    near = total > 0.8 * LIMIT
    place = session * 100_000 + turn
    return CallRecord(
        trace_id=f"{place + 1:032x}", span_id=f"{place + 1:016x}", parent_id=f"{place + 7:016x}",
        start=start, end=start + 2 * SECOND, provider="openai", api="openai.chat",
        model="gpt-5-mini", settings={"temperature": 0.2, "max_tokens": 900, "stream": True},
        server_address="api.openai.com", server_port=443, session=f"conv-{session:06}",
        agent="devops", turn=turn, turn_id=f"{place:016x}", lineage=f"{session:016x}",
        delta=steep * 106, trend="increase", tokens=total, method="exact", tokenizer="o200k_base",
        components=dict(zip(NAMES, sizes, strict=True)), cached={"system": 420},
        details=(Detail("tools", "kubectl", 310), Detail("tools", "search", 200)),
        limit=LIMIT, limit_source="configured", decision="warn" if near else "ok", forecast=9.5,
        usage=Usage(
            total + 3, 120, 420, response_id=f"chatcmpl-{place:x}", response_model="gpt-5-mini",
            finish_reasons=("stop",),
        ),
        events=(Event(schema.LIMIT_WARNING, warned, start),) if near else (),
    )  # fmt: skip


def wire(record: CallRecord) -> dict[str, Any]:
    """Return a call as a span of exactly 40 attributes."""
    made = span(record)
    more = ATTRIBUTES - len(made["attributes"])
    others = {f"agent.note.{place}": f"{'x' * 20}{place}" for place in range(more)}
    made["attributes"] = [*made["attributes"], *attributes(others)][:ATTRIBUTES]
    return made


def lines(spans: int, turns: int) -> Iterator[bytes]:
    """Yield the lines of the file."""
    noise, batch = random.Random(1), []
    sessions = max(1, spans // turns)
    resource = {"attributes": attributes({schema.SERVICE_NAME: "agents"})}
    for first in range(0, sessions, AT_WORK):
        for turn in range(1, turns + 1):
            for session in range(first, min(first + AT_WORK, sessions)):
                batch.append(wire(call(session, turn, noise)))
                if len(batch) == BATCH:
                    yield _line(resource, batch)
                    batch = []
    if batch:
        yield _line(resource, batch)


def _line(resource: dict[str, Any], batch: list[dict[str, Any]]) -> bytes:
    scopes = [{"scope": {"name": "tokentrace"}, "spans": batch}]
    return ENCODER.encode({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}) + b"\n"


def make(path: Path, spans: int, turns: int) -> int:
    """Write the file; return its bytes."""
    with path.open("wb", buffering=1 << 20) as file:
        file.writelines(lines(spans, turns))
    return path.stat().st_size


def run(path: Path, options: tuple[str, ...]) -> dict[str, float]:
    """Return what one report cost: CPU and wall seconds, MB at its peak, MB printed."""
    command = [sys.executable, "-m", "tokentrace", "report", str(path), *options]
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, subprocess.Popen(command, stdout=out) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed = os.fstat(out.fileno()).st_size
    if process.returncode not in {0, 1}:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "wall_s": round(time.monotonic() - begun, 1),
        "rss_mb": used.ru_maxrss >> 10,
        "printed_mb": printed >> 20,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--forms", default="text,json,html")
    parser.add_argument(
        "--file", type=Path, help="keep the file here, and take it when it is there"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder) / "traces.jsonl"
        size = path.stat().st_size if path.exists() else make(path, given.spans, given.turns)
        figures: dict[str, Any] = {"spans": given.spans, "turns": given.turns, "mb": size >> 20}
        for form in given.forms.split(","):
            figures[form] = run(path, FORMS[form])
    print(
        json.dumps(figures) if given.json else "\n".join(f"{k:<6} {v}" for k, v in figures.items())
    )


if __name__ == "__main__":
    main()
