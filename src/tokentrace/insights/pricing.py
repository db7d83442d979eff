"""Which price a call has: of whom, of which model, of which day and tier."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokentrace import providers
from tokentrace.prompt import CallRecord
from tokentrace.providers.prices import ENDPOINTS, Price, price_of

PATH = re.compile(r"^(?:.*publishers/google/)?models/")  # of Google's, before a model's name


def price(record: CallRecord, when: int = 0) -> Price | None:
    """Return the price of a call's model on the day of the call, None where nobody knows it.

    What the provider says it used goes before what was asked for. ``when`` is the day, in ns since
    the epoch, of a call that does not tell. A host that nobody knows has no price: the same model
    costs nothing on one's own machine.
    """
    usage, by = record.usage, seller(record)
    tier = usage.tier or str(record.settings.get("service_tier") or "")
    for model in _models(usage.response_model, record.model):
        found = price_of(by, model, record.start or when, tier)
        if found is not None:
            return found
    return None


def seller(record: CallRecord) -> str:
    """Return whose price a call has, by its host where that is told; empty where nobody knows."""
    if not record.server_address:
        return record.provider
    known = providers.hosting(record.server_address.lower()).name
    return known or (record.provider if record.provider in ENDPOINTS else "")


def _models(answered: str, asked: str) -> Iterator[str]:
    """Yield the names that a call's model may be listed by.

    What was asked for is none where another model answered: its name would hold the asked one's.
    """
    if answered:
        yield answered
    if not answered or _words(answered) >= _words(asked):
        yield asked
        yield PATH.sub("", asked)


def _words(model: str) -> frozenset[str]:
    return frozenset(re.split(r"[^a-z0-9.]+", providers.plain(model)))
