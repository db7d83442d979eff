"""What sessions cost: call by call, turn by turn, by component and by tool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokentrace import _config
from tokentrace.analysis.shapes import Session
from tokentrace.insights import cost, repaid
from tokentrace.insights.cost import Bill, Spending
from tokentrace.insights.tools import Tool, table
from tokentrace.prompt import CallRecord
from tokentrace.providers import prices

NO_LIST = "no list of prices"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one session cost.

    Attributes:
        bill: all of its calls.
        turns: the bill of each turn, in their order.
        calls: the cost of each call, turn by turn, None where it is not known.
        main: the cost of each turn's main call.
        missed: what the cache missed, in `cost.UNIT` parts of a dollar, and how many tokens; None
            where no call tells.
        tools: what its tools took, those that took most first.
    """

    bill: Bill
    turns: tuple[Bill, ...]
    calls: tuple[tuple[Spending | None, ...], ...]
    main: tuple[Spending | None, ...]
    missed: repaid.Missed | None
    tools: tuple[Tool, ...]


def listed(asked: bool = False) -> bool:
    """Whether prices can be looked up: the extra is there, and not switched off unless ``asked``."""
    return (asked or _config.costs()) and prices.available()


def sheet(session: Session, *, look_up: bool) -> Sheet:
    """Return what a session cost.

    Args:
        session: as it was read.
        look_up: whether to ask the list of prices; without it only what records tell is known.
    """
    paid = {id(call): _paid(call, look_up) for call in session.calls}
    reason = "" if look_up else NO_LIST
    bills = []
    for turn in session.turns:
        made = Bill()
        for call in turn.calls:
            made.note(call, paid[id(call)], reason if cost.sent(call) else "")
        bills.append(made)
    return Sheet(
        together(bills),
        tuple(bills),
        tuple(tuple(paid[id(call)] for call in turn.calls) for turn in session.turns),
        tuple(paid.get(id(turn.main)) for turn in session.turns),
        _missed(session.calls) if look_up else None,
        table(session.calls, lambda call: paid.get(id(call))),
    )


def together(bills: Iterable[Bill]) -> Bill:
    """Return one bill of many."""
    made = Bill()
    for one in bills:
        made.merge(one)
    return made


def _paid(call: CallRecord, look_up: bool) -> Spending | None:
    return cost.agreed(call, cost.spent(call) if look_up else None)


def _missed(calls: Iterable[CallRecord]) -> repaid.Missed | None:
    """Return what the cache missed, each call against the one before it in its lineage."""
    before: dict[str, CallRecord] = {}
    found: list[repaid.Missed] = []
    for call in sorted(calls, key=lambda call: (call.start, call.end)):
        if not call.lineage or not cost.sent(call):
            continue
        last = before.get(call.lineage)
        one = None if last is None else repaid.missed(call, last)
        found += [] if one is None else [one]
        before[call.lineage] = call
    return added(found)


def added(found: Iterable[repaid.Missed | None]) -> repaid.Missed | None:
    """Return what the cache missed in all, None where none tells."""
    told = [one for one in found if one is not None]
    if not told:
        return None
    return repaid.Missed(sum(one.tokens for one in told), sum(one.cost for one in told))


def reasons(bill: Bill) -> Mapping[tuple[str, str, str], int]:
    """Return of how many calls the cost is not known, by provider, model and reason, most first."""
    return dict(sorted(bill.unknown.items(), key=lambda pair: (-pair[1], pair[0])))
