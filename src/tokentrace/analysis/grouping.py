"""The records of a session → its turns: pure functions, no I/O. `gathering` says whose records are.

A session is one conversation with a name; calls without one are grouped by their lineage. A turn is
one user input and all calls that serve it. What a span says (delta, trend) is taken; what it leaves
open is derived here, from the order of the calls. Turn numbers are the subject of `numbering`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tokentrace import schema
from tokentrace.analysis.numbering import Name, lineage_of, numbers, ranks
from tokentrace.analysis.shapes import (
    COMPRESSED,
    DISAGREEMENT,
    EXCEEDED,
    EXCLUDED,
    FAILED,
    LOW,
    REFUSED,
    WARNING,
    Happening,
    Session,
    Summary,
    Turn,
    over,
)
from tokentrace.insights import trend_of
from tokentrace.prompt import CallRecord, ContextRecord, Event, Record

TRENDS = frozenset({"increase", "decrease", "stable"})
KINDS = {
    schema.COMPONENT_EXCLUDED: EXCLUDED,
    schema.CONTEXT_COMPRESSED: COMPRESSED,
    schema.LIMIT_WARNING: WARNING,
    schema.LIMIT_EXCEEDED: EXCEEDED,
    schema.UTILIZATION_LOW: LOW,
    schema.FIGURES_DISAGREE: DISAGREEMENT,
}

# ── sessions ─────────────────────────────────────────────────────────────────────────────────────

Key = tuple[bool, str]  # whether it is a given name, and the name


def when(record: Record) -> tuple[int, int, str]:
    """Return a record's place in time."""
    return record.start, record.end, record.span_id


def key_of(record: Record) -> Key:
    """Return whose a call is, by its name or its lineage, or an assembly by its name."""
    if record.session or isinstance(record, ContextRecord):
        return True, record.session
    return False, record.lineage or record.trace_id or record.span_id


def heads(calls: Iterable[tuple[Key, str]]) -> dict[Key, Key]:
    """Return, for lineages without a name, that of the conversation in whose turns they served.

    Args:
        calls: whose it is, and its turn's id, of each call that has no name but an id; oldest first.
    """
    found: dict[Key, Key] = {}
    served: dict[str, Key] = {}
    for key, turn in calls:
        found.setdefault(key, served.setdefault(turn, found.get(key, key)))
        served[turn] = found[key]
    return found


def built(key: Key, calls: Sequence[CallRecord], contexts: Sequence[ContextRecord]) -> Session:
    """Return the conversation of calls and assemblies, each oldest first; at least one is there."""
    numbered = list(zip(numbers(calls), calls, strict=True))
    best = ranks(numbered)
    spoken: dict[int, list[CallRecord]] = defaultdict(list)
    for number, call in numbered:
        spoken[number].append(call)
    assembled: dict[int, list[ContextRecord]] = defaultdict(list)
    for number, context in _placed(contexts, numbered):
        assembled[number].append(context)
    turns: list[Turn] = []
    before: CallRecord | None = None
    for number in sorted({*spoken, *assembled}):
        turns.append(_turn(number, spoken[number], assembled[number], best, before))
        before = turns[-1].main or before
    main = next((turn.main for turn in turns if turn.main), None)
    owner: Any = main or next(iter(contexts), None)
    return Session(
        id=key[1], named=key[0], agent=owner.agent, service=owner.service, turns=tuple(turns)
    )


# ── the turns' calls and assemblies ──────────────────────────────────────────────────────────────


def _main(calls: Sequence[CallRecord], ranks: Mapping[Name, int]) -> CallRecord | None:
    """Return the largest call of the best lineage present; a refused one only if none was sent."""
    if not calls:
        return None
    best = min(ranks[lineage_of(call)] for call in calls)
    mine = [call for call in calls if ranks[lineage_of(call)] == best]
    sent = [call for call in mine if not _refused(call)]
    return max(sent or mine, key=lambda call: call.tokens)


Numbered = Sequence[tuple[int, CallRecord]]


def _placed(
    contexts: Sequence[ContextRecord], numbered: Numbered
) -> Iterator[tuple[int, ContextRecord]]:
    """Yield each assembly with its turn: its own number, else that of the call it was made for."""
    traces: dict[str, list[tuple[int, CallRecord]]] = defaultdict(list)
    told: dict[tuple[str, int | None], int] = {}
    for number, call in numbered:
        traces[call.trace_id].append((number, call))
        if call.turn is not None:
            told.setdefault((call.trace_id, call.turn), number)
    last = numbered[-1][0] if numbered else 1
    for context in contexts:
        near = _following(traces.get(context.trace_id, ()), context.start)
        after = _following(numbered, context.start)
        own = told.get((context.trace_id, context.turn), context.turn)
        yield next(one for one in (own, near, after, last) if one is not None), context


def _following(numbered: Numbered, start: int) -> int | None:
    """Return the turn of the first call at or after ``start``."""
    place = bisect_left(numbered, start, key=lambda pair: pair[1].start)
    return numbered[place][0] if place < len(numbered) else None


# ── turns ────────────────────────────────────────────────────────────────────────────────────────


def _turn(
    number: int,
    calls: Sequence[CallRecord],
    contexts: Sequence[ContextRecord],
    ranks: Mapping[Name, int],
    before: CallRecord | None,
) -> Turn:
    main = _main(calls, ranks)
    delta = main.delta if main else None
    if delta is None and main and before:
        delta = main.tokens - before.tokens
    told = main.trend if main else ""
    trend = told if told in TRENDS else trend_of(delta)
    events = tuple(sorted(_happenings(calls, contexts), key=lambda event: event.time))
    return Turn(number, tuple(calls), tuple(contexts), main, delta, trend, events)


def _refused(call: CallRecord) -> bool:
    return call.decision == "refuse"


def _happenings(
    calls: Sequence[CallRecord], contexts: Sequence[ContextRecord]
) -> Iterator[Happening]:
    for context in contexts:
        yield from filter(None, map(_happening, context.events))
    for call in calls:
        told = [event for event in map(_happening, call.events) if event]
        for event in told:
            judged = event.kind == EXCEEDED and _refused(call)
            yield replace(event, kind=REFUSED) if judged else event
        yield from _implied(call, {event.kind for event in told})


def _happening(event: Event) -> Happening | None:
    kind = KINDS.get(event.name)
    if kind is None:
        return None
    get = event.attributes.get
    before, after = _whole(get("before")), _whole(get("after"))
    saved = before - after if before is not None and after is not None else 0
    return Happening(
        kind=kind,
        name=str(get("name", "")),
        tokens=saved if kind == COMPRESSED else _whole(get("tokens")) or 0,
        before=before,
        after=after,
        error=_whole(get("error")) or 0,
        limit=_whole(get("limit")),
        reason=_joined(get("reason")) or _grew(get("grew")),
        piece=str(get("piece", "")),
        cause=str(get("cause", "")),
        time=event.time,
    )


def _implied(call: CallRecord, told: set[str]) -> Iterator[Happening]:
    """Yield what a call's attributes say and its events do not: sampled or cut-off events.

    The guard tells of a crossing once. Each call over its limit is told of here all the same; of
    warnings only those that the guard told.
    """
    if _refused(call) and EXCEEDED not in told:
        told_not = Happening(REFUSED, tokens=call.tokens, error=call.error, limit=call.limit)
        yield replace(told_not, time=call.end)
    if over(call) and EXCEEDED not in told:
        passed = Happening(EXCEEDED, tokens=call.tokens, error=call.error, limit=call.limit)
        yield replace(passed, time=call.start)
    if call.decision == "compress" and COMPRESSED not in told:
        saved = call.compressed_tokens
        before = call.tokens + saved
        yield Happening(COMPRESSED, tokens=saved, before=before, after=call.tokens, time=call.start)
    if call.error_type and not _refused(call):
        yield Happening(FAILED, reason=call.error_type, time=call.end)


def _joined(value: Any) -> str:
    """Return a text, or the texts of a sequence as one."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value or "")


def _grew(value: Any) -> str:
    return f"grew: {known}" if (known := _joined(value)) else ""


def _whole(value: Any) -> int | None:
    """Return a number of tokens, None for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


# ── sums ─────────────────────────────────────────────────────────────────────────────────────────


def summary(found: Iterable[Session]) -> Summary:
    """Return what one session, or many, add up to."""
    found = tuple(found)
    turns = [turn for session in found for turn in session.turns]
    counted = [turn for session in found for turn in _sent(session.turns)]
    calls = [call for turn in turns for call in turn.calls]
    sent = [call for call in calls if not _refused(call)]
    events = [event for turn in turns for event in turn.events]
    peak = max(counted, key=lambda turn: turn.total, default=Turn(0))
    shares = [turn.utilization for turn in counted if turn.utilization is not None]
    trends = [turn.trend for turn in turns]
    return Summary(
        turns=len(turns),
        calls=len(calls),
        peak=peak.total,
        peak_turn=peak.number,
        utilization=max(shares, default=None),
        tokens=sum(call.tokens for call in sent),
        reported=sum(call.usage.input or 0 for call in calls),
        output=sum(call.usage.output or 0 for call in calls),
        drift=sum(call.drift or 0 for call in calls),
        increases=trends.count("increase"),
        decreases=trends.count("decrease"),
        stable=trends.count("stable"),
        **_totals(events),
    )


def _sent(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Return the turns whose main call was sent, as the rules see them; all where none was."""
    return [turn for turn in turns if turn.main is None or not _refused(turn.main)] or turns


def _totals(events: Sequence[Happening]) -> dict[str, int]:
    def of(kind: str) -> list[int]:
        return [event.tokens for event in events if event.kind == kind]

    # What a callback of the guard tells of its pieces is in what the guard tells of the prompt.
    saved = [
        event for event in events if event.kind == COMPRESSED and event.reason != schema.BY_GUARD
    ]
    return {
        "warnings": len(of(WARNING)),
        "exceeded": len(of(EXCEEDED)),
        "refusals": len(of(REFUSED)),
        "failures": len(of(FAILED)),
        "low_utilization": len(of(LOW)),
        "exclusions": len(of(EXCLUDED)),
        "excluded_tokens": sum(of(EXCLUDED)),
        "compressions": len(saved),
        "saved_tokens": sum(event.tokens for event in saved),
    }
