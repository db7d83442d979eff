"""What a count by the OpenAI rules may call itself, and how far off it may be.

A count is ``exact`` only for a family of models and a set of features (`openai_marks`) that
recorded requests have shown to be exact; `openai_table` holds them, with their date. What was never
seen together is never exact. Bounds come from the misses of the same recordings (2026-11-22): the
number of requests stands beside each.
"""

from __future__ import annotations

import math

from tokentrace.counting.rules import Scope, openai_hosts, openai_marks, openai_table
from tokentrace.counting.tally import Tally
from tokentrace.prompt import ESTIMATED, EXACT, Prompt

CHAT, RESPONSES = "openai.chat", "openai.responses"
SIMPLE = frozenset({"openai.embeddings", "openai.completions"})

# Requests that must have been seen, all exact. The Responses API was recorded with more noise
# (hidden reasoning, invented recordings), so it needs more. Labels learned on four fifths of the
# recordings were right for 592 of 596 chat requests of the other fifth, but, with six enough, for
# 83 of 89 over Responses (2026-11-22).
ENOUGH = {CHAT: 3, RESPONSES: 10}
# With so many seen, a few may be wrong: recordings that another model or a test double answered.
MANY, NEARLY = 25, 0.97

# ± tokens of what the body cannot tell, by the name of what the provider adds.
HIDDEN = {
    "web_search": 40_000,  # 17: nothing to 115,869 more, by how often the model searches
    "web_search_preview": 20_000,  # 8
    "code_interpreter": 3_000,  # 4: 655 to 2,751
    "file_search": 2_000,  # 3: 846 to 1,154
    "image_generation": 2_500,  # 2
    "mcp": 8_000,  # 9: 55 to 5,357
    "tool_search": 700,  # 22: up to 635
    "previous_response_id": 10_000,  # 9, all short; no limit but the window
    "conversation": 10_000,  # 5, all short
    "prompt": 10_000,
    "item_reference": 10_000,
}
OTHER_TOOL = 5_000

# ± tokens and ± share of the count, by mark: the worst that a request has.
MARKED = {
    "file": (1_000, 0.2),  # 26: 4 to 8,425 more; 24 within 1,000
    "audio": (1_000, 0.2),
    "video": (20_000, 0.2),
    "typed_tool": (200, 0.2),  # 1: 142
    "other": (50, 0.2),
    "functions": (60, 0.0),  # 9: up to 58
    "odd_call": (40, 0.1),  # 15: 13 within 8
    "odd_schema": (6, 0.12),  # 32: 28 within 4, then up to 32
    "late_tools": (8, 0.02),  # 8: up to 1
    "custom": (40, 0.1),
    "server_item": (40, 0.1),
    "reasoning": (20, 0.5),
    "role": (8, 0.1),
    "prediction": (8, 0.1),
    "allowed_tools": (20, 0.1),
}
PLAIN = (3, 0.03)  # 392 requests without any of these marks that are not labelled: 374 within it
# Families that were right too seldom: (± tokens, ± share).
WEAK = {"o1-preview": (60, 0.0), "gpt-4": (20, 0.05), "o": (8, 0.03)}
# Plain text to gpt-4o over the Responses API: 70 of 80 exact, 7 (its first months) 18 more. No
# body shows its month, so no request of that family over this API is labelled exact.
EARLY = 18
UNSTEADY = f"{RESPONSES} gpt-4o"
SEALED = 0.4  # of the tokens of sealed reasoning; 18 requests, the worst 39 off


def place(prompt: Prompt, scope: Scope) -> tuple[str, str]:
    """Return the row and the marks under which a prompt's evidence stands."""
    marks = openai_marks.marks(prompt, scope) - {"azure"}
    return f"{prompt.api} {openai_marks.kin(scope)}", " ".join(sorted(marks))


def holds(row: str, seen: int, exact: int) -> bool:
    """Whether so much evidence carries the label ``exact``."""
    if row == UNSTEADY:
        return False
    enough = ENOUGH.get(row.partition(" ")[0], MANY)
    return (seen >= enough and seen == exact) or (seen >= MANY and exact >= NEARLY * seen)


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return method and bound of a count."""
    if scope.api in SIMPLE:
        return _simple(prompt, tally, scope)
    family = openai_marks.kin(scope)
    if not family:
        bound = openai_hosts.bound(prompt, tally, scope)
        return ESTIMATED, bound + tally.error + _media(tally) + _hidden(prompt)
    row, marks = place(prompt, scope)
    counted = openai_table.SEEN.get(row, {}).get(marks, (0, 0))
    promised = scope.provider not in openai_marks.RELAYS
    if promised and not tally.error and holds(row, *counted):
        return EXACT, 0
    return ESTIMATED, _bound(prompt, tally, family, frozenset(marks.split())) + tally.error


def _simple(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Judge embeddings, which are their text alone, and text completions, which may be more."""
    makers = openai_marks.HOSTS - openai_marks.RELAYS
    ours = scope.provider in makers and scope.model.startswith("text-embedding-")
    if ours and prompt.api == "openai.embeddings" and not tally.error:
        return EXACT, 0
    share = 0.2 if scope.provider in openai_marks.HOSTS else 0.6
    return ESTIMATED, tally.error + 4 + math.ceil(share * tally.total)


def _bound(prompt: Prompt, tally: Tally, family: str, marks: frozenset[str]) -> int:
    found = [MARKED[mark] for mark in marks if mark in MARKED]
    found.append(WEAK.get(family, PLAIN))
    tokens, share = (max(column) for column in zip(*found, strict=True))
    if family == "gpt-4o" and prompt.api == RESPONSES and not marks:
        tokens = max(tokens, EARLY)
    if "image" in marks:
        share = max(share, 0.05)
    bound: int = tokens + math.ceil(share * tally.total) + _hidden(prompt)
    if "remote_image" in marks:
        bound += _media(tally)
    if "sealed" in marks:
        bound += 12 + math.ceil(SEALED * tally.components.get("reasoning", 0))
    return bound


def _media(tally: Tally) -> int:
    """Return how far off pictures of unknown size may be: once the estimate."""
    return tally.components.get("media", 0)


def _hidden(prompt: Prompt) -> int:
    return sum(HIDDEN.get(name, OTHER_TOOL) for name in prompt.server)
