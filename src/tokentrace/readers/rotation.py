"""Rotated files: which paths are one log, and in which order it was written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

# What logrotate and Python's handlers put behind a name: .1, .2.gz, .2026-11-22, -20261122.gz
_SUFFIX = re.compile(
    r"(?P<base>.+?)(?:\.(?P<age>\d{1,4})|[.-](?P<date>\d{4}-?\d\d-?\d\d[\d_T.-]*?))?(?:\.gz)?"
)

Age = tuple[int, int, str]


def sets(paths: Sequence[str]) -> list[list[str]]:
    """Return ``paths`` with the files of one log together, the oldest of each first.

    ``agent.log``, ``agent.log.1.gz`` and ``agent.log.2`` are one log, in whatever order they were
    named; a path that was named twice counts once. Logs stay in the order of their first file.
    """
    found: dict[str, dict[str, Age]] = {}
    for path in paths:
        base, age = _parts(path)
        found.setdefault(base, {})[path] = age
    return [sorted(files, key=files.__getitem__) for files in found.values()]


def names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each log: its file's, or its path where two are called the same."""
    bases = [_parts(group[0])[0] for group in groups]
    short = [Path(base).name or base for base in bases]
    return [name if short.count(name) == 1 else base for name, base in zip(short, bases, strict=True)]  # fmt: skip


def _parts(path: str) -> tuple[str, Age]:
    """Return what a rotated file was called while it was written, and its place among the others."""
    found = _SUFFIX.fullmatch(path)
    if found is None or Path(path).is_dir():  # folders of two days are no log
        return path, (2, 0, "")
    if found["date"]:
        return found["base"], (0, 0, re.sub(r"\D", "", found["date"]))
    return found["base"], (1, -int(found["age"]), "") if found["age"] else (2, 0, "")
