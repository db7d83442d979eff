"""Measure 1,000 conversations at the same time: what the process grows by, and whether calls get dearer.

    python bench/part.py sessions ROUNDS

Every call's texts are made anew, from the numbers of session and turn, and dropped after it: the host
keeps nothing, so what the process grows by is kept by tokentrace. First some sessions run alone, turn by
turn; then all others take their turns together; then, beside all of them, some more run as the first did.
A turn's cost is the least of its sessions', calls with and without tokentrace taking turns. Metrics are
collected after every so many calls, as a reader does every minute; that is not part of a call's cost.
"""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import Any

from calling import OURS, begun, counted
from instrumentations import Telemetry
from interleaved import spent, without_collector
from stubbed import WORDS, Stub

SESSIONS = 1_000
TURNS = 25
ALONE = 12  # sessions that run first, and last
COLLECTED = 1_000  # calls between two collections: 17 a second where a reader collects each minute


def talk(session: int, turn: int) -> list[dict[str, Any]]:
    """Return a session's messages at a turn: a system text and two more with each turn."""
    system = {"role": "system", "content": f"You are agent {session}. " + WORDS}
    rest = [
        {"role": role, "content": f"{session}.{number} {role}: " + WORDS * 5}
        for number in range(turn)
        for role in ("user", "assistant")
    ]
    return [system, *rest, {"role": "user", "content": f"{session}.{turn} asks: " + WORDS * 5}]


def resident() -> float:
    """Return the MB that are resident now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


class Agents:
    """Sessions that call, each under its name."""

    def __init__(self) -> None:
        self._stub, self._telemetry, self._calls = Stub(), Telemetry(), 0
        self._places, self._standing = begun((OURS,), self._stub, self._telemetry)
        self._tokens: dict[int, tuple[int, int]] = {}

    def _reported(self, session: int, messages: list[dict[str, Any]]) -> int:
        """Return the tokens of a session's messages; those of its last call were counted then."""
        known, tokens = self._tokens.get(session, (0, counted([])))
        if known < len(messages):
            tokens += counted(messages[known:]) - counted([])
            self._tokens[session] = len(messages), tokens
        return tokens

    def call(self, session: int, turn: int, way: str = OURS) -> float:
        """Return milliseconds of a session's call."""
        import tokentrace

        messages = talk(session, turn)
        tokens = self._reported(session, messages)
        self._calls += 1
        if self._calls % COLLECTED == 0:
            self._telemetry.reader.get_metrics_data()
        with self._places.standing(self._standing[way]), tokentrace.session(f"bench-{session}"):
            return spent(lambda: self._stub.call(messages, tokens))[0]

    def added(self, sessions: range) -> float:
        """Return milliseconds that tokentrace adds to a call of sessions that run one by one."""
        least: dict[tuple[int, str], float] = {}
        with without_collector():
            for session in sessions:
                for turn in range(TURNS):
                    for way in ("bare", OURS):
                        figure = self.call(session, turn, way)
                        key = turn, way
                        least[key] = min(figure, least.get(key, figure))
        return sum(least[t, OURS] - least[t, "bare"] for t in range(TURNS)) / TURNS

    def together(self, sessions: range) -> None:
        """Let sessions take their turns together."""
        for turn in range(TURNS):
            for session in sessions:
                self.call(session, turn)


def measure(_rounds: int) -> dict[str, dict[str, float]]:
    """Return the one row; 25,000 calls are enough of rounds."""
    agents = Agents()
    agents.added(range(SESSIONS, SESSIONS + 2))
    before = resident()
    first = agents.added(range(ALONE))
    agents.together(range(ALONE, SESSIONS - ALONE))
    last = agents.added(range(SESSIONS - ALONE, SESSIONS))
    row = {
        "grown_mb": round(resident() - before, 1),
        "first_ms": round(first, 4),
        "last_ms": round(last, 4),
        "ratio": round(last / first, 3),
    }
    return {f"{SESSIONS} sessions of {TURNS} turns": row}
