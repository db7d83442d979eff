"""The way to an OTLP endpoint: its spelling, its protocol, and whether anybody listens there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tokentrace import _config
from tokentrace.doctor.findings import Finding, fault, note, ok, warn
from tokentrace.doctor.machine import Machine
from tokentrace.report import safe

ALL = "OTEL_EXPORTER_OTLP_ENDPOINT"
PORTS = {"grpc": 4317, "http": 4318}
PROTOCOLS = {"", "grpc", "http/protobuf"}
PATHS = {"TRACES": "/v1/traces", "METRICS": "/v1/metrics", "LOGS": "/v1/logs"}
EXPORTERS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "http": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}
SECURE = {"http": 80, "https": 443}
EXAMPLE = {"grpc": "http://localhost:4317", "http": "http://localhost:4318"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a signal goes.

    Attributes:
        signal: ``TRACES``, ``METRICS`` or ``LOGS``.
        variable: that sets it; empty for OpenTelemetry's own default.
        url: as it stands there, without credentials.
        protocol: ``grpc`` or ``http``.
        host, port: empty and 0 where the URL tells none.
    """

    signal: str
    variable: str
    url: str
    protocol: str
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def own(self) -> bool:
        """Whether the variable is that of this signal alone."""
        return self.variable not in ("", ALL)


def targets(machine: Machine) -> Iterator[Target]:
    """Yield where each signal goes that has an endpoint, and spans wherever they go over OTLP."""
    for signal in PATHS:
        protocol = _config.otlp_protocol(signal)
        names = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", ALL)
        variable = next((name for name in names if machine.text(name)), "")
        asked = variable or (signal == "TRACES" and _config.exporter("auto") == "otlp")
        if protocol and asked:
            yield target(signal, variable, machine.text(variable) or EXAMPLE[protocol], protocol)


def target(signal: str, variable: str, raw: str, protocol: str) -> Target:
    """Return what an endpoint means; without host where it means nothing."""
    # gRPC takes a bare host:port too.
    bare = protocol == "grpc" and "://" not in raw
    try:
        parts = urlsplit(f"//{raw}" if bare else raw)
        host, port = parts.hostname or "", parts.port or SECURE.get(parts.scheme, 0)
    except ValueError:
        return Target(signal, variable, safe(raw.rpartition("@")[2], most=100), protocol)
    shown = safe(raw.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2]), most=100)
    if not bare and parts.scheme not in SECURE:
        host = ""
    return Target(signal, variable, shown, protocol, parts.scheme, host, port, parts.path)


def endpoints(machine: Machine) -> Iterator[Finding]:
    """Find endpoints that lead nowhere as they are spelled."""
    for one in _distinct(machine):
        facts = {"variable": one.variable, "endpoint": one.url}
        if not one.host or not one.port:
            what = f"{one.variable}={one.url!r} is no URL with http or https, host and port"
            mend = f"set it to a URL such as {EXAMPLE[one.protocol]}"
            yield fault(what, mend, **facts)
        elif not one.scheme and not machine.text("OTEL_EXPORTER_OTLP_INSECURE"):
            what = f"{one.variable}={one.url!r} has no scheme: gRPC takes it for TLS"
            yield warn(what, "put https:// before it, or http:// where there is no TLS", **facts)


def paths(machine: Machine) -> Iterator[Finding]:
    """Find HTTP endpoints whose path is not where receivers listen."""
    for one in targets(machine):
        path, wanted = one.path.rstrip("/"), PATHS[one.signal]
        facts = {"variable": one.variable, "endpoint": one.url}
        if one.protocol != "http" or not one.host:
            continue
        if one.own and not path:
            what = f"{one.variable}={one.url} has no path, and none is added to it"
            yield fault(what, f"append {wanted}, or set {ALL} instead", **facts)
        elif not one.own and path.endswith(wanted):
            what = f"{one.variable}={one.url}: {wanted} is added to it once more"
            yield fault(what, f"take {wanted} off its end", **facts)


def protocols(machine: Machine) -> Iterator[Finding]:
    """Find protocols that nobody knows, and those at the port of the other one."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        raw = machine.text(name)
        if raw not in PROTOCOLS:
            what = f"{name}={safe(raw, most=60)!r} is not known; HTTP is used"
            yield warn(what, "set it to grpc or http/protobuf", variable=name, value=raw)
    for one in _distinct(machine):
        other = next(name for name in PORTS if name != one.protocol)
        if one.port == PORTS[other]:
            what = (
                f"{one.variable}={one.url} is the port of {other}, the protocol is {one.protocol}"
            )
            value = "grpc" if other == "grpc" else "http/protobuf"
            mend = f"set OTEL_EXPORTER_OTLP_PROTOCOL={value}, or port {PORTS[one.protocol]}"
            yield fault(what, mend, endpoint=one.url, protocol=one.protocol)


def reachable(machine: Machine) -> Iterator[Finding]:
    """Connect to each endpoint, and hang up at once."""
    for one in _distinct(machine):
        if not one.host or not one.port:
            continue
        facts: dict[str, Any] = {"endpoint": one.url, "host": one.host, "port": one.port}
        if one.scheme in getproxies() and not proxy_bypass(one.host):
            yield note(f"{one.url} is behind a proxy and was not tried", **facts)
        elif error := machine.connect(one.host, one.port):
            what = f"nothing can be sent to {one.url}: {error}"
            mend = f"start the collector there, or correct {one.variable or ALL}"
            yield fault(what, mend, error=error, **facts)
        else:
            yield ok(f"{one.url} takes connections", **facts)


def headers(machine: Machine) -> Iterator[Finding]:
    """Find headers that OpenTelemetry leaves out. Their values are not shown."""
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        pieces = [piece for piece in machine.text(name).split(",") if piece.strip()]
        odd = sum(not piece.partition("=")[0].strip() or "=" not in piece for piece in pieces)
        if odd:
            what = f"{name}: {odd} of {len(pieces)} headers are not name=value and are not sent"
            mend = "write name=value, separated by commas, special characters as %20"
            yield warn(what, mend, variable=name, odd=odd)


def package(machine: Machine) -> Iterator[Finding]:
    """Import the exporter that would be used."""
    if _config.exporter("auto") != "otlp":
        return
    module = EXPORTERS[_config.otlp_protocol("TRACES") or "http"]
    error = machine.imports([module])[module]
    if error:
        what = f"the OTLP exporter {module} cannot be imported: {error}"
        yield fault(what, "pip install --force-reinstall opentelemetry-exporter-otlp", error=error)
    else:
        yield ok(f"{module} can be imported", module=module)


def _distinct(machine: Machine) -> Iterator[Target]:
    """Yield one target for each endpoint: signals that share one are one."""
    seen = {(one.variable, one.url, one.protocol): one for one in reversed([*targets(machine)])}
    yield from reversed(seen.values())
