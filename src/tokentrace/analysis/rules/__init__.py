"""The rules: pure functions from a `Case` to findings, each under codes of ``analysis.codes``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tokentrace.analysis.case import Case
from tokentrace.analysis.findings import Finding
from tokentrace.analysis.rules import cache, content, drift, forecast, growth, limits, relief, waste

Rule = Callable[[Case], Iterable[Finding]]

RULES: tuple[Rule, ...] = (
    *limits.RULES,
    *growth.RULES,
    *forecast.RULES,
    *relief.RULES,
    *content.RULES,
    *waste.RULES,
    *cache.RULES,
    *drift.RULES,
)
