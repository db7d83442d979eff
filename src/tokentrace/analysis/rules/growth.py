"""Whether a long conversation stays bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from math import ceil

from tokentrace.analysis.case import Case, found
from tokentrace.analysis.findings import DEGRADED, FAILING, HEALTHY, Finding
from tokentrace.analysis.wording import many, percent, turns
from tokentrace.insights import REMEDIES

RISING = 0.8  # share of the steps after the build-up that must go up in growth without bound
FAR = 10  # times the length of a conversation: a limit that is further off is none of ours
FEWEST = 4  # turns after the build-up, to speak of what goes on there


def monotonic(case: Case) -> Iterator[Finding]:
    """Find a long conversation whose prompt never became smaller."""
    first, last = (case.totals[0], case.totals[-1]) if case.long else (0, 0)
    if last <= first or any(now < before for before, now in pairwise(case.totals)):
        return
    share = case.peak
    told = "" if share is None else f", {percent(share)} of the limit at its peak"
    yield found(
        "growth.monotonic",
        _level(case, share),
        f"the prompt never shrank in {len(case.turns):,} turns: {first:,} to {last:,} tokens{told}",
        case.numbers(range(len(case.turns))),
        component="",
        remedy=REMEDIES["history"],
        first=first,
        last=last,
        **({} if share is None else {"utilization": round(share, 6)}),
    )


def _level(case: Case, share: float | None) -> str:
    if share is None:
        return DEGRADED
    if share < case.thresholds.low:
        return HEALTHY
    return FAILING if share >= case.thresholds.high else DEGRADED


def unbounded(case: Case) -> Iterator[Finding]:
    """Find growth that goes on after the build-up and hardly ever falls back."""
    if not _grows(case):
        return
    tail = case.totals[case.settled :]
    pace = (tail[-1] - tail[0]) / (len(tail) - 1)
    left = _left(case, pace)
    name, grew = _grown(case)
    numbers = {"first": tail[0], "last": tail[-1], "per_turn": round(pace)}
    until = "" if left is None else f"; the limit is {_ahead(left)}"
    who = f", most of it {name} ({grew:+,})" if name else ""
    where = case.numbers(range(case.settled, len(case.turns)))
    yield found(
        "growth.unbounded",
        _urgency(case, left),
        f"{turns(where)} grow by {round(pace):,} tokens each, from {tail[0]:,} to {tail[-1]:,}"
        f"{who}{until}",
        where,
        component=name,
        remedy=REMEDIES.get(name, ""),
        **numbers,
        **({} if left is None else {"turns_left": left}),
    )


def _grows(case: Case) -> bool:
    """Whether the turns after the build-up show steady growth."""
    tail = case.totals[case.settled :]
    if not case.long or len(tail) < FEWEST:
        return False
    steps = [now - before for before, now in pairwise(tail)]
    rising = sum(step > 0 for step in steps) >= RISING * len(steps)
    fall = max(peak - now for peak, now in zip(accumulate(tail, max), tail, strict=True))
    steady = fall <= case.thresholds.fallback * max(tail)
    return rising and steady and tail[-1] - tail[0] >= case.thresholds.growth * max(1, tail[0])


def _left(case: Case, pace: float) -> int | None:
    """Return the turns until the limit at this pace, 0 where it is reached, None if unknown."""
    room = case.turns[-1].headroom
    return None if room is None else max(0, ceil(room / max(1.0, pace)))


def _ahead(left: int) -> str:
    return f"{many(left, 'turn')} ahead" if left else "reached"


def _urgency(case: Case, left: int | None) -> str:
    if left is None:
        return DEGRADED
    if left <= len(case.turns):
        return FAILING
    return DEGRADED if left < FAR * len(case.turns) else HEALTHY


def _grown(case: Case) -> tuple[str, int]:
    """Return the component that grew the most after the build-up, and by how much."""
    grew = Counter(dict(case.turns[-1].components))
    grew.subtract(dict(case.turns[case.settled].components))
    name, tokens = max(grew.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0))
    return (name, tokens) if tokens > 0 else ("", 0)


def unsettled(case: Case) -> Iterator[Finding]:
    """Find a conversation that ends far above where its build-up ended."""
    tail = range(case.settled, len(case.turns))
    if not case.long or len(tail) < FEWEST or _grows(case):
        return
    size = max(2, len(tail) // 4)
    early, late = tail[:size], tail[-size:]
    before, after = _mean(case, early), _mean(case, late)
    if after <= before * (1 + case.thresholds.settled):
        return
    yield found(
        "growth.unsettled",
        DEGRADED,
        f"{turns(case.numbers(late))} hold {after:,} tokens on average, {percent(after / max(1, before) - 1)}"
        f" more than {turns(case.numbers(early))} after the build-up ({before:,})",
        case.numbers(late),
        before=before,
        after=after,
    )


def _mean(case: Case, indexes: Sequence[int]) -> int:
    return round(sum(case.totals[index] for index in indexes) / len(indexes))


RULES = (monotonic, unbounded, unsettled)
