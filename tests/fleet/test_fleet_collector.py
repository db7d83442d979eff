"""The fleet's configurations in a real Collector: each is valid, and spans come through."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

import tokentrace
from tokentrace.testing import Wire, openai_chat

TOP = Path(__file__).parents[2]
FLEET = TOP / "deploy" / "fleet"
SAMPLER = TOP / "collector-config.yaml"
STACKED = [
    (FLEET / "sidecar.yaml",),
    (FLEET / "gateway.yaml",),
    (FLEET / "gateway.yaml", FLEET / "kafka-gateway.yaml"),
    (SAMPLER, FLEET / "kafka-sampler.yaml"),
    (SAMPLER, FLEET / "clickhouse.yaml"),
    (SAMPLER, FLEET / "kafka-sampler.yaml", FLEET / "clickhouse.yaml"),
]
PATIENCE = 90.0


@pytest.fixture(scope="session")
def stack():
    """Return what builds and runs the programs of the tests."""
    sys.path.append(str(TOP / "scripts"))
    from backend_stack import building, fleet, processes, running

    class Stack:
        pass

    Stack.building, Stack.fleet = building, fleet
    Stack.processes, Stack.running = processes, running
    return Stack


@pytest.fixture(scope="session")
def binary(stack):
    """Return the Collector that `scripts/fleet` has built."""
    if shutil.which("go") is None or not (stack.fleet.place() / "otelcol").exists():
        pytest.skip("the fleet's Collector is not built: scripts/fleet, which needs Go")
    return str(stack.fleet.place() / "otelcol")


def validate(binary, *files, **settings):
    """Return what the Collector says of configurations, empty where all is well."""
    named = [part for file in files for part in ("--config", str(file))]
    ran = subprocess.run(
        [binary, "validate", *named], env=os.environ | settings, timeout=PATIENCE,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ran.stderr or ran.stdout if ran.returncode else ""


@pytest.mark.parametrize("files", STACKED, ids=lambda files: "+".join(file.stem for file in files))
def test_configurations_are_valid(binary, files, tmp_path):
    """The Collector takes each configuration, and each pile of them."""
    assert validate(binary, *files, QUEUE_FOLDER=str(tmp_path)) == ""


def test_every_file_is_checked():
    """A new file of the fleet has to stand in a pile above."""
    assert {file for files in STACKED for file in files} == {SAMPLER, *FLEET.glob("*.yaml")}


def test_a_misspelt_setting_is_found(binary, tmp_path):
    """The check can fail: a setting that an exporter does not know is refused by its name."""
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        (FLEET / "clickhouse.yaml").read_text().replace("create_schema", "make_schema")
    )
    assert "make_schema" in validate(binary, SAMPLER, broken)


def test_the_exporter_fills_the_columns_of_our_table(stack, binary, database):
    """The columns that the exporter's INSERT names are those of our table that are not computed."""
    version = stack.building.COLLECTORS[stack.fleet.WHICH][0]
    cache = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True)
    contrib = Path(
        cache.stdout.strip(), "github.com/open-telemetry/opentelemetry-collector-contrib"
    )
    statement = (
        contrib / f"exporter/clickhouseexporter@v{version}/internal/sqltemplates/traces_insert.sql"
    ).read_text()
    named = [name.strip() for name in statement.split("(")[1].split(")")[0].split(",")]
    columns = database.ask("DESCRIBE TABLE otel.otel_traces")
    assert named == database.columns
    assert named == [one["name"] for one in columns if one["default_type"] == ""]


# ── spans on their way ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ports(stack):
    names = ("GATEWAY", "SIDECAR")
    ends = ("GRPC_PORT", "HTTP_PORT", "HEALTH_PORT", "TELEMETRY_PORT")
    wanted = [f"{name}_{end}" for name in names for end in ends]
    found = stack.running.free_ports((*wanted, "SINK_OTLP_PORT", "SINK_HEALTH_PORT"))
    return {name: str(port) for name, port in found.items()}


@pytest.fixture
def run(stack, binary, ports, tmp_path):
    """Return what runs a Collector with one configuration for the length of a block."""
    settings = ports | {
        "SINK_FILE": str(tmp_path / "sink.jsonl"),
        "QUEUE_FOLDER": str(tmp_path),
        "GATEWAY_ENDPOINT": f"127.0.0.1:{ports['SINK_OTLP_PORT']}",
        "GATEWAY_HOST": "127.0.0.1",
        "SAMPLER_HOSTNAME": "127.0.0.1",
        "SAMPLER_PORT": ports["SINK_OTLP_PORT"],
    }

    @contextmanager
    def run(name, config):
        health = f"http://127.0.0.1:{ports[f'{name.upper()}_HEALTH_PORT']}/"
        command = (binary, "--config", str(config))
        program = stack.running.Program(name, command, health, settings)
        process = stack.running.start(program, tmp_path)
        try:
            yield
        finally:
            stack.processes.end(process)

    run.sink = stack.building.HERE / "sink.yaml"
    return run


def talk(port, monkeypatch):
    """Have an agent send a session of three turns over OTLP; return the names of its spans."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    wire = Wire(openai_chat("Done.", prompt_tokens=50))
    client = openai.OpenAI(api_key="test", http_client=wire.client("openai"))
    tokentrace.instrument(service_name="fleet")
    for number in range(3):
        with tokentrace.session("s", agent="a"), tokentrace.turn():
            message = {"role": "user", "content": f"Question {number}"}
            client.chat.completions.create(model="gpt-4o", messages=[message])
    tokentrace.uninstrument()
    assert tokentrace.status()["dropped"] == {}
    return sorted(["chat gpt-4o", "invoke_agent a"] * 3)


def arrived(folder):
    """Return the names of the spans that the sink has written."""
    file = folder / "sink.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return sorted(
        span["name"]
        for line in lines
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    )


def arriving(wanted, folder):
    """Return the names of the spans in the sink, as soon as they are those that were wanted."""
    deadline = time.monotonic() + PATIENCE
    while arrived(folder) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return arrived(folder)


def test_spans_go_through_the_gateway(run, ports, tmp_path, monkeypatch):
    """What an agent sends to the gateway reaches the sampler that its balancer has found."""
    with run("sink", run.sink), run("gateway", FLEET / "gateway.yaml"):
        wanted = talk(ports["GATEWAY_HTTP_PORT"], monkeypatch)
        assert arriving(wanted, tmp_path) == wanted


def test_spans_wait_on_disk_while_the_gateway_is_away(run, ports, tmp_path, monkeypatch):
    """A sidecar that was stopped before its gateway came still hands over what it had taken."""
    with run("sidecar", FLEET / "sidecar.yaml"):
        wanted = talk(ports["SIDECAR_HTTP_PORT"], monkeypatch)
    assert arrived(tmp_path) == []
    with run("sink", run.sink), run("sidecar", FLEET / "sidecar.yaml"):
        assert arriving(wanted, tmp_path) == wanted
