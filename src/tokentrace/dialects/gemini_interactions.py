"""Gemini's Interactions API: an input of a text, of blocks or of turns; names in snake_case.

Read as far as recorded bodies show it (2026-11-25: texts and images); other blocks by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tokentrace.dialects import gemini
from tokentrace.dialects._reading import (
    Walk,
    compact,
    each,
    fields,
    get,
    in_parts,
    items,
    number,
    payload,
    text_of,
    written,
)
from tokentrace.prompt import Media, Message, Part, Prompt, Usage

API = "gemini.interactions"
KEPT = ("previous_interaction_id", gemini.CACHED)
STORED = (*KEPT, "agent")
MODES = {"auto": "auto", "any": "required", "none": "none", "validated": "auto"}
MEDIA = frozenset({"image", "audio", "video", "document"})


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body; a block alone, or a list of blocks, is one message of the user's."""
    body = fields(body) or {}
    config = get(body, "generation_config")
    tools = items(get(body, "tools"))
    return Prompt(
        api=API,
        model=text_of(get(body, "model")),
        messages=messages(_conversation(body), message),
        tools=tuple(_tool(one) for one in tools if get(one, "type") == "function"),
        schema=_schema(get(body, "response_format")),
        tool_choice=MODES.get(text_of(get(config, "tool_choice")), ""),
        max_output=number(get(config, "max_output_tokens")),
        settings=gemini.settings_of(config),
        server=_server(body),
        stored=tuple((name, known) for name in KEPT if (known := text_of(get(body, name)))),
        passing=bool(text_of(get(body, "system_instruction"))),
    )


def _conversation(body: Mapping[str, Any]) -> Any:
    raw, system = get(body, "input"), text_of(get(body, "system_instruction"))
    turns = isinstance(raw, list | tuple) and any(get(one, "role") is not None for one in raw)
    if raw is not None and not turns:
        raw = [{"role": "user", "content": raw}]
    return [{"role": "system", "content": system}, *items(raw)] if system else raw


def _tool(raw: Any) -> Part:
    return Part("tool", name=text_of(get(raw, "name")), data=raw)


def _schema(raw: Any) -> Part | None:
    found = get(raw, "schema", raw)
    if fields(found) is None:
        return None
    return Part("schema", "responseJsonSchema", text_of(get(found, "title")), data=found)


def _server(body: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = (text_of(get(one, "type")) for one in items(get(body, "tools")))
    names = [kind for kind in kinds if kind and kind != "function"]
    return tuple(dict.fromkeys([*names, *(name for name in STORED if get(body, name))]))


def message(raw: Any) -> Message:
    """Read one turn, or one block that stands for the user's turn."""
    role = text_of(get(raw, "role"))
    content = raw if not role else get(raw, "content")
    return Message(gemini.ROLES.get(role) or role or "user", _parts(content))


def _parts(content: Any) -> tuple[Part, ...]:
    if isinstance(content, list | tuple):
        return tuple(part for one in content for part in _part(one))
    return () if content is None else _part(content)


def _part(raw: Any) -> tuple[Part, ...]:
    if isinstance(raw, str):
        return (Part("text", raw),)
    kind = text_of(get(raw, "type"))
    read = _media if kind in MEDIA else PARTS.get(kind)
    return (Part("other", compact(raw)),) if read is None else read(raw)


def _text(raw: Any) -> tuple[Part, ...]:
    text = get(raw, "text")
    return (Part("text", text) if isinstance(text, str) else Part("other", compact(raw)),)


def _media(raw: Any) -> tuple[Part, ...]:
    mime, given = text_of(get(raw, "mime_type")), get(raw, "data")
    kind = text_of(get(raw, "type"))
    seen = Media(mime=mime, remote=True) if given is None else payload(given, mime or f"{kind}/*")
    detail = text_of(get(raw, "resolution")).lower()
    return (Part("file" if kind == "document" else kind, data=replace(seen, detail=detail)),)


def _thought(raw: Any) -> tuple[Part, ...]:
    return gemini.signature(get(raw, "signature"))


def _call(raw: Any) -> tuple[Part, ...]:
    text = written(get(raw, "arguments"))
    return (Part("call", text, text_of(get(raw, "name")), text_of(get(raw, "id"))),)


def _result(raw: Any) -> tuple[Part, ...]:
    given = get(raw, "result")
    text = given if isinstance(given, str) else written(given)
    return (Part("result", text, text_of(get(raw, "name")), text_of(get(raw, "call_id"))),)


PARTS: dict[str, Callable[[Any], tuple[Part, ...]]] = {
    "text": _text,
    "thought": _thought,
    "function_call": _call,
    "function_result": _result,
}


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read an interaction, or its usage; what the provider's own tools read is input too."""
    return fold(Usage(), response)


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one event; the interaction itself comes with the last one."""
    held = get(chunk, "interaction", chunk)
    status = text_of(get(held, "status"))
    name, model = text_of(get(held, "id")), text_of(get(held, "model"))
    return replace(
        _numbers(usage, get(held, "usage", held)),
        response_id=name or usage.response_id,
        response_model=model or usage.response_model,
        finish_reasons=(status[:],) if status else usage.finish_reasons,
    )


def final(stream: Any) -> Usage | None:
    """Return None: no stream of Gemini's keeps a snapshot."""
    return gemini.final(stream)


def _numbers(before: Usage, found: Any) -> Usage:
    kinds = ("input", "tool_use", "output", "thought", "cached")
    return in_parts(before, *(number(get(found, f"total_{kind}_tokens")) for kind in kinds))
