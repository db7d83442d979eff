"""The limit of a call: a configured one, else a learned one, else the registry's."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tokentrace.guard.configured import configured, given
from tokentrace.guard.learned import LEARNED, LESSONS, key_of
from tokentrace.prompt import Limit, Prompt

if TYPE_CHECKING:
    from tokentrace.guard import Guard


def load() -> None:
    """Read the table of models and ``TOKENTRACE_LIMITS`` now, so that no call waits for them."""
    from tokentrace import providers

    providers.load()
    given()


def limit_of(guard: Guard | None, provider: str, base_url: str, prompt: Prompt) -> Limit:
    """Return the limit of a call: a configured one, else a learned one, else the registry's.

    A learned limit below the registry's holds at once, though it only warns before it is confirmed;
    one above it holds when it is confirmed.
    """
    own = configured(guard, provider, base_url, prompt.model)
    if own is not None:
        return Limit(own, "configured")
    reserve = guard is None or guard.reserve_output
    known = _registered(prompt.model, provider, base_url, prompt.max_output, reserve)
    if not LESSONS:
        return known
    from tokentrace import providers

    _, model = providers.find(prompt.model, provider, base_url)
    output = (prompt.max_output or 0) if reserve else 0
    summed = model is not None and model.refuses_sum
    found = LESSONS.find(key_of(provider, base_url, prompt.model), output, summed=summed)
    return found if found is not None and _wins(found, known) else known


@lru_cache(maxsize=512)
def _registered(
    model: str, provider: str, base_url: str, output: int | None, reserve: bool
) -> Limit:
    """Return the registry's limit."""
    from tokentrace import providers

    _, known = providers.find(model, provider, base_url)
    return Limit() if known is None else providers.limit(known, output, reserve)


def _wins(learned: Limit, known: Limit) -> bool:
    """Whether a learned limit stands in for the registry's, which knows more where both agree."""
    if known.tokens is None or learned.tokens is None:
        return learned.tokens is not None
    return learned.tokens < known.tokens or (learned.hard and learned.tokens > known.tokens)


def soft_limit_of(guard: Guard | None, provider: str, base_url: str, prompt: Prompt) -> int | None:
    """Return the input above which the requested output no longer fits, where nobody refuses that.

    None where there is no such number, or the limit is a configured or a learned one.
    """
    if guard is None or not guard.reserve_output or not prompt.max_output:
        return None
    from tokentrace import providers

    if configured(guard, provider, base_url, prompt.model) is not None:
        return None
    _, model = providers.find(prompt.model, provider, base_url)
    if model is None:
        return None
    if LESSONS and limit_of(guard, provider, base_url, prompt).source == LEARNED:
        return None
    soft = providers.soft_limit(model, prompt.max_output)
    return None if soft.hard else soft.tokens
