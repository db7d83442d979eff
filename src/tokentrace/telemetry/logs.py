"""The log records of our events, as each release of OpenTelemetry takes them.

Since 1.38 a logger makes the record of what it is told; before, it takes the SDK's own record. An
event has a name since 1.35; before, an attribute bears it, as the SDK's own events did.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from tokentrace import schema

if TYPE_CHECKING:
    from opentelemetry.context import Context

_GRAVE = (schema.LIMIT_WARNING, schema.LIMIT_EXCEEDED)


def emit(
    logger: Any, name: str, attributes: Mapping[str, Any], where: Context, timestamp: int
) -> None:
    """Hand an event to an OpenTelemetry logger that wants it.

    Args:
        logger: of any provider, or None.
        name: of the event.
        attributes: its own, cleaned.
        where: its span's context.
        timestamp: nanoseconds since 1970.
    """
    if logger is None:
        return
    from opentelemetry._logs import SeverityNumber

    severity = SeverityNumber.WARN if name in _GRAVE else SeverityNumber.INFO
    wanted = getattr(logger, "enabled", None)  # a question since 1.44
    if wanted and not wanted(context=where, severity_number=severity, event_name=name):
        return
    told = {
        "timestamp": timestamp,
        "severity_number": severity,
        "severity_text": severity.name,
        "attributes": dict(attributes),
    }
    if _named(type(logger).emit):
        logger.emit(context=where, event_name=name, **told)
    else:
        logger.emit(_record(name, where, {**told, "resource": getattr(logger, "resource", None)}))


def _record(name: str, where: Context, told: dict[str, Any]) -> Any:
    """Return what loggers before 1.38 take."""
    record = import_module("opentelemetry.sdk._logs").LogRecord
    if _named(record):
        return record(context=where, event_name=name, **told)
    from opentelemetry import trace

    span = trace.get_current_span(where).get_span_context()
    told["attributes"][schema.EVENT_NAME] = name
    ids = {"trace_id": span.trace_id, "span_id": span.span_id, "trace_flags": span.trace_flags}
    return record(**ids, **told)


@lru_cache(maxsize=16)
def _named(function: Any) -> bool:
    """Whether a function takes an event's name."""
    taken = signature(function).parameters
    return "event_name" in taken or any(
        parameter.kind is Parameter.VAR_KEYWORD for parameter in taken.values()
    )
