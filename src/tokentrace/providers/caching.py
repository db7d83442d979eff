"""How providers keep the beginning of a prompt from one call to the next, as dated data.

A row tells by whom (the makers or hosts), for which models, and what is known. Where a row leaves a
number out, nobody has published it, and nothing is claimed by it.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache

from tokentrace.providers import BEGINNINGS, host_of, plain, undated
from tokentrace.providers import find as find_model
from tokentrace.providers._model import MESSAGES, SYSTEM, TOOLS, Caching

UNKNOWN = Caching()
MINUTES, HOUR, DAY = 60.0, 3_600.0, 86_400.0

# Tools, system, messages; at most 4 marks a request, each found within 20 blocks before a mark of the
# next. A change of tools or model leaves all unread, one of the system text all but the tools.
_CLAUDE = Caching(
    order=(TOOLS, SYSTEM, MESSAGES),
    ordered=True,
    minimum=1_024,
    step=1,
    exact=True,
    lookback=20,
    life=5 * MINUTES,
    longest=HOUR,
    breakers=("tool_choice", "thinking"),
    dated="2026-11-22",
    source="Anthropic's page on prompt caching",
)


def _claude(match: str, minimum: int) -> Caching:
    return replace(_CLAUDE, match=match, minimum=minimum)


CLAUDE = (
    _claude("claude-opus-5*", 512),
    _claude("claude-fable-5*", 512),
    _claude("claude-opus-4-[56]*", 4_096),
    _claude("claude-haiku-4-5*", 4_096),
    _claude("claude-opus-4-7*", 2_048),
    _claude("claude-haiku-3*", 2_048),
    _claude("claude-3-haiku*", 2_048),
    _claude("claude-3-5-haiku*", 2_048),
    _CLAUDE,
)

# The schema stands before the system text; where definitions stand is not said. Steps of 128 and an
# hour at most are the older models'; an organisation may have kept prefixes for a day.
_OPENAI = Caching(
    minimum=1_024,
    step=128,
    life=HOUR,
    longest=DAY,
    dated="2026-11-22",
    source="OpenAI's guide on prompt caching, and the docstrings of its SDK 3.54",
)
_MARKED = replace(_OPENAI, step=1, exact=True, life=30 * MINUTES, longest=None)
# The guide says that prompts of gpt-4o and newer models are kept.
_OLD = Caching(step=0, dated="2026-11-30", source="OpenAI's guide on prompt caching")

OPENAI = (
    replace(_OLD, match="gpt-3.5*"),
    replace(_OLD, match="gpt-4"),
    replace(_OLD, match="gpt-4-*"),
    replace(_MARKED, match="gpt-5.6*"),
    replace(_MARKED, match="gpt-6*"),
    replace(_MARKED, match="gpt-[789]*"),
    _OPENAI,
)

# Neither the order nor the time is said, nor the size of a step, for which a large one stands here.
_GEMINI = Caching(
    minimum=4_096,
    step=2_048,
    silent=True,
    dated="2026-10-13",
    source="Gemini's page on context caching",
)
# The page says that prompts of 2.5 and newer models are kept without being asked for it.
_OLD_GEMINI = replace(_GEMINI, minimum=None, step=0)
GEMINI = (
    replace(_OLD_GEMINI, match="gemini-1*"),
    replace(_OLD_GEMINI, match="gemini-2.0*"),
    replace(_GEMINI, match="gemini-2.5*", minimum=2_048),
    _GEMINI,
)

# A host that keeps each block of the prompt it has seen; marks stand in the request.
BEDROCK = (
    replace(
        _CLAUDE,
        match="*nova*",
        minimum=1_000,
        lookback=None,
        longest=None,
        breakers=(),
        source="Bedrock's page on prompt caching, as remembered",
    ),
)
DEEPSEEK = (
    Caching(
        step=1,
        exact=True,
        dated="2026-11-30",
        source="DeepSeek's guide on context caching",
    ),
)
GROQ = (Caching(life=2 * HOUR, dated="2026-11-30", source="Groq's page on prompt caching"),)
XAI = (Caching(dated="2026-11-30", source="xAI's pages on prompt caching"),)

ROWS: dict[str, tuple[Caching, ...]] = {
    "anthropic": CLAUDE,
    "openai": OPENAI,
    "azure": OPENAI,
    "gemini": GEMINI,
    "vertex": GEMINI,
    "bedrock": BEDROCK,
    "deepseek": DEEPSEEK,
    "groq": GROQ,
    "xai": XAI,
}


@lru_cache(maxsize=512)
def find(model: str, provider: str = "", base_url: str = "") -> Caching:
    """Return how the prefix of a request is kept; ``UNKNOWN`` where nobody says.

    A Claude is cached alike wherever it is served. Where no host is known the maker's rules hold.
    """
    name = undated(plain(model))
    if name.startswith("claude"):
        return _first(CLAUDE, name)
    server = find_model(model, provider, base_url)[0].name
    if not server and not host_of(base_url):
        server = next((who for start, who in BEGINNINGS.items() if name.startswith(start)), "")
    return _first(ROWS.get(server, ()), name)


def _first(rows: tuple[Caching, ...], name: str) -> Caching:
    return next((row for row in rows if fnmatchcase(name, row.match)), UNKNOWN)
