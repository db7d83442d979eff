"""OTLP in protobuf: the spans of an export, and the record on one of them.

A message of logs or metrics is passed over. What a span says is taken as `otlp_json` takes it: the same
run gives the same records by either wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tokentrace import schema
from tokentrace.prompt import Event, Record
from tokentrace.readers import made
from tokentrace.readers.made import DamagedError, identity, integer, number

STATUS_ERROR = 2


def spans(message: bytes) -> Iterator[tuple[str, Any]]:
    """Yield each span of an ``ExportTraceServiceRequest`` with the name of its service.

    Raises:
        DamagedError: it is no export of any signal.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        export = ExportTraceServiceRequest.FromString(message)
    except DecodeError:
        if not _other(message):
            raise DamagedError("no OTLP export in protobuf") from None
        return
    for resource in export.resource_spans:
        service = attributes(resource.resource.attributes).get(schema.SERVICE_NAME, "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield str(service), span


def _other(message: bytes) -> bool:
    """Whether a message is an export of logs or metrics."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    kinds: tuple[Any, ...] = (ExportMetricsServiceRequest, ExportLogsServiceRequest)
    for kind in kinds:
        try:
            kind.FromString(message)
        except DecodeError:
            continue
        return True
    return False


def ours(span: Any) -> bool:
    """Whether something on a span begins with a name of ours."""
    if _named(span.attributes):
        return True
    return any(
        event.name.startswith(schema.PREFIX) or _named(event.attributes) for event in span.events
    )


def _named(pairs: Iterable[Any]) -> bool:
    prefix = schema.PREFIX
    return any(
        pair.key.startswith(prefix) or pair.value.string_value.startswith(prefix) for pair in pairs
    )


def record_of(span: Any, service: str) -> Record | None:
    """Return the record on a ``Span``, or None where it bears none.

    Raises:
        DamagedError: a number, id or time is none.
    """
    events = tuple(
        Event(event.name, attributes(event.attributes), integer(event.time_unix_nano))
        for event in span.events
    )
    facts: dict[str, Any] = {
        "name": span.name,
        "error": span.status.code == STATUS_ERROR,
        "trace_id": identity(span.trace_id.hex(), 32),
        "span_id": identity(span.span_id.hex(), 16),
        "parent_id": identity(span.parent_span_id.hex(), 16),
        "start": integer(span.start_time_unix_nano),
        "end": integer(span.end_time_unix_nano),
        "service": service,
    }
    return made.record(attributes(span.attributes), events, facts)


def attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    """Return the values of attributes by name.

    Raises:
        DamagedError: a number is none.
    """
    return {pair.key: _value(pair.value) for pair in pairs if pair.HasField("value")}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "int_value":
        return value.int_value
    if kind == "double_value":
        return number(value.double_value)
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    return value.bool_value if kind == "bool_value" else None
