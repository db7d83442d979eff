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
MEND = "describe its lines in a file for --log-format: docs/agent-logs.md"


class Found(NamedTuple):
    """What the first lines of a file show.

    Attributes:
        form: of the log that it is, None where it is none.
        json: whether it is, or may be meant as, OTLP-JSON: nothing in it, or a line of JSON.
        lines: all its lines, the first among them.
    """

    form: Form | None
    json: bool
    lines: Lines


def read(
    paths: Sequence[str], problems: Problems, seen: Seen, log_format: str
) -> Iterator[Record]:
    """Yield the records of all ``paths``; see `tokentrace.readers.read`."""
    forms = (agent_log.load(log_format),) if log_format else agent_log.shipped()
    groups = rotation.sets(paths)
    for files, name in zip(groups, rotation.names(groups), strict=True):
        yield from _group(files, name, forms, problems, seen)


def _group(
    files: Sequence[str], name: str, forms: Sequence[Form], problems: Problems, seen: Seen
) -> Iterator[Record]:
    """Yield the records of one log's files; files that are traces are read each for itself."""
    follower: Follower | None = None
    for path in files:
        if path != lines.STDIN and Path(path).is_dir():
            yield from otlp_json.read(path, problems, seen)
            continue
        found = _look(lines.read(path, problems, seen), forms)
        if found.form and not follower:
            follower = Follower(found.form, "log" if name == lines.STDIN else name, problems)
        if found.form is None and found.json:
            yield from otlp_json.read(path, problems, seen, found.lines)
        elif follower:
            yield from agent_log.read(found.lines, path, follower, problems)
        else:
            known = " or ".join(form.name for form in forms)
            text = f"not an OTLP-JSON trace, and no log of {known}"
            raise InputError(text, source=path, mend=MEND)
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
    size, export, json = 0, False, False
    for number, line in found:
        held.append((number, line))
        size += len(line)
        form = agent_log.recognised(line, forms)
        json = json or line.startswith((b"{", b"["))
        export = export or otlp_json.is_export(line)
        if form or size > MOST_BYTES or len(held) >= (ENOUGH if export else MOST_LINES):
            return Found(form, json, chain(held, found))
    return Found(None, json or not held, held)
