"""Every environment variable that tokentrace reads, and nothing else that reads one.

A bad value is one warning and the default; nothing raises here.

===========================  ==========================================================  =========
variable                     meaning                                                     default
===========================  ==========================================================  =========
TOKENTRACE_DIR               folder of the local trace files                             .tokentrace
TOKENTRACE_SESSION           session of this process                                     none
TOKENTRACE_TURN              turn number of this process                                 none
TOKENTRACE_EXPORTER          auto, otlp, local or none                                   auto
TOKENTRACE_LIMIT             input limit in tokens for every model                       none
TOKENTRACE_LIMITS            input limits by model, provider/model or base URL, as JSON  none
                             or in a JSON or TOML file
TOKENTRACE_FACTORS           JSON file of learned factors: read at the start, written    none
                             at the end
TOKENTRACE_THRESHOLDS        shares of the limit that warn, e.g. 0.8,0.95                0.8,0.95
TOKENTRACE_ON_EXCEED         warn or raise                                               warn
TOKENTRACE_SECTIONS          1, 0, or names separated by commas                          1
TOKENTRACE_CAPTURE_CONTENT   1 puts prompt text on spans                                 0
TOKENTRACE_COSTS             0 keeps costs off spans, and the list of prices unloaded    1
TOKENTRACE_ATTRIBUTE_BYTES   longest text on a span, in bytes of UTF-8, 256 or more      2000
TOKENTRACE_TOKENIZERS        tokenizer files by model, as JSON: {"qwen*": "path"}        none
TOKENTRACE_HEADER            header sent to jaeger:URL and tempo:URL, as Name: value     none
TOKENTRACE_ALLOW_PRIVATE     1 lets these be addresses of private networks               0
TOKENTRACE_STRICT            1 raises our own internal errors (for our tests)            0
===========================  ==========================================================  =========

OpenTelemetry's own ``OTEL_SDK_DISABLED``, ``OTEL_{TRACES,METRICS,LOGS}_EXPORTER``,
``OTEL_SERVICE_NAME``, ``OTEL_EXPORTER_OTLP_*`` and ``OTEL_BSP_*`` are obeyed; ``TRACEPARENT`` and
``TRACESTATE`` name the parent of spans that have none in this process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})
# What keeps a process from writing its traces, whatever else it is told.
SILENCING = ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER")


def text(name: str, default: str = "") -> str:
    """Return the variable's text without surrounding white space, or ``default``."""
    return default if _unset(name) else os.environ.get(name, "").strip() or default


def _unset(name: str) -> bool:
    """Whether a variable is certainly not there: each call asks for some, and most are not.

    `os.environ` tells so by raising and catching an error; its table is asked first, where it has one.
    """
    table = getattr(os.environ, "_data", None)
    return type(table) is dict and _key(name) not in table


@cache
def _key(name: str) -> Any:
    return os.environ.encodekey(name)


def read(name: str, convert: Callable[[str], Any], default: Any) -> Any:
    """Return ``convert`` of the variable's text, or ``default`` and one warning when it refuses."""
    raw = text(name)
    if not raw:
        return default
    try:
        return convert(raw)
    except ValueError:
        from tokentrace import _failsafe

        _failsafe.warn_once(f"config:{name}", "%s=%r is not usable; using %r", name, raw, default)
        return default


def flag(raw: str) -> bool:
    """Return a switch's value; raise ValueError for anything that is not one."""
    value = raw.lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ValueError(raw)


def strict() -> bool:
    """Whether our own internal errors are raised again."""
    return text("TOKENTRACE_STRICT") == "1"


def costs() -> bool:
    """Whether costs are put onto spans and worked out in documents."""
    return bool(read("TOKENTRACE_COSTS", flag, True))


def positive(raw: str) -> int:
    """Return a positive number; raise ValueError for anything else."""
    value = int(raw)
    if not 0 < value < 2**53:
        raise ValueError(raw)
    return value


# Tempo cuts longer ones at 2,048 bytes by default (3.0.3, 2026-08), without a mark.
ATTRIBUTE_BYTES = 2_000


def attribute_bytes() -> int:
    """Return how many bytes of UTF-8 a text on a span may take."""
    return int(read("TOKENTRACE_ATTRIBUTE_BYTES", size, ATTRIBUTE_BYTES))


def size(raw: str) -> int:
    """Return bytes of an attribute, from 256; raise ValueError for anything else."""
    value = positive(raw)
    if value < 256:
        raise ValueError(raw)
    return value


def mapping(raw: str) -> dict[str, Any]:
    """Return a JSON object; raise ValueError for anything else."""
    from json import loads

    try:
        value = loads(raw)
    except RecursionError:
        raise ValueError(raw) from None
    if not isinstance(value, dict):
        raise ValueError(raw)  # noqa: TRY004 - of a text, not of an argument
    return value


# ── OpenTelemetry ────────────────────────────────────────────────────────────────────────────────


def sdk_disabled() -> bool:
    """Whether OpenTelemetry is switched off for this process."""
    return text("OTEL_SDK_DISABLED").lower() == "true"


def exporter(wanted: str) -> str:
    """Return ``otlp``, ``local`` or ``none`` for an ``exporter`` argument.

    ``OTEL_TRACES_EXPORTER=none`` wins over everything; ``auto`` asks ``TOKENTRACE_EXPORTER``, then
    whether an OTLP endpoint is set.
    """
    if text("OTEL_TRACES_EXPORTER").lower() == "none":
        return "none"
    try:
        chosen = _exporter(wanted)
    except ValueError:
        from tokentrace import _failsafe

        _failsafe.warn_once("exporter", "exporter=%r is not known; using 'auto'", wanted)
        chosen = "auto"
    if chosen == "auto":
        chosen = read("TOKENTRACE_EXPORTER", _exporter, "auto")
    if chosen == "auto":
        asked = text("OTEL_TRACES_EXPORTER").lower() == "otlp" or _endpoint("TRACES")
        return "otlp" if asked else "local"
    return str(chosen)


def _exporter(raw: str) -> str:
    if raw.lower() not in {"auto", "otlp", "local", "none"}:
        raise ValueError(raw)
    return raw.lower()


def _endpoint(signal: str) -> str:
    return text(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or text("OTEL_EXPORTER_OTLP_ENDPOINT")


def otlp_protocol(signal: str) -> str | None:
    """Return ``grpc`` or ``http`` for ``TRACES``, ``METRICS`` or ``LOGS``, None where it goes nowhere.

    Traces always go somewhere. Metrics and logs go where an endpoint is set for them, so that a
    receiver of traces alone is not sent what it refuses.
    """
    if signal != "TRACES" and (
        text(f"OTEL_{signal}_EXPORTER").lower() == "none" or not _endpoint(signal)
    ):
        return None
    raw = text(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or text("OTEL_EXPORTER_OTLP_PROTOCOL")
    return "grpc" if raw == "grpc" else "http"


def batching() -> tuple[int, int, float]:
    """Return queue length, batch size and delay in seconds, by OpenTelemetry's own variables."""
    queue = read("OTEL_BSP_MAX_QUEUE_SIZE", positive, 2_048)
    size = read("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", positive, 512)
    return queue, min(size, queue), read("OTEL_BSP_SCHEDULE_DELAY", positive, 5_000) / 1_000


def traceparent() -> dict[str, str]:
    """Return the parent that another process handed down, as a carrier of W3C trace context."""
    known = {name.lower(): text(name) for name in ("TRACEPARENT", "TRACESTATE")}
    return {name: value for name, value in known.items() if value} if known["traceparent"] else {}


def environment() -> dict[str, str]:
    """Return a copy of all variables: for a child process, or to look for those that nobody reads."""
    return dict(os.environ)


def handed_down(given: Mapping[str, str], first: str) -> dict[str, str]:
    """Return the variables for a program: ``given`` over ours, and ``first`` on its import path.

    A turn's number belongs to its session, and is not handed on into another.
    """
    known = environment()
    session = known.get("TOKENTRACE_SESSION", "")
    if given.get("TOKENTRACE_SESSION", session) != session:
        known.pop("TOKENTRACE_TURN", None)
    path = known.get("PYTHONPATH", "")
    others = [entry for entry in path.split(os.pathsep) if entry != first] if path else []
    known["PYTHONPATH"] = os.pathsep.join([first, *others])
    known.update(given)
    return known


def folder() -> str:
    """Return the folder of the local trace files, as it was given."""
    return text("TOKENTRACE_DIR", ".tokentrace")
