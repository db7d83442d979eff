"""Where spans go, and which of OpenTelemetry's settings keep them from it or cut them short."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

from tokentrace import _config, schema
from tokentrace.doctor.environment import usable
from tokentrace.doctor.findings import Finding, fault, note, ok, warn
from tokentrace.doctor.machine import LIMITS, Machine
from tokentrace.readers.sizes import TEXT_BOUND
from tokentrace.report import safe

OBEYED = {"", "otlp", "none"}
SAMPLERS = {
    "always_on", "always_off", "parentbased_always_on", "parentbased_always_off", "traceidratio",
    "parentbased_traceidratio",
}  # fmt: skip
COUNTS = ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
LENGTHS = ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
BATCHES = (
    "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY",
)  # fmt: skip
FEW = 40  # attributes of a span below which components are folded away
SHORT = _config.ATTRIBUTE_BYTES
# The gRPC receiver of a Collector takes 4 MiB a message by default (max_recv_msg_size_mib, 0.159).
MESSAGE = 4 * 2**20
SPAN = 2_000  # bytes of a span of ours besides its content
# Limits that take away what ties spans and events together: variable, and what we need of it.
TIES = {
    "OTEL_SPAN_LINK_COUNT_LIMIT": 1,
    "OTEL_SPAN_EVENT_COUNT_LIMIT": 8,
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": 11,
}
GROUP = "opentelemetry_instrumentor"
DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


def destination(machine: Machine) -> Iterator[Finding]:
    """Say where spans go while the application sets no provider of its own."""
    kind = _config.exporter("auto")
    theirs = machine.text("OTEL_TRACES_EXPORTER").lower()
    if kind == "none":
        name = "OTEL_TRACES_EXPORTER" if theirs == "none" else "TOKENTRACE_EXPORTER"
        what = f"{name}=none: spans go nowhere unless the application sets a tracer provider"
        yield warn(what, f"unset {name}", exporter=kind, variable=name)
    elif kind == "otlp":
        protocol = _config.otlp_protocol("TRACES")
        yield ok(f"spans go over OTLP ({protocol})", exporter=kind, protocol=protocol)
    else:
        what = f"spans go to {safe(str(machine.folder))}"
        yield ok(what, exporter=kind, folder=str(machine.folder))
    if theirs not in OBEYED:
        what = f"OTEL_TRACES_EXPORTER={safe(theirs, most=60)} is not obeyed: otlp and none are"
        mend = "set a tracer provider with that exporter in the application, or use otlp"
        yield warn(what, mend, value=theirs)


def disabled(_machine: Machine) -> Iterator[Finding]:
    """Find OpenTelemetry switched off."""
    if _config.sdk_disabled():
        what = "OTEL_SDK_DISABLED=true: no span and no metric is recorded; the guard works"
        yield fault(what, "unset OTEL_SDK_DISABLED", variable="OTEL_SDK_DISABLED")


def sampler(machine: Machine) -> Iterator[Finding]:
    """Find samplers that leave spans out."""
    name = machine.text("OTEL_TRACES_SAMPLER").lower()
    ratio = machine.text("OTEL_TRACES_SAMPLER_ARG")
    if name and name not in SAMPLERS:
        what = f"OTEL_TRACES_SAMPLER={safe(name, most=60)} is not known; all spans are recorded"
        yield warn(what, f"set it to one of {', '.join(sorted(SAMPLERS))}", value=name)
    elif name.endswith("always_off"):
        what = f"OTEL_TRACES_SAMPLER={name}: no trace that begins here is recorded"
        yield warn(what, "unset OTEL_TRACES_SAMPLER", value=name)
    elif name.endswith("ratio") and (not usable(float, ratio) or not 0 < float(ratio) <= 1):
        what = f"OTEL_TRACES_SAMPLER_ARG={safe(ratio, most=60)!r} is no share above 0 and up to 1"
        yield warn(what, "set it to the share of traces to record, e.g. 0.1", value=ratio)
    elif name.endswith("ratio") and float(ratio) < 1:
        yield note(f"{name} records {float(ratio):.2%} of the traces", value=ratio)


def _limit(machine: Machine, names: tuple[str, ...]) -> tuple[str, int | None]:
    """Return the first variable that is set, and its number; None where it is none."""
    for name in names:
        raw = machine.text(name).lower()
        if raw and raw != "unset":
            return name, int(raw) if raw.isdecimal() else None
    return "", None


def counts(machine: Machine) -> Iterator[Finding]:
    """Find limits of spans that are no numbers, or that leave no room for our attributes."""
    name, limit = _limit(machine, COUNTS)
    yield from _unusable(machine)
    if limit is not None and limit < FEW:
        most = schema.MOST_ATTRIBUTES
        what = f"{name}={limit}: components and details are left out of spans"
        yield warn(what, f"raise it to 128, at least to {most}", variable=name, value=limit)


def lengths(machine: Machine) -> Iterator[Finding]:
    """Find limits on the length of texts that are too short for ours, or longer than Tempo takes."""
    name, limit = _limit(machine, LENGTHS)
    if limit is not None and limit < SHORT:
        what = f"{name}={limit}: texts on spans are cut"
        yield warn(what, f"raise it to {SHORT}, or unset it", variable=name, value=limit)
    ours = "TOKENTRACE_ATTRIBUTE_BYTES"
    raw = machine.text(ours)
    if usable(_config.size, raw) and int(raw) > TEXT_BOUND:
        what = f"{ours}={raw}: Tempo cuts texts at {TEXT_BOUND:,} bytes by default, without a mark"
        mend = f"set Tempo's distributor.max_attribute_bytes to {raw}, or unset {ours}"
        yield note(what, mend, variable=ours, value=int(raw))


def ties(machine: Machine) -> Iterator[Finding]:
    """Find limits that leave no room for links between turns, or for events."""
    for name, least in TIES.items():
        _, limit = _limit(machine, (name,))
        if limit is not None and limit < least:
            what = f"{name}={limit}: links between turns, or events, are left out of spans"
            yield warn(
                what, f"raise it to {least} at least, or unset it", variable=name, value=limit
            )


def _unusable(machine: Machine) -> Iterator[Finding]:
    for name in filter(LIMITS.fullmatch, sorted(machine.environ)):
        raw = machine.text(name)
        if raw and raw.lower() != "unset" and not raw.isdecimal():
            what = f"{name}={safe(raw, most=60)!r} is no number: OpenTelemetry cannot be imported"
            yield fault(what, f"unset {name}", variable=name, value=raw)


def batches(machine: Machine) -> Iterator[Finding]:
    """Find settings of the queue that cannot be used, and batches that a Collector would refuse."""
    for name in BATCHES:
        raw = machine.text(name)
        if raw and not usable(_config.positive, raw):
            what = f"{name}={safe(raw, most=60)!r} cannot be used; the default is in force"
            yield warn(what, "set it to a number from 1, or unset it", variable=name, value=raw)
    if _config.exporter("auto") == "otlp" and _config.otlp_protocol("TRACES") == "grpc":
        yield from _messages(machine)


def _messages(machine: Machine) -> Iterator[Finding]:
    """Find batches of spans with their prompts' text that are more than a message may be."""
    _, batch, _ = _config.batching()
    content = machine.text("TOKENTRACE_CAPTURE_CONTENT")
    wanted = bool(content) and usable(_config.flag, content) and _config.flag(content)
    size = batch * (SPAN + (_config.attribute_bytes() if wanted else 0))
    if size > MESSAGE:
        most = max(1, MESSAGE * batch // size)
        what = f"a batch of {batch:,} spans may take {size >> 20:,} MiB; a Collector takes 4 MiB by default"
        mend = (
            f"set OTEL_BSP_MAX_EXPORT_BATCH_SIZE to {most:,}, or raise max_recv_msg_size_mib of the "
            "Collector's OTLP receiver"
        )
        yield warn(what, mend, batch=batch, bytes=size)


def off(machine: Machine) -> set[str]:
    """Return the names of instrumentations that `opentelemetry-instrument` leaves out."""
    return {name.strip() for name in machine.text(DISABLED).split(",")} - {""}


def agent(machine: Machine) -> Iterator[Finding]:
    """Say whether `opentelemetry-instrument` starts tokentrace."""
    found = entry_points(group=GROUP, name=schema.SCOPE)
    out = off(machine) & {schema.SCOPE, "*"}
    if not found:
        what = "`opentelemetry-instrument` does not start tokentrace"
        yield note(what, "call tokentrace.instrument() in the agent")
    elif out:
        what = f"{DISABLED} holds {out.pop()}: `opentelemetry-instrument` leaves tokentrace out"
        yield warn(what, f"take it out of {DISABLED}", variable=DISABLED)
    else:
        yield ok("`opentelemetry-instrument` starts tokentrace", entry_point=schema.SCOPE)
