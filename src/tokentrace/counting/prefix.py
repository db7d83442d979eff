"""Which components stand in the first tokens of a prompt, by the tallies that its messages keep.

Only messages between the place and the nearer end of the prompt are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tokentrace.counting import stored
from tokentrace.counting.digests import WIDTH, leading
from tokentrace.prompt import Message, Prompt

Tokens = Mapping[str, int]

FRAMING, USER, HISTORY = "framing", "user", "history"


def around(prompt: Prompt, tokens: Tokens) -> dict[str, int]:
    """Return the tokens that belong to no message: definitions, and framing of the whole.

    Args:
        prompt: as read and counted, without estimates for want of time.
        tokens: by component, of all of it.
    """
    spoken = prompt.memo["spoken"]
    rest = {name: held - spoken.get(name, 0) for name, held in tokens.items()}
    rest.pop(stored.COMPONENT, None)
    return {name: held for name, held in rest.items() if held > 0}


def newest(messages: Sequence[Message]) -> int:
    """Return the index of the newest message of the user, -1 where there is none."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == USER:
            return at
    return -1


def walked(prompt: Prompt, tokens: Tokens, goal: float, *, tools_first: bool) -> dict[str, int]:
    """Return the tokens by component that stand in the first ``goal`` tokens of a prompt.

    Args:
        prompt: see `around`.
        tokens: by component, of all of it.
        goal: tokens, as counted.
        tools_first: whether definitions stand before the system text, or behind it.
    """
    messages, last = prompt.messages, newest(prompt.messages)
    first = leading(messages) // WIDTH
    fixed, system = around(prompt, tokens), _spoken(messages, range(first), last)
    hidden = {stored.COMPONENT: tokens.get(stored.COMPONENT, 0)}
    taken: dict[str, int] = {}
    left = round(goal)
    for zone in (*((fixed, system) if tools_first else (system, fixed)), hidden):
        left -= _take(taken, zone, left)
    if left > 0:
        said = prompt.memo["spoken"]
        talk = {name: held - system.get(name, 0) for name, held in said.items()}
        _take(taken, _talk(messages[first:], talk, last - first, left), left)
    return taken


def _talk(messages: Sequence[Message], talk: Tokens, last: int, goal: int) -> Tokens:
    """Return what stands in the first ``goal`` tokens of messages that are ``talk`` in all."""
    whole = sum(talk.values())
    if goal >= whole:
        return talk
    if goal <= whole // 2:
        return _through(messages, range(len(messages)), last, goal, tail=False)
    back = range(len(messages) - 1, -1, -1)
    unread = _through(messages, back, last, whole - goal, tail=True)
    return {name: held - unread.get(name, 0) for name, held in talk.items()}


def _take(taken: dict[str, int], zone: Tokens, left: int) -> int:
    """Add up to ``left`` tokens of a zone to ``taken``; return how many."""
    total = sum(held for held in zone.values() if held > 0)
    if left <= 0 or total <= 0:
        return 0
    factor = min(1.0, left / total)
    for name, held in zone.items():
        if held > 0:
            taken[name] = taken.get(name, 0) + round(held * factor)
    return min(left, total)


def _through(
    messages: Sequence[Message], indexes: Iterable[int], last: int, goal: int, *, tail: bool
) -> dict[str, int]:
    """Return the tokens by component of ``goal`` tokens of messages in a row.

    Of the message in which they end a part is taken, from its start, or else from its ``tail``.
    """
    found: dict[str, int] = {}
    for at in indexes:
        tally = messages[at].memo.get("tally")
        one = tally[1].components if tally else {}
        size = sum(one.values())
        if size >= goal:
            one = _spoken(messages, (at,), last)
            _take(found, _part(messages[at], one, goal, tail=tail), goal)
            break
        for name, held in one.items():
            owner = HISTORY if name == USER and at != last else name
            found[owner] = found.get(owner, 0) + held
        goal -= size
    return found


def _part(message: Message, one: Tokens, goal: int, *, tail: bool) -> Tokens:
    """Return the tokens by component of a message's first, or last, ``goal`` tokens."""
    rows = _rows(message, one)
    found: dict[str, int] = {}
    for name, held in reversed(rows) if tail else rows:
        used = min(held, goal)
        found[name] = found.get(name, 0) + used
        goal -= used
    return found


def _rows(message: Message, one: Tokens) -> list[tuple[str, int]]:
    """Return components and tokens of a message in the order of its texts, framing first."""
    runs = [(_owner(name, one), tokens) for name, _, tokens in message.memo.get("runs", ())]
    sums: dict[str, int] = {}
    for name, tokens in runs:
        sums[name] = sums.get(name, 0) + tokens
    rows = [(FRAMING, one[FRAMING])] if one.get(FRAMING, 0) > 0 and FRAMING not in sums else []
    rows += [(name, one.get(name, 0) * tokens // max(1, sums[name])) for name, tokens in runs]
    rows += [(name, held) for name, held in one.items() if name not in sums and name != FRAMING]
    return [(name, held) for name, held in rows if held > 0]


def _owner(name: str, one: Tokens) -> str:
    return HISTORY if name == USER and USER not in one else name


def _spoken(messages: Sequence[Message], indexes: Iterable[int], last: int) -> dict[str, int]:
    """Return tokens by component of some messages; user text that is not the newest is history."""
    found: dict[str, int] = {}
    for at in indexes:
        tally = messages[at].memo.get("tally")
        for name, held in tally[1].components.items() if tally else ():
            owner = HISTORY if name == USER and at != last else name
            found[owner] = found.get(owner, 0) + held
    return found
