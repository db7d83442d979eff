"""The words of tokentrace as frozen data: what a prompt holds, what it costs, what happened to it.

All token numbers are integers. Every ``total`` equals the sum of its ``components``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar, dataclass_transform

from tokentrace.outlook import Forecast, Waste

EXACT = "exact"
PROVIDER = "provider"
ANCHORED = "anchored"
CALIBRATED = "calibrated"
ESTIMATED = "estimated"


T = TypeVar("T")


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def light(made: type[T]) -> type[T]:
    """Make a dataclass that only type checkers hold frozen.

    Python takes five times as long to make a frozen one, and of these there are as many as messages,
    or several in each call.
    """
    return dataclass(slots=True, eq=False)(made)


# ── the request ──────────────────────────────────────────────────────────────────────────────────


@light
class Part:
    """One piece of a request as on the wire.

    Attributes:
        kind: ``text``, ``tool`` (a definition), ``call``, ``result``, ``schema``, ``image``,
            ``audio``, ``video``, ``file``, ``reasoning`` or ``other``.
        text: what of it is text: a message's text, a call's arguments, a result's content, a file's
            text where the body holds it.
        name: the tool's, call's or schema's name.
        id: the id that ties a call to its result.
        data: what the kind needs besides: a tool's or schema's definition (a mapping), ``Media``.
    """

    kind: str
    text: str = ""
    name: str = ""
    id: str = ""
    data: Any = None


@dataclass(frozen=True, slots=True)
class Media:
    """An image, sound, video or file, without its bytes.

    Attributes:
        width, height: pixels, 0 where the body does not tell.
        detail: the resolution hint of the request (``low``, ``high``, ``auto`` …).
        size: bytes of the decoded payload, 0 where the body does not hold it.
        mime: media type, empty where unknown.
        remote: the payload is not in the body (a URL or a file id).
        pages: of a PDF, 0 where they cannot be told.
        seconds: of sound or film, 0 where they cannot be told.
        sound: whether a film has sound.
    """

    width: int = 0
    height: int = 0
    detail: str = ""
    size: int = 0
    mime: str = ""
    remote: bool = False
    pages: int = 0
    seconds: float = 0.0
    sound: bool = False


@light
class Message:
    """One message, or one item of an item list, in wire order.

    Attributes:
        role: ``system``, ``developer``, ``user``, ``assistant`` or ``tool``; others as they came.
        parts: the pieces, in order. A message without content has none.
        name: the participant's name where the body gives one.
        memo: counts of this very message, kept by the counter; lives as long as the message.
    """

    role: str
    parts: tuple[Part, ...] = ()
    name: str = ""
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)


@light
class Prompt:
    """A request body, read by the dialect of its api.

    Attributes:
        api: one of the api names, e.g. ``openai.chat``.
        model: as requested, empty where absent.
        messages: system text first, then the conversation.
        tools: the definitions, kind ``tool``, ``data`` the definition as on the wire.
        schema: the response schema, kind ``schema``, or None.
        tool_choice: ``""``, ``auto``, ``none``, ``required``, or ``name:`` and a tool's name.
        max_output: the output cap of the request in tokens, or None.
        settings: request settings under their OpenTelemetry short names (``temperature``,
            ``top_p``, ``stream`` …), for the span only.
        server: names of what the provider adds and the body cannot tell, e.g.
            ``previous_response_id``, ``web_search``. Empty when the body is the whole prompt.
        stored: of these, what the provider keeps: name and id.
        passing: leading messages that a provider does not keep with the rest (``instructions``).
        features: facts a counting rule needs and the parts do not tell (``thinking``, ``batch`` …).
        memo: what the counter keeps of this very prompt.
    """

    api: str
    model: str = ""
    messages: Sequence[Message] = ()
    tools: tuple[Part, ...] = ()
    schema: Part | None = None
    tool_choice: str = ""
    max_output: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    server: tuple[str, ...] = ()
    stored: tuple[tuple[str, str], ...] = ()
    passing: int = 0
    features: frozenset[str] = frozenset()
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts in wire order: tools, schema, then the messages'."""
        schema = () if self.schema is None else (self.schema,)
        return (*self.tools, *schema, *chain.from_iterable(m.parts for m in self.messages))


# ── the response ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider reported about one call. None where it said nothing.

    Attributes:
        input: all input tokens, cached ones included.
        output: all output tokens, reasoning included.
        cache_read, cache_write: parts of ``input``.
        reasoning: part of ``output``.
        response_id, response_model: as the provider returned them.
        finish_reasons: one for each choice.
        cache_write_long: part of ``cache_write``, what is kept for an hour rather than minutes.
        tier: the service tier that served the call, as the provider calls it.
        billed: input and output that are billed, where the provider says other tokens than it read;
            on no span.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    response_id: str = ""
    response_model: str = ""
    finish_reasons: tuple[str, ...] = ()
    cache_write_long: int | None = None
    tier: str = ""
    billed: tuple[int, int] | None = None


UNREPORTED = Usage()


# ── the numbers ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Detail:
    """A named share inside a component, outside the sum: a tool, a tool's results, a section."""

    component: str
    name: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest input that a call may have, in tokens, and where the number comes from.

    Attributes:
        tokens: None where nobody knows.
        source: ``configured``, ``learned``, ``registry`` or ``unknown``.
        hard: False where passing it is no provider's refusal (only a warning is right).
    """

    tokens: int | None = None
    source: str = "unknown"
    hard: bool = True


@dataclass(frozen=True, slots=True)
class Count:
    """The input tokens of one request.

    Attributes:
        total: input tokens; equals the sum of ``components``.
        components: tokens by component name, largest first.
        details: shares inside components, largest first.
        method: ``exact``, ``provider``, ``anchored``, ``calibrated`` or ``estimated``.
        error: the bound, ± tokens; 0 for ``exact`` and ``provider``.
        tokenizer: the vocabulary used, e.g. ``o200k_base``.
        limit: the largest input the model takes, or None where unknown.
        limit_source: where ``limit`` comes from, see `Limit`.
        limit_hard: False where the provider does not refuse at ``limit``.
        model, api: as counted.
    """

    total: int
    components: Mapping[str, int]
    details: tuple[Detail, ...] = ()
    method: str = ESTIMATED
    error: int = 0
    tokenizer: str = ""
    limit: int | None = None
    limit_source: str = "unknown"
    limit_hard: bool = True
    model: str = ""
    api: str = ""

    @property
    def utilization(self) -> float | None:
        """``total / limit``, or None where no limit is known."""
        return None if self.limit is None else self.total / max(1, self.limit)

    @property
    def headroom(self) -> int | None:
        """Tokens left until the limit (negative above it), or None where no limit is known."""
        return None if self.limit is None else self.limit - self.total


@dataclass(frozen=True, slots=True)
class LimitReport:
    """What the guard saw and decided.

    Attributes:
        count: the request's count, with its limit.
        decision: ``ok``, ``warn``, ``compress``, ``refuse`` or ``off``.
        threshold: the largest threshold that was crossed (0.8 …), 0.0 when none was.
        exceeded: names of the components over a limit of their own.
        grew: components and by how many tokens they grew since the lineage's previous turn,
            largest growth first.
        forecast: turns until the limit at this lineage's growth, or None.
        model: the model asked.
        message: the whole of it in one sentence, numbers and known names only.
        ahead: the forecast with its interval and what grows, or None.
        waste: what the prompt could do without, the largest first.
    """

    count: Count
    decision: str = "ok"
    threshold: float = 0.0
    exceeded: tuple[str, ...] = ()
    grew: tuple[tuple[str, int], ...] = ()
    forecast: float | None = None
    model: str = ""
    message: str = ""
    ahead: Forecast | None = None
    waste: tuple[Waste, ...] = ()


# ── the records ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on a span: name and attributes as in `schema`, ``time`` in ns."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    time: int = 0


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One LLM call as it stands on its span. `schema.dump` writes it, `schema.load` reads it.

    Times are nanoseconds since the epoch; 0 and empty mean not known, None means not reported.
    ``cost`` and ``costs`` (by component) are dollars; ``called`` names the tools whose calls this
    prompt brings back for the first time.
    """

    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    start: int = 0
    end: int = 0
    service: str = ""
    operation: str = "chat"
    provider: str = ""
    api: str = ""
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    server_address: str = ""
    server_port: int = 0
    session: str = ""
    agent: str = ""
    turn: int | None = None
    turn_id: str = ""
    delta: int | None = None
    trend: str = ""
    lineage: str = ""
    tokens: int = 0
    method: str = ""
    error: int = 0
    tokenizer: str = ""
    components: Mapping[str, int] = field(default_factory=dict)
    cached: Mapping[str, int] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    cost: float | None = None
    called: tuple[str, ...] = ()
    details: tuple[Detail, ...] = ()
    limit: int | None = None
    limit_source: str = ""
    decision: str = ""
    compressed_tokens: int = 0
    forecast: float | None = None
    forecast_earliest: float | None = None
    forecast_latest: float | None = None
    forecast_component: str = ""
    cache_broken_by: str = ""
    cache_reason: str = ""
    duplicate_tokens: int = 0
    waste: tuple[Waste, ...] = ()
    usage: Usage = UNREPORTED
    error_type: str = ""
    events: tuple[Event, ...] = ()

    @property
    def utilization(self) -> float | None:
        """``tokens / limit``, or None where no limit is known."""
        return None if self.limit is None else self.tokens / max(1, self.limit)

    @property
    def headroom(self) -> int | None:
        """Tokens left until the limit, or None where no limit is known."""
        return None if self.limit is None else self.limit - self.tokens

    @property
    def drift(self) -> int | None:
        """Reported - counted, or None before the call or where nothing was reported."""
        return None if self.usage.input is None else self.usage.input - self.tokens

    @property
    def unattributed(self) -> int:
        """Reported tokens that no component explains."""
        return max(0, self.drift or 0)


@dataclass(frozen=True, slots=True)
class ContextRecord:
    """One assembly of a context as it stands on its span: totals here, each piece an event.

    ``inclusions`` is how many pieces went in: a log tells that, a span does not.
    """

    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    start: int = 0
    end: int = 0
    service: str = ""
    name: str = ""
    session: str = ""
    agent: str = ""
    turn: int | None = None
    included: int = 0
    excluded: int = 0
    compressed: int = 0
    budget: int | None = None
    lost: int = 0
    inclusions: int | None = None
    events: tuple[Event, ...] = ()


Record = CallRecord | ContextRecord
