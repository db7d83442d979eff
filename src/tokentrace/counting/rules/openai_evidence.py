"""What a count by the OpenAI rules may call itself, and how far off it may be.

A count is ``exact`` only for a family of models and a set of features (`openai_marks`) that
recorded requests have shown to be exact; `openai_table` holds them, with their date. What was never
seen together is never exact. Bounds come from the misses of the same recordings (2026-11-25): the
number of requests stands beside each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from tokentrace.counting.rules import (
    Scope,
    openai_hosts,
    openai_marks,
    openai_media,
    openai_table,
    openai_tools,
)
from tokentrace.counting.tally import Tally
from tokentrace.dialects._reading import get, text_of
from tokentrace.prompt import ESTIMATED, EXACT, Prompt

CHAT, RESPONSES = "openai.chat", "openai.responses"
SIMPLE = frozenset({"openai.embeddings", "openai.completions"})
EMBEDDERS = frozenset({"", "openai", "azure"})  # all text-embedding-* models share a tokenizer
# Text completions whose tokenizer is known: 13 of 14 exact, 1 off by 1 (2026-11-25).
COMPLETERS = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002")

Table = Mapping[str, Mapping[str, tuple[int, int]]]

# Requests of a set of marks that must have been seen, all exact: a few where the family's other
# requests were exact too, more where they were not. With many seen, a few may be wrong: recordings
# that another model or a test double answered. Labels learned on four fifths of the recordings were
# right for 546 of 549 chat requests and 64 of 64 over Responses of the other fifth; with whole
# repositories held out for 526 of 529 and 55 of 57 (2026-11-25).
FEW, SOME, MANY, NEARLY = 3, 10, 25, 0.97

# ± tokens of what the body cannot tell, by the name of what the provider adds.
HIDDEN = {
    "web_search": 40_000,  # 19: 18 up to 24,331, then 107,069, by how often the model searches
    "web_search_preview": 20_000,  # 8: up to 4,505
    "code_interpreter": 2_500,  # 4: up to 1,361
    "file_search": 1_500,  # 3: up to 294
    "image_generation": 1_500,  # 2
    "mcp": 8_000,  # 9: 55 to 5,357
    "tool_search": 400,  # 20: up to 347
    "previous_response_id": 10_000,  # 9, all short; no limit but the window
    "conversation": 10_000,  # 5, all short
    "prompt": 10_000,
    "item_reference": 10_000,
}
OTHER_TOOL = 5_000
SEARCHING = re.compile(r"\bcompound\b|:online$")

# ± tokens and ± share of the count, by mark: the worst that a request has.
MARKED = {
    "file": (10, 0.05),  # 14, besides what `openai_media.unsure` says of the files themselves
    "remote_file": (10, 0.05),  # 12, likewise
    "audio": (1_000, 0.2),
    "video": (20_000, 0.2),
    "typed_tool": (200, 0.2),  # 1: 142
    "client_search": (30, 0.1),  # 2: exact
    "other": (50, 0.2),
    "functions": (60, 0.0),  # 9: up to 58
    "odd_call": (40, 0.1),  # 26: 24 within 34
    "unsealed": (160, 0.0),  # 33: the provider put reasoning back to the calls of 12, up to 154
    "odd_schema": (6, 0.12),  # 13: 9 within 1, then up to 33, where null is a choice
    "late_tools": (8, 0.03),  # 20: 17 within 7, then 17, 17 and 347
    "custom": (40, 0.1),
    "server_item": (40, 0.1),
    "reasoning": (20, 0.5),
    "role": (8, 0.1),
    "prediction": (8, 0.1),
    "allowed_tools": (20, 0.1),
}
# ± tokens more with tools, without and with calls, where a gateway writes them anew: of 34 requests
# through five gateways 20 are exact, 33 within 18 (2026-11-29).
RELAYED = (6, 16)
PLAIN = (1, 0.03)  # 488 requests without any of these marks that are not labelled: 463 within it
# Families that were right too seldom: (± tokens, ± share).
WEAK = {"o1-preview": (60, 0.0), "gpt-4": (20, 0.05), "o": (8, 0.03)}
# Plain text to gpt-4o over the Responses API: 70 of 80 exact, 7 (its first months) 18 more. No
# body shows its month, so no request of that family over this API is labelled exact.
EARLY = 18
# Rows, or in a row the sets with a mark, that no evidence labels. gpt-4.1: a request with tools that is
# answered by parallel calls may be reported without the tools, so the count hangs on the answer.
UNSTEADY = {
    f"{RESPONSES} gpt-4o": "",
    f"{RESPONSES} gpt-4.1": "tools",
}
SEALED = 0.4  # of the tokens of sealed reasoning; 18 requests, the worst 42 off


def place(prompt: Prompt, scope: Scope) -> tuple[str, str]:
    """Return the row and the marks under which a prompt's evidence stands."""
    marks = openai_marks.marks(prompt, scope)
    return f"{prompt.api} {openai_marks.kin(scope)}", " ".join(sorted(marks))


def labels(table: Table) -> frozenset[tuple[str, str]]:
    """Return the rows and marks to which the recordings in ``table`` give the label ``exact``."""
    return frozenset(
        (row, marks)
        for row, kinds in table.items()
        for marks, (seen, exact) in kinds.items()
        if _steady(row, marks) and _enough(seen, exact, FEW if _clean(kinds) else SOME)
    )


def _enough(seen: int, exact: int, least: int) -> bool:
    return (seen >= least and seen == exact) or (seen >= MANY and exact >= NEARLY * seen)


def _steady(row: str, marks: str) -> bool:
    """Whether the body tells all: nothing of `VAGUE`, which stand for more than one thing each."""
    mark = UNSTEADY.get(row)
    held = set(marks.split())
    return not held & VAGUE and (mark is None or (bool(mark) and mark not in held))


def _clean(kinds: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a family's requests were exact nearly always, where the body tells all."""
    told = [counted for marks, counted in kinds.items() if not VAGUE & set(marks.split())]
    return _enough(sum(seen for seen, _ in told), sum(exact for _, exact in told), MANY)


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return method and bound of a count."""
    if scope.api in SIMPLE:
        return _simple(prompt, tally, scope)
    family = openai_marks.kin(scope)
    if not family:
        bound = openai_hosts.bound(prompt, tally, scope)
        seen = _media(tally)
        files = openai_media.unsure(prompt, scope) if seen else 0
        return ESTIMATED, bound + tally.error + seen + files + _hidden(prompt) + _foreign(
            prompt, scope
        )
    row, marks = place(prompt, scope)
    promised = scope.provider in openai_marks.PROMISED
    if promised and not tally.error and (row, marks) in LABELLED:
        return EXACT, 0
    return ESTIMATED, _bound(prompt, tally, scope, frozenset(marks.split())) + tally.error


def _simple(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Judge embeddings, which are their text alone, and text completions, which may be more."""
    ours = scope.provider in EMBEDDERS and scope.model.startswith("text-embedding-")
    if ours and prompt.api == "openai.embeddings" and not tally.error:
        return EXACT, 0
    least, share = (4, 0.2) if scope.provider in openai_marks.HOSTS else (4, 0.6)
    if scope.provider in openai_marks.HOSTS and scope.model.startswith(COMPLETERS):
        least, share = PLAIN
    return ESTIMATED, tally.error + least + math.ceil(share * tally.total)


def _bound(prompt: Prompt, tally: Tally, scope: Scope, marks: frozenset[str]) -> int:
    family = openai_marks.kin(scope)
    found = [MARKED[mark] for mark in marks if mark in MARKED]
    found.append(WEAK.get(family, PLAIN))
    tokens, share = (max(column) for column in zip(*found, strict=True))
    if family == "gpt-4o" and prompt.api == RESPONSES and not marks:
        tokens = max(tokens, EARLY)
    if "image" in marks:
        share = max(share, 0.05)
    bound: int = tokens + math.ceil(share * tally.total) + _hidden(prompt) + _foreign(prompt, scope)
    if scope.provider not in openai_marks.HOSTS and prompt.tools:
        bound += RELAYED["calls" in marks]
    if "remote_image" in marks:
        bound += _media(tally)
    if marks & {"file", "remote_file"}:
        bound += openai_media.unsure(prompt, scope)
    if "sealed" in marks:
        bound += 12 + math.ceil(SEALED * tally.components.get("reasoning", 0))
    return bound


def _media(tally: Tally) -> int:
    """Return how far off pictures of unknown size may be: once the estimate."""
    return tally.components.get("media", 0)


def _hidden(prompt: Prompt) -> int:
    return sum(HIDDEN.get(name, OTHER_TOOL) for name in prompt.server)


def _foreign(prompt: Prompt, scope: Scope) -> int:
    """Return ± tokens of a host's own tools: asked for by type, or part of what a model's name means.

    ``openrouter:web_search`` is one by type; Groq's ``compound`` and OpenRouter's ``…:online`` search.
    """
    if scope.provider in openai_marks.PROMISED or prompt.api != CHAT:
        return 0
    own = OTHER_TOOL if SEARCHING.search(scope.model) else 0
    odd = (tool for tool in prompt.tools if openai_tools.definition(tool) is None)
    kinds = (text_of(get(tool.data, "type")).rpartition(":")[2] for tool in odd)
    return own + sum(HIDDEN.get(kind, OTHER_TOOL) for kind in kinds if kind != "custom")


VAGUE = frozenset(MARKED) | {"server", "sealed", "remote_image", "image"}
LABELLED = labels(openai_table.SEEN)
