"""What tools carry and how often they are called. Pure functions over records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tokentrace.insights.cost import Spending, spent
from tokentrace.prompt import CallRecord

TOOLS = "tools"
RESULTS = "tool_results"
CARRIED = frozenset({TOOLS, RESULTS})
UNNAMED = frozenset({"other", "response_format"})
CALLING = frozenset({"tool_calls", "tool_call", "tool_use", "function_call", "requires_action"})
MCP = re.compile(r"mcp__(.+?)(?:__.*)?\Z", re.DOTALL)
BORDER = re.compile(r"__|[./:]")


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool over the calls of a conversation. Tokens and calls are integers.

    Attributes:
        name: as in its definition.
        group: the MCP server that it belongs to, or the prefix that it shares with others before a
            ``.``, ``/``, ``:`` or ``__``; empty where there is none.
        definition: tokens of its definition, the largest of all prompts; 0 where none was told.
        carried: tokens of its definition over all prompts that were sent.
        results: tokens of its results over all prompts that were sent; a result that stays in the
            conversation counts again with each.
        prompts: how many prompts carried its definition.
        turns: in how many turns.
        calls: how often it was called and the call came back in a prompt; None where the records
            do not tell.
        cost: of definition and results, in `UNIT` parts of a dollar, over the calls whose cost is
            known; None where none is.
    """

    name: str
    group: str = ""
    definition: int = 0
    carried: int = 0
    results: int = 0
    prompts: int = 0
    turns: int = 0
    calls: int | None = None
    cost: int | None = None

    @property
    def tokens(self) -> int:
        """All that it took of the prompts."""
        return self.carried + self.results

    @property
    def calls_per_thousand(self) -> float | None:
        """Calls for each thousand tokens that it took; None where either is not known."""
        if self.calls is None or not self.tokens:
            return None
        return 1_000 * self.calls / self.tokens


@dataclass(slots=True)
class _Sums:
    definition: int = 0
    carried: int = 0
    results: int = 0
    prompts: int = 0
    turns: set[tuple[str, int | None]] = field(default_factory=set)
    cost: int | None = None


def table(
    records: Iterable[CallRecord], paid: Callable[[CallRecord], Spending | None] = spent
) -> tuple[Tool, ...]:
    """Return the tools of a conversation, those that took most tokens first.

    Args:
        records: its calls. What the guard refused was not sent, and counts for nothing.
        paid: what a call cost.

    A span tells about 2,000 bytes of details, the largest first: of very many tools the smallest
    are not here.
    """
    sent = [one for one in records if one.decision != "refuse"]
    sums: dict[str, _Sums] = {}
    for record in sent:
        _add(record, sums, paid)
    calls = called(sent)
    for name in calls or ():
        sums.setdefault(name, _Sums())
    groups = _groups(list(sums))
    told = (_tool(name, groups[name], one, calls) for name, one in sums.items())
    return tuple(sorted(told, key=lambda one: (-one.tokens, one.name)))


def called(records: Sequence[CallRecord]) -> Counter[str] | None:
    """Return how often each tool was called; None where results came back and no record says whose.

    A call counts when a later prompt brings it back, so that the calls of a conversation's very
    last answer are not in it: `pending` tells whether there are any.
    """
    made = Counter(name for record in records for name in record.called)
    if not made and any(record.components.get(RESULTS) for record in records):
        return None
    return made


def idle(records: Sequence[CallRecord]) -> list[Tool]:
    """Return the tools that every prompt carried and nobody called, without what they cost."""
    if called(records) is None:
        return []
    found = table(records, lambda _: None)
    return [tool for tool in found if tool.calls == 0 and tool.prompts == len(records)]


def pending(records: Sequence[CallRecord]) -> bool:
    """Whether an answer asked for tools, whose calls no prompt has brought back yet.

    It is the newest of its line, or there are more such answers than prompts that bring calls back.
    """
    newest: dict[str, CallRecord] = {}
    for record in sorted(records, key=lambda record: record.start):
        newest[record.lineage] = record
    asked = sum(map(_asks, records))
    back = sum(bool(record.called) for record in records)
    return asked > back or any(map(_asks, newest.values()))


def _asks(record: CallRecord) -> bool:
    return not CALLING.isdisjoint(map(str.lower, record.usage.finish_reasons))


def group_of(name: str) -> str:
    """Return the MCP server in a name like ``mcp__server__tool``; empty where there is none."""
    found = MCP.match(name)
    return found.group(1) if found else ""


def _groups(names: Sequence[str]) -> dict[str, str]:
    """Return each tool's group: its server, or a prefix that at least one other tool has too."""
    prefixes = {name: BORDER.split(name, maxsplit=1)[0] for name in names if BORDER.search(name)}
    often = Counter(prefix for prefix in prefixes.values() if prefix)
    found = {name: group_of(name) for name in names}
    for name, prefix in prefixes.items():
        if not found[name] and often[prefix] > 1:
            found[name] = prefix
    return found


def _add(
    record: CallRecord, sums: dict[str, _Sums], cost_of: Callable[[CallRecord], Spending | None]
) -> None:
    """Add what one prompt carried."""
    paid = cost_of(record) if record.details else None
    costs = {} if paid is None else paid.components
    turn = (record.agent, record.turn)
    for one in record.details:
        component, name, tokens = one.component, one.name, one.tokens
        if component not in CARRIED or name in UNNAMED or tokens < 0:
            continue
        known = sums.get(name)
        if known is None:
            known = sums[name] = _Sums()
        if component == TOOLS:
            known.definition = max(known.definition, tokens)
            known.carried += tokens
            known.prompts += 1
            known.turns.add(turn)
        else:
            known.results += tokens
        if component in costs and (whole := record.components.get(component, 0)) > 0:
            share = costs[component] * min(tokens, whole) // whole
            known.cost = (known.cost or 0) + share


def _tool(name: str, group: str, sums: _Sums, calls: Counter[str] | None) -> Tool:
    return Tool(
        name,
        group,
        sums.definition,
        sums.carried,
        sums.results,
        sums.prompts,
        len(sums.turns),
        None if calls is None else calls[name],
        sums.cost,
    )
