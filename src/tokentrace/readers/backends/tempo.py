"""Records from Tempo: a TraceQL search for ids, window by window, and each trace by its id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from tokentrace import schema
from tokentrace.errors import InputError
from tokentrace.prompt import Record
from tokentrace.readers import Problems, otlp_json
from tokentrace.readers.backends import SECOND, Wanted
from tokentrace.readers.backends.ids import in_hex
from tokentrace.readers.backends.web import Ask, TooLargeError
from tokentrace.readers.backends.windows import Page, pages

LIMIT = 1000  # ids a page
ID = re.compile(r"[0-9a-fA-F]{1,32}\Z")  # it becomes a part of the next request's path
SMALLEST = SECOND  # a search knows whole seconds only
NOTHING = msgspec.Raw()
GONE = {404: "no longer there", 413: "too large for Tempo", 422: "too large for Tempo"}
MEND = "--since 7d asks for longer; what is under half a minute old may not be searchable yet"


class Hit(msgspec.Struct):
    """A trace that was found."""

    trace_id: str = msgspec.field(name="traceID")


class Hits(msgspec.Struct):
    """What a search found."""

    traces: list[Hit] | None = None


class Whole(msgspec.Struct):
    """A trace by its id; ``status`` tells of one that is not whole."""

    trace: msgspec.Raw = NOTHING
    status: str | int = ""


HITS = msgspec.json.Decoder(Hits)
WHOLE = msgspec.json.Decoder(Whole)
PARTIAL = {"PARTIAL", 1}


def read(ask: Ask, wanted: Wanted, problems: Problems) -> Iterator[Record]:
    """Yield the records that Tempo holds, each trace once.

    Raises:
        InputError: see `tokentrace.readers.backends.read`.
    """
    query = wanted.traceql or search(wanted)

    def fetch(begin: int, end: int, times: int) -> Page[str]:
        return _hits(ask, query, (begin, end), times * LIMIT)

    known: set[str] = set()
    told = False
    for found in pages(wanted, SMALLEST, fetch, problems, str(ask.place)):
        for trace in found:
            if trace not in known:
                known.add(trace)
                for record in _trace(ask, trace, problems):
                    if wanted.service in ("", record.service):
                        told = True
                        yield record
    if not told:
        text = f"nothing of tokentrace {wanted}"
        raise InputError(text, source=str(ask.place), mend=MEND)


def search(wanted: Wanted) -> str:
    """Return TraceQL that finds our spans, of one service and session where they are named."""
    ours = (f"span.{schema.TOKENS} >= 0", f"span.{schema.INCLUDED} >= 0")
    asked = [f"({' || '.join(ours)})"]
    if wanted.service:
        asked.append(f"resource.{schema.SERVICE_NAME} = {json.dumps(wanted.service)}")
    if wanted.session:
        begins = json.dumps(f"{re.escape(wanted.session)}.*")
        names = (f"span.{name} =~ {begins}" for name in (schema.CONVERSATION, schema.LINEAGE))
        asked.append(f"({' || '.join(names)})")
    return f"{{ {' && '.join(asked)} }}"


def _hits(ask: Ask, query: str, window: tuple[int, int], limit: int) -> Page[str]:
    """Return the ids of a window; an answer without a list of traces found none."""
    begin, end = window[0] // SECOND, -(-window[1] // SECOND)
    asked = {"q": query, "start": begin, "end": end, "limit": limit, "spss": 1}
    try:
        body = ask.get("/api/search", asked)
    except TooLargeError:
        return Page([], full=True)
    try:
        found = HITS.decode(body).traces or []
    except (ValueError, RecursionError):
        raise ask.broken(body, "something else") from None
    if not all(ID.match(hit.trace_id) for hit in found):
        raise ask.broken(body, "an id that is none")
    # Tempo leaves out the zeros at an id's beginning.
    return Page([hit.trace_id.zfill(32) for hit in found], full=len(found) >= limit)


def _trace(ask: Ask, trace: str, problems: Problems) -> Iterator[Record]:
    source = str(ask.place)
    try:
        answer = ask.answer(f"/api/v2/traces/{trace}")
    except TooLargeError:
        problems.add(source, 0, f"trace {trace}: too large to be read")
        return
    if answer.status in GONE:
        problems.add(source, 0, f"trace {trace}: {GONE[answer.status]}")
        return
    if answer.status != 200:
        raise ask.refused(answer)
    try:
        whole = WHOLE.decode(answer.body)
    except (ValueError, RecursionError):
        raise ask.broken(answer.body, "broken JSON") from None
    if whole.status in PARTIAL:
        problems.add(source, 0, f"trace {trace}: Tempo holds only a part of it")
    if whole.trace != NOTHING:
        yield from otlp_json.export(in_hex(bytes(whole.trace)), problems, (source, 0))
