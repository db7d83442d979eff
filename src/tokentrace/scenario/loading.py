"""Scenario files: found by path or by name, read, and checked. A fault is one line with its place."""

from __future__ import annotations

import hashlib
import os
import re
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from tokentrace.analysis import Thresholds, thresholds
from tokentrace.errors import InputError
from tokentrace.scenario import format as shape
from tokentrace.scenario import nodes
from tokentrace.scenario.plan import Expected, Scenario, Step

LARGEST = 2**20
PLACE = " - at `"
PIECE = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
SHIPPED = files(__package__).joinpath("shipped")
NAMES = "tokentrace scenario list"


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios in the package."""
    names = (entry.name for entry in SHIPPED.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def find(wanted: str) -> tuple[str, str]:
    """Return the text of a scenario and where it is from, by its path or its name in the package.

    Raises:
        InputError: there is none, or it is no text.
    """
    known = shipped()
    if wanted in known and not Path(wanted).is_file():
        return SHIPPED.joinpath(f"{wanted}.yaml").read_text("utf-8"), wanted
    if os.sep not in wanted and not Path(wanted).suffix and not Path(wanted).exists():
        near = get_close_matches(wanted, known, n=1) or known
        raise InputError(f"no scenario {wanted!r}", mend=f"there are: {', '.join(near)}; or a file")
    return _text(wanted), wanted


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = os.strerror(getattr(error, "errno", None) or 22).lower()
        raise InputError(reason, source=path, mend=f"check the path, or see {NAMES}") from None
    if len(content) > LARGEST:
        raise InputError(f"more than {LARGEST:,} bytes", source=path, mend="no scenario is so long")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise nodes.error(path, line, "no UTF-8 text") from None


def load(wanted: str) -> Scenario:
    """Return a scenario by its path or its name.

    Raises:
        InputError: it is not there, or something in it is wrong, with file and line.
    """
    text, source = find(wanted)
    data, lines = nodes.read(text, source)
    try:
        file = msgspec.convert(data, shape.File)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), source, lines) from None
    _distinct(file, source, lines)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Scenario(
        name=file.name,
        digest=digest,
        steps=_steps(file),
        description=file.description,
        concurrency=file.concurrency,
        stop_after=file.stop_after,
        thresholds=_thresholds(file, source, lines),
    )


def _invalid(text: str, source: str, lines: nodes.Lines) -> InputError:
    """Return an error with the line that a message of msgspec speaks of."""
    what, at, place = text.rpartition(PLACE)
    what, place = (what, place.removesuffix("`").partition("$")[2]) if at else (text, "")
    path: nodes.Path = ()
    for name, index in PIECE.findall(place):
        longer = (*path, int(index) if index else name)
        path = longer if longer in lines else path
    unknown = UNKNOWN.search(what)
    if unknown is None:
        key = next((f"{one}: " for one in reversed(path) if isinstance(one, str)), "")
        return nodes.error(source, lines[path], key + what[:1].lower() + what[1:])
    name = unknown.group(1)
    near = get_close_matches(name, shape.keys(), n=1)
    mend = f"did you mean {near[0]!r}?" if near else "see `tokentrace scenario schema`"
    return nodes.error(source, lines.get((*path, name), lines[path]), f"unknown key {name!r}", mend)


def _distinct(file: shape.File, source: str, lines: nodes.Lines) -> None:
    """Raise where two phases have one name: their turns would be judged as one."""
    names = [phase.name for phase in file.phases]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise nodes.error(source, lines["phases", at, "name"], f"two phases are {name!r}")
    turns = sum(len(phase.turns) for phase in file.phases)
    if turns > shape.MOST_TURNS:
        raise nodes.error(source, lines["phases",], f"more than {shape.MOST_TURNS:,} turns")


def _thresholds(file: shape.File, source: str, lines: nodes.Lines) -> Thresholds:
    """Return the thresholds; what is wrong with one is told with its own line."""
    told: dict[str, Any] = dict(file.thresholds)
    for name, value in told.items():
        thresholds({name: value}, f"{source}:{lines['thresholds', name]}")
    if not isinstance(file.essential, msgspec.UnsetType):
        told["essential"] = tuple(file.essential)
    return thresholds(told, f"{source}:{lines.get(('thresholds',), 1)}")


def _steps(file: shape.File) -> tuple[Step, ...]:
    found: list[Step] = []
    for phase in file.phases:
        for turn in phase.turns:
            told = shape.Turn(turn) if isinstance(turn, str) else turn
            waits = (told.timeout, phase.timeout, file.timeout)
            timeout = next(wait for wait in waits if not isinstance(wait, msgspec.UnsetType))
            expected = _expected(file.expect, phase.expect, told.expect)
            found.append(Step(len(found) + 1, phase.name, told.prompt, timeout, expected))
    return tuple(found)


def _expected(*told: shape.Expectations) -> Expected:
    """Return what holds of a turn: what is told last wins, key by key."""
    known: dict[str, Any] = {}
    for one in told:
        named = ((name, getattr(one, name)) for name in one.__struct_fields__)
        known |= {name: value for name, value in named if value is not msgspec.UNSET}
    return Expected(
        texts=_many(known.get("response_contains", ())),
        components=_many(known.get("component_present", ())),
        total=known.get("max_total"),
        utilization=known.get("max_utilization"),
        most=known.get("max_component", {}),
    )


def _many(value: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
