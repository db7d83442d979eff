"""What a token costs: list prices of genai-prices, looked up once a model, never fetched.

The library (extra ``cost``) holds the prices of about fifty providers, with their dates, long-context
steps and service tiers. It is imported at the first look-up, which takes about half a second of CPU
and 27 MB: `load_in_background` is for whoever must not wait. Its updater, which goes to the network,
is never started here; prices that the application itself had it fetch are used from then on.

A price that is not listed, is negative, or is asked for a service tier that the list does not know
on that day is None. Nothing here guesses.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, NamedTuple

EXTRA = "cost"
# All money is a whole number of these; no listed price of a token is finer (2026-11-30).
UNIT = 10**24
PER_MILLION = UNIT // 10**6
PER_THOUSAND = UNIT // 10**3

LONGEST = 300
SECOND = 10**9
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
STANDARD = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})

TIER_KEYS = ("service_tier", "processing", "speed")

# Names of providers, the standard's and our own, in the words of genai-prices where they differ.
LISTED = {
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure-inference": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "vertex": "google",
    "mistral_ai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
# What a price is for, by its name in the library. Prices by use (a web search) are no tokens.
KINDS = {
    "input_mtok": "input",
    "cache_read_mtok": "read",
    "cache_write_mtok": "write",
    "cache_write_1h_mtok": "write_long",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "requests_kcount": "request",
}
BY_USE = frozenset({"web_searches_kcount", "storage_searches_kcount"})
MEDIA = ("audio", "image", "video")
# Models that speak or draw; where the list has a price for text only, it is not that of the rest.
MIXED = ("*audio*", "*-image*", "*omni*")
# Whose customers serve under host names of their own.
ENDPOINTS = frozenset({"aws.bedrock", "azure.ai.inference", "azure.ai.openai", "gcp.vertex_ai"})


class Rates(NamedTuple):
    """What one token costs in `UNIT` parts of a dollar, and what a call costs besides."""

    input: int
    read: int
    write: int
    write_long: int
    output: int | None
    reasoning: int | None
    request: int = 0


Step = tuple[int, Rates]


@dataclass(frozen=True, slots=True)
class Price:
    """The list price of a model at one time.

    Attributes:
        provider, model: in the words of genai-prices.
        steps: rates by input size, the largest first: a step holds for all tokens of a call whose
            input is larger than its number.
        media: images or sound in the input have a price of their own.
        drawn: so have images or sound in the output.
    """

    provider: str
    model: str
    steps: tuple[Step, ...]
    media: bool = False
    drawn: bool = False

    def at(self, tokens: int) -> Rates:
        """Return the rates of a call with so many input tokens, cached ones included."""
        for start, rates in self.steps:
            if tokens > start:
                return rates
        return self.steps[-1][1]


# ── looking up ───────────────────────────────────────────────────────────────────────────────────


def price_of(provider: str, model: str, when: int = 0, tier: str = "") -> Price | None:
    """Return what a model costs, None where nobody knows.

    Args:
        provider: a name of OpenTelemetry's, or our own. Without one there is no price: the same
            model costs nothing on one's own machine.
        model: as requested or as the provider returned it.
        when: of the call, in ns since the epoch; a model whose price has changed needs it.
        tier: the service tier (``flex``, ``priority``, ``batch`` …), empty for the standard one.
    """
    if not provider or not model:
        return None
    listed = _newest()
    found = None if listed is None else _listed(listed, provider, model[:LONGEST])
    if found is None or (found.step and when <= 0):
        return None
    return _price(found, tier.lower()[:LONGEST], when - when % found.step if found.step else 0)


def available() -> bool:
    """Whether genai-prices is installed, without loading it."""
    from importlib.util import find_spec

    return loaded() or find_spec("genai_prices") is not None


def loaded() -> bool:
    """Whether a look-up would load nothing."""
    return bool(_ready)


def load() -> bool:
    """Load the list now; False where genai-prices is not installed."""
    return _newest() is not None


def load_in_background(work: Callable[[], Any] = load) -> None:
    """Start loading the list on a thread, once a process.

    A fork waits a moment for it: a child whose parent was in the middle of an import can never
    finish it.

    Args:
        work: calls `load`, whatever it raises.
    """
    global _thread  # noqa: PLW0603 - the one thread
    if _thread is not None or loaded() or not available():
        return
    _thread = threading.Thread(target=work, name="tokentrace-prices")
    try:
        _thread.start()
    except RuntimeError:  # no more threads, or the interpreter is shutting down
        _thread = None


_ready: set[bool] = set()
_thread: threading.Thread | None = None
PATIENCE = 2.0


def _before_fork() -> None:
    thread = _thread
    if thread is not None and thread.is_alive() and thread is not threading.current_thread():
        thread.join(PATIENCE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


@cache
def _library() -> ModuleType | None:
    try:
        from genai_prices import data_snapshot
    except ImportError:
        return None
    return data_snapshot


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A model of the list; ``step`` is how often its price may change, in ns, 0 for never."""

    provider: Any
    info: Any
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class _List:
    """A list of prices: another one where the application had it fetched anew."""

    held: Any


def _newest() -> _List | None:
    """Return the list as it is now, None without the library; what an older one said is forgotten."""
    global _current  # noqa: PLW0603 - the one list
    library = _library()
    if library is None:
        return None
    snapshot, known = library.get_snapshot(), _current
    if known is not None and known.held is snapshot:
        return known
    _listed.cache_clear()
    _price.cache_clear()
    _ready.add(True)
    _current = made = _List(snapshot)
    return made


_current: _List | None = None


@lru_cache(maxsize=1_024)
def _listed(listed: _List, provider: str, model: str) -> _Found | None:
    every = listed.held.providers
    wanted = LISTED.get(provider, provider)
    owner = next((one for one in every if one.id == wanted), None)
    info = None if owner is None else owner.find_model(model, all_providers=every)
    return None if owner is None or info is None else _Found(owner, info, _step(info))


def _step(info: Any) -> int:
    """Return how often a model's price may change: by day, by the minute, or never."""
    rules = [*(info.prices if isinstance(info.prices, list) else ()), *(info.price_variants or ())]
    limits = [rule.constraint for rule in rules if rule.constraint is not None]
    if any(hasattr(limit, "start_time") for limit in limits):
        return MINUTE
    return DAY if limits else 0


@lru_cache(maxsize=4_096)
def _price(found: _Found, tier: str, when: int) -> Price | None:
    try:
        moment = datetime.fromtimestamp(when / SECOND, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    wanted = {} if tier in STANDARD else _tiered(found, tier, moment)
    if wanted is None:
        return None
    listed = vars(found.info.get_prices(moment, wanted))
    return _read(found, {key: value for key, value in listed.items() if value is not None})


def _tiered(found: _Found, tier: str, moment: datetime) -> Mapping[str, str] | None:
    """Return what the list calls a tier of a model, None where it has no price for it then."""
    if not any(found.info is one for one in found.provider.models):
        return None  # another provider's model: its tiers are not this one's
    asked = [{key: tier} for key in TIER_KEYS]
    variants = (one for one in found.info.price_variants or () if one.when in asked)
    began = (one for one in variants if one.constraint is None or one.constraint.active(moment))
    return next((one.when for one in began), None)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def _read(found: _Found, listed: Mapping[str, Any]) -> Price | None:
    """Return the price that a list's entry tells, None for one that is not by the token."""
    known = {kind: _steps(listed[key], key) for key, kind in KINDS.items() if key in listed}
    if "input" not in known or any(rate < 0 for steps in known.values() for rate in steps.values()):
        return None
    apart = listed.keys() - KINDS.keys() - BY_USE
    if any(key.endswith("_mtok") and not any(kind in key for kind in MEDIA) for key in apart):
        return None  # of tokens that no usage tells
    mixed = not apart and any(fnmatchcase(found.info.id.lower(), glob) for glob in MIXED)
    starts = sorted({start for steps in known.values() for start in steps}, reverse=True)
    return Price(
        found.provider.id,
        found.info.id,
        tuple((start, _rates(known, start)) for start in starts),
        media=mixed or any(not key.startswith("output") for key in apart),
        drawn=mixed or any(key.startswith("output") for key in apart),
    )


def _steps(value: Any, key: str) -> dict[int, int]:
    """Return the rates of one kind by the input size above which they hold, -1 for any."""
    per = PER_THOUSAND if key == "requests_kcount" else PER_MILLION
    tiers = {tier.start: tier.price for tier in getattr(value, "tiers", ())}
    return {
        start: _whole(price, per)
        for start, price in {-1: getattr(value, "base", value), **tiers}.items()
    }


def _whole(price: Any, per: int) -> int:
    """Return a price in `UNIT` parts of a dollar; -1 for what is no number."""
    return round(price * per) if price.is_finite() else -1


def _rates(known: Mapping[str, Mapping[int, int]], start: int) -> Rates:
    """Return what holds above ``start``; a kind without a price of its own is plain input or output."""

    def rate(kind: str) -> int | None:
        steps = known.get(kind)
        return None if steps is None else steps[max(one for one in steps if one <= start)]

    plain, output = rate("input") or 0, rate("output")
    read, write, long = rate("read"), rate("write"), rate("write_long")
    reasoning = rate("reasoning")
    write = plain if write is None else write
    return Rates(
        plain,
        plain if read is None else read,
        write,
        write if long is None else long,
        output,
        output if reasoning is None else reasoning,
        rate("request") or 0,
    )
