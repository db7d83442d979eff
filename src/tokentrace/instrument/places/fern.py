"""``request(path, *, method, json, …)`` and ``stream(…)`` of the HTTP client that Fern generates for cohere."""

from __future__ import annotations

from typing import Any

from tokentrace.instrument.answers import read as answer
from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.places.stainless import materialise
from tokentrace.instrument.requests import Request, plain

PATHS = {"v2/chat": "cohere.chat", "v1/chat": "cohere.chat"}
ADDED = "additional_body_parameters"
# Modules of the SDK whose hooks rewrite each request for another provider; the host is theirs then.
REWRITERS = {"aws_client": "bedrock", "oci_client": "oci"}


def read(hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
    """Read the arguments; what the caller adds to the body by ``request_options`` counts too."""
    api = PATHS.get(str(kwargs.get("path") or (args[0] if args else "")))
    given, options = kwargs.get("json"), kwargs.get("request_options") or {}
    if api is None or not isinstance(given, dict):
        return None
    omit = kwargs.get("omit")
    body = {key: value for key, value in given.items() if omit is None or value is not omit}
    materialise(body)
    kwargs["json"] = body
    added = options.get(ADDED) or {}

    def replace(new: dict[str, Any]) -> None:
        kwargs["json"] = new
        if added:
            kwargs["request_options"] = {k: v for k, v in options.items() if k != ADDED}

    flavour = _rewritten(client)
    base_url = "" if flavour else str(kwargs.get("base_url") or client.base_url())
    return Request(
        hook.sdk, api, plain({**body, **added}, api), flavour or hook.sdk, base_url,
        body.get("stream") is True, replace, answer=answer,
    )  # fmt: skip


def _rewritten(client: Any) -> str:
    """Return the provider for which the client rewrites its requests, empty for cohere itself."""
    hooks = getattr(client.httpx_client, "event_hooks", {}).get("request", ())
    modules = (getattr(hook, "__module__", "").rpartition(".")[2] for hook in hooks)
    return next((REWRITERS[name] for name in modules if name in REWRITERS), "")
