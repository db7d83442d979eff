"""JSON as it comes over the wire."""

from __future__ import annotations

from typing import Any


def decoded(value: Any) -> Any:
    """Return the data of JSON text, other values as they are, None for text that is no JSON."""
    if not isinstance(value, str | bytes | bytearray):
        return value
    import msgspec

    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError):
        return _as_python_reads(value)


def _as_python_reads(value: str | bytes | bytearray) -> Any:
    """Return the data of text that only Python writes as JSON: half an emoji, NaN. None for no JSON."""
    if value[-1:] not in ("}", b"}"):
        return None  # at once: it is most often a line that goes on
    from json import loads

    try:
        return loads(value)
    except ValueError:
        return None
