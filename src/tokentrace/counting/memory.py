"""What was counted last turn: messages that came again are neither read nor counted again.

A snapshot keeps copies of a request's messages (the caller may edit his own in place), the read
messages, and the running sum of their tallies. It lies in the one bounded store, so the oldest
conversations are forgotten first; a forgotten one costs time, never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokentrace.counting.folds import Folds
from tokentrace.counting.pieces import handle
from tokentrace.counting.store import STORE
from tokentrace.counting.tally import Tally
from tokentrace.dialects import each
from tokentrace.prompt import Message

DEPTH = 64
NODES = 100_000  # of one message: what holds itself twice has no end
BYTES_A_MESSAGE, BYTES_A_TEXT = 600, 50
LARGEST_SHARE = 2**23
SYSTEM = ("system", "developer")
NOTHING = object()
SCALARS = frozenset({str, int, float, bool, type(None)})


class Odd:
    """Stands for a value that is no JSON: equal to nothing, so it is always read again."""


@dataclass(slots=True, eq=False)
class Snapshot:
    """The messages of one request.

    Attributes:
        raw: copies of the messages as on the wire.
        messages: the same, read.
        size: bytes of their text, about.
        wire: of the copies, those that are the list in the request's body; a dialect may put more
            messages ahead of it.
        sums: running sums over all of ``messages``, by the counter's key.
        same: how many leading messages were those of the snapshot before.
        before: that snapshot's sums.
        folds: what else the messages add up to.
        kept: what else is known of these very messages, by whoever looked at them.
        behind: the same of the snapshot before, where these messages only go on from it.
        made: what was made of whole requests with these messages, see `made`.
        reader: which of the dialect's functions read the messages.
    """

    raw: list[Any]
    messages: list[Message]
    size: int
    wire: list[Any] | None = None
    sums: dict[Any, Tally] = field(default_factory=dict)
    same: int = 0
    before: dict[Any, Tally] = field(default_factory=dict)
    folds: Folds = field(default_factory=Folds)
    kept: dict[Any, Any] = field(default_factory=dict)
    behind: dict[Any, Any] = field(default_factory=dict)
    made: list[Any] = field(default_factory=list)
    reader: tuple[str, str] = ("", "")


class Walker:
    """Walks the message list of one request; a dialect calls it with the list and its reader.

    Attributes:
        snapshot: of the messages that were read, None where they were no list.
        fresh: they are not those of the last request.
        raw: the list that was walked.
    """

    def __init__(self, api: str) -> None:
        self.api = api
        self.snapshot: Snapshot | None = None
        self.fresh = False
        self.raw: list[Any] = []
        self._found: tuple[list[Any], Any, Snapshot | None] = [], None, None

    def last(self, raw: list[Any]) -> Snapshot | None:
        """Return what was kept of a conversation's last request; the same list is looked up once."""
        if self._found[0] is not raw or not raw:
            self._found = raw, *_last(self.api, raw)
        return self._found[2]

    def __call__(self, raw: Any, read: Callable[[Any], Message]) -> Sequence[Message]:
        """Return the messages, those of the last request where they are the same."""
        if type(raw) is not list or not raw:
            return each(raw, read)
        # Of one api some bodies are read as Anthropic's, others as Nova's.
        reader = getattr(read, "__module__", ""), getattr(read, "__qualname__", "")
        self.raw = raw
        last = self.last(raw)
        last = last if last is not None and last.reader == reader else None
        if last is not None and alike(raw, last.raw):
            self.snapshot = last
            return last.messages
        self.fresh = True
        snapshot = _first(raw, read) if last is None else _next(raw, read, last)
        snapshot.reader = reader
        self.snapshot = snapshot
        self.keep(0)
        return snapshot.messages

    def keep(self, size: int) -> None:
        """Keep a fresh snapshot for the next request.

        Args:
            size: bytes that counting its messages has left with them.
        """
        snapshot = self.snapshot
        if self.fresh and snapshot is not None and snapshot.size < LARGEST_SHARE:
            STORE.put(self._found[1], snapshot, snapshot.size + size)


# What was handed out last, for whoever asks next: another thread's may stand here at any time.
_recalled: tuple[str, list[Any], Any, Snapshot] | None = None


def _last(api: str, raw: list[Any]) -> tuple[Any, Snapshot | None]:
    """Return where a conversation's last request lies, and what was kept of it."""
    global _recalled
    handed, _recalled = _recalled, None
    if handed is not None and handed[0] == api and handed[1] is raw:
        return handed[2:]
    key = "messages", api, *_fingerprint(raw)
    return key, STORE.get(key) if raw else None


def recalled(api: str, raw: list[Any]) -> tuple[list[Any], int]:
    """Return the copies that were kept of a conversation's messages, and how many came again.

    What is the same as a copy is JSON data as it was then, so nobody has to look at it again; and who
    goes on with the copies in its place is compared with them at next to no cost.

    Args:
        api: of the route.
        raw: the list in a request's body.
    """
    global _recalled  # noqa: PLW0603 - see `_last`
    key, known = _last(api, raw)
    if known is None or known.wire is None:
        return [], 0
    wire = known.wire
    if not alike(raw, wire):
        return wire, _common(raw, wire)
    _recalled = api, wire, key, known
    return wire, len(wire)


def _fingerprint(raw: list[Any]) -> tuple[int, ...]:
    """Tell conversations apart by their first two messages that are not the system's."""
    found: list[int] = []
    for message in raw[:4]:
        if type(message) is not dict:
            continue
        role = message.get("role")
        if type(role) is not str or role not in SYSTEM:
            content = message.get("content", NOTHING)
            content = message.get("parts") if content is NOTHING else content
            found.append(hash(handle(content) if type(content) is str else _shape(content)))
            if len(found) == 2:
                break
    return tuple(found)


def _shape(content: Any) -> Any:
    if type(content) is list and content and type(content[0]) is dict:
        text = content[0].get("text")
        return handle(text) if type(text) is str else len(content)
    return None


def _first(raw: list[Any], read: Callable[[Any], Message]) -> Snapshot:
    copies, size = _taken(raw)
    return Snapshot(copies, [*map(read, raw)], size)


def _next(raw: list[Any], read: Callable[[Any], Message], last: Snapshot) -> Snapshot:
    """Read only what differs from ``last``: a new tail, or a changed middle."""
    same = _common(raw, last.raw)
    tail = _tail(raw, last.raw, same)
    middle = raw[same : len(raw) - tail]
    fresh, size = _taken(middle)
    kept = last.raw[len(last.raw) - tail :] if tail else []
    behind = last.messages[len(last.messages) - tail :] if tail else []
    size += last.size - sum(map(weigh, last.raw[same : len(last.raw) - tail]))
    copies, messages = last.raw[:same], last.messages[:same]
    copies += fresh
    copies += kept
    messages += map(read, middle)
    messages += [_again(m, read, r) for m, r in zip(behind, kept, strict=True)]
    goes_on = same == len(last.raw)
    return Snapshot(
        copies,
        messages,
        size,
        same=same,
        before=last.sums if goes_on else {},
        folds=Folds(same, last.folds.known) if goes_on else Folds(),
        behind=last.kept if goes_on else {},
    )


def _again(message: Message, read: Callable[[Any], Message], raw: Any) -> Message:
    """Keep a message behind a change, unless its count depends on messages ahead of it."""
    depends = any(part.kind in {"call", "result"} for part in message.parts)
    return read(raw) if depends else message


def alike(raw: list[Any], kept: list[Any]) -> bool:
    """Whether a list is the one that was kept; the list itself needs no look into it."""
    return raw is kept or raw == kept


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


def _taken(raw: list[Any]) -> tuple[list[Any], int]:
    """Return copies of messages, and about how many bytes they hold: most are texts by name."""
    copies, size = [], 0
    for message in raw:
        own, flat = BYTES_A_MESSAGE, type(message) is dict
        for value in message.values() if flat else ():
            if type(value) is not str:
                flat = False
                break
            own += len(value) + BYTES_A_TEXT
        copies.append(message.copy() if flat else copy(message))
        size += own if flat else weigh(copies[-1])
    return copies, size


def copy(value: Any, depth: int = 0, left: list[int] | None = None) -> Any:
    """Return a copy of JSON data; strings are shared, what is no JSON equals nothing."""
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool or kind is float:
        return value
    if left is None:
        if kind is dict and SCALARS.issuperset(map(type, value.values())):
            return value.copy()
        left = [NODES]
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
        return len(value) + BYTES_A_TEXT
    if kind is dict:
        return BYTES_A_MESSAGE + sum(map(weigh, value.values()))
    if kind is list or kind is tuple:
        return 60 + sum(map(weigh, value))
    return 16
