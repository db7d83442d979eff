"""YAML as plain data, with the line of everything in it. Safe: no aliases, no tags of objects.

An alias bomb grows in whoever walks it, so that aliases are refused before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tokentrace.errors import InputError

Path = tuple[str | int, ...]
Lines = dict[Path, int]

DEEPEST = 12
MOST_NODES = 20_000
MAP = "tag:yaml.org,2002:map"
SEQUENCE = "tag:yaml.org,2002:seq"
NOWHERE = re.compile("[\0\ud800-\udfff]")
OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def error(source: str, line: int, text: str, mend: str = "") -> InputError:
    """Return what to raise of a line, from 1."""
    return InputError(text, source=f"{source}:{line}", mend=mend)


def read(text: str, source: str) -> tuple[Any, Lines]:
    """Return the data of one YAML document, and the line of each path in it, from 1.

    Raises:
        InputError: no YAML, or more of it than a scenario may hold.
    """
    try:
        _bounded(text, source)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as failed:
        mark = failed.problem_mark or failed.context_mark
        raise error(source, mark.line + 1 if mark else 1, _problem(failed)) from None
    except yaml.reader.ReaderError as failed:
        line = text.count("\n", 0, failed.position) + 1
        raise error(source, line, "holds a character that YAML does not allow") from None
    if root is None:
        raise InputError("is empty", source=source, mend="see `tokentrace scenario show quick`")
    lines: Lines = {}
    return _Tree(source, lines).value(root, ()), lines


def _problem(failed: yaml.MarkedYAMLError) -> str:
    return f"no YAML: {failed.problem or failed.context}"


def _bounded(text: str, source: str) -> None:
    """Walk the events, which cost nothing, before anything is built of them."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise error(source, line, f"an alias, *{event.anchor}", "write the text out")
        depth += isinstance(event, OPENING) - isinstance(event, CLOSING)
        if depth > DEEPEST:
            raise error(source, line, f"nested more than {DEEPEST} deep")
        if number > MOST_NODES:
            raise error(source, line, f"more than {MOST_NODES:,} things")


class _Tree:
    """Turns nodes into data, and takes down their lines."""

    def __init__(self, source: str, lines: Lines) -> None:
        self._source, self._lines = source, lines
        self._scalars = yaml.SafeLoader("")

    def value(self, node: yaml.Node, path: Path) -> Any:
        """Return the data of a node."""
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode) and node.tag == MAP:
            return {key: self.value(inner, (*path, key)) for key, inner in self._pairs(node)}
        if isinstance(node, yaml.SequenceNode) and node.tag == SEQUENCE:
            return [self.value(inner, (*path, at)) for at, inner in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._error(node, f"{node.tag} is no plain data")

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
        seen: set[str] = set()
        for key, inner in node.value:
            name = self._scalar(key) if isinstance(key, yaml.ScalarNode) else None
            if not isinstance(name, str):
                raise self._error(key, "a key that is no word", "put quotes around it")
            if name in seen:
                raise self._error(key, f"{name!r} stands there twice")
            seen.add(name)
            inner.start_mark = key.start_mark  # a key's line is where one looks for its value
            yield name, inner

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if NOWHERE.search(node.value):  # written as an escape: no program could be told it
            raise self._error(node, "holds a character that no text may hold", "leave it out")
        try:
            return self._scalars.construct_object(node)
        except (yaml.constructor.ConstructorError, ValueError):
            raise self._error(node, "a value that cannot be read", "put quotes around it") from None

    def _error(self, node: yaml.Node, text: str, mend: str = "") -> InputError:
        return error(self._source, node.start_mark.line + 1, text, mend)
