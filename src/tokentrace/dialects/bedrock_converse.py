"""Bedrock's Converse API, as boto3 takes and returns it: every maker's models in one form.

The model may stand outside of the body: boto3 passes it as ``modelId`` beside the rest, the wire
has it in the path. The system text becomes the first message, with role ``system``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from tokentrace.dialects._reading import (
    Walk,
    compact,
    each,
    fields,
    get,
    items,
    number,
    payload,
    payload_size,
    picked,
    text_of,
)
from tokentrace.dialects.anthropic_messages import CITED, DOCUMENT, cited, undated
from tokentrace.prompt import Media, Message, Part, Prompt, Usage

API = "bedrock.converse"
SETTINGS = {"temperature": "temperature", "topP": "top_p", "topK": "top_k"}
CAPS = ("maxTokens", "max_new_tokens", "max_tokens")
GUARDED = "guarded"


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body; what is unknown becomes a part of kind ``other``, never an error."""
    body = fields(body) or {}
    extra, config = body.get("additionalModelRequestFields"), body.get("toolConfig")
    return Prompt(
        api=API,
        model=text_of(body.get("modelId")) or text_of(body.get("model")),
        messages=messages(_conversation(body), message),
        tools=tuple(_tools(config, extra)),
        schema=_schema(body.get("outputConfig")),
        tool_choice=_choice(get(config, "toolChoice")),
        max_output=_cap(body),
        settings=_settings(body),
        server=_server(body, config, extra),
        features=_features(extra),
    )


def _conversation(body: Mapping[str, Any]) -> Any:
    raw, system = body.get("messages"), body.get("system")
    if isinstance(raw, str) or fields(raw) is not None:
        raw = [raw]
    if raw is None and body.get("promptVariables") is not None:
        raw = [{"role": "user", "content": _variables(body["promptVariables"])}]
    if not system or not isinstance(system, str | list | tuple):
        return raw
    return [{"role": "system", "content": system}, *items(raw)]


def _variables(given: Any) -> list[Any]:
    """Return the texts that are put into a prompt kept at the provider."""
    return list(given.values())[:1_000] if isinstance(given, Mapping) else []


def _tools(config: Any, extra: Any) -> Iterator[Part]:
    """Yield definitions; a Claude's typed tools stand among the additional fields."""
    for tool in items(get(config, "tools")):
        spec = get(tool, "toolSpec")
        if spec is not None:
            yield Part("tool", name=text_of(get(spec, "name")), data=spec)
    for tool in items(get(extra, "tools")):
        kind = text_of(get(tool, "type"))
        yield Part("tool", name=text_of(get(tool, "name")) or kind, data=tool)


def _schema(output: Any) -> Part | None:
    """Read the response schema, which is JSON as text."""
    form = get(get(get(output, "textFormat"), "structure"), "jsonSchema")
    schema = get(form, "schema")
    if schema is None:
        return None
    return Part("schema", name=text_of(get(form, "name")), data=schema)


def _choice(choice: Any) -> str:
    tool = get(choice, "tool")
    if tool is not None:
        return f"name:{text_of(get(tool, 'name'))}"
    found = (("auto", "auto"), ("any", "required"))
    return next((word for name, word in found if get(choice, name) is not None), "")


def _cap(body: Mapping[str, Any]) -> int | None:
    config = body.get("inferenceConfig")
    found = (number(get(place, name)) for place in (config, body) for name in CAPS)
    return next((one for one in found if one is not None), None)


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    config = fields(body.get("inferenceConfig")) or {}
    found = picked(config, SETTINGS)
    tier = text_of(get(body.get("serviceTier"), "type"))
    return {**found, "service_tier": tier} if tier else found


def _server(body: Mapping[str, Any], config: Any, extra: Any) -> tuple[str, ...]:
    """Name what the provider runs or adds. A guardrail reads the prompt but adds nothing to it."""
    systems = (get(tool, "systemTool") for tool in items(get(config, "tools")))
    names = [text_of(get(one, "name")) or "systemTool" for one in systems if one is not None]
    typed = (text_of(get(tool, "type")) for tool in items(get(extra, "tools")))
    names += [undated(kind) for kind in typed if kind not in {"", "custom"}]
    if body.get("promptVariables") is not None:
        names.append("promptVariables")
    return tuple(dict.fromkeys(names))


def _features(extra: Any) -> frozenset[str]:
    given = (get(extra, name) for name in ("thinking", "reasoning_config", "reasoningConfig"))
    kinds = {kind for one in given if isinstance(kind := get(one, "type"), str)}
    found = {"thinking"} if kinds & {"enabled", "adaptive"} else set()
    return frozenset(found | (kinds & {"adaptive"}))


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


def message(raw: Any) -> Message:
    """Read one message; of any type, and of that message only."""
    if type(raw) is dict:
        role, content = raw.get("role"), raw.get("content")
    elif isinstance(raw, str):
        return Message("user", (Part("text", raw),))
    else:
        role, content = get(raw, "role"), get(raw, "content")
    return Message(role if type(role) is str and role else "user", parts_of(content))


def parts_of(content: Any) -> tuple[Part, ...]:
    """Read a list of content blocks; a text or a block stands for a list of one."""
    if content is None:
        return ()
    if not isinstance(content, list | tuple):
        return _block(content)
    return _block(content[0]) if len(content) == 1 else tuple(chain(*map(_block, content)))


def _block(block: Any) -> tuple[Part, ...]:
    """Read one block: a mapping of one key, which tells its kind."""
    if isinstance(block, str):
        return (Part("text", block),)
    held = block if type(block) is dict else fields(block) or {}
    for name, value in held.items():
        read = BLOCKS.get(name) if value is not None and type(name) is str else None
        if read is not None:
            return read(value)
    return (Part("other", compact(block)),)


def _text(value: Any) -> tuple[Part, ...]:
    """Read a text; a prompt variable and a guarded text hold one more inside."""
    if type(value) is str:
        return (Part("text", value),)
    value = get(value, "text", value)
    return (Part("text", value) if isinstance(value, str) else Part("other", compact(value)),)


def _guarded(value: Any) -> tuple[Part, ...]:
    inner = get(value, "text")
    if inner is None:
        return _image(get(value, "image"))
    return tuple(replace(part, name=GUARDED) for part in _text(inner))


def _image(value: Any) -> tuple[Part, ...]:
    return (_payload("image", value),)


def _payload(kind: str, value: Any) -> Part:
    """Read what holds its bytes, as bytes or as base64 text, or only names them."""
    form, name = text_of(get(value, "format")), text_of(get(value, "name"))
    mime = f"{'application' if kind == 'file' else kind}/{form}"
    return Part(kind, name=name, data=payload(get(get(value, "source"), "bytes"), mime))


def _document(value: Any) -> tuple[Part, ...]:
    """Read a document: its text where the body has it as text, else what is known of its bytes."""
    source, context = get(value, "source"), text_of(get(value, "context"))
    head = (Part("text", context),) if context else ()
    mark = Part("other", data=CITED if cited(value) else DOCUMENT)
    text = get(source, "text")
    inner = [text] if isinstance(text, str) else items(get(source, "content"))
    if inner:
        return (mark, *head, *parts_of(inner))
    return (*((mark,) if cited(value) else ()), *head, _payload("file", value))


def _found(value: Any) -> tuple[Part, ...]:
    """Read a search result: where it was found, its title, its text."""
    shown = (text_of(get(value, name)) for name in ("source", "title"))
    mark = (Part("other", data=CITED),) if cited(value) else ()
    return (*mark, *(Part("text", text) for text in shown if text), *_inside(value))


def _inside(value: Any) -> tuple[Part, ...]:
    return parts_of(get(value, "content"))


def _call(value: Any) -> tuple[Part, ...]:
    given = get(value, "input")
    text = given if isinstance(given, str) else compact({} if given is None else given)
    return (Part("call", text, text_of(get(value, "name")), text_of(get(value, "toolUseId"))),)


def _result(value: Any) -> tuple[Part, ...]:
    inner = _inside(value)
    text = "\n".join(part.text for part in inner if part.kind == "text")
    rest = (part for part in inner if part.kind != "text")
    return (Part("result", text, id=text_of(get(value, "toolUseId"))), *rest)


def _thought(value: Any) -> tuple[Part, ...]:
    inner, sealed = get(value, "reasoningText"), get(value, "redactedContent")
    if inner is None and sealed is not None:
        size = payload_size(sealed) if isinstance(sealed, str) else 0
        size = len(sealed) if isinstance(sealed, bytes | bytearray) else size
        return (Part("reasoning", data=Media(size=size, remote=True)),)
    size = len(text_of(get(inner, "signature")))
    return (Part("reasoning", text_of(get(inner, "text", inner)), data=Media(size=size)),)


BLOCKS: dict[str, Callable[[Any], tuple[Part, ...]]] = {
    "text": _text,
    "toolUse": _call,
    "toolResult": _result,
    "image": _image,
    "document": _document,
    "video": lambda value: (_payload("video", value),),
    "audio": lambda value: (_payload("audio", value),),
    "reasoningContent": _thought,
    "guardContent": _guarded,
    "json": lambda value: (Part("text", compact(value)),),
    "searchResult": _found,
    "citationsContent": _inside,
    "cachePoint": lambda _: (),
}


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read a whole response; an odd shape gives what can be read of it."""
    return _named(numbers(get(response, "usage"), Usage()), response)


def fold(running: Usage, chunk: Any) -> Usage:
    """Return the running usage after one event; the numbers come last, with ``metadata``."""
    stopped, told = get(chunk, "messageStop"), get(chunk, "metadata")
    if stopped is not None:
        running = _named(running, stopped)
    return running if told is None else _named(numbers(get(told, "usage"), running), told)


def final(stream: Any) -> Usage | None:
    """Return None: boto3's streams keep no snapshot."""
    del stream
    return None


def numbers(reported: Any, before: Usage) -> Usage:
    """Return ``before`` with the numbers of a usage; input = fresh + read + written."""
    read = number(get(reported, "cacheReadInputTokens"))
    read = number(get(reported, "cacheReadInputTokenCount")) if read is None else read
    written = number(get(reported, "cacheWriteInputTokens"))
    written = number(get(reported, "cacheWriteInputTokenCount")) if written is None else written
    fresh, gave = number(get(reported, "inputTokens")), number(get(reported, "outputTokens"))
    return replace(
        before,
        input=before.input if fresh is None else fresh + (read or 0) + (written or 0),
        output=before.output if gave is None else gave,
        cache_read=before.cache_read if read is None else read,
        cache_write=before.cache_write if written is None else written,
    )


def _named(usage: Usage, place: Any) -> Usage:
    """Add the reason of the end, and the model that a router chose."""
    reason = get(place, "stopReason")
    model = text_of(get(get(get(place, "trace"), "promptRouter"), "invokedModelId"))
    if not model and not (isinstance(reason, str) and reason):
        return usage
    return replace(
        usage,
        response_model=model or usage.response_model,
        finish_reasons=(reason,) if isinstance(reason, str) and reason else usage.finish_reasons,
    )
