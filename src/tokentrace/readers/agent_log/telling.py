"""What a log tells of one call, collected line by line, and the records that it makes.

The figures are the agent's own: records say ``logged`` where a count of ours says its method, for
nobody knows their bound. The mapping is documented in ``docs/agent-logs.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from tokentrace import schema
from tokentrace.prompt import CallRecord, ContextRecord, Detail, Event, Record
from tokentrace.values import OTHER

LOGGED = "logged"
BASE = "base"
CONTEXT = "context"
# What of a whole no part explains.
RESTS = {BASE: "base_prompt", CONTEXT: "context"}
FRAMING = "framing"
EXACT_TO = 0.001  # agents round shares to a tenth of a percent, or better
MOST_PIECES = 10_000
OF_PROMPT = frozenset({schema.LIMIT_WARNING, schema.LIMIT_EXCEEDED, schema.UTILIZATION_LOW})

Figures = Mapping[str, Any]


@dataclass(slots=True)
class Told:
    """One call of a turn, as far as the log has told of it.

    Attributes:
        turn: its number; ``ordinal`` that of the call in its session, from 0.
        begin, end: of its lines, in ns; ``sized`` when its total was told, 0 while it was not.
        figures: by the names that templates give them.
        parts: tokens by component, by the whole that they lie in.
        less: components that a component holds, too, and that are taken off it.
        pieces: what went in, ``included`` how many.
        events: name, attributes and time; sizes of the prompt are filled in at the end.
        squeezing: what was told so far of a compression.
    """

    turn: int
    ordinal: int = 0
    begin: int = 0
    end: int = 0
    sized: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    less: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pieces: list[Detail] = field(default_factory=list)
    included: int = 0
    events: list[Event] = field(default_factory=list)
    squeezing: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    def add(self, name: str, attributes: Figures) -> None:
        """Add an event at the time of the last line; of very many the first are kept."""
        if len(self.events) < MOST_PIECES:
            self.events.append(Event(name, attributes, self.end))

    @property
    def begun(self) -> bool:
        """Whether anything was told of the call itself."""
        return bool(self.figures or self.parts or self.included or self.events)


def records(told: Told, session: str, owner: Figures, settings: Figures) -> Iterator[Record]:
    """Yield the assembly of a call, and the call where its size or its failure is known.

    Args:
        told: the call.
        session: its id.
        owner: ``agent``, ``model``, ``tokenizer`` and ``limit`` of the session.
        settings: of the agent, as it told them.
    """
    figures = {**owner, **told.figures}
    total = figures.get("total")
    of_prompt, rest = _events(told, figures)
    components, odd = laid_out(told, total)
    of_prompt += [*odd, *_disagreeing(figures, told.sized)]
    common, spans = _place(told, session, figures)
    if total is None and not told.error:
        yield _context(told, figures, [*rest, *of_prompt], span_id=spans[:16], **common)
        return
    yield _context(told, figures, rest, span_id=spans[:16], **common)
    yield CallRecord(
        **common,
        span_id=spans[16:],
        lineage=common["trace_id"][:16],
        model=figures.get("model", ""),
        tokenizer=figures.get("tokenizer", ""),
        settings=dict(settings),
        tokens=total or 0,
        method="" if total is None else LOGGED,
        components=components,
        details=tuple(told.pieces),
        limit=figures.get("limit"),
        limit_source=LOGGED if "limit" in figures else "",
        error_type=told.error,
        events=tuple(of_prompt),
    )


def _place(told: Told, session: str, figures: Figures) -> tuple[dict[str, Any], str]:
    """Return what both records of a call share, and their span ids as one text.

    Ids come from the log alone, so that a turn read twice, or half of it first, is the same turn.
    """
    mark = blake2b(session.encode("utf-8", "replace"), digest_size=16).hexdigest()
    place = f"{mark}/{told.turn}/{told.ordinal}/{told.begin}".encode()
    common = {
        "trace_id": mark,
        "session": session,
        "agent": figures.get("agent", ""),
        "turn": told.turn,
        "start": told.begin,
        "end": told.sized or told.end,
    }
    return common, blake2b(place, digest_size=16).hexdigest()


def _context(told: Told, figures: Figures, events: list[Event], **common: Any) -> ContextRecord:
    def tokens(name: str) -> list[int]:
        return [event.attributes.get("tokens") or 0 for event in events if event.name == name]

    saved = [
        one.attributes["before"] - one.attributes["after"]
        for one in events
        if one.name == schema.CONTEXT_COMPRESSED and "before" in one.attributes
    ]
    return ContextRecord(
        **common,
        included=figures.get("context", sum(piece.tokens for piece in told.pieces)),
        excluded=sum(tokens(schema.COMPONENT_EXCLUDED)),
        compressed=sum(saved),
        budget=figures.get("budget"),
        inclusions=told.included,
        events=tuple(events),
    )


# ── components ───────────────────────────────────────────────────────────────────────────────────


def laid_out(told: Told, total: int | None) -> tuple[dict[str, int], list[Event]]:
    """Return the components of a prompt, which sum up to ``total``, and what does not go together.

    What of a whole no part explains stands under a name of its own. Parts that are more than their
    whole are dropped for it.
    """
    parts = {whole: dict(found) for whole, found in told.parts.items()}
    for name, others in told.less.items():
        for found in parts.values():
            if name in found:
                found[name] = max(0, found[name] - sum(found.get(one, 0) for one in others))
    if CONTEXT not in parts and told.pieces:
        parts[CONTEXT] = {}
        for piece in told.pieces:
            held = parts[CONTEXT]
            held[piece.component] = held.get(piece.component, 0) + piece.tokens
    components: dict[str, int] = {}
    odd: list[Event] = []
    for whole, rest in (*RESTS.items(), ("", "")):
        known = told.figures.get(whole) if whole else None
        filled = _filled(parts.get(whole, {}), known, rest, rest, odd)
        for name, tokens in filled.items():
            components[name] = components.get(name, 0) + tokens
    if total is None:
        return {}, [_late(event, told.end) for event in odd]
    # What joins base and context belongs to no text; where they were not told, nobody knows.
    rest = FRAMING if RESTS.keys() <= told.figures.keys() else OTHER
    whole_of = _filled(components, total, rest, OTHER, odd)
    kept = {name: tokens for name, tokens in whole_of.items() if tokens}
    return kept, [_late(event, told.sized) for event in odd]


def _filled(
    parts: Mapping[str, int], whole: int | None, rest: str, instead: str, odd: list[Event]
) -> dict[str, int]:
    """Return ``parts`` and what they leave of ``whole``; the whole alone where they are more."""
    if whole is None:
        return dict(parts)
    left = whole - sum(parts.values())
    if left < 0:
        told = {"before": whole, "after": whole - left}
        why = "its parts are more than the whole, and are not shown"
        odd.append(_disagreement(instead if instead != OTHER else "total", why, told))
        return {instead: whole}
    return {**parts, rest: parts.get(rest, 0) + left} if left else dict(parts)


def _late(event: Event, time: int) -> Event:
    return Event(event.name, event.attributes, time)


# ── events ───────────────────────────────────────────────────────────────────────────────────────


def squeezed(sizes: Figures, time: int) -> Iterator[Event]:
    """Yield the compression that these sizes tell of, nothing where there are none.

    An agent that tells characters before and after, and tokens after, is taken to have had as many
    characters a token before: that number is an estimate, and its reason says so.
    """
    before, after = sizes.get("before"), sizes.get("after")
    wide, narrow = sizes.get("before_chars"), sizes.get("after_chars")
    name = sizes.get("component") or sizes.get("name", "")
    known: dict[str, Any] = {"name": name, "reason": sizes.get("reason", "")}
    if sizes.get("name", name) != name:
        known["piece"] = sizes["name"]
    if wide is not None and narrow is not None and (before is None or after is None):
        known["reason"] = f"{wide:,} → {narrow:,} characters"
        if after is not None and narrow:
            before = round(after * wide / narrow)
            known["reason"] = "tokens before are estimated from characters"
    if before is not None and after is not None:
        known |= {"before": before, "after": after}
    elif wide is None or narrow is None:
        return
    yield Event(schema.CONTEXT_COMPRESSED, known, time)


def _events(told: Told, figures: Figures) -> tuple[list[Event], list[Event]]:
    """Return the events about the whole prompt, with its size, and all others."""
    events = [*told.events, *squeezed(told.squeezing, told.end)]
    own = [_sized(event, figures) for event in events if event.name in OF_PROMPT]
    rest = [event for event in events if event.name not in OF_PROMPT]
    return [*own, *_exceeded(figures, own, told.sized)], rest


def _sized(event: Event, figures: Figures) -> Event:
    """Return an event about the whole prompt with the prompt's size and limit."""
    low = event.name == schema.UTILIZATION_LOW and "used" in figures
    sizes = {
        "tokens": figures.get("used") if low else figures.get("total"),
        "limit": figures.get("limit"),
    }
    known = {name: size for name, size in sizes.items() if size is not None}
    return Event(event.name, {**known, **event.attributes}, event.time)


def _exceeded(figures: Figures, told: list[Event], time: int) -> Iterator[Event]:
    """Yield that the limit is exceeded where the agent did not say so."""
    total, limit = figures.get("total"), figures.get("limit")
    said = any(event.name == schema.LIMIT_EXCEEDED for event in told)
    if total is not None and limit is not None and total > limit and not said:
        sizes = {"tokens": total, "limit": limit, "reason": "the agent does not say so"}
        yield Event(schema.LIMIT_EXCEEDED, sizes, time)


def _disagreeing(figures: Figures, time: int) -> Iterator[Event]:
    """Yield the figures of which the agent tells two that are not equal."""
    get = figures.get
    total, limit, also = get("total"), get("limit"), get("total_also")
    share = get("utilization_also")
    if total is not None and limit and share is not None:
        if abs(share - total / limit) > EXACT_TO:
            words = f"{share:.1%} in its summary, {total / limit:.1%} in its final prompt"
            other = round(share * limit) if also is None else also
            yield _disagreement("utilization", words, {"before": total, "after": other}, time)
    elif total is not None and also is not None and also != total:
        yield _disagreement("total", "", {"before": total, "after": also}, time)
    base, context = get(BASE), get(CONTEXT)
    whole = base + context if base is not None and context is not None else None
    pairs = {"limit": (limit, get("limit_also")), "used": (whole, get("used"))}
    for name, (one, two) in pairs.items():
        if one is not None and two is not None and one != two:
            yield _disagreement(name, "", {"before": one, "after": two}, time)


def _disagreement(name: str, why: str, told: dict[str, int], time: int = 0) -> Event:
    return Event(schema.FIGURES_DISAGREE, {"name": name, "reason": why, **told}, time)
