"""Where the real back ends are, and how they are asked: all that the tests know of them.

``scripts/backends test`` starts them and names its state in TOKENTRACE_BACKENDS; TEMPO_URL names a
Tempo that somebody else has started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

TOP = Path(__file__).parents[1]
STATE = os.environ.get("TOKENTRACE_BACKENDS", "")
TEMPO = os.environ.get("TEMPO_URL", "").rstrip("/")
PATIENCE = 90.0  # seconds until something that was sent must be seen
OURS = ("TOKENTRACE_", "OTEL_", "SAMPLING_")


@dataclass(frozen=True)
class Backends:
    """What runs: base URLs, OTLP endpoints without a scheme, and the programs' paths."""

    otlp_grpc: str
    otlp_http: str
    jaeger: str
    prometheus: str
    metrics: str
    jaeger_otlp: str
    tempo_otlp: str
    sink_file: str
    found: Mapping[str, Any]


def required() -> None:
    """Skip a module where nothing runs."""
    if not STATE:
        reason = "no back ends run here: scripts/backends test builds and starts them"
        pytest.skip(reason, allow_module_level=True)


def at_hand() -> Backends:
    """Return what runs."""
    state = json.loads(Path(STATE).read_text(encoding="utf-8"))
    return Backends(**state["places"], found=state["found"])


def ask(url: str, **parameters: Any) -> Any:
    """Return the JSON that a URL answers."""
    with urlopen(f"{url}?{urlencode(parameters)}" if parameters else url, timeout=60) as reply:
        return json.load(reply)


def assert_soon(look: Callable[[], Any], wanted: Any) -> None:
    """Look again and again until what is seen is what is wanted; else fail with what was seen."""
    deadline = time.monotonic() + PATIENCE
    seen = look()
    while seen != wanted and time.monotonic() < deadline:
        time.sleep(0.5)
        seen = look()
    assert seen == wanted, f"{seen!r} is not {wanted!r}"


def run(*command: str, **settings: str) -> str:
    """Run Python in an environment without settings of ours but ``settings``; return its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    ran = subprocess.run(
        [sys.executable, *command],
        env=clean | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# ── what back ends answer ────────────────────────────────────────────────────────────────────────


def tagged(backends: Backends, service: str, **tags: str) -> set[str]:
    """Return the ids of a service's traces in Jaeger that have a span with these tags.

    Dots of a tag's name are written as two underscores.
    """
    named = json.dumps({name.replace("__", "."): value for name, value in tags.items()})
    asked = {"service": service, "tags": named, "limit": 1_000}
    return {one["traceID"] for one in ask(f"{backends.jaeger}/api/traces", **asked)["data"]}


def spans(resource_spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the spans of OTLP JSON."""
    return [
        span for one in resource_spans for scope in one["scopeSpans"] for span in scope["spans"]
    ]


def trace(backends: Backends, trace_id: str) -> list[dict[str, Any]]:
    """Return a trace in Jaeger as resource spans of OTLP JSON."""
    return ask(f"{backends.jaeger}/api/v3/traces/{trace_id}")["result"]["resourceSpans"]


def sums(backends: Backends, query: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return what PromQL yields now, by the values of labels."""
    answer = ask(f"{backends.prometheus}/api/v1/query", query=query)["data"]["result"]
    return {
        tuple(one["metric"].get(label, "") for label in labels): float(one["value"][1])
        for one in answer
    }
