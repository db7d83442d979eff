"""Mistral's chat API: OpenAI's form, with parts, names and settings of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tokentrace.dialects import openai_chat as chat
from tokentrace.dialects._reading import Walk, each, fields, get, items, number, picked, text_of
from tokentrace.prompt import Message, Prompt, Usage

API = "mistral.chat"
SETTINGS = {**chat.SETTINGS, "random_seed": "seed"}
CHOICES = {"any": "required"}


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body; what is unknown becomes a part of kind ``other``, never an error."""
    body = fields(body) or {}
    prompt = chat.parse({k: v for k, v in body.items() if k != "messages"})
    choice = body.get("tool_choice")
    chosen = CHOICES.get(choice, "") if isinstance(choice, str) else ""
    return replace(
        prompt,
        api=API,
        messages=messages(chat.conversation(body.get("messages")), message),
        tool_choice=chosen or prompt.tool_choice,
        settings=picked(body, SETTINGS),
        server=_server(body),
        features=_features(body) | prompt.features,
    )


def _server(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what the provider adds: tools that it runs, and a system text for reasoning."""
    kinds = (text_of(get(tool, "type")) for tool in items(body.get("tools")))
    names = [kind for kind in kinds if kind not in {"", "function"}]
    if body.get("prompt_mode") is not None:
        names.append("prompt_mode")
    return tuple(dict.fromkeys(names))


def _features(body: Mapping[str, Any]) -> frozenset[str]:
    effort = body.get("reasoning_effort")
    return frozenset({"thinking"}) if isinstance(effort, str) and effort != "none" else frozenset()


def message(raw: Any) -> Message:
    """Read one message; its own kinds of parts are read as OpenAI's of the same meaning."""
    content = raw.get("content") if type(raw) is dict else get(raw, "content")
    if type(content) is not list or not any(map(_own, content)):
        return chat.message(raw)
    held = dict(fields(raw) or {})
    held["content"] = [_translated(part) for part in content]
    return chat.message(held)


def _own(part: Any) -> bool:
    kind = part.get("type") if type(part) is dict else get(part, "type")
    return type(kind) is str and kind in PARTS


def _translated(part: Any) -> Any:
    return PARTS[get(part, "type")](part) if _own(part) else part


def _sound(part: Any) -> Any:
    """Mistral's sound is base64 or a URL; OpenAI's is base64 with a format."""
    given = get(part, "input_audio")
    held = given if fields(given) is not None else {"data": given}
    return {"type": "input_audio", "input_audio": held}


def _pages(part: Any) -> Any:
    url = text_of(get(part, "document_url"))
    name = text_of(get(part, "document_name"))
    where = {"file_data": url} if url.startswith("data:") else {"file_url": url}
    return {"type": "file", "file": {"filename": name, **where}}


def _reference(part: Any) -> Any:
    """A reference is the numbers of what is cited, as text."""
    found = [str(one) for one in items(get(part, "reference_ids")) if number(one) is not None]
    return {"type": "text", "text": ",".join(found)}


PARTS: dict[str, Callable[[Any], Any]] = {
    "input_audio": _sound,
    "document_url": _pages,
    "reference": _reference,
}


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read a whole completion (or its usage); an odd shape gives what can be read of it."""
    return _cached(chat.usage(response), get(response, "usage"))


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one chunk; the SDK's events hold it under ``data``."""
    inner = get(chunk, "data")
    chunk = chunk if inner is None else inner
    return _cached(chat.fold(usage, chunk), get(chunk, "usage"))


def final(stream: Any) -> Usage | None:
    """Return None: these streams keep no snapshot."""
    del stream
    return None


def _cached(usage: Usage, reported: Any) -> Usage:
    """Add the cached tokens where they stand under the older name."""
    found = number(get(reported, "num_cached_tokens"))
    return usage if found is None or usage.cache_read else replace(usage, cache_read=found)
