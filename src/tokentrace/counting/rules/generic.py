"""Any model whose tokenizer is not public or not here: an estimate that says so.

A model of Claude's is counted as `claude` does, whatever api it is asked through. For the others
o200k_base and the numbers of their maker, see `makers`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tokentrace.counting import files
from tokentrace.counting.rules import Scope, claude, claude_table, templates
from tokentrace.counting.rules.calls import called
from tokentrace.counting.rules.makers import FOREIGN, OTHER, Maker, digits, foreign, maker, shouted
from tokentrace.counting.tally import Tally, scaled
from tokentrace.dialects._reading import compact
from tokentrace.prompt import CALIBRATED, ESTIMATED, Media, Message, Part, Prompt

ROLES = {"system": "system", "developer": "system", "user": "user"}
TURNS = {"system": "system", "developer": "system", "assistant": "answer"}
GUARDED = "guarded"
DOCUMENTS = "documents"
RAW = "raw"
THINKING, THOUGHT = "<think>", "</think>"
# What nobody has measured: a model no row is for, a hidden prompt for tools, what a provider adds.
UNKNOWN, UNMEASURED, SERVER = 30, 250, 1_500
UNSEEN = (800, 1_200)


def _claude(scope: Scope) -> bool:
    return claude_table.family(scope.model, scope.family) is not None


def _maker(scope: Scope) -> Maker:
    """Return the numbers of the model's maker: of its template alone where a file measures its text."""
    found = templates.measured if files.of_file(scope.ruler.name) else maker
    return found(scope.model)


# ── one message ──────────────────────────────────────────────────────────────────────────────────


def message(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Return the tokens of one message; ``before`` tells a result's tool."""
    if _claude(scope):
        return claude.message(message, before, scope)
    tally, made = Tally(), _maker(scope)
    for index, part in enumerate(message.parts):
        place = (message.role, len(before), index)
        if part.kind in {"image", "audio", "video", "file"}:
            _media(part, made, tally)
        elif part.kind != "reasoning" or made.thought:
            part = _forgotten(part, message, made)  # noqa: PLW2901 - without what is taken out
            spread = _text(part, _component(part, message), made, scope, place)
            tally.add(spread)
            _around(part, made, scope, tally)
            if part.kind == "result":
                _detail(called(part, before), spread, tally)
    tally.put("framing", getattr(made, TURNS.get(message.role, "user")) if is_turn(message) else 0)
    return tally


def _forgotten(part: Part, message: Message, made: Maker) -> Part:
    """Return an answer without the reasoning that stands ahead of it as text."""
    if made.thought or message.role != "assistant" or not part.text.startswith(THINKING):
        return part
    return replace(part, text=part.text.rpartition(THOUGHT)[2].lstrip())


def is_turn(message: Message) -> bool:
    """Whether a message is a turn; results have their own framing."""
    return message.role != "tool" and any(part.kind != "result" for part in message.parts)


def _component(part: Part, message: Message) -> str:
    if part.kind in {"result", "reasoning"}:
        return {"result": "tool_results"}.get(part.kind, part.kind)
    return "history" if part.kind == "call" else ROLES.get(message.role, "history")


def _text(part: Part, component: str, made: Maker, scope: Scope, place: tuple[Any, ...]) -> Tally:
    if isinstance(part.data, int) and not part.text:  # a text that is given as tokens
        return Tally({component: part.data} if part.data > 0 else {})
    spread: Tally = scope.lens.spread(part.text, component, scope.ruler, place)
    factor = made.text * (made.capitals if shouted(part.text) else 1.0)
    more = digits(part.text) if made.digits else 0
    return scaled(spread, round(factor * spread.total + more))


def _around(part: Part, made: Maker, scope: Scope, tally: Tally) -> None:
    """Add what stands around a call, a result, a document, a guarded text."""
    if part.kind in {"call", "result"}:
        component = "history" if part.kind == "call" else "tool_results"
        document = part.kind == "result" and part.name == DOCUMENTS
        named = scope.ruler.tokens(part.name)[0] if part.name and not document else 0
        tally.put(component, named)
        tally.put("framing", made.document[1] if document else made.call)
    elif part.name == GUARDED:
        tally.put("framing", made.guard)
        tally.error += max(made.guard, 6)


def _detail(name: str, spread: Tally, tally: Tally) -> None:
    if name:
        tally.put("tool_results", 0, name)
        tally.details["tool_results", name] += spread.components.get("tool_results", 0)


def _media(part: Part, made: Maker, tally: Tally) -> None:
    seen = part.data if isinstance(part.data, Media) else Media(remote=True)
    area = seen.width * seen.height
    if part.kind == "image" and area and made.pixels:
        tokens = max(1, area // made.pixels)
        error = tokens // 2 + 40
    elif part.kind == "image":
        tokens, error = made.image, made.image
    elif part.kind == "file" and not seen.remote:
        tokens, error = made.page, made.page + seen.size // 20
    else:
        tokens, error = max(UNSEEN[0], made.page), max(UNSEEN[1], made.page)
    tally.put("media", tokens)
    tally.error += error


# ── the whole prompt ─────────────────────────────────────────────────────────────────────────────


def finish(prompt: Prompt, summed: Tally, scope: Scope) -> Tally:
    """Return the whole tally: template, tools and their prompt, schema, documents."""
    if _claude(scope):
        return claude.finish(prompt, summed, scope)
    made = _maker(scope)
    if RAW in prompt.features:  # the text is the whole prompt: no template is laid around it
        summed.put("framing", -summed.components.get("framing", 0))
        return summed
    summed.put("framing", made.once)
    if prompt.tools:
        summed.put("framing", made.prompt, "tool_use_prompt" if made.prompt else "")
    for tool in prompt.tools:
        tokens = scope.ruler.tokens(claude.definition(tool.data))[0]
        summed.put("tools", round(made.tools * tokens), tool.name)
    factor, once = made.schema
    if prompt.schema is not None and factor:
        tokens = scope.ruler.tokens(compact(prompt.schema.data))[0]
        summed.put("tools", once + round(factor * tokens), "response_format")
    if DOCUMENTS in prompt.features:
        summed.put("framing", made.document[0], DOCUMENTS)
    return summed


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return ``calibrated`` or ``estimated``, and a bound by the maker and what the prompt holds."""
    if _claude(scope):
        return claude.judge(prompt, tally, scope)
    made = _maker(scope)
    tooled = prompt.tools or "tool_results" in tally.components
    share, fixed = made.tooled if tooled else made.plain
    share += FOREIGN * foreign(prompt.messages)
    if prompt.schema is not None:
        fixed += scope.ruler.tokens(compact(prompt.schema.data))[0] // 4
    if prompt.server or "unknown_layout" in prompt.features:
        share, fixed = 1.0, SERVER
    if made is OTHER:
        fixed += UNKNOWN + (UNMEASURED if prompt.tools else 0)
    error = tally.error + fixed + math.ceil(share * tally.total)
    return (CALIBRATED if made.sure and not prompt.server else ESTIMATED), error
