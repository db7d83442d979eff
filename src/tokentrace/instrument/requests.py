"""From an SDK's own arguments to the body that is about to leave.

A reader returns a `Request`, or None for a call that is none of our business. It never consumes an
iterator that the SDK would not find again, and changes nothing but where it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from tokentrace.instrument.hooks import FLAVOURS, ROUTES, SILENT, Hook

ITERATOR_KEYS = ("messages", "system", "tools")


@dataclass(frozen=True, slots=True)
class Request:
    """One request on its way out.

    Attributes:
        api: of the route.
        body: the JSON about to be sent.
        provider: by the client's class, empty where the base URL decides.
        base_url: of the client.
        stream: whether a stream was asked for.
        replace: puts another body in its place.
        hush: keeps the SDK from opening a span of its own for this call.
    """

    api: str
    body: Mapping[str, Any]
    provider: str
    base_url: str
    stream: bool
    replace: Callable[[dict[str, Any]], None]
    hush: Callable[[], None]


def stainless(
    hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Request | None:
    """Read ``request(cast_to, options, *, stream, stream_cls)`` of openai and anthropic clients."""
    options: Any = kwargs.get("options") or (args[1] if len(args) > 1 else None)
    api = ROUTES.get(str(getattr(options, "url", "")).partition("?")[0])
    if api is None or api in SILENT or str(options.method).lower() != "post":
        return None
    body = options.json_data
    if not isinstance(body, dict):
        return None
    _materialise(body)
    extra = options.extra_json
    merged = {**body, **extra} if isinstance(extra, Mapping) else body

    def replace(new: dict[str, Any]) -> None:
        options.json_data = new
        options.extra_json = None

    def hush() -> None:
        if getattr(options, "span_name", None):
            options.span_name = None

    base_url = str(getattr(client, "base_url", ""))
    stream = bool(kwargs.get("stream")) or merged.get("stream") is True
    return Request(api, _plain(merged), _flavour(hook, client), base_url, stream, replace, hush)


READERS: dict[str, Callable[..., Request | None]] = {"stainless": stainless}


def _flavour(hook: Hook, client: Any) -> str:
    name = type(client).__name__
    found = (provider for word, provider in FLAVOURS.items() if word in name)
    return next(found, "" if hook.sdk == "openai" else hook.sdk)


def _materialise(body: dict[str, Any]) -> None:
    """Turn one-shot iterators into lists in the SDK's own body: it would do so itself, later."""
    for key in ITERATOR_KEYS:
        value = body.get(key)
        if value is not None and hasattr(value, "__next__"):
            body[key] = list(value)


def _plain(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body as JSON data where it still holds the SDK's model objects and sentinels."""
    messages = body.get("messages")
    odd = {key: value for key, value in body.items() if _is_odd(value)}
    if isinstance(messages, list) and any(map(_is_odd_message, messages)):
        odd["messages"] = messages
    if not odd:
        return body
    plain = {key: value for key, value in body.items() if key not in odd}
    return {**plain, **{key: _json(value) for key, value in odd.items() if not _is_sentinel(value)}}


def _is_odd(value: Any) -> bool:
    kind = type(value)
    if kind in {str, int, float, bool, list, dict, type(None)}:
        return kind is list and bool(value) and type(value[0]) not in {dict, str, int}
    return True


def _is_odd_message(message: Any) -> bool:
    if type(message) is not dict:
        return True
    content = message.get("content")
    if type(content) is list:
        return any(type(part) is not dict and type(part) is not str for part in content)
    return type(content) is not str and content is not None


def _is_sentinel(value: Any) -> bool:
    return type(value).__name__ in {"NotGiven", "Omit"}


def _json(value: Any, depth: int = 0) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", exclude_unset=True)
    if depth < 64 and isinstance(value, Mapping):
        return {k: _json(v, depth + 1) for k, v in value.items() if not _is_sentinel(v)}
    if (
        depth < 64
        and isinstance(value, Sequence | AbstractSet)
        and not isinstance(value, str | bytes)
    ):
        return [_json(v, depth + 1) for v in value]
    return value
