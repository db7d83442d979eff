"""Spans on their way to a collector that is not well: tokentrace beside OpenTelemetry's SDK alone.

`measure` runs an agent in a process of its own against a collector in another: asyncio sessions side
by side, a span for each turn. The agent's own processes are ``faults.py agent`` and
``faults.py collector``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__)
MB = 2**20
PAGE = os.sysconf("SC_PAGE_SIZE")
WARM = 500  # calls before the memory is looked at
PACE = 1.2  # seconds that a session waits at most between two turns
OUTAGE = 4.0  # seconds until the collector is killed, and until it is back
OURS, BARE = "tokentrace", "otel"
SYSTEMS = (OURS, BARE)
# name: how the collector behaves; None where there is none
ROWS: dict[str, dict[str, Any] | None] = {
    "up": {},
    "down": None,
    "hanging": {"delay": 3600.0},
    "slow": {"delay": 2.0},
    "http 500": {"status": 500},
    "http 503": {"status": 503},
    "killed, back": {},
}
TEXT = "the pod restarts because its memory limit is lower than what the cache needs at start " * 24


# ── the collector ────────────────────────────────────────────────────────────────────────────────


class Counted(list[Any]):
    """Counts the spans of requests instead of keeping them, on disk: the process may be killed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def append(self, one: Any) -> None:
        """Count the spans of a request."""
        path, request = one
        if path == "/v1/traces":
            spans = sum(
                len(scope.spans)
                for resource in request.resource_spans
                for scope in resource.scope_spans
            )
            os.write(self._fd, b"%d\n" % spans)


def collect(port: int, path: str, behaviour: dict[str, Any]) -> None:
    """Receive until the end."""
    sys.path.append(str(HERE.parents[1] / "tests"))
    from otlp_receiver import receiving

    with receiving(port=port, requests=Counted(path), **behaviour):
        print("ready", flush=True)
        signal.pause()


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Collector:
    """A collector in a process of its own, or none.

    Attributes:
        port: where it listens, or nobody does.
    """

    behaviour: dict[str, Any] | None
    path: str
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        if self.behaviour is not None:
            told = [str(self.port), self.path, json.dumps(self.behaviour)]
            self._process = child("collector", *told)
            line(self._process)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    @property
    def received(self) -> int:
        """How many spans it took."""
        path = Path(self.path)
        return sum(map(int, path.read_text().split())) if path.exists() else 0


def child(*args: str, **variables: str) -> subprocess.Popen[str]:
    """Start this file in a process of its own."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "TOKENTRACE_"))
    }
    command = [sys.executable, str(HERE), *args]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**clean, **variables},
    )


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process prints."""
    return process.stdout.readline() if process.stdout else ""


# ── the agent ────────────────────────────────────────────────────────────────────────────────────


class Bare:
    """OpenTelemetry's SDK as its documentation sets it up: what a call is there, is one span."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.dropped = 0
        logger = logging.getLogger("opentelemetry.sdk._shared_internal")
        logger.filters.insert(0, self._hear)  # before the filter that hides repetitions
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("agent")

    def _hear(self, record: logging.LogRecord) -> bool:
        self.dropped += "dropping" in record.getMessage()
        return True

    @contextmanager
    def call(self, name: str, text: str) -> Iterator[None]:
        """Make the span of a call."""
        known = {"session": name, "system": TEXT, "user": text}
        with self._tracer.start_as_current_span("chat", attributes=known):
            yield

    def close(self) -> int:
        """Shut down; return how many spans are known to be lost."""
        self._provider.shutdown()
        return self.dropped


class Ours:
    """tokentrace around a call over plain HTTP."""

    def __init__(self) -> None:
        import tokentrace

        tokentrace.instrument()
        self._ours = tokentrace

    @contextmanager
    def call(self, name: str, text: str) -> Iterator[None]:
        """Count and trace a call."""
        messages = [{"role": "system", "content": TEXT}, {"role": "user", "content": text}]
        body = {"model": "gpt-4o", "messages": messages, "user": name}
        with self._ours.llm_call(body, api="openai.chat") as call:
            yield
            call.response({"usage": {"prompt_tokens": 400, "completion_tokens": 9}})

    def close(self) -> int:
        """Shut down; return how many spans are known to be lost."""
        self._ours.uninstrument()
        return sum(self._ours.status()["dropped"].values())


@dataclass
class Load:
    """Sessions side by side.

    Attributes:
        took: seconds of each call that were telemetry's.
        spent: those of them that its thread computed.
        before: resident bytes after the first calls.
    """

    system: Ours | Bare
    sessions: int
    turns: int
    took: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    before: int = 0

    async def run(self) -> None:
        """Run them all."""
        await asyncio.gather(*(self._session(f"s{number}") for number in range(self.sessions)))

    async def _session(self, name: str) -> None:
        pace = random.Random(name)
        for turn in range(self.turns):
            await asyncio.sleep(pace.uniform(0, PACE))
            text = f"{name}, turn {turn}: why does it restart?"
            begun = clocks()
            with self.system.call(name, text):
                called = clocks()
                await asyncio.sleep(0)
                back = clocks()
            over = clocks()
            self.took.append(called[0] - begun[0] + over[0] - back[0])
            self.spent.append(called[1] - begun[1] + over[1] - back[1])
            if len(self.took) == WARM:
                self.before = resident()


def clocks() -> tuple[float, float]:
    """Return seconds that pass, and those that this thread computes."""
    return time.perf_counter(), time.thread_time()


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def act(system: str, sessions: int, turns: int) -> None:
    """Be the agent: print ``begin``, then the figures."""
    made = Ours() if system == OURS else Bare()
    load = Load(made, sessions, turns)
    with made.call("warm", TEXT):
        pass
    print("begin", flush=True)
    begun = time.monotonic()
    asyncio.run(load.run())
    grown = resident() - load.before
    ended = time.monotonic()
    dropped = made.close()
    cuts = statistics.quantiles(load.took, n=100)
    figures = {
        "made": len(load.took) + 1,
        "dropped": dropped,
        "p50_us": round(1e6 * cuts[49]),
        "cpu_us": round(1e6 * statistics.median(load.spent)),
        "p99_ms": round(1e3 * cuts[98], 1),
        "rss_mb": round(grown / MB, 1),
        "begun": begun,
        "ended": ended,
    }
    print(json.dumps(figures), flush=True)


# ── measuring ────────────────────────────────────────────────────────────────────────────────────


def measure(row: str, system: str, sessions: int, turns: int) -> dict[str, float]:
    """Return the figures of one row: spans, microseconds, MB and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        collector = Collector(ROWS[row], f"{folder}/spans")
        collector.start()
        url = f"http://127.0.0.1:{collector.port}"
        agent = child("agent", system, str(sessions), str(turns), OTEL_EXPORTER_OTLP_ENDPOINT=url)
        try:
            line(agent)
            if row == "killed, back":
                time.sleep(OUTAGE)
                collector.kill()
                time.sleep(OUTAGE)
                collector.start()
            figures = json.loads(line(agent))
            agent.wait(120)
            gone = time.monotonic()
        finally:
            agent.kill()
            agent.communicate()
        if row == "slow":
            time.sleep(ROWS[row]["delay"] + 0.5)  # type: ignore[index]  # what it still has in hand
        collector.kill()
        received = collector.received
    return {
        "made": figures["made"],
        "received": received,
        "dropped": figures["dropped"],
        "in no count": figures["made"] - received - figures["dropped"],
        "CPU p50 µs": figures["cpu_us"],
        "call p50 µs": figures["p50_us"],
        "call p99 ms": figures["p99_ms"],
        "RSS growth MB": figures["rss_mb"],
        "exit s": round(gone - figures["ended"], 1),
        "total s": round(gone - figures["begun"], 1),
    }


def main() -> None:
    """Be one of the processes."""
    kind, *told = sys.argv[1:]
    if kind == "collector":
        collect(int(told[0]), told[1], json.loads(told[2]))
    else:
        act(told[0], int(told[1]), int(told[2]))


if __name__ == "__main__":
    main()
