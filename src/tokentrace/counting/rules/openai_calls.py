"""Calls and their results as OpenAI writes them again, which is the text that is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokentrace.prompt import Part


def wrapped(calls: Sequence[Part]) -> str:
    """Return parallel calls as the one call of a wrapper tool that chat makes of them.

    The results are one JSON list then, see `listed`. Evidence (2026-11-22): 15 of 16 distinct
    conversations of gpt-3.5, gpt-4o, gpt-4.1 and gpt-5 with 2 or 3 calls.
    """
    from json import dumps

    uses = [
        {"recipient_name": f"functions.{part.name}", "parameters": loaded(part.text, part.text)}
        for part in calls
    ]
    return dumps({"tool_uses": uses}, separators=(",", ":"))


def listed(text: str, index: int, of: int) -> str:
    """Return the piece of a JSON list that holds one of ``of`` results, with what follows it.

    Between the comma and the space every pre-tokenizer splits, so the pieces add up.
    """
    from json import dumps

    value = loaded(text, text) if text.lstrip()[:1] in {"{", "["} else text
    head, end = " " if index else "[", "]" if index == of - 1 else ","
    return f"{head}{dumps(value)}{end}"


def loaded(text: str, default: Any) -> Any:
    """Return what a JSON text holds, or ``default``."""
    from json import loads

    try:
        return loads(text)
    except (ValueError, RecursionError):
        return default


def arguments(text: str) -> str:
    """Return a call's arguments as compact JSON, as the provider writes them again."""
    if text[:1] not in {"{", "["} or (" " not in text and "\n" not in text and "\\" not in text):
        return text
    from json import dumps

    value = loaded(text, None)
    return text if value is None else dumps(value, ensure_ascii=False, separators=(",", ":"))
