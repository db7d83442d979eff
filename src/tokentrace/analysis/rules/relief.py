"""Whether what the agent does against a large prompt is done, and helps."""

from __future__ import annotations

from collections.abc import Iterator

from tokentrace import schema
from tokentrace.analysis.case import Case, found
from tokentrace.analysis.findings import DEGRADED, Finding
from tokentrace.analysis.shapes import COMPRESSED, EXCLUDED
from tokentrace.analysis.wording import many, percent, turns


def missing(case: Case) -> Iterator[Finding]:
    """Find use that stays high while nothing is compressed."""
    high = case.above(case.thresholds.high)
    if len(high) < case.thresholds.persistent:
        return
    if any(turn.of(COMPRESSED) for turn in case.turns[high[0] :]):
        return
    where = case.numbers(high)
    yield found(
        "compression.missing",
        DEGRADED,
        f"{turns(where)} at or above {percent(case.thresholds.high)} of the limit, and nothing was"
        f" compressed from turn {where[0]} on",
        where,
        turns=len(where),
    )


def ineffective(case: Case) -> Iterator[Finding]:
    """Find compressions that save next to nothing."""
    sized = [
        (turn.number, event.before, event.after)
        for turn in case.session.turns
        for event in turn.of(COMPRESSED)
        if event.before is not None and event.after is not None and event.reason != schema.BY_GUARD
    ]
    before = sum(one for _, one, _ in sized)
    after = sum(one for _, _, one in sized)
    if len(sized) < 2 or before - after >= case.thresholds.saving * before:
        return
    yield found(
        "compression.ineffective",
        DEGRADED,
        f"{many(len(sized), 'compression')} saved {before - after:,} of {before:,} tokens",
        sorted({number for number, _, _ in sized}),
        before=before,
        after=after,
    )


def frequent(case: Case) -> Iterator[Finding]:
    """Find exclusions turn after turn that leave the prompt as large as it was."""
    for run in _runs(case):
        before, after = case.totals[max(0, run[0] - 1)], case.totals[run[-1]]
        share = case.shares[run[-1]]
        idle = share is not None and share < case.thresholds.low
        if idle or after < before * (1 - case.thresholds.relief):
            continue
        events = [event for index in run for event in case.turns[index].of(EXCLUDED)]
        tokens = sum(event.tokens for event in events)
        where = case.numbers(run)
        yield found(
            "exclusions.frequent",
            DEGRADED,
            f"{many(len(events), 'component')} ({tokens:,} tokens) left out in {turns(where)}, and"
            f" the prompt went from {before:,} to {after:,} tokens",
            where,
            exclusions=len(events),
            excluded_tokens=tokens,
            before=before,
            after=after,
        )


def _runs(case: Case) -> Iterator[list[int]]:
    """Yield the indexes of turns with exclusions that follow one another, gaps of one allowed."""
    run: list[int] = []
    for index, turn in enumerate(case.turns):
        if not turn.of(EXCLUDED):
            continue
        if run and index - run[-1] > 2:
            if len(run) >= case.thresholds.exclusions:
                yield run
            run = []
        run.append(index)
    if len(run) >= case.thresholds.exclusions:
        yield run


RULES = (missing, ineffective, frequent)
