"""What was counted last turn: messages that came again are neither read nor counted again.

A snapshot keeps copies of a request's messages (the caller may edit his own in place), the read
messages, and the running sum of their tallies. It lies in the one bounded store, so the oldest
conversations are forgotten first; a forgotten one costs time, never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokentrace.counting.store import STORE
from tokentrace.counting.tally import Tally
from tokentrace.dialects import each
from tokentrace.prompt import Message

DEPTH = 64
NODES = 100_000  # of one message: what holds itself twice has no end
BYTES_A_MESSAGE = 600
LARGEST_SHARE = 2**23


class Odd:
    """Stands for a value that is no JSON: equal to nothing, so it is always read again."""


@dataclass(slots=True, eq=False)
class Snapshot:
    """The messages of one request.

    Attributes:
        raw: copies of the messages as on the wire.
        messages: the same, read.
        size: bytes of their text, about.
        sums: running sums over all of ``messages``, by the counter's key.
        same: how many leading messages were those of the snapshot before.
        before: that snapshot's sums.
        kept: what else is known of these very messages, by whoever looked at them.
        behind: the same of the snapshot before, where these messages only go on from it.
    """

    raw: list[Any]
    messages: list[Message]
    size: int
    sums: dict[Any, Tally] = field(default_factory=dict)
    same: int = 0
    before: dict[Any, Tally] = field(default_factory=dict)
    kept: dict[Any, Any] = field(default_factory=dict)
    behind: dict[Any, Any] = field(default_factory=dict)


class Walker:
    """Walks the message list of one request; a dialect calls it with the list and its reader."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.snapshot: Snapshot | None = None

    def __call__(self, raw: Any, read: Callable[[Any], Message]) -> Sequence[Message]:
        """Return the messages, those of the last request where they are the same."""
        if type(raw) is not list or not raw:
            return each(raw, read)
        # The reader with them: of one api some bodies are read as Anthropic's, others as Nova's.
        reader = (getattr(read, "__module__", ""), getattr(read, "__qualname__", ""))
        key = ("messages", self.api, *reader, *_fingerprint(raw))
        last: Snapshot | None = STORE.get(key)
        snapshot = _first(raw, read) if last is None else _next(raw, read, last)
        if snapshot.size < LARGEST_SHARE:
            STORE.put(key, snapshot, snapshot.size)
        self.snapshot = snapshot
        return snapshot.messages


def _fingerprint(raw: list[Any]) -> tuple[int, ...]:
    """Tell conversations apart by their first two messages that are not the system's."""
    own = [m for m in raw[:4] if type(m) is dict and not _is_system(m.get("role"))]
    return tuple(hash(_shape(m.get("content", m.get("parts")))) for m in own[:2])


def _is_system(role: Any) -> bool:
    return type(role) is str and role in {"system", "developer"}


def _shape(content: Any) -> Any:
    if type(content) is str:
        return content
    if type(content) is list and content and type(content[0]) is dict:
        text = content[0].get("text")
        return text if type(text) is str else len(content)
    return None


def _first(raw: list[Any], read: Callable[[Any], Message]) -> Snapshot:
    copies = [copy(m) for m in raw]
    return Snapshot(copies, [read(m) for m in raw], sum(map(weigh, copies)))


def _next(raw: list[Any], read: Callable[[Any], Message], last: Snapshot) -> Snapshot:
    """Read only what differs from ``last``: a new tail, or a changed middle."""
    same = _common(raw, last.raw)
    if same == len(raw) == len(last.raw):
        return Snapshot(last.raw, last.messages, last.size, last.sums, same, last.sums, last.kept)
    tail = _tail(raw, last.raw, same)
    end = len(raw) - tail
    middle = raw[same:end]
    fresh = [copy(m) for m in middle]
    kept = last.raw[len(last.raw) - tail :] if tail else []
    behind = last.messages[len(last.messages) - tail :] if tail else []
    size = last.size + sum(map(weigh, fresh))
    size -= sum(map(weigh, last.raw[same : len(last.raw) - tail]))
    return Snapshot(
        [*last.raw[:same], *fresh, *kept],
        [
            *last.messages[:same],
            *map(read, middle),
            *(_again(m, read, r) for m, r in zip(behind, kept, strict=True)),
        ],
        size,
        same=same,
        before=last.sums if same == len(last.raw) else {},
        behind=last.kept if same == len(last.raw) else {},
    )


def _again(message: Message, read: Callable[[Any], Message], raw: Any) -> Message:
    """Keep a message behind a change, unless its count depends on messages ahead of it."""
    depends = any(part.kind in {"call", "result"} for part in message.parts)
    return read(raw) if depends else message


def _common(raw: list[Any], last: list[Any]) -> int:
    """Return the length of the common prefix; whole lists are compared at C speed first."""
    shorter = min(len(raw), len(last))
    if raw[:shorter] == last[:shorter]:
        return shorter
    low, high = 0, shorter
    while high - low > 1:
        middle = (low + high) // 2
        if raw[low:middle] == last[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _tail(raw: list[Any], last: list[Any], same: int) -> int:
    """Return the length of the common suffix behind a common prefix of ``same``."""
    room = min(len(raw), len(last)) - same
    tail = 0
    while tail < room and raw[-1 - tail] == last[-1 - tail]:
        tail += 1
    return tail


def copy(value: Any, depth: int = 0, left: list[int] | None = None) -> Any:
    """Return a copy of JSON data; strings are shared, what is no JSON equals nothing."""
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool or kind is float:
        return value
    left = [NODES] if left is None else left
    left[0] -= 1
    if depth < DEPTH and left[0] > 0:
        if kind is dict:
            return {name: copy(item, depth + 1, left) for name, item in value.items()}
        if kind is list or kind is tuple:
            return kind(copy(item, depth + 1, left) for item in value)
    return Odd()


def weigh(value: Any) -> int:
    """Return about how many bytes a copied message holds."""
    kind = type(value)
    if kind is str:
        return len(value) + 50
    if kind is dict:
        return BYTES_A_MESSAGE + sum(map(weigh, value.values()))
    if kind is list or kind is tuple:
        return 60 + sum(map(weigh, value))
    return 16
