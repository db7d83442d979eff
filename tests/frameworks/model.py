"""A model on loopback that calls the first tool it is given, once a user input, and then answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instrument.loopback import Answer, Sent, events, whole

TEXT = "It is cold."


def answer(sent: Sent) -> Answer:
    """Answer in the dialect of the path."""
    body = sent.body
    if "generateContent" in sent.path:
        return whole(_gemini(body))
    if sent.path.endswith("/responses"):
        return whole(_responses(body))
    said = _chat(body)
    return events(*_chunks(said)) if body.get("stream") else whole(said)


def _chunks(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield an answer as a stream: the message in one piece, its end, the usage."""
    (choice,), usage = said["choices"], said["usage"]
    message = dict(choice["message"])
    calls = message.get("tool_calls") or ()
    message["tool_calls"] = [{"index": at, **call} for at, call in enumerate(calls)] or None
    common = {key: said[key] for key in ("id", "created", "model")}
    common["object"] = "chat.completion.chunk"
    for delta, finish in ((message, None), ({}, choice["finish_reason"])):
        yield {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    yield {**common, "choices": [], "usage": usage}


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
    message: dict[str, Any] = {"role": "assistant", "content": TEXT}
    finish = "stop"
    if tools and body["messages"][-1]["role"] == "user":
        function = {"name": tools[0], "arguments": arguments(tools[0])}
        call = {"id": "call_1", "type": "function", "function": function}
        message |= {"content": None, "tool_calls": [call]}
        finish = "tool_calls"
    return {
        "id": "x", "object": "chat.completion", "created": 1, "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55},
    }  # fmt: skip


def _responses(body: dict[str, Any]) -> dict[str, Any]:
    tools = [tool["name"] for tool in body.get("tools") or ()]
    items = body["input"]
    asks = isinstance(items, str) or items[-1].get("role") == "user"
    text = {"type": "output_text", "text": TEXT, "annotations": []}
    item: dict[str, Any] = {
        "type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text],
    }  # fmt: skip
    if tools and asks:
        item = {
            "type": "function_call", "id": "f", "call_id": "call_1", "name": tools[0],
            "arguments": arguments(tools[0]), "status": "completed",
        }  # fmt: skip
    usage = {
        "input_tokens": 50, "output_tokens": 5, "total_tokens": 55,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    return {
        "id": "r", "object": "response", "created_at": 1, "model": body["model"], "status": "completed",
        "output": [item], "usage": usage, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip


def _gemini(body: dict[str, Any]) -> dict[str, Any]:
    tools = [one for tool in body.get("tools") or () for one in tool["functionDeclarations"]]
    part: dict[str, Any] = {"text": TEXT}
    if tools and "text" in body["contents"][-1]["parts"][0]:
        given = tools[0].get("parameters") or tools[0].get("parametersJsonSchema") or {}
        wanted = given.get("properties", {})
        part = {"functionCall": {"name": tools[0]["name"], "args": dict.fromkeys(wanted, "Oslo")}}
    return {
        "candidates": [
            {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {"promptTokenCount": 50, "candidatesTokenCount": 5, "totalTokenCount": 55},
    }


def arguments(tool: str) -> str:
    """Return arguments as JSON: an agent that is a tool takes an input, the others a city."""
    if tool == "handoff":
        return '{"to_agent": "writer", "reason": "It knows."}'
    return '{"input": "Oslo"}' if tool.startswith("ask_") else '{"city": "Oslo"}'


def weather(city: str) -> str:
    """Say the weather of a city."""
    return f"{city}: cold"


def places(captured: Any) -> list[tuple[str, str, int | None]]:
    """Return session, agent and turn of each call."""
    return [(call.session, call.agent, call.turn) for call in captured.calls]


def turn(session: str, number: int, *agents: str) -> list[tuple[str, str, int | None]]:
    """Return what `places` gives for the calls of one turn, whose agents these are."""
    return [(session, agent, number) for agent in agents]
