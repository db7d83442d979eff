"""What calls cost and what tools take, in a terminal; and the rows that every report shows of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokentrace.analysis import Session, Tally, spending
from tokentrace.analysis.spending import Sheet
from tokentrace.insights.cost import UNIT, Bill, Missed
from tokentrace.insights.tools import Tool
from tokentrace.providers.prices import EXTRA
from tokentrace.report import cells, safe, words

UNKNOWN = "unknown"
LISTED = 20  # sessions, turns, models, tools
TEXTS = frozenset({"component", "session", "tool", "group"})  # columns
DRIFT = "unattributed"
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


def money(amount: int | None, decimals: int | None = None) -> str:
    """Return an amount in dollars; what is not known is ``unknown``, never 0."""
    if amount is None:
        return UNKNOWN
    places = digits(amount) if decimals is None else decimals
    least = UNIT // 10**places
    sign = "-" if amount < 0 else ""
    if amount and abs(amount) < least:
        return f"{sign}<${least / UNIT:.{places}f}"
    return f"{sign}${abs(amount) / UNIT:,.{places}f}"


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
    title = f"cost of all {tally.count:,} sessions  {money(tally.bill.total)}"
    console.print(Text(title, "bold"), soft_wrap=True)
    table = _table("session", "calls", "cost")
    for one in tally.last:
        name = cells.cut(words.title(one.session), max(12, console.width - 30))
        table.add_row(name, f"{one.total.calls:,}", _amount(one.paid))
    console.print(table)
    if older := tally.count - len(tally.last):
        console.print(Text(f"and {older:,} older sessions", "dim"))
    _said(remarks(tally.bill, tally.missed), console)


def _bill(session: Session, sheet: Sheet, console: Console) -> None:
    bill = sheet.bill
    title = f"cost  {money(bill.total)} for {cells.many(bill.known, 'call')}"
    console.print(Text(title, "bold"))
    if not spending.listed(asked=True):
        console.print(Text(MISSING, "yellow"), soft_wrap=True)
    if bill.total is not None:
        console.print(_lines(session, bill, bill.total))
    _said(remarks(bill, sheet.missed), console)


def _lines(session: Session, bill: Bill, total: int) -> Table:
    table = _table("component", "tokens", "cost", "share")
    places = digits(total)
    tokens: dict[str, int] = defaultdict(int)
    for call in session.calls:
        for name, count in call.components.items():
            tokens[name] += count
    for name, amount in lines(bill):
        share = cells.percent(amount / total) if total > 0 else "-"
        held = f"{tokens[name]:,}" if name in bill.components else ""
        table.add_row(cells.cut(safe(name), 24), held, money(amount, places), share)
    table.add_row(Text("total", "bold"), "", Text(money(total, places), "bold"), "")
    return table


def _turns(session: Session, sheet: Sheet, console: Console) -> None:
    pairs = list(zip(session.turns, sheet.turns, strict=True))
    if len(pairs) < 2 or sheet.bill.total is None:
        return
    table = _table("turn", "calls", "input", "output", "cost")
    places = max(digits(bill.total) for _, bill in pairs[-LISTED:])
    for turn, bill in pairs[-LISTED:]:
        paid = (bill.input, bill.output + bill.reasoning) if bill.known else (None, None)
        shown = [_amount(one, places) for one in (*paid, bill.total)]
        table.add_row(f"{turn.number:,}", f"{len(turn.calls):,}", *shown)
    if len(pairs) > LISTED:
        console.print(Text(f"the last {LISTED} of {len(pairs):,} turns; --json has all", "dim"))
    console.print(table)
    console.print()


def _tools(tools: Sequence[Tool], console: Console, *, costs: bool) -> None:
    if not tools:
        return
    console.print(Text("tools: tokens over all prompts", "bold"))
    grouped = groups(tools)
    table = _table(
        *("tool", *(("group",) if grouped else ())),
        *("definition", "carried", "results", "calls", "a 1,000", "turns"),
        *(("cost",) if costs else ()),
    )
    for one in tools[:LISTED]:
        table.add_row(*_tool(one, grouped=bool(grouped), costs=costs))
    console.print(table)
    if len(tools) > LISTED:
        console.print(Text(f"and {len(tools) - LISTED:,} more", "dim"))
    for name, members in grouped.items():
        console.print(Text(f"group {safe(name)}: {_group(members)}"), soft_wrap=True)
    console.print()


def _tool(one: Tool, *, grouped: bool, costs: bool) -> list[str | Text]:
    row: list[str | Text] = [cells.cut(safe(one.name), 32)]
    row += [cells.cut(safe(one.group), 20)] if grouped else []
    row += [f"{one.definition:,}", f"{one.carried:,}", f"{one.results:,}"]
    row += ["-" if one.calls is None else f"{one.calls:,}"]
    rate = one.calls_per_thousand
    row += ["-" if rate is None else f"{rate:.2f}", f"{one.turns:,}"]
    return [*row, _amount(one.cost)] if costs else row


def _group(members: Sequence[Tool]) -> str:
    told = [one.calls for one in members]
    calls = sum(one for one in told if one is not None)
    said = [
        cells.many(len(members), "tool"),
        f"{sum(one.definition for one in members):,} tokens of definitions",
        f"{sum(one.results for one in members):,} of results over all prompts",
    ]
    return ", ".join([*said, *([] if None in told else [cells.many(calls, "call")])])


def _amount(amount: int | None, places: int | None = None) -> Text:
    return Text(money(amount, places), "" if amount else "dim")


def _said(told: Iterator[str], console: Console) -> None:
    for line in told:
        console.print(Text(line, "dim"), soft_wrap=True)
    console.print()


def _table(*names: str) -> Table:
    return cells.empty((name, name in TEXTS) for name in names)
