"""How Mistral turns a prompt into tokens: its templates are public, and so is its tokenizer.

With the package mistral-common at hand text is counted in Tekken, else in o200k_base with a factor.
The templates are those of mistral-common 1.13 (read 2026-11-25): markers are one token each, tools
stand as one list of JSON with spaces. Which template a name stands for, and the bounds, were learned
from 85 recorded requests with reported usage (``scripts/learn_makers.py``, 2026-11-25): names
without a date moved on from one template to the next, which nothing in a request tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from json import JSONEncoder, loads
from typing import Any

from tokentrace import providers
from tokentrace.counting import files, tekken
from tokentrace.counting.rules import Scope
from tokentrace.counting.rules.calls import called
from tokentrace.counting.rules.makers import FOREIGN, digits, foreign
from tokentrace.counting.tally import Tally, scaled
from tokentrace.dialects._reading import compact, get
from tokentrace.prompt import CALIBRATED, ESTIMATED, Media, Message, Part, Prompt

ROLES = {"system": "system", "developer": "system", "user": "user"}
NAMES = (
    *("*mistral*", "*ministral*", "*magistral*", "*mixtral*"),
    *("*pixtral*", "*codestral*", "*devstral*", "*voxtral*"),
)


@dataclass(frozen=True, slots=True)
class Template:
    """How a generation of models is spoken to, in tokens.

    Attributes:
        match: glob over plain model names.
        form: of calls: ``json``, ``ids`` (name, id and arguments apart) or ``bare`` (without id).
        system: around the system text; the oldest form puts it into the user's.
        settings: a text of settings ahead of everything, in every request.
        moved: how far the alias moved on while it was recorded, ± tokens.
    """

    match: str
    form: str = "bare"
    system: int = 2
    settings: int = 0
    moved: int = 0


SETTINGS = 12
TEMPLATES = (
    Template("*mistral-small-2603*", settings=SETTINGS),
    Template("*mistral-small-250[1-6]*", "ids"),
    Template("*mistral-small-24*", "json", 0),
    Template("*mistral-small*", "ids", moved=SETTINGS),
    Template("*magistral-small-latest*", moved=SETTINGS),
    Template("*ministral-*-2410*", "json", 0),
    Template("*ministral-*-latest*", "json", 0, moved=2),
    Template("*pixtral*", "json", 0),
    Template("*mixtral*", "json", 0),
    Template("*mistral-large-24*", "ids"),
    Template("*mistral-tiny*", "json", 0),
    Template("*open-mistral*", "json", 0),
    Template("*", moved=2),
)

ONCE = 1
USER = 2
ASSISTANT = 1
TOOLS = 2
THOUGHT = 2
CALL = {"json": 0, "ids": 3, "bare": 2}
RESULT = {"json": 2, "ids": 3, "bare": 2}
# An image is cut into squares of so many pixels; each row of them ends with a marker.
SQUARE, LONGEST = 28, 1540
REMOTE = (400, 700)
PAGE = (1_500, 1_500)
LONGEST_JSON = 2**20

# o200k_base stands in for Tekken: tokens of Tekken for each of its own.
TEXT = 1.01
# Bounds: share and tokens, in Tekken, and in o200k_base without and with tools.
NEAR, PLAIN, TOOLED = (0.02, 1), (0.12, 2), (0.12, 6)
SCHEMA = 2


def ours(api: str, model: str) -> bool:
    """Whether a request is one to Mistral, or through Bedrock to a model of Mistral's."""
    if api.startswith("mistral."):
        return True
    name = model.lower()
    return api.startswith("bedrock.") and any(fnmatchcase(name, one) for one in NAMES)


def measured(scope: Scope) -> Scope:
    """Return the scope with Tekken's ruler where it is loaded; else loading begins aside."""
    found = tekken.ruler()
    if found is None:
        tekken.load_in_background()
        return scope
    return replace(scope, ruler=found)


@lru_cache(maxsize=256)
def template(model: str) -> Template:
    """Return the template of a model, by its name."""
    name = providers.plain(model)
    return next(one for one in TEMPLATES if fnmatchcase(name, one.match))


# ── text ─────────────────────────────────────────────────────────────────────────────────────────


@cache
def _encoder() -> JSONEncoder:
    return JSONEncoder(ensure_ascii=False)


def _json(value: Any) -> str:
    """Return JSON with spaces, as the template has it."""
    try:
        return _encoder().encode(value)
    except (TypeError, ValueError, RecursionError):
        return compact(value)


def _again(text: str) -> str:
    """Return a call's arguments as the template writes them, read and written again."""
    if len(text) > LONGEST_JSON:
        return text
    try:
        return _json(loads(text or "{}"))
    except (ValueError, RecursionError):
        return text


def _tokens(text: str, scope: Scope, tally: Tally) -> int:
    """Return a text's tokens; what its encoding may be off by goes to ``tally``."""
    if not text:
        return 0
    tokens, error = scope.ruler.tokens(text)
    tally.error += error
    return _as_tekken(tokens, text, scope)


def _native(scope: Scope) -> bool:
    """Whether text is measured in Mistral's vocabulary, or in one that the user has for the model."""
    return scope.ruler.name == tekken.NAME or files.of_file(scope.ruler.name)


def _as_tekken(tokens: int, text: str, scope: Scope) -> int:
    if _native(scope):
        return tokens
    return round(TEXT * tokens + digits(text))


def _spread(text: str, component: str, scope: Scope, place: tuple[Any, ...]) -> Tally:
    tally: Tally = scope.lens.spread(text, component, scope.ruler, place)
    return scaled(tally, _as_tekken(tally.total, text, scope))


# ── one message ──────────────────────────────────────────────────────────────────────────────────


def message(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Return the tokens of one message; ``before`` tells a result's tool."""
    tally, form = Tally(), template(scope.model)
    for index, part in enumerate(message.parts):
        place = (message.role, len(before), index)
        if part.kind == "call":
            _call(part, form, scope, place, tally)
        elif part.kind == "result":
            tokens = _result(part, form, scope, place, tally)
            _named(called(part, before), tokens, tally)
        elif part.kind in {"image", "audio", "video", "file"}:
            _media(part, tally)
        else:
            thought = part.kind == "reasoning"
            component = "reasoning" if thought else ROLES.get(message.role, "history")
            tally.add(_spread(part.text, component, scope, place))
            tally.put("framing", THOUGHT if thought else 0)
    tally.put("framing", _around(message, before, form))
    return tally


def _around(message: Message, before: Sequence[Message], form: Template) -> int:
    """Return the markers around a message; results that follow one another are a turn each."""
    role = ROLES.get(message.role, message.role)
    if role == "user":
        results = before and before[-1].role == "user"
        only = message.parts and all(part.kind == "result" for part in message.parts)
        return 0 if only or (results and not message.parts) else USER
    return {"system": form.system, "assistant": ASSISTANT}.get(role, 0)


def _call(part: Part, form: Template, scope: Scope, place: tuple[Any, ...], tally: Tally) -> None:
    again = _again(part.text)
    spread = _spread(part.text, "history", scope, place)
    if form.form == "json":
        shown = _json([{"name": part.name, "arguments": _loaded(again), "id": part.id}])
        whole = 1 + _tokens(shown, scope, tally)
        tally.add(spread)
        tally.put("framing", max(0, whole - spread.total))
        return
    tally.add(scaled(spread, _tokens(again, scope, tally)))
    tally.put("history", _tokens(part.name, scope, tally))
    tied = _tokens(part.id, scope, tally) if form.form == "ids" else 0
    tally.put("framing", CALL[form.form] + tied)


def _loaded(text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return text


def _result(part: Part, form: Template, scope: Scope, place: tuple[Any, ...], tally: Tally) -> int:
    spread = _spread(part.text, "tool_results", scope, place)
    tally.add(spread)
    around = RESULT[form.form]
    if form.form == "json" and len(part.text) < LONGEST_JSON:
        shown = _json({"content": _loaded(part.text), "call_id": part.id})
        around += max(0, _tokens(shown, scope, tally) - spread.total)
    elif form.form == "ids":
        around += _tokens(part.id, scope, tally)
    tally.put("framing", around)
    return spread.components.get("tool_results", 0)


def _named(name: str, tokens: int, tally: Tally) -> None:
    """Show a result's tokens under the tool that gave it."""
    if name:
        tally.put("tool_results", 0, name)
        tally.details["tool_results", name] += tokens


def _media(part: Part, tally: Tally) -> None:
    seen = part.data if isinstance(part.data, Media) else Media(remote=True)
    if part.kind == "image" and seen.width and seen.height:
        tokens = image(seen.width, seen.height)
        error = tokens // 8 + 2
    else:
        tokens, error = REMOTE if part.kind == "image" else PAGE
        error += seen.size // 20
    tally.put("media", tokens)
    tally.error += error


def image(width: int, height: int) -> int:
    """Return the tokens of an image: its squares, and a marker for each row of them."""
    scale = min(1.0, LONGEST / max(width, height))
    across = max(1, math.ceil(width * scale / SQUARE))
    down = max(1, math.ceil(height * scale / SQUARE))
    return (across + 1) * down


# ── the whole prompt ─────────────────────────────────────────────────────────────────────────────


def finish(prompt: Prompt, summed: Tally, scope: Scope) -> Tally:
    """Return the whole tally: beginning, settings and tools; a schema is not shown to the model."""
    form = template(scope.model)
    thinking = "thinking" in prompt.features
    summed.put("framing", ONCE + max(form.settings, SETTINGS if thinking else 0))
    if prompt.tools:
        _tools(prompt.tools, summed, scope)
    return summed


def _tools(tools: Sequence[Part], tally: Tally, scope: Scope) -> None:
    shown = [definition(tool.data) for tool in tools]
    whole = _tokens(_json(shown), scope, tally)
    for tool, one in zip(tools, shown, strict=True):
        tokens = min(whole, _tokens(_json(one), scope, Tally()))
        whole -= tokens
        tally.put("tools", tokens, tool.name)
    tally.put("framing", TOOLS + whole)


def definition(tool: Any) -> dict[str, Any]:
    """Return a definition as the template shows it; also of Bedrock's form of one."""
    inner = get(tool, "function", tool)
    found = (get(inner, "parameters"), get(get(inner, "inputSchema"), "json"))
    schema: Any = next((one for one in found if one is not None), {})
    described = get(inner, "description")
    shown = {"name": get(inner, "name"), "description": described or "", "parameters": schema}
    return {"type": "function", "function": shown}


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return ``calibrated`` and a bound by the vocabulary and by what the name stood for."""
    share, fixed = NEAR
    if not _native(scope):
        share, fixed = TOOLED if prompt.tools else PLAIN
        share += FOREIGN * foreign(prompt.messages)
    form = template(scope.model)
    settled = form.settings or "thinking" in prompt.features
    error = tally.error + fixed + math.ceil(share * tally.total)
    if not settled or prompt.tools:
        error += form.moved
    if prompt.schema is not None:
        error += SCHEMA
    if prompt.server:
        return ESTIMATED, error + 1_500 + tally.total
    return CALIBRATED, error
