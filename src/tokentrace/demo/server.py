"""A small server on loopback that speaks as much of OpenAI's API as the demo needs.

``POST /v1/chat/completions``, plain and streamed. What it answers and which usage it reports comes
from outside: for the demo a recording, see `tokentrace.demo.recorded`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

CREATED = 1_780_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model and the usage that is reported with it, in tokens.

    Attributes:
        text: the answer; empty when a tool is called.
        tool: name and arguments of the tool that is called, or None.
        prompt, completion: reported tokens.
        cached: reported cached tokens, part of ``prompt``.
    """

    text: str = ""
    tool: tuple[str, str] | None = None
    prompt: int = 0
    completion: int = 0
    cached: int = 0

    @property
    def usage(self) -> dict[str, Any]:
        """The usage as OpenAI writes it."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }

    @property
    def finish(self) -> str:
        """Why the answer ends."""
        return "tool_calls" if self.tool else "stop"

    def calls(self, number: int) -> list[dict[str, Any]]:
        """The tool calls as OpenAI writes them."""
        if self.tool is None:
            return []
        name, arguments = self.tool
        function = {"name": name, "arguments": arguments}
        return [{"id": f"call_{number:04d}", "type": "function", "function": function}]


class Server:
    """Answers chat completions on a free port of loopback, as long as its ``with`` block lasts.

    Args:
        answer: gives the reply to a request body, or None for 404.

    Attributes:
        url: base URL for an SDK, with ``/v1``.
        origin: the same without; to be an SDK's HTTP proxy, so that any base URL leads here.
        bodies: the request bodies that arrived, in order.
    """

    def __init__(self, answer: Callable[[Mapping[str, Any]], Reply | None]) -> None:
        self._answer = answer
        self._http = _Listening(("127.0.0.1", 0), _Handler)
        self._http.app = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self.origin = f"http://127.0.0.1:{self._http.server_port}"
        self.url = f"{self.origin}/v1"
        self.bodies: list[Mapping[str, Any]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def respond(self, path: str, content: bytes) -> tuple[int, str, Iterator[bytes]]:
        """Return status, media type and body of the answer to one request."""
        if urlsplit(path).path != "/v1/chat/completions":
            return _problem(404, f"no such path here: {path}")
        try:
            body = json.loads(content)
        except ValueError:
            return _problem(400, "the request body is not JSON")
        if not isinstance(body, dict):
            return _problem(400, "the request body is not an object")
        self.bodies.append(body)
        reply = self._answer(body)
        if reply is None:
            return _problem(
                404, "this server holds one recorded conversation, and this is not in it"
            )
        number = len(self.bodies)
        if body.get("stream"):
            return 200, "text/event-stream", _events(body, reply, number)
        return 200, "application/json", iter([_whole(body, reply, number)])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """Serve one connection until the client leaves, however it does."""
        with suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:
        """Answer one request, in chunks."""
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, kind, body = self.server.app.respond(self.path, content)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in body:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Keep the terminal for the demo."""


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = (
        128  # parallel sessions start in one moment; by default the sixth is refused
    )


def _problem(status: int, message: str) -> tuple[int, str, Iterator[bytes]]:
    error = {"error": {"message": message, "type": "invalid_request_error", "code": None}}
    return status, "application/json", iter([json.dumps(error).encode()])


def _head(body: Mapping[str, Any], number: int, kind: str) -> dict[str, Any]:
    model = body.get("model")
    return {"id": f"chatcmpl-demo-{number:04d}", "object": kind, "created": CREATED, "model": model}


def _whole(body: Mapping[str, Any], reply: Reply, number: int) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.tool:
        message["tool_calls"] = reply.calls(number)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish}
    whole = _head(body, number, "chat.completion") | {"choices": [choice], "usage": reply.usage}
    return json.dumps(whole).encode()


def _events(body: Mapping[str, Any], reply: Reply, number: int) -> Iterator[bytes]:
    head = _head(body, number, "chat.completion.chunk")
    options = body.get("stream_options") or {}
    for delta, finish in _deltas(reply, number):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield _event(head | {"choices": [choice]})
    if options.get("include_usage"):
        yield _event(head | {"choices": [], "usage": reply.usage})
    yield b"data: [DONE]\n\n"


def _deltas(reply: Reply, number: int) -> Iterator[tuple[dict[str, Any], str | None]]:
    yield {"role": "assistant", "content": ""}, None
    for word in re.findall(r"\S+\s*", reply.text):
        yield {"content": word}, None
    for call in reply.calls(number):
        yield {"tool_calls": [{"index": 0, **call}]}, None
    yield {}, reply.finish


def _event(data: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
