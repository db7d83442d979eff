"""The verdict in a terminal: its findings, and on request what they mean and what they stand on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokentrace.analysis import CODES, Finding, Judgement, Session, Thresholds, worst
from tokentrace.analysis.findings import HEALTHY, VERDICTS
from tokentrace.analysis.optimising import Trigger, sizes, triggers
from tokentrace.analysis.wording import turns
from tokentrace.insights.waste import HIGH
from tokentrace.report import cells, safe

INDENT = 12  # under the level of a finding
SIZES = 12
TRIGGERS = 20
SERVER = "server_context"
# of the evidence
SHARES = frozenset({"utilization", "expected_utilization", "threshold", "share"})


def render(judged: Judgement, console: Console, explained: Thresholds | None = None) -> None:
    """Print a session's verdict and findings; with thresholds, what each finding means."""
    verdict = judged.verdict
    count = f": {cells.many(len(judged.findings), 'finding')}" if judged.findings else ""
    console.print(Text(f"verdict {verdict}{count}", f"bold {cells.VERDICT_STYLES[verdict]}"))
    console.print()
    for found in judged.findings:
        level = "note" if found.level == HEALTHY else found.level
        head = Text(f"{level:<{INDENT}}", cells.VERDICT_STYLES[found.level])
        indented(safe(found.message, 400), console, head)
        indented(" · ".join(_means(found)), console, style="dim")
        for line in _explained(found, explained) if explained else ():
            indented(line, console, style="dim")
    if judged.findings:
        console.print()


def _means(found: Finding) -> Iterator[str]:
    """Yield a finding's code, what it costs, how sure it is, and what to do."""
    yield found.code
    yield from worth(found)
    yield safe(found.remedy)


def worth(found: Finding) -> Iterator[str]:
    """Yield what a finding's tokens cost where it has any, and how sure it is unless very."""
    if found.tokens is not None:
        paid, each = found.cost_usd, "break" if "breaks" in found.numbers else "turn"
        yield "cost unknown" if paid is None else f"${paid:.6f} a {each}"
    if found.confidence != HIGH:
        yield f"{found.confidence} confidence"


def _explained(found: Finding, thresholds: Thresholds) -> Iterator[str]:
    """Yield what a finding means, its evidence, and the thresholds that decided."""
    code = CODES.get(found.code)
    if code:
        yield code.means
    evidence = [turns(found.turns)] if found.turns else []
    evidence += [f"{name} {figure(name, value)}" for name, value in found.numbers.items()]
    if evidence:
        yield f"evidence: {', '.join(evidence)}"
    decided = [
        f"{name} {_set(getattr(thresholds, name))}" for name in (code.thresholds if code else ())
    ]
    if decided:
        yield f"thresholds: {', '.join(decided)}"


def figure(name: str, value: float) -> str:
    """Return a number of a finding's evidence."""
    return cells.percent(value) if name in SHARES else f"{value:,.10g}"


def _set(value: float | tuple[str, ...]) -> str:
    """Return a threshold: names, a count, or a share."""
    if isinstance(value, tuple):
        return " ".join(map(safe, value))
    return f"{value:,}" if isinstance(value, int) else cells.percent(value)


def indented(text: str, console: Console, head: Text | None = None, style: str = "") -> None:
    """Print a text in lines behind an indentation, the first of them behind ``head``."""
    line = head or Text(" " * INDENT)
    room = max(20, console.width - INDENT)
    for piece in _wrapped(text, room):
        shown = line.copy().append(piece, style)
        shown.truncate(console.width, overflow="ellipsis")
        console.print(shown)
        line = Text(" " * INDENT)


def _wrapped(text: str, room: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if line and cell_len(joined) > room:
            yield line
            joined = word
        line = joined
    yield line


def overall(counts: Counter[str], console: Console) -> None:
    """Print the verdict of many sessions together."""
    if counts.total() < 2:
        return
    told = ", ".join(f"{counts[one]:,} {one}" for one in reversed(VERDICTS) if counts[one])
    verdict = worst(counts.elements())
    line = f"verdict of all {counts.total():,} sessions: {verdict} ({told})"
    style = f"bold {cells.VERDICT_STYLES[verdict]}"
    console.print(Text(line, style), soft_wrap=True)


# ── what a session's context management did ──────────────────────────────────────────────────────


def explain(session: Session, console: Console) -> None:
    """Print what triggered optimisation, and how large components were."""
    found = triggers(session)
    console.print(Text("what triggers optimisation", "bold"))
    for trigger in found[:TRIGGERS]:
        indented(_trigger(trigger), console, Text(f"{trigger.kind:<{INDENT}}"))
    if len(found) > TRIGGERS:
        console.print(Text(f"and {len(found) - TRIGGERS:,} more", "dim"))
    if not found:
        console.print(Text("nothing was excluded, compressed or refused", "dim"))
    for name, budget in _budgets(session).items():
        console.print(Text(f"assembly {safe(name) or 'without a name'}: budget {budget:,} tokens"))
    console.print()
    for line in _unseen(session):
        indented(line, console)
    console.print(Text("component sizes in tokens", "bold"))
    console.print(_sizes(session))
    console.print()


def _unseen(session: Session) -> Iterator[str]:
    """Yield what prompts hold that no body shows, in words."""
    calls = session.calls
    beyond = sum(call.unattributed for call in calls)
    hidden = sum(call.components.get(SERVER, 0) for call in calls)
    if beyond:
        yield (
            f"unattributed: {beyond:,} tokens in {cells.many(sum(call.unattributed > 0 for call in calls), 'call')}"
            " were reported beyond what was counted: text that the provider adds, or a count that is"
            " too low; inside the bound of its count it is no finding"
        )
    if hidden:
        yield (
            f"{SERVER}: {hidden:,} tokens lie with the provider: an earlier response that the request"
            " names, or tools that the provider runs; known from what it reported"
        )


def _trigger(trigger: Trigger) -> str:
    """Return one of the reasons for which context was cut, with its turns."""
    subject = safe(trigger.name) or "prompt"
    why = safe(trigger.reason) or "no reason given"
    used = (
        "" if trigger.lowest is None else f", from {cells.percent(trigger.lowest)} of the limit on"
    )
    times = cells.many(trigger.times, "time")
    return f"{subject}, {why}: {times}, {trigger.tokens:,} tokens, {turns(trigger.turns)}{used}"


def _budgets(session: Session) -> dict[str, int]:
    contexts = [context for turn in session.turns for context in turn.contexts]
    return {one.name: one.budget for one in contexts if one.budget is not None}


def _sizes(session: Session) -> Table:
    names = ("component", "first", "least", "mean", "peak", "in turn", "last")
    found = sizes(session)
    rows = []
    for size in found[:SIZES]:
        numbers = (size.first, size.least, size.mean, size.peak, size.peak_turn, size.last)
        rows.append((cells.cut(safe(size.name), 24), *(f"{one:,}" for one in numbers)))
    table = cells.listed(names, rows, names[:1])
    if len(found) > SIZES:
        table.add_row(Text(f"and {len(found) - SIZES:,} more", "dim"))
    return table
