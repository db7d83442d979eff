"""OpenAI's Chat Completions API, and the many hosts that speak it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tokentrace.dialects import _documents as documents
from tokentrace.dialects._reading import (
    Walk,
    compact,
    each,
    fields,
    get,
    items,
    media,
    number,
    picked,
    text_of,
)
from tokentrace.prompt import Media, Message, Part, Prompt, Usage

API = "openai.chat"
NOTHING = Usage()
RESULTS = frozenset({"tool", "function"})
SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "n": "choice.count",
    "stop": "stop_sequences",
    "stream": "stream",
    "service_tier": "service_tier",
    "reasoning_effort": "reasoning.level",
}


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body; what is unknown becomes a part of kind ``other``, never an error."""
    body = fields(body) or {}
    features, server = _facts(body)
    cap = number(body.get("max_completion_tokens"))
    return Prompt(
        api=API,
        model=text_of(body.get("model")),
        messages=messages(conversation(body.get("messages")), message),
        tools=tuple(_tools(body)),
        schema=schema_of(get(body.get("response_format"), "json_schema")),
        tool_choice=choice_of(body.get("tool_choice", body.get("function_call"))),
        max_output=number(body.get("max_tokens")) if cap is None else cap,
        settings=picked(body, SETTINGS),
        server=server,
        features=features,
    )


def conversation(raw: Any) -> Any:
    """Return a list of messages; a lone text or message stands for a list of one."""
    if isinstance(raw, list | tuple):
        return raw
    if isinstance(raw, str):
        return [{"role": "user", "content": raw}]
    return [] if fields(raw) is None else [raw]


def _tools(body: Mapping[str, Any]) -> list[Part]:
    found = [tool_of(tool) for tool in items(body.get("tools"))]
    return found + [tool_of(function) for function in items(body.get("functions"))]


def tool_of(tool: Any) -> Part:
    """Read a definition: ``{"type": "function", "function": {…}}``, a bare function, or others."""
    kind = text_of(get(tool, "type"))
    inner = get(tool, kind) if kind in {"function", "custom"} else None
    name = text_of(get(inner, "name")) or text_of(get(tool, "name"))
    server = text_of(get(tool, "server_label")) if kind == "mcp" else ""
    return Part("tool", name=name or (f"mcp__{server}" if server else kind), data=tool)


def schema_of(schema: Any) -> Part | None:
    """Read the response schema of ``response_format`` or ``text.format``."""
    if fields(schema) is None:
        return None
    return Part("schema", name=text_of(get(schema, "name")), data=schema)


def choice_of(choice: Any) -> str:
    """Return ``auto``, ``none``, ``required``, or ``name:`` and the tool that is asked for."""
    if choice is None:
        return ""
    if isinstance(choice, str):
        return choice if choice in {"auto", "none", "required"} else ""
    kind = text_of(get(choice, "type"))
    if kind == "allowed_tools":
        inner = get(choice, "allowed_tools", choice)
        return choice_of(get(inner, "mode"))
    name = text_of(get(get(choice, kind or "function"), "name")) or text_of(get(choice, "name"))
    if name or kind:
        return f"name:{name or kind}"
    return ""


def _facts(body: Mapping[str, Any]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return features that a rule needs, and what the provider adds to the prompt."""
    found, server = set(), []
    if get(body.get("response_format"), "type") == "json_object":
        found.add("json_object")
    if get(body.get("tool_choice"), "type") == "allowed_tools":
        found.add("allowed_tools")
    if body.get("functions"):
        found.add("functions")
    if body.get("prediction"):
        found.add("prediction")
    if body.get("audio") or "audio" in items(body.get("modalities")):
        found.add("audio_out")
    if body.get("web_search_options") is not None:
        server.append("web_search")
    if body.get("plugins"):
        server.append("plugins")
    return frozenset(found), tuple(server)


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


def message(raw: Any) -> Message:
    """Read one message; of any type, and of that message only."""
    held = raw if type(raw) is dict else fields(raw)
    if held is None:
        return _odd(raw)
    role = text_of(held.get("role"))
    content = held.get("content")
    if role in RESULTS:
        return Message("tool", _result(held, role, content))
    parts = (Part("text", content),) if type(content) is str else content_of(content)
    if role != "user" and (len(held) > 2 or content is None):
        parts = (*_reasoning(held), *parts, *_spoken(held), *_calls(held))
    return Message(role or "user", parts, text_of(held["name"]) if "name" in held else "")


def _odd(raw: Any) -> Message:
    if isinstance(raw, str):
        return Message("user", (Part("text", raw),))
    return Message("user", (Part("other", compact(raw)),))


def _result(held: Mapping[str, Any], role: str, content: Any) -> tuple[Part, ...]:
    parts = content_of(content)
    text = "".join(part.text for part in parts if part.kind == "text")
    rest = tuple(part for part in parts if part.kind != "text")
    name, call = text_of(held.get("name")), text_of(held.get("tool_call_id"))
    return (Part("result", text, name, call, data=role), *rest)


def _reasoning(held: Mapping[str, Any]) -> tuple[Part, ...]:
    """Read the reasoning that compatible hosts put beside the content; OpenAI's has none."""
    for name in ("reasoning_content", "reasoning"):
        if text_of(held.get(name)):
            return (Part("reasoning", text_of(held.get(name))),)
    if items(held.get("reasoning_details")):
        texts = [text_of(get(one, "text")) for one in items(held.get("reasoning_details"))]
        return (Part("reasoning", "".join(texts)),)
    return ()


def _spoken(held: Mapping[str, Any]) -> tuple[Part, ...]:
    """Read a refusal, and the sound of an earlier answer that is only an id."""
    refusal, audio = text_of(held.get("refusal")), held.get("audio")
    parts = (Part("text", refusal, name="refusal"),) if refusal else ()
    if fields(audio) is None:
        return parts
    return (*parts, Part("audio", id=text_of(get(audio, "id")), data=Media(remote=True)))


def _calls(held: Mapping[str, Any]) -> list[Part]:
    found = [_call(call) for call in items(held.get("tool_calls"))]
    if fields(held.get("function_call")) is not None:
        found.append(_call({"function": held.get("function_call")}))
    return found


def _call(call: Any) -> Part:
    """Read a call; the arguments stay the text that they are on the wire."""
    inner = get(call, "custom") or get(call, "function")
    given = get(inner, "input") if get(call, "custom") else get(inner, "arguments")
    text = given if isinstance(given, str) else "" if given is None else compact(given)
    kind = "custom" if get(call, "custom") else ""
    return Part("call", text, text_of(get(inner, "name")), text_of(get(call, "id")), data=kind)


# ── content parts ────────────────────────────────────────────────────────────────────────────────


def content_of(content: Any) -> tuple[Part, ...]:
    """Read a message's content: a text, a list of parts, one part, nothing, or anything else."""
    if isinstance(content, str):
        return (Part("text", content),)
    if content is None:
        return ()
    if isinstance(content, list | tuple):
        return tuple(part_of(one) for one in content)
    return (part_of(content),)


def part_of(raw: Any) -> Part:
    """Read one content part of the chat or the responses form."""
    if isinstance(raw, str):
        return Part("text", raw)
    kind = get(raw, "type")
    read = PARTS.get(kind) if isinstance(kind, str) else None
    if read is not None:
        return read(raw)
    text = get(raw, "text") if fields(raw) is not None and kind is None else None
    return Part("text", text) if isinstance(text, str) else Part("other", compact(raw))


def _text(raw: Any) -> Part:
    text = get(raw, "text")
    return Part("text", text) if isinstance(text, str) else Part("other", compact(raw))


def _refusal(raw: Any) -> Part:
    return Part("text", text_of(get(raw, "refusal")), name="refusal")


def _image(raw: Any) -> Part:
    url, detail = get(raw, "image_url"), get(raw, "detail")
    if not isinstance(url, str):
        url, detail = get(url, "url"), get(url, "detail") or detail
    return Part("image", id=text_of(get(raw, "file_id")), data=media(url, detail))


def _audio(raw: Any) -> Part:
    sound = get(raw, "input_audio")
    mime = f"audio/{text_of(get(sound, 'format')) or 'wav'}"
    return Part("audio", data=media(get(sound, "data"), mime=mime))


def _video(raw: Any) -> Part:
    url = get(raw, "video_url")
    return Part("video", data=media(url if isinstance(url, str) else get(url, "url")))


def _file(raw: Any) -> Part:
    """Read a file, with its text: chat puts it under ``file``, responses beside ``type``."""
    held = get(raw, "file", raw)
    name, data = text_of(get(held, "filename")), get(held, "file_data")
    mime = "application/pdf" if name.lower().endswith(".pdf") else "application/octet-stream"
    seen = media(data or get(held, "file_url"), mime=mime if data else "")
    text = documents.text(data, name) if isinstance(data, str) else ""
    return Part("file", text, name, text_of(get(held, "file_id")), seen)


def _thought(raw: Any) -> Part:
    """Read a thinking part, as hosts of reasoning models send it back."""
    inner = get(raw, "thinking", get(raw, "text"))
    if isinstance(inner, str):
        return Part("reasoning", inner)
    return Part("reasoning", "".join(text_of(get(one, "text")) for one in items(inner)))


PARTS: dict[str, Callable[[Any], Part]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "summary_text": _text,
    "reasoning_text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_image": _image,
    "computer_screenshot": _image,
    "input_audio": _audio,
    "video_url": _video,
    "file": _file,
    "input_file": _file,
    "thinking": _thought,
    "reasoning": _thought,
}


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read a whole completion (or its usage); an odd shape gives what can be read of it."""
    return _named(numbers(get(response, "usage"), NOTHING), response)


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one chunk; the numbers come with the last one, if at all."""
    chunk = unwrapped(chunk)
    reported = get(chunk, "usage")
    if reported is None:
        reported = get(get(chunk, "x_groq"), "usage")
    return _named(numbers(reported, usage), chunk)


def final(stream: Any) -> Usage | None:
    """Return the usage of a stream helper's own snapshot, without consuming the stream."""
    try:  # the SDK asserts that a first chunk has come
        snapshot = get(get(stream, "_state", stream), "current_completion_snapshot")
    except (AssertionError, RuntimeError):
        return None
    return told(usage(snapshot))


def told(usage: Usage) -> Usage | None:
    """Return the usage where it says a number, else None."""
    return None if usage.input is None and usage.output is None else usage


def unwrapped(chunk: Any) -> Any:
    """Return the chunk that a stream helper's event carries, or the chunk itself."""
    return get(chunk, "chunk") if get(chunk, "type") == "chunk" else chunk


def numbers(reported: Any, before: Usage) -> Usage:
    """Return ``before`` with the numbers of a usage object of the chat or the responses form."""
    if reported is None:
        return before
    took = _either(reported, "prompt_tokens", "input_tokens")
    gave = _either(reported, "completion_tokens", "output_tokens")
    into = get(reported, "prompt_tokens_details") or get(reported, "input_tokens_details")
    out = get(reported, "completion_tokens_details") or get(reported, "output_tokens_details")
    thought = number(get(out, "reasoning_tokens"))
    if thought and gave is not None and took is not None:
        # xAI counts thoughts beside the answer, all others inside it: the total tells.
        apart = number(get(reported, "total_tokens")) == took + gave + thought
        gave += thought if apart else 0
    return Usage(
        before.input if took is None else took,
        before.output if gave is None else gave,
        _kept(number(get(into, "cached_tokens")), before.cache_read),
        _kept(number(get(into, "cache_write_tokens")), before.cache_write),
        _kept(thought, before.reasoning),
        before.response_id,
        before.response_model,
        before.finish_reasons,
        before.cache_write_long,
        before.tier,
    )


def _either(reported: Any, name: str, other: str) -> int | None:
    found = number(get(reported, name))
    return number(get(reported, other)) if found is None else found


def _kept(found: int | None, before: int | None) -> int | None:
    return before if found is None else found


def _named(usage: Usage, response: Any) -> Usage:
    """Add ids and finish reasons; a stream's reasons come one choice after another."""
    found = [get(choice, "finish_reason") for choice in items(get(response, "choices"))]
    reasons = tuple([reason for reason in found if isinstance(reason, str) and reason])
    name, model = text_of(get(response, "id")), text_of(get(response, "model"))
    tier = text_of(get(response, "service_tier"))
    known = (usage.response_id, usage.response_model, usage.tier)
    if not reasons and (name, model, tier) == known:
        return usage
    return Usage(
        usage.input,
        usage.output,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
        name or usage.response_id,
        model or usage.response_model,
        (*usage.finish_reasons, *reasons),
        usage.cache_write_long,
        tier or usage.tier,
    )
