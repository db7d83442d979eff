"""Other makers' models behind OpenAI's form: an estimate by family, with a bound, never exact.

Their tokenizers and templates are not OpenAI's. What a family adds is learned from reported usage
(``scripts/learn_openai.py``; numbers and date in `openai_table`): a factor on text, tokens for each
request, message, call, tool and definition, and how far off that was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tokentrace.counting.rules import Scope, openai_table
from tokentrace.counting.tally import Tally, scaled
from tokentrace.prompt import Prompt

TERMS = ("text", "once", "message", "tools", "definition", "call")
LEAST = 12
# What short prompts miss is mostly what a template adds once, so its share is not that of a longer
# prompt: of 89 recorded ones of 300 to 600 tokens 95 in 100 missed 0.4 of the count or less, whatever
# their family (2026-11-25). Longer ones are hardly recorded.
SHORT = 600
BEYOND = 0.5


@dataclass(frozen=True, slots=True)
class Family:
    """One family of models.

    Attributes:
        name: a part of host and model, e.g. ``azure/grok-4`` or ``kimi``.
        terms: factors of `TERMS`: on text tokens, once, a message, once with tools, on the tokens
            of definitions, a call with its result.
        plain, tooled: share of the estimate within which 97 of 100 reported numbers lay.
        seen: recorded requests behind it.
    """

    name: str
    terms: tuple[float, ...]
    plain: float
    tooled: float
    seen: int


FAMILIES = tuple(Family(*row) for row in openai_table.HOSTS)


def named(provider: str, model: str) -> str:
    """Return host and model as one name, in which a family's name is looked for."""
    return f"{provider}/{model}".lower()


@lru_cache(maxsize=256)
def family(provider: str, model: str) -> Family:
    """Return the family of a model; the last one is for all that nobody knows."""
    name = named(provider, model)
    return next(one for one in FAMILIES if one.name in name)


def measures(prompt: Prompt, tally: Tally) -> tuple[float, ...]:
    """Return what the terms of a family are multiplied with, in the order of `TERMS`."""
    given = tally.components
    outside = ("framing", "media", "tools", "server_context")
    text = tally.total - sum(given.get(name, 0) for name in outside)
    calls = sum(part.kind == "call" for message in prompt.messages for part in message.parts)
    tools = given.get("tools", 0)
    return text, 1.0, len(prompt.messages), float(bool(prompt.tools)), tools, calls


def finish(prompt: Prompt, tally: Tally, scope: Scope) -> Tally:
    """Return the tally in the family's numbers: text by its factor, the rest as framing."""
    found = family(scope.provider, scope.model)
    sizes = measures(prompt, tally)
    text, _, _, _, tools, _ = (a * b for a, b in zip(found.terms, sizes, strict=True))
    framing = sum(a * b for a, b in _framing(found.terms, sizes))
    words = Tally(dict(tally.components), tally.details, tally.error)
    parts = {name: words.components.pop(name, 0) for name in ("framing", "media", "server_context")}
    defined = Tally({"tools": words.components.pop("tools", 0)})
    whole = scaled(words, round(text))
    whole.add(scaled(defined, round(tools)))
    whole.put("framing", max(0, round(framing)))
    whole.put("media", parts["media"])
    whole.put("server_context", parts["server_context"])
    return whole


def _framing(terms: Sequence[float], sizes: Sequence[float]) -> list[tuple[float, float]]:
    pairs = list(zip(terms, sizes, strict=True))
    return [pairs[1], pairs[2], pairs[3], pairs[5]]


def bound(prompt: Prompt, tally: Tally, scope: Scope) -> int:
    """Return the bound of an estimate, ± tokens."""
    found = family(scope.provider, scope.model)
    share = found.tooled if prompt.tools else found.plain
    beyond = min(share, BEYOND) * max(0, tally.total - SHORT)
    return LEAST + math.ceil(share * min(tally.total, SHORT) + beyond)
