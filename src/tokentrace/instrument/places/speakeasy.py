"""``do_request(hook_ctx, request, …, stream)`` of clients that Speakeasy generates: an HTTP request, built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from tokentrace._failsafe import attempt
from tokentrace._shapes.text import decoded
from tokentrace.instrument.answers import read as answer
from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.requests import Request

# How the path ends that a client posts to, by SDK: conversations of Mistral's are none of ours.
ROUTES = {
    "mistralai": {
        "/v1/chat/completions": "mistral.chat",
        "/v1/agents/completions": "mistral.chat",
        "/v1/fim/completions": "openai.completions",
    },
    "google-genai": {"/interactions": "gemini.interactions"},
}
ASKED = "_telemetry_auto_disabled"  # kept by generations that trace only when they are asked to
PROVIDERS = {"mistralai": "mistral", "google-genai": "gemini"}


def read(hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
    """Read the HTTP request, whose body is JSON text already."""
    del client
    request: Any = kwargs.get("request") or (args[1] if len(args) > 1 else None)
    url = request.url
    routes = ROUTES[hook.sdk].items()
    api = next((api for end, api in routes if url.path.endswith(end)), None)
    if api is None or request.method != "POST":
        return None
    body = decoded(request.content)
    if not isinstance(body, dict):
        return None

    def replace(new: dict[str, Any]) -> None:
        _send(request, new)

    base_url = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
    stream = bool(kwargs.get("stream")) or body.get("stream") is True
    provider = PROVIDERS[hook.sdk]

    def hush() -> None:
        _hushed.add(request)

    return Request(hook.sdk, api, body, provider, base_url, stream, replace, hush, answer)


def _send(request: Any, body: dict[str, Any]) -> None:
    """Put another body into a request of httpx's, as its constructor does.

    A lone surrogate is no UTF-8: as the SDK does, it is written as an escape.
    """
    from json import dumps

    text = dumps(body, ensure_ascii=False, separators=(",", ":"))
    content = text.encode("utf-8", "backslashreplace")
    headers = [
        (key, value) for key, value in request.headers.raw if key.lower() != b"content-length"
    ]
    new = type(request)(
        request.method, request.url, headers=headers, content=content, extensions=request.extensions
    )
    vars(request).update(vars(new))


# ── Mistral's own span ───────────────────────────────────────────────────────────────────────────

_hushed: WeakSet[Any] = WeakSet()


def hushed(_hook: Hook) -> Callable[..., Any]:
    """Return a wrapper for Mistral's ``before_request(context, request)``, which starts its span."""

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if attempt(_is_hushed, instance, args, default=False):
            return args[1]
        return wrapped(*args, **kwargs)

    return wrapper


def _is_hushed(instance: Any, args: Any) -> bool:
    """Whether a call has our span, and nobody has asked for the SDK's: older ones start it unasked."""
    asked = hasattr(instance, ASKED) or getattr(instance, "tracer_provider", None) is not None
    return len(args) > 1 and args[1] in _hushed and not asked
