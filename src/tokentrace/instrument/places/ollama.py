"""``_request(cls, method, path, *, json, stream)`` of ollama's clients, its module's functions included."""

from __future__ import annotations

from typing import Any

from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.requests import Request

APIS = {"/api/chat": "ollama.chat", "/api/generate": "ollama.generate"}


def read(hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
    """Read the arguments; ``json`` is the body as it goes onto the wire."""
    path, body = args[2] if len(args) > 2 else None, kwargs.get("json")
    api = APIS.get(path) if isinstance(path, str) else None
    if api is None or not isinstance(body, dict):
        return None

    def replace(new: dict[str, Any]) -> None:
        kwargs["json"] = new

    base_url = str(getattr(client._client, "base_url", ""))  # noqa: SLF001 - it has no other place
    return Request(hook.sdk, api, body, hook.sdk, base_url, kwargs.get("stream") is True, replace)
