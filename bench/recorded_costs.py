"""Hold the cost of each recorded call against the list's own arithmetic.

    python bench/recorded_costs.py dev.jsonl.xz [--json]

Needs the extra ``cost``. Each recorded request is counted as the library counts it, made into the record
of a call with the provider's own usage, and priced on the day named below. ``exact``: its lines are what
its tokens cost, in whole numbers. ``equal``: its cost is what genai-prices makes of the same usage, to 10⁻¹⁸ dollars.
A call in which no token was cached is held again with shares of it read from a cache and written to one:
``with cache``. ``billed``: of the calls whose answer tells what they cost, those that cost the same.
"""

from __future__ import annotations

import argparse
import json
import lzma
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tokentrace import dialects, providers
from tokentrace.insights import cost
from tokentrace.instrument.hooks import OPERATIONS
from tokentrace.prompt import CallRecord, Usage
from tokentrace.providers import prices

MOMENT = datetime(2026, 11, 30, 12, tzinfo=UTC)
WHEN = int(MOMENT.timestamp()) * 10**9
CLOSE = Decimal(1).scaleb(-18)  # dollars
SHARES = (
    (60, 0, 0),
    (0, 30, 0),
    (50, 40, 15),
    (100, 0, 0),
    (0, 100, 100),
)  # % read, written, for long
TICKS = 10**10  # of xAI's own money, a dollar
FINEST = Decimal(1).scaleb(-9)  # dollars, of what answers tell
CACHED = " with cache"
COLUMNS = ("calls", "priced", "exact", "equal",
           *(f"{name}{CACHED}" for name in ("priced", "exact", "equal")), "told", "billed")  # fmt: skip
Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded call.

    Attributes:
        provider: who served it, as the recording names it.
        api: the dialect's name.
        model: as requested.
        request: the body as it was sent.
        answer: what the dialect reads its usage from.
    """

    provider: str
    api: str
    model: str
    request: Answer
    answer: Answer


def recorded(path: Path) -> Iterator[Recorded]:
    """Yield each recorded call of a file, packed or plain."""
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        for one in map(json.loads, lines):
            usage, model = one["usage"], one["model"] or ""
            api = one["api"].replace("openai_compat", "openai")
            answer = {"usage": usage, "usageMetadata": usage, "model": one["response_model"]}
            flat = usage if api.startswith(("ollama", "gemini")) else {}
            yield Recorded(one["provider"], api, model, one["request"], {**flat, **answer})


def usage_of(one: Recorded) -> Usage:
    """Return what a call's provider reported."""
    return (dialects.find(one.api) or dialects.find("generic")).usage(one.answer)


def settings_of(one: Recorded) -> Answer:
    """Return what a call's record tells of its request; a recording tells the end of every stream."""
    dialect = dialects.find(one.api)
    found = dialect.parse(one.request).settings if dialect else {}
    return {name: value for name, value in found.items() if name != "stream"}


def told(one: Recorded) -> Decimal | None:
    """Return what the provider's answer says that a call cost, in dollars."""
    usage = one.answer["usage"]
    if "cost_in_usd_ticks" in usage:
        return Decimal(usage["cost_in_usd_ticks"]) / TICKS
    cost = usage.get("cost")
    cost = cost.get("total_cost") if isinstance(cost, dict) else cost
    return None if cost is None else Decimal(str(cost))


def record(one: Recorded, components: Mapping[str, int]) -> CallRecord:
    """Return a call's record as it stands at its end, with what was counted of its prompt."""
    server, _ = providers.find(one.model, one.provider)
    return CallRecord(
        operation=OPERATIONS.get(one.api, "chat"),
        provider=server.otel_name or server.name,
        api=one.api,
        model=one.model,
        settings=settings_of(one),
        start=WHEN,
        tokens=sum(components.values()),
        components=components,
        usage=usage_of(one),
    )


def counted(one: Recorded) -> Mapping[str, int]:
    """Return the components of a call's prompt as the library counts them."""
    import tokentrace

    body = {"model": one.model, **one.request}
    return tokentrace.count(body, api=one.api, provider=one.provider).components


def lines_of(found: cost.Spending) -> int:
    """Return the sum of a call's lines: components with framing, unattributed, output and the rest."""
    others = (found.drift, found.output, found.reasoning, found.request, found.rest)
    return sum(found.components.values()) + sum(others)


def by_tokens(call: CallRecord) -> int:
    """Return what a call's tokens cost at their prices, no matter whose they are."""
    usage = cost.paid(call)
    tokens, output, thought = usage.input or 0, usage.output or 0, usage.reasoning or 0
    read, write, long = usage.cache_read or 0, usage.cache_write or 0, usage.cache_write_long or 0
    rates = cost.price(call).at(tokens)
    paid = (tokens - read - write) * rates.input + read * rates.read
    paid += (write - long) * rates.write + long * rates.write_long
    paid += (output - thought) * (rates.output or 0) + thought * (rates.reasoning or 0)
    return paid + rates.request


def theirs(call: CallRecord) -> Decimal:
    """Return what the list's own arithmetic makes of a call's usage, in dollars."""
    from genai_prices import Usage as Theirs
    from genai_prices.data_snapshot import get_snapshot

    every, usage = get_snapshot().providers, cost.paid(call)
    found = cost.price(call)
    owner = next(one for one in every if one.id == found.provider)
    names = filter(None, (usage.response_model, call.model))
    known = (owner.find_model(name, all_providers=every) for name in names)
    entry = next(one for one in known if one is not None)
    tokens = {
        "input_tokens": usage.input, "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write,
        "cache_write_1h_tokens": usage.cache_write_long, "output_reasoning_tokens": usage.reasoning,
    }  # fmt: skip
    tier = str(usage.tier or call.settings.get("service_tier") or "").lower()
    context = {} if tier in prices.STANDARD else dict.fromkeys(prices.TIER_KEYS, tier)
    made = entry.calc_price(
        Theirs(**{key: value for key, value in tokens.items() if value}),
        owner,
        genai_request_timestamp=datetime.fromtimestamp(call.start / 10**9, UTC),
        price_context=context,
    )
    return made.total_price


def held(call: CallRecord) -> tuple[bool, bool] | None:
    """Return whether the lines are the cost, and whether it is the list's; None where it is unknown."""
    found = cost.spent(call)
    if found is None:
        return None
    ours = Decimal(found.total) / cost.UNIT
    whole = lines_of(found) == found.total == by_tokens(call)
    return whole, abs(ours - theirs(call)) <= CLOSE


def with_cached(call: CallRecord) -> Iterator[CallRecord]:
    """Yield a call in which nothing was cached with some of its tokens read and written."""
    usage, tokens = call.usage, call.usage.input or 0
    if usage.cache_read or usage.cache_write or usage.billed or call.operation == "embeddings":
        return
    for share in SHARES:
        read, write, long = (tokens * one // 100 for one in share)
        shared = replace(usage, cache_read=read, cache_write=write, cache_write_long=long)
        yield replace(call, usage=shared)


@dataclass(slots=True)
class Row:
    """What came of a provider's calls: how many of each kind, and why costs are not known."""

    counts: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, call: CallRecord, billed: Decimal | None) -> None:
        """Hold a call, and what it would be with a cache."""
        self.counts["calls"] += 1
        found = held(call)
        if found is None:
            self.unknown[cost.unknown(call)] += 1
            return
        self._note(found)
        for again in map(held, with_cached(call)):
            self._note(again or (False, False), CACHED)
        if billed is not None:
            ours = Decimal(cost.spent(call).total) / cost.UNIT
            self.counts["told"] += 1
            self.counts["billed"] += abs(ours - billed) <= FINEST

    def _note(self, found: tuple[bool, bool], end: str = "") -> None:
        self.counts[f"priced{end}"] += 1
        self.counts[f"exact{end}"] += found[0]
        self.counts[f"equal{end}"] += found[1]

    def figures(self) -> dict[str, Any]:
        """Return the row's figures."""
        plain = {name: self.counts[name] for name in COLUMNS}
        return {**plain, "unknown": dict(self.unknown.most_common())}


def measure(path: Path) -> dict[str, dict[str, Any]]:
    """Return a row for each provider, those with most calls first, and one of all."""
    rows: dict[str, Row] = defaultdict(Row)
    for one in recorded(path):
        call = record(one, counted(one))
        for name in (one.provider, "all"):
            rows[name].add(call, told(one))
    ordered = sorted(rows, key=lambda name: (name == "all", -rows[name].counts["calls"], name))
    return {name: rows[name].figures() for name in ordered}


def show(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the rows as a table of Markdown."""
    heads = ("provider", *COLUMNS, "unknown")
    print(f"| {' | '.join(heads)} |\n|---|{'---:|' * len(COLUMNS)}---|")
    for name, row in rows.items():
        why = ", ".join(f"{count:,} {reason}" for reason, count in row["unknown"].items())
        print(f"| {name} | {' | '.join(f'{row[one]:,}' for one in COLUMNS)} | {why or '–'} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Hold recorded calls' costs against the list's.")
    parser.add_argument("path", type=Path, help="recorded requests, JSON lines, .xz or plain")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table = measure(options.path)
    if options.json:
        print(json.dumps(table, indent=1))
    else:
        show(table)
