"""OTLP-JSON lines: what the local exporter, the Collector's file exporter and others write.

A line is one export: any number of resources, scopes and spans. Ids are hex; 64-bit integers may
be strings (OTLP 1.5, "JSON Protobuf Encoding"). Lines of logs and metrics are passed over. Messages
in protobuf (`otlp_proto`) are read in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tokentrace import schema
from tokentrace.errors import InputError
from tokentrace.prompt import Event, Record
from tokentrace.readers import Problems, Seen, lines, made, otlp_proto, quiet
from tokentrace.readers.made import DamagedError, identity, integer

FOREIGN_AFTER = 1000  # lines without one export: not our kind of file, however long it is
NOTHING = msgspec.Raw()
Lines = Iterable[tuple[int, bytes]]
Waiting = tuple[str, Any]  # a service, and a span of JSON or protobuf that is still unread
STATUS_ERROR = (2, "STATUS_CODE_ERROR")
ONE_LINE = "one export a line is needed; `jq -c .` makes lines of a document"
NOT_OURS = "call tokentrace.instrument() in the agent"


# ── the wire ─────────────────────────────────────────────────────────────────────────────────────


class Array(msgspec.Struct, gc=False):
    """A list of values."""

    values: list[Value] | None = None


class Value(msgspec.Struct, rename="camel", gc=False):
    """A value; maps and bytes are none of ours and stay unread."""

    string_value: str | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    array_value: Array | None = None


class Attribute(msgspec.Struct, gc=False):
    """A name and its value."""

    key: str
    value: Value | None = None


class SpanEvent(msgspec.Struct, rename="camel", gc=False):
    """An event on a span."""

    name: str = ""
    time_unix_nano: int | str = 0
    attributes: list[Attribute] | None = None


class Status(msgspec.Struct, gc=False):
    """How a span ended."""

    code: int | str = 0


class Span(msgspec.Struct, rename="camel", gc=False):
    """A span, as far as records need it."""

    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    name: str = ""
    start_time_unix_nano: int | str = 0
    end_time_unix_nano: int | str = 0
    attributes: list[Attribute] | None = None
    events: list[SpanEvent] | None = None
    status: Status | None = None


class Scope(msgspec.Struct, gc=False):
    """The spans of one instrumentation scope, each still unread."""

    spans: list[msgspec.Raw] | None = None


class Origin(msgspec.Struct, gc=False):
    """Who sent the spans."""

    attributes: list[Attribute] | None = None


class Resource(msgspec.Struct, rename="camel", gc=False):
    """The scopes of one sender."""

    resource: Origin | None = None
    scope_spans: list[Scope] | None = None


class Export(msgspec.Struct, rename="camel", gc=False):
    """A line."""

    resource_spans: list[Resource] | None = None
    resource_logs: msgspec.Raw = NOTHING
    resource_metrics: msgspec.Raw = NOTHING


EXPORT = msgspec.json.Decoder(Export)
SPAN = msgspec.json.Decoder(Span)
OURS = f'"{schema.PREFIX}'.encode()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Found:
    """What a source turned out to hold."""

    lines: int = 0
    exports: int = 0
    spans: int = 0
    ours: int = 0
    records: int = 0


def read(
    path: str, problems: Problems, seen: Seen = quiet, given: Lines | None = None
) -> Iterator[Record]:
    """Yield the records of ``path``: a file, a folder of ``*.jsonl*`` files, ``-`` for stdin.

    A damaged line or span is skipped and goes to ``problems``; in a folder so does a whole file.

    Args:
        path: where to read; gzip is recognised.
        problems: takes what was skipped.
        seen: called with the number of bytes read since its last call.
        given: the lines of ``path``, where they are being read already.

    Raises:
        InputError: nothing there, nothing in it, or nothing that tokentrace recorded.
    """
    found = _Found()
    if given is not None or path == lines.STDIN or not Path(path).is_dir():
        given = lines.read(path, problems, seen) if given is None else given
        yield from _file(path, found, problems, given)
    else:
        yield from _folder(path, found, problems, seen)
    if not found.records:
        raise _nothing(path, found, problems)


def _folder(path: str, found: _Found, problems: Problems, seen: Seen) -> Iterator[Record]:
    for file in lines.files(path):
        try:
            yield from _file(str(file), found, problems, lines.read(str(file), problems, seen))
        except InputError as error:
            problems.add(str(file), 0, str(error.args[0]))


def _file(path: str, found: _Found, problems: Problems, given: Lines) -> Iterator[Record]:
    exports = 0
    for number, line in given:
        found.lines += 1
        try:
            spans = list(_spans(line))
        except (ValueError, RecursionError) as error:
            problems.add(path, number, _reason(error))
        else:
            exports += 1
            found.exports += 1
            yield from _records(spans, found, problems, (path, number))
        if number > FOREIGN_AFTER and not exports:
            raise InputError("not an OTLP-JSON trace", source=path, mend=ONE_LINE)


def export(line: bytes, problems: Problems, at: tuple[str, int]) -> Iterator[Record]:
    """Yield the records of one export; what is damaged goes to ``problems``, with its place."""
    try:
        spans = list(_spans(line))
    except (ValueError, RecursionError) as error:
        problems.add(*at, _reason(error))
    else:
        yield from _records(spans, _Found(), problems, at)


def is_export(line: bytes) -> bool:
    """Whether a line is an OTLP export in JSON, whatever is in it."""
    if not line.startswith(b"{"):
        return False
    try:
        export = EXPORT.decode(line)
    except (ValueError, RecursionError):
        return False
    return export.resource_spans is not None or _other(export)


def _other(export: Export) -> bool:
    return export.resource_logs != NOTHING or export.resource_metrics != NOTHING


def _spans(line: bytes) -> Iterator[Waiting]:
    """Yield each span of an export, unread, with the name of its service."""
    if isinstance(line, lines.Message):
        yield from otlp_proto.spans(line)
        return
    export = EXPORT.decode(line)
    if export.resource_spans is None and not _other(export):
        raise DamagedError("JSON, but no OTLP export")
    for resource in export.resource_spans or ():
        origin = resource.resource
        service = _attributes(origin.attributes).get(schema.SERVICE_NAME, "") if origin else ""
        for scope in resource.scope_spans or ():
            for span in scope.spans or ():
                yield str(service), span


def _records(
    spans: list[Waiting], found: _Found, problems: Problems, at: tuple[str, int]
) -> Iterator[Record]:
    for service, raw in spans:
        found.spans += 1
        if not (OURS in bytes(raw) if isinstance(raw, msgspec.Raw) else otlp_proto.ours(raw)):
            continue
        found.ours += 1
        try:
            record = _record(raw, service)
        except (ValueError, RecursionError) as error:
            problems.add(*at, f"a span: {_reason(error)}")
            continue
        if record is not None:
            found.records += 1
            yield record


def _record(raw: Any, service: str) -> Record | None:
    if isinstance(raw, msgspec.Raw):
        return record_of(SPAN.decode(raw), service)
    return otlp_proto.record_of(raw, service)


def record_of(span: Span, service: str) -> Record | None:
    """Return the record on a span, or None where it bears none.

    Raises:
        DamagedError: a number, id or time is none.
    """
    events = tuple(
        Event(event.name, _attributes(event.attributes), integer(event.time_unix_nano))
        for event in span.events or ()
    )
    facts: dict[str, Any] = {
        "name": span.name,
        "error": span.status is not None and span.status.code in STATUS_ERROR,
        "trace_id": identity(span.trace_id, 32),
        "span_id": identity(span.span_id, 16),
        "parent_id": identity(span.parent_span_id, 16),
        "start": integer(span.start_time_unix_nano),
        "end": integer(span.end_time_unix_nano),
        "service": service,
    }
    return made.record(_attributes(span.attributes), events, facts)


def _attributes(pairs: list[Attribute] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs or ():
        value = pair.value
        if value is None:
            continue
        if (text := value.string_value) is not None:
            found[pair.key] = text
        elif (raw := value.int_value) is not None:
            found[pair.key] = integer(raw)
        else:
            found[pair.key] = _value(value)
    return found


def _value(value: Value) -> Any:
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return integer(value.int_value)
    if value.double_value is not None:
        return made.number(value.double_value)
    if value.array_value is not None:
        return tuple(_value(item) for item in value.array_value.values or ())
    return value.bool_value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return (
        str(error).replace("JSON is malformed", "broken JSON").replace("Input data was", "cut off:")
    )


def _nothing(path: str, found: _Found, problems: Problems) -> InputError:
    """Return what to say of a source that gave no record."""
    if not found.lines and not problems.count:
        return InputError("is empty: no spans yet", source=path, mend=NOT_OURS)
    first = problems.kept[0] if problems.kept else None
    reason = f"; line {first.line}: {first.reason}" if first else ""
    if not found.exports:
        return InputError(f"not an OTLP-JSON trace{reason}", source=path, mend=ONE_LINE)
    if found.ours:
        text = f"none of its {found.ours} spans of tokentrace is readable{reason}"
        return InputError(text, source=path)
    text = f"holds {found.spans} spans, none recorded by tokentrace"
    return InputError(text, source=path, mend=NOT_OURS)
