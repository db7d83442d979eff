"""What was paid again although the provider had kept it. Pure functions over records."""

from __future__ import annotations

from dataclasses import dataclass

from tokentrace.insights.cache import SWITCHED
from tokentrace.insights.cost import price, why_not
from tokentrace.prompt import CallRecord, Usage
from tokentrace.providers.prices import Rates


@dataclass(frozen=True, slots=True)
class Missed:
    """Tokens that could have been read from the cache and were paid again.

    Attributes:
        tokens: how many, at most.
        cost: what they cost more than reading them, in `UNIT` parts of a dollar.
    """

    tokens: int
    cost: int


def again(record: CallRecord, before: CallRecord) -> int:
    """Return the tokens that a call paid again, at most, though the call before had left them in the cache.

    That is what that call read or wrote, less what this one read. Where the prefix is known to have been
    broken, and the provider does not tell what it writes, all that this prompt can share with
    the one before.
    """
    now, then = record.usage, before.usage
    most = min(now.input or 0, then.input or 0)
    kept = (then.cache_read or 0) + (then.cache_write or 0)
    broken = record.cache_broken_by or record.cache_reason.endswith(SWITCHED)
    if not broken or then.cache_write is not None:
        most = min(kept, most)
    return max(0, most - (now.cache_read or 0))


def missed(record: CallRecord, before: CallRecord) -> Missed | None:
    """Return what a call paid again that the call before it had left in the provider's cache.

    Only where the numbers say so, see `again`. None where their cost or the cached tokens are not
    known; nothing missed is 0 tokens.
    """
    now = record.usage
    if now.cache_read is None or why_not(record) or why_not(before):
        return None
    tokens = again(record, before)
    if not tokens:
        return Missed(0, 0)
    found = price(record)
    if found is None:
        return None
    return Missed(tokens, _dearer(tokens, now, found.at(now.input or 0)))


def _dearer(tokens: int, now: Usage, rates: Rates) -> int:
    """Return by how much so many tokens, the dearest first, cost more than reading them."""
    write, long = now.cache_write or 0, now.cache_write_long or 0
    plain = (now.input or 0) - (now.cache_read or 0) - write
    paid = ((rates.write_long, long), (rates.write, write - long), (rates.input, plain))
    cost = 0
    for rate, amount in sorted(paid, reverse=True):
        cost += min(tokens, amount) * max(0, rate - rates.read)
        tokens -= min(tokens, amount)
    return cost
