"""What a guard makes of a count: pure functions.

A limit is passed when ``total - error`` is above it; a threshold is reached when ``total + error``
is at or above its share of the limit. Exactly at the limit is allowed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tokentrace.names import OTHER, SECTION
from tokentrace.prompt import PROVIDER, Count, LimitReport

if TYPE_CHECKING:
    from tokentrace.guard import Guard
    from tokentrace.lineage import Standing

LARGEST = 2**53
MOST_NAMED = 3
MEMO = "report"

# ── the decision ─────────────────────────────────────────────────────────────────────────────────


def decide(
    guard: Guard | None,
    count: Count,
    standing: Standing | None = None,
    *,
    soft: int | None = None,
    known: Container[str] = (),
    unbounded: bool = False,
) -> LimitReport:
    """Return what the guard makes of a count.

    A decision ``verify`` or ``compress`` asks for `settle`; the others are final.

    Args:
        guard: None when it is off; the report then only tells.
        count: with its limit.
        standing: against the lineage's previous turn.
        soft: tokens above which only a warning is right, see `guard.soft_limit_of`.
        known: section names that may be told; others are told as ``section.other``.
        unbounded: the prompt names what the provider keeps and nobody here has seen: its size can be
            anything, whatever the bound says.
    """
    asked = (guard, count, soft, unbounded)
    if standing is not None and (told := _told(standing, asked)) is not None:
        return told
    report = _decided(guard, count, standing, soft, known, unbounded=unbounded)
    if standing is not None and _follows(guard, report):
        standing.memo[MEMO] = asked, report
    return report


def _told(standing: Standing, asked: tuple[Any, ...]) -> LimitReport | None:
    """Return what was decided where the same was asked, of the same standing, before."""
    kept = standing.memo.get(MEMO)
    same = kept is not None and kept[0][0] is asked[0] and kept[0][1] is asked[1]
    return kept[1] if kept is not None and same and kept[0][2:] == asked[2:] else None


def _follows(guard: Guard | None, report: LimitReport) -> bool:
    """Whether a decision follows from what was asked alone.

    A mapping of limits may change, and which names of sections may be told.
    """
    if guard is not None and guard.components:
        return False
    return not report.message or not any(map(_hidden, report.count.components))


def _hidden(name: str) -> bool:
    return name.startswith(SECTION)


def _decided(
    guard: Guard | None,
    count: Count,
    standing: Standing | None,
    soft: int | None,
    known: Container[str],
    *,
    unbounded: bool,
) -> LimitReport:
    report = LimitReport(
        count,
        grew=() if standing is None else _growth(count, standing.previous),
        forecast=None if standing is None else standing.forecast,
        model=count.model,
        ahead=None if standing is None else standing.ahead,
        waste=() if standing is None else standing.waste,
    )
    if guard is None:
        return replace(report, decision="off")
    report = judged(guard, report, soft=soft, known=known)
    asks = unbounded and guard.verify is not None and count.limit and not exceeds(report)
    return replace(report, decision="verify") if asks else report


def judged(
    guard: Guard,
    report: LimitReport,
    *,
    soft: int | None = None,
    known: Container[str] = (),
    verify: bool = True,
) -> LimitReport:
    """Return ``report`` with threshold, decision and message that follow from its count.

    ``verify=False`` decides for good on an uncertain count.
    """
    count = report.count
    threshold, over = _reached(guard, count), _over_components(guard, count)
    if (threshold, over) != (report.threshold, report.exceeded):
        report = replace(report, threshold=threshold, exceeded=over)
    unsure = verify and guard.verify is not None and count.method != PROVIDER
    decision = "verify" if unsure and uncertain(guard, count) else _decision(guard, report)
    if decision == "ok" and soft is not None and count.total - count.error > soft:
        decision = "warn"
    if decision == "ok":
        quiet = report.decision == "ok" and not report.message
        return report if quiet else replace(report, decision=decision, message="")
    return replace(report, decision=decision, message=message_of(report, soft=soft, known=known))


def _decision(guard: Guard, report: LimitReport) -> str:
    last = bool(guard.thresholds) and report.threshold >= guard.thresholds[-1]
    if guard.compress is not None and (last or exceeds(report) or report.exceeded):
        return "compress"
    return final(guard, report)


def final(guard: Guard, report: LimitReport) -> str:
    """Return the decision when nothing is left to compress."""
    if report.count.limit is None and guard.on_unknown == "raise":
        return "refuse"
    refusable = exceeds(report) and report.count.limit_hard
    if guard.on_exceed == "raise" and (refusable or certain_components(guard, report)):
        return "refuse"
    return "warn" if report.threshold or report.exceeded or pressed(guard, report) else "ok"


def pressed(guard: Guard, report: LimitReport) -> bool:
    """Whether the lineage's growth reaches the limit within the guard's turns."""
    return report.forecast is not None and report.forecast <= guard.forecast_turns


def exceeds(report: LimitReport) -> bool:
    """Whether the count is above the limit beyond its error."""
    count = report.count
    return count.limit is not None and count.total - count.error > count.limit


def uncertain(guard: Guard, count: Count) -> bool:
    """Whether the error bound hides which side of a threshold or the limit the count is on."""
    if not count.limit or not count.error:
        return False
    low, high = count.total - count.error, count.total + count.error
    return any(low <= share * count.limit <= high for share in (*guard.thresholds, 1.0))


def certain_components(guard: Guard, report: LimitReport) -> bool:
    """Whether a component is above its own limit beyond the count's error."""
    limits = guard.components or {}
    count = report.count
    return any(
        count.components[name] - _share(count, name) > limits[name] for name in report.exceeded
    )


def _share(count: Count, name: str) -> int:
    """Return the part of the error that may lie in one component: no more than it holds."""
    return min(count.error, count.components[name])


def _over_components(guard: Guard, count: Count) -> tuple[str, ...]:
    limits = guard.components or {}
    return tuple(n for n, tokens in count.components.items() if tokens > limits.get(n, LARGEST))


def _reached(guard: Guard, count: Count) -> float:
    """Return the largest threshold that the count reaches; 1.0 above the limit; else 0.0.

    A bound as large as the limit itself says nothing, so it does not warn.
    """
    if count.limit is None:
        return 0.0
    if count.total - count.error > count.limit:
        return 1.0
    high = count.total + (count.error if count.error < count.limit else 0)
    reached = (share for share in guard.thresholds if high >= share * count.limit)
    return max(reached, default=0.0)


def _growth(count: Count, previous: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    if not previous:
        return ()
    grown = [(name, tokens - previous.get(name, 0)) for name, tokens in count.components.items()]
    return tuple(sorted((pair for pair in grown if pair[1] > 0), key=lambda pair: -pair[1]))


# ── words ────────────────────────────────────────────────────────────────────────────────────────


def message_of(report: LimitReport, *, soft: int | None = None, known: Container[str] = ()) -> str:
    """Say in one sentence what was counted, what grew and what to cut: numbers and known names."""
    from tokentrace.insights import cuts

    pieces = [_state(report)]
    if soft is not None and report.count.total - report.count.error > soft:
        pieces.append(f"above {soft} the requested output does not fit beside it")
    if report.exceeded:
        over = _named(((name, 0) for name in report.exceeded), known)
        pieces.append(f"over their own limit: {', '.join(over)}")
    if report.grew:
        grown = (f"{name} +{n}" for name, n in _named(report.grew, known).items())
        pieces.append(f"grew since the previous turn: {', '.join(grown)}")
    if report.forecast is not None:
        pieces.append(
            f"at this growth the limit is {report.forecast:.1f} turns away{_range(report, known)}"
        )
    found = _named(((finding.component, finding.tokens) for finding in cuts(report)), known)
    if found:
        told = (f"{name} ({tokens})" for name, tokens in found.items())
        pieces.append(f"to cut: {', '.join(told)}")
    return "; ".join(pieces)


def _range(report: LimitReport, known: Container[str]) -> str:
    """Say how sure a forecast is, and which component grows the most."""
    coming = report.ahead
    if coming is None:
        return ""
    latest = "more" if coming.latest is None else f"{coming.latest:.1f}"
    told = f" ({coming.earliest:.1f} to {latest})"
    if not coming.growth:
        return told
    name, pace = coming.growth[0]
    return f"{told}, most of it {_public(name, known)} (+{pace:.0f} a turn)"


def _named(pairs: Iterable[tuple[str, int]], known: Container[str]) -> dict[str, int]:
    """Return the first names that may be told, those that may not as one with their sum."""
    told: dict[str, int] = {}
    for name, tokens in pairs:
        public = _public(name, known)
        told[public] = told.get(public, 0) + tokens
    return dict(list(told.items())[:MOST_NAMED])


def _state(report: LimitReport) -> str:
    count = report.count
    error = f" ± {count.error}" if count.error else ""
    tokens = f"{count.total}{error} input tokens"
    if count.limit is None:
        return f"{tokens}; no limit is known for model {report.model!r:.100}"
    share = count.total / max(1, count.limit)
    return f"{tokens} are {share:.1%} of the limit of {count.limit} for model {report.model!r:.100}"


def _public(name: str, known: Container[str]) -> str:
    return name if not name.startswith(SECTION) or name in known else OTHER
