"""How far Claude's counts may be off, by what the prompt holds.

``scripts/learn_claude.py`` prints the residuals of recorded requests (see `claude_table`,
2026-11-22). The bounds here are wider than those, since the recorded prompts are short and mostly
English; they held 98 of 100 of them (n=647). Of requests through Bedrock's Converse, whose counts
the numbers were not learned from, they held 90 of 100 (n=63; two of the six misses are prompts all
in capitals, which Claude's tokenizers split finer than o200k_base does).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tokentrace.counting.rules.claude_table import OWN, SERVERS, typed
from tokentrace.counting.tally import Tally
from tokentrace.dialects._reading import get, text_of
from tokentrace.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Bound:
    """± ``fixed`` tokens and ``share`` of the total, for one kind of prompt."""

    kind: str
    fixed: int
    share: float


PLAIN = Bound("plain", 6, 0.16)
TOOLS = Bound("tools", 10, 0.12)
LOOP = Bound("loop", 15, 0.14)
SCHEMA = Bound("schema", 25, 0.15)
DEFERRED = Bound("deferred", 40, 0.25)
# Settings that add hidden text of unknown length, ± tokens.
HIDDEN = {"context_management": 150, "task_budget": 60}


def bound(prompt: Prompt, tally: Tally) -> int:
    """Return ± tokens for a whole prompt, beside what its parts have brought themselves."""
    kind = kind_of(prompt, tally)
    wide = kind.fixed + kind.share * tally.total
    wide += sum(tokens for name, tokens in HIDDEN.items() if name in prompt.features)
    return math.ceil(wide) + _server(prompt, tally.total)


def kind_of(prompt: Prompt, tally: Tally) -> Bound:
    """Return the bound of the prompt's kind."""
    if "defer_loading" in prompt.features:
        return DEFERRED
    if prompt.schema is not None:
        return SCHEMA
    if "tool_results" in tally.components:
        return LOOP
    return TOOLS if prompt.tools else PLAIN


def _server(prompt: Prompt, total: int) -> int:
    """Tools that the provider runs bring in what they find, and read the prompt again."""
    if not prompt.server:
        return 0
    kinds = [text_of(get(tool.data, "type")) for tool in prompt.tools]
    found = sum(typed(kind).found for kind in kinds if kind not in OWN)
    found += sum(SERVERS[name].found for name in prompt.server if name in SERVERS)
    return found + total if found else 0
