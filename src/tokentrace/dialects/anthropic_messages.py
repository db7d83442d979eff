"""Anthropic's Messages API, also as Bedrock's InvokeModel and Vertex speak it.

One reader for ``/v1/messages`` and ``/v1/messages/count_tokens``. The system text becomes the first
message, with role ``system``. Old text completions (``prompt``) are one user message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tokentrace.dialects._reading import (
    compact,
    each,
    get,
    image_size,
    items,
    lengths,
    number,
    payload_size,
    text_of,
)
from tokentrace.prompt import Media, Message, Part, Prompt, Usage

API = "anthropic.messages"
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
SETTINGS = ("temperature", "top_p", "top_k", "stop_sequences", "stream")
# What stands in ``data`` of a part of kind ``other`` that marks a place and has no text.
DOCUMENT, CITED, REFERENCE = "document", "cited_document", "tool_reference"
BEDROCK_METRICS = "amazon-bedrock-invocationMetrics"

Walk = Callable[[Any, Callable[[Any], Message]], Sequence[Message]]


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body; what is unknown becomes a part of kind ``other``, never an error.

    ``messages`` walks a list of raw messages of which the first is the system text, put into the
    form of a message, where the body has one.
    """
    tools = tuple([_tool(tool) for tool in items(get(body, "tools"))])
    return Prompt(
        api=API,
        model=text_of(get(body, "model")),
        messages=messages(_conversation(body), message),
        tools=tools,
        schema=_schema(body),
        tool_choice=_choice(get(body, "tool_choice")),
        max_output=number(get(body, "max_tokens", get(body, "max_tokens_to_sample"))),
        settings=_settings(body),
        server=_server(body, tools),
        features=_features(body),
    )


def message(raw: Any) -> Message:
    """Read one message; content of any other type than text or a list is one part ``other``."""
    return Message(text_of(get(raw, "role")) or "user", _parts(get(raw, "content")))


def _conversation(body: Mapping[str, Any]) -> Any:
    raw, system = get(body, "messages"), get(body, "system")
    if raw is None and isinstance(get(body, "prompt"), str):
        raw = [{"role": "user", "content": get(body, "prompt")}]
    if system is None or system == "":
        return raw
    return [{"role": "system", "content": system}, *items(raw)]


def _tool(tool: Any) -> Part:
    name = text_of(get(tool, "name"))
    if not name:
        server = text_of(get(tool, "mcp_server_name"))
        name = f"mcp__{server}" if server else text_of(get(tool, "type"))
    return Part("tool", name=name, data=tool)


def _schema(body: Mapping[str, Any]) -> Part | None:
    form = get(body, "output_format") or get(get(body, "output_config"), "format")
    schema = get(form, "schema")
    if schema is None:
        return None
    return Part("schema", name=text_of(get(schema, "title")), data=schema)


def _choice(choice: Any) -> str:
    kind = get(choice, "type")
    if kind == "tool":
        return f"name:{text_of(get(choice, 'name'))}"
    return CHOICES.get(kind, "") if isinstance(kind, str) else ""


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: get(body, name) for name in SETTINGS}
    return {name: value for name, value in found.items() if _plain(value)}


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, bool | int | float | str)


def _server(body: Mapping[str, Any], tools: Sequence[Part]) -> tuple[str, ...]:
    typed = [text_of(get(tool.data, "type")) for tool in tools]
    names = [undated(kind) for kind in typed if kind not in {"", "custom"}]
    names += [name for name in ("mcp_servers", "container") if get(body, name)]
    return tuple(dict.fromkeys(names))


def undated(kind: str) -> str:
    """Return a typed tool's name without its date: ``web_search_20250305`` is ``web_search``."""
    name, _, date = kind.rpartition("_")
    return name if name and date.isdigit() else kind


def _features(body: Mapping[str, Any]) -> frozenset[str]:
    found = set()
    thinking = get(get(body, "thinking"), "type")
    if thinking in ("enabled", "adaptive"):
        found.update({"thinking", thinking} - {"enabled"})
    if get(body, "context_management"):
        found.add("context_management")
    if get(get(body, "output_config"), "task_budget"):
        found.add("task_budget")
    if any(get(tool, "defer_loading") is True for tool in items(get(body, "tools"))):
        found.add("defer_loading")
    if get(body, "messages") is None and get(body, "prompt") is not None:
        found.add("completion")
    return frozenset(found)


# ── content blocks ───────────────────────────────────────────────────────────────────────────────


def _parts(content: Any) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Part("text", content),)
    if isinstance(content, list | tuple):
        return tuple([part for block in content for part in _block(block)])
    return (_other(content),)


def _block(block: Any) -> tuple[Part, ...]:
    if isinstance(block, str):
        return (Part("text", block),)
    kind = get(block, "type")
    if not isinstance(kind, str):
        return (_other(block),)
    if kind in BLOCKS:
        return BLOCKS[kind](block)
    if kind.endswith("tool_use"):
        return _call(block)
    if kind.endswith("tool_result"):
        return _result(block)
    return (_other(block),)


def _text(block: Any) -> tuple[Part, ...]:
    text = get(block, "text")
    return (Part("text", text),) if isinstance(text, str) else (_other(block),)


def _compaction(block: Any) -> tuple[Part, ...]:
    return _parts(get(block, "content"))


def _thinking(block: Any) -> tuple[Part, ...]:
    size = len(text_of(get(block, "signature")))
    return (Part("reasoning", text_of(get(block, "thinking")), data=Media(size=size)),)


def _redacted(block: Any) -> tuple[Part, ...]:
    size = payload_size(text_of(get(block, "data")))
    return (Part("reasoning", data=Media(size=size, remote=True)),)


def _call(block: Any) -> tuple[Part, ...]:
    given = get(block, "input")
    text = given if isinstance(given, str) else compact({} if given is None else given)
    return (Part("call", text, text_of(get(block, "name")), text_of(get(block, "id"))),)


def _result(block: Any) -> tuple[Part, ...]:
    content = get(block, "content")
    if isinstance(content, Mapping):
        content = [content]
    if isinstance(content, str):
        return (Part("result", content, id=text_of(get(block, "tool_use_id"))),)
    inner = [part for one in _listed(content) for part in _inside(one)]
    text = "\n".join([part.text for part in inner if part.kind == "text"])
    result = Part("result", text, id=text_of(get(block, "tool_use_id")))
    return (result, *[part for part in inner if part.kind != "text"])


def _listed(content: Any) -> Sequence[Any]:
    if isinstance(content, list | tuple):
        return items(content)
    return () if content is None else (content,)


def _inside(block: Any) -> tuple[Part, ...]:
    """Read a block of a tool's result; results of server tools are JSON of their own kinds."""
    if text_of(get(block, "type")) in BLOCKS or isinstance(block, str):
        return _block(block)
    references = items(get(block, "tool_references"))
    if references:
        return tuple(part for one in references for part in _reference(one))
    sealed = text_of(get(block, "encrypted_content"))
    if sealed:
        shown = f"{text_of(get(block, 'title'))}\n{text_of(get(block, 'url'))}"
        size = payload_size(sealed)
        return (Part("text", shown), Part("other", data=Media(size=size, remote=True)))
    page = get(block, "content")
    if get(page, "type") == "document":
        return (Part("text", text_of(get(block, "url"))), *_document(page))
    return (Part("text", compact(block)),)


def _image(block: Any) -> tuple[Part, ...]:
    source = get(block, "source")
    data = get(source, "data")
    mime = text_of(get(source, "media_type"))
    if not isinstance(data, str):
        return (Part("image", data=Media(mime=mime, remote=True)),)
    width, height = image_size(data)
    return (Part("image", data=Media(width, height, size=payload_size(data), mime=mime)),)


def _document(block: Any) -> tuple[Part, ...]:
    source = get(block, "source")
    shown = [text_of(get(block, name)) for name in ("title", "context")]
    head = tuple(Part("text", text) for text in shown if text)
    kind, data = get(source, "type"), get(source, "data")
    mark = Part("other", data=CITED if cited(block) else DOCUMENT)
    if kind == "text" and isinstance(data, str):
        return (mark, *head, Part("text", data))
    if kind == "content":
        return (mark, *head, *_parts(get(source, "content")))
    mime = text_of(get(source, "media_type"))
    name = text_of(get(block, "title"))
    if kind == "base64" and isinstance(data, str):
        size = payload_size(data)
        seen = Media(size=size, mime=mime, **lengths(data, size, mime))
        return (*head, Part("file", name=name, data=seen))
    return (*head, Part("file", name=name, data=Media(mime=mime, remote=True)))


def _upload(block: Any) -> tuple[Part, ...]:
    return (Part("file", id=text_of(get(block, "file_id")), data=Media(remote=True)),)


def cited(block: Any) -> bool:
    """Whether the model is asked to cite a document or search result."""
    return get(get(block, "citations"), "enabled") is True


def _found(block: Any) -> tuple[Part, ...]:
    shown = [text_of(get(block, name)) for name in ("source", "title")]
    head = tuple(Part("text", text) for text in shown if text)
    mark = (Part("other", data=CITED),) if cited(block) else ()
    return (*mark, *head, *_parts(get(block, "content")))


def _reference(block: Any) -> tuple[Part, ...]:
    """Read a reference to a deferred tool: its definition enters the prompt here."""
    name = get(block, "tool_name") or get(block, "name") or get(get(block, "tool"), "name")
    return (Part("other", name=text_of(name), data=REFERENCE),)


def _other(block: Any) -> Part:
    return Part("other", compact(block))


BLOCKS: dict[str, Callable[[Any], tuple[Part, ...]]] = {
    "text": _text,
    "compaction": _compaction,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "image": _image,
    "document": _document,
    "container_upload": _upload,
    "search_result": _found,
    "tool_reference": _reference,
    "tool_addition": _reference,
}


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read a message, or a token count's answer; an odd shape gives what can be read of it."""
    reported = get(response, "usage")
    if reported is None:
        return Usage(input=number(get(response, "input_tokens")))
    metrics = get(reported, BEDROCK_METRICS)
    if metrics is not None and get(reported, "input_tokens") is None:
        return _metrics(Usage(), metrics)
    reason = get(response, "stop_reason")
    return replace(
        _numbers(reported, Usage()),
        response_id=text_of(get(response, "id")),
        response_model=text_of(get(response, "model")),
        finish_reasons=(reason,) if isinstance(reason, str) and reason else (),
    )


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one stream event; deltas are cumulative, not increments."""
    kind = get(chunk, "type")
    if kind == "message_start":
        return _merged(usage, get(chunk, "message"))
    if kind == "message_delta":
        found = _numbers(get(chunk, "usage"), usage)
        reason = get(get(chunk, "delta"), "stop_reason")
        return replace(found, finish_reasons=(reason,)) if isinstance(reason, str) else found
    metrics = get(chunk, BEDROCK_METRICS)
    if metrics is not None and usage.input is None:
        return _metrics(usage, metrics)
    return usage


def final(stream: Any) -> Usage | None:
    """Return the usage of a stream helper's own snapshot, without consuming the stream."""
    try:
        snapshot = get(stream, "current_message_snapshot")
    except (AssertionError, RuntimeError):
        return None
    return None if snapshot is None else _whole(snapshot)


def _whole(snapshot: Any) -> Usage | None:
    found = usage(snapshot)
    return None if found.input is None and found.output is None else found


def _merged(running: Usage, started: Any) -> Usage:
    found = _numbers(get(started, "usage"), running)
    return replace(
        found,
        response_id=text_of(get(started, "id")) or running.response_id,
        response_model=text_of(get(started, "model")) or running.response_model,
    )


def _numbers(reported: Any, before: Usage) -> Usage:
    """Return ``before`` with the numbers of ``reported``; input = uncached + read + written.

    A later event may repeat the input, leave it out or send 0: the largest holds.
    """
    read = _larger(number(get(reported, "cache_read_input_tokens")), before.cache_read)
    written = _larger(number(get(reported, "cache_creation_input_tokens")), before.cache_write)
    fresh = number(get(reported, "input_tokens"))
    total = None if fresh is None else fresh + (read or 0) + (written or 0)
    details = get(reported, "output_tokens_details")
    lasting = number(get(get(reported, "cache_creation"), "ephemeral_1h_input_tokens"))
    return replace(
        before,
        input=_larger(total, before.input),
        output=_larger(number(get(reported, "output_tokens")), before.output),
        cache_read=read,
        cache_write=written,
        reasoning=_larger(number(get(details, "thinking_tokens")), before.reasoning),
        cache_write_long=_larger(lasting or None, before.cache_write_long),
        tier=_tier(reported) or before.tier,
    )


def _tier(reported: Any) -> str:
    """Return what served the call; the fast mode is told beside the tier, and priced for itself."""
    speed = text_of(get(reported, "speed"))
    return speed if speed == "fast" else text_of(get(reported, "service_tier"))


def _metrics(running: Usage, metrics: Any) -> Usage:
    read = number(get(metrics, "cacheReadInputTokenCount"))
    written = number(get(metrics, "cacheWriteInputTokenCount"))
    fresh = number(get(metrics, "inputTokenCount"))
    return replace(
        running,
        input=None if fresh is None else fresh + (read or 0) + (written or 0),
        output=_larger(number(get(metrics, "outputTokenCount")), running.output),
        cache_read=read,
        cache_write=written,
    )


def _larger(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
