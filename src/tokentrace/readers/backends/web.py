"""Questions to a back end over HTTP: one address, one deadline for an answer, bounded bytes.

Redirects are not followed and proxies of the environment not asked: the address that was checked is
the one that answers.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    IncompleteRead,
    RemoteDisconnected,
)
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from tokentrace.errors import InputError
from tokentrace.readers import Seen
from tokentrace.readers.backends import Wanted, addresses
from tokentrace.readers.backends.addresses import Place

PAGE = 32 << 20  # bytes of an answer, unpacked
STEP = 1 << 16
CONNECT = 10.0  # seconds for a connection, where the timeout is longer
TOLD = 200  # characters of what a back end says of an error
HTML = b"<"
TOKEN = "give --header 'Authorization: Bearer …' or set TOKENTRACE_HEADER"  # noqa: S105
PORT = {"jaeger": "Jaeger's query port, 16686", "tempo": "Tempo's HTTP port, 3200"}
MENDS = {401: TOKEN, 403: TOKEN, 429: "ask for less, or later"}


class TooLargeError(Exception):
    """An answer of more bytes than a page may have."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status of HTTP, and the body that came with it."""

    status: int
    body: bytes


class _Patient(io.RawIOBase):
    """What a socket sends, as long as there is time left."""

    def __init__(self, connection: _Connection, wire: socket.socket) -> None:
        self.connection, self.wire = connection, wire
        self.bytes = wire.makefile("rb", buffering=0)  # holds the socket open until it is closed

    def readable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Wait for bytes until the deadline."""
        self.wire.settimeout(self.connection.left())
        return self.bytes.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self.bytes.close()
        super().close()


class _Wire:
    """A connected socket, as far as `HTTPConnection` uses one."""

    def __init__(self, connection: _Connection, wire: socket.socket) -> None:
        self.connection, self.wire = connection, wire

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what is read from it."""
        return io.BufferedReader(_Patient(self.connection, self.wire), STEP)

    def sendall(self, data: bytes) -> None:
        """Send all, before the deadline."""
        self.wire.settimeout(self.connection.left())
        self.wire.sendall(data)

    def close(self) -> None:
        """Hang up."""
        self.wire.close()


class _Connection(HTTPConnection):
    """A connection to a checked address, with a deadline over all that an answer takes.

    Attributes:
        until: the deadline, on the monotonic clock.
    """

    def __init__(self, place: Place, wanted: Wanted) -> None:
        super().__init__(place.host, place.port)
        self.place, self.wanted = place, wanted
        self.until = 0.0

    def left(self) -> float:
        """Return the seconds that are left; raise TimeoutError where none are."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def connect(self) -> None:
        """Connect to the first address that takes it."""
        found = addresses.allowed(self.place, self.left(), private=self.wanted.allow_private)
        failed: OSError = TimeoutError()
        for family, address in found:
            wire = socket.socket(family, socket.SOCK_STREAM)
            try:
                wire.settimeout(min(CONNECT, self.left()))
                wire.connect(address)
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire = self._secured(wire)
            except OSError as error:
                wire.close()
                failed = error
            else:
                self.sock = cast("socket.socket", _Wire(self, wire))
                return
        raise failed

    def _secured(self, wire: socket.socket) -> socket.socket:
        if self.place.scheme == "http":
            return wire
        wire.settimeout(self.left())
        return ssl.create_default_context().wrap_socket(wire, server_hostname=self.place.host)


@dataclass(slots=True)
class Ask:
    """A back end that can be asked.

    Attributes:
        place: where it is.
        seen: called with the bytes of each answer as they come.
    """

    place: Place
    wanted: Wanted
    seen: Seen
    _connection: _Connection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = _Connection(self.place, self.wanted)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> bytes:
        """Return the body of an answer.

        Raises:
            InputError: no answer in time, half of one, or an error.
            TooLargeError: more than a page holds.
        """
        answer = self.answer(path, params)
        if answer.status == 200:
            return answer.body
        raise self.refused(answer)

    def answer(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Return an answer, whatever its status; raises what `get` does, but for errors."""
        target = f"{self.place.base}{path}{'?' if params else ''}{urlencode(params or {})}"
        connection = self._connection
        connection.until = time.monotonic() + self.wanted.timeout
        used = connection.sock is not None
        try:
            try:
                return self._asked(target)
            except (RemoteDisconnected, ConnectionError):
                if not used:  # a connection that was kept may have been closed by the other side
                    raise
                connection.close()
                return self._asked(target)
        except (OSError, HTTPException, zlib.error) as error:
            connection.close()
            raise self._failed(error) from None
        except (InputError, TooLargeError):
            connection.close()
            raise

    def broken(self, body: bytes, reason: str) -> InputError:
        """Return what to say of a body that is not what such a back end answers."""
        what = "an HTML page" if body.lstrip()[:1] == HTML else reason
        name = self.place.kind.capitalize()
        mend = f"is that {PORT[self.place.kind]}?"
        return InputError(f"no answer of {name}, but {what}", source=str(self.place), mend=mend)

    def refused(self, answer: Answer) -> InputError:
        """Return what to say of an error."""
        status = answer.status
        told = " ".join(answer.body[: 4 * TOLD].decode("utf-8", "replace").split())[:TOLD]
        said = f": {told}" if told and not told.startswith("<") else ""
        mend = MENDS.get(status, "")
        if status in {401, 403}:
            text = f"not authorised (HTTP {status})"
        elif status == 404:
            text, mend = "nothing there (HTTP 404)", f"is that {PORT[self.place.kind]}?"
        else:
            text = f"answers with HTTP {status}{said}"
        return InputError(text, source=str(self.place), mend=mend)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _asked(self, target: str) -> Answer:
        self._connection.request("GET", target, headers=self._headers())
        with self._connection.getresponse() as response:
            if 300 <= response.status < 400:
                raise _redirected(self.place, response)
            body = b"".join(_unpacked(response, self.seen))
            if response.length:
                raise IncompleteRead(b"", response.length)
            return Answer(response.status, body)

    def _headers(self) -> dict[str, str]:
        own = {"Host": self.place.origin, "Accept": "application/json", "Accept-Encoding": "gzip"}
        if self.place.login:
            own["Authorization"] = f"Basic {b64encode(self.place.login.encode()).decode()}"
        return {**own, **self.wanted.headers}

    def _failed(self, error: Exception) -> InputError:
        """Return one line for what went wrong on the wire."""
        mend = ""
        if isinstance(error, TimeoutError):
            text = f"no whole answer in {self.wanted.timeout:g} s"
            mend = "ask for less, or give a longer --timeout"
        elif isinstance(error, ConnectionRefusedError):
            text, mend = "connection refused", f"is it running there? {PORT[self.place.kind]}"
        elif isinstance(error, ssl.SSLCertVerificationError):
            text = f"its certificate is not trusted: {error.verify_message}"
            mend = "SSL_CERT_FILE names the certificates to trust"
        elif isinstance(error, ssl.SSLError):
            text, mend = f"no TLS: {error.reason or error}", "http:// where there is no TLS"
        elif isinstance(error, RemoteDisconnected):
            text, mend = "hung up without an answer", f"is that {PORT[self.place.kind]}?"
        elif isinstance(error, (IncompleteRead, ConnectionError, zlib.error)):
            text = "half an answer: the connection ended early"
        elif isinstance(error, (BadStatusLine, HTTPException)):
            text = "no answer of HTTP"
        else:
            text = f"cannot be reached: {getattr(error, 'strerror', None) or error}"
        return InputError(text, source=str(self.place), mend=mend)


def _redirected(place: Place, response: HTTPResponse) -> InputError:
    there = urlsplit(response.headers.get("Location", ""))
    where = f" to {there.scheme}://{there.hostname}" if there.hostname else ""
    text = f"sends us elsewhere{where} (HTTP {response.status})"
    return InputError(text, source=str(place), mend="give the URL that answers itself")


def _unpacked(response: HTTPResponse, seen: Seen) -> Iterator[bytes]:
    """Yield the bytes of a body, gzip taken apart on the way."""
    packed = response.headers.get("Content-Encoding", "") in {"gzip", "x-gzip"}
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packed else None
    size = 0
    while data := response.read1(STEP):
        seen(len(data))
        made = unpack.decompress(data, PAGE - size + 1) if unpack else data
        size += len(made)
        if size > PAGE:
            raise TooLargeError
        yield made
    if unpack and not unpack.eof and size:
        raise IncompleteRead(b"")


@contextmanager
def asking(place: Place, wanted: Wanted, seen: Seen) -> Iterator[Ask]:
    """Give a back end to ask, and hang up at the end."""
    ask = Ask(place, wanted, seen)
    try:
        yield ask
    finally:
        with suppress(OSError):
            ask.close()
