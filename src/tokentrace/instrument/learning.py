"""What ended calls teach, in one place: limits, a conversation's pace, what a provider keeps of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tokentrace import guard
from tokentrace.counting import anchoring, stored
from tokentrace.guard.learned import key_of
from tokentrace.instrument.requests import Request
from tokentrace.lineage import Lineage
from tokentrace.prompt import EXACT, CallRecord, Count, LimitReport, Prompt, Usage


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

    def believes(self, tokens: int) -> bool:
        """Whether a provider's own count can be that of this prompt."""
        return not self.footprint.alone or anchoring.plausible(self.footprint, tokens)


def own(request: Request, prompt: Prompt, count: Count) -> Own:
    """Return what is kept of a count until its call is over."""
    return Own(request, prompt, count, anchoring.footprint(prompt, count))


def _place(request: Request) -> tuple[str, str]:
    return key_of(request.provider, request.base_url, "")[:2]


# ── before ───────────────────────────────────────────────────────────────────────────────────────


def contexts(request: Request, prompt: Prompt) -> stored.Known:
    """Return what is known of the contexts that a prompt names."""
    return stored.expected(prompt, _place(request))


def leading(request: Request, prompt: Prompt) -> str:
    """Return the lineage that a prompt goes on with by the context that it names, or nothing."""
    known = contexts(request, prompt) if prompt.stored else {}
    return next((one.lineage for one in known.values() if one.lineage), "")


# ── after ────────────────────────────────────────────────────────────────────────────────────────


def answered(known: Own, usage: Usage, lineage: Lineage, report: LimitReport | None) -> None:
    """Learn from what the provider reported: the next call counts on from it."""
    request, prompt = known.request, known.prompt
    guard.confirm(request.provider, request.base_url, prompt, usage.input)
    lineage.known.note(prompt, known.footprint, usage)
    if prompt.api in stored.CHAINED or prompt.stored:
        stored.note(prompt, known.count, usage, _place(request), lineage.id)
    reported = usage.input or 0
    if report is None or report.count.method == EXACT:
        return
    if _explained(known, reported):
        lineage.correct(report.count.total, reported)


def _explained(known: Own, reported: int) -> bool:
    """Whether a reported number is the size of the prompt, as the next turn's growth is told by."""
    if known.footprint.alone:
        return anchoring.plausible(known.footprint, reported)
    return known.hides and stored.attributed(known.count, reported).total == reported


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
