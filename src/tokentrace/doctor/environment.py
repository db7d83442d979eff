"""The variables of tokentrace: whether each can be used, and what they do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from tokentrace import _config
from tokentrace._config import _exporter
from tokentrace.counting import tokenizers
from tokentrace.doctor.findings import Finding, fault, note, ok, warn
from tokentrace.doctor.machine import Machine
from tokentrace.guard import configured
from tokentrace.instrument import factor_file
from tokentrace.instrument.state import _on_exceed, _sections, _thresholds
from tokentrace.report import safe

PREFIX = "TOKENTRACE_"
PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


def strict(raw: str) -> bool:
    """Return what `_config.strict` reads; raise ValueError for a switch that it does not know."""
    if raw != "1" and _config.flag(raw):
        raise ValueError(raw)
    return raw == "1"


HIDDEN = {"TOKENTRACE_HEADER"}  # secrets: that they are set is all that is told

# What reads each variable, and what it takes.
VARIABLES: dict[str, tuple[Callable[[str], Any], str]] = {
    "TOKENTRACE_ALLOW_PRIVATE": (_config.flag, "1 or 0"),
    "TOKENTRACE_ATTRIBUTE_BYTES": (_config.size, "a number of bytes from 256, e.g. 2000"),
    "TOKENTRACE_CAPTURE_CONTENT": (_config.flag, "1 or 0"),
    "TOKENTRACE_DIR": (str, "a folder"),
    "TOKENTRACE_EXPORTER": (_exporter, "auto, otlp, local or none"),
    "TOKENTRACE_FACTORS": (factor_file.read, "the path of a file of factors, or of none yet"),
    "TOKENTRACE_HEADER": (str, "a header, as Authorization: Bearer …"),
    "TOKENTRACE_LIMIT": (_config.positive, "a number of tokens, e.g. 100000"),
    "TOKENTRACE_LIMITS": (
        configured.read,
        "a JSON object of tokens by model, or the path of a file",
    ),
    "TOKENTRACE_ON_EXCEED": (_on_exceed, "warn or raise"),
    "TOKENTRACE_COSTS": (_config.flag, "1 or 0"),
    "TOKENTRACE_SECTIONS": (_sections, "1, 0, or names separated by commas"),
    "TOKENTRACE_SESSION": (str, "a name"),
    "TOKENTRACE_STRICT": (strict, "1 or 0"),
    "TOKENTRACE_THRESHOLDS": (_thresholds, "shares from 0 to 1 separated by commas, e.g. 0.8,0.95"),
    "TOKENTRACE_TOKENIZERS": (
        tokenizers.check,
        "a JSON object of model patterns and paths of files",
    ),
    "TOKENTRACE_TURN": (_config.positive, "a number from 1"),
}


def usable(convert: Callable[[str], Any], raw: str) -> bool:
    """Whether a converter takes a value."""
    try:
        convert(raw)
    except ValueError:
        return False
    return True


def values(machine: Machine) -> Iterator[Finding]:
    """Find values that cannot be used, so that the default is in force."""
    used = {}
    for name, (convert, takes) in VARIABLES.items():
        raw = machine.text(name)
        if raw and not usable(convert, raw):
            what = f"{name}={safe(raw, most=60)!r} cannot be used; the default is in force"
            yield fault(what, f"set it to {takes}, or unset it", variable=name, value=raw)
        elif raw:
            used[name] = "…" if name in HIDDEN else raw
    if used:
        shown = ", ".join(f"{name}={safe(raw, most=60)}" for name, raw in used.items())
        yield ok(f"usable: {shown}", **used)


def names(machine: Machine) -> Iterator[Finding]:
    """Find variables that look like ours, and that nobody reads."""
    for name in sorted(machine.environ):
        if name.startswith(PREFIX) and name not in VARIABLES:
            near = _near(name)
            mend = f"rename it to {near}" if near else "unset it"
            yield warn(f"nothing reads {safe(name)}", mend, variable=name, nearest=near)


def _near(name: str) -> str:
    """Return the known variable that a name comes near to; what all share does not count."""
    ends = [known.removeprefix(PREFIX) for known in VARIABLES]
    near = get_close_matches(name.removeprefix(PREFIX), ends, n=1)
    return f"{PREFIX}{near[0]}" if near else ""


def strictness(machine: Machine) -> Iterator[Finding]:
    """Say that our own errors reach the agent."""
    if machine.text("TOKENTRACE_STRICT") == "1":
        what = "TOKENTRACE_STRICT=1: an error of tokentrace's own reaches the agent"
        yield warn(what, "unset it outside of tests", variable="TOKENTRACE_STRICT")


def content(machine: Machine) -> Iterator[Finding]:
    """Say that prompt text leaves the process."""
    name = "TOKENTRACE_CAPTURE_CONTENT"
    raw = machine.text(name)
    if usable(_config.flag, raw) and _config.flag(raw):
        what = f"{name}={safe(raw)}: prompt text goes onto spans"
        yield warn(what, "unset it where text must not leave the process", variable=name)


def parent(machine: Machine) -> Iterator[Finding]:
    """Look at the parent that another process handed down."""
    raw = machine.text("TRACEPARENT")
    known = PARENT.match(raw.lower())
    if raw and not known:
        what = f"TRACEPARENT={safe(raw, most=60)!r} is no trace context; it is ignored"
        yield warn(what, "unset it, or hand down 00-<trace id>-<span id>-01", value=raw)
    elif known and not int(known[1], 16) & 1:
        what = "TRACEPARENT says that its trace is not sampled: spans below it are not recorded"
        yield warn(what, "unset it, or sample the parent (a last field of 01)", value=raw)


def session(machine: Machine) -> Iterator[Finding]:
    """Say that every process started here belongs to one session."""
    name, turn = machine.text("TOKENTRACE_SESSION"), machine.text("TOKENTRACE_TURN")
    if name or turn:
        told = " and ".join(
            filter(None, [name and f"session {safe(name)!r}", turn and f"turn {safe(turn)}"])
        )
        mend = "unset TOKENTRACE_SESSION and TOKENTRACE_TURN where that is not meant"
        yield note(f"agents started here are in {told}", mend, session=name, turn=turn)
