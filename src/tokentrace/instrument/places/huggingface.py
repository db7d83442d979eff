"""``_inner_post(request_parameters, *, stream)`` of huggingface_hub's inference clients: chats of all tasks."""

from __future__ import annotations

from typing import Any

from tokentrace.instrument.answers import read as answer
from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.requests import Request, plain

API, ROUTE = "openai.chat", "/chat/completions"


def read(hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
    """Read the arguments; the parameters are the client's own, made for this one call."""
    del client
    parameters: Any = args[0] if args else kwargs.get("request_parameters")
    url, body = str(parameters.url), parameters.json
    if not url.endswith(ROUTE) or not isinstance(body, dict):
        return None

    def replace(new: dict[str, Any]) -> None:
        parameters.json = new

    return Request(
        hook.sdk,
        API,
        plain(body, API),
        "",
        url.removesuffix(ROUTE),
        kwargs.get("stream") is True,
        replace,
        answer=answer,
    )
