"""``BaseApi.call(model, input, task_group, task, …)`` of dashscope: text and multimodal generation."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tokentrace.dialects._reading import get
from tokentrace.instrument.answers import Answer
from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.requests import Request, plain

TASKS = {"text-generation", "multimodal-generation"}
# Parameters that stand beside the input, under the names that they have in OpenAI's form too.
PARAMETERS = (
    "tools", "tool_choice", "response_format", "max_tokens", "temperature", "top_p", "top_k",
    "seed", "stop", "stream", "n",
)  # fmt: skip
API, GOOD = "openai.chat", 200


def read(hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
    """Read the arguments, which dashscope gives by name; a prompt is one message of the user."""
    del client, args
    given = kwargs.get("input")
    if kwargs.get("task") not in TASKS or not isinstance(given, Mapping) or "history" in given:
        return None
    settings = {key: kwargs[key] for key in PARAMETERS if kwargs.get(key) is not None}
    body = {"model": kwargs.get("model"), "messages": _messages(given), **settings}

    def replace(new: dict[str, Any]) -> None:
        for key in PARAMETERS:
            if new.get(key) is not body.get(key):
                kwargs[key] = new.get(key)
        kwargs["model"] = new.get("model", body["model"])
        kwargs["input"] = _input(given, new.get("messages"))

    home = getattr(sys.modules.get("dashscope"), "base_http_api_url", "")
    return Request(
        hook.sdk,
        API,
        plain(body, API),
        hook.sdk,
        str(kwargs.get("base_address") or home),
        kwargs.get("stream") is True,
        replace,
        answer=answer,
    )


def _messages(given: Mapping[str, Any]) -> Any:
    if "messages" in given:
        return given["messages"]
    return [{"role": "user", "content": given.get("prompt")}]


def _input(given: Mapping[str, Any], messages: Any) -> dict[str, Any]:
    """Return an input with other messages; a single text stays a prompt where it was one."""
    if "messages" in given:
        return {**given, "messages": messages}
    rest = {key: value for key, value in given.items() if key != "prompt"}
    if isinstance(messages, list) and len(messages) == 1 and get(messages[0], "role") == "user":
        return {"prompt": get(messages[0], "content"), **rest}
    return {"messages": messages, **rest}


def answer(value: Any) -> Answer:
    """Return what is in an answer or in one item of a stream; a refusal is no error, but an answer."""
    status, output = get(value, "status_code"), get(value, "output")
    refused = status is not None and status != GOOD
    body = {
        "usage": get(value, "usage"),
        "id": get(value, "request_id"),
        "choices": get(output, "choices"),
        "error": {"code": get(value, "code"), "message": get(value, "message")}
        if refused
        else None,
    }
    return Answer(body, status, str(get(value, "code") or status) if refused else "")
