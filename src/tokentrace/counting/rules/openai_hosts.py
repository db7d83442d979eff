"""Other makers' models behind OpenAI's form: an estimate by family, with a bound, never exact.

Their tokenizers and templates are not OpenAI's. What a family adds is a template's: tokens for each
request, message, call, tool and definition. Public templates give where to begin, reported usage the
rest (``scripts/learn_openai.py``; numbers and date in `openai_host_table`), and how far off that was.
OpenAI's, Anthropic's and Google's own models count by their own rules wherever they are served.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache

from tokentrace.counting.rules import Scope, makers, openai_host_table
from tokentrace.counting.rules.openai_styles import style
from tokentrace.counting.tally import Tally, scaled
from tokentrace.prompt import Message, Prompt

TERMS = ("text", "once", "bare", "message", "tools", "definition", "call", "schema")
RESPONSE = ("tools", "response_format")
SYSTEM = frozenset({"system", "developer"})
OUTSIDE = ("framing", "media", "tools", "server_context")
THINKING, THOUGHT = "<think>", "</think>"
# Gateways ask models that reason over the Responses API, where tools have no preamble: without it
# 10 of 17 recorded requests with tools are exact and 15 within 5 tokens, with it none (2026-11-29).
GATEWAYS = frozenset({"openrouter", "vercel-gateway"})
REASONING = frozenset({"gpt-5", "gpt-5.4", "o"})
# Ollama's template for Mistral's models shows tools only where one of the last two messages asks.
ASKED_LAST = frozenset({"*/*mistral-small3*"})
# A sentence that some hosts add where any JSON is asked for: 9 requests, 7 within 31 (2026-11-29).
JSON, ASKED = "json_object", 40
# Requests with a response schema after which a family's number for it is known.
KNOWN = 3
CHAT, RESPONSES = "openai.chat", "openai.responses"


@dataclass(frozen=True, slots=True)
class Family:
    """One family of models.

    Attributes:
        match: glob over host, model and api, e.g. ``*/*kimi*`` or ``*/*grok-4.3* responses``.
        terms: factors of `TERMS`: on text tokens, once, once where no system text opens the prompt,
            a message, once with tools, on the tokens of definitions, a call with its result, on
            the tokens of a response schema.
        bounds: by `kind` of prompt, ± tokens and ± share of the estimate within which reported
            numbers lay, with a margin that is wider where few were seen.
        seen: recorded requests behind it, and those of them with a response schema.
    """

    match: str
    terms: tuple[float, ...]
    bounds: tuple[tuple[int, float], ...]
    seen: tuple[int, int]


FAMILIES = tuple(Family(*row) for row in openai_host_table.HOSTS)


def named(provider: str, model: str, api: str) -> str:
    """Return host, model and api as one name, which a family's glob matches."""
    return f"{provider}/{model} {api.rpartition('.')[2]}".lower()


@lru_cache(maxsize=256)
def family(provider: str, model: str, api: str = CHAT) -> Family:
    """Return the family of a model; the last one is for all that nobody knows."""
    name = named(provider, model, api)
    return next(one for one in FAMILIES if fnmatchcase(name, one.match))


def measured(scope: Scope) -> Scope:
    """Return the scope with the api over which a gateway asks OpenAI's own models."""
    if scope.provider not in GATEWAYS or scope.api != CHAT:
        return scope
    reasons = style(scope.model).name in REASONING
    return replace(scope, api=RESPONSES) if reasons else scope


# ── the count ────────────────────────────────────────────────────────────────────────────────────


def forgotten(prompt: Prompt, scope: Scope) -> dict[str, int]:
    """Return the tokens, by component, of what answers ahead of the newest question thought.

    The templates of models that reason leave it out, whether it stands beside an answer or in it;
    what was thought since that question stays: a call is followed by its result.
    """
    found = {"reasoning": 0, "history": 0}
    for message in _earlier(prompt):
        for part in message.parts:
            if part.kind == "reasoning" and scope.api == CHAT:
                found["reasoning"] += _tokens(part.text, scope)
            elif part.kind == "text" and part.text.startswith(THINKING):
                thought, closed, _ = part.text.partition(THOUGHT)
                found["history"] += _tokens(thought + closed, scope) if closed else 0
    return found


def _earlier(prompt: Prompt) -> Iterator[Message]:
    """Yield the answers ahead of the newest message of the user."""
    current = True
    for message in reversed(prompt.messages):
        if not current and message.role == "assistant":
            yield message
        current = current and message.role != "user"


def _tokens(text: str, scope: Scope) -> int:
    found: int = scope.ruler.tokens(text)[0] if text else 0
    return found


def words(prompt: Prompt, tally: Tally, scope: Scope) -> Tally:
    """Return the text of a prompt alone, without what the template forgets."""
    held = {name: n for name, n in tally.components.items() if name not in OUTSIDE}
    for name, tokens in forgotten(prompt, scope).items():
        if tokens:
            held[name] = max(0, held.get(name, 0) - tokens)
    return Tally(held, _details(tally, tools=False), tally.error)


def hides(match: str, prompt: Prompt) -> bool:
    """Whether a family's template shows no tools in this prompt."""
    return match in ASKED_LAST and all(one.role != "user" for one in prompt.messages[-2:])


def measures(prompt: Prompt, tally: Tally, text: int, match: str) -> tuple[float, ...]:
    """Return what the terms of a family are multiplied with, in the order of `TERMS`."""
    calls = sum(part.kind == "call" for message in prompt.messages for part in message.parts)
    schema = tally.details.get(RESPONSE, 0) if prompt.schema is not None else 0
    shown = not hides(match, prompt)
    definitions = shown * (tally.components.get("tools", 0) - schema)
    bare = float(not prompt.messages or prompt.messages[0].role not in SYSTEM)
    tools = float(shown and bool(prompt.tools))
    return text, 1.0, bare, len(prompt.messages), tools, definitions, calls, schema


def finish(prompt: Prompt, tally: Tally, scope: Scope) -> Tally:
    """Return the tally in the family's numbers: text by its factor, the rest as framing."""
    text = words(prompt, tally, scope)
    found = family(scope.provider, scope.model, scope.api)
    sizes = measures(prompt, tally, text.total, found.match)
    share, *template, definitions, calls, schema = (
        a * b for a, b in zip(found.terms, sizes, strict=True)
    )
    defined = Tally({"tools": tally.components.get("tools", 0)}, _details(tally, tools=True))
    whole = scaled(text, round(share))
    whole.add(scaled(defined, round(definitions + schema)))
    whole.put("framing", max(0, round(sum(template) + calls)))
    for name in ("media", "server_context"):
        whole.put(name, tally.components.get(name, 0))
    return whole


def _details(tally: Tally, *, tools: bool) -> dict[tuple[str, str], int]:
    return {key: n for key, n in tally.details.items() if (key[0] == "tools") is tools}


# ── the bound ────────────────────────────────────────────────────────────────────────────────────


def kind(prompt: Prompt) -> int:
    """Return which bound holds: 0 for a question alone, 1 with answers ahead, 2 with tools.

    Hosts of models that reason may put back what was thought ahead of an answer.
    """
    calls = any(part.kind in {"call", "result"} for one in prompt.messages for part in one.parts)
    if prompt.tools or calls:
        return 2
    return int(any(one.role == "assistant" for one in prompt.messages))


def bound(prompt: Prompt, tally: Tally, scope: Scope) -> int:
    """Return the bound of an estimate, ± tokens: what a template adds, and a share of the rest.

    Not every host shows a response schema to the model, nor tools that it must not use.
    """
    found = family(scope.provider, scope.model, scope.api)
    fixed, share = found.bounds[kind(prompt)]
    share += makers.FOREIGN * makers.foreign(prompt.messages)
    if prompt.schema is not None and found.seen[1] < KNOWN:
        fixed += tally.details.get(RESPONSE, 0)
    if JSON in prompt.features:
        fixed += ASKED
    if prompt.tool_choice == "none":
        fixed += tally.components.get("tools", 0) + math.ceil(found.terms[TERMS.index("tools")])
    words = tally.total - tally.components.get("media", 0)
    return fixed + math.ceil(share * words)
