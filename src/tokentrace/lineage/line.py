"""One line of calls: its turns, its growth, where its next call stands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokentrace.counting.anchoring import History
from tokentrace.insights import trend_of
from tokentrace.insights.forecast import WINDOW, ahead
from tokentrace.insights.tools import TOOLS
from tokentrace.insights.waste import UNCALLED
from tokentrace.lineage.offers import Offers
from tokentrace.outlook import Forecast, Waste
from tokentrace.prompt import Count

REMEMBERED_TURNS = 32
UNCHANGED = "unchanged"
STEADY = 5  # turns with the same content, to be worth a word
MATTERS = 50  # tokens of such a component
NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a call stands against its lineage's previous turn.

    Attributes:
        delta: tokens more than the previous turn's total; None when there is no previous turn.
        trend: ``increase``, ``decrease`` or ``stable`` (equal); empty when there is none.
        forecast: turns until the limit at this lineage's growth, or None.
        previous: components of the previous turn's largest call.
        ahead: the forecast with its interval and what grows, or None.
        waste: what the prompt could do without, the largest first.
        memo: what was made of it, by whoever did.
    """

    delta: int | None = None
    trend: str = ""
    forecast: float | None = None
    previous: Mapping[str, int] = field(default_factory=dict)
    ahead: Forecast | None = None
    waste: tuple[Waste, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(slots=True)
class Turn:
    """The largest call of one turn of a lineage; components are kept of the last 16 turns."""

    number: int
    total: int
    components: Mapping[str, int]


@dataclass(slots=True, eq=False)
class Lineage:
    """One line of calls.

    Attributes:
        id: random, 16 hexadecimal digits.
        agent, model, tools: whose calls these are; ``tools`` is a salted hash.
        digests: 8 bytes for each message of its last prompt, at most 4,096 messages.
        leading: how many of those bytes are leading system messages.
        turns: the last 32 turns, oldest first.
        turn: the number of its newest turn.
        run: what a framework calls the run that its newest turn is, empty where nobody does.
        known: what the provider reported for its calls so far.
        level: the largest threshold that its last call had reached.
        alarms: what else its last call had a warning for.
        steady: of named components a mark of their content, and the turns by then with another;
            at most 64.
        offers: the tools that its calls offer, and which of them were called.
        last_span: for telemetry, which links a call without a parent to the one before.
        written: for telemetry, which writes the same record once.
        cache: what its last call left in the provider's cache, see `instrument.caching`.
    """

    id: str = field(default_factory=lambda: os.urandom(8).hex())
    agent: str = ""
    model: str = ""
    tools: int = 0
    opening: int = 0
    digests: bytes = b""
    leading: int = 0
    turns: list[Turn] = field(default_factory=list)
    turn: int = 0
    run: str = ""
    known: History = field(default_factory=History)
    level: float = 0.0
    alarms: frozenset[str] = frozenset()
    used: float = 0.0
    steady: dict[str, tuple[int, int]] = field(default_factory=dict)
    offers: Offers = field(default_factory=Offers)
    served: int = 0
    last_span: Any = None
    written: Any = None
    cache: Any = None
    _newest: bytes = b""
    _stood: tuple[Any, ...] = ()

    def standing(
        self, count: Count, turn: int | None = None, waste: tuple[Waste, ...] = ()
    ) -> Standing:
        """Return where ``count`` stands, as a call of ``turn`` (by default the newest)."""
        number = self.turn if turn is None else turn
        known = self._stood
        if known and known[0] is count and known[1] == number and known[2] == waste:
            stood: Standing = known[3]
            return stood
        stood = self._standing(count, number, waste)
        self._stood = count, number, waste, stood
        return stood

    def _standing(self, count: Count, number: int, waste: tuple[Waste, ...]) -> Standing:
        before = self._before(number)
        coming = self.forecast(count, number)
        turns = None if coming is None else coming.turns
        if before is None:
            return Standing(forecast=turns, ahead=coming, waste=waste)
        delta = count.total - before.total
        return Standing(delta, trend_of(delta), turns, before.components, coming, waste)

    def forecast(self, count: Count, turn: int) -> Forecast | None:
        """Return when ``count.limit`` is reached, by the growth a turn since the last drop.

        Two turns of growth are needed, so a lineage just compacted has no forecast. 0.0 at or above
        the limit; None without growth or limit.
        """
        if count.limit is None or len(self.turns) < 2:
            return None
        before = [one for one in self.turns[-WINDOW:] if one.number != turn]
        same = self._noted(turn)
        now = count if same is None or count.total >= same.total else same
        totals = [one.total for one in before]
        totals.append(now.total)
        components = [one.components for one in before]
        components.append(now.components)
        return ahead(totals, count.limit, components)

    def unchanged(self, contents: Mapping[str, int], count: Count) -> tuple[Waste, ...]:
        """Return the named components of a call that hold the same for at least five turns."""
        found = []
        now = self._now
        for name, mark in contents.items():
            known = self.steady.get(name)
            turns = 0 if known is None or known[0] != mark else now - known[1]
            tokens = count.components.get(name, 0)
            if turns >= STEADY and tokens >= MATTERS:
                found.append(Waste(UNCHANGED, name, tokens, turns))
        return tuple(found)

    def idle(self, sizes: Mapping[str, int], called: Iterable[str]) -> tuple[Waste, ...]:
        """Return the definitions of a call, tokens by name, that nobody called for at least five turns.

        ``called`` are the tools whose calls it brings back.
        """
        tokens, turns = self.offers.idle(sizes, called, self._now, STEADY)
        return (Waste(UNCALLED, TOOLS, tokens, turns),) if tokens >= MATTERS else ()

    def offer(self, names: Iterable[str], called: Iterable[str]) -> None:
        """Remember what tools a call that was sent offers, and which of them it brings back."""
        self.offers.note(names, called, self.served)

    @property
    def _now(self) -> int:
        """How many turns there are, with the one that is being served."""
        return self.served + (not self.turns or self.turns[-1].number != self.turn)

    def hold(self, contents: Mapping[str, int]) -> None:
        """Remember what the named components of a call that was sent hold."""
        before = self.steady
        self.steady = {
            name: known
            if (known := before.get(name)) is not None and known[0] == mark
            else (mark, self.served)
            for name, mark in contents.items()
        }

    def note(self, count: Count, turn: int | None = None) -> None:
        """Remember a call that was sent. A turn's total is its largest call's."""
        number = self.turn if turn is None else turn
        same = self._noted(number)
        if same is None:
            self._stood = ()
            self.served += 1
            self.turns = [*self.turns, Turn(number, count.total, count.components)]
            del self.turns[:-REMEMBERED_TURNS]
            for old in self.turns[:-WINDOW]:
                old.components = NOTHING
        elif count.total > same.total or same.components is not count.components:
            if count.total < same.total:
                return
            self._stood = ()
            same.total, same.components = count.total, count.components

    def correct(self, counted: int, reported: int) -> None:
        """Hear what was reported for the newest turn's largest call: the next one's growth is true."""
        newest = self.turns[-1] if self.turns else None
        if newest is not None and newest.total == counted != reported:
            self._stood = ()
            newest.total = reported

    def _noted(self, number: int) -> Turn | None:
        """Return the turn of a number, where a call of it was noted: most often the newest."""
        newest = self.turns[-1] if self.turns else None
        if newest is None or newest.number == number:
            return newest
        for one in self.turns:
            if one.number == number:
                return one
        return None

    def _before(self, number: int) -> Turn | None:
        """Return the turn noted last that is not ``number``."""
        for one in reversed(self.turns):
            if one.number != number:
                return one
        return None

    @property
    def weight(self) -> int:
        """Bytes held, about."""
        parts = 100 * sum(len(one.components) for one in self.turns)
        kept = parts + 150 * (len(self.steady) + len(self.offers.since)) + 100 * len(self.turns)
        cache = int(getattr(self.cache, "weight", 0)) + int(getattr(self.written, "weight", 0))
        stood = 3_000 + 120 * len(self._stood[0].details) if self._stood else 0
        return 2_000 + len(self.digests) + kept + self.known.weight + cache + stood
