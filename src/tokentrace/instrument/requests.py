"""From an SDK's own arguments to the body that is about to leave.

A reader returns a `Request`, or None for a call that is none of our business. It never consumes an
iterator that the SDK would not find again, and changes nothing but where it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from tokentrace.instrument.hooks import FLAVOURS, ROUTES, SILENT, Hook

ITERATOR_KEYS = ("messages", "system", "tools")
DEPTH = 64
NODES = 100_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request on its way out.

    Attributes:
        sdk: whose client sends it.
        api: of the route.
        body: the JSON about to be sent.
        provider: by the client's class, empty where the base URL decides.
        base_url: of the client.
        stream: whether a stream was asked for.
        replace: puts another body in its place.
        hush: keeps the SDK from opening a span of its own for this call.
    """

    sdk: str
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

    base_url = _base_url(client)
    stream = bool(kwargs.get("stream")) or merged.get("stream") is True
    flavour = _flavour(hook, client)
    return Request(hook.sdk, api, _plain(merged), flavour, base_url, stream, replace, hush)


READERS: dict[str, Callable[..., Request | None]] = {"stainless": stainless}


_urls: WeakKeyDictionary[Any, tuple[Any, str]] = WeakKeyDictionary()


def _base_url(client: Any) -> str:
    """Return the client's base URL as text; spelling one out is slow, so it is remembered."""
    url = getattr(client, "base_url", "")
    known = _urls.get(client)
    if known is None or known[0] is not url:
        known = _urls[client] = (url, str(url))
    return known[1]


def _flavour(hook: Hook, client: Any) -> str:
    name = type(client).__name__
    found = (provider for word, provider in FLAVOURS.items() if word in name)
    return next(found, "" if hook.sdk == "openai" else hook.sdk)


def _materialise(body: dict[str, Any]) -> None:
    """Read one-shot iterators ahead, in the SDK's own body: it would read them itself, later."""
    for key in ITERATOR_KEYS:
        value = body.get(key)
        if value is not None and hasattr(value, "__next__"):
            body[key] = value = ReadAhead(value).again()
        if key == "messages" and type(value) is list:
            body[key] = _contents(value)


def _contents(messages: list[Any]) -> list[Any]:
    """Read contents ahead that are one-shot iterators; the caller's own messages stay as they are."""
    found = {
        place: ReadAhead(message["content"]).again()
        for place, message in enumerate(messages)
        if type(message) is dict and hasattr(message.get("content"), "__next__")
    }
    if not found:
        return messages
    return [
        {**message, "content": found[place]} if place in found else message
        for place, message in enumerate(messages)
    ]


class ReadAhead:
    """The items of a one-shot iterator, and the error at its end: the caller's own, not ours."""

    def __init__(self, source: Iterator[Any]) -> None:
        self._items: list[Any] = []
        self._error: BaseException | None = None
        with self:
            self._items.extend(source)

    def __enter__(self) -> None:
        """Begin to read."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._error = error
        return isinstance(error, Exception)

    def again(self) -> Any:
        """Return the items as a list; where the source failed, an iterator that fails in its place."""
        return self._items if self._error is None else self._failing(self._error)

    def _failing(self, error: BaseException) -> Iterator[Any]:
        yield from self._items
        raise error


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


def _json(value: Any, depth: int = 0, left: list[int] | None = None) -> Any:
    """Return JSON data as the SDK will make it of a value, at most 64 deep and 100,000 nodes."""
    left = [NODES] if left is None else left
    left[0] -= 1
    if isinstance(value, str | bytes | bytearray | date):
        return _scalar(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", exclude_unset=True)
    if depth > DEPTH or left[0] < 0:
        return None
    if isinstance(value, Mapping):
        return {k: _json(v, depth + 1, left) for k, v in value.items() if not _is_sentinel(v)}
    if isinstance(value, Collection):
        return [_json(v, depth + 1, left) for v in value]
    return value


def _scalar(value: Any) -> Any:
    """Return a plain text of a text, which may be of the caller's own class, and of a date."""
    if isinstance(value, date):
        return value.isoformat()
    return str.__str__(value) if isinstance(value, str) else value
