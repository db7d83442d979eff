"""What the messages of a prompt add up to: only those that are new are counted."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from tokentrace.counting import anchoring, marks, prefix
from tokentrace.counting.hurry import Hurried
from tokentrace.counting.memory import Snapshot
from tokentrace.counting.rules import Scope
from tokentrace.counting.tally import Tally
from tokentrace.prompt import Message, Prompt

SUMS = 8
TOGETHER = 64  # messages, of which what encoding them gives is held at a time


def whole(rule: ModuleType, prompt: Prompt, scope: Scope, snapshot: Snapshot | None) -> Tally:
    """Return the tally of a whole prompt; what its messages add up to is kept with it."""
    summed = _sum(rule, prompt, scope, snapshot)
    if not getattr(scope.ruler, "skipped", False):
        marks.counted(prompt)
        prompt.memo["spoken"] = dict(summed.components)
        anchoring.measured(prompt, _key(rule, scope))
    tally: Tally = rule.finish(prompt, summed, scope)
    return tally


def _sum(rule: ModuleType, prompt: Prompt, scope: Scope, snapshot: Snapshot | None) -> Tally:
    """Return the sum over all messages, with the newest user text apart from the older."""
    messages = prompt.messages
    key = _key(rule, scope)
    known = None if snapshot is None or snapshot.messages is not messages else snapshot
    start, done = known.sums.get(key) if known else None, len(messages)
    if known and start is None:
        start, done = known.before.get(key), known.same
    summed = start.copy() if start else Tally()
    done = done if start else 0
    if done < len(messages):
        summed.add(_new(rule, messages, done, scope, key))
    if known is not None and not summed.error:
        if len(known.sums) > SUMS:
            known.sums.clear()
        known.sums[key] = summed.copy()
    return _newest(summed, rule, messages, scope, key)


def _new(rule: ModuleType, messages: Sequence[Message], done: int, scope: Scope, key: Any) -> Tally:
    """Return the sum over the messages behind the first ``done``, estimated when time is up."""
    tallies = _together(rule, messages[done:], scope, key)
    before: list[Message] = []
    left: list[Message] = []
    for place in [at for at, tally in enumerate(tallies, done) if tally is None]:
        if _late(scope):
            left.append(messages[place])
        else:
            before += messages[len(before) : place]
            tallies[place - done] = _tally(rule, messages[place], before, scope, key)
    if left:
        tallies.append(scope.ruler.roughly(left))
    summed = Tally()
    summed.add(*filter(None, tallies))
    return summed


def _together(
    rule: ModuleType, messages: Sequence[Message], scope: Scope, key: Any
) -> list[Tally | None]:
    """Return the tallies that are kept, and those of what the rule counts together."""
    found = [_kept(message, key) if message.memo else None for message in messages]
    plain = getattr(rule, "plain", None)
    if plain is None:
        return found
    places = [place for place, tally in enumerate(found) if tally is None]
    for start in range(0, len(places), TOGETHER):
        if _late(scope):
            break
        some = places[start : start + TOGETHER]
        for at, tally in plain([messages[place] for place in some], scope).items():
            found[some[at]] = tally
            _keep(messages[some[at]], tally, key)
    return found


def _key(rule: ModuleType, scope: Scope) -> tuple[Any, ...]:
    """Return what the count of a message follows from, besides the messages ahead of it."""
    return rule.__name__, scope.ruler.name, scope.model, scope.provider, scope.lens.version


def _tally(
    rule: ModuleType, message: Message, before: Sequence[Message], scope: Scope, key: Any
) -> Tally:
    """Count a message."""
    tally: Tally = rule.message(message, before, scope)
    _keep(message, tally, key)
    return tally


def _keep(message: Message, tally: Tally, key: Any) -> None:
    """Keep a tally without estimates with its message."""
    message.memo["runs"], tally.runs = tally.runs, ()
    if not tally.error:
        message.memo["tally"] = (key, tally)


def _kept(message: Message, key: Any) -> Tally | None:
    """Return the tally that is kept with the message, where it was made for the same ``key``."""
    kept = message.memo.get("tally")
    return kept[1] if kept is not None and kept[0] == key else None


def _late(scope: Scope) -> bool:
    return isinstance(scope.ruler, Hurried) and scope.ruler.late


def _newest(
    summed: Tally, rule: ModuleType, messages: Sequence[Message], scope: Scope, key: Any
) -> Tally:
    """Move all user text but the newest message's from ``user`` to ``history``."""
    every = summed.components.pop("user", 0)
    index = prefix.newest(messages)
    if index >= 0:
        tally = _kept(messages[index], key)
        if tally is None:
            tally = _tally(rule, messages[index], messages[:index], scope, key)
        own = min(every, tally.components.get("user", 0))
        if own:
            summed.put("user", own)
            summed.put("history", every - own)
            return summed
    summed.put("user", every)
    return summed
