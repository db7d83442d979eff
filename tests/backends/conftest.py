"""What runs through the stack, once a test run: the demo and a small agent, over both protocols."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import real_backends
from real_backends import Backends
from tokentrace import readers
from tokentrace.prompt import CallRecord

PROTOCOLS = {"grpc": "otlp_grpc", "http/protobuf": "otlp_http"}
AGENT = str(Path(__file__).with_name("agent.py"))


@dataclass(frozen=True)
class Sent:
    """What was sent through the Collector, and the same as the local exporter writes it.

    Attributes:
        service: its name.
        sessions: the name of one for each protocol.
        calls: of one session, in their order.
    """

    service: str
    sessions: tuple[str, ...]
    calls: tuple[CallRecord, ...]


@pytest.fixture(scope="session")
def backends() -> Backends:
    """Give what ``scripts/backends test`` has started."""
    return real_backends.at_hand()


def calls_in(folder: Path) -> tuple[CallRecord, ...]:
    """Return the calls of a folder of traces."""
    problems = readers.Problems()
    records = list(readers.read([str(folder)], problems))
    assert problems.count == 0
    found = [one for one in records if isinstance(one, CallRecord)]
    return tuple(sorted(found, key=lambda one: one.start))


def otlp(backends: Backends, protocol: str) -> dict[str, str]:
    """Return the settings that send everything to the Collector."""
    endpoint = getattr(backends, PROTOCOLS[protocol])
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}


@pytest.fixture(scope="session")
def demo(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """Give the demo, sent over gRPC and over HTTP."""
    folder = tmp_path_factory.mktemp("demo")
    real_backends.run("-m", "tokentrace", "demo", "--dir", str(folder))
    told = [
        real_backends.run(
            *("-m", "tokentrace", "demo", "--exporter", "otlp"), **otlp(backends, protocol)
        )
        for protocol in PROTOCOLS
    ]
    names = [output.splitlines()[-1].partition(":")[0] for output in told]
    return Sent("tokentrace-demo", tuple(names), calls_in(folder))


@pytest.fixture(scope="session")
def agent(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """Give the agent that meets its limit, sent over gRPC."""
    folder = tmp_path_factory.mktemp("agent")
    real_backends.run(AGENT, "careful", TOKENTRACE_DIR=str(folder))
    real_backends.run(AGENT, "careful", **otlp(backends, "grpc"))
    return Sent("careful", ("careful-session",), calls_in(folder))
