"""Records from Jaeger, over version 3 of its API: OTLP JSON, service by service, window by window.

Jaeger 2.13 knows the parameters by names with underscores, later ones by names in camel case; both
are sent. A search by tags came later than 2.13, which passes over it: what is asked of tags is an
offer to send less, and never relied on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from tokentrace import schema
from tokentrace.errors import InputError
from tokentrace.prompt import Record
from tokentrace.readers import Problems, otlp_json
from tokentrace.readers.backends import SECOND, Wanted
from tokentrace.readers.backends.ids import in_hex
from tokentrace.readers.backends.web import Answer, Ask, TooLargeError
from tokentrace.readers.backends.windows import Page, pages

LIMIT = 100  # traces a page: they come whole
SMALLEST = SECOND // 1000
NOTHING = msgspec.Raw()
EMPTY = b'{"resourceSpans":[]}'
SHOWN = 5
SERVICE = schema.SERVICE_NAME
MEND = "--since 7d asks for longer, --service for another"


class Services(msgspec.Struct):
    """The services that sent something."""

    services: list[str] | None = None


class Fault(msgspec.Struct, rename="camel"):
    """An error, as the gateway tells it."""

    http_code: int = 0
    message: str = ""


class Envelope(msgspec.Struct, rename="camel"):
    """One piece of an answer: an export in an envelope, or as it is."""

    result: msgspec.Raw = NOTHING
    error: Fault | None = None
    resource_spans: msgspec.Raw = NOTHING


class Head(msgspec.Struct, rename="camel"):
    """A span, as far as pages are counted."""

    trace_id: str = ""


class Scope(msgspec.Struct):
    """Spans."""

    spans: list[Head] | None = None


class Resource(msgspec.Struct, rename="camel"):
    """Scopes."""

    scope_spans: list[Scope] | None = None


class Heads(msgspec.Struct, rename="camel"):
    """An export, as far as pages are counted."""

    resource_spans: list[Resource] | None = None


SERVICES = msgspec.json.Decoder(Services)
ENVELOPE = msgspec.json.Decoder(Envelope)
HEADS = msgspec.json.Decoder(Heads)


def read(ask: Ask, wanted: Wanted, problems: Problems) -> Iterator[Record]:
    """Yield the records that Jaeger holds, each trace once.

    Raises:
        InputError: see `tokentrace.readers.backends.read`.
    """
    services = _services(ask, wanted)
    known: set[str] = set()
    tags = {schema.CONVERSATION: wanted.session} if wanted.session else {}
    # The tag is asked for as a whole: where nothing bears it, it may be the beginning of an id.
    for asked in (tags, {}) if tags else ({},):
        for service in services:
            for found in _pages(ask, wanted, {**asked, SERVICE: service}, problems):
                yield from (one for one in found if one.trace_id not in known)
                known.update(one.trace_id for one in found)
        if known:
            return
    raise InputError(f"nothing of tokentrace {wanted}", source=str(ask.place), mend=MEND)


def _services(ask: Ask, wanted: Wanted) -> list[str]:
    """Return the services to ask for."""
    try:
        body = ask.get("/api/v3/services")
    except TooLargeError:
        raise ask.broken(b"", "more than a list of services") from None
    try:
        found = SERVICES.decode(body).services or []
    except (ValueError, RecursionError):
        raise ask.broken(body, "something else") from None
    if not wanted.service:
        return sorted(found)
    if wanted.service not in found:
        there = ", ".join(sorted(found)[:SHOWN]) or "none"
        text = f"no service {wanted.service!r} sent anything"
        raise InputError(text, source=str(ask.place), mend=f"of {len(found)}: {there}")
    return [wanted.service]


def _pages(
    ask: Ask, wanted: Wanted, asked: Mapping[str, str], problems: Problems
) -> Iterator[list[Record]]:
    """Yield the records of the traces in which a service takes part, a page at a time."""

    def fetch(begin: int, end: int, times: int) -> Page[bytes]:
        return _page(ask, _parameters(asked, begin, end), times * LIMIT)

    source = str(ask.place)
    for exports in pages(wanted, SMALLEST, fetch, problems, source):
        found: list[Record] = []
        for export in exports:
            found += otlp_json.export(in_hex(export), problems, (source, 0))
        yield [one for one in found if wanted.service in ("", one.service)]


def _parameters(asked: Mapping[str, str], begin: int, end: int) -> dict[str, Any]:
    tags = {name: value for name, value in asked.items() if name != SERVICE}
    said = {
        ("serviceName", "service_name"): asked[SERVICE],
        ("startTimeMin", "start_time_min"): _stamp(begin),
        ("startTimeMax", "start_time_max"): _stamp(end),
        ("rawTraces", "raw_traces"): "true",  # as stored: no clocks adjusted, no warnings added
    }
    plain = {f"query.{name}": value for names, value in said.items() for name in names}
    return {**plain, "query.attributes": json.dumps(tags)} if tags else plain


def _stamp(time: int) -> str:
    """Return a time to the nanosecond, as RFC 3339 writes it."""
    whole = datetime.fromtimestamp(time // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{time % SECOND:09d}Z"


def _page(ask: Ask, parameters: dict[str, Any], limit: int) -> Page[bytes]:
    depth = dict.fromkeys(("query.searchDepth", "query.num_traces"), limit)
    try:
        answer = ask.answer("/api/v3/traces", {**parameters, **depth})
    except TooLargeError:
        return Page([], full=True)
    try:
        found = [_opened(ask, answer, piece) for piece in _pieces(answer.body)]
        traces = {trace for export in found for trace in _traces(export)}
    except (ValueError, RecursionError):
        if answer.status != 200:
            raise ask.refused(answer) from None
        raise ask.broken(answer.body, "broken JSON") from None
    return Page(found, full=len(traces) >= limit)


def _pieces(body: bytes) -> list[Envelope]:
    """Return the values of an answer: one, or one a line where it was streamed."""
    try:
        return [ENVELOPE.decode(body)]
    except msgspec.DecodeError:
        return [ENVELOPE.decode(line) for line in body.splitlines() if line.strip()]


def _opened(ask: Ask, answer: Answer, piece: Envelope) -> bytes:
    """Return the export in an envelope; an empty one where nothing was found."""
    if piece.error is not None and piece.error.http_code == 404:
        return EMPTY
    if piece.error is not None or answer.status != 200:
        raise ask.refused(answer)
    if piece.result != NOTHING:
        return bytes(piece.result)
    return b'{"resourceSpans":%b}' % bytes(piece.resource_spans or b"[]")


def _traces(export: bytes) -> Iterator[str]:
    for resource in HEADS.decode(export).resource_spans or ():
        for scope in resource.scope_spans or ():
            yield from (span.trace_id for span in scope.spans or ())
