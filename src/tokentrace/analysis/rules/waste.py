"""What prompts could do without: tokens that were measured when the calls were made, and tools."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tokentrace.analysis.case import Case, found, refused
from tokentrace.analysis.findings import DEGRADED, HEALTHY, Finding
from tokentrace.analysis.wording import many, percent, turns
from tokentrace.insights import cost, tools
from tokentrace.insights.waste import HIGH, KINDS, MEDIUM
from tokentrace.outlook import Waste
from tokentrace.prompt import CallRecord

FEWEST = 2  # turns: one call alone is no habit
CARRIED = "carried"
UNCHANGED = "unchanged"
CACHED = 0.5  # share of a component that was read from the provider's cache: it costs little
NAMED = 5
MANY = 20  # turns after which a tool that nobody called will hardly be
DEFINITIONS = "tools"

Held = list[tuple[int, CallRecord, Waste]]


def wasted(case: Case) -> Iterator[Finding]:
    """Find what was wasted in several turns, by kind and component."""
    for (kind, component), held in _held(case).items():
        if len(held) >= FEWEST and kind in KINDS:
            yield from _wasted(case, kind, component, held)


def _held(case: Case) -> Mapping[tuple[str, str], Held]:
    """Return the turns with a kind of waste in a component, of those that were sent."""
    found: dict[tuple[str, str], Held] = defaultdict(list)
    least = {CARRIED: case.thresholds.carried, UNCHANGED: case.thresholds.unchanged}
    for index, turn in enumerate(case.turns):
        call = turn.main
        if call is None or not call.waste or refused(call):
            continue
        for one in call.waste:
            held = 0 < one.tokens <= call.tokens  # else it is no number of this prompt
            if held and one.turns >= least.get(one.kind, 0) and not _cheap(call, one):
                found[one.kind, one.component].append((index, call, one))
    return found


def _cheap(call: CallRecord, waste: Waste) -> bool:
    """Whether what stays the same was read from the provider's cache."""
    tokens = call.components.get(waste.component, 0)
    read = call.cached.get(waste.component, 0)
    return waste.kind == UNCHANGED and read >= CACHED * max(1, tokens)


def _wasted(case: Case, kind: str, component: str, held: Held) -> Iterator[Finding]:
    says = KINDS[kind]
    tokens = round(sum(one.tokens for _, _, one in held) / len(held))
    whole = sum(call.tokens for _, call, _ in held) / len(held)
    share = tokens / max(1.0, whole)
    if share < case.thresholds.wasted:
        return
    where = case.numbers(index for index, _, _ in held)
    calls = [(call, one.tokens) for _, call, one in held]
    age = max(one.turns for _, _, one in held)
    long = f", for up to {many(age, 'turn')}" if age else ""
    one = found(
        says.code,
        _level(case, kind, share),
        f"{tokens:,} tokens of {component} a turn {says.says} ({percent(share)} of the prompt) in"
        f" {turns(where)}{long}",
        where,
        component=component,
        tokens=tokens,
        share=round(share, 6),
        age=age,
    )
    spent = money(component, calls)
    yield replace(one, tokens=tokens, cost_usd=spent, confidence=says.confidence)


def _level(case: Case, kind: str, share: float) -> str:
    heavy = share >= case.thresholds.wasteful and kind != UNCHANGED
    return DEGRADED if heavy else HEALTHY


def money(component: str, calls: Sequence[tuple[CallRecord, int]]) -> float | None:
    """Return dollars a call of tokens of a component, None where the cost of any is not known."""
    paid = [_paid(call, component, tokens) for call, tokens in calls]
    known = [one for one in paid if one is not None]
    return sum(known) / len(known) if known and len(known) == len(paid) else None


def _paid(call: CallRecord, component: str, tokens: int) -> float | None:
    """Return what tokens of a component cost in a call, in proportion to all that it holds.

    Of more than it holds they are those of the sections inside it, too: they cost as any other.
    """
    whole = call.components.get(component, 0)
    costs = _costs(call, component) if whole > 0 else None
    if costs is None:
        return None
    if tokens > whole:
        return sum(costs.values()) * tokens / max(tokens, call.tokens)
    return costs.get(component, 0.0) * tokens / whole


def _costs(call: CallRecord, component: str) -> Mapping[str, float] | None:
    """Return dollars by component, as the record tells them or else by list prices.

    None where nobody knows them, or where one is below nothing.
    """
    costs = call.costs
    if component not in costs:
        spent = cost.spent(call)
        listed = {} if spent is None else spent.components
        costs = {name: cost.usd(paid) for name, paid in listed.items()}
    return costs if min(costs.values(), default=-1.0) >= 0 else None


# ── tools ────────────────────────────────────────────────────────────────────────────────────────


def uncalled(case: Case) -> Iterator[Finding]:
    """Find definitions of tools that every prompt carried and nobody called."""
    by_agent: dict[str, list[tuple[int, CallRecord]]] = defaultdict(list)
    for turn in case.session.turns:
        for call in turn.calls:
            if call.components.get(DEFINITIONS) and not refused(call):
                by_agent[call.agent].append((turn.number, call))
    for pairs in by_agent.values():
        where = sorted({number for number, _ in pairs})
        yield from _uncalled(case, [call for _, call in pairs], where)


def _uncalled(case: Case, calls: Sequence[CallRecord], where: Sequence[int]) -> Iterator[Finding]:
    if len(where) < max(FEWEST, case.thresholds.uncalled) or tools.pending(calls):
        return
    idle = tools.idle(calls)
    whole = min(call.components[DEFINITIONS] for call in calls)
    tokens = min(whole, sum(tool.definition for tool in idle))
    share = tokens * len(calls) / max(1, sum(call.tokens for call in calls))
    if not idle or share < case.thresholds.wasted:
        return
    names = [tool.name for tool in idle[:NAMED]]
    more = f" and {len(idle) - NAMED} more" if len(idle) > NAMED else ""
    one = found(
        "tools.uncalled",
        DEGRADED if share >= case.thresholds.wasteful else HEALTHY,
        f"{many(len(idle), 'tool')} ({', '.join(names)}{more}) took {tokens:,} tokens of each prompt"
        f" ({percent(share)}) and {'was' if len(idle) == 1 else 'were'} never called in"
        f" {many(len(where), 'turn')}",
        where,
        component=DEFINITIONS,
        tokens=tokens,
        share=round(share, 6),
        tools=len(idle),
    )
    spent = money(DEFINITIONS, [(call, tokens) for call in calls])
    sure = HIGH if len(where) >= MANY else MEDIUM
    yield replace(one, tokens=tokens, cost_usd=spent, confidence=sure)


RULES = (wasted, uncalled)
