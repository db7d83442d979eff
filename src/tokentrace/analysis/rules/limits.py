"""How near prompts came to their limit, and what became of them there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from tokentrace import schema
from tokentrace.analysis.case import Case, found, last, refused
from tokentrace.analysis.findings import CRITICAL, DEGRADED, FAILING, HEALTHY, Finding
from tokentrace.analysis.shapes import COMPRESSED, EXCEEDED, EXCLUDED, LOW, REFUSED, Turn, over
from tokentrace.analysis.wording import many, percent, turns
from tokentrace.prompt import CallRecord


def exceeded(case: Case) -> Iterator[Finding]:
    """Find prompts over the limit that were sent."""
    passed = {turn.number: sizes for turn in case.session.turns if (sizes := list(_over(turn)))}
    if not passed:
        return
    tokens, limit = max(
        (size for sizes in passed.values() for size in sizes), key=lambda size: size[0] - size[1]
    )
    where = tuple(passed)
    told = f"{tokens:,} tokens of {limit:,}" if limit else f"{tokens:,} tokens"
    yield found(
        "limit.exceeded",
        CRITICAL,
        f"{turns(where)} went over the limit, the farthest with {told}",
        where,
        tokens=tokens,
        limit=limit,
        count=len(where),
    )


def _over(turn: Turn) -> Iterator[tuple[int, int]]:
    """Yield size and limit of each prompt of a turn that was over its limit when it was sent."""
    for call in turn.calls:
        if over(call) or _too_long(call):
            yield call.tokens, call.limit or 0
    for event in turn.of(EXCEEDED):
        if event.limit is None or event.tokens - event.error > event.limit:
            yield event.tokens, event.limit or 0


def _too_long(call: CallRecord) -> bool:
    """Whether the provider refused a call for its length."""
    told = any(event.name == schema.LIMIT_EXCEEDED for event in call.events)
    return told and bool(call.error_type) and not refused(call)


def stopped(case: Case) -> Iterator[Finding]:
    """Find prompts that the guard refused."""
    where = [turn for turn in case.session.turns if turn.of(REFUSED)]
    if not where:
        return
    lost = [turn.number for turn in where if _unanswered(turn)]
    events = [event for turn in where for event in turn.of(REFUSED)]
    largest = max(events, key=lambda event: event.tokens)
    told = f"the largest with {largest.tokens:,} tokens" + (
        f" of {largest.limit:,}" if largest.limit else ""
    )
    unserved = f"; {turns(lost)} got no answer" if lost else ""
    yield found(
        "limit.refused",
        FAILING if lost else DEGRADED,
        f"the guard refused {many(len(events), 'prompt')}, {told}{unserved}",
        [turn.number for turn in where],
        refusals=len(events),
        tokens=largest.tokens,
        limit=largest.limit or 0,
    )


def _unanswered(turn: Turn) -> bool:
    """Whether a turn ended with a refusal: its agent sent nothing after it."""
    return refused(last(turn.calls, turn))


def approached(case: Case) -> Iterator[Finding]:
    """Find a prompt that came near its limit while nothing was done about it."""
    high, near = case.above(case.thresholds.high), case.above(case.thresholds.near)
    if len(case.turns) < 3 or not near or near[0] == 0:
        return
    way = range(max(0, high[0] - 1), near[0] + 1)
    if any(_relieved(case.turns[index]) for index in way[1:]) or _fell(case, way):
        return
    share = case.shares[near[0]] or 0.0
    begun = case.numbers(high[:1])[0]
    where = case.numbers(way[1:])
    yield found(
        "limit.approached",
        FAILING,
        f"turn {where[-1]} reached {percent(share)} of the limit, and nothing was excluded or"
        f" compressed since turn {begun} passed {percent(case.thresholds.high)}",
        where,
        utilization=round(share, 6),
        threshold=case.thresholds.near,
    )


def _relieved(turn: Turn) -> bool:
    return bool(turn.of(EXCLUDED) or turn.of(COMPRESSED))


def _fell(case: Case, indexes: Iterable[int]) -> bool:
    sizes = [case.totals[index] for index in indexes]
    return any(now < before for before, now in pairwise(sizes))


def high(case: Case) -> Iterator[Finding]:
    """Find turns above the high share of the limit."""
    above = case.above(case.thresholds.high)
    if not above:
        return
    peak = max(above, key=lambda index: case.shares[index] or 0.0)
    share = case.shares[peak] or 0.0
    yield found(
        "utilization.high",
        DEGRADED,
        f"{len(above):,} of {many(len(case.turns), 'turn')} at or above"
        f" {percent(case.thresholds.high)} of the limit, at most {percent(share)} in turn"
        f" {case.turns[peak].number}",
        case.numbers(above),
        utilization=round(share, 6),
        threshold=case.thresholds.high,
    )


def low(case: Case) -> Iterator[Finding]:
    """Find turns that use little of the limit: those that say so, or a long conversation of them."""
    told = [turn for turn in case.session.turns if turn.of(LOW)]
    shares = [share for share in case.shares if share is not None]
    idle = case.long and bool(shares) and max(shares) < case.thresholds.low
    where = told or (list(case.turns) if idle else [])
    if not where:
        return
    left_out = [event for turn in where for event in turn.of(EXCLUDED)]
    tokens = sum(event.tokens for event in left_out)
    largest = max((turn.utilization or 0.0 for turn in where), default=0.0)
    although = (
        f", and {many(len(left_out), 'component')} ({tokens:,} tokens) stayed out all the same"
        if left_out
        else ""
    )
    yield found(
        "utilization.low",
        DEGRADED if left_out else HEALTHY,
        f"{many(len(where), 'turn')} used at most {percent(largest)} of the limit{although}",
        [turn.number for turn in where],
        utilization=round(largest, 6),
        excluded_tokens=tokens,
    )


def phases(case: Case) -> Iterator[Finding]:
    """Find turns that are larger than what is expected of their phase."""
    for phase in case.phases:
        inside = [n for n, one in enumerate(case.turns) if phase.first <= one.number <= phase.last]
        most, total = phase.max_utilization, phase.max_total
        shares = {n: share for n in inside if (share := case.shares[n]) is not None}
        full = [n for n, share in shares.items() if most is not None and share > most]
        large = [n for n in inside if total is not None and case.totals[n] > total]
        if full:
            reached, most = max(shares[n] for n in full), most or 0.0
            told = f"{percent(reached)} of the limit, expected at most {percent(most)}"
            sizes = {"utilization": round(reached, 6), "expected_utilization": most}
            yield _unexpected(case, phase.name, full, told, sizes)
        if large:
            tokens, total = max(case.totals[n] for n in large), total or 0
            told = f"{tokens:,} tokens, expected at most {total:,}"
            sizes = {"reached": tokens, "expected": total}
            yield _unexpected(case, phase.name, large, told, sizes)


def _unexpected(
    case: Case, name: str, where: list[int], told: str, sizes: dict[str, float]
) -> Finding:
    numbered = case.numbers(where)
    text = f"{turns(numbered)} of phase {name} reach {told}"
    return replace(found("phase.exceeded", FAILING, text, numbered), numbers=sizes)


RULES = (exceeded, stopped, approached, high, low, phases)
