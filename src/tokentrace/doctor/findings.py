"""What a check says: a state, one sentence, the mend, and the facts behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OK, NOTE, WARN, FAULT = STATES = ("ok", "note", "warn", "fault")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        state: ``ok``, ``note`` (worth knowing), ``warn`` (records less than it could, or more
            than wanted) or ``fault`` (records nothing, or not what was asked for).
        what: one sentence.
        mend: what to do about it; a command where there is one.
        facts: names and numbers, fit for JSON.
        code: of the check, set by `doctor.examine`.
    """

    state: str
    what: str
    mend: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""


def ok(what: str, **facts: Any) -> Finding:
    """Return what is as it should be."""
    return Finding(OK, what, "", facts)


def note(what: str, mend: str = "", **facts: Any) -> Finding:
    """Return what is worth knowing."""
    return Finding(NOTE, what, mend, facts)


def warn(what: str, mend: str, **facts: Any) -> Finding:
    """Return what costs something."""
    return Finding(WARN, what, mend, facts)


def fault(what: str, mend: str, **facts: Any) -> Finding:
    """Return why nothing, or the wrong thing, is recorded."""
    return Finding(FAULT, what, mend, facts)
