"""OTLP-JSON lines, built as an exporter builds them: for tests of readers, and for benches."""

from __future__ import annotations

import json

from tokentrace import schema


def value(raw):
    """Return a value as on the wire: 64-bit integers are strings."""
    if isinstance(raw, bool):
        return {"boolValue": raw}
    if isinstance(raw, int):
        return {"intValue": str(raw)}
    if isinstance(raw, float):
        return {"doubleValue": raw}
    if isinstance(raw, tuple):
        return {"arrayValue": {"values": [value(one) for one in raw]}}
    return {"stringValue": raw}


def attributes(pairs):
    return [{"key": key, "value": value(raw)} for key, raw in pairs.items()]


def event(one):
    stamp = str(one.time)
    pairs = schema.dump_event(one.name, one.attributes)
    return {"name": one.name, "timeUnixNano": stamp, "attributes": attributes(pairs)}


def span(record, **changes):
    """Return a record's span as a mapping."""
    plain = {
        "traceId": record.trace_id,
        "spanId": record.span_id,
        "parentSpanId": record.parent_id,
        "name": getattr(record, "name", "") or "chat gpt-4o",
        "kind": 3,
        "startTimeUnixNano": str(record.start),
        "endTimeUnixNano": str(record.end),
        "attributes": attributes(schema.dump(record)),
        "events": [event(one) for one in record.events],
        "status": {"code": 2} if getattr(record, "error_type", "") else {},
    }
    return {**plain, **changes}


def export(*spans, service="agents"):
    """Return one line: an export of ``spans``."""
    resource = {"attributes": attributes({schema.SERVICE_NAME: service})}
    scopes = [{"scope": {"name": "tokentrace"}, "spans": list(spans)}]
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}) + "\n"
