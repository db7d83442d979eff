"""One request on its way out, read from an SDK's own arguments by one of `places`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from tokentrace._failsafe import outcome_of
from tokentrace.counting.memory import recalled

DEPTH = 64
NODES = 100_000

Before = tuple[Any, list[Any], int]
JSON = frozenset({str, int, float, bool, dict, type(None)})
SENTINELS = frozenset({"NotGiven", "Omit"})


def nothing() -> None:
    """There is no span of the SDK's own."""


def same(answer: Any) -> Any:
    """Return an answer that the dialect can read as it is."""
    return answer


def read_already(answer: Any, follower: Any) -> bool:
    """Say that nothing of an answer is unread."""
    del answer, follower
    return False


class Request(NamedTuple):
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
        answer: makes of what the place gives back, or of a piece of its stream, what the dialect
            reads, or an `Answer` that holds it; the text of a stream is cut into its events before.
        follow: follows what is still unread in what the place gave back, for a `_shapes.Follower`;
            says whether there was something.
        ask: sends what `asking.taken` gives to the provider's own count call, through the same
            client; gives the answer, to be awaited where the client is async. None where the client
            has no such call.
    """

    sdk: str
    api: str
    body: Mapping[str, Any]
    provider: str
    base_url: str
    stream: bool
    replace: Callable[[dict[str, Any]], None]
    hush: Callable[[], None] = nothing
    answer: Callable[[Any], Any] = same
    follow: Callable[[Any, Any], bool] = read_already
    ask: Callable[[Mapping[str, Any]], Any] | None = None


@cache
def reader(name: str) -> Callable[..., Request | None]:
    """Return what reads the arguments at a kind of place."""
    read: Callable[..., Request | None] = import_module(f"{__package__}.places.{name}").read
    return read


def before(api: str, body: Mapping[str, Any]) -> Before:
    """Return what of a body's messages came before; an object that cannot be compared did not."""
    raw = body.get("messages")
    if type(raw) is not list:
        return raw, [], 0
    found, error = outcome_of(recalled, api, raw)
    return (raw, [], 0) if error is not None else (raw, *found)


def plain(body: Mapping[str, Any], api: str, known: Before | None = None) -> Mapping[str, Any]:
    """Return the body as JSON data where it still holds the SDK's model objects and sentinels.

    Messages that came before are the copies that were kept of them.

    Args:
        body: as the SDK is about to send it.
        api: of the route.
        known: what came before, where that was asked already.
    """
    messages: Any = body.get("messages")
    if known is None or known[0] is not messages:
        known = before(api, body)
    _, wire, same = known
    body = _given(body)
    if not same:
        return _jsoned(body, isinstance(messages, list) and any(map(_is_odd_message, messages)))
    fresh = messages[same:]
    kept = wire if same == len(wire) else wire[:same]
    whole = kept + fresh if fresh else kept
    return _jsoned({**body, "messages": whole}, any(map(_is_odd_message, fresh)))


def _given(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a body without the sentinels, of which an SDK may hold one for each setting not given."""
    gone = {kind for kind in set(map(type, body.values())) if kind.__name__ in SENTINELS}
    if not gone:
        return body
    return {key: value for key, value in body.items() if type(value) not in gone}


def _jsoned(body: Mapping[str, Any], told: bool) -> Mapping[str, Any]:
    """Return a body without what is no JSON; ``told`` says whether there is such in its messages."""
    odd = [
        key
        for key, value in body.items()
        if (kind := type(value)) not in JSON and (kind is not list or _is_odd_list(value))
    ]
    if told and "messages" not in odd:
        odd.append("messages")
    if not odd:
        return body
    plain = dict(body)
    values = [(key, plain.pop(key)) for key in odd]
    plain.update((key, _json(value)) for key, value in values)
    return plain


def _is_odd_list(value: list[Any]) -> bool:
    return bool(value) and type(value[0]) not in {dict, str, int}


def _is_odd_message(message: Any) -> bool:
    if type(message) is not dict:
        return True
    content = message.get("content")
    if type(content) is list:
        return any(type(part) is not dict and type(part) is not str for part in content)
    return type(content) is not str and content is not None


def _is_sentinel(value: Any) -> bool:
    return type(value).__name__ in SENTINELS


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
