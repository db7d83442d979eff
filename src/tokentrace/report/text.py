"""The report in a terminal: a table of turns, what happened in them, and what they add up to.

Columns are chosen by what fits: rich never has to cut or wrap one. The largest components have
columns of their own, the rest is summed up in ``other``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import sub

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tokentrace import analysis
from tokentrace.analysis import Best, Judgement, Report, Tally, Thresholds
from tokentrace.analysis.rules import forecast
from tokentrace.analysis.shapes import (
    COMPRESSED,
    EXCLUDED,
    Session,
    Summary,
    Turn,
)
from tokentrace.readers import Problems
from tokentrace.report import cells, costs, drift, overview, safe, verdicts, words

SHOWN = 3  # sessions with a table of their own; of more, only the newest has one
LISTED = overview.LISTED
EVENTS = 40
PROBLEMS = 5
FAR = 1_000  # turns: a limit that is further off is none
OTHER = "other"
NOTHING = costs.Wanted()
ORDER: tuple[str, ...] = (
    "total",
    "limit",
    "used",
    "bar",
    "delta",
    "guard",
    "excluded",
    "compressed",
)
ORDER += ("drift", "calls", "output")


def render(
    report: Report,
    console: Console,
    explained: Thresholds | None = None,
    wanted: costs.Wanted = NOTHING,
) -> None:
    """Print the report; it fits the width of ``console``.

    Args:
        report: what to show.
        console: where.
        explained: the thresholds that it was judged by, to have each finding explained.
        wanted: what to show beside the turns.
    """
    shown = list(zip(report.sessions, report.judgements, strict=True))
    tally, worst = overview.told(shown, priced=wanted.cost)
    told(tally, worst, report.sessions.__getitem__, console, explained, wanted=wanted)
    problems(report.problems, console)


def told(
    tally: Tally,
    worst: Best,
    find: Callable[[int], Session],
    console: Console,
    explained: Thresholds | None = None,
    *,
    wanted: costs.Wanted = NOTHING,
) -> None:
    """Print sessions that were told of, with a table of turns for one or a few of them.

    Args:
        tally: all of them, with at least the newest 20.
        worst: of more than 20.
        find: gives the whole session at a place; one is asked for at a time.
        console: where.
        explained: as `render` has it.
        wanted: what to show beside the turns.
    """
    shown = list(tally.last)[-1:] if tally.count > SHOWN else list(tally.last)
    if tally.count > LISTED:
        overview.render(tally, worst, console)
        shown = list(worst)[:1]
    elif tally.count > SHOWN:
        _overview(tally, console)
    for entry in shown:
        one(find(entry.place), entry.judgement, console, explained, wanted)
    if wanted.cost:
        costs.overall(tally, console)
    if tally.count > 1:
        for sentence in drift.sentences(tally.drift):
            console.print(Text(safe(sentence)), soft_wrap=True)
    verdicts.overall(tally.verdicts, console)


def one(
    session: Session,
    judged: Judgement,
    console: Console,
    explained: Thresholds | None = None,
    wanted: costs.Wanted = NOTHING,
) -> None:
    """Print one session: its turns, what happened in them, its verdict."""
    _session(session, console)
    verdicts.render(judged, console, explained)
    if explained:
        verdicts.explain(session, console)
    if wanted != NOTHING:
        costs.render(session, console, wanted)


# ── many sessions ────────────────────────────────────────────────────────────────────────────────


def _overview(tally: Tally, console: Console) -> None:
    """Print a line a session, the newest last."""
    console.print(overview.table(tally.last, console))
    hint = "The newest session follows; --session ID shows another, --json all."
    console.print(Text(hint, "dim"))
    console.print()


# ── one session ──────────────────────────────────────────────────────────────────────────────────


def _session(session: Session, console: Console) -> None:
    total = analysis.summary([session])
    _flow(_head(session, total), console, "bold")
    _flow(counted(session), console, "dim")
    console.print()
    if session.turns:
        console.print(cells.table(columns(session.turns, console.width)))
    console.print()
    _flow(_sums(session, total), console)
    console.print()
    _events(session.turns, console)


def _flow(words: Sequence[str], console: Console, style: str = "") -> None:
    """Print ``words`` with dots between them, as many lines as it takes, broken between words."""
    line = ""
    for word in words:
        joined = f"{line} · {word}" if line else word
        if line and cell_len(joined) > console.width:
            console.print(Text(line, style))
            joined = word
        line = cells.cut(joined, console.width)
    console.print(Text(line, style))


def _head(session: Session, total: Summary) -> list[str]:
    models = Counter(turn.main.model for turn in session.turns if turn.main and turn.main.model)
    facts = [words.title(session), safe(session.agent)]
    facts += [safe(model) for model, _ in models.most_common(2)]
    facts.append(f"{cells.many(total.turns, 'turn')}, {cells.many(total.calls, 'call')}")
    return [fact for fact in facts if fact]


def counted(session: Session) -> list[str]:
    """Say how sure the numbers are and what the limit is."""
    calls = session.calls
    methods = Counter(call.method for call in calls if call.method)
    error = max((call.error for call in calls), default=0)
    counted = " and ".join(method for method, _ in methods.most_common())
    words = [f"counts {counted or 'missing'}{f', at most ±{error:,}' if error else ''}"]
    words += sorted({safe(call.tokenizer) for call in calls if call.tokenizer})
    limits = {(call.limit, call.limit_source) for call in calls if call.limit is not None}
    if len(limits) == 1:
        limit, source = limits.pop()
        words.append(f"limit {limit:,}{f' ({safe(source)})' if source else ''}")
    return words


def _sums(session: Session, total: Summary) -> list[str]:
    """Return what the turns add up to, in words."""
    peak = f"peak {total.peak:,}"
    share = next(
        (turn.utilization for turn in session.turns if turn.number == total.peak_turn), None
    )
    if share is not None:
        peak += f" ({cells.percent(share)})"
    words = [f"{peak} in turn {total.peak_turn}"]
    if total.utilization is not None and total.utilization != share:
        words.append(f"at most {cells.percent(total.utilization)} of a limit")
    words += [cells.many(total.warnings, "warning")] if total.warnings else []
    words += [f"{total.exceeded} over the limit"] if total.exceeded else []
    words += [cells.many(total.refusals, "refusal")] if total.refusals else []
    words += [cells.many(total.failures, "failure")] if total.failures else []
    words += [f"{total.low_utilization} of low use"] if total.low_utilization else []
    if total.exclusions:
        words.append(f"{total.exclusions} excluded ({total.excluded_tokens:,} tokens)")
    if total.compressions:
        words.append(f"{total.compressions} compressed (saved {total.saved_tokens:,})")
    words.append(f"trend {total.increases}▲ {total.decreases}▼ {total.stable}=")
    if total.reported:
        words.append(f"reported {total.reported:,}, drift {total.drift:+,}")
    return [*words, *_ahead(session)]


def _ahead(session: Session) -> Iterable[str]:
    """Yield when the limit is reached and what grows the most, where that is known."""
    coming = forecast.coming([turn for turn in session.turns if turn.main])
    if coming is None or coming.turns > FAR:
        return
    until = f"{coming.earliest:,.0f} to {'∞' if coming.latest is None else f'{coming.latest:,.0f}'}"
    yield f"limit in about {coming.turns:,.0f} turns ({until})"
    if coming.growth:
        name, pace = coming.growth[0]
        yield f"{safe(name)} grows most, {pace:+,.0f} a turn"


# ── the table of turns ───────────────────────────────────────────────────────────────────────────


def columns(turns: Sequence[Turn], width: int) -> list[cells.Column]:
    """Return the columns that fit into ``width`` terminal cells.

    Three components and what is always shown come first, then what else fits, then as many more
    components as go in.
    """
    names = largest(turns)
    few = _components(turns, names, min(3, len(names)))
    chosen = {
        "turn": cells.numbers("turn", [turn.number for turn in turns]),
        "total": cells.Column("total", [cells.total(turn) for turn in turns]),
        "used": cells.Column("used", [cells.share(turn.utilization) for turn in turns]),
        "delta": cells.Column("delta", [cells.delta(turn) for turn in turns]),
        "guard": cells.Column("guard", [cells.guard(turn) for turn in turns], left=True),
    }
    for place, extra in _extras(turns):
        if place not in chosen and _wide([*few, *chosen.values(), extra]) <= width:
            chosen[place] = extra
    room = width - _wide([*chosen.values()]) - cells.GAP
    after = [chosen[place] for place in ORDER if place in chosen]
    return [chosen["turn"], *_fitting(turns, names, room), *after]


def _wide(columns: Sequence[cells.Column]) -> int:
    return sum(column.width for column in columns) + cells.GAP * (len(columns) - 1)


def _fitting(turns: Sequence[Turn], names: Sequence[str], room: int) -> list[cells.Column]:
    """Return as many components as fit into ``room``, with ``other`` for what does not."""
    narrowest = cells.GAP + 1
    for most in range(min(len(names), max(0, room) // narrowest + 1), -1, -1):
        chosen = _components(turns, names, most)
        if _wide(chosen) <= room:
            return chosen
    return []


def largest(turns: Sequence[Turn]) -> list[str]:
    """Return component names by their largest share of a turn; what is called other comes last."""
    peaks: Counter[str] = Counter()
    for turn in turns:
        for name, tokens in turn.components.items():
            peaks[name] = max(peaks[name], tokens)
    return sorted(peaks, key=lambda name: (name == OTHER, -peaks[name], name))


def _components(turns: Sequence[Turn], names: Sequence[str], most: int) -> list[cells.Column]:
    own = [name for name in names[:most] if name != OTHER]
    found = [
        cells.numbers(cells.heading(name), [turn.components.get(name, 0) for turn in turns])
        for name in own
    ]
    if len(own) < len(names):
        shown = [sum(turn.components.get(name, 0) for name in own) for turn in turns]
        whole = [sum(turn.components.values()) for turn in turns]
        found.append(cells.numbers(OTHER, map(sub, whole, shown)))
    return found


def _extras(turns: Sequence[Turn]) -> Iterable[tuple[str, cells.Column]]:
    """Yield what is shown where there is room, the most useful first, each with its place.

    A place that is offered twice takes the first that fits.
    """
    if any(turn.of(EXCLUDED) for turn in turns):
        yield "excluded", cells.Column("excluded", [cells.sums(turn, EXCLUDED) for turn in turns])
        yield "excluded", cells.numbers("excl", [len(turn.of(EXCLUDED)) for turn in turns])
    if any(turn.of(COMPRESSED) for turn in turns):
        yield "compressed", cells.Column("compressed", [cells.compressions(turn) for turn in turns])
        yield "compressed", cells.numbers("compr", [len(turn.of(COMPRESSED)) for turn in turns])
    if any(turn.limit is not None for turn in turns):
        yield "limit", cells.numbers("limit", [turn.limit for turn in turns])
    if any(turn.drift for turn in turns):
        yield "drift", cells.Column("drift", [cells.signed(turn.drift) for turn in turns])
    if any(len(turn.calls) > 1 for turn in turns):
        yield "calls", cells.numbers("calls", [len(turn.calls) for turn in turns])
    if any(turn.utilization is not None for turn in turns):
        yield "bar", cells.Column("", [cells.bar(turn.utilization) for turn in turns], left=True)
    yield "output", cells.numbers("output", [cells.output(turn) for turn in turns])


# ── what happened ────────────────────────────────────────────────────────────────────────────────


def _events(turns: Sequence[Turn], console: Console) -> None:
    """Print a line for each event, the last 40 of them."""
    found = [(turn.number, event) for turn in turns for event in turn.events]
    if not found:
        return
    if len(found) > EVENTS:
        older = f"{len(found) - EVENTS:,} earlier events are left out; --json has all"
        console.print(Text(older, "dim"))
    shown = found[-EVENTS:]
    names = min(24, max(cell_len(safe(event.name)) for _, event in shown))
    digits = max(len(str(number)) for number, _ in shown)
    for number, event in shown:
        head = words.head(f"turn {number:>{digits}}", event, names)
        _fold(head, words.numbers(event), words.why(event), console)
    console.print()


def _fold(head: Text, what: str, reason: str, console: Console) -> None:
    """Print an event; its reason takes a line of its own where there is no room beside it."""
    room = console.width - head.cell_len
    beside = " · ".join(filter(None, (what, reason)))
    if cell_len(beside) > room:
        beside = beside.replace(words.TOKENS, "", 1)
    below = cell_len(beside) > room and what and reason
    line = head.copy().append(what if below else beside)
    line.truncate(console.width, overflow="ellipsis")
    console.print(line)
    if below:
        indent = " " * (head.cell_len if cell_len(reason) <= room else 4)
        console.print(Text(cells.cut(f"{indent}{reason}", console.width), "dim"))


def problems(found: Problems, console: Console) -> None:
    """Say what was skipped while reading."""
    count = found.count
    if not count:
        return
    console.print(Text(f"{cells.many(count, 'damaged record')} skipped", "yellow"))
    for problem in found.kept[:PROBLEMS]:
        console.print(Text(f"  {safe(str(problem))}"), soft_wrap=True)
    if count > PROBLEMS:
        console.print(Text(f"  and {count - PROBLEMS:,} more", "dim"))
