"""Any model whose tokenizer is not public or not here: an estimate that says so.

A model of Claude's is counted as `claude` does, whatever api it is asked through. For the others
o200k_base and a factor for each maker; factors and bounds are from recorded requests with reported
usage (about 650 of Gemini, Nova, Mistral, Cohere and Ollama models, learned 2026-11-22).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from tokentrace import providers
from tokentrace.counting.rules import Scope, claude, claude_table
from tokentrace.counting.rules.calls import called
from tokentrace.counting.tally import Tally, scaled
from tokentrace.dialects._reading import compact
from tokentrace.prompt import ESTIMATED, Media, Message, Part, Prompt

ROLES = {"system": "system", "developer": "system", "user": "user"}


@dataclass(frozen=True, slots=True)
class Maker:
    """How a group of models counts.

    Attributes:
        match: glob over plain model names.
        text: tokens for each o200k_base token of text.
        turn: tokens for each message.
        once: tokens for each prompt.
        tools: the factor of tool definitions as compact JSON.
        tool_prompt: tokens that stand once before the tools.
        call: tokens on top of each call and of each result.
        image, page: tokens of an image, of a file.
    """

    match: str
    text: float = 1.05
    turn: int = 4
    once: int = 0
    tools: float = 1.0
    tool_prompt: int = 0
    call: int = 2
    image: int = 600
    page: int = 600


MAKERS = (
    Maker("*gemini-3*", 1.0, 1, 0, 1.07, 0, 44, 1_100, 560),
    Maker("*gemini*", 1.06, 0, 0, 0.8, 0, 8, 258, 520),
    Maker("*gemma*", 1.0, 4, 4),
    Maker("*nova-2*", 1.0, 3, 40, 1.5, 800, 10, 600, 3_000),
    Maker("*nova*", 1.0, 0, 0, 1.0, 350, 15),
    Maker("*mistral*", 1.03, 2, 1, 1.4, 6, 8),
    Maker("*magistral*", 1.03, 2, 1, 1.4, 6, 8),
    Maker("*pixtral*", 1.03, 2, 1, 1.4, 6, 8),
    Maker("*command-a-plus*", 1.0, 6, 20, 1.1, 210, 20),
    Maker("*command-a*", 1.0, 6, 490, 1.1, 880, 20),
    Maker("*command-r7b*", 1.0, 6, 490, 1.1, 880, 20),
    Maker("*command-r-08*", 1.0, 6, 180, 1.1, 880, 20),
    Maker("*command*", 1.0, 6, 55, 1.1, 860, 20),
    Maker("*titan*", 1.0, 0),
    Maker("*llama3.2*", 1.05, 5, 20),
    Maker("*llama*", 1.05, 5, 0, 1.5, 100),
    Maker("*qwen*", 1.05, 5, 0, 1.2, 220),
    Maker("*gpt-oss*", 1.0, 4, 64),
    Maker("*grok-[4-9]*", 1.0, 4, 0, 1.1, 330),
    Maker("*deepseek*", 1.05, 3, 0, 1.2, 110, 20),
    Maker("*glm*", 1.05, 3, 0, 1.1, 110, 10),
)
OTHER = Maker("*")
# The share of the total and the constant that held about 95 of 100 of all, ± tokens.
BOUNDS = {"plain": (0.3, 10), "tools": (0.5, 45), "server": (1.0, 1_500), "unknown": (0.0, 30)}
# A hidden prompt for tools that nobody has measured, ± tokens.
UNMEASURED = 250
UNSEEN = (800, 1_200)


@lru_cache(maxsize=256)
def maker(model: str) -> Maker:
    """Return the numbers of a model's maker, by its name."""
    name = providers.plain(model)
    return next((one for one in MAKERS if fnmatchcase(name, one.match)), OTHER)


def _claude(scope: Scope) -> bool:
    return claude_table.family(scope.model, scope.family) is not None


# ── one message ──────────────────────────────────────────────────────────────────────────────────


def message(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Return the tokens of one message; ``before`` tells a result's tool."""
    if _claude(scope):
        return claude.message(message, before, scope)
    tally, made = Tally(), maker(scope.model)
    for index, part in enumerate(message.parts):
        place = (message.role, len(before), index)
        if part.kind in {"image", "audio", "video", "file"}:
            _media(part, made, tally)
            continue
        component = _component(part, message)
        spread: Tally = scope.lens.spread(part.text, component, scope.ruler, place)
        tally.add(scaled(spread, round(made.text * spread.total)))
        if part.kind == "result":
            _detail(called(part, before), spread, tally)
        if part.kind in {"call", "result"}:
            tally.put(component, scope.ruler.tokens(part.name)[0] if part.name else 0)
            tally.put("framing", made.call)
    tally.put("framing", made.turn)
    return tally


def _component(part: Part, message: Message) -> str:
    if part.kind in {"result", "reasoning"}:
        return {"result": "tool_results"}.get(part.kind, part.kind)
    return "history" if part.kind == "call" else ROLES.get(message.role, "history")


def _detail(name: str, spread: Tally, tally: Tally) -> None:
    if name:
        tally.put("tool_results", 0, name)
        tally.details["tool_results", name] += spread.components.get("tool_results", 0)


def _media(part: Part, made: Maker, tally: Tally) -> None:
    seen = part.data if isinstance(part.data, Media) else Media(remote=True)
    if part.kind == "image":
        tokens, error = made.image, made.image
    elif part.kind == "file" and not seen.remote:
        tokens, error = made.page, made.page + seen.size // 20
    else:
        tokens, error = UNSEEN
    tally.put("media", tokens)
    tally.error += error


# ── the whole prompt ─────────────────────────────────────────────────────────────────────────────


def finish(prompt: Prompt, summed: Tally, scope: Scope) -> Tally:
    """Return the whole tally: tools and their prompt; of these makers none shows a schema."""
    if _claude(scope):
        return claude.finish(prompt, summed, scope)
    made = maker(scope.model)
    summed.put("framing", made.once)
    if prompt.tools:
        summed.put("framing", made.tool_prompt, "tool_use_prompt" if made.tool_prompt else "")
    for tool in prompt.tools:
        summed.put("tools", _tokens(tool.data, made, scope), tool.name)
    return summed


def _tokens(value: Any, made: Maker, scope: Scope) -> int:
    text = value if isinstance(value, str) else compact(value)
    tokens: int = scope.ruler.tokens(text)[0]
    return round(made.tools * tokens)


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return ``estimated`` (Claude: ``calibrated``) and a bound by what the prompt holds."""
    if _claude(scope):
        return claude.judge(prompt, tally, scope)
    share, fixed = BOUNDS["plain"]
    if prompt.tools or "tool_results" in tally.components:
        share, fixed = BOUNDS["tools"]
    if prompt.schema is not None:
        fixed += scope.ruler.tokens(compact(prompt.schema.data))[0] // 4
    if prompt.server or "unknown_layout" in prompt.features:
        share, fixed = BOUNDS["server"]
    if maker(scope.model) is OTHER:
        fixed += BOUNDS["unknown"][1] + (UNMEASURED if prompt.tools else 0)
    return ESTIMATED, tally.error + fixed + math.ceil(share * tally.total)
