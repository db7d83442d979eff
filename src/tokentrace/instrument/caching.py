"""What a call read from the provider's cache, by component, and what broke the cached prefix.

It is done after the answer, from what the provider reported. A lineage keeps numbers and hashes of
its last call's prompt, at most 4,096 messages, never text; what is unchanged costs a comparison.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tokentrace.counting import prefix, stored
from tokentrace.counting.anchoring import SIZES, size_of
from tokentrace.counting.digests import LONGEST, WIDTH, common
from tokentrace.insights import cache
from tokentrace.insights.cache import Case, Difference, Piece, Reading
from tokentrace.instrument import layouts, records, state
from tokentrace.instrument.layouts import Layout, Tokens
from tokentrace.instrument.learning import Own
from tokentrace.lineage import Lineage
from tokentrace.prompt import EXACT, CallRecord, Count, Message, Prompt, Usage
from tokentrace.providers import Caching, caching
from tokentrace.providers._model import TOOLS

clock = time.monotonic  # gives seconds

REMEMBERED = 8  # places in the prompt up to which the provider has kept it
NODES = 20_000
LONGER = frozenset({"1h", "24h"})
LARGEST_SLACK = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What the last call of a lineage left.

    Attributes:
        layout: its prompt.
        reading: what was reported for it.
        kept: places up to which the provider has kept the prompt: tokens, and when.
        doubted: see `insights.cache.Case`.
        basis: what ``cached`` was worked out from, besides the messages.
        cached: tokens read by component.
        record: of that call, as it was before the answer.
    """

    layout: Layout
    reading: Reading
    kept: tuple[tuple[int, float], ...] = ()
    doubted: bool = False
    basis: tuple[Any, ...] = ()
    cached: Tokens = field(default_factory=dict)
    record: CallRecord | None = None

    def repeats(self, record: CallRecord, count: Count, usage: Usage) -> bool:
        """Whether a call is that one once more, prompt and all, and was read as far."""
        reading = self.reading
        return (
            self.record is record
            and self.layout.of[0] is count
            and not (self.doubted or reading.written or usage.cache_write)
            and 0 < reading.read == usage.cache_read
            and reading.input == usage.input
        )

    @property
    def weight(self) -> int:
        """Bytes held, about."""
        inner = sum(map(len, self.layout.inner.values()))
        names = sum(map(len, self.basis[-2:])) + len(self.cached)
        pieces = inner + len(self.layout.fixed)
        return 1_000 + 60 * len(self.layout.mains) + 150 * pieces + 100 * names


def told(record: CallRecord, known: Own, usage: Usage, lineage: Lineage) -> Mapping[str, Any]:
    """Return what of a call was read from cache, and what broke it, as its record's fields.

    Usage that says nothing of a cache, or what cannot be, tells nothing.
    """
    request, prompt, before = known.request, known.prompt, lineage.cache
    rule = caching.find(prompt.model, request.provider, request.base_url)
    if before is not None and before.repeats(record, known.count, usage):
        lineage.cache = _later(before, rule)
        return {"cached": before.cached} if before.cached else records.NOTHING
    silent = usage.cache_read is None and not usage.cache_write and not rule.silent
    if silent or not usage.input:
        return records.NOTHING
    reading = Reading(usage.input, usage.cache_read or 0, usage.cache_write or 0, clock())
    odd = reading.read + reading.written > reading.input or not known.believes(reading.input)
    if odd or "spoken" not in prompt.memo:
        lineage.cache = None
        return records.NOTHING
    tokens = _components(known, record)
    layout = layouts.of(known, rule, tokens, before.layout if before else Layout())
    follows = before is not None and layout.follows(before.layout) and not known.hides
    case = _case(known, rule, before, layout, reading) if follows else None
    basis = (rule, reading.input, reading.read, record.components, tokens)
    cached = _repeated(before, layout, basis) if before else None
    if cached is None:
        cached = _cached(record, prompt, tokens, rule, reading) if reading.read else {}
    by, why = cache.judged(case) if case else ("", "")
    gone = why in {cache.MISSED, cache.EXPIRED}  # then nobody knows what of the older ends is left
    kept, doubted = _kept(rule, None if gone else before, reading), case is not None and case.doubts
    lineage.cache = Past(layout, reading, kept, doubted, basis, cached, record)
    if not (cached or by or why):
        return records.NOTHING
    return {"cached": cached, "cache_reason": why, "cache_broken_by": records.shown(by)}


def _later(before: Past, rule: Caching) -> Past:
    """Return the past after the very same call: what was read is kept from now on."""
    old = before.reading
    now = Reading(old.input, old.read, old.written, clock())
    kept = _kept(rule, before, now)
    return Past(before.layout, now, kept, False, before.basis, before.cached, before.record)


def _repeated(before: Past, layout: Layout, basis: tuple[Any, ...]) -> Tokens | None:
    """Return what was read by component where the very same prompt was read as far before."""
    messages = len(layout.sizes)
    if messages == LONGEST or not messages == layout.same == len(before.layout.sizes):
        return None  # of more messages nobody has compared the rest
    return before.cached if basis == before.basis else None


def _components(known: Own, record: CallRecord) -> dict[str, int]:
    """Return tokens by component, with what the provider keeps as it was reported."""
    tokens = dict(known.count.components)
    hidden = record.components.get(stored.COMPONENT)
    return tokens if hidden is None else {**tokens, stored.COMPONENT: hidden}


def _kept(rule: Caching, before: Past | None, now: Reading) -> tuple[tuple[int, float], ...]:
    """Return the ends of the prefixes that the provider has kept, as far as usage tells them."""
    old = before.kept if before else ()
    ends = dict.fromkeys(end for end in (now.read, now.read + now.written) if end)
    fresh = [(end, at) for end, at in old if end not in ends and _lives(rule, now.at - at)]
    return (*fresh, *((end, now.at) for end in ends))[-REMEMBERED:]


def _lives(rule: Caching, age: float) -> bool:
    life = rule.longest or rule.life
    return life is None or age <= life


# ── what was read ────────────────────────────────────────────────────────────────────────────────


def _cached(
    record: CallRecord, prompt: Prompt, tokens: Tokens, rule: Caching, now: Reading
) -> dict[str, int]:
    """Return tokens read from cache by component, under the names that the record bears."""
    goal = now.read * sum(tokens.values()) / now.input
    walked = prefix.walked(prompt, tokens, goal, tools_first=rule.order[0] == TOOLS)
    whole, read = tokens, walked
    if not record.components.keys() >= tokens.keys():  # some names stay here
        whole, read = state.templates.fold(tokens), state.templates.fold(walked)
    shares = {name: min(1.0, part / whole[name]) for name, part in read.items() if whole.get(name)}
    return cache.apportioned(now.read, record.components, shares, now.input)


# ── what broke it ────────────────────────────────────────────────────────────────────────────────


def _case(known: Own, rule: Caching, before: Past, layout: Layout, reading: Reading) -> Case:
    """Return a call and the one before, as far as the cache goes.

    Not where the prompt is more than its body: what nobody sees stands ahead of it.
    """
    count = known.count
    factor = reading.input / max(1, layout.total)
    life = _life(rule, known.request.body, reading.at - before.reading.at)
    shared = layout.ahead + known.prompt.memo[SIZES][0][layout.same]
    case = Case(
        rule,
        before.reading,
        reading,
        shared=round(factor * shared),
        slack=0.01 if count.method == EXACT else min(LARGEST_SLACK, count.error / count.total),
        life=life,
        doubted=before.doubted,
    )
    if layout.continues(before.layout):
        return case
    found = _difference(known, rule, before.layout, layout)
    reach = factor * _reach(rule, known.prompt.messages, layout)
    held = (end for end, at in before.kept if end >= reach and _lives(rule, reading.at - at))
    return replace(case, found=found.scaled(factor) if found else None, marks=tuple(held))


def _reach(rule: Caching, messages: Sequence[Message], layout: Layout) -> int:
    """Return the tokens ahead of the blocks in which an earlier mark is found."""
    if rule.lookback is None:
        return 0
    left, behind = rule.lookback, 0
    for message in reversed(messages):
        left -= max(1, len(message.parts))
        if left < 0:
            return max(0, layout.total - behind)
        behind += size_of(message)
    return 0


def _life(rule: Caching, body: Any, gap: float) -> float | None:
    """Return the seconds for which a prefix is kept; the request is only asked where it matters."""
    if rule.longest is None or rule.life is None or gap <= rule.life:
        return rule.life
    return rule.longest if _longer(body) else rule.life


def _longer(body: Any) -> bool:
    """Whether a request asks for a longer life of its prefix."""
    waiting, left = [body], NODES
    while waiting and left:
        value, left = waiting.pop(), left - 1
        if isinstance(value, Mapping):
            asked = (value.get("ttl"), value.get("prompt_cache_retention"))
            if any(isinstance(one, str) and one in LONGER for one in asked):
                return True
            waiting.extend(one for one in value.values() if isinstance(one, Mapping | list | tuple))
        elif isinstance(value, list | tuple):
            waiting.extend(one for one in value if isinstance(one, Mapping | list | tuple))
    return False


def _difference(known: Own, rule: Caching, before: Layout, now: Layout) -> Difference | None:
    """Return where a prompt first differs from the last."""
    if before.model != now.model:
        return Difference("", cache.MODEL, again=now.total)
    head = now.ahead + sum(now.sizes[: now.leading])
    again = sum(now.sizes[now.leading :][: _again(before, now)])
    found = _head(rule, before, now, again) or _switched(before, now, head, again)
    if found is not None:
        return found
    found = _talk(before, now, prefix.newest(known.prompt.messages))
    return found.behind(head) if found else None


def _head(rule: Caching, before: Layout, now: Layout, again: int) -> Difference | None:
    """Return the first difference among definitions and leading system text."""
    fixed = None
    if before.asked != now.asked:
        fixed = cache.difference(before.fixed, now.fixed)
    system = None
    if before.marks[: before.leading * WIDTH] != now.marks[: now.leading * WIDTH]:
        old, new = (one.pieces(0, one.leading, len(one.sizes)) for one in (before, now))
        system = _inside(cache.difference(old, new), before, now, 0)
    tokens = sum(now.sizes[: now.leading])
    first, second = (fixed, system) if rule.order[0] == TOOLS else (system, fixed)
    ahead = now.ahead if rule.order[0] == TOOLS else tokens
    found = first or (second.behind(ahead) if second else None)
    if found is None:
        return None
    if not rule.ordered:
        found = replace(found, start=0, end=now.ahead + tokens)
    return replace(found, again=found.again + again)


def _again(before: Layout, now: Layout) -> int:
    """Return how many messages behind the leading ones are the same as before."""
    old, new = (one.marks[one.leading * WIDTH :] for one in (before, now))
    return common(old, new) // WIDTH


def _switched(before: Layout, now: Layout, head: int, again: int) -> Difference | None:
    """Return the first setting whose change leaves the messages unread."""
    for name, value in now.switches.items():
        if before.switches.get(name) != value:
            return Difference("", f"{name}_{cache.SWITCHED}", head, head, again)
    return None


def _talk(before: Layout, now: Layout, newest: int) -> Difference | None:
    """Return the first difference among the messages behind the leading ones."""
    same = now.same
    if same < now.leading or same in {len(before.sizes), len(now.sizes)}:
        return None
    old = before.pieces(same, len(before.sizes), len(before.sizes))
    found = cache.difference(old, now.pieces(same, len(now.sizes), newest), grows=True)
    inside = _inside(found, before, now, same)
    return inside.behind(sum(now.sizes[now.leading : same])) if inside else None


def _inside(found: Difference | None, before: Layout, now: Layout, start: int) -> Difference | None:
    """Return a changed message's difference as that of the component that differs in it."""
    if found is None or found.reason != cache.CHANGED:
        return found
    at = start + found.index
    old, new = before.inner.get(at), now.inner.get(at)
    if not old or not new:
        return found
    inner = cache.difference([Piece(*run) for run in old], [Piece(*run) for run in new])
    if inner is None:
        return found
    factor = now.sizes[at] / max(1, sum(run[2] for run in new))
    inner = inner.scaled(factor).behind(found.start)
    return replace(inner, again=inner.again + found.again, index=found.index)
