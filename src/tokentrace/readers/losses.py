"""What processes lost, as their metrics in OTLP-JSON lines tell: sums since each process began."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from tokentrace import schema
from tokentrace.errors import InputError
from tokentrace.readers import Problems, lines
from tokentrace.readers.otlp_json import Attribute

KEYS = schema.LOSSES
MARK = b'"resourceMetrics"'
HEAD = 200  # bytes of a line in which the mark stands

Told = tuple[str, str, str, int]


class Point(msgspec.Struct, rename="camel"):
    """A number, what it counts, and since when."""

    attributes: list[Attribute] | None = None
    start_time_unix_nano: int | str = 0
    as_int: int | str = 0


class Total(msgspec.Struct, rename="camel"):
    """A sum's numbers."""

    data_points: list[Point] | None = None


class Metric(msgspec.Struct):
    """A metric; other kinds than sums stay unread."""

    name: str = ""
    sum: Total | None = None


class Scope(msgspec.Struct):
    """The metrics of one scope."""

    metrics: list[Metric] | None = None


class Resource(msgspec.Struct, rename="camel"):
    """The scopes of one sender."""

    scope_metrics: list[Scope] | None = None


class Export(msgspec.Struct, rename="camel"):
    """A line."""

    resource_metrics: list[Resource] | None = None


EXPORT = msgspec.json.Decoder(Export)


def read(path: str) -> dict[str, Counter[str]]:
    """Return what was lost, by metric and reason: each process's newest numbers, added up.

    Args:
        path: a file, or a folder of ``*.jsonl*`` files. What cannot be read counts as nothing;
            `otlp_json.read` tells of it.
    """
    newest: dict[tuple[str, str, str], int] = {}
    for since, name, reason, count in _told(path):
        newest[since, name, reason] = max(count, newest.get((since, name, reason), 0))
    found: dict[str, Counter[str]] = {name: Counter() for name in KEYS}
    for (_, name, reason), count in newest.items():
        found[name][reason] += count
    return found


def _told(path: str) -> Iterator[Told]:
    problems = Problems()
    try:
        files = lines.files(path)
    except InputError:
        return
    for file in files:
        try:
            for _, line in lines.read(str(file), problems):
                if MARK in line[:HEAD]:
                    yield from _points(line)
        except InputError:
            continue


def _points(line: bytes) -> Iterator[Told]:
    """Yield of each of our numbers the process (when it began), metric, reason and count."""
    try:
        export = EXPORT.decode(line)
    except (ValueError, RecursionError):
        return
    for resource in export.resource_metrics or ():
        for scope in resource.scope_metrics or ():
            for metric in scope.metrics or ():
                if metric.name in KEYS and metric.sum is not None:
                    yield from _numbers(metric.name, metric.sum)


def _numbers(name: str, total: Total) -> Iterator[Told]:
    for point in total.data_points or ():
        named = {pair.key: pair.value for pair in point.attributes or ()}
        value = named.get(KEYS[name])
        count = str(point.as_int)
        if value is not None and value.string_value is not None and count.isdecimal():
            yield str(point.start_time_unix_nano), name, value.string_value, int(count)
