"""The limit of a call: the guard's own, else the registry's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokentrace.guard.acting import Callback
from tokentrace.guard.deciding import LARGEST
from tokentrace.prompt import Limit, Prompt

if TYPE_CHECKING:
    from tokentrace.guard import Guard


def limit_of(guard: Guard | None, provider: str, base_url: str, prompt: Prompt) -> Limit:
    """Return the limit of a call: the guard's own, else the registry's."""
    from tokentrace import providers

    configured = None if guard is None else _configured(guard.limit, prompt.model)
    if configured is not None:
        return Limit(configured, "configured")
    _, model = providers.find(prompt.model, provider, base_url)
    if model is None:
        return Limit()
    reserve = guard is None or guard.reserve_output
    return providers.limit(model, prompt.max_output, reserve)


def _configured(limit: Any, model: str) -> int | None:
    if isinstance(limit, Mapping):
        return _matching(limit, model)
    if not callable(limit):
        return limit  # type: ignore[no-any-return]
    with Callback("limit"):
        tokens = limit(model)
        if isinstance(tokens, int) and 0 <= tokens < LARGEST:
            return int(tokens)
    return None


def _matching(limits: Mapping[str, int], model: str) -> int | None:
    """Return the tokens of the model's own name, else of the first pattern that matches it."""
    if model in limits:
        return limits[model]
    from fnmatch import fnmatchcase

    name = model.lower()
    return next((n for glob, n in limits.items() if fnmatchcase(name, glob.lower())), None)


def soft_limit_of(guard: Guard | None, provider: str, base_url: str, prompt: Prompt) -> int | None:
    """Return the input above which the requested output no longer fits, where nobody refuses that.

    None where there is no such number, or the guard has a limit of its own.
    """
    from tokentrace import providers

    if guard is None or not guard.reserve_output or not prompt.max_output:
        return None
    if _configured(guard.limit, prompt.model) is not None:
        return None
    _, model = providers.find(prompt.model, provider, base_url)
    if model is None:
        return None
    soft = providers.soft_limit(model, prompt.max_output)
    return None if soft.hard else soft.tokens
