"""Gemini's generateContent and countTokens, as the Gemini API and Vertex AI speak them.

Names are read in camelCase, as on the wire, and in the snake_case that SDK users write. The system
instruction becomes the first message, with role ``system``; an empty one is none. A thought
signature becomes a part ``reasoning`` of its own behind the part that carries it, ``data`` its size,
with the detail `PIECES` where several sealed pieces stand in it.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tokentrace.dialects._lengths import clip
from tokentrace.dialects._reading import (
    TOOL_CALLS,
    URL_SAFE,
    Payload,
    Walk,
    compact,
    each,
    either,
    fields,
    get,
    in_parts,
    items,
    number,
    payload,
    payload_size,
    picked,
    snake,
    text_of,
    written,
)
from tokentrace.prompt import Media, Message, Part, Prompt, Usage

API, COUNT = "gemini.generateContent", "gemini.countTokens"
ROLES = {"model": "assistant", "function": "tool", "tool": "tool", "system": "system"}
SETTINGS = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "candidateCount": "choice.count",
    "stopSequences": "stop_sequences",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
MODES = {"auto": "auto", "any": "required", "none": "none", "validated": "auto"}
SCHEMAS = ("responseSchema", "responseJsonSchema", "_responseJsonSchema")
TEXTS = ("text/", "application/json", "application/x-javascript", "application/xml")
FIELD, MORE = 0x0A, 0x80  # of Protocol Buffers: the first field is bytes; a length goes on
LONGEST_TEXT = 2**20  # base64 characters of a text file that is read
RESOLUTION = "media_resolution:"
PIECES = "pieces"
CACHED = "cached_content"


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body, or a request to count one; what is unknown is a part ``other``."""
    body = fields(body) or {}
    wrapped = fields(either(body, "generateContentRequest"))
    held = body if wrapped is None else wrapped
    config = either(held, "generationConfig")
    return Prompt(
        api=API if wrapped is None else COUNT,
        model=text_of(get(body, "model")) or text_of(get(held, "model")),
        messages=messages(_conversation(held), message),
        tools=tuple(_tools(held)),
        schema=_schema(config),
        tool_choice=_choice(either(either(held, "toolConfig"), "functionCallingConfig")),
        max_output=number(either(config, "maxOutputTokens")),
        settings=settings_of(config),
        server=tuple(dict.fromkeys(_server(held))),
        stored=_cached(held),
        features=_features(config),
    )


def _conversation(body: Mapping[str, Any]) -> Any:
    raw, system = get(body, "contents"), _system(either(body, "systemInstruction"))
    if isinstance(raw, str) or (raw is not None and fields(raw) is not None):
        raw = [raw]
    return raw if system is None else [{"role": "system", "parts": system}, *items(raw)]


def _system(raw: Any) -> Any:
    """Return the parts of a system instruction; None where it says nothing."""
    held = fields(raw)
    parts = raw if held is None or held.get("parts") is None else held.get("parts")
    listed = parts if isinstance(parts, list | tuple) else [parts]
    return parts if any(map(_says, listed)) else None


def _says(part: Any) -> bool:
    """Whether a part is more than an empty text."""
    text = part if isinstance(part, str) else get(part, "text", part)
    if isinstance(text, str):
        return text != ""
    held = fields(text)
    return text is not None if held is None else len(held) > 0


def _tools(body: Mapping[str, Any]) -> Iterator[Part]:
    for tool in items(get(body, "tools")):
        for one in items(either(tool, "functionDeclarations")):
            yield Part("tool", name=text_of(get(one, "name")), data=one)


def _server(body: Mapping[str, Any]) -> Iterator[str]:
    """Name what the provider runs or adds: its own tools, and content that it has stored."""
    for tool in items(get(body, "tools")):
        asked = (fields(tool) or {}).items()
        names = [snake(k) for k, v in asked if isinstance(k, str) and not (v is None or v is False)]
        yield from (name for name in names if name != "function_declarations")
    if either(body, "cachedContent"):
        yield CACHED


def _cached(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    cached = text_of(either(body, "cachedContent"))
    return ((CACHED, cached),) if cached else ()


def _schema(config: Any) -> Part | None:
    for name in SCHEMAS:
        found = either(config, name)
        if fields(found) is not None:
            return Part("schema", name=text_of(get(found, "title")), text=name, data=found)
    return None


def _choice(config: Any) -> str:
    mode = text_of(get(config, "mode")).lower()
    allowed = items(either(config, "allowedFunctionNames"))
    if mode == "any" and len(allowed) == 1:
        return f"name:{text_of(allowed[0])}"
    return MODES.get(mode, "")


def settings_of(config: Any) -> dict[str, Any]:
    """Return the settings of a request under their short names."""
    held = {name: either(config, name) for name in SETTINGS}
    found = picked({name: value for name, value in held.items() if value is not None}, SETTINGS)
    level = either(either(config, "thinkingConfig"), "thinkingLevel") or either(
        config, "thinkingLevel"
    )
    return {**found, "reasoning.level": level[:].lower()} if isinstance(level, str) else found


def _features(config: Any) -> frozenset[str]:
    thinking = either(config, "thinkingConfig")
    found = {"thinking"} if fields(thinking) is not None else set()
    level = _level(either(config, "mediaResolution"))
    return frozenset({*found, f"{RESOLUTION}{level}"} if level else found)


def _level(raw: Any) -> str:
    """Return ``low``, ``medium``, ``high`` or ``ultra_high`` of a media resolution, or nothing."""
    named = raw if isinstance(raw, str) else text_of(get(raw, "level"))
    level = named.lower().removeprefix("media_resolution_")
    return "" if level == "unspecified" else level


# ── contents ─────────────────────────────────────────────────────────────────────────────────────


def message(raw: Any) -> Message:
    """Read one content; of any type, and of that content only."""
    held = raw if type(raw) is dict else fields(raw)
    if held is None:
        return Message("user", part_of(raw))
    parts, role = held.get("parts"), held.get("role")
    if parts is None and role is None:
        parts = held  # a part alone
    role = role if type(role) is str else text_of(role)
    if type(parts) is list and len(parts) == 1:
        return Message(ROLES.get(role) or role or "user", part_of(parts[0]))
    return Message(ROLES.get(role) or role or "user", parts_of(parts))


def parts_of(raw: Any) -> tuple[Part, ...]:
    """Read a list of parts, or a lone one."""
    if not isinstance(raw, list | tuple):
        return () if raw is None else part_of(raw)
    return tuple(part for one in raw for part in part_of(one))


def part_of(raw: Any) -> tuple[Part, ...]:
    """Read one part: its content, and its thought signature behind it."""
    if type(raw) is dict and len(raw) == 1:
        text = raw.get("text")
        if type(text) is str:
            return (Part("text", text),)
    if isinstance(raw, str):
        return (Part("text", raw),)
    held = fields(raw)
    if held is None:
        return (Part("other", compact(raw)),)
    return (*_content(held), *signature(either(held, "thoughtSignature")))


def signature(raw: Any) -> tuple[Part, ...]:
    """Read a thought signature: how large it is, and whether a stream has put it together.

    It is a message of Protocol Buffers: the first field says its length, which is short in streams.
    """
    text = text_of(raw)
    if not text:
        return ()
    size = payload_size(text)
    head = Payload(text[:8].replace("-", "+").replace("_", "/")).take(0, 4)
    if len(head) < 4 or head[0] != FIELD:
        return (Part("reasoning", data=Media(size=size)),)
    length = head[1] if head[1] < MORE else head[1] - MORE + (head[2] % MORE) * MORE
    detail = PIECES if 2 * length < size else ""
    return (Part("reasoning", data=Media(size=size, detail=detail)),)


def _content(held: Mapping[str, Any]) -> tuple[Part, ...]:
    for name, value in held.items():
        read = PARTS.get(name) if value is not None else None
        if read is not None:
            return read(value, held)
    if held.get("thought") is not None or either(held, "thoughtSignature") is not None:
        return ()
    return (Part("other", compact(held)),)


def _text(value: Any, held: Mapping[str, Any]) -> tuple[Part, ...]:
    kind = "reasoning" if held.get("thought") is True else "text"
    return (Part(kind, value) if isinstance(value, str) else Part("other", compact(value)),)


def _inline(value: Any, held: Mapping[str, Any]) -> tuple[Part, ...]:
    mime = text_of(either(value, "mimeType")) or "application/octet-stream"
    given = get(value, "data")
    seen, detail = payload(given, mime), _level(either(held, "mediaResolution"))
    seen = replace(seen, detail=detail, mime=mime, seconds=_shown(held, seen.seconds))
    return (Part(kind_of(mime), _words(given, mime), data=seen),)


def _shown(held: Mapping[str, Any], seconds: float) -> float:
    """Return the seconds of a film that are looked at."""
    asked, names = either(held, "videoMetadata"), ("startOffset", "endOffset", "fps")
    return seconds if asked is None else clip(seconds, *(either(asked, name) for name in names))


def _words(given: Any, mime: str) -> str:
    """Return the text of a text file that the body holds, where it is not too long."""
    known = mime.startswith(TEXTS) and isinstance(given, str | bytes)
    if not known or len(given) > LONGEST_TEXT:
        return ""
    try:
        raw = b64decode(given, URL_SAFE) if isinstance(given, str) else given
    except ValueError:
        return ""
    return raw.decode("utf-8", "replace")


def _stored(value: Any, held: Mapping[str, Any]) -> tuple[Part, ...]:
    mime, detail = text_of(either(value, "mimeType")), _level(either(held, "mediaResolution"))
    seen = Media(detail=detail, mime=mime, remote=True, seconds=_shown(held, 0.0))
    return (Part(kind_of(mime), data=seen),)


def kind_of(mime: str) -> str:
    """Return the kind of a part with media of this type."""
    kind = mime.partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "file"


def _call(value: Any, _: Mapping[str, Any]) -> tuple[Part, ...]:
    given = get(value, "args")
    name = text_of(get(value, "name")) or text_of(either(value, "toolType"))
    text = written(given)
    return (Part("call", text, name, text_of(get(value, "id"))),)


def _result(value: Any, _: Mapping[str, Any]) -> tuple[Part, ...]:
    given = get(value, "response")
    name = text_of(get(value, "name")) or text_of(either(value, "toolType"))
    text = written(given)
    inner = (part for one in items(get(value, "parts")) for part in part_of(one))
    return (Part("result", text, name, text_of(get(value, "id"))), *inner)


def _code(value: Any, _: Mapping[str, Any]) -> tuple[Part, ...]:
    text = get(value, "code")
    return (Part("text", text) if isinstance(text, str) else Part("other", compact(value)),)


def _ran(value: Any, _: Mapping[str, Any]) -> tuple[Part, ...]:
    text = get(value, "output")
    tied = text_of(get(value, "id"))
    return (Part("result", text_of(text), "code_execution", tied, data="code"),)


READERS: dict[str, Callable[[Any, Mapping[str, Any]], tuple[Part, ...]]] = {
    "text": _text,
    "inlineData": _inline,
    "fileData": _stored,
    "functionCall": _call,
    "functionResponse": _result,
    "executableCode": _code,
    "codeExecutionResult": _ran,
    "toolCall": _call,
    "toolResponse": _result,
}
PARTS = {**READERS, **{snake(name): read for name, read in READERS.items()}}

# Vertex's word for a tier; what was paid in advance stays what it is called.
TRAFFIC = {"ON_DEMAND": "", "ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority"}


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read a whole response, or a token count's answer; an odd shape gives what can be read of it.

    Input are the prompt's tokens, cached ones among them, and what the provider's own tools read
    besides; output are the candidates' tokens and their thoughts.
    """
    return fold(Usage(), response)


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one chunk: numbers are repeated, and the last ones hold."""
    chunk = _opened(chunk)
    found = next(
        (one for name in ("usageMetadata", "usage") if (one := either(chunk, name)) is not None),
        None,
    )
    before = usage.finish_reasons
    reasons = before if TOOL_CALLS in before else tuple(_reasons(chunk)) or before
    way = text_of(either(found, "trafficType"))
    tier = text_of(either(found, "serviceTier")) or TRAFFIC.get(way, way)
    return replace(
        _numbers(usage, chunk if found is None else found),
        response_id=text_of(either(chunk, "responseId")) or usage.response_id,
        response_model=text_of(either(chunk, "modelVersion")) or usage.response_model,
        finish_reasons=reasons,
        tier=tier.lower() or usage.tier,
    )


def final(stream: Any) -> Usage | None:
    """Return None: no stream of Gemini's keeps a snapshot."""
    del stream
    return None


def _opened(response: Any) -> Any:
    """Return the response inside of what the SDK's client gives, whose ``body`` is JSON text."""
    from json import loads

    text = get(response, "body")
    if not isinstance(text, str):
        return response
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return response


def _reasons(chunk: Any) -> Iterator[str]:
    for candidate in items(get(chunk, "candidates")):
        reason = text_of(either(candidate, "finishReason"))
        parts = items(get(get(candidate, "content"), "parts"))
        if any(either(part, "functionCall") is not None for part in parts):
            yield TOOL_CALLS
        elif reason:
            yield reason[:]  # of an enumeration's member, its plain text


def _numbers(before: Usage, found: Any) -> Usage:
    prompt = number(either(found, "promptTokenCount"))
    if prompt is None:
        prompt = number(either(found, "totalTokens"))
    names = ("toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    parts = [number(either(found, name)) for name in (*names, "cachedContentTokenCount")]
    return in_parts(before, prompt, *parts)
