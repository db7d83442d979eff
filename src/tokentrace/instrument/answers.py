"""What an agent that speaks HTTP itself gets back: JSON, HTTP responses, lines of a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tokentrace._shapes.responses import FIRST_ERROR
from tokentrace._shapes.text import decoded
from tokentrace.instrument.content import masked

LONGEST_LINE = 16 * 2**20
CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
OTHER = "_OTHER"
# Where HTTP libraries keep a body that was read (httpx, requests; aiohttp), and a status.
BODIES = ("_content", "_body")
STATUSES = ("status_code", "status")


class Answer(NamedTuple):
    """What came back.

    Attributes:
        body: parsed JSON or an SDK's object, None where it cannot be read.
        status: of HTTP, None where nobody tells.
        error: the provider's code or the status where the call was refused, else empty.
    """

    body: Any = None
    status: int | None = None
    error: str = ""


def read(value: Any) -> Answer:
    """Read a response: parsed JSON, its text, an SDK's object, or a response of an HTTP library.

    A body that the caller has not read is not read here.
    """
    status = _status(value)
    body = decoded(_content(value) if status is not None else value)
    return Answer(body, status, _error(body, status))


def _status(value: Any) -> int | None:
    """Return an HTTP response's status; bodies as mappings and SDK objects have none."""
    if isinstance(value, Mapping) or not any(hasattr(value, name) for name in BODIES):
        return None
    found = (getattr(value, name, None) for name in STATUSES)
    return next((status for status in found if isinstance(status, int)), None)


def _content(response: Any) -> Any:
    found = (getattr(response, name, None) for name in BODIES)
    return next((content for content in found if isinstance(content, bytes)), None)


def _error(body: Any, status: int | None) -> str:
    """Return what the provider calls its refusal, where it is one."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not error and (status is None or status < FIRST_ERROR):
        return ""
    known = error if isinstance(error, Mapping) else {}
    codes = (known.get("code"), known.get("type"), status)
    return next((text for code in codes if _is_code(text := str(code or ""))), OTHER)


def _is_code(text: str) -> bool:
    """Whether a text is a name, and not a key that a host repeats."""
    return CODE.match(text) is not None and masked(text) == text


class Lines:
    """Finds the JSON in the pieces of a streamed body: server-sent events, or one JSON a line.

    Pieces that are no text are items already. A line longer than 16 MiB is passed over.
    """

    def __init__(self) -> None:
        self._rest = b""

    def items(self, piece: Any) -> Iterator[Any]:
        """Yield the items that end in ``piece``."""
        if not isinstance(piece, str | bytes | bytearray):
            yield piece
            return
        raw = piece.encode("utf-8", "replace") if isinstance(piece, str) else bytes(piece)
        whole = self._rest + raw
        *lines, self._rest = whole.split(b"\n")
        if _complete(self._rest) or len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            item = decoded(_data(line))
            if isinstance(item, Mapping):
                yield item


def _complete(line: bytes) -> bool:
    """Whether a line without its end is whole: many libraries give lines one by one."""
    data = _data(line)
    return data.endswith(b"}") and isinstance(decoded(data), Mapping)


def _data(line: bytes) -> bytes:
    """Return what a line carries; other fields of an event carry nothing of ours."""
    line = line.strip()
    if line.startswith(b"data:"):
        return line[5:].strip()
    return line if line.startswith(b"{") else b""
