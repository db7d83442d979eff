"""Whether what must be in a prompt is in it, and whether turns and figures can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tokentrace.analysis.case import SECTION, Case, found, refused, short
from tokentrace.analysis.findings import DEGRADED, FAILING, Finding
from tokentrace.analysis.shapes import DISAGREEMENT, Turn
from tokentrace.analysis.wording import many, percent, turns
from tokentrace.prompt import CallRecord

Shape = tuple[str, str, str]

# What is in every prompt of itself; the rest is what the agent carries along.
FIXED = frozenset({"system", "tools", "user", "framing", "server_context", "base_prompt", "schema"})
ANY_SIZE = frozenset({"user"})
MATTERS = 200  # tokens that a carried context had at least, to speak of its loss
HELD = "previous_response.id"  # a setting: what was said before lies with the provider
ENOUGH = 2  # turns in a row: one is another shape of call, or an input of its own kind


def stripped(case: Case) -> Iterator[Finding]:
    """Find late turns in which next to nothing is left of what the agent carries along."""
    if not case.long:
        return
    kept = FIXED | set(map(short, case.thresholds.essential))
    sizes = [_carried(turn, kept) for turn in case.turns]
    peak = max(sizes)
    late = [
        index
        for index in range(case.settled, len(sizes))
        if sizes[index] <= case.thresholds.stripped * max(sizes[: index + 1])
    ]
    if peak < MATTERS or len(late) < ENOUGH:
        return
    where, least = case.numbers(late), min(sizes[index] for index in late)
    yield found(
        "context.stripped",
        FAILING,
        f"{turns(where)} carry {least:,} tokens of context, {peak:,} at their peak",
        where,
        peak=peak,
        least=least,
    )


def _carried(turn: Turn, kept: frozenset[str] | set[str]) -> int:
    return sum(tokens for name, tokens in turn.components.items() if short(name) not in kept)


def essential(case: Case) -> Iterator[Finding]:
    """Find essential components that were there and are gone, or lost much of their size."""
    usual = _usual(case)
    for name in dict.fromkeys(map(short, case.thresholds.essential)):
        sizes = [_size(turn, name, usual) for turn in case.turns]
        owed = _owed(case, sizes)
        pairs = [
            (index, size, before)
            for index, (size, before) in enumerate(zip(sizes, owed, strict=True))
            if size is not None
        ]
        gone = _in_a_row([index for index, size, before in pairs if before and not size])
        floor = 0.0 if name in ANY_SIZE else case.thresholds.shrunk
        less = _in_a_row([index for index, size, before in pairs if size < floor * before])
        if gone or less:
            least = min(size for index, size, _ in pairs if index in (gone or less))
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


def _size(turn: Turn, name: str, usual: Shape) -> int | None:
    """Return a component's tokens in a turn's fullest call of the usual shape.

    None where there is no such call, or where the provider holds a part of the prompt that is then
    in no body.
    """
    calls = [call for call in (turn.main, *turn.calls) if call and _shape(call) == usual]
    if not calls or any(HELD in call.settings for call in calls):
        return None
    return max(
        sum(tokens for key, tokens in call.components.items() if short(key) == name)
        for call in calls
    )


def _owed(case: Case, sizes: list[int | None]) -> list[int]:
    """Return the size that a component had reached before each turn, 0 before it was ever there.

    Where sections appear that were not there before, what a component lost went into them: it is
    measured anew from there.
    """
    owed: list[int] = []
    before, known = 0, set[str]()
    for turn, size in zip(case.turns, sizes, strict=True):
        sections = {key for key in turn.components if key.startswith(SECTION)}
        before = size if sections - known and size else max(before, size or 0)
        known |= sections
        owed.append(before)
    return owed


def _in_a_row(indexes: list[int]) -> list[int]:
    """Return the indexes that have a neighbour among them."""
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
        turns=len(where),
        under_pressure=len(pressed),
        timeouts=late,
    )


def _fails(turn: Turn) -> str:
    """Return the error that a turn ended with, empty where it got its answer."""
    agent = turn.main.agent if turn.main else ""
    sent = [call for call in turn.calls if call.agent == agent and not refused(call)]
    last = max(sent, key=lambda call: (call.start, call.end), default=None)
    return last.error_type if last else ""


def disagreeing(case: Case) -> Iterator[Finding]:
    """Find figures of the agent itself that are not equal."""
    told = [(turn.number, one) for turn in case.session.turns for one in turn.of(DISAGREEMENT)]
    names = dict.fromkeys(event.name for _, event in told)
    for name in names:
        mine = [(number, event) for number, event in told if event.name == name]
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
