"""How Gemini turns a prompt into tokens: Gemini's way of cutting laid over o200k_base.

The text's cut is in `gemini_text`, what tools, calls and results cost in `gemini_forms`, families,
media and bounds in `gemini_table`. Nothing here is ever exact: the vocabulary is not public.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from json import loads
from typing import Any

from tokentrace import providers
from tokentrace.counting.rules import Scope, gemini_text, makers
from tokentrace.counting.rules import gemini_table as table
from tokentrace.counting.rules.calls import called
from tokentrace.counting.rules.gemini_forms import FORMS, Form, Pen, listed
from tokentrace.counting.rules.gemini_table import Bound, Family
from tokentrace.counting.tally import Tally, scaled
from tokentrace.dialects._reading import get
from tokentrace.dialects.gemini import PIECES, RESOLUTION
from tokentrace.prompt import CALIBRATED, ESTIMATED, Media, Message, Part, Prompt

ROLES = {"system": "system", "developer": "system", "user": "user"}
SIGNED = "thought_signatures"
NESTED = "nested_schemas"
LONGEST_JSON = 2**18
OPENAI = frozenset({"openai.chat", "openai.responses"})
KINDS = frozenset({"image", "audio", "video", "file"})


def measured(scope: Scope) -> Scope:
    """Return the scope with Gemini's ruler, where o200k_base can be loaded."""
    found = gemini_text.ruler()
    return scope if found is None else replace(scope, ruler=found)


@lru_cache(maxsize=256)
def ours(api: str, model: str) -> bool:
    """Whether a request in OpenAI's form is one to a Gemini."""
    return api in OPENAI and providers.plain(model).startswith("gemini")


def _family(scope: Scope) -> Family:
    return table.family(scope.model, scope.provider)


# ── one message ──────────────────────────────────────────────────────────────────────────────────


def message(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Return the tokens of one message; ``before`` tells a result's tool.

    OpenAI's form has thoughts as text, which nobody sends on to Gemini.
    """
    tally, family = Tally(), _family(scope)
    for index, part in enumerate(message.parts):
        place = (message.role, len(before), index)
        if part.kind in {"call", "result"}:
            name = called(part, before) if part.kind == "result" else ""
            _valued(part, name, scope, place, tally)
        elif part.kind in KINDS:
            _media(part, family, scope, tally)
        elif part.kind == "reasoning" and (not part.text or scope.api in OPENAI):
            _signed(part, family, tally)
        else:
            thought = part.kind == "reasoning"
            component = "reasoning" if thought else ROLES.get(message.role, "history")
            tally.add(scope.lens.spread(part.text, component, scope.ruler, place))
    tally.put("framing", family.turn)
    return tally


def _valued(part: Part, name: str, scope: Scope, place: tuple[Any, ...], tally: Tally) -> None:
    """Count a call's arguments or a result as values, shared as the JSON text of them is."""
    component = "history" if part.kind == "call" else "tool_results"
    form, pen = FORMS[_family(scope).form], Pen(scope.ruler)
    spread: Tally = scope.lens.spread(part.text, component, scope.ruler, place)
    values = _values(part, form, pen)
    if values is not None:
        spread = scaled(spread, values)
    tally.add(spread)
    tally.put(component, pen.name(part.name))
    tally.put("framing", form.once)
    tally.error += pen.error
    if name:
        tally.put(component, 0, name)
        tally.details[component, name] += spread.components.get(component, 0)


def _values(part: Part, form: Form, pen: Pen) -> int | None:
    """Return the tokens of the values; None where the text is no JSON, or too long to be read."""
    if len(part.text) > LONGEST_JSON or part.text[:1] not in {"{", "["}:
        return None
    try:
        value = loads(part.text)
    except (ValueError, RecursionError):
        return None
    return (form.call if part.kind == "call" else form.result)(value, pen)


def _signed(part: Part, family: Family, tally: Tally) -> None:
    """Count the thoughts that a signature seals; `finish` knows which of them are forgotten."""
    tally.put("reasoning", round(family.signed[0] * _sealed(part, family)), SIGNED)


def _sealed(part: Part, family: Family) -> int:
    seen = part.data if isinstance(part.data, Media) else Media()
    return 0 if family.pieces and seen.detail != PIECES else table.sealed(seen.size)


def _media(part: Part, family: Family, scope: Scope, tally: Tally) -> None:
    seen = part.data if isinstance(part.data, Media) else Media(remote=True)
    tokens, error = _priced(part, seen, family.media, scope)
    tally.put("media", tokens)
    tally.error += error


def _priced(part: Part, seen: Media, rates: table.Media, scope: Scope) -> tuple[int, int]:
    """Return the tokens of an image, sound, film or file, and what they may be off by."""
    tokens, error = table.UNSEEN[part.kind]
    if part.kind == "image":
        small = seen.width and seen.height
        tokens = table.image(seen.width, seen.height, rates, seen.detail)
        return tokens, tokens // 12 if small and not seen.remote else error
    if part.text:
        counted, off = scope.ruler.tokens(part.text)
        return counted, off + counted // 10 + 2
    if part.kind in table.BYTES_A_SECOND and (seen.seconds or not seen.remote):
        return _timed(part, seen, rates)
    if seen.remote:
        return (rates.page if part.kind == "file" else tokens), error
    if seen.mime.startswith("text/"):
        return seen.size // table.BYTES_A_TOKEN, seen.size // (2 * table.BYTES_A_TOKEN)
    return _paged(seen, rates)


def _paged(seen: Media, rates: table.Media) -> tuple[int, int]:
    """Return the tokens of a file's pages, by its size where nobody can tell them."""
    pages = seen.pages or 1 + seen.size // table.BYTES_A_PAGE
    off = table.PAGE_ERROR if seen.pages else rates.page
    return pages * rates.page, (pages - 1) * off + 20


def _timed(part: Part, seen: Media, rates: table.Media) -> tuple[int, int]:
    """Return the tokens of sound or film, by its size where nobody can tell its seconds."""
    if not seen.seconds:
        seconds = max(1, seen.size // table.BYTES_A_SECOND[part.kind])
        film = table.film(seconds, rates, seen.detail, sound=False)
        tokens = seconds * rates.audio if part.kind == "audio" else film
        return tokens, tokens + rates.page
    if part.kind == "audio":
        tokens = round(seen.seconds * rates.audio)
        return tokens, tokens // 10 + rates.audio
    tokens = table.film(seen.seconds, rates, seen.detail, sound=seen.sound or seen.remote)
    off = tokens // 8 + table.film(1, rates, seen.detail)
    return tokens, off + (int(seen.seconds * rates.audio) if seen.remote else 0)


# ── the whole prompt ─────────────────────────────────────────────────────────────────────────────


def finish(prompt: Prompt, summed: Tally, scope: Scope) -> Tally:
    """Return the whole tally: tools, response schema, what the provider adds and forgets."""
    family = _family(scope)
    pen = Pen(scope.ruler)
    for tool in prompt.tools:
        one = Pen(scope.ruler, left=max(1, pen.left))
        summed.put("tools", FORMS[family.form].tool(_declared(tool), one), tool.name)
        pen.left, pen.error = one.left, pen.error + one.error
        if one.nested:
            summed.put("tools", 0, NESTED)
    if prompt.schema is not None and family.schema and "Json" not in prompt.schema.text:
        schema = get(prompt.schema.data, "schema") if prompt.api in OPENAI else prompt.schema.data
        summed.put("tools", listed(schema, pen, titled=True), "response_format")
    summed.error += pen.error + _otherwise(prompt, family, summed, scope)
    for name in prompt.server:
        hidden = table.SERVED.get(name, table.UNKNOWN).tokens
        if hidden and family.turn and family.media is table.THREE:
            summed.put("server_context", hidden, name)
    if ("reasoning", SIGNED) in summed.details:
        _remember(prompt.messages, family, summed)
    for feature in prompt.features:
        if feature.startswith(RESOLUTION):
            _resolve(prompt.messages, scope, feature.removeprefix(RESOLUTION), summed)
    return summed


def _routed(scope: Scope) -> bool:
    """Whether somebody passes the request on, to whichever of Google's apis."""
    return scope.api in OPENAI and table.elsewhere(scope.model, scope.provider) is not None


def _otherwise(prompt: Prompt, family: Family, summed: Tally, scope: Scope) -> int:
    """Return ± tokens by which a gateway's other way to count a prompt differs."""
    other = table.elsewhere(scope.model, scope.provider) if scope.api in OPENAI else None
    if other is None:
        return 0
    pen = Pen(scope.ruler)
    tools = sum(FORMS[other.form].tool(_declared(tool), pen) for tool in prompt.tools)
    names = {tool.name for tool in prompt.tools}
    known = sum(summed.details.get(("tools", name), 0) for name in names)
    parts = [part.kind for message in prompt.messages for part in message.parts]
    called = sum(kind in {"call", "result"} for kind in parts)
    summed.put("framing", table.PASSED * called * (scope.provider in table.GATEWAYS))
    odd = sum(get(tool.data, "type") != "function" for tool in prompt.tools)
    error: int = abs(tools - known) + table.ROUTED * called + table.UNKNOWN.error * odd
    return error + abs(other.turn - family.turn) * len(prompt.messages)


def _declared(tool: Part) -> Any:
    """Return a definition as Gemini's api has it; OpenAI's puts it inside."""
    return get(tool.data, "function", tool.data)


def _remember(messages: Sequence[Message], family: Family, summed: Tally) -> None:
    """Take out what earlier turns thought where the model forgets it, and bound the rest."""
    kept = whole = 0
    for one in reversed(messages):
        if _is_users(one) and not family.keeps:
            break
        for part in one.parts:
            if part.kind == "reasoning" and not part.text:
                tokens = _sealed(part, family)
                whole += tokens
                kept += round(family.signed[0] * tokens)
    summed.put("reasoning", kept - summed.details["reasoning", SIGNED], SIGNED)
    if whole and family.signed[1]:
        summed.error += math.ceil(family.signed[1] * whole) + table.SEAL_ERROR


def _is_users(message: Message) -> bool:
    """Whether a message begins a turn: the user's, without a tool's result."""
    return message.role == "user" and all(part.kind != "result" for part in message.parts)


def _resolve(messages: Sequence[Message], scope: Scope, detail: str, summed: Tally) -> None:
    """Price images and films again at the resolution that the whole request asks for."""
    rates = _family(scope).media
    for one in messages:
        for part in one.parts:
            seen = part.data if part.kind in {"image", "video"} else None
            if isinstance(seen, Media) and not seen.detail:
                before = _priced(part, seen, rates, scope)[0]
                after = _priced(part, replace(seen, detail=detail), rates, scope)[0]
                summed.put("media", after - before)


# ── the bound ────────────────────────────────────────────────────────────────────────────────────


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return ``calibrated`` and a bound by what the prompt holds; ``estimated`` where it is a guess."""
    kind, family = kind_of(prompt, tally, scope), _family(scope)
    words = tally.total - tally.components.get("media", 0)
    share = kind.share + makers.FOREIGN * makers.foreign(prompt.messages)
    error = tally.error + kind.fixed + math.ceil(share * words)
    for name in prompt.server:
        served = table.SERVED.get(name, table.UNKNOWN)
        error += served.error + (tally.total if served.again else 0)
    if prompt.server or not family.sure or _routed(scope):
        return ESTIMATED, error
    return CALIBRATED, error


def kind_of(prompt: Prompt, tally: Tally, scope: Scope) -> Bound:
    """Return the bound of the prompt's kind."""
    if not _family(scope).sure:
        return table.UNSURE
    if ("tools", NESTED) in tally.details:
        return table.NESTED
    if "tool_results" in tally.components:
        return table.LOOP
    return table.TOOLS if prompt.tools or prompt.schema is not None else table.PLAIN
