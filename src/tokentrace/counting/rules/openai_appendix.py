"""Tokens of definitions and response schemas, remembered by the definitions themselves.

An agent sends the same tools with every call; writing and counting them again would cost more than
all the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tokentrace.counting.rules import openai_tools
from tokentrace.counting.rules.openai_styles import OTHER, Style
from tokentrace.counting.store import STORE
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import Ruler
from tokentrace.dialects._reading import compact
from tokentrace.prompt import Prompt

JOIN = "\n\n"

Piece = tuple[str, str, str]


def counted(prompt: Prompt, rule: Style, ruler: Ruler, tail: str) -> Tally:
    """Return the tokens of tools and schema behind ``tail``, the end of the system text.

    The tail's own tokens are not in it; where they merge with what follows, framing has less.
    """
    asked = fingerprint(prompt)
    key = ("openai.appendix", ruler.name, rule.name == OTHER, rule.titles, tail, asked)
    known = STORE.get(key) if asked is not None else None
    if known is None:
        known = _count(pieces(prompt, rule), ruler, tail)
        if asked is not None:
            STORE.put(key, known, len(asked) + 4 * len(tail) + 200 * len(known.details))
    copied: Tally = known.copy()
    return copied


def fingerprint(prompt: Prompt) -> bytes | None:
    """Return all definitions as bytes, by which they are known again; None for odd ones.

    msgspec stops at once where marshal follows what holds itself twice without end, and takes a
    third of its time.
    """
    if not prompt.tools and prompt.schema is None:
        return b""
    if "fingerprint" not in prompt.memo:
        schema: Any = prompt.schema.data if prompt.schema is not None else None
        prompt.memo["fingerprint"] = written([[part.data for part in prompt.tools], schema])
    known: bytes | None = prompt.memo["fingerprint"]
    return known


def written(value: Any) -> bytes | None:
    """Return a value as JSON, None for what is none."""
    try:
        return _encode()(value)
    except (TypeError, ValueError, RecursionError):
        return None


@cache
def _encode() -> Callable[[Any], bytes]:
    from msgspec.json import Encoder

    return Encoder().encode


def pieces(prompt: Prompt, rule: Style) -> list[Piece]:
    """Return definitions and schema as text in pieces: (component, detail, text)."""
    if rule.name == OTHER:
        parts = [("tools", part.name, compact(part.data)) for part in prompt.tools]
        if prompt.schema is not None:
            parts.append(("tools", "response_format", compact(prompt.schema.data)))
        return parts
    found: list[Piece] = []
    if any(openai_tools.definition(part) for part in prompt.tools):
        for name, text in openai_tools.functions(prompt.tools, titles=rule.titles):
            found.append(("tools" if name else "framing", name, text))
    if prompt.schema is not None:
        if found:
            found.append(("framing", "", JOIN))
        found.append(("tools", "response_format", openai_tools.response_format(prompt.schema)))
    return found


def _count(found: list[Piece], ruler: Ruler, tail: str) -> Tally:
    """Count the pieces as the one text that they are, and share it out among them."""
    tally = Tally()
    if not found:
        return tally
    if tail:
        found = [("framing", "", tail + JOIN), *found]
    borders, at = [], 0
    for _, _, text in found[:-1]:
        at += len(text)
        borders.append(at)
    shares, tally.error = ruler.shares("".join(text for _, _, text in found), borders)
    for (component, detail, _), tokens in zip(found, shares, strict=True):
        tally.put(component, tokens, detail)
    if tail:
        tally.put("framing", -ruler.tokens(tail)[0])
    return tally
