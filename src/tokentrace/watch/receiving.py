"""An OTLP/HTTP endpoint that keeps nothing: spans become records, which a callback takes."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tokentrace import schema
from tokentrace.errors import InputError
from tokentrace.prompt import Record
from tokentrace.readers import Problems, otlp_json
from tokentrace.readers.framing import Message

LARGEST = 64 << 20  # bytes of a request, packed or not
PATIENCE = 30.0  # seconds for a sender that stops in the middle
PATHS = {"/v1/traces", "/v1/metrics", "/v1/logs"}
PROTOBUF, JSON = "application/x-protobuf", "application/json"

OURS = schema.PREFIX.encode()

Take = Callable[[list[Record]], None]


class RefusedError(ValueError):
    """A request that is answered with an error; ``status`` is of HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a fleet exports in one moment; by default the sixth is refused

    def __init__(self, family: int, address: tuple[str, int], handler: Any) -> None:
        self.address_family = family
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a sender that went away is its own affair."""


def records(data: bytes) -> list[Record]:
    """Return the records of an export in JSON, or a `Message`; damaged spans are left out.

    Raises:
        RefusedError: it is no export.
    """
    problems = Problems()
    found = list(otlp_json.export(data, problems, ("OTLP", 0)))
    empty = data.strip() == b"{}"  # an export of nothing, as protobuf has it in no byte at all
    if problems.count and not (found or empty) and OURS not in data:
        raise RefusedError(400)
    return found


@contextmanager
def receiving(host: str, port: int, take: Take) -> Iterator[str]:
    """Listen for OTLP over HTTP, protobuf or JSON, gzip or not; give the URL for senders.

    Args:
        host: a name or an address.
        port: 0 takes any that is free.
        take: called with the records of an export, from the threads of the server.

    Raises:
        InputError: the address cannot be had.
    """
    server = _server(host, port, _handler(take))
    thread = Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(take: Take) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the base class wants this name
            kind = self.headers.get_content_type()
            try:
                data = _body(self)
                if self.path == "/v1/traces":
                    take(records(data if kind == JSON else Message(data)))
                status = 200 if self.path in PATHS else 404
            except RefusedError as refused:
                status = refused.status
            except ValueError:
                status = 400
            self._answer(status, JSON if kind == JSON else PROTOBUF)

        def _answer(self, status: int, kind: str) -> None:
            body = b"{}" if kind == JSON and status == 200 else b""
            self.close_connection = status != 200
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:  # the terminal is the view's
            pass

    return Handler


def _server(host: str, port: int, handler: Any) -> _Server:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, *_, address = found[0]
        return _Server(family, address[:2], handler)  # type: ignore[arg-type]
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        mend = "choose another with --listen HOST:PORT; port 0 takes any that is free"
        raise InputError(f"cannot listen: {reason}", source=f"{host}:{port}", mend=mend) from error


def _body(request: BaseHTTPRequestHandler) -> bytes:
    """Return the bytes of a request, unpacked.

    Raises:
        RefusedError: too large, of no length, or damaged.
    """
    length = request.headers.get("Content-Length", "")
    if not length.isdigit():
        raise RefusedError(411)
    if int(length) > LARGEST:
        raise RefusedError(413)
    data = request.rfile.read(int(length))
    if request.headers.get("Content-Encoding", "").lower() != "gzip":
        return data
    try:
        unpacker = zlib.decompressobj(wbits=31)
        unpacked = unpacker.decompress(data, LARGEST)
    except zlib.error:
        raise RefusedError(400) from None
    if unpacker.unconsumed_tail:
        raise RefusedError(413)
    return unpacked
