"""Cohere's chat API: version 2 with messages, version 1 with ``message`` and ``chat_history``.

Documents stand in the prompt as results of a search: each is a result named ``documents``, behind
the system text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tokentrace.dialects import openai_chat as chat
from tokentrace.dialects._reading import (
    Walk,
    compact,
    each,
    fields,
    get,
    items,
    number,
    picked,
    text_of,
)
from tokentrace.prompt import Message, Part, Prompt, Usage

API = "cohere.chat"
ROLES = {"chatbot": "assistant", "function": "tool"}
CHOICES = {"required": "required", "none": "none", "auto": "auto"}
DOCUMENTS = "documents"
SETTINGS = {
    "temperature": "temperature",
    "p": "top_p",
    "k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "stream": "stream",
}


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body of either version; never an error."""
    body = fields(body) or {}
    choice = text_of(body.get("tool_choice")).lower()
    return Prompt(
        api=API,
        model=text_of(body.get("model")),
        messages=messages(_conversation(body), message),
        tools=tuple(chat.tool_of(tool) for tool in items(body.get("tools"))),
        schema=_schema(body.get("response_format")),
        tool_choice=CHOICES.get(choice, ""),
        max_output=number(body.get("max_tokens")),
        settings=picked(body, SETTINGS),
        server=_server(body),
        features=_features(body),
    )


def _conversation(body: Mapping[str, Any]) -> list[Any]:
    """Return all messages, the documents behind the leading system text."""
    found = list(items(chat.conversation(body.get("messages"))))
    if body.get("messages") is None:
        found = _first_version(body)
    shown = items(body.get("documents"))
    if not shown:
        return found
    start = 0
    while start < len(found) and get(found[start], "role") == "system":
        start += 1
    return [*found[:start], {"role": "tool", "name": DOCUMENTS, "content": shown}, *found[start:]]


def _first_version(body: Mapping[str, Any]) -> list[Any]:
    preamble = text_of(body.get("preamble"))
    found: list[Any] = [{"role": "system", "content": preamble}] if preamble else []
    found += items(body.get("chat_history"))
    said = next((v for k in ("message", "prompt") if (v := body.get(k)) is not None), None)
    found += [] if said in (None, "") else [{"role": "user", "content": said}]
    return found + [{"role": "tool", "content": one} for one in items(body.get("tool_results"))]


def _schema(form: Any) -> Part | None:
    found = (get(form, name) for name in ("json_schema", "schema"))
    schema = next((one for one in found if fields(one) is not None), None)
    return None if schema is None else Part("schema", data=schema)


def _server(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what the provider looks up or has stored."""
    return tuple(name for name in ("connectors", "conversation_id") if body.get(name))


def _features(body: Mapping[str, Any]) -> frozenset[str]:
    found = set()
    if get(body.get("response_format"), "type") == "json_object":
        found.add("json_object")
    if get(body.get("thinking"), "type") == "enabled":
        found.add("thinking")
    if body.get("raw_prompting") is True:
        found.add("raw")
    if text_of(body.get("safety_mode")).lower() in {"none", "off"}:
        found.add("unsafe")
    return frozenset(found | ({DOCUMENTS} if items(body.get(DOCUMENTS)) else set()))


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


def message(raw: Any) -> Message:
    """Read one message; of any type, and of that message only."""
    held = raw if type(raw) is dict else fields(raw)
    if held is None:
        return chat.message(raw)
    role = text_of(held.get("role")).lower()
    role = ROLES.get(role, role) or "user"
    content = held.get("content")
    content = held.get("message") if content is None else content
    if role == "tool":
        return Message(role, _results(held, content))
    said = () if content == "" else chat.content_of(content)
    return Message(role, said if len(held) == 2 else (*_plan(held), *said, *_calls(held)))


def _plan(held: Mapping[str, Any]) -> tuple[Part, ...]:
    plan = text_of(held.get("tool_plan"))
    return (Part("text", plan, name="tool_plan"),) if plan else ()


def _calls(held: Mapping[str, Any]) -> tuple[Part, ...]:
    return tuple(_call(call) for call in items(held.get("tool_calls")))


def _results(held: Mapping[str, Any], content: Any) -> tuple[Part, ...]:
    """Read results: one for a call, or one for each document that was given with the request."""
    if content is None:
        content = held.get("tool_results")
    shown = content if isinstance(content, list | tuple) else [content]
    name, tied = text_of(held.get("name")), text_of(held.get("tool_call_id"))
    if name == DOCUMENTS:
        return tuple(Part("result", _shown(one), name) for one in shown)
    return (Part("result", "\n".join(map(_shown, shown)), name, tied),)


def _shown(block: Any) -> str:
    """Return what the model sees of a block: a text, or a document's data as JSON."""
    if isinstance(block, str):
        return block
    text = get(block, "text")
    if isinstance(text, str) and get(block, "type") == "text":
        return text
    inner = get(block, "document", block)
    data = get(inner, "data", inner)
    return "" if data is None else data if isinstance(data, str) else compact(data)


def _call(call: Any) -> Part:
    inner = get(call, "function", call)
    given = get(inner, "arguments", get(inner, "parameters"))
    text = given if isinstance(given, str) else compact({} if given is None else given)
    return Part("call", text, text_of(get(inner, "name")), text_of(get(call, "id")))


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read a whole answer of either version; an odd shape gives what can be read of it."""
    reported = get(response, "usage")
    reported = get(response, "meta") if reported is None else reported
    return _named(numbers(reported, Usage()), response)


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one event; the numbers come with the last."""
    kind = get(chunk, "type", get(chunk, "event_type"))
    if kind == "message-start":
        return replace(usage, response_id=text_of(get(chunk, "id")) or usage.response_id)
    place = get(chunk, {"message-end": "delta", "stream-end": "response"}.get(str(kind), ""))
    if place is None:
        return usage
    reported = get(place, "usage", get(place, "meta"))
    return _named(numbers(reported, usage), place)


def final(stream: Any) -> Usage | None:
    """Return None: these streams keep no snapshot."""
    del stream
    return None


def numbers(reported: Any, before: Usage) -> Usage:
    """Return ``before`` with the tokens of a usage; what was billed leaves out hidden prompts."""
    tokens = get(reported, "tokens")
    tokens = get(reported, "billed_units") if tokens is None else tokens
    took, gave = number(get(tokens, "input_tokens")), number(get(tokens, "output_tokens"))
    read, thought = number(get(reported, "cached_tokens")), number(get(tokens, "reasoning_tokens"))
    paid = get(reported, "billed_units")
    paid_in, paid_out = number(get(paid, "input_tokens")), number(get(paid, "output_tokens"))
    return replace(
        before,
        input=before.input if took is None else took,
        output=before.output if gave is None else gave,
        cache_read=before.cache_read if read is None else read,
        reasoning=before.reasoning if thought is None else thought,
        billed=before.billed if paid_in is None or paid_out is None else (paid_in, paid_out),
    )


def _named(usage: Usage, place: Any) -> Usage:
    name = text_of(get(place, "id")) or text_of(get(place, "response_id"))
    reason = text_of(get(place, "finish_reason"))
    return replace(
        usage,
        response_id=name or usage.response_id,
        finish_reasons=(reason,) if reason else usage.finish_reasons,
    )
