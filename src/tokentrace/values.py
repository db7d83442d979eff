"""What may stand on a span: texts, numbers, folded components, details. Pure functions, no names.

What is too long is cut here, and bears a mark: a text ``…[cut: 200 of 900 bytes]`` at its end, a list
``+7`` in the place of seven entries. Back ends cut, too, and leave no mark: Tempo 3.0.3 at 2,048 bytes
(2026-08); Jaeger on Elasticsearch keeps texts of more than 256 characters and does not find them.

Whatever comes in, nothing raises: a value that cannot be written is None and stays away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from tokentrace.fitting import cut, cut_entries, mark, utf8
from tokentrace.names import normalise
from tokentrace.outlook import Waste
from tokentrace.prompt import Detail

Value = str | int | float | bool | tuple[str, ...]

OTHER = "other"
MOST_CHARACTERS = 256
MOST_COMPONENTS = 24
MOST_DETAIL_BYTES = 2_000
MOST_FOREIGN = 32
MOST_WASTE = 16
MOST_SPELLED = 1_024
INT64 = 2**63 - 1

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def text(value: Any) -> str | None:
    """Return a text that every exporter takes, at most 256 characters; None for what is no text.

    One lone surrogate in a span's name or event loses the whole batch it leaves with.
    """
    if type(value) is str and len(value) <= MOST_CHARACTERS and value.isprintable():
        return value  # nearly all that a report reads
    if not isinstance(value, str):
        return None
    if len(value) > MOST_CHARACTERS:
        value = _cut(value)
    if value.isprintable():
        return value if type(value) is str else str.__str__(value)
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", value))


def _cut(value: str, digest: str = "") -> str:
    """Return the first characters, at most 256 with the mark."""
    total = len(utf8(value))
    kept = value[: MOST_CHARACTERS - len(mark(total, total, digest))]
    return f"{kept}{mark(len(utf8(kept)), total, digest)}"


def identity(value: Any) -> str | None:
    """Return `text` of what tells things apart: where it is cut, a digest in the mark still does."""
    if not isinstance(value, str) or len(value) <= MOST_CHARACTERS:
        return text(value)
    from hashlib import blake2b

    return text(_cut(value, blake2b(utf8(value), digest_size=6).hexdigest()))


def whole(value: Any) -> int | None:
    """Return an integer inside 64 bits; None for what is none."""
    if type(value) is int and -INT64 <= value <= INT64:
        return value
    if isinstance(value, int):
        if -INT64 <= value <= INT64:
            return int(value)
        return INT64 if value > 0 else -INT64 - 1
    if isinstance(value, float) and value.is_integer():
        return whole(int(value))
    return None


def real(value: Any) -> float | None:
    """Return a finite float; None for what is none."""
    if isinstance(value, (int, float)) and abs(value) <= INT64:
        return float(value)
    return None


def switch(value: Any) -> bool | None:
    """Return a boolean; None for what is none."""
    return value if isinstance(value, bool) else None


def texts(value: Any) -> tuple[str, ...] | None:
    """Return a sequence's texts, at most 64; None when there is none."""
    if not isinstance(value, (list, tuple)):
        return None
    return tuple(known for one in value[:64] if (known := text(one)) is not None) or None


def clean(value: Any) -> Value | None:
    """Return ``value`` as an attribute that every exporter takes, or None when it has none."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return whole(value)
    return real(value) if isinstance(value, float) else texts(value)


def within(value: Value, most: int) -> Value:
    """Return a value of at most ``most`` bytes: texts are cut, lists lose their last entries."""
    if isinstance(value, str):
        return cut(value, most)
    return cut_entries(value, most) if isinstance(value, tuple) else value


def foreign(attributes: Mapping[str, Any]) -> dict[str, Value]:
    """Return an agent's own attributes (of a session, say) cleaned, at most 32."""
    pairs = ((text(key), clean(value)) for key, value in list(attributes.items())[:MOST_FOREIGN])
    return {key: value for key, value in pairs if key and value is not None}


def error_type(error: BaseException) -> str:
    """Return ``package.Name`` of an exception, a builtin's bare name. Never its text."""
    kind = type(error)
    package = kind.__module__.partition(".")[0]
    name = kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
    return text(name) or ""


def band(utilization: float | None) -> str:
    """Return the tenth that ``utilization`` lies in, ``80-90`` or ``100+``; empty where unknown."""
    share = real(utilization)
    if share is None:
        return ""
    tenth = max(0, int(share * 10 + 1e-9))
    return "100+" if tenth >= 10 else f"{tenth * 10}-{tenth * 10 + 10}"


_TOKENS = itemgetter(1)


def fold(components: Mapping[str, int], most: int = MOST_COMPONENTS) -> list[tuple[str, int]]:
    """Return at most ``most`` components, largest first; what is cut is summed up in ``other``."""
    ordered = sorted(components.items(), key=_TOKENS, reverse=True)
    if len(ordered) <= most:
        return ordered
    kept = [pair for pair in ordered if pair[0] != OTHER][: most - 1]
    rest = sum(components.values()) - sum(tokens for _, tokens in kept)
    return sorted([*kept, (OTHER, rest)], key=_TOKENS, reverse=True)


_spelled: dict[str, str] = {}


def spelled(name: str) -> str:
    """Return ``normalise(name)``; names seen before cost a look-up, and 1,024 are kept."""
    known = _spelled.get(name)
    if known is None:
        if len(_spelled) >= MOST_SPELLED:
            _spelled.clear()
        known = _spelled[name] = normalise(name)
    return known


def component(value: Any) -> str | None:
    """Return the name of a component as it is spelled; None for what is none."""
    return spelled(value) if isinstance(value, str) else None


def dump_details(details: Sequence[Detail]) -> str:
    """Return ``[["tools","kubectl",123],…,"+4"]``: the largest first, ``+4`` when four were cut."""
    room = MOST_DETAIL_BYTES - 16
    pieces: list[str] = []
    for detail in sorted(details, key=lambda one: -one.tokens):
        # Normalised names need no escaping, and are a byte a character.
        names = f'"{spelled(detail.component)}","{spelled(detail.name)}"'
        piece = f"[{names},{whole(detail.tokens) or 0}]"
        room -= len(piece) + 1
        if room < 0:
            break
        pieces.append(piece)
    if len(pieces) < len(details):
        pieces.append(f'"+{len(details) - len(pieces)}"')
    return f"[{','.join(pieces)}]"


def dump_waste(waste: Sequence[Waste]) -> str:
    """Return ``[["carried","tool_results",2310,6],…]``: the largest first, at most 16."""
    kept = sorted(waste, key=lambda one: -one.tokens)[:MOST_WASTE]
    pieces = (
        f'["{spelled(one.kind)}","{spelled(one.component)}",{whole(one.tokens)},{whole(one.turns)}]'
        for one in kept
    )
    return f"[{','.join(pieces)}]"


def load_waste(raw: Any) -> tuple[Waste, ...]:
    """Read what `dump_waste` wrote; entries of another shape are passed over."""
    entries = _entries(raw)
    found = (_waste(entry) for entry in entries)
    return tuple(waste for waste in found if waste is not None)


def _waste(entry: Any) -> Waste | None:
    if not isinstance(entry, list) or len(entry) != 4:
        return None
    kind, component = text(entry[0]), text(entry[1])
    tokens, turns = whole(entry[2]), whole(entry[3])
    if not kind or component is None or tokens is None or turns is None:
        return None
    return Waste(kind, component, tokens, turns)


def load_details(raw: Any) -> tuple[Detail, ...]:
    """Read what `dump_details` wrote; entries of another shape are passed over."""
    found = map(_detail, _entries(raw))
    return tuple([detail for detail in found if detail is not None])


def _entries(raw: Any) -> list[Any]:
    """Return the entries of a list written as JSON; none where it is no such list."""
    if not isinstance(raw, str) or len(raw) > 4 * MOST_DETAIL_BYTES:
        return []
    import json

    try:
        entries = json.loads(raw)
    except (ValueError, RecursionError):
        return []
    return entries if isinstance(entries, list) else []


def _detail(entry: Any) -> Detail | None:
    if not isinstance(entry, list) or len(entry) != 3:
        return None
    component, name, tokens = text(entry[0]), text(entry[1]), whole(entry[2])
    if component is None or name is None or tokens is None:
        return None
    return Detail(component, name, tokens)
