"""Claude's numbers: learned from reported usage, since no tokenizer is public.

``scripts/learn_claude.py`` learns the factors, overheads and bounds from recorded requests with the
provider's own usage (640 requests, 2024-03 to 2026-11; last learned 2026-11-22). The hidden system
prompts for tool use are Anthropic's own table (page "Tool use", read 2026-11-22); those of models
that it no longer lists, and the definitions of typed tools, are medians of the same recordings, or
the numbers that Anthropic's tool pages give (bash, text editor, computer).

What was seen and holds for all families: tools stand as JSON with spaces, at the factor of text;
the thinking of earlier turns is taken out, that of the running tool loop counts as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from tokentrace import providers

LEARNED = "2026-11-22"


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a tokenizer.

    Attributes:
        name: as in the registry.
        text: Claude tokens for each o200k_base token of text.
        tools: the same for tool definitions as JSON.
        thinking: tokens that switching thinking on adds, once.
        edge, cap: the longest edge of an image in pixels and the most tokens it can cost.
        keeps: models that keep the thinking of earlier turns, as globs.
    """

    name: str
    text: float
    tools: float
    thinking: int
    edge: int = 1568
    cap: int = 1568
    keeps: tuple[str, ...] = ()


FAMILIES = {
    family.name: family
    for family in (
        Family("claude-3", 1.10, 1.08, 29),
        Family("claude-4", 1.14, 1.14, 29, keeps=("claude-opus-4-[56]*",)),
        Family("claude-new", 1.30, 1.52, 0, 2576, 4784, keeps=("*",)),
    )
}
NEWEST = FAMILIES["claude-new"]
# Another maker's model behind this api: an estimate, whatever its numbers.
OTHER = Family("", 1.1, 1.1, 0)

# Once a prompt, once a change of speaker, once a call, once a result.
ONCE = 4
TURN = 3
CALL = 20
RESULT = 22
# A call's parameters are tagged one by one: tokens of its arguments that cost once more.
TAGGED = 15
# A response schema: once, and for each of its tokens as compact JSON.
SCHEMA_ONCE = 95
SCHEMA = 1.95
# Families that know no response schemas: what a host makes of one is unknown.
SCHEMALESS = frozenset({"claude-3"})
# Models that see the text of a PDF, not its pages.
PAGELESS = ("claude-3-haiku*", "claude-3-sonnet*", "claude-3-opus*")
# Text in capitals is split finer: on top of the family's factor (3 requests of one kind).
CAPITALS = 1.3
IMAGE = 4
PATCH = 28
# A text document, and once the hidden prompt for citing documents.
DOCUMENT = 38
CITATIONS = 555

# Hidden system prompt for tool use: model glob, tool_choice auto or none, any or a tool.
PROMPTS = (
    ("claude-opus-4-8*", 290, 410),
    ("claude-opus-4-7*", 675, 804),
    ("claude-opus-4-6*", 497, 589),
    ("claude-sonnet-4-6*", 497, 589),
    ("claude-*-4-5*", 496, 588),
    ("claude-opus-4*", 313, 315),
    ("claude-sonnet-4*", 313, 315),
    ("claude-4-*", 313, 315),
    ("claude-3-7*", 313, 315),
    ("claude-3-5-haiku*", 264, 355),
    ("claude-3-5-sonnet*", 294, 315),
    ("claude-3-opus*", 530, 281),
    ("claude-3-sonnet*", 159, 235),
    ("claude-3-haiku*", 264, 360),
    ("claude-sonnet-5*", 354, 474),
    ("claude*", 300, 420),
    ("*", 150, 150),
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A tool that the provider defines.

    Attributes:
        match: glob over the tool's type.
        tokens: of its definition.
        found: ± tokens of what the provider's own run of it brings in; it also reads the prompt
            once more for each run. 0 where the agent runs it.
    """

    match: str
    tokens: int
    found: int = 0


TYPED = (
    Typed("web_search_*", 1710, 12_000),
    Typed("web_fetch_*", 530, 6_500),
    Typed("code_execution_2025*", 1300, 3_000),
    Typed("code_execution_*", 4140, 3_000),
    Typed("tool_search_*", 240, 400),
    Typed("advisor_*", 750, 1_500),
    Typed("memory_*", 1080),
    Typed("computer_*", 1330),
    Typed("bash_*", 245),
    Typed("text_editor_*", 700),
    Typed("*", 700, 3_000),
)
# What the provider adds beside tools, and a body cannot tell at all.
SERVERS = {"mcp_servers": Typed("", 2_500, 12_000), "container": Typed("", 0, 600)}


# Types of tools that the request itself defines.
OWN = frozenset({"", "custom", "function"})


@lru_cache(maxsize=256)
def typed(kind: str) -> Typed:
    """Return what is known about a tool that the provider defines, by its type."""
    return next(row for row in TYPED if fnmatchcase(kind, row.match))


@lru_cache(maxsize=256)
def family(model: str, known: str = "") -> Family | None:
    """Return the family of a model; the newest for a Claude nobody knows, None for no Claude."""
    if known in FAMILIES:
        return FAMILIES[known]
    name = providers.plain(model)
    if not re.match(r"claude", name):
        return None
    row = providers.find(model)[1]
    return FAMILIES.get(row.family, NEWEST) if row else NEWEST


@lru_cache(maxsize=256)
def tool_prompt(model: str, *, forced: bool) -> int:
    """Return the tokens of the hidden prompt that stands before the first tool."""
    name = providers.plain(model)
    found = (row for row in PROMPTS if fnmatchcase(name, row[0]))
    _, free, bound = next(found)
    return bound if forced else free


@lru_cache(maxsize=256)
def keeps_thinking(model: str, known: str = "") -> bool:
    """Whether the model still sees the thinking of earlier turns."""
    found = family(model, known) or NEWEST
    name = providers.plain(model)
    return any(fnmatchcase(name, glob) for glob in found.keeps)


@lru_cache(maxsize=256)
def pageless(model: str) -> bool:
    """Whether the model sees the text of a PDF only."""
    name = providers.plain(model)
    return any(fnmatchcase(name, glob) for glob in PAGELESS)
