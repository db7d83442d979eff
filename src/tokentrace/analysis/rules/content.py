"""Whether what must be in a prompt is in it, and whether turns and figures can be trusted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate

from tokentrace.analysis.case import SECTION, Case, found, last, refused, short
from tokentrace.analysis.findings import DEGRADED, FAILING, Finding
from tokentrace.analysis.shapes import DISAGREEMENT, Happening, Turn
from tokentrace.analysis.wording import many, percent, turns
from tokentrace.prompt import CallRecord

Shape = tuple[str, str, str]

# What is in every prompt of itself; the rest is what the agent carries along.
FIXED = frozenset({"system", "tools", "user", "framing", "server_context", "base_prompt", "schema"})
OWN = frozenset({"tool_results"})  # a turn's own, where no history stands beside them
ANY_SIZE = frozenset({"user"})
MATTERS = 200  # tokens that a carried context had at least, to speak of its loss
HELD = "previous_response.id"  # a setting: what was said before lies with the provider


def stripped(case: Case) -> Iterator[Finding]:
    """Find late turns in which next to nothing is left of what the agent carries along."""
    if not case.long:
        return
    kept, usual = FIXED | OWN | set(map(short, case.thresholds.essential)), _usual(case)
    sizes = [_carried(turn, kept, usual) for turn in case.turns]
    bare = _bare(sizes, case.thresholds.stripped)
    late = _in_a_row([index for index in bare if index >= case.settled])
    # What went and came back before the conversation was long was never carried along.
    measured = sum(size is not None for size in sizes[bare[0] :]) if bare else 0
    if not late or (bare[0] < case.settled and len(bare) < measured):
        return
    peak = max(size or 0 for size in sizes)
    where, least = case.numbers(late), min(sizes[index] or 0 for index in late)
    yield found(
        "context.stripped",
        FAILING,
        f"{turns(where)} carry {least:,} tokens of context, {peak:,} at their peak",
        where,
        peak=peak,
        least=least,
    )


def _bare(sizes: list[int | None], share: float) -> list[int]:
    """Return the indexes of sizes that are next to nothing of what was reached before them."""
    peaks = accumulate((size or 0 for size in sizes), max)
    return [
        index
        for index, (size, peak) in enumerate(zip(sizes, peaks, strict=True))
        if size is not None and peak >= MATTERS and size <= share * peak
    ]


def _carried(turn: Turn, kept: frozenset[str] | set[str], usual: Shape) -> int | None:
    """Return the tokens that a turn carries along; None where its prompt is of another shape."""
    main = turn.main
    if main is None or _shape(main) != usual or HELD in main.settings:
        return None
    return sum(tokens for name, tokens in main.components.items() if short(name) not in kept)


def essential(case: Case) -> Iterator[Finding]:
    """Find essential components that were there and are gone, or lost much of their size."""
    usual, moved = _usual(case), _moved(case)
    alike = [_alike(turn, usual) for turn in case.turns]
    for name in dict.fromkeys(map(short, case.thresholds.essential)):
        sizes = [_size(calls, name) for calls in alike]
        owed = _owed(sizes, moved)
        pairs = [
            (index, size, before)
            for index, (size, before) in enumerate(zip(sizes, owed, strict=True))
            if size is not None
        ]
        gone = _in_a_row([index for index, size, before in pairs if before and not size])
        floor = 0.0 if name in ANY_SIZE else case.thresholds.shrunk
        less = _in_a_row([index for index, size, before in pairs if size < floor * before])
        if gone or less:
            lost = set(gone or less)
            least = min(size for index, size, _ in pairs if index in lost)
            yield _loss(case, name, gone or less, owed, least)


def _loss(case: Case, name: str, lost: list[int], owed: list[int], least: int) -> Finding:
    """Return the finding on a component that is gone, or shrunk to ``least`` tokens."""
    where, before = case.numbers(lost), max(owed[index] for index in lost)
    code, level = ("essential.shrunk", DEGRADED) if least else ("essential.gone", FAILING)
    text = f"{name} is missing in {turns(where)}; it had {before:,} tokens"
    if least:
        share = percent(least / before)
        text = f"{name} shrank from {before:,} to {least:,} tokens ({share}) in {turns(where)}"
    return found(code, level, text, where, component=name, before=before, after=least)


def _usual(case: Case) -> Shape:
    """Return the shape of call that most turns have."""
    shapes = Counter(_shape(turn.main) for turn in case.turns if turn.main)
    return max(shapes, key=shapes.__getitem__, default=("", "", ""))


def _shape(call: CallRecord) -> Shape:
    return call.agent, call.api, call.operation


def _alike(turn: Turn, usual: Shape) -> list[CallRecord]:
    """Return a turn's calls of the usual shape.

    None where the provider holds a part of the prompt that is then in no body.
    """
    calls = [call for call in turn.calls if _shape(call) == usual]
    main = turn.main
    if main is not None and _shape(main) == usual and not any(main is call for call in calls):
        calls.append(main)
    return [] if any(HELD in call.settings for call in calls) else calls


def _size(calls: list[CallRecord], name: str) -> int | None:
    """Return a component's tokens in the fullest of calls, None where there is none."""
    section = SECTION + name
    sizes = [call.components.get(name, 0) + call.components.get(section, 0) for call in calls]
    return max(sizes, default=None)


def _moved(case: Case) -> list[bool]:
    """Return of each turn whether it has sections that none before it had."""
    moved: list[bool] = []
    known = set[str]()
    for turn in case.turns:
        sections = {key for key in turn.components if key.startswith(SECTION)}
        moved.append(not sections <= known)
        known |= sections
    return moved


def _owed(sizes: list[int | None], moved: list[bool]) -> list[int]:
    """Return the size that a component had reached before each turn, 0 before it was ever there.

    Where sections appear that were not there before, what a component lost went into them: it is
    measured anew from there.
    """
    owed: list[int] = []
    before = 0
    for size, anew in zip(sizes, moved, strict=True):
        before = size if anew and size else max(before, size or 0)
        owed.append(before)
    return owed


def _in_a_row(indexes: list[int]) -> list[int]:
    """Return the indexes that have a neighbour among them.

    One alone is another shape of call, or an input of its own kind.
    """
    held = set(indexes)
    return [index for index in indexes if {index - 1, index + 1} & held]


def failed(case: Case) -> Iterator[Finding]:
    """Find turns whose last call failed."""
    where = [turn for turn in case.session.turns if _fails(turn)]
    if not where:
        return
    pressed = [turn for turn in where if (turn.utilization or 0.0) >= case.thresholds.high]
    named = turns([turn.number for turn in where])
    under = f", {turns([turn.number for turn in pressed])} under pressure" if pressed else ""
    late = sum("timeout" in _fails(turn).lower() for turn in where)
    timed = f", {many(late, 'time-out')}" if late else ""
    yield found(
        "turn.failed",
        FAILING if pressed else DEGRADED,
        f"the last call failed in {named}{under}{timed}",
        [turn.number for turn in where],
        count=len(where),
        under_pressure=len(pressed),
        timeouts=late,
    )


def _fails(turn: Turn) -> str:
    """Return the error that a turn ended with, empty where it got its answer."""
    ended = last([call for call in turn.calls if not refused(call)], turn)
    return ended.error_type if ended else ""


def disagreeing(case: Case) -> Iterator[Finding]:
    """Find figures of the agent itself that are not equal."""
    told: dict[str, list[tuple[int, Happening]]] = defaultdict(list)
    for turn in case.session.turns:
        for event in turn.of(DISAGREEMENT):
            told[event.name].append((turn.number, event))
    for name, mine in told.items():
        where = sorted({number for number, _ in mine})
        first = max((e for _, e in mine), key=lambda e: abs((e.before or 0) - (e.after or 0)))
        why = f" ({first.reason})" if first.reason else ""
        yield found(
            "figures.disagree",
            DEGRADED,
            f"two figures for {name or 'the prompt'} disagree in {turns(where)}, at most"
            f" {first.before or 0:,} and {first.after or 0:,}{why}",
            where,
            component=name,
            first=first.before or 0,
            second=first.after or 0,
        )


RULES = (stripped, essential, failed, disagreeing)
