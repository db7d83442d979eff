"""Jaeger and Tempo as they answer, on loopback: for paging, and for answers that are none.

with standing(Jaeger(spans)) as end:
    readers.read([f"jaeger:{end.url}"], …)

Spans are pairs of a service and a span of OTLP JSON. ``end.asked`` holds what came: path, parameters
and headers. ``end.instead`` takes the handler and may answer in its own way. What they answer was
taken from Jaeger 2.13 and the API of Tempo 3.0; the real Jaeger is asked in ``tests/backends``.
"""

from __future__ import annotations

import gzip
import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Spans = list[tuple[str, dict[str, Any]]]
IDS = ("traceId", "spanId", "parentSpanId")


def nanoseconds(stamp: str) -> int:
    """Return the ns of a time as RFC 3339 writes it, to the last of nine digits."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


def exported(spans: Spans) -> dict[str, Any]:
    """Return an export of spans, a resource for each, as a back end puts it together."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [
                    {"key": "service.name", "value": {"stringValue": service}},
                ]},
                "scopeSpans": [{"scope": {"name": "tokentrace"}, "spans": [span]}],
            }
            for service, span in spans
        ]
    }  # fmt: skip


@dataclass
class Held:
    """What a back end holds, and what it was asked.

    Attributes:
        packed: whether it answers in gzip.
        hangs_up: whether it closes the connection after each answer, without saying so.
    """

    spans: Spans = field(default_factory=list)
    url: str = ""
    asked: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    instead: Callable[[BaseHTTPRequestHandler], bool] = lambda _: False
    packed: bool = False
    hangs_up: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def within(self, begin: int, end: int, limit: int, service: str = "") -> list[str]:
        """Return the ids of traces with a span in a window, the newest first."""
        found = {
            span["traceId"]: int(span["startTimeUnixNano"])
            for name, span in self.spans
            if begin <= int(span["startTimeUnixNano"]) < end and service in ("", name)
        }
        return sorted(found, key=lambda trace: -found[trace])[:limit]

    def whole(self, traces: list[str]) -> Spans:
        """Return all spans of traces."""
        return [one for one in self.spans if one[1]["traceId"] in traces]


@dataclass
class Jaeger(Held):
    """Version 3 of its API.

    Attributes:
        tags: whether it searches by tags, as versions after 2.13 do; they know the new names only.
        streams: whether it answers a trace a line.
    """

    tags: bool = False
    streams: bool = False

    def answer(self, path: str, given: dict[str, str]) -> tuple[int, str]:
        """Return status and body."""
        if path == "/api/v3/services":
            return 200, json.dumps({"services": sorted({name for name, _ in self.spans})})
        if path != "/api/v3/traces":
            return 200, "<!doctype html><title>Jaeger UI</title>"
        names = ("serviceName", "startTimeMin", "startTimeMax", "searchDepth")
        old = ("service_name", "start_time_min", "start_time_max", "num_traces")
        service, begin, end, limit = (
            given[f"query.{name}"] for name in (names if self.tags else old)
        )
        held = self.within(nanoseconds(begin), nanoseconds(end), int(limit), service)
        if self.tags and "query.attributes" in given:
            held = [trace for trace in held if self._tagged(trace, given["query.attributes"])]
        if not held:
            error = {"httpCode": 404, "message": "No traces found"}
            return 404, json.dumps({"error": error})
        groups = [[one] for one in held] if self.streams else [held]
        answers = [{"result": exported(self.whole(group))} for group in groups]
        return 200, "\n".join(map(json.dumps, answers))

    def _tagged(self, trace: str, tags: str) -> bool:
        wanted = json.loads(tags).items()
        return any(
            {(one["key"], one["value"].get("stringValue")) for one in span["attributes"]} >= wanted
            for _, span in self.whole([trace])
        )


@dataclass
class Tempo(Held):
    """Search and traces by id; the query itself is only kept in ``asked``."""

    def answer(self, path: str, given: dict[str, str]) -> tuple[int, str]:
        """Return status and body."""
        if path == "/api/search":
            begin, end = int(given["start"]) * 10**9, int(given["end"]) * 10**9
            found = self.within(begin, end, int(given["limit"]))
            traces = [{"traceID": one.lstrip("0"), "rootServiceName": "x"} for one in found]
            return 200, json.dumps({"traces": traces, "metrics": {"totalBlocks": 1}})
        trace = path.rpartition("/")[2]
        held = [(name, self.written(span)) for name, span in self.whole([trace])]
        if not held:
            return 404, "trace not found"
        return 200, json.dumps({"trace": exported(held), "metrics": {}})

    @staticmethod
    def written(span: dict[str, Any]) -> dict[str, Any]:
        """Return a span as protobuf writes JSON: ids in base64, names for numbers."""
        ids = {
            name: b64encode(bytes.fromhex(span[name])).decode() for name in IDS if span.get(name)
        }
        error = {"status": {"code": "STATUS_CODE_ERROR"}} if span.get("status") else {}
        return {**span, **ids, "kind": "SPAN_KIND_CLIENT", **error}


@contextmanager
def standing(held: Any) -> Iterator[Any]:
    """Serve what a back end holds, under ``held.url``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            parts = urlsplit(self.path)
            given = dict(parse_qsl(parts.query))
            held.asked.append((parts.path, given, dict(self.headers)))
            if held.instead(self):
                return
            status, text = held.answer(parts.path, given)
            body = gzip.compress(text.encode()) if held.packed else text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if held.packed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = held.hangs_up

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.held = True, held
    server.handle_error = lambda *_: None  # a client that hung up is part of the test
    held.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield held
    finally:
        held.done.set()
        server.shutdown()
        server.server_close()
