"""What calls cost, and which part of a prompt costs it. Pure functions over records.

Money is a whole number of `UNIT` parts of a dollar, so that the lines of a call add up to its cost
without a rounding. `usd` makes dollars of it. What nobody knows is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tokentrace.insights.pricing import price, seller
from tokentrace.insights.sharing import DRIFT, laid
from tokentrace.prompt import CallRecord, Usage
from tokentrace.providers.prices import UNIT, Price, Rates, price_of

__all__ = [
    "UNIT", "Bill", "Price", "Spending", "agreed", "basis", "bill", "output", "price", "price_of", "recorded", "sent",
    "spent", "unknown", "usd", "why_not",
]  # fmt: skip

# Why a call's cost is not known.
NOT_SENT = "not sent"
NO_USAGE = "no usage reported"
ODD_USAGE = "odd usage"
LET_GO = "stream let go"
NO_PRICE = "no price"
NO_HOST = "unknown host"
NOT_BILLED = "billed tokens not told"
MEDIA = "media priced apart"

# How cached tokens were laid over components.
NONE = ""
KNOWN = "known"
PROPORTIONAL = "proportional"

# Their streams tell while they run how much was written so far.
RUNNING = frozenset({"anthropic.messages", "gemini.generateContent", "bedrock.invoke"})

MEDIA_COMPONENT = "media"
PLAIN_OUTPUT = frozenset({"text", "json"})
# They bill other tokens than those that they report as read.
BILLED_APART = frozenset({"cohere"})
LARGEST = 10**9  # tokens of a call; a hundred times what any model takes
TOLERANCE = UNIT // 10**9
FINE = 10**15


class Spending(NamedTuple):
    """What one call cost, in `UNIT` parts of a dollar. The lines add up to ``total``.

    Attributes:
        components: by component, framing among them.
        drift: what the provider reported beyond the counted tokens; below 0 where it reported less.
        output: what was written, without ``reasoning``.
        reasoning: what was thought.
        request: a price for the call itself.
        reads, writes: of the input, what was read from and written to the provider's cache.
        saved: what reading from the cache cost less than plain input.
        rest: what a record tells in its sum alone, where the list no longer says the same.
        split: how cached tokens were laid over components: ``known`` (by the cache's own rules),
            ``proportional`` (by size: where they lie is not known), empty where none were reported.
    """

    components: Mapping[str, int]
    drift: int = 0
    output: int = 0
    reasoning: int = 0
    request: int = 0
    reads: int = 0
    writes: int = 0
    saved: int = 0
    rest: int = 0
    split: str = NONE

    @property
    def input(self) -> int:
        """All components and the drift."""
        return sum(self.components.values()) + self.drift

    @property
    def total(self) -> int:
        """The whole call."""
        return self.input + self.output + self.reasoning + self.request + self.rest


def usd(amount: int) -> float:
    """Return an amount in dollars; the nearest float there is."""
    return amount / UNIT


# ── one call ─────────────────────────────────────────────────────────────────────────────────────


def spent(record: CallRecord, known: Price | None = None) -> Spending | None:
    """Return what a call cost, None where that is not known; `unknown` says why.

    Args:
        record: the call, with the usage that the provider reported.
        known: its price, where the caller has it; by default `price`.
    """
    if why_not(record):
        return None
    found = price(record) if known is None else known
    if found is None or _apart(record, found):
        return None
    usage = paid(record)
    return _spent(record, usage, found.at(usage.input or 0))


def output(record: CallRecord, known: Price) -> int | None:
    """Return what all that a call wrote cost, None where the cost of the call is not known.

    What it cost besides is that of any other call of the same `basis`.
    """
    if why_not(record) or _apart(record, known):
        return None
    usage = paid(record)
    return sum(_written(usage, known.at(usage.input or 0)))


def basis(record: CallRecord, known: Price) -> tuple[Any, ...]:
    """Return all that the cost of a call follows from, but what it wrote."""
    usage = record.usage
    told = (usage.input, usage.cache_read, usage.cache_write, usage.cache_write_long, usage.billed)
    return (known, record.components, record.cached, told)


def unknown(record: CallRecord) -> str:
    """Return why a call's cost is not known, in a few words; empty where it is."""
    reason = why_not(record)
    if reason:
        return reason
    found = price(record)
    if found is None:
        return NO_PRICE if seller(record) or not record.provider else NO_HOST
    return _apart(record, found)


def sent(record: CallRecord) -> bool:
    """Whether a call left at all: what the guard refused costs nothing."""
    return record.decision != "refuse"


def recorded(record: CallRecord) -> Spending | None:
    """Return what a record itself says that the call cost, None where it says nothing.

    It tells the largest components and the total; what is between them is the rest.
    """
    if record.cost is None or record.cost < 0:
        return None
    components = {name: _amount(cost) for name, cost in record.costs.items() if cost >= 0}
    return Spending(components, rest=_amount(record.cost) - sum(components.values()))


def _amount(dollars: float) -> int:
    """Return dollars as an amount; a float holds fifteen decimals of it."""
    return round(dollars * FINE) * (UNIT // FINE)


def agreed(record: CallRecord, listed: Spending | None) -> Spending | None:
    """Return a call's cost: as its record says, in all the lines of the list where they agree."""
    told = recorded(record)
    if told is None or (listed is not None and abs(told.total - listed.total) < TOLERANCE):
        return listed
    return told


def paid(record: CallRecord) -> Usage:
    """Return the usage that was billed, where the provider tells it apart from what it read."""
    usage = record.usage
    if usage.billed is None:
        return usage
    took, gave = usage.billed
    plain = replace(usage, input=took, output=gave, reasoning=None)
    return replace(plain, cache_read=None, cache_write=None, cache_write_long=None)


def why_not(record: CallRecord) -> str:
    """Return why a call's usage does not tell what it cost, whatever its price; empty where it does."""
    usage = paid(record)
    if not sent(record):
        return NOT_SENT
    if usage.input is None or (usage.output is None and record.operation != "embeddings"):
        return NO_USAGE
    if record.api in RUNNING and record.settings.get("stream") and not usage.finish_reasons:
        return LET_GO
    if record.provider in BILLED_APART and record.operation != "embeddings" and not usage.billed:
        return NOT_BILLED
    read, write, long = usage.cache_read or 0, usage.cache_write or 0, usage.cache_write_long or 0
    sound = (
        0 <= read <= usage.input - write
        and 0 <= long <= write
        and usage.input <= LARGEST
        and 0 <= (usage.reasoning or 0) <= (usage.output or 0) <= LARGEST
    )
    return "" if sound else ODD_USAGE


def _apart(record: CallRecord, found: Price) -> str:
    """Return why a known price does not tell a call's cost."""
    if found.media and record.components.get(MEDIA_COMPONENT):
        return MEDIA
    if not record.usage.output:
        return ""
    if found.steps[-1][1].output is None:
        return NO_PRICE
    kind = record.settings.get("output.type")
    return MEDIA if found.drawn and kind not in PLAIN_OUTPUT else ""


def _written(usage: Usage, rates: Rates) -> tuple[int, int]:
    """Return what was said, and what was thought."""
    thought = usage.reasoning or 0
    said = (usage.output or 0) - thought
    return said * (rates.output or 0), thought * (rates.reasoning or 0)


def _spent(record: CallRecord, usage: Usage, rates: Rates) -> Spending:
    tokens = usage.input or 0
    read, write = usage.cache_read or 0, usage.cache_write or 0
    output, reasoning = _written(usage, rates)
    names = _sound(record.components)
    drift = tokens - sum(names.values())
    costs = {name: count * rates.input for name, count in names.items()}
    costs[DRIFT] = drift * rates.input
    if read or write:
        room = {**names, DRIFT: max(0, drift)}
        for rate, given in laid(room, record.cached, usage, rates):
            for name, count in given.items():
                costs[name] += count * (rate - rates.input)
    long = usage.cache_write_long or 0
    return Spending(
        costs,
        drift=costs.pop(DRIFT),
        output=output,
        reasoning=reasoning,
        request=rates.request,
        reads=read * rates.read,
        writes=(write - long) * rates.write + long * rates.write_long,
        saved=read * (rates.input - rates.read),
        split=KNOWN if record.cached and read else PROPORTIONAL if read or write else NONE,
    )


def _sound(components: Mapping[str, int]) -> Mapping[str, int]:
    """Return components, none where one is below nothing: then all of the input is drift."""
    return components if not components or min(components.values()) >= 0 else {}


# ── many calls ───────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Bill:
    """What calls cost together, in `UNIT` parts of a dollar.

    Attributes:
        components: by component, over all calls.
        drift, output, reasoning, request, reads, writes, saved, rest: as in `Spending`.
        known: how many calls these are.
        unknown: how many calls are not in it, by provider, model and reason. Calls that were never
            sent are in neither.
        proportional: of the known calls, those whose cached tokens were laid by size.
    """

    components: dict[str, int] = field(default_factory=dict)
    drift: int = 0
    output: int = 0
    reasoning: int = 0
    request: int = 0
    reads: int = 0
    writes: int = 0
    saved: int = 0
    rest: int = 0
    known: int = 0
    unknown: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    proportional: int = 0

    @property
    def input(self) -> int:
        """All components and the drift."""
        return sum(self.components.values()) + self.drift

    @property
    def total(self) -> int | None:
        """The sum of the lines; None where no call's cost is known."""
        lines = self.input + self.output + self.reasoning + self.request + self.rest
        return lines if self.known else None

    def add(self, one: Spending) -> None:
        """Add a call's cost."""
        mine = self.components
        for name, amount in one.components.items():
            mine[name] = mine.get(name, 0) + amount
        self.drift += one.drift
        self.output += one.output
        self.reasoning += one.reasoning
        self.request += one.request
        self.reads += one.reads
        self.writes += one.writes
        self.saved += one.saved
        self.rest += one.rest
        self.known += 1
        self.proportional += one.split == PROPORTIONAL

    def note(self, record: CallRecord, found: Spending | None, reason: str = "") -> None:
        """Add a call's cost, or say that it is not known, and why."""
        if found is not None:
            self.add(found)
            return
        why = reason or unknown(record)
        if why != NOT_SENT:
            self.unknown[record.provider, record.model, why] += 1

    def merge(self, other: Bill) -> None:
        """Add another bill."""
        for name, amount in other.components.items():
            self.components[name] = self.components.get(name, 0) + amount
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unknown.update(other.unknown)


SUMS = (
    *("drift", "output", "reasoning", "request", "reads", "writes", "saved", "rest"),
    *("known", "proportional"),
)


def bill(records: Iterable[CallRecord]) -> Bill:
    """Return what calls cost together."""
    made = Bill()
    for record in records:
        made.note(record, spent(record))
    return made
