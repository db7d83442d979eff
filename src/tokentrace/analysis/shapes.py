"""Conversations as they were read: sessions, their turns and what happened in them. Frozen data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

from tokentrace.prompt import EXACT, PROVIDER, CallRecord, ContextRecord, Record

SEVERITY = ("", "off", "ok", "warn", "compress", "refuse")
SURE = frozenset({EXACT, PROVIDER})

EXCLUDED = "excluded"
COMPRESSED = "compressed"
WARNING = "warning"
EXCEEDED = "exceeded"
REFUSED = "refused"
LOW = "low_utilization"
FAILED = "failed"
DISAGREEMENT = "disagreement"


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened in a turn.

    Attributes:
        kind: ``excluded``, ``compressed``, ``warning``, ``exceeded``, ``refused``,
            ``low_utilization``, ``failed`` or ``disagreement``.
        name: the component, empty where it is the whole prompt; the figure that disagrees.
        tokens: what was left out or saved, or the size of the prompt that was judged.
        error: the bound of that size, ± tokens.
        before, after: tokens around a compression, or the two figures that disagree; None
            elsewhere.
        limit: what the prompt was judged against, None elsewhere.
        reason: why, empty where nobody said.
        piece: of the component, as a log calls it, empty where nobody said.
        cause: of an exclusion in a log, in one word: ``budget``, ``cap`` or what its format says.
        time: nanoseconds since the epoch.
    """

    kind: str
    name: str = ""
    tokens: int = 0
    error: int = 0
    before: int | None = None
    after: int | None = None
    limit: int | None = None
    reason: str = ""
    piece: str = ""
    cause: str = ""
    time: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One user input and all that served it.

    Attributes:
        number: as the agent numbers it, or counted from 1.
        calls: its LLM calls, oldest first, those of sub-agents among them.
        contexts: its assemblies, oldest first.
        main: the call whose input is the turn's total: the largest of the main lineage that was
            sent. None in a turn without calls.
        delta: tokens against the turn before, None where there is none.
        trend: ``increase``, ``decrease``, ``stable``, or empty.
        events: what happened, in order.
    """

    number: int
    calls: tuple[CallRecord, ...] = ()
    contexts: tuple[ContextRecord, ...] = ()
    main: CallRecord | None = None
    delta: int | None = None
    trend: str = ""
    events: tuple[Happening, ...] = ()

    @property
    def total(self) -> int:
        """Input tokens of the main call."""
        return self.main.tokens if self.main else 0

    @property
    def components(self) -> Mapping[str, int]:
        """Tokens by component of the main call; they sum up to ``total``."""
        return self.main.components if self.main else {}

    @property
    def limit(self) -> int | None:
        """The largest input of the main call, None where unknown."""
        return self.main.limit if self.main else None

    @property
    def utilization(self) -> float | None:
        """``total / limit``, None where no limit is known."""
        return self.main.utilization if self.main else None

    @property
    def headroom(self) -> int | None:
        """Tokens left until the limit, None where no limit is known."""
        return self.main.headroom if self.main else None

    @property
    def exact(self) -> bool:
        """Whether the total is a sure number."""
        return self.main is None or self.main.method in SURE

    @property
    def decision(self) -> str:
        """The gravest decision of the guard in this turn."""
        return max((call.decision for call in self.calls), key=severity, default="")

    @property
    def reported(self) -> int | None:
        """Input tokens of the main call as the provider reported them."""
        return self.main.usage.input if self.main else None

    @property
    def drift(self) -> int | None:
        """Reported - counted of the main call."""
        return self.main.drift if self.main else None

    @property
    def start(self) -> int:
        """When its first call or assembly began, in ns since the epoch; 0 where unknown."""
        return min((one.start for one in self._spans), default=0)

    @property
    def end(self) -> int:
        """When its last call or assembly ended, in ns since the epoch; 0 where unknown."""
        return max((one.end for one in self._spans), default=0)

    @property
    def _spans(self) -> tuple[Record, ...]:
        return (*self.calls, *self.contexts)

    @property
    def inclusions(self) -> int | None:
        """How many pieces its assemblies took in, None where nobody told."""
        told = [one.inclusions for one in self.contexts if one.inclusions is not None]
        return sum(told) if told else None

    @property
    def exclusions(self) -> Mapping[str, int]:
        """How many pieces were left out, by cause, else by reason."""
        told = [event.cause or event.reason for event in self.of(EXCLUDED)]
        return Counter(told) if told else {}

    def of(self, kind: str) -> tuple[Happening, ...]:
        """Return the events of one kind."""
        return tuple(event for event in self.events if event.kind == kind)


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation.

    Attributes:
        id: its name, or its lineage where it has none.
        named: whether the agent gave the name.
        agent, service: who held it, empty where unknown.
        turns: in order of their numbers.
    """

    id: str
    named: bool = True
    agent: str = ""
    service: str = ""
    turns: tuple[Turn, ...] = ()

    @property
    def calls(self) -> tuple[CallRecord, ...]:
        """All calls, turn by turn."""
        return tuple(chain.from_iterable(turn.calls for turn in self.turns))

    @property
    def start(self) -> int:
        """When it began, in ns since the epoch; 0 where unknown."""
        return min((turn.start for turn in self.turns), default=0)

    def last(self, turns: int) -> Session:
        """Return the session with only its last ``turns`` turns."""
        return replace(self, turns=self.turns[-turns:] if turns > 0 else ())


@dataclass(frozen=True, slots=True)
class Summary:
    """What the turns of a session, or of many, add up to. All but ``utilization`` are integers.

    Attributes:
        turns, calls: how many.
        peak: the largest total of a turn, in tokens; ``peak_turn`` its number, 0 without turns.
            A turn that the guard refused counts only in a session of which nothing was sent.
        utilization: the largest share of a limit, of the same turns; None where no limit is known.
        tokens: counted input tokens of all calls that were sent.
        reported, output: tokens as providers reported them.
        drift: reported - counted over the calls that reported.
        increases, decreases, stable: turns by trend.
        warnings, exceeded, refusals, failures: how many.
        low_utilization: how often an agent said that it uses little of its limit.
        exclusions, excluded_tokens: how many, and their tokens.
        compressions, saved_tokens: how many, and what they saved.
    """

    turns: int = 0
    calls: int = 0
    peak: int = 0
    peak_turn: int = 0
    utilization: float | None = None
    tokens: int = 0
    reported: int = 0
    output: int = 0
    drift: int = 0
    increases: int = 0
    decreases: int = 0
    stable: int = 0
    warnings: int = 0
    exceeded: int = 0
    refusals: int = 0
    failures: int = 0
    low_utilization: int = 0
    exclusions: int = 0
    excluded_tokens: int = 0
    compressions: int = 0
    saved_tokens: int = 0


def over(call: CallRecord) -> bool:
    """Whether a call was sent over its limit for certain: the count less its bound is above it.

    The limit of a batch of embeddings is recorded as large as its largest input allows.
    """
    if call.limit is None or call.decision == "refuse":
        return False
    return call.tokens - call.error > call.limit


def severity(decision: str) -> int:
    """Return how grave a decision of the guard is; 0 for one that nobody knows."""
    return SEVERITY.index(decision) if decision in SEVERITY else 0
