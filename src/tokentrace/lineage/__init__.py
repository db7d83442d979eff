"""Calls that continue one another, found by the longest common prefix of salted message hashes.

A lineage keeps numbers and 8-byte hashes, never text. A conversation without a name continues a
lineage when it shares more with it than the leading system messages. Inside a named session a call
that shares nothing (its history was compacted, its system prompt edited) still continues the
lineage of its agent, model and tools.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from tokentrace.counting.digests import SALT, WIDTH, common, digest, hashes_of, leading
from tokentrace.lineage.line import Lineage, Standing
from tokentrace.prompt import Message, Prompt

__all__ = ["Lineage", "Lineages", "Standing"]

OPENING = 32
MEMO = "lineage"


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
        facts = _facts(prompt)
        with self._lock:
            found = None if after else self._unmoved(prompt.model, agent, facts)
            if found is not None:
                _stay(found, turn, run)
                self._trim()
                return found
            seen = _Seen(prompt, agent, turn, run, *facts)
            found, shared = self._all.get(after), 0
            if found is None or found.agent != agent:
                found, shared = self._nearest(seen)
            if found is None:
                found = Lineage(agent=agent)
                self._all[found.id] = found
            self._take(found, seen, shared)
            self._trim()
            return found

    def _unmoved(self, model: str, agent: str, facts: Facts) -> Lineage | None:
        """Return the lineage used last, where its prompt's messages are these, read once for both."""
        last = next(reversed(self._all.values()), None)
        digests, _, tools, start, _ = facts
        if last is None or last.digests is not digests:
            return None
        same = (last.model, last.agent, last.tools) == (model, agent, tools)
        near = self._starts.get(start) if same and start else None
        return last if near and near[-1] is last else None

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


class _Seen(NamedTuple):
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


def opening_of(prompt: Prompt) -> int:
    """Return a salted hash of how a prompt begins: agents with a system text each are told apart by it."""
    return _facts(prompt)[-1]


def _opening(prompt: Prompt) -> int:
    first = prompt.messages[0] if prompt.messages else None
    text = first.parts[0].text[:OPENING] if first and first.parts else ""
    return hash((SALT, first.role if first else "", text))


def _stay(lineage: Lineage, turn: int | None, run: str) -> None:
    """Hear of one more call with a lineage's very prompt: a new turn only where somebody tells."""
    if turn is not None:
        lineage.turn = turn
    elif (run or lineage.run) and run != lineage.run:
        lineage.turn += 1
    lineage.run = run
    lineage.used = time.monotonic()


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
