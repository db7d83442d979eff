"""What is known of one call's prompt: as read, as counted, where it stands, what the guard makes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from tokentrace import context, guard
from tokentrace._sessions import Registry
from tokentrace.counting import counter
from tokentrace.counting.claims import Lens
from tokentrace.counting.hurry import Hurried
from tokentrace.counting.reading import Again, Reading
from tokentrace.counting.waste import UNSEEN, stretched
from tokentrace.instrument import learning, offered, state
from tokentrace.instrument.requests import Request
from tokentrace.lineage import Lineage, Standing
from tokentrace.outlook import Waste
from tokentrace.prompt import Count, LimitReport, Prompt
from tokentrace.turns import Place

# Seconds of counting that a call may wait for; text beyond it is counted by the calls that follow.
BUDGET = 0.05

NOWHERE = Standing()

Hurry = Callable[[Any], Hurried]


def in_a_hurry(ruler: Any) -> Hurried:
    """Return a ruler for the thread of a caller who waits."""
    return Hurried(ruler, BUDGET)


def _lens(registry: Registry) -> tuple[Lens, set[Any]]:
    """Return the session's lens and the tags it found; new where tags or settings have changed."""
    tags = context.tags_of(registry)
    kept = registry.lens
    if kept is None or kept[0] is not tags or kept[1] is not state.settings:
        found: set[Any] = set()
        sections = state.settings.sections if state.settings else True
        lens = Lens(tags, sections, state.templates.saw, found.add)
        kept = registry.lens = (tags, state.settings, lens, found)
    return kept[2], kept[3]


@lru_cache(maxsize=64)
def _unread(api: str) -> Prompt:
    """Return a prompt of which nothing was read."""
    return Prompt(api)


class Counts:
    """The prompt of one call.

    Attributes:
        prompt: as it was read last.
        lineage: that it continues; None before it was read.
        turn: of that lineage.
        standing: where it stands there.
        own: our own count of it, for `learning`.
    """

    def __init__(self, request: Request, place: Place, judge: guard.Guard | None) -> None:
        self.request = request
        self.place = place
        self.guard = judge
        self.prompt = _unread(request.api)
        self.lineage: Any = None
        self.turn = 0
        self.standing = NOWHERE
        self.own: learning.Own | None = None
        self._found: set[Any] = set()

    def again(self, body: Any) -> LimitReport:
        """Count a body here and now, and say what the guard makes of it."""
        return self.told(self.counted(self.read(body), in_a_hurry))

    def read(self, body: Any) -> Reading | Again:
        """Read a body, and find what it continues."""
        request = self.request
        lens, self._found = _lens(self.place.registry)
        reading = counter.read(
            body,
            api=request.api,
            provider=request.provider,
            base_url=request.base_url,
            lens=lens,
            limit=partial(guard.limit_of, self.guard, request.provider, request.base_url),
            contexts=partial(learning.contexts, request),
            wasteful=True,
        )
        self.prompt = reading.prompt
        if self.lineage is None:
            self.lineage = self._followed()
            self.turn = self.lineage.turn
        return reading

    def _followed(self) -> Lineage:
        place = self.place
        return place.registry.lineages.follow(
            self.prompt,
            agent=place.agent,
            turn=place.turn_number,
            run=place.run,
            after=learning.leading(self.request, self.prompt),
        )

    def counted(self, reading: Reading | Again, hurry: Hurry) -> Count:
        """Count what was read."""
        count = counter.counted(reading, hurry)
        # Another thread may find tags for the same session: a tuple is made in one step.
        context.note_hits(tuple(self._found), self.place.registry)
        return count

    def told(self, count: Count) -> LimitReport:
        """Say what the guard makes of a count."""
        self.own = learning.own(self.request, self.prompt, count)
        count = learning.better(self.own, self.lineage)
        seen = self.prompt.memo.get("waste", UNSEEN)
        steady = self.lineage.unchanged(seen.contents, count) if seen.contents else ()
        idle = self._idle(count) if self.prompt.tools else ()
        before, waste = self.own.count.total, seen.waste
        if waste and before != count.total:
            waste = stretched(waste, before, count.total)
        self.standing = self.lineage.standing(count, self.turn, waste=waste + steady + idle)
        return self.judged(count, self.standing, unbounded=self.own.unbounded)

    def judged(self, count: Count, standing: Standing, *, unbounded: bool) -> LimitReport:
        """Return the report on a count."""
        return guard.decide(
            self.guard,
            count,
            standing,
            soft=self.soft(),
            known=state.templates,
            unbounded=unbounded,
        )

    def soft(self) -> int | None:
        """Return the tokens above which only a warning is right."""
        request = self.request
        return guard.soft_limit_of(self.guard, request.provider, request.base_url, self.prompt)

    def _idle(self, count: Count) -> tuple[Waste, ...]:
        """Return what the tools take that nobody has called for turns."""
        found: tuple[Waste, ...] = self.lineage.idle(
            offered.sizes(count), offered.called(self.prompt)
        )
        return found

    def note(self, count: Count) -> None:
        """Have the lineage know of a call that was sent."""
        self.lineage.note(count, self.turn)
        if self.prompt.tools or self.lineage.offers.since:
            self.lineage.offer(offered.sizes(count), offered.called(self.prompt))
        if seen := self.prompt.memo.get("waste"):
            self.lineage.hold(seen.contents)

    # ── for the guard's callbacks ────────────────────────────────────────────────────────────────

    def believes(self, tokens: int) -> bool:
        """Whether a provider's own count can be that of this prompt."""
        return self.own is None or self.own.believes(tokens)

    def hides(self) -> bool:
        """Whether the prompt is more than its body."""
        return self.own is not None and self.own.hides
