"""The state of reading a log: lines go in, records come out as soon as a call is told of in full."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tokentrace.prompt import Record
from tokentrace.readers import Problems
from tokentrace.readers.agent_log.form import Form, Rule
from tokentrace.readers.agent_log.talk import Talk
from tokentrace.readers.agent_log.template import SHARES, WHOLES
from tokentrace.values import INT64, text

MOST_SESSIONS = 1_000
LOOKED_AT = 2_000  # bytes of a line in which a text is searched that may stand anywhere
SIGNED = frozenset({"budget"})
OUTSIDE = frozenset({"time", "level", "where"})
ESCAPE = b"\x1b"
_COLOURS = re.compile(rb"\x1b\[[0-9;:?]{0,32}+[A-Za-z]")
_DIGITS = re.compile(rb"[0-9]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Follower:
    """Reads a log of one format line by line: ``feed`` each line, ``end`` at its end.

    Args:
        form: the format.
        source: what sessions are called that have no name in the log.
        problems: takes what cannot be used.

    Attributes:
        path: of the file that the lines come from, for ``problems``.
        told: whether any turn was told of.
    """

    def __init__(self, form: Form, source: str, problems: Problems) -> None:
        self.form = form
        self.path = source
        self.told = False
        self._source = source
        self._problems = problems
        self._talks: dict[str, Talk] = {}
        self._named = ""
        self._number = 0
        self._table: Rule | None = None
        self._last = (b"", 0)

    def feed(self, line: bytes, number: int = 0) -> tuple[Record, ...]:
        """Take one line, without its end; return the records that are complete now.

        Args:
            line: in UTF-8 or any other encoding that has ASCII in it.
            number: of the line in its file, counted on from the last where it is 0.
        """
        self._number = number or self._number + 1
        if ESCAPE in line:
            line = _COLOURS.sub(b"", line)
        head = self.form.scan.match(line)
        if head is None or (self._table and self._row(line)):
            return ()
        word = head["__text"]
        if word is not None:
            behind = head.start("__text")
            for rule in self.form.rules[word]:
                told = rule.pattern.match(line, behind)
                if told and _fits(rule, head):
                    return self._take(rule, head, told.groupdict())
        if self.form.levels and head["level"] in self.form.levels:
            held = line[head.end() : head.end() + LOOKED_AT].lower()
            for words, rule in self.form.holding:
                if words in held and _fits(rule, head):
                    return self._take(rule, head, {})
        return ()

    def now(self) -> tuple[Record, ...]:
        """Return the records of the calls that the log is still telling of, as far as it has."""
        return tuple(record for talk in self._talks.values() for record in talk.records())

    def end(self) -> tuple[Record, ...]:
        """Return what is left at the end of the log; say what it leaves open."""
        left = self.now()
        for talk in self._talks.values():
            if talk.told and not talk.told.sized:
                why = f"ends inside turn {talk.told.turn}, which is reported as far as it goes"
                self._problems.add(self.path, self._number, why)
            if talk.lost:
                self._problems.add(self.path, 0, "begins inside a turn, which is left out")
        self._talks.clear()
        return left

    def _row(self, line: bytes) -> bool:
        """Take a line of a table; the first that is none ends it."""
        rule = self._table
        row = rule.rows.match(line) if rule and rule.rows else None
        if rule is None or row is None:
            self._table = None
            return False
        talk = self._talks.get(self._named)
        if talk and talk.told:
            talk.part(talk.told, rule.entry, self._values(rule, row.groupdict()))
        return True

    def _take(
        self, rule: Rule, head: re.Match[bytes], told: Mapping[str, bytes | None]
    ) -> tuple[Record, ...]:
        values = self._values(rule, {**head.groupdict(), **told})
        self._named = values.pop("session", self._named)
        talk = self._talks.get(self._named)
        done: tuple[Record, ...] = ()
        if talk is None:
            if len(self._talks) >= MOST_SESSIONS:
                done = self._talks.pop(next(iter(self._talks))).records()
            talk = self._talks[self._named] = Talk(self._named or self._source, self.form)
        if rule.rows:
            self._table = rule
        done += tuple(talk.take(rule.entry, values, self._stamp(head)))
        self.told = self.told or talk.told is not None
        return done

    # ── values ───────────────────────────────────────────────────────────────────────────────────

    def _values(self, rule: Rule, raw: Mapping[str, bytes | None]) -> dict[str, Any]:
        """Return what a line tells; a number that is none of tokens goes to the problems."""
        values: dict[str, Any] = {}
        for name, told in raw.items():
            if told is None or name in OUTSIDE or name == "__text":
                continue
            if name in WHOLES:
                number = _whole(told)
                if abs(number) > INT64 or (number < 0 and name not in SIGNED):
                    why = f"{_shown(told)[:40]!r} is no number of tokens"
                    self._problems.add(self.path, self._number, why)
                    continue
                values[name] = number
            elif name in SHARES:
                share = float(told.replace(b",", b"."))
                values[name] = share / 100 if name in rule.percent else share
            else:
                values[name] = _shown(told)
        return values

    def _stamp(self, head: re.Match[bytes]) -> int:
        """Return a line's time in ns; without one lines keep their order."""
        raw = head.groupdict().get("time")
        if raw is None:
            return self._number
        if raw != self._last[0]:
            self._last = (raw, _time(_shown(raw), self.form.time) or self._last[1])
        return self._last[1] or self._number


def _fits(rule: Rule, head: re.Match[bytes]) -> bool:
    entry = rule.entry
    return not (
        (entry.where and not head["where"].startswith(entry.where.encode()))
        or (entry.level and head["level"].decode() not in entry.level)
    )


def _whole(raw: bytes) -> int:
    """Return a number without its separators."""
    digits = int(b"".join(_DIGITS.findall(raw)))
    return -digits if raw.startswith(b"-") else digits


def _shown(raw: bytes) -> str:
    """Return a text in one line that may stand anywhere."""
    try:
        told = raw.decode()
    except UnicodeDecodeError:
        told = raw.decode("latin-1")
    return (text(told) or "").strip()


def _time(raw: str, form: str) -> int:
    """Return ns since the epoch, 0 for what is no time; without a zone it is UTC."""
    try:
        told = datetime.strptime(raw, form) if form else datetime.fromisoformat(raw)  # noqa: DTZ007
    except ValueError:
        return 0
    zoned = told if told.tzinfo else told.replace(tzinfo=UTC)
    return max(0, (zoned - _EPOCH) // _TICK * 1000)
