"""One conversation of a log: what its lines do to it, and which records they complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokentrace import schema
from tokentrace.names import normalise
from tokentrace.prompt import Detail, Record
from tokentrace.readers.agent_log.form import Entry, Form
from tokentrace.readers.agent_log.telling import MOST_PIECES, Told, records, squeezed
from tokentrace.readers.agent_log.template import SHARES, WHOLES

OWNER = frozenset({"agent", "model", "tokenizer"})
FIGURES = (WHOLES | SHARES) - {"turn"}
PROMPT = {
    "warning": schema.LIMIT_WARNING,
    "exceeded": schema.LIMIT_EXCEEDED,
    "low": schema.UTILIZATION_LOW,
}
Values = Mapping[str, Any]


@dataclass(slots=True)
class Talk:
    """One conversation.

    Attributes:
        id: its name in the log, or that of the log.
        form: the log's format.
        restarts: how often the numbers of turns began anew: then it is another session.
        last: number of the last turn, 0 before the first.
        calls: how many began in this session.
        owner: agent, model, tokenizer and limit, as they were told outside of calls.
        settings: of the agent.
        told: the call that is being told of, None before the first turn.
        lost: lines with figures before the first turn.
    """

    id: str
    form: Form
    restarts: int = 0
    last: int = 0
    calls: int = 0
    owner: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    told: Told | None = None
    lost: int = 0

    def take(self, entry: Entry, values: Values, now: int) -> Iterator[Record]:
        """Take a line that ``entry`` describes; yield the records that it completes.

        Args:
            entry: what it does.
            values: of its template and its head.
            now: its time in ns.
        """
        self.owner.update({name: values[name] for name in OWNER & values.keys()})
        if entry.does == "turn" or (entry.does == "call" and "turn" in values):
            yield from self._turn(values.get("turn"), now, call=entry.does == "call")
        elif entry.does == "start":
            yield from self.records()
            self.told = None
        elif entry.does == "call" and self.told and self.told.begun:
            yield from self.records()
            self._begin(now)
        elif entry.does == "setting":
            self.settings[entry.setting] = values["value"]
        if self.told:
            self.told.end = now
            doing = _DOES.get(entry.does)
            if doing:
                doing(self, self.told, entry, values)
        elif "limit" in values:
            self.owner["limit"] = values["limit"]
        elif "total" in values:
            self.lost += 1

    def records(self) -> tuple[Record, ...]:
        """Return the records of the call that is being told of, as far as it is."""
        if self.told is None:
            return ()
        name = f"{self.id}#{self.restarts + 1}" if self.restarts else self.id
        return tuple(records(self.told, name, self.owner, self.settings))

    def _turn(self, number: int | None, now: int, *, call: bool) -> Iterator[Record]:
        """Begin a turn; one whose number is not above the last begins another session."""
        if number == self.last and self.told and not self.told.begun:
            return  # said twice
        yield from self.records()
        if number is None:
            number = self.last + 1
        elif number < self.last or (number == self.last and not call):
            self.restarts += 1
            self.calls = 0
        self.last = number
        self._begin(now)

    def _begin(self, now: int) -> None:
        self.told = Told(self.last, self.calls, begin=now)
        self.calls += 1

    # ── what a line adds to a call ───────────────────────────────────────────────────────────────

    def _figures(self, told: Told, entry: Entry, values: Values) -> None:
        told.figures.update({name: values[name] for name in FIGURES & values.keys()})
        if "total" in values:
            told.sized = told.end
        if entry.does in PROMPT:
            reason = values.get("reason") or entry.reason
            told.add(PROMPT[entry.does], {"reason": reason} if reason else {})

    def part(self, told: Told, entry: Entry, values: Values) -> None:
        """Add a component."""
        name = entry.component or normalise(values.get("component", ""))
        held = told.parts.setdefault(entry.within, {})
        if "tokens" in values and (name in held or len(held) < MOST_PIECES):
            held[name] = values["tokens"]
        if entry.less:
            told.less[name] = entry.less

    def _included(self, told: Told, _entry: Entry, values: Values) -> None:
        told.included += 1
        if len(told.pieces) < MOST_PIECES:
            name = values["name"]
            told.pieces.append(Detail(self._component(name), name, values.get("tokens", 0)))

    def _excluded(self, told: Told, entry: Entry, values: Values) -> None:
        name, reason = values["name"], values.get("reason") or entry.reason
        component = self._component(name)
        piece = "" if component == name else name
        causes = (cause for begins, cause in self.form.causes if reason.startswith(begins))
        told.add(schema.COMPONENT_EXCLUDED, {
            "name": component,
            "tokens": values.get("tokens", 0),
            "reason": reason,
            "piece": piece,
            "cause": next(causes, entry.cause),
        })  # fmt: skip

    def _squeezing(self, told: Told, entry: Entry, values: Values) -> None:
        done = entry.does == "compressed"
        if not done and values.keys() & told.squeezing.keys():
            _squeezed(told)
        told.squeezing.update(values)
        if entry.component:
            told.squeezing["component"] = entry.component
        if done:
            _squeezed(told)

    def _failed(self, told: Told, entry: Entry, values: Values) -> None:
        told.error = told.error or values.get("error") or entry.error or "error"

    def _component(self, name: str) -> str:
        """Return the component that a piece belongs to."""
        begins = (one for start, one in self.form.names if name.startswith(start))
        return next(begins, None) or normalise(name)


def _squeezed(told: Told) -> None:
    for event in squeezed(told.squeezing, told.end):
        told.add(event.name, event.attributes)
    told.squeezing.clear()


_DOES: dict[str, Callable[[Talk, Told, Entry, Values], None]] = {
    **dict.fromkeys(("figures", "turn", "call", *PROMPT), Talk._figures),  # noqa: SLF001
    **dict.fromkeys(("compressing", "compressed"), Talk._squeezing),  # noqa: SLF001
    "component": Talk.part,
    "included": Talk._included,  # noqa: SLF001
    "excluded": Talk._excluded,  # noqa: SLF001
    "failed": Talk._failed,  # noqa: SLF001
}
