"""Whether the provider's prompt cache is used, and which component keeps breaking it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tokentrace.analysis.case import Case, found, refused
from tokentrace.analysis.codes import CODES
from tokentrace.analysis.findings import DEGRADED, HEALTHY, Finding
from tokentrace.analysis.wording import many, turns
from tokentrace.insights import cost, repaid
from tokentrace.insights.cache import CHANGED, INSERTED, MOVED, REMOVED
from tokentrace.insights.waste import HIGH, MEDIUM
from tokentrace.prompt import EXACT, CallRecord
from tokentrace.providers import caching

BROKEN, UNUSED = "cache.broken", "cache.unused"
REPEATED = 2  # times; once is an edit
FEWEST = 3  # calls of one line without a token read
ALIKE = 0.02  # of a component's tokens, by which the same text may differ between two calls
SECOND = 10**9  # ns
TOOLS, HISTORY, USER = "tools", "history", "user"
DONE = {
    CHANGED: "by changing",
    MOVED: "by moving",
    INSERTED: "by being inserted",
    REMOVED: "by being removed",
}
# What to do by component, or by what was switched; the code's own remedy where nothing stands here.
REMEDIES = {
    TOOLS: "keep the same tools in the same order for a whole conversation",
    HISTORY: "summarise or drop old messages rarely and in large steps, and edit none in between",
    "model_switched": "stay with one model in a conversation: each has a cache of its own",
    "tool_choice_switched": "keep the same tool choice for a whole conversation",
    "thinking_switched": "keep thinking on or off for a whole conversation",
}
MARKS = "mark the end of the system text, and of the newest message, for the cache"


@dataclass(frozen=True, slots=True)
class Pair:
    """A call, the one before it of the same lineage, and the number of its turn."""

    turn: int
    before: CallRecord
    now: CallRecord

    @property
    def again(self) -> int:
        """Tokens that were paid again, at most."""
        return repaid.again(self.now, self.before)

    def within(self, life: float | None) -> bool:
        """Whether the later call began at most so many seconds after the earlier one had ended."""
        return life is None or self.now.start - self.before.end <= life * SECOND


def broken(case: Case) -> Iterator[Finding]:
    """Find what broke the cached prefix again and again."""
    by: dict[str, list[Pair]] = defaultdict(list)
    lines = _lines(case)
    for line in lines.values():
        for pair in line:
            name = pair.now.cache_broken_by
            if name or pair.now.cache_reason in REMEDIES:
                by[name or pair.now.cache_reason].append(pair)
    sent = sum(pair.now.usage.input or 0 for line in lines.values() for pair in line)
    for name, pairs in by.items():
        tokens = sum(pair.again for pair in pairs)
        share = tokens / max(1, sent)
        if len(pairs) >= REPEATED and share >= case.thresholds.wasted:
            yield _broken(case, name, pairs, share)


def _broken(case: Case, name: str, pairs: Sequence[Pair], share: float) -> Finding:
    component = pairs[0].now.cache_broken_by
    reason = Counter(pair.now.cache_reason for pair in pairs).most_common(1)[0][0]
    tokens = sum(pair.again for pair in pairs)
    where = sorted({pair.turn for pair in pairs})
    who = f"{name} {DONE.get(reason, '')}".strip() if component else name.replace("_", " ")
    one = found(
        BROKEN,
        DEGRADED if share >= case.thresholds.wasteful else HEALTHY,
        f"{who} broke the cached prefix {many(len(pairs), 'time')} in {turns(where)}: up to"
        f" {tokens:,} tokens were paid again",
        where,
        component=component,
        remedy=REMEDIES.get(name) or CODES[BROKEN].remedy,
        breaks=len(pairs),
        tokens=tokens,
        share=round(share, 6),
    )
    a_time = round(tokens / len(pairs))
    return replace(one, tokens=a_time, cost_usd=_paid(pairs), confidence=HIGH)


def _paid(pairs: Sequence[Pair]) -> float | None:
    """Return dollars a break, None where the cost of any is not known."""
    lost = [repaid.missed(pair.now, pair.before) for pair in pairs]
    known = [one.cost for one in lost if one is not None]
    return cost.usd(sum(known)) / len(known) if len(known) == len(lost) else None


def unused(case: Case) -> Iterator[Finding]:
    """Find lines of calls that share a long beginning, of which nothing was ever read."""
    for line in _lines(case).values():
        calls = [line[0].before, *(pair.now for pair in line)]
        told = [call.usage.cache_read for call in calls]
        used = any(told) or any(call.usage.cache_write for call in calls)
        blamed = any(call.cache_broken_by or call.cache_reason for call in calls)
        rule = caching.find(calls[0].model, calls[0].provider)
        soon = [pair for pair in line if pair.within(rule.life)]
        if len(soon) + 1 < FEWEST or None in told or used or blamed:
            continue
        shared = min(_shared(pair) for pair in soon)
        if rule.minimum is not None and shared >= rule.minimum + rule.step:
            yield _unused(case, soon, shared, marked=rule.exact)


def _unused(case: Case, line: Sequence[Pair], shared: int, *, marked: bool) -> Finding:
    share = shared / max(1, *(pair.now.tokens for pair in line))
    where = sorted({pair.turn for pair in line})
    one = found(
        UNUSED,
        DEGRADED if share >= case.thresholds.wasteful else HEALTHY,
        f"{turns(where)} sent at least {shared:,} tokens that stood in the prompt before, too, and"
        " nothing was read from the provider's cache",
        where,
        remedy=MARKS if marked else CODES[UNUSED].remedy,
        calls=len(line) + 1,
        tokens=shared,
        share=round(share, 6),
    )
    prices = [cost.price(pair.now) for pair in line]
    priced = zip(prices, line, strict=True)
    rates = [price.at(pair.now.usage.input or 0) for price, pair in priced if price]
    spare = sum(max(0, rate.input - rate.read) * shared for rate in rates)
    known = cost.usd(spare) / len(rates) if len(rates) == len(line) else None
    return replace(one, tokens=shared, cost_usd=known, confidence=MEDIUM)


def _shared(pair: Pair) -> int:
    """Return tokens of components that are as large in both prompts, and of history that stayed.

    In the provider's tokens: where a count is not exact, that of the same text differs from call to
    call with what is learned of the provider's counts.
    """
    before, now = _reported(pair.before), _reported(pair.now)
    apart = {USER, HISTORY}
    off = 0.0 if pair.before.method == pair.now.method == EXACT else ALIKE
    both = ((held, before.get(name, 0)) for name, held in now.items() if name not in apart)
    same = sum(min(one) for one in both if max(one) - min(one) <= off * max(one))
    return round(same + min(before.get(HISTORY, 0), now.get(HISTORY, 0)))


def _reported(call: CallRecord) -> dict[str, float]:
    """Return components in the tokens that the provider reported, as they are where the count is exact."""
    if call.method == EXACT:
        return {name: float(held) for name, held in call.components.items()}
    factor = (call.usage.input or 0) / max(1, sum(call.components.values()))
    return {name: factor * held for name, held in call.components.items()}


def _lines(case: Case) -> Mapping[str, list[Pair]]:
    """Return each call with the one before it, by lineage, in order; what was never sent is none."""
    last: dict[str, CallRecord] = {}
    lines: dict[str, list[Pair]] = defaultdict(list)
    calls = ((turn.number, call) for turn in case.session.turns for call in turn.calls)
    for number, call in sorted(calls, key=lambda one: (one[1].start, one[1].end)):
        if not call.lineage or refused(call) or not call.usage.input:
            continue
        if call.lineage in last:
            lines[call.lineage].append(Pair(number, last[call.lineage], call))
        last[call.lineage] = call
    return lines


RULES = (broken, unused)
