"""What each family of OpenAI models adds to the text of a prompt, in tokens.

Fitted on recorded requests with the provider's own numbers (2026-11-22); how often each family is
right, feature by feature, stands in `openai_evidence`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Style:
    """Framing of one family. Pairs are (chat, responses).

    Attributes:
        name: the family.
        message: for each message.
        once: the reply's opening, once a request (chat, responses).
        answer: more for each assistant message of the history.
        call: for a call, besides its name and arguments.
        further: for each further call of the same turn.
        kept: more for a call item with the server's id, and with its id and status.
        result: for a tool's result, besides the tool's name and the content.
        joined, alone, apart: what definitions cost besides their text: behind a system text,
            without one, and over the Responses API.
        bare: over the Responses API, for each definition without a description.
        late: around definitions that come as an item, added or found by a search
            (2026-11-22: 11 of 17 requests exact).
        forced: for a tool choice that names a tool, besides its name; None where it is free.
        schema: what a response schema costs besides its text: in chat behind a system text, without
            one, and over the Responses API.
        named: the schema's name is repeated for each answer.
        parallel: for parallel calls in chat and their results, besides the text of both.
        search: for a web search tool that the model may use but does not.
        titles: titles and unions of a tool's schema are written.
    """

    name: str
    message: int = 4
    once: tuple[int, int] = (3, 3)
    answer: int = 0
    call: tuple[int, int] = (7, 7)
    further: tuple[int, int] = (7, 7)
    kept: tuple[int, int] = (0, 0)
    result: tuple[int, int] = (6, 7)
    joined: int = -1
    alone: int = 3
    apart: int = -3
    bare: int = 0
    late: tuple[int, int] = (99, 85)
    forced: int | None = 7
    schema: tuple[int, int, int] = (0, 4, 1)
    named: bool = True
    parallel: int = 20
    titles: bool = True
    search: int = 0


OTHER = "other"

GPT_4O = Style("gpt-4o", call=(7, 4), further=(7, 4), kept=(0, 3), search=294)
GPT_4 = Style(
    "gpt-4",
    once=(3, 2),
    apart=3,
    call=(6, 6),
    further=(6, 6),
    result=(5, 6),
    joined=0,
    forced=5,
    titles=False,
)
TURBO = Style("gpt-4-turbo", apart=3)
REASONING = Style(
    "o", once=(2, 2), call=(12, 9), further=(12, 9), result=(7, 8), joined=3, alone=4, apart=0,
    forced=None, schema=(3, 4, 0), named=False, parallel=26,
)  # fmt: skip
GPT_5 = Style(
    "gpt-5", once=(2, 2), answer=2, call=(12, 9), further=(12, 19), kept=(3, 3), result=(7, 8), joined=84, alone=85,
    apart=3, bare=-1, forced=None, schema=(3, 4, 0), named=False, parallel=26,
)  # fmt: skip

STYLES = {
    style.name: style
    for style in (
        GPT_4O,
        replace(GPT_4O, name="gpt-4.1"),
        GPT_4,
        TURBO,
        replace(TURBO, name="gpt-3.5"),
        REASONING,
        GPT_5,
        replace(
            GPT_5, name="gpt-5.4", call=(12, 12), further=(12, 22), kept=(0, 0), late=(100, 85)
        ),
        replace(GPT_4O, name="o1-preview"),
        replace(GPT_4O, name="search", message=0, once=(0, 0)),
        replace(TURBO, name="gpt-3.5-0301", message=5),
        replace(GPT_4O, name=OTHER, parallel=0),
    )
}
FAMILIES = (
    ("search", r".*search-preview|.*-search-api"),
    ("gpt-3.5-0301", r"gpt-3\.5-turbo-0301"),
    ("gpt-3.5", r"gpt-3\.5|gpt-35"),
    ("gpt-4o", r"gpt-4o|chatgpt-4o|gpt-4\.5|gpt-audio"),
    ("gpt-4.1", r"gpt-4\.1"),
    ("gpt-4-turbo", r"gpt-4-(turbo|1106|0125|vision)"),
    ("gpt-4", r"gpt-4(?![.\d])"),
    ("gpt-5", r"gpt-5(\.[0-3])?(?![.\d])"),
    ("gpt-5.4", r"gpt-5\."),
    ("o1-preview", r"o1-(mini|preview)"),
    ("o", r"o[134](?![\w.])"),
)
PATTERNS = tuple((name, re.compile(pattern)) for name, pattern in FAMILIES)


@lru_cache(maxsize=256)
def plain_name(model: str) -> str:
    """Return the model's name without host, case and fine-tuning marks."""
    name = model.lower().rsplit("/", 1)[-1]
    return name.removeprefix("ft:").removeprefix("openai.").partition(":")[0]


@lru_cache(maxsize=256)
def style(model: str) -> Style:
    """Return the style of a model's family; ``other`` where nobody knows the model."""
    name = plain_name(model)
    for family, pattern in PATTERNS:
        if pattern.match(name):
            return STYLES[family]
    return STYLES[OTHER]
