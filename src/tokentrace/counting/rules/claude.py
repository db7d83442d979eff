"""How Claude turns a prompt into tokens: o200k_base and a factor for each family of models.

The numbers, and where they come from, are in `claude_table`. Nothing here is ever exact.

A message's text is scaled at once, so that an old message keeps its count while the prompt grows.
The hidden prompt for tool use belongs to no text of the request: it is ``framing``, with the detail
``tool_use_prompt``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from typing import Any

from tokentrace.counting.rules import Scope
from tokentrace.counting.rules import claude_table as table
from tokentrace.counting.rules.calls import called
from tokentrace.counting.rules.claude_bounds import bound
from tokentrace.counting.rules.claude_table import Family
from tokentrace.counting.rules.makers import shouted
from tokentrace.counting.tally import Tally, scaled
from tokentrace.dialects._reading import compact, get, text_of
from tokentrace.dialects.anthropic_messages import CITED, DOCUMENT, REFERENCE
from tokentrace.prompt import CALIBRATED, ESTIMATED, Media, Message, Part, Prompt

ROLES = {"system": "system", "developer": "system", "user": "user"}
CITATIONS = "citations_prompt"
THINKING = "thinking"
FORCED = ("required", "name:")

# An image or a file that the body only names: tokens, and how far the truth may be.
REMOTE_IMAGE = (500, 1_100)
REMOTE_FILE = (1_600, 1_500)
PAGE = 1_600
BYTES_A_TOKEN = 18
DENSE = 3_000  # tokens of a page full of text
FULL = 4_000  # bytes of a PDF from which on it may hold such a page
PLAIN_FILES = frozenset({"txt", "md", "csv", "html", "plain", "markdown"})
# Sealed results of a search: what a byte of them opens to is known to nobody but the provider.
BYTES_SEALED = 3


# ── one message ──────────────────────────────────────────────────────────────────────────────────


def message(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Return the tokens of one message; ``before`` tells a result's tool."""
    tally = Tally()
    for index, part in enumerate(message.parts):
        place = (message.role, len(before), index)
        if part.kind == "call":
            _call(part, scope, place, tally)
        elif part.kind == "result":
            _result(part, called(part, before), scope, place, tally)
        elif part.kind in {"image", "audio", "video", "file"}:
            _media(part, scope, tally)
        elif part.kind == "reasoning":
            tally.put("reasoning", _reasoning(part, scope, tally), THINKING)
        else:
            _other(part, ROLES.get(message.role, "history"), scope, place, tally)
    return tally


def _other(part: Part, component: str, scope: Scope, place: tuple[Any, ...], tally: Tally) -> None:
    if part.text:
        tally.add(_spread(part.text, component, scope, place))
    elif part.data in (DOCUMENT, CITED):
        tally.put("framing", table.DOCUMENT)
        if part.data == CITED:
            tally.put("framing", 0, CITATIONS)
    elif isinstance(part.data, Media):
        tokens = part.data.size // BYTES_SEALED
        tally.put("tool_results", tokens)
        tally.error += 3 * tokens


def _call(part: Part, scope: Scope, place: tuple[Any, ...], tally: Tally) -> None:
    spread = _spread(part.text, "history", scope, place)
    tally.put("framing", table.CALL + min(table.TAGGED, spread.total))
    tally.put("history", _tokens(part.name, scope, tally))
    tally.add(spread)


def _result(part: Part, name: str, scope: Scope, place: tuple[Any, ...], tally: Tally) -> None:
    spread = _spread(part.text, "tool_results", scope, place)
    tally.put("framing", table.RESULT)
    tally.add(spread)
    if name:
        tally.put("tool_results", 0, name)
        tally.details["tool_results", name] += spread.components.get("tool_results", 0)


def _media(part: Part, scope: Scope, tally: Tally) -> None:
    seen = part.data if isinstance(part.data, Media) else Media(remote=True)
    if part.kind == "image" and seen.width and seen.height:
        tally.put("media", image(seen.width, seen.height, _family(scope)))
        return
    if not seen.remote and seen.mime.partition("/")[2] in PLAIN_FILES:
        tokens, error = table.DOCUMENT + seen.size // 4, table.DOCUMENT + seen.size // 8
    elif not seen.remote and table.pageless(scope.model):
        tokens = table.DOCUMENT + seen.size // BYTES_A_TOKEN
        error = table.DOCUMENT + seen.size // 8
    elif not seen.remote and part.kind == "file":
        tokens, error = _pages(seen)
    else:
        tokens, error = REMOTE_IMAGE if part.kind == "image" else REMOTE_FILE
    tally.put("media", tokens)
    tally.error += error


def _pages(seen: Media) -> tuple[int, int]:
    """Return the tokens of a file's pages, which are pictures with their text, and how far off.

    Anthropic's page "PDF support" (as noted 2026-11-22): 1,500 to 3,000 tokens a page for its text,
    and the picture. The recordings have small ones alone: about 1,600 for a page of a few words.
    """
    pages = max(1, seen.pages)
    text = (
        min(seen.size // BYTES_A_TOKEN, DENSE * pages) if seen.pages else seen.size // BYTES_A_TOKEN
    )
    unread = DENSE // 2 * pages if seen.size > FULL else 0
    return PAGE * pages + text, PAGE // 8 * pages + max(text, unread)


def image(width: int, height: int, family: Family) -> int:
    """Return the tokens of an image: patches of 28 pixels after fitting edge and cap.

    From Anthropic's page "Vision", read 2026-11-22; the few tokens on top are learned.
    """
    scale = min(1.0, family.edge / max(width, height))
    area = width * height * scale * scale / table.PATCH**2
    scale *= min(1.0, math.sqrt(family.cap / area)) if area else 1.0
    across = math.ceil(width * scale / table.PATCH)
    down = math.ceil(height * scale / table.PATCH)
    return min(family.cap, across * down) + table.IMAGE


def _reasoning(part: Part, scope: Scope, tally: Tally) -> int:
    size = part.data.size if isinstance(part.data, Media) else 0
    return _tokens(part.text, scope, tally) if part.text else size // 4


def _spread(text: str, component: str, scope: Scope, place: tuple[Any, ...]) -> Tally:
    tally: Tally = scope.lens.spread(text, component, scope.ruler, place)
    factor = _family(scope).text * (table.CAPITALS if shouted(text) else 1.0)
    return scaled(tally, round(factor * tally.total))


def _tokens(text: str, scope: Scope, tally: Tally) -> int:
    """Return a text's tokens; what its encoding may be off by goes to ``tally``."""
    if not text:
        return 0
    tokens: int
    tokens, error = scope.ruler.tokens(text)
    tally.error += error
    return round(_family(scope).text * tokens)


def _family(scope: Scope) -> Family:
    return table.family(scope.model, scope.family) or table.OTHER


# ── the whole prompt ─────────────────────────────────────────────────────────────────────────────


def finish(prompt: Prompt, summed: Tally, scope: Scope) -> Tally:
    """Return the whole tally: speakers, tools and their hidden prompt, schema, thinking."""
    summed.put("framing", framing(prompt.messages))
    if "thinking" in prompt.features and "adaptive" not in prompt.features:
        summed.put("framing", _family(scope).thinking, THINKING)
    if ("framing", CITATIONS) in summed.details:
        summed.put("framing", table.CITATIONS, CITATIONS)
    if ("reasoning", THINKING) in summed.details:
        _forget_thinking(prompt.messages, summed, scope)
    if prompt.tools:
        _tools(prompt, summed, scope)
    if prompt.schema is not None:
        tokens, error = scope.ruler.tokens(compact(prompt.schema.data))
        total = table.SCHEMA_ONCE + round(table.SCHEMA * tokens)
        summed.put("tools", total, "response_format")
        summed.error += error + (total if _family(scope).name in table.SCHEMALESS else 0)
    for name in prompt.server:
        if name in table.SERVERS:
            summed.put("server_context", table.SERVERS[name].tokens, name)
    return summed


def framing(messages: Sequence[Message]) -> int:
    """Messages of one speaker in a row are one turn; system text has no framing of its own."""
    turns, last = 0, "system"
    for one in messages:
        if one.role != last:
            last = one.role
            turns += last != "system"
    return table.ONCE + table.TURN * turns


def _forget_thinking(messages: Sequence[Message], summed: Tally, scope: Scope) -> None:
    """Take out the thinking before the newest user text, as the provider does."""
    if table.keeps_thinking(scope.model, scope.family):
        return
    kept = 0
    for one in reversed(messages):
        if one.role == "user" and all(part.kind != "result" for part in one.parts):
            break
        found = (part for part in one.parts if part.kind == "reasoning")
        kept += sum(_reasoning(part, scope, Tally()) for part in found)
    summed.put("reasoning", kept - summed.details["reasoning", THINKING], THINKING)


def _tools(prompt: Prompt, summed: Tally, scope: Scope) -> None:
    forced = prompt.tool_choice.startswith(FORCED)
    hidden = table.tool_prompt(scope.model, forced=forced)
    summed.put("framing", hidden, "tool_use_prompt")
    later = _referenced(prompt)
    for tool in prompt.tools:
        kind = text_of(get(tool.data, "type"))
        if kind not in table.OWN:
            summed.put("tools", table.typed(kind).tokens, tool.name)
        elif get(tool.data, "defer_loading") is not True or tool.name in later:
            tokens, error = scope.ruler.tokens(definition(tool.data))
            summed.put("tools", round(_family(scope).tools * tokens), tool.name)
            summed.error += error


def _referenced(prompt: Prompt) -> frozenset[str]:
    """Return the deferred tools that a search has brought into the prompt."""
    if "defer_loading" not in prompt.features:
        return frozenset()
    parts = (part for one in prompt.messages for part in one.parts)
    return frozenset(part.name for part in parts if part.data == REFERENCE)


def definition(tool: Any) -> str:
    """Return a definition as the provider shows it to the model: JSON with spaces.

    Also reads the shapes of OpenAI and Bedrock, in which gateways take Claude's tools.
    """
    inner = get(tool, "function")
    tool = tool if inner is None else inner
    schemas = (
        get(tool, "input_schema"),
        get(get(tool, "inputSchema"), "json"),
        get(tool, "parameters"),
    )
    schema = next((one for one in schemas if one is not None), None)
    shown = {"name": get(tool, "name"), "description": get(tool, "description")}
    shown["input_schema"] = schema
    return _spaced({name: value for name, value in shown.items() if value is not None})


@cache
def _encode() -> Callable[[Any], str]:
    from json import JSONEncoder

    return JSONEncoder(ensure_ascii=False, default=_dated).encode


def _dated(value: Any) -> str:
    """Write a date as the SDK will; nothing else is JSON."""
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _spaced(value: Any) -> str:
    try:
        return _encode()(value)
    except (TypeError, ValueError, RecursionError):
        return compact(value)


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return ``calibrated`` and the bound that recorded requests of its kind kept."""
    if table.family(scope.model, scope.family) is None:
        return ESTIMATED, tally.error + math.ceil(0.5 * tally.total) + 20
    return CALIBRATED, tally.error + bound(prompt, tally)
