"""What calls cost and what tools take, in a terminal; and the rows that every report shows of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokentrace.analysis import Entry, Session, Tally, spending
from tokentrace.analysis.spending import Sheet
from tokentrace.insights.cost import UNIT, Bill
from tokentrace.insights.repaid import Missed
from tokentrace.insights.tools import Tool
from tokentrace.providers.prices import EXTRA
from tokentrace.report import cells, safe, words

UNKNOWN = "unknown"
LISTED = 20  # sessions, turns, models, tools
TEXTS = frozenset({"component", "session", "tool", "group"})  # columns
COLUMNS = ("definition", "carried", "results", "calls", "a 1,000", "turns")
WIDE = 100  # cells of a terminal in which groups have a column, beside their lines
AT_LEAST = "≥"
DRIFT = "unattributed"
Row = Sequence[str | Text]
MISSING = f"prices are not installed: pip install 'tokentrace[{EXTRA}]'"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for beside the turns."""

    cost: bool = False
    tools: bool = False


# ── amounts and rows ─────────────────────────────────────────────────────────────────────────────


def digits(amount: int | None) -> int:
    """Return how many decimals show four figures of an amount, at least two and at most eight."""
    decimals = 2
    while decimals < 8 and abs(amount or 0) * 10 ** (decimals - 3) < UNIT:
        decimals += 1
    return decimals if amount else 2


def money(amount: int | None) -> str:
    """Return an amount in dollars; what is not known is ``unknown``, never 0."""
    return adding([amount], digits(amount))[0]


def adding(amounts: Sequence[int | None], places: int) -> list[str]:
    """Return amounts in dollars of so many decimals that add up to their sum with as many."""
    known = [amount for amount in amounts if amount is not None]
    steps = iter(_rounded(known, UNIT // 10**places))
    return [UNKNOWN if one is None else _dollars(one, next(steps), places) for one in amounts]


def _rounded(amounts: Sequence[int], step: int) -> list[int]:
    """Return amounts in whole steps; those with the largest remainders are rounded up."""
    parts = [divmod(amount, step) for amount in amounts]
    left = (2 * sum(amounts) + step) // (2 * step) - sum(whole for whole, _ in parts)
    up = set(sorted(range(len(parts)), key=lambda at: -parts[at][1])[:left])
    return [whole + (at in up) for at, (whole, _) in enumerate(parts)]


def _dollars(amount: int, steps: int, places: int) -> str:
    sign, less = "-" if amount < 0 else "", "<" if amount and not steps else ""
    whole, rest = divmod(abs(steps) or bool(less), 10**places)
    return f"{sign}{less}${whole:,}.{rest:0{places}}"


def lines(bill: Bill) -> list[tuple[str, int]]:
    """Return what a bill adds up of: components, the largest first, then the other lines."""
    named = sorted(bill.components.items(), key=lambda pair: (-pair[1], pair[0]))
    others = {
        DRIFT: bill.drift,
        "output": bill.output,
        "reasoning (output)": bill.reasoning,
        "requests": bill.request,
        "told in sum only": bill.rest,
    }
    return [*named, *((name, amount) for name, amount in others.items() if amount)]


def paid(bill: Bill) -> list[tuple[str, str]]:
    """Return the lines of a bill as they are shown: they add up to its total as that is shown."""
    found = lines(bill)
    shown = adding([amount for _, amount in found], digits(bill.total))
    return [(name, text) for (name, _), text in zip(found, shown, strict=True)]


def whole(bill: Bill) -> str:
    """Return what a bill comes to, and of how many calls it is."""
    unknown = sum(bill.unknown.values())
    of = f"{bill.known:,} of " if unknown and bill.known else ""
    return f"{money(bill.total)} for {of}{cells.many(bill.known + unknown, 'call')}"


def each(entries: Sequence[Entry], bill: Bill) -> list[str]:
    """Return what sessions cost, as it adds up to the bill of all; ``≥`` where some is not known."""
    shown = adding([one.paid for one in entries], digits(bill.total))
    return [_least(text, partly=one.partly) for one, text in zip(entries, shown, strict=True)]


def _least(shown: str, *, partly: bool) -> str:
    return f"{AT_LEAST}{shown}" if partly and shown != UNKNOWN else shown


def remarks(bill: Bill, missed: Missed | None = None) -> Iterator[str]:
    """Yield what is to be said of a bill besides its lines."""
    if bill.reads or bill.writes:
        told = f"cache: read for {money(bill.reads)}, saved {money(bill.saved)} against plain input"
        yield told + (f", written for {money(bill.writes)}" if bill.writes else "")
    if missed is not None and missed.tokens:
        again = f"{missed.tokens:,} tokens were paid again"
        yield f"cache missed: {again}, {money(missed.cost)} more than reading them, at most"
    if bill.proportional:
        of = f"{bill.proportional:,} of {cells.many(bill.known, 'call')}"
        yield f"cached tokens were laid over components by size in {of}: no more is known"
    found = list(spending.reasons(bill).items())
    for (provider, model, reason), count in found[:LISTED]:
        name = "/".join(filter(None, (safe(provider), safe(model)))) or "no model"
        yield f"not known: {cells.many(count, 'call')} of {name} ({reason})"
    if len(found) > LISTED:
        yield f"and {len(found) - LISTED:,} more models"


def groups(tools: Sequence[Tool]) -> dict[str, list[Tool]]:
    """Return the tools of each group that has a name."""
    found: dict[str, list[Tool]] = defaultdict(list)
    for one in tools:
        if one.group:
            found[one.group].append(one)
    return dict(found)


# ── in a terminal ────────────────────────────────────────────────────────────────────────────────


def render(session: Session, console: Console, wanted: Wanted) -> None:
    """Print what a session cost, and what its tools took."""
    sheet = spending.sheet(session, look_up=spending.listed(wanted.cost))
    if wanted.cost:
        _bill(session, sheet, console)
        _turns(session, sheet, console)
    _tools(sheet.tools, console, costs=wanted.cost)


def overall(tally: Tally, console: Console) -> None:
    """Print what many sessions cost together, those that `tally` was told the costs of."""
    if tally.count < 2:
        return
    title = f"cost of all {tally.count:,} sessions  {whole(tally.bill)}"
    console.print(Text(title, "bold"), soft_wrap=True)
    rows = [
        (words.title(one.session), f"{one.total.calls:,}", _amount(one.paid, text))
        for one, text in zip(tally.last, each(tally.last, tally.bill), strict=True)
    ]
    console.print(_table(("session", "calls", "cost"), rows, console))
    if older := tally.count - len(tally.last):
        console.print(Text(f"and {older:,} older sessions", "dim"))
    _said(remarks(tally.bill, tally.missed), console)


def _bill(session: Session, sheet: Sheet, console: Console) -> None:
    bill = sheet.bill
    console.print(Text(f"cost  {whole(bill)}", "bold"))
    if not spending.listed(asked=True):
        console.print(Text(MISSING, "yellow"), soft_wrap=True)
    if bill.total is not None:
        console.print(_lines(session, bill, bill.total, console))
    _said(remarks(bill, sheet.missed), console)


def _lines(session: Session, bill: Bill, total: int, console: Console) -> Table:
    tokens: dict[str, int] = defaultdict(int)
    for call in session.calls:
        for name, count in call.components.items():
            tokens[name] += count
    rows: list[Row] = []
    for (name, amount), (_, shown) in zip(lines(bill), paid(bill), strict=True):
        share = cells.percent(amount / total) if total > 0 else "-"
        held = f"{tokens[name]:,}" if name in bill.components else ""
        rows.append((cells.cut(safe(name), 24), held, shown, share))
    rows.append((Text("total", "bold"), "", Text(money(total), "bold"), ""))
    return _table(("component", "tokens", "cost", "share"), rows, console)


def _turns(session: Session, sheet: Sheet, console: Console) -> None:
    pairs = list(zip(session.turns, sheet.turns, strict=True))
    if len(pairs) < 2 or sheet.bill.total is None:
        return
    places = max(digits(bill.total) for _, bill in pairs[-LISTED:])
    rows = [
        (f"{turn.number:,}", f"{len(turn.calls):,}", *_parts(bill, places))
        for turn, bill in pairs[-LISTED:]
    ]
    if len(pairs) > LISTED:
        console.print(Text(f"the last {LISTED} of {len(pairs):,} turns; --json has all", "dim"))
    console.print(_table(("turn", "calls", "input", "output", "cost"), rows, console))
    console.print()


def _parts(bill: Bill, places: int) -> tuple[Text, Text, Text]:
    """Return what a turn's input, its output and all of it cost."""
    if bill.total is None:
        return _amount(None, UNKNOWN), _amount(None, UNKNOWN), _amount(None, UNKNOWN)
    output = bill.output + bill.reasoning
    took, gave, _ = adding([bill.input, output, bill.total - bill.input - output], places)
    (both,) = adding([bill.total], places)
    shown = _least(both, partly=bool(bill.unknown))
    return _amount(bill.input, took), _amount(output, gave), _amount(bill.total, shown)


def _tools(tools: Sequence[Tool], console: Console, *, costs: bool) -> None:
    if not tools:
        return
    console.print(Text("tools: tokens over all prompts", "bold"))
    grouped = groups(tools)
    named = bool(grouped) and console.width >= WIDE
    names = ("tool", *(("group",) if named else ()), *COLUMNS, *(("cost",) if costs else ()))
    places = max(digits(one.cost) for one in tools[:LISTED])
    rows = [_tool(one, grouped=named, places=places if costs else None) for one in tools[:LISTED]]
    console.print(_table(names, rows, console))
    if len(tools) > LISTED:
        console.print(Text(f"and {len(tools) - LISTED:,} more", "dim"))
    for name, members in grouped.items():
        console.print(Text(f"group {safe(name)}: {_group(members)}"), soft_wrap=True)
    console.print()


def _tool(one: Tool, *, grouped: bool, places: int | None) -> Row:
    row: list[str | Text] = [cells.cut(safe(one.name), 32)]
    row += [cells.cut(safe(one.group), 20)] if grouped else []
    row += [f"{one.definition:,}", f"{one.carried:,}", f"{one.results:,}"]
    row += ["-" if one.calls is None else f"{one.calls:,}"]
    rate = one.calls_per_thousand
    row += ["-" if rate is None else f"{rate:.2f}", f"{one.turns:,}"]
    return row if places is None else [*row, _amount(one.cost, *adding([one.cost], places))]


def _group(members: Sequence[Tool]) -> str:
    told = [one.calls for one in members]
    calls = sum(one for one in told if one is not None)
    said = [
        cells.many(len(members), "tool"),
        f"{sum(one.definition for one in members):,} tokens of definitions",
        f"{sum(one.results for one in members):,} of results over all prompts",
    ]
    return ", ".join([*said, *([] if None in told else [cells.many(calls, "call")])])


def _amount(amount: int | None, shown: str) -> Text:
    return Text(shown, "" if amount else "dim")


def _said(told: Iterator[str], console: Console) -> None:
    for line in told:
        console.print(Text(line, "dim"), soft_wrap=True)
    console.print()


def _table(names: Sequence[str], rows: Sequence[Row], console: Console) -> Table:
    return cells.listed(names, rows, TEXTS, console.width)
