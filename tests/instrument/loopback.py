"""A server on loopback, for SDKs that bring their own HTTP: it answers what it is told, whatever is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """What the server answers.

    Attributes:
        pieces: of the body, sent one by one where there are several.
        kind: its content type.
        breaks: drop the connection behind the last piece, as if more were to come.
    """

    pieces: tuple[bytes, ...]
    kind: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    breaks: bool = False


def whole(body: Any, **more: Any) -> Answer:
    """Return an answer of one JSON body."""
    return Answer((json.dumps(body).encode(),), **more)


def lines(*bodies: Any, **more: Any) -> Answer:
    """Return an answer of one JSON body a line."""
    pieces = tuple(json.dumps(body).encode() + b"\n" for body in bodies)
    return Answer(pieces, "application/x-ndjson", **more)


def events(*bodies: Any, done: bool = True, **more: Any) -> Answer:
    """Return an answer of server-sent events."""
    pieces = [f"data: {json.dumps(body)}\n\n".encode() for body in bodies]
    return Answer((*pieces, *([b"data: [DONE]\n\n"] if done else [])), "text/event-stream", **more)


@dataclass(frozen=True)
class Sent:
    """A request that arrived."""

    path: str
    headers: Mapping[str, str]
    content: bytes
    method: str = "POST"

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class Listening(ThreadingHTTPServer):
    """Many agents may knock in one moment: the least that is let wait, 5, refuses the others."""

    request_queue_size = 128
    daemon_threads = True


class Server:
    """Answers `answer` on a free port of loopback, as long as its ``with`` block lasts.

    Attributes:
        answer: to every request, or what makes it of each.
        requests: what arrived, in order.
    """

    def __init__(self) -> None:
        self.answer: Answer | Callable[[Sent], Answer] = whole({})
        self.requests: list[Sent] = []
        self._http = Listening(("127.0.0.1", 0), Handler)
        self._http.room = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer_to(self, sent: Sent) -> Answer:
        """Return the answer to a request: the same to all of them, or what a function says."""
        answer = self.answer
        return answer(sent) if callable(answer) else answer

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class Handler(BaseHTTPRequestHandler):
    """Keeps a request and sends the server's answer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        room = self.server.room
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        sent = Sent(self.path, dict(self.headers), content)
        room.requests.append(sent)
        self.close_connection = True
        with suppress(ConnectionError):
            self._send(room.answer_to(sent))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"content-type": answer.kind, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("connection", "close")
        if len(answer.pieces) == 1 and not answer.breaks:
            self.send_header("content-length", str(len(answer.pieces[0])))
            self.end_headers()
            self.wfile.write(answer.pieces[0])
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in filter(None, answer.pieces):  # an empty one would end the body
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if not answer.breaks:
            self.wfile.write(b"0\r\n\r\n")

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return one time for ever: some SDKs put headers into their errors."""
        return "Thu, 01 Jan 2026 00:00:00 GMT"

    def log_message(self, *_: object) -> None:
        """Say nothing."""
