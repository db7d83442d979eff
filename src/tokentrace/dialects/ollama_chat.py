"""Ollama's own API: ``/api/chat`` with messages, ``/api/generate`` with a prompt.

Ollama cuts what does not fit ``num_ctx`` without saying so; what it reports is what it read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tokentrace.dialects import openai_chat as chat
from tokentrace.dialects._reading import (
    TOOL_CALLS,
    Walk,
    compact,
    each,
    fields,
    get,
    items,
    number,
    payload,
    picked,
    text_of,
)
from tokentrace.prompt import Message, Part, Prompt, Usage

CHAT, GENERATE = "ollama.chat", "ollama.generate"
SETTINGS = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "seed": "seed"}


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body; a prompt is one user message behind its system text and context."""
    body = fields(body) or {}
    talk = body.get("messages") is not None or body.get("prompt") is None
    options = body.get("options")
    raw = chat.conversation(body.get("messages")) if talk else _single(body)
    return Prompt(
        api=CHAT if talk else GENERATE,
        model=text_of(body.get("model")),
        messages=messages(raw, message),
        tools=tuple(chat.tool_of(tool) for tool in items(body.get("tools"))),
        schema=_schema(body.get("format")),
        max_output=number(get(options, "num_predict")),
        settings=_settings(body, fields(options) or {}),
        features=_features(body),
    )


def _single(body: Mapping[str, Any]) -> list[Any]:
    """Return a prompt as messages: the system text, tokens of an earlier answer, the prompt."""
    system, kept = text_of(body.get("system")), items(body.get("context"))
    found: list[Any] = [{"role": "system", "content": system}] if system else []
    if kept:
        found.append({"role": "context", "content": len(kept)})
    text = text_of(body.get("prompt")) + text_of(body.get("suffix"))
    return [*found, {"role": "user", "content": text, "images": body.get("images")}]


def _schema(form: Any) -> Part | None:
    """Read a response schema; it steers the sampling and is not shown to the model."""
    return (
        None
        if fields(form) is None
        else Part("schema", name=text_of(get(form, "title")), data=form)
    )


def _settings(body: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    found = picked(options, SETTINGS)
    stream = body.get("stream")
    if isinstance(stream, bool):
        found["stream"] = stream
    window = number(options.get("num_ctx"))
    return found if window is None else {**found, "num_ctx": window}


def _features(body: Mapping[str, Any]) -> frozenset[str]:
    found = {name for name in ("raw", "think") if body.get(name)}
    found |= {name for name in ("template", "suffix") if text_of(body.get(name))}
    return frozenset(found)


def message(raw: Any) -> Message:
    """Read one message; of any type, and of that message only."""
    held = raw if type(raw) is dict else fields(raw)
    if held is None:
        return chat.message(raw)
    role, content = text_of(held.get("role")) or "user", held.get("content")
    if role == "context":
        return Message("assistant", (Part("other", name="tokens", data=number(content) or 0),))
    if role == "tool":
        name = text_of(held.get("tool_name")) or text_of(held.get("name"))
        return Message(role, (Part("result", _text(content), name), *_images(held)))
    said = () if content is None or content == "" else chat.content_of(content)
    if len(held) == 2:
        return Message(role, said)
    return Message(role, (*_thought(held), *said, *_images(held), *_calls(held)))


def _thought(held: Mapping[str, Any]) -> tuple[Part, ...]:
    thought = text_of(held.get("thinking"))
    return (Part("reasoning", thought),) if thought else ()


def _images(held: Mapping[str, Any]) -> tuple[Part, ...]:
    return tuple(_image(one) for one in items(held.get("images")))


def _calls(held: Mapping[str, Any]) -> tuple[Part, ...]:
    return tuple(_call(call) for call in items(held.get("tool_calls")))


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "" if content is None else compact(content)


def _call(call: Any) -> Part:
    """Read a call; the arguments are an object here, not its text."""
    inner = get(call, "function")
    given = get(inner, "arguments")
    text = given if isinstance(given, str) else compact({} if given is None else given)
    return Part("call", text, text_of(get(inner, "name")), text_of(get(call, "id")))


def _image(given: Any) -> Part:
    """Read an image: base64 text, or bytes that the SDK will encode."""
    return Part("image", data=payload(get(given, "value", given), "image/png"))


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read a whole answer; an odd shape gives what can be read of it."""
    return fold(Usage(), response)


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one chunk; the numbers come with the last, ``done``."""
    place = get(chunk, "usage", chunk)
    took, gave = number(get(place, "prompt_eval_count")), number(get(place, "eval_count"))
    reason, model = text_of(get(chunk, "done_reason")), text_of(get(chunk, "model"))
    if TOOL_CALLS in usage.finish_reasons or items(get(get(chunk, "message"), "tool_calls")):
        reason = TOOL_CALLS
    if took is None and gave is None and not reason and model == usage.response_model:
        return usage
    return replace(
        usage,
        input=usage.input if took is None else took,
        output=usage.output if gave is None else gave,
        response_model=model or usage.response_model,
        finish_reasons=(reason,) if reason else usage.finish_reasons,
    )


def final(stream: Any) -> Usage | None:
    """Return None: these streams keep no snapshot."""
    del stream
    return None
