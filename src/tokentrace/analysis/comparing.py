"""What changed between two runs: pairs of sessions, their figures side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokentrace.analysis.case import Phases, phases_of
from tokentrace.analysis.findings import Finding, Judgement, gravity
from tokentrace.analysis.grouping import summary
from tokentrace.analysis.optimising import Size, sizes
from tokentrace.analysis.shapes import Session, Turn

Judged = tuple[Session, Judgement]
SUMS = (
    "turns", "calls", "exceeded", "refusals", "failures", "warnings", "exclusions", "excluded_tokens",
    "compressions", "saved_tokens",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after; None where it was not there.

    Attributes:
        name: of what.
        before, after: whole numbers; shares of the limit where ``share``.
        share: whether they are shares.
    """

    name: str
    before: float | None
    after: float | None
    share: bool = False

    @property
    def delta(self) -> float | None:
        """After - before, None where one of them is not known."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True)
class Pair:
    """One session before and after.

    Attributes:
        base, session: before and after.
        before, after: their verdicts.
        totals: of the whole session.
        components, peaks: mean tokens a turn by component, and the largest; the largest first.
        phases: mean tokens a turn by phase; empty where no phases are known.
        new, gone: findings that only one of them has, by code and component.
    """

    base: Session
    session: Session
    before: Judgement
    after: Judgement
    totals: tuple[Change, ...] = ()
    components: tuple[Change, ...] = ()
    peaks: tuple[Change, ...] = ()
    phases: tuple[Change, ...] = ()
    new: tuple[Finding, ...] = ()
    gone: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``same``."""
        step = gravity(self.after.verdict) - gravity(self.before.verdict)
        return "worse" if step > 0 else "better" if step < 0 else "same"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        pairs: sessions of both, in the order of the newer run.
        only_before, only_after: sessions that found no partner.
    """

    pairs: tuple[Pair, ...] = ()
    only_before: tuple[Session, ...] = ()
    only_after: tuple[Session, ...] = ()


def compare(before: Sequence[Judged], after: Sequence[Judged], phases: Phases = ()) -> Comparison:
    """Return what changed between two runs.

    Sessions of the same name are a pair; the others are paired in their order, since each run of a
    scenario names its session anew.

    Args:
        before: sessions of the older run with their verdicts, oldest first.
        after: those of the newer run.
        phases: as for `judge`.
    """
    names = {(session.named, session.id): place for place, (session, _) in enumerate(before)}
    own = {
        place: names[session.named, session.id]
        for place, (session, _) in enumerate(after)
        if (session.named, session.id) in names
    }
    taken = set(own.values())
    rest = (place for place in range(len(before)) if place not in taken)
    for place in range(len(after)):
        if place not in own and (other := next(rest, None)) is not None:
            own[place] = other
    pairs = tuple(_pair(before[own[place]], after[place], phases) for place in sorted(own))
    left = {*range(len(before))} - {*own.values()}
    return Comparison(
        pairs,
        tuple(before[place][0] for place in sorted(left)),
        tuple(after[place][0] for place in range(len(after)) if place not in own),
    )


def _pair(old: Judged, new: Judged, phases: Phases) -> Pair:
    (base, before), (session, after) = old, new
    means, peaks = _components(base, session)
    return Pair(
        base,
        session,
        before,
        after,
        tuple(_totals(base, session)),
        means,
        peaks,
        tuple(_phases(base, session, phases)),
        _other(after, before),
        _other(before, after),
    )


def _totals(base: Session, session: Session) -> Iterator[Change]:
    """Yield the figures of whole sessions, sizes first."""
    old, new = summary([base]), summary([session])
    yield Change("mean", _mean(base.turns), _mean(session.turns))
    yield Change("peak", old.peak, new.peak)
    yield Change("utilization", old.utilization, new.utilization, share=True)
    for name in SUMS:
        yield Change(name, getattr(old, name), getattr(new, name))


def _mean(turns: Sequence[Turn]) -> int | None:
    held = [turn.total for turn in turns if turn.main is not None]
    return round(sum(held) / len(held)) if held else None


def _components(base: Session, session: Session) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Return mean and peak of each component of both, the largest of either first."""
    old, new = ({size.name: size for size in sizes(one)} for one in (base, session))
    nothing = Size("", 0, 0, 0, 0, 0, 0)
    pairs = [(name, old.get(name, nothing), new.get(name, nothing)) for name in {**old, **new}]
    pairs.sort(key=lambda one: (-max(one[1].mean, one[2].mean), one[0]))
    means = tuple(Change(name, before.mean, after.mean) for name, before, after in pairs)
    return means, tuple(Change(name, before.peak, after.peak) for name, before, after in pairs)


def _phases(base: Session, session: Session, phases: Phases) -> Iterator[Change]:
    for phase in phases_of(phases):
        old, new = (
            _mean([turn for turn in one.turns if phase.first <= turn.number <= phase.last])
            for one in (base, session)
        )
        yield Change(phase.name, old, new)


def _other(judged: Judgement, than: Judgement) -> tuple[Finding, ...]:
    """Return the findings that only the first has."""
    known = {(found.code, found.component) for found in than.findings}
    return tuple(one for one in judged.findings if (one.code, one.component) not in known)
