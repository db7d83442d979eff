"""What a file holds, seen from its lines: OTLP-JSON, or a log in one of the formats that are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from tokentrace.errors import InputError
from tokentrace.prompt import Record
from tokentrace.readers import Problems, Seen, agent_log, lines, otlp_json, rotation
from tokentrace.readers.agent_log import Follower, Form, Lines

# How far a file is looked into. A rotated log may begin with many lines of somebody's text.
MOST_LINES = 5_000
MOST_BYTES = 2**20
ENOUGH = 50  # lines in which a log shows itself, should an export stand among them
JSON = (b"{", b"[{", b"[]", b"[[", b'["')  # how a line begins that may be meant as JSON
STDIN_NAME = "stdin"
MEND = "describe its lines in a file for --log-format: docs/agent-logs.md"


class Found(NamedTuple):
    """What the first lines of a file show.

    Attributes:
        kind: ``log``, ``export`` of OTLP, ``json`` of another kind, ``text`` or ``empty``.
        form: of a log.
        lines: all its lines, the first among them.
    """

    kind: str
    form: Form | None
    lines: Lines


def read(paths: Sequence[str], problems: Problems, seen: Seen, log_format: str) -> Iterator[Record]:
    """Yield the records of all ``paths``; see `tokentrace.readers.read`."""
    own = (agent_log.load(log_format),) if log_format else ()
    forms = (*own, *agent_log.shipped())
    groups = rotation.sets(paths)
    for files, name in zip(groups, rotation.names(groups), strict=True):
        called = STDIN_NAME if name == lines.STDIN else name
        if len(files) == 1 and name != lines.STDIN and Path(files[0]).is_dir():
            yield from otlp_json.read(files[0], problems, seen)
        else:
            yield from _files(files, called, forms, problems, seen)


def _files(
    files: Sequence[str], name: str, forms: Sequence[Form], problems: Problems, seen: Seen
) -> Iterator[Record]:
    """Yield the records of one log's files; files that are traces are read each for itself."""
    follower: Follower | None = None
    asked = forms != agent_log.shipped()  # for a log: what is none is not taken for a trace
    for path in files:
        found = _look(lines.read(path, problems, seen), forms)
        if found.form and not follower:
            follower = Follower(found.form, name, problems)
        if follower and found.kind != "export":
            yield from agent_log.read(found.lines, path, follower, problems)
        elif found.kind == "empty" and path != files[-1]:
            continue
        elif found.kind == "export" or (not asked and found.kind in {"json", "empty"}):
            yield from otlp_json.read(path, problems, seen, found.lines)
        else:
            raise _neither(path, found.kind, forms)
    if follower:
        yield from follower.end()
        if not follower.told:
            raise agent_log.nothing(files[-1], follower.form)


def _look(found: Iterator[tuple[int, bytes]], forms: Sequence[Form]) -> Found:
    """Return what the first lines show; they are among the lines that come with it.

    A log may quote an export, and an export may quote a log: a line is a log's only from its very
    beginning, and a file with such a line near its top is a log.
    """
    held: list[tuple[int, bytes]] = []
    size, kind = 0, "text"
    for number, line in found:
        held.append((number, line))
        size += len(line)
        if isinstance(line, lines.Message):
            return Found("export", None, chain(held, found))
        form = agent_log.recognised(line, forms)
        if form:
            return Found("log", form, chain(held, found))
        if kind != "export" and line.startswith(JSON):
            kind = "export" if otlp_json.is_export(line) else "json"
        if size > MOST_BYTES or len(held) >= (ENOUGH if kind == "export" else MOST_LINES):
            return Found(kind, None, chain(held, found))
    return Found(kind if held else "empty", None, held)


def _neither(path: str, kind: str, forms: Sequence[Form]) -> InputError:
    if kind == "empty":
        return InputError("is empty: no turns yet", source=path, mend="run the agent")
    known = " or ".join(form.name for form in forms)
    text = f"not an OTLP-JSON trace, and no log of {known}"
    return InputError(text, source=path, mend=MEND)
