"""What a session's context management did: why it cut, from which use on, and how large components were."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tokentrace.analysis.shapes import COMPRESSED, EXCLUDED, REFUSED, Happening, Session, Turn

KINDS = (EXCLUDED, COMPRESSED, REFUSED)
WHOLE = ("", "prompt")
BY_GUARD = "asked for by the guard"
BY_LIMIT = "over the guard's limit"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One reason for which context was cut.

    Attributes:
        kind: ``excluded``, ``compressed`` or ``refused``.
        name: the component, empty for the whole prompt; of an excluded piece what stands before
            its first dot.
        reason: as the agent gave it, the guard where it was that, empty where nobody said.
        times, tokens: how often, and what was left out or saved.
        turns: where.
        lowest: the smallest share of the limit among these turns, None where unknown.
    """

    kind: str
    name: str
    reason: str
    times: int
    tokens: int
    turns: tuple[int, ...]
    lowest: float | None


@dataclass(frozen=True, slots=True)
class Size:
    """How large a component was, in tokens, over the turns that had a call."""

    name: str
    first: int
    least: int
    mean: int
    peak: int
    peak_turn: int
    last: int


def triggers(session: Session) -> tuple[Trigger, ...]:
    """Return why context was cut, what cut the most first."""
    found: dict[tuple[str, str, str], list[tuple[Turn, Happening]]] = defaultdict(list)
    for turn in session.turns:
        for event in turn.events:
            if event.kind in KINDS:
                name = event.name.partition(".")[0]
                found[event.kind, name, _reason(turn, event)].append((turn, event))
    built = [_trigger(key, pairs) for key, pairs in found.items()]
    return tuple(sorted(built, key=lambda one: (-one.tokens, one.kind, one.name, one.reason)))


def _reason(turn: Turn, event: Happening) -> str:
    """Return why something was cut; what the guard did says so itself."""
    if event.kind == REFUSED:
        return BY_LIMIT
    guarded = turn.decision == "compress" and event.name in WHOLE and event.kind == COMPRESSED
    return event.reason or (BY_GUARD if guarded else "")


def _trigger(key: tuple[str, str, str], pairs: list[tuple[Turn, Happening]]) -> Trigger:
    shares = [turn.utilization for turn, _ in pairs if turn.utilization is not None]
    tokens = sum(event.tokens for _, event in pairs)
    turns = tuple(sorted({turn.number for turn, _ in pairs}))
    return Trigger(*key, len(pairs), tokens, turns, min(shares, default=None))


def sizes(session: Session) -> tuple[Size, ...]:
    """Return how large each component was, the largest peak first."""
    turns = [turn for turn in session.turns if turn.main is not None]
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for place, turn in enumerate(turns):
        for name, tokens in turn.components.items():
            found[name][place] = tokens
    built = (_size(name, held, turns) for name, held in found.items())
    return tuple(sorted(built, key=lambda size: (-size.peak, size.name)))


def _size(name: str, held: dict[int, int], turns: list[Turn]) -> Size:
    """Return the size of a component that was ``held`` at these places, of very many maybe at one."""
    place = max(held, key=held.__getitem__)
    least = min(held.values()) if len(held) == len(turns) else 0
    mean = round(sum(held.values()) / len(turns))
    first, last = held.get(0, 0), held.get(len(turns) - 1, 0)
    return Size(name, first, least, mean, held[place], turns[place].number, last)
