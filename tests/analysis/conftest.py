"""Conversations built by hand, to be judged."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tokentrace.analysis import Happening, Session, Turn
from tokentrace.prompt import CallRecord


def turn(number, total, *events, limit=10_000, **changes):
    """Return a turn of one call; without components the whole of it is history."""
    plain = {
        "tokens": total,
        "components": {"history": total},
        "method": "exact",
        "limit": limit,
        "start": number,
        "end": number,
    }
    call = CallRecord(**{**plain, **changes})
    return Turn(number, (call,), main=call, events=events)


def talk(totals, *, events=None, **changes):
    """Return a session of these totals; ``events`` are happenings by turn number."""
    told = events or {}
    turns = (turn(n, total, *told.get(n, ()), **changes) for n, total in enumerate(totals, 1))
    return Session("s", turns=tuple(turns))


def mixed(*components, **changes):
    """Return a session of turns with these components."""
    turns = (
        turn(n, sum(held.values()), components=held, **changes)
        for n, held in enumerate(components, 1)
    )
    return Session("s", turns=tuple(turns))


def joined(session, **changed):
    """Return a session whose turns are replaced by number, as ``t3=…``."""
    kept = (changed.get(f"t{one.number}", one) for one in session.turns)
    return replace(session, turns=tuple(kept))


@pytest.fixture
def made():
    """Return the builders: ``turn``, ``talk``, ``mixed``, ``joined``, and ``event``."""
    return SimpleNamespace(turn=turn, talk=talk, mixed=mixed, joined=joined, event=Happening)
