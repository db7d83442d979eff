"""A record out of what a span says, whatever wire it came by; what cannot be is damage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from tokentrace import schema
from tokentrace.prompt import CallRecord, Event, Record
from tokentrace.values import OTHER

INT64 = 2**63
MINUS_INT64 = -INT64
HEX = frozenset("0123456789abcdef")


class DamagedError(ValueError):
    """A span that is not what OTLP says."""


def record(
    attributes: Mapping[str, Any], events: tuple[Event, ...], facts: Mapping[str, Any]
) -> Record | None:
    """Return the record on a span, or None where it bears none.

    Args:
        attributes: of the span.
        events: on the span.
        facts: what else `schema.load` wants to know.

    Raises:
        DamagedError: a number is none.
    """
    found = schema.load(attributes, events=events, **facts)
    if found is None and any(event.name in schema.EVENTS for event in events):
        # Parts may be excluded outside any assembly: their events then stand on the turn's span.
        nameless = {schema.INCLUDED: 0, schema.ASSEMBLY_NAME: "", **attributes}
        return schema.load(nameless, events=events, **facts)
    return _whole(found) if isinstance(found, CallRecord) else found


def _whole(call: CallRecord) -> CallRecord:
    """Return ``call`` with components that sum up to its tokens.

    An exporter that is short of attributes may have dropped some: the rest goes under other.

    Raises:
        DamagedError: a number is negative, or components are more than the whole.
    """
    if _negative(call):
        raise DamagedError("a negative number of tokens")
    missing = call.tokens - sum(call.components.values())
    if missing < 0:
        raise DamagedError("its components do not sum up to its input tokens")
    if not missing:
        return call
    rest = call.components.get(OTHER, 0) + missing
    return replace(call, components={**call.components, OTHER: rest})


def _negative(call: CallRecord) -> bool:
    """Whether something of a call that is a number of tokens is less than none."""
    usage = call.usage
    sizes = (
        *(call.tokens, call.error, call.limit or 0, call.compressed_tokens, call.duplicate_tokens),
        *(usage.input or 0, usage.output or 0, usage.reasoning or 0),
        *(usage.cache_read or 0, usage.cache_write or 0),
        *call.components.values(),
        *call.cached.values(),
    )
    return min(sizes) < 0


def integer(raw: int | str) -> int:
    """Return an integer of 64 bits.

    Raises:
        DamagedError: it is none.
    """
    try:
        value = int(raw)
    except ValueError:
        raise DamagedError(f"{raw[:40] if isinstance(raw, str) else raw!r} is no integer") from None
    if not MINUS_INT64 <= value < INT64:
        raise DamagedError("an integer of over 64 bits")
    return value


def number(raw: float | str) -> float:
    """Return a finite number.

    Raises:
        DamagedError: it is none.
    """
    try:
        value = float(raw)
    except ValueError:
        raise DamagedError(f"{str(raw)[:40]!r} is no number") from None
    if not isfinite(value):
        raise DamagedError(f"{value} is no usable number")
    return value


def identity(raw: str, length: int) -> str:
    """Return an id as lower-case hex of ``length`` digits; all zeros and empty are none.

    Raises:
        DamagedError: it is no id.
    """
    text = raw.lower()
    if not text.strip("0"):
        return ""
    if len(text) != length or text.strip("0123456789abcdef"):
        raise DamagedError(f"{raw[:40]!r} is no id of {length} hex digits")
    return text
