"""Chat templates of open models, for prompts whose text is measured with the model's own tokenizer.

The templates stand in the models' public repositories (as remembered, 2026-11-29). Of 26 recorded
requests of plain text to Qwen models 16 come out exact that way with Qwen's vocabulary, and 25 are off
by at most 4 (2026-11-29). Hosts add lines of their own, as Llama's date, the system text of Qwen 2.5
where there is none, and the ends of thoughts that are switched off: the bounds hold those.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from tokentrace import providers
from tokentrace.counting.rules.makers import Maker, maker

# Shares by which text may be off for its cuts and joins, and a prompt with tools for what their
# template makes of definitions.
TEXT, TOOLED = 0.03, 0.25
# What stands around a turn in ChatML, Llama 3 and Gemma: two marks, the role, line breaks.
TURNS = {"user": 5, "answer": 5, "system": 5}
TEMPLATES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("*qwen*2.5*", {"once": 3, **TURNS, "plain": (TEXT, 25)}),
    ("*qwen*", {"once": 3, **TURNS, "plain": (TEXT, 6)}),
    ("*llama*3*", {"once": 5, **TURNS, "plain": (TEXT, 27)}),
    ("*gemma*", {"once": 4, **TURNS, "plain": (TEXT, 5)}),
    ("*deepseek*", {"once": 2, "user": 1, "answer": 2, "system": 0, "plain": (TEXT, 6)}),
)


@lru_cache(maxsize=64)
def measured(model: str) -> Maker:
    """Return the numbers of a model's maker with its template, and no factor on text."""
    made, name = maker(model), providers.plain(model)
    known: dict[str, Any] = next((row for match, row in TEMPLATES if fnmatchcase(name, match)), {})
    tooled, fixed = made.tooled
    return replace(
        made,
        text=1.0,
        tools=made.tools / made.text,
        digits=False,
        capitals=1.0,
        tooled=(min(tooled, TOOLED), fixed),
        **known,
    )
