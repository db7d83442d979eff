"""The embedded default: OTLP-JSON lines in a folder, one file a process, nothing else needed.

Each line is a whole OTLP export of one span (the OTLP file exporter's format: ids in hex, 64-bit
integers as strings). A write is one system call on whole lines, so that a killed process leaves
whole lines behind. The folder is ours alone (0700), ignored by git, and bounded.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tokentrace import _failsafe
from tokentrace.telemetry import losses
from tokentrace.telemetry.losses import UNWRITTEN

FOLDER_BYTES = 64 * 2**20
FILE_BYTES = 8 * 2**20
WRITE_BYTES = 256 * 2**10
# Others write between two of our looks: a file's room is kept free and shared out among them.
KEEP_BYTES = FOLDER_BYTES - FILE_BYTES
LEAST_LOOK = 64 * 2**10
TRIES = 3

OURS = re.compile(r"tokentrace-\d{8}T\d{6}-\d+(-\d+)?\.jsonl\Z")

_born = time.time_ns()  # since when this process counts what it loses
_told: dict[str, dict[str, dict[str, int]]] = {}  # what a folder was told of it already


def _after_fork() -> None:
    global _born  # noqa: PLW0603 - a child counts anew
    _born = time.time_ns()
    _told.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class LocalExporter(SpanExporter):
    """Writes spans to a file of this process in ``folder``; off after the first failure.

    Args:
        folder: where to write.
        lost: what is counted of losses (see `losses.counts`); told in the file at the end.

    Attributes:
        folder: absolute, so that a process may change its directory.
        path: the file being written, empty before the first span.
    """

    def __init__(self, folder: str, lost: losses.Counts | None = None) -> None:
        self.folder = str(Path(folder).absolute())
        self._lost = {} if lost is None else lost
        self.path = ""
        self._fd = -1
        self._pid = 0
        self._size = 0
        self._unseen = 0
        self._files = 0
        self._off = False
        self._heads: dict[Any, tuple[Any, bytes]] = {}

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write ``spans``."""
        return SpanExportResult.FAILURE if self.send(spans) else SpanExportResult.SUCCESS

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Write ``spans``; return an empty text, or why they are lost."""
        if self._off:
            return UNWRITTEN
        try:
            for block in blocks(self._line(span) for span in spans):
                self._write(block)
        except OSError as error:
            self._give_up(error)
            return UNWRITTEN
        return ""

    def _give_up(self, error: OSError) -> None:
        self._off = True
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        _failsafe.warn_once(
            "local", "no traces are written to %s from now on: %s", self.folder, reason
        )
        self.close()

    # ── files ────────────────────────────────────────────────────────────────────────────────

    def _write(self, block: bytes) -> None:
        self._ready(len(block))
        written = os.write(self._fd, block)
        if written != len(block):
            # A torn record would be the end of the file: take it back.
            os.ftruncate(self._fd, self._size)
            raise OSError(28, "")
        self._size += written
        self._unseen += written
        if self._unseen >= max(LEAST_LOOK, FILE_BYTES // (self._files + 1)):
            self._unseen = 0
            self._files = prune(self.folder, self.path)

    def _ready(self, size: int) -> None:
        """Have a file of this process open that is still there and has room."""
        if self._fd >= 0:
            same = self._pid == os.getpid() and os.fstat(self._fd).st_nlink
            if same and self._size + size <= FILE_BYTES:
                return
            self.close()
        self._open()

    def _open(self) -> None:
        """Open a file; once more where somebody deletes the folder in this very moment."""
        for _ in range(TRIES - 1):
            with suppress(FileNotFoundError):
                self._create()
                return
        self._create()

    def _create(self) -> None:
        if make_folder(self.folder):
            _failsafe.LOG.debug("made %s", self.folder)
        self._files = prune(self.folder, "")
        self._pid, self._size = os.getpid(), 0
        stem = f"tokentrace-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{self._pid}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        for turn in range(1_000):
            path = f"{self.folder}/{stem}{f'-{turn}' if turn else ''}.jsonl"
            try:
                self._fd = os.open(path, flags, 0o600)
            except FileExistsError:
                continue
            self._announce()
            self.path = path
            return
        raise FileExistsError(17, "")

    def _announce(self) -> None:
        if not self.path:
            message = "traces are written to %s; `tokentrace report` reads them"
            _failsafe.LOG.info(message, self.folder)

    def close(self) -> None:
        """Close the file; the next span opens another."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def shutdown(self) -> None:
        """Write what was lost in this process, if anything, and close the file."""
        lost = losses.totals(self._lost)
        if lost and lost != _told.get(self.folder):
            # What cannot be written now is lost with its spans.
            with suppress(OSError):
                self._write(b"%s\n" % encoded(losses.export(self._lost, _born)))
                _told[self.folder] = lost
        self.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the interface
        """Say yes: nothing waits here."""
        return True

    # ── lines ────────────────────────────────────────────────────────────────────────────────

    def _line(self, span: ReadableSpan) -> bytes:
        return line(span, self._head(span))

    def _head(self, span: ReadableSpan) -> bytes:
        """Return what stands before the span: the same bytes for all spans of one sender."""
        key = (id(span.resource), id(span.instrumentation_scope))
        known = self._heads.get(key)
        if known is None:
            if len(self._heads) >= 64:
                self._heads.clear()
            # The objects are kept, so that their identity stays theirs.
            kept = (span.resource, span.instrumentation_scope)
            known = self._heads[key] = (kept, head(span))
        return known[1]


def line(span: ReadableSpan, before: bytes = b"") -> bytes:
    """Return one span as an export of its own; ``before`` is its `head` where that is known."""
    return b"%s%s]}]}]}\n" % (before or head(span), encoded(span_json(span)))


def blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield whole lines together, at most 256 kB at a time where lines are no longer."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        if waiting and size + len(line) > WRITE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line)
    if waiting:
        yield b"".join(waiting)


def make_folder(folder: str) -> bool:
    """Make ``folder`` for us alone, with its own ignore file; False when it was there."""
    path = Path(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(0o700)
    except FileExistsError:
        return False
    # Only in a folder that we made: somebody's own is not ours to hide from git.
    (path / ".gitignore").write_text("*\n", encoding="ascii")
    return True


def prune(folder: str, current: str) -> int:
    """Remove our oldest files until the folder leaves room for more; return how many stay.

    ``current`` stays in any case. A process whose file goes opens another at its next span.
    """
    found = sorted(files(folder), reverse=True)
    total = sum(size for _, size, _ in found)
    left = [entry for entry in found if entry[2] != current]
    while left and total > KEEP_BYTES:
        _, size, path = left.pop()
        total -= size
        with suppress(FileNotFoundError):
            Path(path).unlink()
    return len(left)


def files(folder: str) -> Iterator[tuple[int, int, str]]:
    """Yield our files: when they were written last, their sizes and paths."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if OURS.match(entry.name):
                with suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    yield facts.st_mtime_ns, facts.st_size, entry.path


# ── OTLP JSON ────────────────────────────────────────────────────────────────────────────────────

_encoder = msgspec.json.Encoder()
_SURROGATE = re.compile("[\ud800-\udfff]")


def encoded(tree: Any) -> bytes:
    """Return JSON; lone surrogates, which are no JSON, become U+FFFD."""
    try:
        return _encoder.encode(tree)
    except UnicodeEncodeError:
        return _encoder.encode(_mended(tree))


def _mended(tree: Any) -> Any:
    if isinstance(tree, str):
        return _SURROGATE.sub("\ufffd", tree)
    if isinstance(tree, dict):
        return {_mended(key): _mended(value) for key, value in tree.items()}
    return [_mended(item) for item in tree] if isinstance(tree, list) else tree


def head(span: ReadableSpan) -> bytes:
    """Return the bytes of an export up to its first span."""
    scope = span.instrumentation_scope
    named = {"name": scope.name, "version": scope.version or ""} if scope else {}
    resource = {"attributes": attributes(span.resource.attributes if span.resource else {})}
    return b'{"resourceSpans":[{"resource":%s,"scopeSpans":[{"scope":%s,"spans":[' % (
        encoded(resource),
        encoded(named),
    )


def span_json(span: ReadableSpan) -> dict[str, Any]:
    """Return one span as OTLP JSON."""
    context = span.context
    tree: dict[str, Any] = {
        "traceId": f"{context.trace_id if context else 0:032x}",
        "spanId": f"{context.span_id if context else 0:016x}",
        "name": span.name,
        "kind": span.kind.value + 1,  # OTLP counts from "unspecified"
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or 0),
        "attributes": attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value} if span.status.status_code.value else {},
    }
    if span.parent is not None:
        tree["parentSpanId"] = f"{span.parent.span_id:016x}"
    if span.events:
        tree["events"] = [_event(event) for event in span.events]
    if span.links:
        tree["links"] = [_link(link) for link in span.links]
    if span.dropped_attributes:
        tree["droppedAttributesCount"] = span.dropped_attributes
    return tree


def _event(event: Any) -> dict[str, Any]:
    known = attributes(event.attributes or {})
    return {"timeUnixNano": str(event.timestamp), "name": event.name, "attributes": known}


def _link(link: Any) -> dict[str, Any]:
    context = link.context
    return {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}


def attributes(known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP JSON's list of keys and values."""
    return [{"key": key, "value": value_json(value)} for key, value in known.items()]


def value_json(value: Any) -> dict[str, Any]:
    """Return a value as OTLP JSON: integers are strings, floats that are no JSON too."""
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _infinite(value)}
    return _nested(value)


def _nested(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": attributes(value)}}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return {"arrayValue": {"values": [value_json(item) for item in value]}}
    return {"stringValue": str(value)}


def _infinite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
