"""Calls that continue one another, found by the longest common prefix of salted message hashes.

A lineage keeps numbers and 8-byte hashes, never text. A conversation without a name continues a
lineage when it shares more with it than the leading system messages. Inside a named session a call
that shares nothing (its history was compacted, its system prompt edited) still continues the
lineage of its agent, model and tools.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokentrace.counting.anchoring import History
from tokentrace.counting.digests import SALT, WIDTH, common, digest, hashes_of, leading
from tokentrace.insights import trend_of
from tokentrace.insights.forecast import WINDOW, ahead
from tokentrace.outlook import Forecast, Waste
from tokentrace.prompt import Count, Message, Prompt

REMEMBERED_TURNS = 32
OPENING = 32
UNCHANGED = "unchanged"
STEADY = 5  # turns with the same content, to be worth a word
MATTERS = 50  # tokens of such a component
NOTHING: Mapping[str, int] = {}
MEMO = "lineage"


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
        last_span: for telemetry, which links a call without a parent to the one before.
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
    served: int = 0
    last_span: Any = None
    cache: Any = None
    _newest: bytes = b""
    _stood: tuple[Any, ...] = ()

    def standing(
        self, count: Count, turn: int | None = None, waste: tuple[Waste, ...] = ()
    ) -> Standing:
        """Return where ``count`` stands, as a call of ``turn`` (by default the newest)."""
        number = self.turn if turn is None else turn
        known = self._stood
        if known and known[0] is count and known[1] == number and known[2] is waste:
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
        same = next((one for one in self.turns if one.number == turn), None)
        now = count if same is None or count.total >= same.total else same
        totals = [*(one.total for one in before), now.total]
        return ahead(totals, count.limit, [*(one.components for one in before), now.components])

    def unchanged(self, contents: Mapping[str, int], count: Count) -> tuple[Waste, ...]:
        """Return the named components of a call that hold the same for at least five turns."""
        found = []
        now = self.served + (not self.turns or self.turns[-1].number != self.turn)
        for name, mark in contents.items():
            known = self.steady.get(name)
            turns = 0 if known is None or known[0] != mark else now - known[1]
            tokens = count.components.get(name, 0)
            if turns >= STEADY and tokens >= MATTERS:
                found.append(Waste(UNCHANGED, name, tokens, turns))
        return tuple(found)

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
        same = next((one for one in self.turns if one.number == number), None)
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

    def _before(self, number: int) -> Turn | None:
        """Return the turn noted last that is not ``number``."""
        return next((one for one in reversed(self.turns) if one.number != number), None)

    @property
    def weight(self) -> int:
        """Bytes held, about."""
        parts = 100 * sum(len(one.components) for one in self.turns)
        kept = parts + 150 * len(self.steady) + 100 * len(self.turns)
        cache = int(getattr(self.cache, "weight", 0))
        stood = 3_000 + 120 * len(self._stood[0].details) if self._stood else 0
        return 2_000 + len(self.digests) + kept + self.known.weight + cache + stood


class Lineages:
    """The lineages of one session, or of all conversations without a name. Thread-safe.

    The one not used for longest goes when there are more than ``most``, and every one that nobody
    used for ``idle`` seconds; ``evicted`` counts them.
    """

    def __init__(self, *, named: bool, most: int = 16, idle: float = 21_600.0) -> None:
        self._named = named
        self._most = most
        self._idle = idle
        self._all: OrderedDict[str, Lineage] = OrderedDict()
        self._starts: dict[bytes, list[Lineage]] = {}
        self._lock = threading.RLock()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def weight(self) -> int:
        """Bytes held, about."""
        return sum(one.weight for one in tuple(self._all.values()))

    def renew(self) -> None:
        """Replace a lock that another thread may have held at a fork."""
        self._lock = threading.RLock()

    def follow(
        self,
        prompt: Prompt,
        *,
        agent: str = "",
        turn: int | None = None,
        run: str = "",
        after: str = "",
    ) -> Lineage:
        """Return the lineage that ``prompt`` continues, or a new one, and make it the newest.

        Args:
            prompt: as read; the hashes are kept in its messages' memos.
            agent: only lineages of the same agent are continued.
            turn: the turn's number where the agent tells; otherwise a new turn begins with a new
                run, or where there are none, with a new user text at the end.
            run: an id of the run that the call is part of.
            after: the lineage that the body itself names, by the id of a stored context.
        """
        seen = _Seen(prompt, agent, turn, run, *_facts(prompt))
        with self._lock:
            found, shared = self._all.get(after), 0
            if found is None or found.agent != agent:
                found, shared = self._nearest(seen)
            if found is None:
                found = Lineage(agent=agent)
                self._all[found.id] = found
            self._take(found, seen, shared)
            self._trim()
            return found

    # ── finding ──────────────────────────────────────────────────────────────────────────────────

    def _nearest(self, seen: _Seen) -> tuple[Lineage | None, int]:
        """Return the lineage with the longest common prefix, and that prefix in bytes."""
        near = self._starts.get(seen.start, ()) if seen.start else ()
        best, longest = None, 0
        for one in reversed(near):
            shared = common(one.digests, seen.digests)
            if shared > longest and one.agent == seen.agent:
                best, longest = one, shared
        if best is not None:
            return best, longest
        relative = self._relative(seen) if self._named else self._behind(seen)
        return relative, 0

    def _relative(self, seen: _Seen) -> Lineage | None:
        """Find the session's lineage of the same agent, model and tools.

        Prefer the one whose prompt opens alike. One that opens otherwise is another's when it was
        already called in this turn: a sub-agent without a name, a summary on the side.
        """
        alike = [
            one
            for one in reversed(self._all.values())
            if (one.agent, one.model, one.tools) == (seen.agent, seen.prompt.model, seen.tools)
        ]
        for one in alike:
            if one.opening == seen.opening:
                return one
        free = (one for one in alike if seen.turn is None or one.turn != seen.turn)
        return next(free, None)

    def _behind(self, seen: _Seen) -> Lineage | None:
        """Find a conversation whose system prompt alone changed (a clock in it, say)."""
        tail = seen.digests[seen.leading :]
        if len(tail) < 2 * WIDTH:
            return None
        for one in reversed(self._all.values()):
            same = (one.agent, one.model, one.tools) == (seen.agent, seen.prompt.model, seen.tools)
            if same and one.digests[one.leading :][: 2 * WIDTH] == tail[: 2 * WIDTH]:
                return one
        return None

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────

    def _take(self, lineage: Lineage, seen: _Seen, shared: int) -> None:
        """Make ``lineage`` the one that ends in this prompt."""
        near = self._starts.get(seen.start)
        stays = near and near[-1] is lineage and lineage.digests is seen.digests
        if not stays:
            self._forget_start(lineage)
        _begin_turn(lineage, seen, shared)
        lineage.model, lineage.tools, lineage.opening = seen.prompt.model, seen.tools, seen.opening
        lineage.digests, lineage.leading = seen.digests, seen.leading
        lineage.used = time.monotonic()
        if seen.start and not stays:
            self._starts.setdefault(seen.start, []).append(lineage)
        self._all.move_to_end(lineage.id)

    def _trim(self) -> None:
        old = time.monotonic() - self._idle
        while self._all:
            first = next(iter(self._all.values()))
            if len(self._all) <= self._most and first.used >= old:
                return
            del self._all[first.id]
            self._forget_start(first)
            self.evicted += 1

    def _forget_start(self, lineage: Lineage) -> None:
        start = lineage.digests[: lineage.leading + WIDTH]
        near = self._starts.get(start)
        if near and lineage in near:
            near.remove(lineage)
            if not near:
                del self._starts[start]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What is needed of a prompt to find its lineage."""

    prompt: Prompt
    agent: str
    turn: int | None
    run: str
    digests: bytes
    leading: int
    tools: int
    start: bytes
    opening: int


Facts = tuple[bytes, int, int, bytes, int]


def _facts(prompt: Prompt) -> Facts:
    """Return what tells a prompt's lineage: kept with the prompt.

    These are the hashes of its messages, the width of the leading ones', the hash of its tools, the hashes
    up to the first message that is not the system's (empty when there is none), and a salted hash of how
    it begins.
    """
    known: Facts | None = prompt.memo.get(MEMO)
    if known is None:
        digests, ahead = hashes_of(prompt), leading(prompt.messages)
        start = digests[: ahead + WIDTH] if len(digests) > ahead else b""
        known = prompt.memo[MEMO] = digests, ahead, _tools(prompt), start, _opening(prompt)
    return known


def _opening(prompt: Prompt) -> int:
    first = prompt.messages[0] if prompt.messages else None
    text = first.parts[0].text[:OPENING] if first and first.parts else ""
    return hash((SALT, first.role if first else "", text))


# ── turns without a number ───────────────────────────────────────────────────────────────────────


def _begin_turn(lineage: Lineage, seen: _Seen, shared: int) -> None:
    """Set the number of the turn that the prompt belongs to."""
    appended = shared == len(lineage.digests)
    fresh = _newest_user(seen.prompt.messages, shared // WIDTH)
    if seen.turn is not None:
        lineage.turn = seen.turn
    elif not lineage.used or _is_new(lineage, seen.run, fresh, appended=appended):
        lineage.turn += 1
    lineage.run = seen.run
    if fresh:
        lineage._newest = fresh  # noqa: SLF001 - ours


def _is_new(lineage: Lineage, run: str, fresh: bytes, *, appended: bool) -> bool:
    """Whether a call that goes on with a lineage begins a turn."""
    if run or lineage.run:
        return run != lineage.run
    return bool(fresh) and (appended or fresh != lineage._newest)  # noqa: SLF001 - ours


def _newest_user(messages: Sequence[Message], start: int) -> bytes:
    """Return the hash of the last message from ``start`` on in which the user says something."""
    for index in range(len(messages) - 1, start - 1, -1):
        message = messages[index]
        if message.role == "user" and any(part.kind != "result" for part in message.parts):
            return digest(message)
    return b""


# ── what tells lineages apart ────────────────────────────────────────────────────────────────────


def _tools(prompt: Prompt) -> int:
    return hash((SALT, tuple(sorted(tool.name for tool in prompt.tools))))
