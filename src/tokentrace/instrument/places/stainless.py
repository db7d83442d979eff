"""``request(cast_to, options, *, stream, stream_cls)`` of the clients of openai, anthropic, groq, together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from tokentrace.dialects._reading import get
from tokentrace.instrument.asking import COUNT_CALLS, SECONDS
from tokentrace.instrument.hooks import FLAVOURS, ROUTES, SILENT, Hook
from tokentrace.instrument.requests import Request, before, plain

ITERATOR_KEYS = ("messages", "system", "tools")
# Options of a call that its count call has too, and headers that are about the call's own answer.
KEPT = ("params", "headers", "security", "qualifiers")
OWN_HEADERS = frozenset({"x-stainless-raw-response", "accept", "idempotency-key"})
UNCOUNTED = frozenset({"bedrock"})  # their clients refuse to count


def read(hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
    """Read ``request(cast_to, options, *, stream, stream_cls)`` of openai and anthropic clients."""
    options: Any = kwargs.get("options") or (args[1] if len(args) > 1 else None)
    api = ROUTES.get(str(getattr(options, "url", "")).partition("?")[0])
    if api is None or api in SILENT or str(options.method).lower() != "post":
        return None
    body = options.json_data
    if not isinstance(body, dict):
        return None
    known = before(api, body)
    materialise(body, known[2])
    extra = options.extra_json
    merged = {**body, **extra} if isinstance(extra, Mapping) else body

    def replace(new: dict[str, Any]) -> None:
        options.json_data = new
        options.extra_json = None

    def hush() -> None:
        if get(options, "span_name"):
            options.span_name = None

    base_url = _base_url(client)
    stream = bool(kwargs.get("stream")) or merged.get("stream") is True
    flavour = _flavour(hook, client)
    return Request(
        hook.sdk,
        api,
        plain(merged, api, known),
        flavour,
        base_url,
        stream,
        replace,
        hush,
        ask=_count_call(client, options, api) if flavour not in UNCOUNTED else None,
    )


def _count_call(client: Any, options: Any, api: str) -> Callable[[Mapping[str, Any]], Any] | None:
    """Return what asks for a count through the client, with the call's own headers and query."""
    call = COUNT_CALLS.get(api)
    if call is None:
        return None
    query = "".join(str(options.url).partition("?")[1:])

    def ask(body: Mapping[str, Any]) -> Any:
        given = {name: getattr(options, name) for name in KEPT if hasattr(options, name)}
        headers = given.get("headers")
        if isinstance(headers, Mapping):
            given["headers"] = {k: v for k, v in headers.items() if k.lower() not in OWN_HEADERS}
        wanted = {"method": "post", "url": f"{call.at}{query}", "json_data": dict(body)}
        limits = {"timeout": SECONDS, "max_retries": 0}
        return client.request(object, type(options).construct(**given, **wanted, **limits))

    return ask


_urls: WeakKeyDictionary[Any, tuple[Any, str]] = WeakKeyDictionary()


def _base_url(client: Any) -> str:
    """Return the client's base URL as text; spelling one out is slow, so it is remembered."""
    url = getattr(client, "base_url", "")
    known = _urls.get(client)
    if known is None or known[0] is not url:
        known = _urls[client] = (url, str(url))
    return known[1]


def _flavour(hook: Hook, client: Any) -> str:
    return _served(hook.sdk, type(client).__name__)


@lru_cache(maxsize=64)
def _served(sdk: str, name: str) -> str:
    """Return who serves a client whose class has that name."""
    found = (provider for word, provider in FLAVOURS.items() if word in name)
    return next(found, "" if sdk == "openai" else sdk)


def materialise(body: dict[str, Any], known: int = 0) -> None:
    """Read one-shot iterators ahead, in the SDK's own body: it would read them itself, later.

    Args:
        body: to be sent.
        known: leading messages that hold none, as they were sent before.
    """
    for key in ITERATOR_KEYS:
        value = body.get(key)
        if value is None:
            continue
        if hasattr(value, "__next__"):
            body[key] = value = ReadAhead(value).again()
        if key == "messages" and type(value) is list and known < len(value):
            body[key] = _contents(value, known)


def _contents(messages: list[Any], known: int) -> list[Any]:
    """Read contents ahead that are one-shot iterators; the caller's own messages stay as they are."""
    found = {
        place: ReadAhead(message["content"]).again()
        for place, message in enumerate(messages[known:], known)
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
