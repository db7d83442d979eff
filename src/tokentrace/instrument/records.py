"""What of a call goes onto its span: names that may be told, and numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, fields, make_dataclass
from functools import lru_cache, partial
from operator import attrgetter, is_
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tokentrace import guard, providers, schema
from tokentrace._failsafe import attempt
from tokentrace.counting.waste import DUPLICATE
from tokentrace.insights import cost
from tokentrace.insights.waste import UNCALLED
from tokentrace.instrument import offered, state
from tokentrace.instrument.hooks import OPERATIONS
from tokentrace.instrument.offered import OTHER
from tokentrace.instrument.requests import Request
from tokentrace.lineage import Lineage, Standing
from tokentrace.names import SECTION
from tokentrace.outlook import Forecast, Waste
from tokentrace.prompt import (
    PROVIDER,
    CallRecord,
    Count,
    Detail,
    LimitReport,
    Prompt,
    Usage,
)
from tokentrace.providers import prices
from tokentrace.turns import Place

NOTHING: Mapping[str, Any] = {}
MEMO, PAID = "record", "paid"


class Where(NamedTuple):
    """Where a call stands: its place, its lineage, and against that lineage's previous turn."""

    place: Place
    lineage: Lineage
    standing: Standing


def record(
    request: Request, prompt: Prompt, report: LimitReport, where: Where, saved: int
) -> CallRecord:
    """Return the record of a call as it stands before the request leaves.

    It is the very same one where the same prompt stands where it stood and is told alike.
    """
    place, lineage, templates = where.place, where.lineage, state.templates
    told = (
        (request.sdk, request.api, request.provider, request.base_url, request.stream, saved),
        (place.session, place.agent, place.run, lineage.id, lineage.turn, templates.changes),
    )
    by = report, where.standing, templates
    kept = prompt.memo.get(MEMO)
    if kept is not None and all(map(is_, kept[0], by)) and kept[1] == told:
        known: CallRecord = kept[2]
        return known
    made = _record(request, prompt, report, where, saved)
    prompt.memo[MEMO] = by, told, made
    return made


def _record(
    request: Request, prompt: Prompt, report: LimitReport, where: Where, saved: int
) -> CallRecord:
    count = report.count
    provider, _ = providers.find(prompt.model, request.provider, request.base_url)
    address, port = _server(request.base_url)
    place, lineage, standing = where.place, where.lineage, where.standing
    return filled(
        operation=OPERATIONS.get(request.api, "chat"),
        provider=provider.otel_name or provider.name or request.sdk,
        api=request.api,
        model=prompt.model,
        settings=_settings(prompt, request),
        server_address=address,
        server_port=port,
        session=place.session,
        agent=place.agent,
        turn=lineage.turn,
        turn_id=place.run,
        delta=standing.delta,
        trend=standing.trend,
        lineage=lineage.id,
        tokens=count.total,
        method=count.method,
        error=count.error,
        tokenizer=count.tokenizer,
        components=state.templates.fold(count.components),
        details=_details(prompt, count),
        called=offered.called(prompt),
        limit=count.limit,
        limit_source=count.limit_source if count.limit is not None else "",
        decision=report.decision,
        compressed_tokens=saved,
        forecast=standing.forecast,
        **_ahead(standing.ahead),
        **_waste(standing.waste),
    )


def uncounted(record: CallRecord) -> CallRecord:
    """Return a record without what hangs on a count that is still to come."""
    return changed(record, tokens=0, method="", error=0, tokenizer="", components={}, details=())


def _ahead(coming: Forecast | None) -> dict[str, Any]:
    """Return how sure a forecast is and what grows the most, as the record's fields."""
    if coming is None:
        return {}
    name = shown(coming.growth[0][0]) if coming.growth else ""
    return {
        "forecast_earliest": coming.earliest,
        "forecast_latest": coming.latest,
        "forecast_component": name,
    }


def _waste(waste: tuple[Waste, ...]) -> dict[str, Any]:
    """Return what of a prompt could be spared, under names that may leave, as the record's fields."""
    measured = [one for one in waste if one.kind != UNCALLED]
    if not measured:
        return {}
    told: dict[tuple[str, str], Waste] = {}
    for one in measured:
        key = (one.kind, shown(one.component))
        before = told.get(key)
        tokens = one.tokens + (before.tokens if before else 0)
        told[key] = Waste(*key, tokens, max(one.turns, before.turns if before else 0))
    again = sum(one.tokens for one in told.values() if one.kind == DUPLICATE)
    return {"waste": tuple(told.values()), "duplicate_tokens": again}


def _settings(prompt: Prompt, request: Request) -> Mapping[str, Any]:
    """Return the request's settings; a stream that the SDK adds to the body later is told too."""
    if not request.stream or prompt.settings.get("stream"):
        return prompt.settings
    return {**prompt.settings, "stream": True}


@lru_cache(maxsize=256)
def _server(base_url: str) -> tuple[str, int]:
    """Return host and port of a base URL, without the user and key that it may hold."""
    try:
        parts = urlsplit(base_url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return "", 0
    return parts.hostname or "", port


def _details(prompt: Prompt, count: Count) -> tuple[Detail, ...]:
    """Return the details whose names may leave: defined tools and public sections."""
    tools = offered.defined(prompt)
    told: dict[tuple[str, str], int] = {}
    for detail in count.details:
        name = detail.name if _tellable(detail, tools) else OTHER
        key = (detail.component, name)
        told[key] = told.get(key, 0) + detail.tokens
    return tuple(Detail(component, name, tokens) for (component, name), tokens in told.items())


_NAMES = tuple(one.name for one in fields(CallRecord))
_VALUES: Callable[[CallRecord], tuple[Any, ...]] = attrgetter(*_NAMES)
# What is not frozen is filled at a fifth of the cost; with the same slots, it can become a record.
_Draft: Any = make_dataclass(
    "_Draft",
    [
        (one.name, Any, field(default=one.default, default_factory=one.default_factory))
        for one in fields(CallRecord)
    ],
    slots=True,
)
_PUT = {name: vars(CallRecord)[name].__set__ for name in _NAMES}


def filled(**given: Any) -> CallRecord:
    """Return ``CallRecord(**given)`` at a fraction of its cost."""
    fresh: Any = _Draft(**given)
    fresh.__class__ = CallRecord
    made: CallRecord = fresh
    return made


def changed(
    record: CallRecord,
    then: Callable[[CallRecord], Mapping[str, Any]] | None = None,
    **changes: Any,
) -> CallRecord:
    """Return ``dataclasses.replace(record, **changes)`` at a fraction of its cost.

    Args:
        record: stays as it is.
        then: returns what else changes, as it follows from what has changed already.
        changes: fields by name.
    """
    fresh: Any = _Draft(*_VALUES(record))
    fresh.__class__ = CallRecord
    for name, value in changes.items():
        _PUT[name](fresh, value)
    for name, value in then(fresh).items() if then is not None else ():
        _PUT[name](fresh, value)
    made: CallRecord = fresh
    return made


class Paid(NamedTuple):
    """What a prompt cost the last time.

    Attributes:
        basis: what it follows from, see `cost.basis`.
        amount: of the call, less what it wrote.
        costs: of its components, in dollars.
    """

    basis: tuple[Any, ...]
    amount: int
    costs: Mapping[str, float]


def ended(
    record: CallRecord, usage: Usage, read: Mapping[str, Any], memo: dict[str, Any] | None
) -> CallRecord:
    """Return a call's record with what was reported and, where that is known, what it cost.

    Args:
        record: as it was before the answer.
        usage: what the provider reported.
        read: what `caching.told` makes of it.
        memo: of the prompt; None where nobody will see the span: then nobody asks what it cost.
    """
    then = None if memo is None else partial(attempt, _costs, memo, default=NOTHING)
    return changed(record, then, usage=usage, **read)


def _costs(memo: dict[str, Any], record: CallRecord) -> Mapping[str, Any]:
    """Return what a call cost as its fields, where the list of prices is loaded and knows it."""
    settings = state.settings
    if settings is None or not settings.costs or not prices.loaded():
        return NOTHING
    price = cost.price(record, time.time_ns())
    if price is None:
        return NOTHING
    basis = cost.basis(record, price)
    before: Paid | None = memo.get(PAID)
    if before is None or before.basis != basis:
        found = cost.spent(record, price)
        if found is None:
            return NOTHING
        costs = {name: cost.usd(amount) for name, amount in found.components.items()}
        total = found.total
        memo[PAID] = Paid(basis, total - found.output - found.reasoning, costs)
        return {"cost": cost.usd(total), "costs": costs}
    gave = cost.output(record, price)
    if gave is None:
        return NOTHING
    return {"cost": cost.usd(before.amount + gave), "costs": before.costs}


def _tellable(detail: Detail, tools: set[str]) -> bool:
    if detail.component == "tools":
        return True
    if detail.component == "tool_results":
        return detail.name in tools
    return detail.name.startswith(SECTION) and state.templates.public(detail.name)


def events(report: LimitReport, saved: int, *, fresh: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a report has to tell: name and attributes of each event.

    Args:
        report: the final one.
        saved: tokens that the compress callback saved.
        fresh: the report warns of something that the lineage was not warned of before.
    """
    count = report.count
    if saved:
        sizes = {"name": "prompt", "before": count.total + saved, "after": count.total}
        yield schema.CONTEXT_COMPRESSED, sizes
    if not fresh and report.decision != "refuse":
        return
    over = report.decision == "refuse" or guard.exceeds(report)
    yield schema.LIMIT_EXCEEDED if over else schema.LIMIT_WARNING, _limits(report)


def overflowed(report: LimitReport, limit: int | None, tokens: int | None) -> dict[str, Any]:
    """Return what a provider's context-length error tells, beside what we counted ourselves."""
    told = {"limit": limit, "tokens": tokens, "method": PROVIDER if tokens else None}
    return {**_limits(report), **{key: value for key, value in told.items() if value is not None}}


def _limits(report: LimitReport) -> dict[str, Any]:
    count = report.count
    told = {
        "model": report.model,
        "tokens": count.total,
        "method": count.method,
        "error": count.error,
        "limit": count.limit,
        "utilization": count.utilization,
        "threshold": report.threshold,
        "decision": report.decision,
        "forecast": report.forecast,
        **_interval(report.ahead),
        "exceeded": tuple(map(shown, report.exceeded)),
        "grew": tuple(f"{shown(name)} +{tokens}" for name, tokens in report.grew[:3]),
    }
    return {name: value for name, value in told.items() if value is not None and value != ()}


def _interval(coming: Forecast | None) -> dict[str, Any]:
    told = _ahead(coming)
    if not told:
        return {}
    earliest, latest, grows = told.values()
    return {"earliest": earliest, "latest": latest, "grows": grows or None}


def shown(name: str) -> str:
    """Return a component's name where it may leave the process, else that of all such."""
    return name if state.templates.public(name) else f"{SECTION}{OTHER}"
