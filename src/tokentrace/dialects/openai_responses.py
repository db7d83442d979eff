"""OpenAI's Responses API and its token count: instructions, items, stored context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    payload_size,
    picked,
    text_of,
)
from tokentrace.prompt import Media, Message, Part, Prompt, Usage

API = "openai.responses"
LOCAL_TOOLS = frozenset({"", "function", "custom", "namespace"})
STORED = ("previous_response_id", "conversation", "prompt")
SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "stream": "stream",
    "service_tier": "service_tier",
}
ASKS = frozenset({
    "function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call",
})  # fmt: skip
ENDINGS = frozenset({"response.completed", "response.incomplete", "response.failed"})


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body; ``instructions`` become the first message, with role ``system``."""
    body = fields(body) or {}
    read = messages(_conversation(body), message)
    text = get(body.get("text"), "format")
    form = text if get(text, "type") == "json_schema" else None
    return Prompt(
        api=API,
        model=text_of(body.get("model")),
        messages=read,
        tools=tuple(chat.tool_of(tool) for tool in items(body.get("tools"))),
        schema=chat.schema_of(form),
        tool_choice=chat.choice_of(body.get("tool_choice")),
        max_output=number(body.get("max_output_tokens")),
        settings=_settings(body),
        server=_server(body, read),
        stored=_stored(body),
        passing=_passing(body.get("instructions")),
        features=_features(body, text),
    )


def _conversation(body: Mapping[str, Any]) -> Any:
    raw = chat.conversation(body.get("input"))
    instructions = body.get("instructions")
    if isinstance(instructions, list | tuple):
        return [*instructions, *raw]
    if instructions:
        return [{"role": "system", "content": instructions}, *raw]
    return raw


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    found = picked(body, SETTINGS)
    effort = get(body.get("reasoning"), "effort")
    return {**found, "reasoning.level": effort} if isinstance(effort, str) else found


def _server(body: Mapping[str, Any], read: Any) -> tuple[str, ...]:
    """Name what the provider adds: stored context, templates, and what its own tools bring."""
    names = [name for name in STORED if body.get(name)]
    hosted = [one for one in items(body.get("tools")) if get(one, "execution") != "client"]
    kinds = [text_of(get(tool, "type")) for tool in hosted]
    names += [kind for kind in kinds if kind not in LOCAL_TOOLS]
    if any(part.name == "item_reference" for m in read for part in m.parts if part.kind == "other"):
        names.append("item_reference")
    return tuple(dict.fromkeys(names))


def _stored(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Name what the provider keeps, with the id by which it is called."""
    held = ((name, body.get(name)) for name in STORED)
    found = ((name, text_of(given) or _id(given)) for name, given in held)
    return tuple((name, known) for name, known in found if known)


def _id(given: Any) -> str:
    known, version = text_of(get(given, "id")), text_of(get(given, "version"))
    return f"{known}@{version}" if version else known


def _passing(instructions: Any) -> int:
    return len(instructions) if isinstance(instructions, list | tuple) else bool(instructions)


def _features(body: Mapping[str, Any], text: Any) -> frozenset[str]:
    found = set()
    if get(text, "type") == "json_object":
        found.add("json_object")
    if get(body.get("tool_choice"), "type") == "allowed_tools":
        found.add("allowed_tools")
    if body.get("context_management"):
        found.add("context_management")
    if body.get("truncation") == "auto":
        found.add("truncation")
    return frozenset(found)


# ── items ────────────────────────────────────────────────────────────────────────────────────────


def message(raw: Any) -> Message:
    """Read one input item; of any type, and of that item only."""
    held = raw if type(raw) is dict else fields(raw)
    if held is None:
        return chat.message(raw)
    kind = held.get("type")
    read = ITEMS.get(kind) if isinstance(kind, str) else None
    if read is not None:
        return read(held)
    if (kind is None or kind == "message") and ("role" in held or "content" in held):
        return _message(held)
    return _other(held)


def _message(held: Mapping[str, Any]) -> Message:
    content = held.get("content")
    parts = (Part("text", content),) if type(content) is str else chat.content_of(content)
    return Message(text_of(held.get("role")) or "user", parts)


def _call(held: Mapping[str, Any]) -> Message:
    """Read a call. ``data`` tells items as the server sent them: ``id``, or ``full`` with status."""
    given = held.get("arguments", held.get("input"))
    text = given if isinstance(given, str) else "" if given is None else compact(given)
    data = "custom" if held.get("type") == "custom_tool_call" else ""
    if held.get("id") and not data:
        data = "full" if held.get("status") else "id"
    name = text_of(held.get("name"))
    if text_of(held.get("namespace")):
        name = f"{held.get('namespace')}.{name}"
    return Message("assistant", (Part("call", text, name, text_of(held.get("call_id")), data),))


def _result(held: Mapping[str, Any]) -> Message:
    parts = chat.content_of(held.get("output"))
    text = "".join(part.text for part in parts if part.kind == "text")
    rest = tuple(part for part in parts if part.kind != "text")
    result = Part("result", text, id=text_of(held.get("call_id")), data=held.get("type"))
    return Message("tool", (result, *rest))


def _reasoning(held: Mapping[str, Any]) -> Message:
    """Read a reasoning item: what is shown of it, and the size of what is sealed."""
    shown = [*items(held.get("summary")), *items(held.get("content"))]
    text = "".join(text_of(get(one, "text")) for one in shown)
    sealed = text_of(held.get("encrypted_content"))
    seen = Media(size=payload_size(sealed), remote=not sealed)
    return Message("assistant", (Part("reasoning", text, id=text_of(held.get("id")), data=seen),))


def _compaction(held: Mapping[str, Any]) -> Message:
    seen = Media(size=payload_size(text_of(held.get("encrypted_content"))), remote=True)
    return Message("assistant", (Part("reasoning", name="compaction", data=seen),))


def _reference(held: Mapping[str, Any]) -> Message:
    return Message("", (Part("other", name="item_reference", id=text_of(held.get("id"))),))


def _server_call(held: Mapping[str, Any]) -> Message:
    """Read a call of the provider's own tools: what it asked, and what came back with it."""
    given = next((held[name] for name in ASKED if held.get(name) is not None), "")
    text = given if isinstance(given, str) else compact(given)
    kind = text_of(held.get("type"))
    name = text_of(held.get("name")) or kind.removesuffix("_call")
    parts = [Part("call", text, name, text_of(held.get("call_id")), data="server")]
    back = next((held[name] for name in ANSWERED if held.get(name) is not None), None)
    if back is not None:
        answer = back if isinstance(back, str) else compact(back)
        parts.append(Part("result", answer, name, data="server"))
    return Message("assistant", tuple(parts))


def _server_output(held: Mapping[str, Any]) -> Message:
    output = held.get("output", held.get("result"))
    if isinstance(output, str | list | tuple):
        return _result({**held, "output": output})
    part = chat.part_of(output) if text_of(get(output, "type")) in chat.PARTS else None
    result = Part("result", "" if part else compact(output), id=text_of(held.get("call_id")))
    return Message("tool", (result, part) if part else (result,))


def _drawn(held: Mapping[str, Any]) -> Message:
    data = held.get("result")
    seen = Media(size=payload_size(data), mime="image/png") if isinstance(data, str) else Media()
    return Message("assistant", (Part("image", data=replace(seen, remote=not seen.size)),))


def _more_tools(held: Mapping[str, Any]) -> Message:
    """Read definitions that come late: found by a search, listed by a server, or added."""
    role = text_of(held.get("role")) or "tool"
    tools = tuple(chat.tool_of(tool) for tool in items(held.get("tools")))
    return Message(role, tools)


def _other(held: Mapping[str, Any]) -> Message:
    return Message("assistant", (Part("other", compact(held), name=text_of(held.get("type"))),))


ASKED = ("arguments", "action", "operation", "code", "queries", "input")
ANSWERED = ("output", "outputs", "results", "error")
ITEMS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "function_call": _call,
    "custom_tool_call": _call,
    "function_call_output": _result,
    "custom_tool_call_output": _result,
    "reasoning": _reasoning,
    "compaction": _compaction,
    "item_reference": _reference,
    "web_search_call": _server_call,
    "file_search_call": _server_call,
    "code_interpreter_call": _server_call,
    "computer_call": _server_call,
    "local_shell_call": _server_call,
    "shell_call": _server_call,
    "apply_patch_call": _server_call,
    "mcp_call": _server_call,
    "mcp_approval_request": _server_call,
    "tool_search_call": _server_call,
    "computer_call_output": _server_output,
    "local_shell_call_output": _server_output,
    "shell_call_output": _server_output,
    "apply_patch_call_output": _server_output,
    "image_generation_call": _drawn,
    "mcp_list_tools": _more_tools,
    "tool_search_output": _more_tools,
    "additional_tools": _more_tools,
}


# ── the response ─────────────────────────────────────────────────────────────────────────────────


def usage(response: Any) -> Usage:
    """Read a whole response, or a token count's answer."""
    reported = get(response, "usage")
    if reported is None:
        return Usage(input=number(get(response, "input_tokens")))
    return _named(chat.numbers(reported, Usage()), response)


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one event: ids come first, numbers with the last event."""
    response = get(chunk, "response")
    if response is None:
        return usage
    if text_of(get(chunk, "type")) in ENDINGS or get(response, "usage") is not None:
        usage = chat.numbers(get(response, "usage"), usage)
        return _named(usage, response)
    return replace(
        usage,
        response_id=text_of(get(response, "id")) or usage.response_id,
        response_model=text_of(get(response, "model")) or usage.response_model,
    )


def final(stream: Any) -> Usage | None:
    """Return the usage of a stream helper's completed response, without consuming the stream."""
    found = usage(get(get(stream, "_state"), "_completed_response"))
    return chat.told(found)


def _named(usage: Usage, response: Any) -> Usage:
    """Add ids and the reason of the end: what cut it short, that it asks for tools, or its status."""
    reason = text_of(get(get(response, "incomplete_details"), "reason"))
    if not reason and any(
        text_of(get(one, "type")) in ASKS for one in items(get(response, "output"))
    ):
        reason = TOOL_CALLS
    reason = reason or text_of(get(response, "status"))
    return replace(
        usage,
        response_id=text_of(get(response, "id")) or usage.response_id,
        response_model=text_of(get(response, "model")) or usage.response_model,
        finish_reasons=(reason,) if reason else usage.finish_reasons,
        tier=text_of(get(response, "service_tier")) or usage.tier,
    )
