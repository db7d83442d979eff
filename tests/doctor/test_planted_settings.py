"""Faults of settings: each is planted, found with its mend, mended as it says, and gone."""

from __future__ import annotations

import json
import socket

import pytest

from tokentrace import doctor

PARENT = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
OTLP = "OTEL_EXPORTER_OTLP_"

# code, state, what is set, what the mend says, what is set once it is followed
PLANTED = [
    ("otel.disabled", "fault", {"OTEL_SDK_DISABLED": "true"}, "unset OTEL_SDK_DISABLED", {}),
    ("exporter", "warn", {"OTEL_TRACES_EXPORTER": "none"}, "unset OTEL_TRACES_EXPORTER", {}),
    ("exporter", "warn", {"TOKENTRACE_EXPORTER": "none"}, "unset TOKENTRACE_EXPORTER", {}),
    ("exporter", "warn", {"OTEL_TRACES_EXPORTER": "zipkin"}, "use otlp",
     {"OTEL_TRACES_EXPORTER": "otlp"}),
    ("otel.sampler", "warn", {"OTEL_TRACES_SAMPLER": "always_off"}, "unset OTEL_TRACES_SAMPLER", {}),
    ("otel.sampler", "warn", {"OTEL_TRACES_SAMPLER": "allways_on"}, "always_on, parentbased",
     {"OTEL_TRACES_SAMPLER": "always_on"}),
    ("otel.sampler", "warn",
     {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, "e.g. 0.1",
     {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}),
    ("otel.count", "warn", {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "16"}, "raise it to 128",
     {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "128"}),
    ("otel.count", "warn", {"OTEL_ATTRIBUTE_COUNT_LIMIT": "8"}, "at least to 70",
     {"OTEL_ATTRIBUTE_COUNT_LIMIT": "70"}),
    ("otel.count", "fault", {"OTEL_SPAN_EVENT_COUNT_LIMIT": "many"},
     "unset OTEL_SPAN_EVENT_COUNT_LIMIT", {}),
    ("otel.length", "warn", {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "64"}, "raise it to 2000",
     {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2000"}),
    ("otel.length", "note", {"TOKENTRACE_ATTRIBUTE_BYTES": "64000"}, "or unset TOKENTRACE_ATTRIBUTE_BYTES",
     {"TOKENTRACE_ATTRIBUTE_BYTES": "2048"}),
    ("otel.ties", "warn", {"OTEL_SPAN_LINK_COUNT_LIMIT": "0"}, "raise it to 1",
     {"OTEL_SPAN_LINK_COUNT_LIMIT": "1"}),
    ("otel.ties", "warn", {"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "4"}, "raise it to 11",
     {"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "11"}),
    ("otel.batch", "warn", {"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "a number from 1",
     {"OTEL_BSP_MAX_QUEUE_SIZE": "1"}),
    ("otel.batch", "warn",
     {"TOKENTRACE_ATTRIBUTE_BYTES": "64000", "TOKENTRACE_CAPTURE_CONTENT": "1",
      f"{OTLP}ENDPOINT": "http://localhost:4317", f"{OTLP}PROTOCOL": "grpc"},
     "set OTEL_BSP_MAX_EXPORT_BATCH_SIZE to 63",
     {"TOKENTRACE_ATTRIBUTE_BYTES": "64000", "TOKENTRACE_CAPTURE_CONTENT": "1",
      f"{OTLP}ENDPOINT": "http://localhost:4317", f"{OTLP}PROTOCOL": "grpc",
      "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "63"}),
    ("otlp.endpoint", "fault", {f"{OTLP}ENDPOINT": "localhost:4318"}, "http://localhost:4318",
     {f"{OTLP}ENDPOINT": "http://localhost:4318"}),
    ("otlp.endpoint", "fault", {f"{OTLP}ENDPOINT": "http://localhost:port"}, "http://localhost:4318",
     {f"{OTLP}ENDPOINT": "http://localhost:4318"}),
    ("otlp.endpoint", "warn",
     {f"{OTLP}ENDPOINT": "localhost:4317", f"{OTLP}PROTOCOL": "grpc"}, "or http:// where",
     {f"{OTLP}ENDPOINT": "http://localhost:4317", f"{OTLP}PROTOCOL": "grpc"}),
    ("otlp.path", "fault", {f"{OTLP}TRACES_ENDPOINT": "http://localhost:4318"}, "append /v1/traces",
     {f"{OTLP}TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}),
    ("otlp.path", "fault", {f"{OTLP}ENDPOINT": "http://localhost:4318/v1/traces"},
     "take /v1/traces off", {f"{OTLP}ENDPOINT": "http://localhost:4318"}),
    ("otlp.protocol", "fault", {f"{OTLP}ENDPOINT": "http://localhost:4317"}, f"set {OTLP}PROTOCOL=grpc",
     {f"{OTLP}ENDPOINT": "http://localhost:4317", f"{OTLP}PROTOCOL": "grpc"}),
    ("otlp.protocol", "fault", {f"{OTLP}ENDPOINT": "http://localhost:4318", f"{OTLP}PROTOCOL": "grpc"},
     "or port 4317", {f"{OTLP}ENDPOINT": "http://localhost:4317", f"{OTLP}PROTOCOL": "grpc"}),
    ("otlp.protocol", "warn", {f"{OTLP}PROTOCOL": "http/json"}, "http/protobuf",
     {f"{OTLP}PROTOCOL": "http/protobuf"}),
    ("otlp.headers", "warn", {f"{OTLP}HEADERS": "authorization: Bearer x"}, "write name=value",
     {f"{OTLP}HEADERS": "authorization=Bearer%20x"}),
    ("env.value", "fault", {"TOKENTRACE_EXPORTER": "s3"}, "auto, otlp, local or none",
     {"TOKENTRACE_EXPORTER": "otlp"}),
    ("env.value", "fault", {"TOKENTRACE_ATTRIBUTE_BYTES": "16"}, "from 256",
     {"TOKENTRACE_ATTRIBUTE_BYTES": "256"}),
    ("env.value", "fault", {"TOKENTRACE_LIMIT": "100k"}, "e.g. 100000",
     {"TOKENTRACE_LIMIT": "100000"}),
    ("env.value", "fault", {"TOKENTRACE_THRESHOLDS": "80,95"}, "e.g. 0.8,0.95",
     {"TOKENTRACE_THRESHOLDS": "0.8,0.95"}),
    ("env.value", "fault", {"TOKENTRACE_ON_EXCEED": "stop"}, "warn or raise",
     {"TOKENTRACE_ON_EXCEED": "raise"}),
    ("env.value", "fault", {"TOKENTRACE_TOKENIZERS": '{"qwen*": "/not/there.json"}'}, "paths of files",
     {"TOKENTRACE_TOKENIZERS": json.dumps({"qwen*": __file__})}),
    ("env.value", "fault", {"TOKENTRACE_TURN": "first"}, "a number from 1", {"TOKENTRACE_TURN": "1"}),
    ("env.value", "fault", {"TOKENTRACE_CAPTURE_CONTENT": "no thanks"}, "1 or 0",
     {"TOKENTRACE_CAPTURE_CONTENT": "0"}),
    ("env.value", "fault", {"TOKENTRACE_STRICT": "yes"}, "1 or 0", {"TOKENTRACE_STRICT": "1"}),
    ("env.name", "warn", {"TOKENTRACE_TRESHOLDS": "0.8"}, "rename it to TOKENTRACE_THRESHOLDS",
     {"TOKENTRACE_THRESHOLDS": "0.8"}),
    ("env.name", "warn", {"TOKENTRACE_XYZZY": "1"}, "unset it", {}),
    ("env.strict", "warn", {"TOKENTRACE_STRICT": "1"}, "unset it", {}),
    ("env.content", "warn", {"TOKENTRACE_CAPTURE_CONTENT": "on"}, "unset it", {}),
    ("env.parent", "warn", {"TRACEPARENT": f"00-{PARENT}-00"}, "a last field of 01",
     {"TRACEPARENT": f"00-{PARENT}-01"}),
    ("env.parent", "warn", {"TRACEPARENT": "abc"}, "unset it", {}),
    ("env.session", "note", {"TOKENTRACE_SESSION": "conv-1", "TOKENTRACE_TURN": "3"},
     "unset TOKENTRACE_SESSION", {}),
]  # fmt: skip


@pytest.mark.parametrize("row", PLANTED)
def test_a_setting_is_found_and_its_mend_works(row, look, monkeypatch):
    """The check names the variable, its mend can be followed, and then it has nothing to say."""
    code, state, planted, mend, mended = row
    monkeypatch.delenv("TOKENTRACE_STRICT")
    assert look(code) == []
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    (found,) = look(code)
    assert (found.state, mend in found.mend) == (state, True), found
    assert any(name in found.what or name in found.mend for name in {**planted, **mended}), found
    for name in planted:
        monkeypatch.delenv(name)
    for name, value in mended.items():
        monkeypatch.setenv(name, value)
    assert look(code) == []


def test_a_closed_port_is_found_until_somebody_listens(look, monkeypatch):
    """An endpoint where nothing listens is a fault; with a listener it takes connections."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        monkeypatch.setenv(f"{OTLP}ENDPOINT", f"http://127.0.0.1:{port}")
        (found,) = look("otlp.reachable")
        assert found.state == "fault"
        assert "start the collector there" in found.mend
        server.listen()
        assert look("otlp.reachable") == []


def test_an_endpoint_behind_a_proxy_is_not_tried(look, monkeypatch):
    """What only a proxy reaches is said so, not called unreachable."""
    monkeypatch.setenv(f"{OTLP}ENDPOINT", "https://collector.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    (found,) = look("otlp.reachable")
    assert (found.state, "proxy" in found.what) == ("note", True)


def test_the_default_endpoint_is_tried_where_otlp_is_asked_for(monkeypatch):
    """Without an endpoint OTLP goes to this machine, and that is where doctor looks."""
    monkeypatch.setenv("TOKENTRACE_EXPORTER", "otlp")
    (found,) = doctor.examine("otlp.reachable", doctor.Machine())
    assert found.facts["endpoint"] == "http://localhost:4318"


def test_credentials_are_never_shown(look, monkeypatch):
    """Neither the user information of an endpoint nor a header's value is told."""
    monkeypatch.setenv(f"{OTLP}ENDPOINT", "http://me:s3cret@127.0.0.1:4317/v1/traces")
    monkeypatch.setenv(f"{OTLP}HEADERS", "s3cret")
    codes = ("otlp.endpoint", "otlp.path", "otlp.protocol", "otlp.reachable", "otlp.headers")
    assert "s3cret" not in str([doctor.examine(code, doctor.Machine()) for code in codes])
    monkeypatch.setenv(f"{OTLP}ENDPOINT", "http://me:s3cret@127.0.0.1:port")
    assert "s3cret" not in str(look("otlp.endpoint"))


def test_signals_with_endpoints_of_their_own_are_looked_at(look, monkeypatch):
    """Metrics and logs have their own ways, and their own paths."""
    monkeypatch.setenv(f"{OTLP}METRICS_ENDPOINT", "http://127.0.0.1:4318")
    (found,) = look("otlp.path")
    assert "append /v1/metrics" in found.mend


def test_a_sampler_that_takes_a_share_is_a_note(look, monkeypatch):
    """A ratio below one explains spans that are not there."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    (found,) = look("otel.sampler")
    assert (found.state, "25.00%" in found.what) == ("note", True)


def test_the_automatic_start_can_be_left_out(site, look, monkeypatch):
    """An entry point that a variable leaves out is told, and starts again without it."""
    entry = "[opentelemetry_instrumentor]\ntokentrace = tokentrace.instrument:x\n"
    site.offer("planted-entry", "1.0", {"planted_entry/__init__.py": ""}, entry)
    site.install("planted-entry", "1.0")
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "urllib, tokentrace")
    (found,) = look("otel.instrument")
    assert (found.state, "take it out of" in found.mend) == ("warn", True)
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "urllib")
    assert look("otel.instrument") == []


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_exporter_in_use_is_imported(protocol, monkeypatch):
    """With OTLP the exporter of its protocol is tried; it is here."""
    monkeypatch.setenv("TOKENTRACE_EXPORTER", "otlp")
    monkeypatch.setenv(f"{OTLP}PROTOCOL", protocol)
    (found,) = doctor.examine("otlp.package", doctor.Machine())
    assert (found.state, f".{protocol.split('/')[0]}." in found.what) == ("ok", True)
