"""What ended calls teach, in one place: limits, paces of conversations and models, stored contexts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tokentrace import guard
from tokentrace.counting import anchoring, factors, stored
from tokentrace.counting.factors import FACTORS
from tokentrace.guard.learned import Key, key_of, shown
from tokentrace.instrument.requests import Request
from tokentrace.lineage import Lineage
from tokentrace.prompt import ANCHORED, EXACT, CallRecord, Count, LimitReport, Prompt, Usage


@dataclass(frozen=True, slots=True)
class Own:
    """Our own count of the prompt that was counted last, before anything else is known of it.

    Attributes:
        request: the call's own.
        prompt: as read.
        count: with the contexts that were known.
    """

    request: Request
    prompt: Prompt
    count: Count
    footprint: anchoring.Footprint

    @property
    def hides(self) -> bool:
        """Whether the prompt is more than its body."""
        return bool(self.prompt.server or self.prompt.stored)

    @property
    def unbounded(self) -> bool:
        """Whether the prompt names a context of which nothing is known."""
        return any(name in self.prompt.server for name, _ in self.prompt.stored)

    def believes(self, tokens: int) -> bool:
        """Whether a provider's own count can be that of this prompt."""
        if self.footprint.alone:
            return anchoring.plausible(self.footprint, tokens)
        hidden = self.count.components.get(stored.COMPONENT, 0)
        return anchoring.enough(self.count.total - hidden, tokens)


def own(request: Request, prompt: Prompt, count: Count) -> Own:
    """Return what is kept of a count until its call is over."""
    return Own(request, prompt, count, anchoring.footprint(prompt, count))


def _place(request: Request) -> tuple[str, str]:
    return key_of(request.provider, request.base_url, "")[:2]


# ── before ───────────────────────────────────────────────────────────────────────────────────────


def contexts(request: Request, prompt: Prompt) -> stored.Known:
    """Return what is known of the contexts that a prompt names."""
    return stored.expected(prompt, _place(request))


def better(known: Own, lineage: Lineage) -> Count:
    """Return the count by what was learned: from the conversation's own calls, else from the model's."""
    if known.count.method == EXACT:
        return known.count
    anchored = anchoring.anchored(known.count, known.prompt, lineage.known)
    if anchored is not known.count:
        return anchored
    return factors.applied(_key(known), known.prompt, known.count, known.footprint)


def _key(known: Own) -> Key:
    return key_of(known.request.provider, known.request.base_url, known.prompt.model)


def leading(request: Request, prompt: Prompt) -> str:
    """Return the lineage that a prompt goes on with by the context that it names, or nothing."""
    known = contexts(request, prompt) if prompt.stored else {}
    return next((one.lineage for one in known.values() if one.lineage), "")


# ── after ────────────────────────────────────────────────────────────────────────────────────────


def answered(known: Own, usage: Usage, lineage: Lineage, report: LimitReport | None) -> None:
    """Learn from what the provider reported: the next call counts on from it."""
    request, prompt = known.request, known.prompt
    guard.confirm(request.provider, request.base_url, prompt, usage.input)
    reported = usage.input or 0
    if reported and (report is None or report.count.method != ANCHORED):
        factors.note(_key(known), prompt, known.count, known.footprint, reported)
    lineage.known.note(prompt, known.footprint, usage)
    if prompt.api in stored.CHAINED or prompt.stored:
        stored.note(prompt, known.count, usage, _place(request), lineage.id)
    if report is None or report.count.method == EXACT:
        return
    if _explained(known, reported):
        lineage.correct(report.count.total, reported)


def _explained(known: Own, reported: int) -> bool:
    """Whether a reported number is the size of the prompt, as the next turn's growth is told by."""
    if known.footprint.alone:
        return anchoring.plausible(known.footprint, reported)
    return known.hides and stored.attributed(known.count, reported).total == reported


def learned_factors() -> dict[str, dict[str, Any]]:
    """Return the factors that are in use, by model and host, see `counting.factors`."""
    return {
        shown(key): {
            "factor": round(factor.value, 4),
            "share": round(factor.share, 4),
            "calls": len(factor.calls),
        }
        for key, factor in FACTORS.items().items()
        if factor.useful
    }


def told(record: CallRecord, known: Own | None, usage: Usage) -> CallRecord:
    """Return a call's record as its usage explains it: what no body shows is known now."""
    if known is None or not known.hides or not usage.input:
        return record
    count = Count(record.tokens, record.components, method=record.method, error=record.error)
    if stored.attributed(count, usage.input).total != usage.input:
        return record
    count = stored.provided(count, usage.input, hidden=True)
    return replace(
        record,
        tokens=count.total,
        components=count.components,
        method=count.method,
        error=count.error,
    )
