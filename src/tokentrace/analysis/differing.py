"""What changed between two prompts: components, what is inside them, and messages. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from tokentrace.analysis.comparing import Change
from tokentrace.prompt import CallRecord, Count, Detail

NEW, GONE, GREW, SHRANK, SAME, CHANGED = "new", "gone", "grew", "shrank", "same", "changed"
LONGEST = 1000  # messages between which matches are sought


@dataclass(frozen=True, slots=True)
class Piece:
    """A message of a prompt.

    Attributes:
        role: as on the wire.
        tokens: with its framing; None where they cannot be told alone.
        content: what makes it the same as another; never shown.
    """

    role: str
    tokens: int | None
    content: Hashable


@dataclass(frozen=True, slots=True)
class Side:
    """One of two prompts.

    Attributes:
        label: what to call it.
        total, error: tokens, and their bound.
        components: tokens by component; they sum up to the total.
        details: what is inside of components.
        messages: in wire order; empty where they are not known.
        partial: whether only the largest details are known.
    """

    label: str
    total: int
    error: int = 0
    method: str = ""
    model: str = ""
    api: str = ""
    limit: int | None = None
    components: Mapping[str, int] | None = None
    details: Sequence[Detail] = ()
    messages: Sequence[Piece] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """A message that only one side has, or that has other content there.

    Attributes:
        state: ``new``, ``gone`` or ``changed``.
        place: its number from 1, in the newer prompt; in the older one where it is gone.
        before, after: its tokens, None where it is not there or they cannot be told.
    """

    state: str
    place: int
    role: str
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one prompt to another.

    Attributes:
        components: all, the largest change first.
        details: those that changed, with their component, the largest change first.
        messages: those that changed, in wire order.
        kept: messages that both have.
    """

    before: Side
    after: Side
    components: tuple[Change, ...]
    details: tuple[tuple[str, Change], ...]
    messages: tuple[Moved, ...]
    kept: int

    @property
    def delta(self) -> int:
        """Tokens by which the prompt grew."""
        return self.after.total - self.before.total


def counted(label: str, count: Count, messages: Sequence[Piece] = ()) -> Side:
    """Return a request body that was counted."""
    return Side(
        label,
        count.total,
        count.error,
        count.method,
        count.model,
        count.api,
        count.limit,
        count.components,
        count.details,
        messages,
    )


def recorded(label: str, call: CallRecord) -> Side:
    """Return a call as a span tells of it."""
    return Side(
        label,
        call.tokens,
        call.error,
        call.method,
        call.model,
        call.api,
        call.limit,
        call.components,
        call.details,
        partial=True,
    )


def differ(before: Side, after: Side) -> Difference:
    """Return what changed from ``before`` to ``after``."""
    changes = _changes(before.components or {}, after.components or {})
    old, new = _inside(before), _inside(after)
    details = [(key[0], one) for key, one in zip({**old, **new}, _named(old, new), strict=True)]
    moved = list(_moved(before.messages, after.messages))
    return Difference(
        before,
        after,
        tuple(sorted(changes, key=_weight)),
        tuple(
            sorted(
                (one for one in details if state(one[1]) != SAME), key=lambda one: _weight(one[1])
            )
        ),
        tuple(moved),
        len(after.messages) - sum(one.state != GONE for one in moved),
    )


def state(change: Change) -> str:
    """Return ``new``, ``gone``, ``grew``, ``shrank`` or ``same``."""
    if change.before is None:
        return NEW
    if change.after is None:
        return GONE
    step = change.after - change.before
    return GREW if step > 0 else SHRANK if step < 0 else SAME


def _changes(old: Mapping[str, int], new: Mapping[str, int]) -> list[Change]:
    """Return all components; spans tell of some that hold nothing."""
    held = [name for name in {**old, **new} if old.get(name) or new.get(name)]
    return [Change(name, old.get(name) or None, new.get(name) or None) for name in held]


def _inside(side: Side) -> dict[tuple[str, str], int]:
    return {(one.component, one.name): one.tokens for one in side.details}


def _named(
    old: Mapping[tuple[str, str], int], new: Mapping[tuple[str, str], int]
) -> Iterator[Change]:
    for key in {**old, **new}:
        yield Change(key[1], old.get(key), new.get(key))


def _weight(change: Change) -> tuple[float, str]:
    """Order by how much a change weighs, whichever way it goes."""
    return -abs((change.after or 0) - (change.before or 0)), change.name


def _moved(old: Sequence[Piece], new: Sequence[Piece]) -> Iterator[Moved]:
    """Yield what the second list has otherwise than the first."""
    for first, first_end, second, second_end in _gaps(_keys(old), _keys(new)):
        gone, come = list(range(first, first_end)), list(range(second, second_end))
        while gone and come and old[gone[0]].role == new[come[0]].role:
            was, now = old[gone.pop(0)], come.pop(0)
            yield Moved(CHANGED, now + 1, was.role, was.tokens, new[now].tokens)
        yield from (Moved(GONE, at + 1, old[at].role, before=old[at].tokens) for at in gone)
        yield from (Moved(NEW, at + 1, new[at].role, after=new[at].tokens) for at in come)


def _keys(pieces: Sequence[Piece]) -> list[tuple[str, Hashable]]:
    return [(one.role, one.content) for one in pieces]


def _gaps(
    old: Sequence[tuple[str, Hashable]], new: Sequence[tuple[str, Hashable]]
) -> Iterator[tuple[int, int, int, int]]:
    """Yield where two lists differ: begin and end in the first, begin and end in the second.

    Most prompts grow at their end. Of long middles that differ no match is sought: that takes the
    square of their length.
    """
    most = min(len(old), len(new))
    head = next((at for at in range(most) if old[at] != new[at]), most)
    most -= head
    tail = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    middle = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(map(len, middle)) > LONGEST:
        yield head, len(old) - tail, head, len(new) - tail
        return
    matched = SequenceMatcher(a=middle[0], b=middle[1], autojunk=False)
    for tag, first, first_end, second, second_end in matched.get_opcodes():
        if tag != "equal":
            yield head + first, head + first_end, head + second, head + second_end
