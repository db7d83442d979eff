"""The programs as they run: on free ports of loopback, each waited for until it answers."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from backend_stack.building import HERE, Found
from backend_stack.processes import StackError, end, say

CONFIG = HERE.parents[1] / "collector-config.yaml"
SHIPPED = HERE.parents[1] / "deploy" / "prometheus"
HOST = "127.0.0.1"
PATIENCE = 120.0  # seconds until a program answers that has started

# What collector-config.yaml calls its ports, and what our own configurations call theirs.
COLLECTOR_PORTS = ("GRPC", "HTTP", "PROMETHEUS", "TELEMETRY", "HEALTH")
OTHER_PORTS = (
    *("JAEGER_HTTP_PORT", "JAEGER_GRPC_PORT", "JAEGER_OTLP_PORT", "JAEGER_HEALTH_PORT"),
    *("SINK_OTLP_PORT", "SINK_HEALTH_PORT", "PROMETHEUS_PORT"),
)
# Every trace is seen, and soon; the environment may say otherwise.
SAMPLING = {"SAMPLING_PERCENTAGE": "100", "SAMPLING_WAIT": "2s"}


@dataclass(frozen=True)
class Program:
    """A server.

    Attributes:
        name: of its log file.
        command: with its arguments.
        health: a URL that answers 200 as soon as it is ready.
        settings: environment variables.
    """

    name: str
    command: Sequence[str]
    health: str
    settings: Mapping[str, str] = field(default_factory=dict)


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Return a free port of loopback for each name, all different."""
    found = {}
    with ExitStack() as held:
        for name in names:
            one = held.enter_context(socket.socket())
            one.bind((HOST, 0))
            found[name] = one.getsockname()[1]
    return found


def answers(url: str) -> bool:
    """Whether a URL answers 200."""
    try:
        with urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except (URLError, OSError):
        return False


def start(program: Program, folder: Path, *, apart: bool = False) -> subprocess.Popen[bytes]:
    """Start a program and wait until it answers.

    Args:
        program: the server.
        folder: of its log.
        apart: it is to outlive us, and the terminal.

    Raises:
        StackError: it ended, or does not answer in time.
    """
    log = folder / f"{program.name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=folder,
            env=os.environ | program.settings,
            start_new_session=apart,
        )
    try:
        _wait(program, process, log)
    except BaseException:
        end(process)
        raise
    return process


def _wait(program: Program, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not answers(program.health):
        if process.poll() is not None:
            raise StackError(f"{program.name} ended with exit code {process.returncode}", log=log)
        if time.monotonic() > deadline:
            raise StackError(f"{program.name} does not answer at {program.health}", log=log)
        time.sleep(0.1)


def collector(binary: str, ports: Mapping[str, int], name: str, **settings: str) -> Program:
    """Return a Collector with collector-config.yaml.

    Args:
        binary: its path.
        ports: one for each of `COLLECTOR_PORTS`.
        name: of its log.
        settings: ``JAEGER_ENDPOINT``, ``TEMPO_ENDPOINT`` and what else the configuration reads.
    """
    own = {f"COLLECTOR_{key}_PORT": str(ports[key]) for key in COLLECTOR_PORTS}
    command = (binary, "--config", str(CONFIG))
    health = f"http://{HOST}:{ports['HEALTH']}/"
    return Program(name, command, health, {"COLLECTOR_HOST": HOST, **own, **settings})


def tempo(sink: str) -> str:
    """Return where Tempo takes OTLP over gRPC: the one that is named, else our ``sink``."""
    named = urlsplit(os.environ.get("TEMPO_URL", "")).hostname
    return os.environ.get("TEMPO_ENDPOINT") or (f"{named}:4317" if named else sink)


def scraping(targets: Mapping[str, str], rules: Path = SHIPPED) -> str:
    """Return the configuration of Prometheus that deploy/ ships, but each second and of other hosts.

    Args:
        targets: by host and port as shipped, where that is here; what is not named is not scraped.
        rules: the folder of its files of rules.
    """

    def here(found: re.Match[str]) -> str:
        return f"targets: {json.dumps([targets[found[1]]] if targets.get(found[1]) else [])}"

    def beside(found: re.Match[str]) -> str:
        return f"rule_files: {json.dumps([str(rules / name) for name in found[1].split(', ')])}"

    text = (SHIPPED / "prometheus.yml").read_text(encoding="utf-8")
    text = re.sub(r"targets: \[(\S+)\]", here, text)
    text = re.sub(r"rule_files: \[(.+)\]", beside, text)
    return re.sub(r"_interval: \w+", "_interval: 1s", text)


def plan(found: Found, which: str, folder: Path) -> tuple[list[Program], dict[str, str]]:
    """Return what is to be started, in this order, and where each will be found.

    Args:
        found: the programs.
        which: the Collector that runs.
        folder: of their state.
    """
    ports = free_ports((*COLLECTOR_PORTS, *OTHER_PORTS))
    at = {name: f"{HOST}:{port}" for name, port in ports.items()}
    own = {name: str(ports[name]) for name in OTHER_PORTS}
    own["OTEL_TRACES_SAMPLER"] = "always_off"  # Jaeger would send traces of itself to port 4317
    own["SINK_FILE"] = str(folder / "sent-to-tempo.jsonl")
    scraped = {
        "collector:8889": at["PROMETHEUS"],
        "collector:8888": at["TELEMETRY"],
        "tempo:3200": urlsplit(os.environ.get("TEMPO_URL", "")).netloc,
    }
    (folder / "prometheus.yml").write_text(scraping(scraped), encoding="utf-8")
    targets = {
        "JAEGER_ENDPOINT": at["JAEGER_OTLP_PORT"],
        "TEMPO_ENDPOINT": tempo(at["SINK_OTLP_PORT"]),
    }
    sampling = {name: os.environ.get(name, value) for name, value in SAMPLING.items()}
    binary = found.collectors[which]
    server = (
        *(found.prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=prometheus"),
        f"--web.listen-address={at['PROMETHEUS_PORT']}",
    )
    jaeger = (found.jaeger, "--config", str(HERE / "jaeger.yaml"))
    sink = (binary, "--config", str(HERE / "sink.yaml"))
    programs = [
        Program("jaeger", jaeger, f"http://{at['JAEGER_HEALTH_PORT']}/status", own),
        Program("sink", sink, f"http://{at['SINK_HEALTH_PORT']}/", own),
        collector(binary, ports, "collector", **targets, **sampling),
        Program("prometheus", server, f"http://{at['PROMETHEUS_PORT']}/-/ready"),
    ]
    return programs, {
        "otlp_grpc": f"http://{at['GRPC']}",
        "otlp_http": f"http://{at['HTTP']}",
        "jaeger": f"http://{at['JAEGER_HTTP_PORT']}",
        "prometheus": f"http://{at['PROMETHEUS_PORT']}",
        "metrics": f"http://{at['PROMETHEUS']}/metrics",
        "jaeger_otlp": targets["JAEGER_ENDPOINT"],
        "tempo_otlp": targets["TEMPO_ENDPOINT"],
        "sink_file": own["SINK_FILE"],
    }


def start_all(
    programs: Sequence[Program],
    folder: Path,
    running: list[subprocess.Popen[bytes]],
    *,
    apart: bool,
) -> None:
    """Start programs one after the other, each put into ``running`` as soon as it answers."""
    for program in programs:
        running.append(start(program, folder, apart=apart))
        say(f"{program.name} runs, process {running[-1].pid}")
