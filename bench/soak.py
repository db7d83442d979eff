"""Drive many calls through tokentrace, and see that nothing grows and no sum is wrong.

    python bench/soak.py [--calls N] [--minutes N] [--transport wire|stub] [--sessions N] [--turns N] [--bare]

Many asyncio sessions run at the same time, each so many turns long; a new one takes the place of one
that is over. ``wire`` calls go through the real openai SDK over a mock transport; ``stub`` calls
through its methods only, with `request`, where tokentrace stands, answering at once. Of a hundred
calls ten are streams that nobody reads to their end, five are streams that are read, one is an error
and one is cancelled. ``--bare`` drives the same without tokentrace. Needs the openai SDK.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import math
import os
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import tokentrace
from tokentrace import schema, telemetry, testing
from tokentrace._sessions import Registry
from tokentrace.instrument.calls import Call
from tokentrace.telemetry.local import LocalExporter
from tokentrace.telemetry.spans import Handle
from tokentrace.testing import wire

ABANDONED, READ, FAILED, CANCELLED, PLAIN = "abandoned", "read", "failed", "cancelled", "plain"
MIX = [*[ABANDONED] * 10, *[READ] * 5, FAILED, CANCELLED, *[PLAIN] * 83]
STREAMS = {ABANDONED, READ}
INPUT, OUTPUT = 210, 7  # tokens that the provider reports of a call that tells its usage
WORDS = "the pod restarts because its memory limit is lower than what the cache needs at start "
SYSTEM = {"role": "system", "content": "You are a careful SRE. " + WORDS * 2}
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLES = 100
WARM = 0.4  # of the calls: until then bounded stores fill up
MB = 2**20


# ── the provider ─────────────────────────────────────────────────────────────────────────────────

ANSWER = testing.openai_chat("It is the limit.", prompt_tokens=INPUT, completion_tokens=OUTPUT)
STREAM = testing.openai_chat_stream("It ", "is ", "the ", "limit.", prompt_tokens=INPUT)
READ_OUTPUT = 4  # tokens that such a stream tells
ERROR = wire.Reply({"error": {"message": "no", "type": "server_error", "code": None}}, status=500)


async def answer(kind: str) -> wire.Reply:
    """Return what the provider answers; a call that will be cancelled waits for that."""
    if kind == CANCELLED:
        await asyncio.Event().wait()
    return STREAM if kind in STREAMS else ERROR if kind == FAILED else ANSWER


def over_the_wire() -> openai.AsyncOpenAI:
    """Return a client whose HTTP ends in this process."""
    library = wire.http_library("openai")

    async def handle(request: Any) -> Any:
        return _response(library, await answer(json.loads(request.read())["user"]), request)

    http = library.AsyncClient(transport=library.MockTransport(handle))
    return openai.AsyncOpenAI(api_key="soak", http_client=http, max_retries=0)


def _response(library: Any, reply: wire.Reply, request: Any) -> Any:
    kind = "text/event-stream" if reply.events else "application/json"
    body = b"".join(reply.chunks())
    headers = {"content-type": kind}
    return library.Response(reply.status, headers=headers, content=body, request=request)


def over_a_stub() -> openai.AsyncOpenAI:
    """Return a client whose `request` answers at once. To be called before `tokentrace.instrument`."""
    library = wire.http_library("openai")
    asked = library.Request("POST", "https://api.openai.com/v1/chat/completions")
    plain, chunks = json.loads(b"".join(ANSWER.chunks())), b"".join(STREAM.chunks())

    async def request(
        self: Any, cast_to: Any, options: Any, *, stream_cls: Any = None, **_: Any
    ) -> Any:
        kind = options.json_data["user"]
        await answer(kind)
        if kind == FAILED:
            response = library.Response(500, request=asked)
            raise openai.InternalServerError("no", response=response, body=None)
        if kind in STREAMS:
            response = library.Response(200, content=chunks, request=asked)
            return stream_cls(
                cast_to=openai.types.chat.ChatCompletionChunk, response=response, client=self
            )
        return cast_to.construct(**plain)

    openai._base_client.AsyncAPIClient.request = request  # type: ignore[assignment,method-assign]  # noqa: SLF001
    return openai.AsyncOpenAI(api_key="soak")


CLIENTS = {"wire": over_the_wire, "stub": over_a_stub}


# ── what arrives ─────────────────────────────────────────────────────────────────────────────────


class Tally(LocalExporter):
    """Writes files as always, and adds up what it writes."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.sums: Counter[str] = Counter()

    def export(self, spans: Any) -> Any:
        """Add up, and write."""
        for span in spans:
            known = span.attributes or {}
            call = schema.TOKENS in known
            self.sums["calls" if call else "turns"] += 1
            if call:
                self._add(known)
        return super().export(spans)

    def _add(self, known: Any) -> None:
        shares = sum(
            value
            for key, value in known.items()
            if key.startswith(schema.COMPONENT) and key.endswith(".tokens")
        )
        self.sums["components"] += shares
        self.sums["uneven"] += shares != known[schema.TOKENS]
        self.sums["input"] += known.get(schema.USAGE_INPUT, 0)
        self.sums["output"] += known.get(schema.USAGE_OUTPUT, 0)
        self.sums["errors"] += schema.ERROR_TYPE in known


def metric_sums(reader: InMemoryMetricReader) -> dict[str, int]:
    """Return what the metrics add up to."""
    sums: Counter[str] = Counter()
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    _add_point(sums, metric.name, point)
    return dict(sums)


def _add_point(sums: Counter[str], name: str, point: Any) -> None:
    if name == schema.TOKEN_USAGE:
        sums[point.attributes[schema.TOKEN_TYPE]] += int(point.sum)
    elif name == schema.DURATION:
        sums["calls"] += point.count
        sums["errors"] += point.count if schema.ERROR_TYPE in point.attributes else 0
    elif name == schema.COMPONENT_TOKENS:
        sums["components"] += int(point.sum)


# ── driving ──────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Drive:
    """Sessions that run at the same time until enough calls are made.

    Attributes:
        done: calls, by kind.
        samples: calls so far, resident bytes, threads, open files.
    """

    client: openai.AsyncOpenAI
    calls: int
    sessions: int
    turns: int
    bare: bool = False
    progress: Callable[[str], None] = lambda _: None
    minutes: float = math.inf
    done: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[int, int, int, int]] = field(default_factory=list)
    started: int = 0

    def __post_init__(self) -> None:
        self._end = time.monotonic() + 60 * self.minutes

    @property
    def over(self) -> bool:
        """Whether no more calls shall begin."""
        return self.started >= self.calls or time.monotonic() > self._end

    async def run(self) -> None:
        """Run them all."""
        every = max(1, self.calls // SAMPLES)
        watch = asyncio.ensure_future(self._watch(every))
        await asyncio.gather(*(self._slot(number) for number in range(self.sessions)))
        watch.cancel()
        self.samples.append(sample(sum(self.done.values())))

    async def _watch(self, every: int) -> None:
        due = every
        while True:
            now = sum(self.done.values())
            if now >= due:
                self.samples.append(sample(now))
                self.progress(f"{now:,} calls, {self.samples[-1][1] / MB:.1f} MB")
                due = now - now % every + every
            await asyncio.sleep(0)

    async def _slot(self, number: int) -> None:
        while not self.over:
            name = f"s{number}-{self.started}"
            with nullcontext() if self.bare else tokentrace.session(name):
                await self._session(name)

    async def _session(self, name: str) -> None:
        talk: list[dict[str, Any]] = []
        for turn in range(self.turns):
            if self.over:
                return
            kind = MIX[self.started * 37 % 100]
            self.started += 1
            text = f"{name}, turn {turn}: {WORDS * (1 + turn % 3)}"
            with nullcontext() if self.bare else tokentrace.turn():
                memory = f"{name} remembers of turn {turn}: {WORDS}"
                if not self.bare:
                    memory = tokentrace.tag("memory", memory)
                talk = [*talk[-6:], {"role": "user", "content": f"{memory}\n{text}"}]
                await self._call(kind, [SYSTEM, *talk])
            talk.append({"role": "assistant", "content": f"It is the limit of {name}."})
            self.done[kind] += 1
            await asyncio.sleep(0)

    async def _call(self, kind: str, talk: Any) -> None:
        more: Any = (
            {"stream": True, "stream_options": {"include_usage": True}} if kind in STREAMS else {}
        )
        work = self.client.chat.completions.create(model="gpt-4o", messages=talk, user=kind, **more)
        if kind == CANCELLED:
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await work
        elif kind == FAILED:
            with suppress(openai.InternalServerError):
                await work
        else:
            given = await work
            if kind == ABANDONED:
                await anext(given)
            elif kind == READ:
                async for _ in given:
                    pass


def sample(calls: int) -> tuple[int, int, int, int]:
    """Return calls so far, resident bytes, threads and open files, all written, garbage collected."""
    gc.collect()
    telemetry.flush()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    return calls, resident, threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def slope(samples: list[tuple[int, int, int, int]], calls: int) -> float:
    """Return MB of resident size for each 100,000 calls, least squares after the warm-up."""
    warm = [one for one in samples if one[0] >= WARM * calls]
    if len(warm) < 3:
        return float("nan")
    fit = statistics.linear_regression([one[0] for one in warm], [one[1] for one in warm])
    return fit.slope * 100_000 / MB


# ── the whole ────────────────────────────────────────────────────────────────────────────────────


def soak(drive: Drive, folder: str) -> dict[str, Any]:
    """Drive, and return figures and what is wrong.

    Args:
        drive: what to do.
        folder: for trace files.
    """
    tally, reader = Tally(folder), InMemoryMetricReader()
    if not drive.bare:
        tokentrace.instrument(
            exporter=tally, meter_provider=MeterProvider([reader], shutdown_on_exit=False)
        )
    begun, cpu = time.monotonic(), time.process_time()
    asyncio.run(drive.run())
    figures = {
        "calls": drive.started,
        "asked": drive.calls,
        "wall_s": time.monotonic() - begun,
        "cpu_s": time.process_time() - cpu,
    }
    gc.collect()
    seen = tokentrace.status()
    if not drive.bare:
        tokentrace.uninstrument()
    figures |= _memory(drive)
    figures["kinds"] = dict(drive.done)
    figures["status"] = {key: seen[key] for key in ("errors", "dropped", "marks")}
    figures["wrong"] = (
        [] if drive.bare else wrong(drive, tally, metric_sums(reader), tokentrace.status())
    )
    return figures


def _memory(drive: Drive) -> dict[str, Any]:
    warm = [one for one in drive.samples if one[0] >= WARM * drive.started]
    gc.collect()
    kept = Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, Call | Handle))
    return {
        "slope_mb": slope(drive.samples, drive.started),
        "rss_mb": [round(one[1] / MB, 1) for one in drive.samples],
        "threads": sorted({one[2] for one in warm}),
        "files": sorted({one[3] for one in warm}),
        "kept": dict(kept),
        "registries": sum(isinstance(one, Registry) for one in gc.get_objects()),
    }


def wrong(drive: Drive, tally: Tally, metrics: dict[str, int], status: dict[str, Any]) -> list[str]:
    """Return the sums that are not what was driven."""
    done, sums, calls = drive.done, tally.sums, sum(drive.done.values())
    told = {"input": INPUT * (done[PLAIN] + done[READ]),
            "output": OUTPUT * done[PLAIN] + READ_OUTPUT * done[READ]}  # fmt: skip
    failed = done[FAILED] + done[CANCELLED]
    lost = sum(status["dropped"].values())
    pairs = {
        "calls driven": (calls, drive.started),
        "spans, with what was dropped": (sums["calls"] + sums["turns"] + lost, 2 * calls),
        "spans whose components are not their total": (sums["uneven"], 0),
        "calls in metrics": (metrics.get("calls", 0), calls),
        "errors in metrics": (metrics.get("errors", 0), failed),
        "input tokens in metrics": (metrics.get("input", 0), told["input"]),
        "output tokens in metrics": (metrics.get("output", 0), told["output"]),
        "internal errors": (sum(status["errors"].values()), 0),
    }
    if not lost:
        pairs |= {
            "input tokens on spans": (sums["input"], told["input"]),
            "output tokens on spans": (sums["output"], told["output"]),
            "errors on spans": (sums["errors"], failed),
            "components in metrics and on spans": (
                metrics.get("components", 0),
                sums["components"],
            ),
        }
    return [
        f"{name}: {found:,}, not {due:,}" for name, (found, due) in pairs.items() if found != due
    ]


def main() -> None:
    """Soak and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no call after that")
    parser.add_argument("--transport", choices=CLIENTS, default="wire")
    parser.add_argument("--sessions", type=int, default=1_000, help="at the same time")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--bare", action="store_true", help="without tokentrace")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("tokentrace").setLevel(logging.ERROR)
    client = CLIENTS[given.transport]()
    drive = Drive(client, given.calls, given.sessions, given.turns, given.bare, minutes=given.minutes,
                  progress=lambda text: print(text, file=sys.stderr, flush=True))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(drive, folder)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
