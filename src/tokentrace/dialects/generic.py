"""Any JSON body: the dialect of apis that have none of their own, and of unknown ones.

A body in Bedrock's or Cohere's layout is read by their dialects, others as well as their layout is
known; in a body of no known layout every text is user text. Its counts are estimates, see
`counting.rules.generic`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from tokentrace.dialects import bedrock_converse, bedrock_invoke, cohere_chat
from tokentrace.dialects._reading import (
    DEPTH,
    NODES,
    compact,
    each,
    fields,
    get,
    items,
    media,
    number,
    text_of,
)
from tokentrace.prompt import Media, Message, Part, Prompt, Usage

API = "generic"
ROLES = {"model": "assistant", "chatbot": "assistant", "function": "tool"}
# The layouts of others, by the keys that no other layout has.
LAYOUTS: tuple[tuple[frozenset[str], ModuleType], ...] = (
    (frozenset({"inferenceConfig", "toolConfig", "guardrailConfig"}), bedrock_converse),
    (frozenset({"additionalModelRequestFields", "outputConfig"}), bedrock_converse),
    (frozenset({"message", "chat_history", "preamble"}), cohere_chat),
    (frozenset({"inputText", "textGenerationConfig", "schemaVersion"}), bedrock_invoke),
)
COUNTED = frozenset({"converse", "invokeModel"})
CONVERSATIONS = ("messages", "contents", "input", "prompt")
SYSTEMS = ("system", "systemInstruction", "system_instruction", "instructions")
WRAPPED = ("generateContentRequest", "input", "body")
CONFIGS = ("generationConfig", "generation_config")
CAPS = (
    *("maxOutputTokens", "max_output_tokens", "maxTokens", "max_tokens", "max_completion_tokens"),
    *("num_predict", "max_new_tokens"),
)
SCHEMAS = (
    *("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"),
    *("_responseJsonSchema", "responseFormat", "response_format", "format"),
)
SETTINGS = {"temperature": "temperature", "topP": "top_p", "top_p": "top_p", "topK": "top_k"}
SCHEMA_MARKS = ("properties", "$ref", "anyOf", "items")

Walk = Callable[[Any, Callable[[Any], Message]], Sequence[Message]]


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read any body as well as its layout is known; never raises."""
    known = _layout(body)
    if known is not None:
        found: Prompt = known.parse(body, messages)
        return replace(found, api=API)
    body = _unwrapped(body)
    configs = [body, *(found for name in CONFIGS if (found := get(body, name)) is not None)]
    configs += [get(body, "options")]
    return Prompt(
        api=API,
        model=text_of(get(body, "model")) or text_of(get(body, "modelId")),
        messages=messages(_conversation(body), message),
        tools=tuple(_tools(body)),
        schema=_schema(configs),
        tool_choice=_choice(body),
        max_output=_first(configs, CAPS),
        settings=_settings(configs),
        server=_server(body),
        features=_features(body),
    )


def _layout(body: Mapping[str, Any]) -> ModuleType | None:
    """Return the dialect of another's layout."""
    if COUNTED & (fields(get(body, "input")) or {}).keys():
        return bedrock_invoke
    keys = (fields(body) or {}).keys()
    if "contents" in keys:
        return None
    return next((module for names, module in LAYOUTS if names & keys), None)


def message(raw: Any) -> Message:
    """Read one message, content or turn; a text alone is the user's."""
    if isinstance(raw, str):
        return Message("user", (Part("text", raw),))
    role = text_of(get(raw, "role")).lower()
    role = ROLES.get(role, role) or "user"
    content = next(
        (v for k in ("content", "parts", "message") if (v := get(raw, k)) is not None), None
    )
    if content is None and get(raw, "role") is None:
        return Message(role, _block(raw))
    calls = tuple(_function_call(call) for call in items(get(raw, "tool_calls")))
    if role == "tool" and isinstance(content, str | list | tuple):
        text = "\n".join(part.text for part in _parts(content) if part.text)
        name, tied = text_of(get(raw, "name")), text_of(get(raw, "tool_call_id"))
        return Message(role, (Part("result", text, name, tied),))
    return Message(role, (*_parts(content), *calls))


def _unwrapped(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request inside of a request to count it."""
    for _ in range(4):
        inner = (get(body, name) for name in WRAPPED)
        found = next((one for one in inner if isinstance(one, Mapping)), None)
        if found is None or any(isinstance(get(body, name), list) for name in CONVERSATIONS):
            break
        body = {"model": get(body, "model"), **found}
    return body


def _features(body: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({"unknown_layout"} if _unknown(body) else ())


def _unknown(body: Mapping[str, Any]) -> bool:
    return all(get(body, name) is None for name in CONVERSATIONS)


def _conversation(body: Mapping[str, Any]) -> list[Any]:
    heads = (get(body, name) for name in SYSTEMS)
    found: list[Any] = [{"role": "system", "content": _inner(head)} for head in heads if head]
    for name in CONVERSATIONS:
        value = get(body, name)
        if isinstance(value, str):
            found.append({"role": "user", "content": value})
        elif isinstance(value, list | tuple):
            found.extend(value)
        elif isinstance(value, Mapping):
            found.append(value)
    if _unknown(body):
        found += [{"role": "user", "content": text} for text in _leaves(body)]
    return found


def _inner(head: Any) -> Any:
    parts = get(head, "parts")
    if parts is None:
        return head if isinstance(head, str | list | tuple) else [head]
    return [parts] if isinstance(parts, Mapping) else parts


def _leaves(body: Any) -> Iterator[str]:
    """Yield the texts of a body of unknown layout: at most 64 deep and 10,000 nodes."""
    stack, left = [(body, 0)], NODES
    while stack and left > 0:
        value, depth = stack.pop()
        left -= 1
        if isinstance(value, str):
            yield value
        elif depth < DEPTH and isinstance(value, Mapping):
            held = [v for k, v in value.items() if k != "model"]
            stack += [(one, depth + 1) for one in reversed(held[:left])]
        elif depth < DEPTH:
            stack += [(one, depth + 1) for one in reversed(items(value)[:left])]


def _tools(body: Mapping[str, Any]) -> Iterator[Part]:
    config = get(body, "toolConfig") or get(body, "tool_config")
    for tool in (*items(get(body, "tools")), *items(get(config, "tools"))):
        declared = get(tool, "functionDeclarations") or get(tool, "function_declarations")
        inner = get(tool, "function")
        for one in items(declared) or ((tool if inner is None else inner),):
            if get(one, "name") is not None:
                yield Part("tool", name=text_of(get(one, "name")), data=one)


def _server(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what the provider runs or adds: tools without a definition, stored content."""
    names = []
    config = get(body, "toolConfig") or get(body, "tool_config")
    for tool in (*items(get(body, "tools")), *items(get(config, "tools"))):
        if isinstance(tool, Mapping) and not {"name", "function"} & tool.keys():
            plain = (k for k in tool if "unctionDecl" not in k and "function_decl" not in k)
            names += [k for k in plain if isinstance(k, str)]
    stored = ("cachedContent", "cached_content", "conversation_id", "documents")
    names += [name for name in stored if get(body, name)]
    return tuple(dict.fromkeys(names))


def _schema(configs: Sequence[Any]) -> Part | None:
    for config in configs:
        for name in SCHEMAS:
            found = _schema_in(get(config, name), 0)
            if found is not None:
                return Part("schema", name=text_of(get(found, "title")), data=found)
    return None


def _schema_in(value: Any, depth: int) -> Any:
    if isinstance(value, str) and value[:1] == "{":
        return value
    if not isinstance(value, Mapping) or depth > 4:
        return None
    if any(mark in value for mark in SCHEMA_MARKS):
        return value
    names = ("json_schema", "schema")
    inner = (_schema_in(value.get(name), depth + 1) for name in names)
    return next((one for one in inner if one is not None), None)


def _choice(body: Mapping[str, Any]) -> str:
    config = get(body, "toolConfig") or get(body, "tool_config")
    mode = get(get(config, "functionCallingConfig"), "mode")
    choice = get(body, "tool_choice") if mode is None else mode
    known = {"auto": "auto", "any": "required", "required": "required", "none": "none"}
    return known.get(choice.lower(), "") if isinstance(choice, str) else ""


def _first(configs: Sequence[Any], names: Sequence[str]) -> int | None:
    found = (number(get(config, name)) for config in configs for name in names)
    return next((one for one in found if one is not None), None)


def _settings(configs: Sequence[Any]) -> dict[str, Any]:
    found = {}
    for config in reversed(configs):
        for name, short in SETTINGS.items():
            value = get(config, name)
            if isinstance(value, int | float):
                found[short] = value
    return found


# ── content blocks ───────────────────────────────────────────────────────────────────────────────


def _parts(content: Any) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, list | tuple):
        return tuple(part for block in content for part in _block(block))
    return _block(content)


def _block(block: Any) -> tuple[Part, ...]:
    if isinstance(block, str):
        return (Part("text", block),)
    for name, read in BLOCKS.items():
        value = get(block, name)
        if value is not None:
            return read(value, block)
    return (Part("other", compact(block)),)


def _text(value: Any, block: Any) -> tuple[Part, ...]:
    if not isinstance(value, str):
        return (Part("other", compact(value)),)
    return (Part("reasoning" if get(block, "thought") is True else "text", value),)


def _thinking(value: Any, _: Any) -> tuple[Part, ...]:
    return tuple(Part("reasoning", part.text) for part in _parts(value))


def _inline(value: Any, _: Any) -> tuple[Part, ...]:
    mime = text_of(get(value, "mimeType", get(value, "mime_type")))
    return (_payload(media(get(value, "data"), mime=mime or "application/octet-stream")),)


def _remote(value: Any, _: Any) -> tuple[Part, ...]:
    mime = text_of(get(value, "mimeType", get(value, "mime_type")))
    return (_payload(Media(mime=mime, remote=True)),)


def _url(value: Any, _: Any) -> tuple[Part, ...]:
    return (Part("image", data=media(get(value, "url", value), get(value, "detail"))),)


def _payload(seen: Media) -> Part:
    kind = seen.mime.partition("/")[0]
    return Part(kind if kind in {"image", "audio", "video"} else "file", data=seen)


def _call(value: Any, _: Any) -> tuple[Part, ...]:
    found = (get(value, name) for name in ("input", "args", "arguments"))
    given: Any = next((one for one in found if one is not None), {})
    text = given if isinstance(given, str) else compact(given)
    tied = text_of(get(value, "id"))
    return (Part("call", text, text_of(get(value, "name")), tied),)


def _function_call(call: Any) -> Part:
    inner = get(call, "function")
    part = _call(call if inner is None else inner, None)[0]
    return Part("call", part.text, part.name, text_of(get(call, "id")))


def _result(value: Any, _: Any) -> tuple[Part, ...]:
    tied = text_of(get(value, "id"))
    name = text_of(get(value, "name"))
    response = get(value, "response")
    if response is not None:
        seen = (part for part in _parts(get(value, "parts")) if isinstance(part.data, Media))
        return (Part("result", compact(response), name, tied), *seen)
    inner = _parts(get(value, "content"))
    text = "\n".join(part.text for part in inner if part.text)
    return (Part("result", text, name, tied), *(part for part in inner if not part.text))


BLOCKS: dict[str, Callable[[Any, Any], tuple[Part, ...]]] = {
    "text": _text,
    "functionCall": _call,
    "function_call": _call,
    "functionResponse": _result,
    "function_response": _result,
    "inlineData": _inline,
    "inline_data": _inline,
    "fileData": _remote,
    "file_data": _remote,
    "image_url": _url,
    "thinking": _thinking,
    "uri": lambda _, block: _remote(block, block),
}


# ── the response ─────────────────────────────────────────────────────────────────────────────────

# Names of the numbers in the order in which they are looked for.
INPUTS = (
    *("promptTokenCount", "prompt_token_count", "prompt_tokens", "total_input_tokens"),
    *("prompt_eval_count", "inputTextTokenCount", "inputTokenCount"),
)
OUTPUTS = (
    *("candidatesTokenCount", "candidates_token_count", "completion_tokens", "output_tokens"),
    *("outputTokens", "eval_count", "generation_token_count", "total_output_tokens"),
)
READS = (
    *("cachedContentTokenCount", "cached_content_token_count", "cacheReadInputTokens"),
    *("cacheReadInputTokenCount", "cached_tokens", "total_cached_tokens"),
)
WRITES = ("cacheWriteInputTokens", "cacheWriteInputTokenCount")
THOUGHTS = ("thoughtsTokenCount", "thoughts_token_count", "reasoning_tokens")


def usage(response: Any) -> Usage:
    """Read what a response reports under any of the known names."""
    places = [get(response, "usageMetadata"), get(response, "usage_metadata")]
    places += [get(response, "usage"), response]
    found = [place for place in places if place is not None]
    found += [inner for place in places if (inner := get(place, "tokens")) is not None]
    read, written = _first(found, READS), _first(found, WRITES)
    total = _first(found, INPUTS)
    if total is None:
        fresh = _first(found, ("inputTokens", "input_tokens"))
        parted = any(get(place, "inputTokens") is not None for place in found)
        total = fresh if fresh is None or not parted else fresh + (read or 0) + (written or 0)
    if total is None:
        total = _first(found, ("totalTokens", "total_tokens"))
    return Usage(total, _first(found, OUTPUTS), read, written, _first(found, THOUGHTS))


def fold(running: Usage, chunk: Any) -> Usage:
    """Return the newest usage: these streams repeat the whole numbers, or send them last."""
    found = usage(get(chunk, "metadata", chunk))
    return running if found.input is None and found.output is None else found


def final(stream: Any) -> Usage | None:
    """Return None: no snapshot of these streams is known."""
    del stream
    return None
