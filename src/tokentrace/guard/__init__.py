"""The guard: what it is told.

The rest of it goes by this name too: `limit_of` finds the limit, `decide` is a pure function of a
count, `settle` runs the callbacks that may change it, `act` warns or refuses, `learn` and `confirm`
hear how calls ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokentrace.guard import acting
from tokentrace.guard.acting import Body, Settled, act, settle, unguarded, unsettled
from tokentrace.guard.deciding import LARGEST, decide, exceeds
from tokentrace.guard.learned import LESSONS, confirm, learn, learned_limits
from tokentrace.guard.limits import limit_of, soft_limit_of
from tokentrace.prompt import LimitReport

__all__ = [
    "Guard", "Settled", "act", "confirm", "decide", "exceeds", "learn", "learned_limits", "limit_of", "reset", "settle",
    "soft_limit_of", "unguarded", "unsettled",
]  # fmt: skip

THRESHOLDS = (0.8, 0.95)


@dataclass(frozen=True, slots=True)
class Guard:
    """What may leave, and what happens to the rest.

    Attributes:
        limit: the largest input in tokens: a number, numbers by model pattern (the first that
            matches holds, e.g. ``{"gpt-4o*": 100_000}``), or a callable that gets the model's name
            and returns a number or None. None asks the registry.
        thresholds: shares of the limit at which to warn.
        on_exceed: above the limit ``"warn"``, ``"raise"`` `TokenLimitExceeded`, or a callable that
            gets the report and may raise it.
        compress: called with a copy of the request body and the report from the last threshold on;
            returns a shorter body, or None. May be async on async clients.
        components: limits by component, in tokens.
        reserve_output: count the requested output against a window that input and output share,
            where the provider refuses their sum.
        forecast_turns: warn when the lineage's growth reaches the limit within so many turns; 0
            is off.
        verify: ``"near-limit"`` asks the provider's own count call, through the host's client, when the
            error bound hides which side of a threshold the count is on; where a client has no such
            call the count decides. Or a callable that is asked then: it gets the body and returns a
            number of tokens; may be async on async clients.
        on_unknown: a model without a known limit is ``"allow"``-ed, with one log line, or
            ``"raise"`` refuses it.

    Raises:
        TypeError, ValueError: an argument is of no use, at construction.
    """

    limit: int | Mapping[str, int] | Callable[[str], int | None] | None = None
    thresholds: tuple[float, ...] = THRESHOLDS
    on_exceed: str | Callable[[LimitReport], Any] = "warn"
    compress: Callable[[Body, LimitReport], Any] | None = None
    components: Mapping[str, int] | None = None
    reserve_output: bool = True
    forecast_turns: float = 3
    verify: str | Callable[[Body], Any] | None = None
    on_unknown: str = "allow"

    def __post_init__(self) -> None:
        _check_limit(self.limit)
        object.__setattr__(self, "thresholds", _thresholds(self.thresholds))
        _one_of("on_exceed", self.on_exceed, ("warn", "raise"), callables=True)
        _one_of("on_unknown", self.on_unknown, ("allow", "raise"))
        if self.verify is not None:
            _one_of("verify", self.verify, ("near-limit",), callables=True)
        if self.compress is not None and not callable(self.compress):
            raise TypeError("Guard(compress=…) takes a callable(body, report) or None")
        for name, tokens in _mapping("components", self.components or {}).items():
            _tokens(f"components[{name!r}]", tokens)
        turns = self.forecast_turns
        if not _number(turns) or not 0 <= turns < math.inf:
            raise ValueError(f"Guard(forecast_turns={turns!r}): give turns, 0 or more")

    def check(
        self, body: Mapping[str, Any], *, api: str, provider: str = "", model: str | None = None
    ) -> LimitReport:
        """Count a request body and say what this guard decides. Sends nothing, warns nobody.

        Args:
            body: a request body as on the wire.
            api: one of the api names, e.g. ``openai.chat``.
            provider: who serves it, e.g. ``azure``.
            model: the model, where the body does not name it.
        """
        if not isinstance(api, str):
            raise TypeError("Guard.check(api=…) takes one of the api names, e.g. 'openai.chat'")
        from functools import partial

        from tokentrace.counting import counter

        if model is not None:
            body = {**body, "model": model}
        limit = partial(limit_of, self, provider, "")
        prompt, count = counter.measure(body, api=api, provider=provider, limit=limit)
        soft = soft_limit_of(self, provider, "", prompt)
        return decide(replace(self, verify=None), count, soft=soft)


def reset() -> None:
    """Forget which models were told to be unknown, and what was learned (tests)."""
    acting.reset()
    LESSONS.clear()


# ── construction ─────────────────────────────────────────────────────────────────────────────────


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tokens(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"Guard({name}={value!r:.80}): give a whole number of tokens")
    if not 0 <= value < LARGEST:
        raise ValueError(f"Guard({name}={value}): give 0 or more tokens; None asks the registry")


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"Guard({name}=…) takes a mapping of names to tokens")
    return value


def _check_limit(limit: Any) -> None:
    if isinstance(limit, Mapping):
        for pattern, tokens in _mapping("limit", limit).items():
            _tokens(f"limit[{pattern!r}]", tokens)
    elif limit is not None and not callable(limit):
        _tokens("limit", limit)


def _thresholds(values: Any) -> tuple[float, ...]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        values = (values,)
    values = tuple(values)
    if not all(_number(value) and 0 < value <= 1 for value in values):
        raise ValueError(f"Guard(thresholds={values!r:.80}): give shares above 0 and up to 1")
    return tuple(sorted(float(value) for value in values))


def _one_of(name: str, value: Any, allowed: tuple[str, ...], *, callables: bool = False) -> None:
    if (isinstance(value, str) and value in allowed) or (callables and callable(value)):
        return
    names = " or ".join(map(repr, allowed)) + (" or a callable" if callables else "")
    raise ValueError(f"Guard({name}={value!r:.80}): give {names}")
