"""How each provider turns a prompt into tokens: a file a family, three functions each or four.

``message(message, before, scope) -> Tally``
    one message; a pure function of it. ``before`` are the messages ahead of it, for a call's name
    by its id and for a neighbour, nothing else.
``plain(messages, scope) -> dict[int, Tally]``
    where a file has it: what ``message`` says of those that are one text, by their place, all of
    them counted together, which costs less.
``finish(prompt, summed, scope) -> Tally``
    the whole prompt from the sum of its messages: primer, tools, schema, tool choice, hidden
    prompts, factors.
``judge(prompt, tally, scope) -> (method, error)``
    what the count may call itself, and its bound in ± tokens.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from tokentrace.prompt import light

RULES = {
    "openai": "openai",
    "claude": "claude",
    "gemini": "gemini",
    "mistral": "mistral",
    "generic": "generic",
}


@light
class Scope:
    """What a rule needs besides the prompt.

    Attributes:
        ruler: measures text, see `tokentrace.counting.text`.
        lens: lays tags and sections over text, see `tokentrace.counting.claims`.
        model: as requested.
        api: one of the api names.
        provider: the provider's name, empty where unknown.
        family: the family of models that share a rule, e.g. ``gpt-4o``; empty where unknown.
    """

    ruler: Any
    lens: Any
    model: str = ""
    api: str = ""
    provider: str = ""
    family: str = ""


@cache
def find(name: str) -> ModuleType:
    """Return the rules of ``name``; those of ``generic`` for a name nobody knows."""
    return import_module(f"{__name__}.{RULES.get(name, 'generic')}")
