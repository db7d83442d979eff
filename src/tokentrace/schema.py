"""Every dotted name that leaves the process, and the two functions that write and read a record.

`dump` turns a record into span attributes, `load` turns span attributes into a record:
``load(dump(r), **facts) == r`` up to what a span holds, which is

* the 24 largest components, the rest summed up in ``other`` (Σ stays what it was);
* cached tokens and costs of the 8 largest components, zeros left out;
* details up to 2,000 bytes of JSON, then a last entry ``"+n"`` for the n that were cut;
* waste, at most 16 entries, the largest first;
* cleaned texts (see `values.text`), normalised names, and the settings of `SETTINGS`.

Trace and span ids, times, service and events are no attributes: they go to `load` as ``facts``.

Standard names are those of the GenAI semantic conventions as shipped in 2026 (1.37 and later, with
``cache_write`` for what was ``cache_creation``), not yet those of their unreleased main branch.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from operator import attrgetter, is_not
from typing import Any

from tokentrace.fitting import PAIR_BYTES, cut_list, heft, weight
from tokentrace.names import normalise
from tokentrace.prompt import UNREPORTED, CallRecord, ContextRecord, Event, Record, Usage
from tokentrace.values import (
    OTHER,
    Value,
    band,
    clean,
    component,
    dump_details,
    dump_waste,
    fold,
    identity,
    load_details,
    load_waste,
    real,
    switch,
    text,
    texts,
    whole,
    within,
)

__all__ = [
    "band", "bounded", "clean", "dump", "dump_event", "is_llm", "load", "load_event", "model_of", "shrink", "span_name",
]  # fmt: skip

# ── standard names ───────────────────────────────────────────────────────────────────────────────

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
CONVERSATION = "gen_ai.conversation.id"
AGENT = "gen_ai.agent.name"
USAGE_INPUT = "gen_ai.usage.input_tokens"
USAGE_OUTPUT = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens"
RESPONSE_TIER = "openai.response.service_tier"
USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - an attribute's name
INPUT_MESSAGES = "gen_ai.input.messages"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"
SERVICE_NAME = "service.name"
EVENT_NAME = "event.name"  # of a log record, before OpenTelemetry 1.35

OPERATIONS = {"chat", "text_completion", "embeddings", "generate_content", "count_tokens"}
INVOKE_AGENT = "invoke_agent"
ASSEMBLE = "assemble_context"
OTHER_CALL = "call"
_TITLES = frozenset({*OPERATIONS, INVOKE_AGENT, ASSEMBLE})

# ── our own names ────────────────────────────────────────────────────────────────────────────────

SCOPE = "tokentrace"
PREFIX = f"{SCOPE}."
API = "tokentrace.api"
TOKENS = "tokentrace.input.tokens"
METHOD = "tokentrace.input.method"
ERROR = "tokentrace.input.error"
TOKENIZER = "tokentrace.input.tokenizer"
DRIFT = "tokentrace.input.drift"
COMPONENT = "tokentrace.component."
DETAILS = "tokentrace.details"
LIMIT = "tokentrace.limit.tokens"
LIMIT_SOURCE = "tokentrace.limit.source"
UTILIZATION = "tokentrace.limit.utilization"
BAND = "tokentrace.limit.band"
HEADROOM = "tokentrace.limit.headroom"
THRESHOLD = "tokentrace.limit.threshold"
DECISION = "tokentrace.guard.decision"
COMPRESSED_TOKENS = "tokentrace.guard.compressed_tokens"
FORECAST = "tokentrace.forecast.turns_to_limit"
FORECAST_EARLIEST = "tokentrace.forecast.earliest"
FORECAST_LATEST = "tokentrace.forecast.latest"
FORECAST_COMPONENT = "tokentrace.forecast.component"
LINEAGE = "tokentrace.lineage.id"
TURN = "tokentrace.turn.number"
TURN_ID = "tokentrace.turn.id"
DELTA = "tokentrace.turn.delta"
TREND = "tokentrace.turn.trend"
CACHE_BROKEN_BY = "tokentrace.cache.broken_by"
CACHE_REASON = "tokentrace.cache.reason"
DUPLICATE = "tokentrace.duplicate.tokens"
WASTE = "tokentrace.waste"
COST = "tokentrace.cost.usd"
CACHE_WRITE_LONG = "tokentrace.cache.write_1h.tokens"
CALLED = "tokentrace.tools.called"
ASSEMBLY_NAME = "tokentrace.assembly.name"
INCLUDED = "tokentrace.assembly.included.tokens"
EXCLUDED = "tokentrace.assembly.excluded.tokens"
COMPRESSED = "tokentrace.assembly.compressed.tokens"
BUDGET = "tokentrace.assembly.budget"
LOST = "tokentrace.assembly.lost"
COMPONENT_NAME = "tokentrace.component.name"
DROP_REASON = "tokentrace.drop.reason"
FAILURE = "tokentrace.failure"
FOLD_REASON = "tokentrace.fold.reason"
LOSS = "tokentrace.context.loss"

LIMIT_WARNING = "tokentrace.limit.warning"
LIMIT_EXCEEDED = "tokentrace.limit.exceeded"
COMPONENT_EXCLUDED = "tokentrace.component.excluded"
CONTEXT_COMPRESSED = "tokentrace.context.compressed"
UTILIZATION_LOW = "tokentrace.utilization.low"
FIGURES_DISAGREE = "tokentrace.figures.disagree"  # told by readers of logs, on no span of ours

BY_GUARD = "by the guard's callback"  # the reason of a compression inside one

TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - a metric's name
DURATION = "gen_ai.client.operation.duration"
COMPONENT_TOKENS = "tokentrace.component.tokens"
OVERHEAD = "tokentrace.overhead"
DECISIONS = "tokentrace.guard.decisions"
INTERNAL_ERRORS = "tokentrace.internal.errors"
DROPPED = "tokentrace.telemetry.dropped"
FOLDED = "tokentrace.names.folded"
ESTIMATED = "tokentrace.counts.estimated"
FORGOTTEN = "tokentrace.context.forgotten"

REST = "__other__"
MOST_ATTRIBUTES = 70
MOST_SHARES = 8
MOST_METRIC_NAMES = 64


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument: ``histogram``, ``counter`` or ``observed`` counter, unit, text, buckets."""

    kind: str
    unit: str
    description: str
    buckets: tuple[float, ...] | None = None


SECONDS = tuple(0.01 * 2**n for n in range(14))
TOKEN_STEPS = tuple(float(4**n) for n in range(14))
# Ours, dense where a decision changes: the standard token buckets are a factor of four wide.
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)
RATIOS = (*TENTHS, 1.0, 1.01, 1.02, 1.05, 1.1, 1.25, 1.5, 2.0)
SHORT = tuple(step * 10.0**-power for power in (5, 4, 3, 2) for step in (1.0, 2.5, 5.0))

METRICS = {
    TOKEN_USAGE: Metric("histogram", "{token}", "Tokens the provider reported", TOKEN_STEPS),
    DURATION: Metric("histogram", "s", "Duration of calls to the provider", SECONDS),
    COMPONENT_TOKENS: Metric("histogram", "{token}", "Counted tokens a component", TOKEN_STEPS),
    UTILIZATION: Metric("histogram", "1", "Counted input tokens over the limit", RATIOS),
    DECISIONS: Metric("counter", "{decision}", "Decisions of the guard"),
    OVERHEAD: Metric("histogram", "s", "Time that tokentrace added to a call", SHORT),
    INTERNAL_ERRORS: Metric("observed", "{error}", "Failures inside tokentrace"),
    DROPPED: Metric("observed", "{item}", "Telemetry that tokentrace made and lost"),
    FOLDED: Metric("observed", "{name}", "Names of components told under a common one"),
    ESTIMATED: Metric("observed", "{call}", "Calls whose count was not exact"),
    FORGOTTEN: Metric("observed", "{item}", "What a process no longer knows of its conversations"),
}

# Of the observed ones, the attribute that says of what.
LOSSES = {
    INTERNAL_ERRORS: FAILURE,
    DROPPED: DROP_REASON,
    FOLDED: FOLD_REASON,
    ESTIMATED: METHOD,
    FORGOTTEN: LOSS,
}


# ── the table that both directions walk ──────────────────────────────────────────────────────────

Field = tuple[str, str, Callable[[Any], Any]]

# Samplers see the first five at the start of a span.
CALL: tuple[Field, ...] = (
    ("operation", OPERATION, text),
    ("provider", PROVIDER, text),
    ("model", REQUEST_MODEL, text),
    ("server_address", SERVER_ADDRESS, text),
    ("server_port", SERVER_PORT, whole),
    ("session", CONVERSATION, identity),
    ("agent", AGENT, text),
    ("error_type", ERROR_TYPE, text),
    ("api", API, text),
    ("tokens", TOKENS, whole),
    ("method", METHOD, text),
    ("error", ERROR, whole),
    ("tokenizer", TOKENIZER, text),
    ("limit", LIMIT, whole),
    ("limit_source", LIMIT_SOURCE, text),
    ("decision", DECISION, text),
    ("compressed_tokens", COMPRESSED_TOKENS, whole),
    ("forecast", FORECAST, real),
    ("forecast_earliest", FORECAST_EARLIEST, real),
    ("forecast_latest", FORECAST_LATEST, real),
    ("forecast_component", FORECAST_COMPONENT, component),
    ("lineage", LINEAGE, text),
    ("turn", TURN, whole),
    ("turn_id", TURN_ID, text),
    ("delta", DELTA, whole),
    ("trend", TREND, text),
    ("cache_broken_by", CACHE_BROKEN_BY, text),
    ("cache_reason", CACHE_REASON, text),
    ("duplicate_tokens", DUPLICATE, whole),
    ("cost", COST, real),
    ("called", CALLED, texts),
)
USAGE: tuple[Field, ...] = (
    ("input", USAGE_INPUT, whole),
    ("output", USAGE_OUTPUT, whole),
    ("cache_read", USAGE_CACHE_READ, whole),
    ("cache_write", USAGE_CACHE_WRITE, whole),
    ("reasoning", USAGE_REASONING, whole),
    ("response_id", RESPONSE_ID, text),
    ("response_model", RESPONSE_MODEL, text),
    ("finish_reasons", FINISH_REASONS, texts),
    ("cache_write_long", CACHE_WRITE_LONG, whole),
    ("tier", RESPONSE_TIER, text),
)
CONTEXT: tuple[Field, ...] = (
    ("name", ASSEMBLY_NAME, text),
    ("session", CONVERSATION, identity),
    ("agent", AGENT, text),
    ("turn", TURN, whole),
    ("included", INCLUDED, whole),
    ("excluded", EXCLUDED, whole),
    ("compressed", COMPRESSED, whole),
    ("budget", BUDGET, whole),
    ("lost", LOST, whole),
)
# What of a request may stand on a span. Stop sequences are text of the prompt's kind: not here.
SETTINGS: tuple[Field, ...] = (
    ("temperature", "gen_ai.request.temperature", real),
    ("top_p", "gen_ai.request.top_p", real),
    ("top_k", "gen_ai.request.top_k", whole),
    ("frequency_penalty", "gen_ai.request.frequency_penalty", real),
    ("presence_penalty", "gen_ai.request.presence_penalty", real),
    ("max_tokens", "gen_ai.request.max_tokens", whole),
    ("seed", "gen_ai.request.seed", whole),
    ("stream", "gen_ai.request.stream", switch),
    ("choice.count", "gen_ai.request.choice.count", whole),
    ("reasoning.level", "gen_ai.request.reasoning.level", text),
    ("previous_response.id", "gen_ai.request.previous_response.id", text),
    ("encoding_formats", "gen_ai.request.encoding_formats", texts),
    ("service_tier", "openai.request.service_tier", text),
    ("output.type", "gen_ai.output.type", text),
    ("embeddings.dimension.count", "gen_ai.embeddings.dimension.count", whole),
)
_SETTINGS = {name: (key, convert) for name, key, convert in SETTINGS}
ALWAYS = ("operation", "included", "excluded", "compressed")
COUNTED = (*ALWAYS, "tokens", "error")

EMPTY = {kind: kind() for kind in (CallRecord, ContextRecord, Usage)}
Written = dict[str, Value]
Values = tuple[Any, ...]


class _Walk:
    """A table, and how its fields are read off a record all at once.

    Attributes:
        places: attribute and conversion of each field.
        values: returns all fields of a record, in the order of the table.
    """

    def __init__(self, table: tuple[Field, ...]) -> None:
        self.names = tuple(name for name, _, _ in table)
        self.places = tuple((key, convert) for _, key, convert in table)
        self.values: Callable[[Any], Values] = attrgetter(*self.names)

    def unset(self, empty: Any, must: Iterable[str]) -> Values:
        """Return the fields of ``empty``, and for those of ``must`` what no field is equal to."""
        pairs = zip(self.names, self.values(empty), strict=True)
        return tuple(object() if name in must else value for name, value in pairs)

    def write(self, written: Written, source: Any, before: Values) -> None:
        """Write the attributes of all fields that are others than ``before``."""
        values = self.values(source)
        # What is unchanged is the very same object nearly always: the rest is looked at.
        others = map(is_not, values, before)
        for (key, convert), value, plain in compress(zip(self.places, values, before), others):  # noqa: B905
            if value != plain and (known := convert(value)) is not None:
                written[key] = known


_CALL, _USAGE, _CONTEXT = map(_Walk, (CALL, USAGE, CONTEXT))
_UNSET, _UNCOUNTED = (_CALL.unset(EMPTY[CallRecord], must) for must in (ALWAYS, COUNTED))


def _read(attributes: Mapping[str, Any], table: Iterable[Field]) -> dict[str, Any]:
    """Return the fields whose attributes are there and of their type."""
    found: dict[str, Any] = {}
    for name, key, convert in table:
        value = attributes.get(key)
        if value is not None and (known := convert(value)) is not None:
            found[name] = known
    return found


# ── components ───────────────────────────────────────────────────────────────────────────────────

ENDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tokens": ("components", whole),
    "cached_tokens": ("cached", whole),
    "cost_usd": ("costs", real),
}
_keys: dict[str, tuple[str, str, str]] = {}


def keys(name: str) -> tuple[str, str, str]:
    """Return the attributes of a component's tokens, cached tokens and cost."""
    known = _keys.get(name)
    if known is None:
        if len(_keys) >= 1_024:
            _keys.clear()
        stem = COMPONENT + normalise(name)
        known = _keys[name] = (f"{stem}.tokens", f"{stem}.cached_tokens", f"{stem}.cost_usd")
    return known


def _components(written: dict[str, Any], record: CallRecord, before: CallRecord) -> None:
    """Write all components, and zeros for those that went; names that become equal are added up."""
    for name, _ in fold(before.components) if before.components else ():
        written[keys(name)[0]] = 0
    for name, tokens in fold(record.components):
        key = keys(name)[0]
        written[key] = whole(written.get(key, 0) + tokens)


def _extras(written: dict[str, Any], record: CallRecord, *, cached: bool, costs: bool) -> None:
    """Write cached tokens and costs of the largest components."""
    largest = fold(record.components)[:MOST_SHARES]
    for name, _ in largest if cached else ():
        if real(share := record.cached.get(name)):
            written[keys(name)[1]] = whole(share)
    for name, _ in largest if costs else ():
        if known := real(record.costs.get(name)):
            written[keys(name)[2]] = known


def _shares(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return components, cached and costs as they stand in attributes."""
    found: dict[str, dict[str, Any]] = {"components": {}, "cached": {}, "costs": {}}
    for key, value in attributes.items():
        if key.startswith(COMPONENT) and (place := _share(key)):
            field, name, convert = place
            if (known := convert(value)) is not None:
                found[field][name] = known
    return found


Share = tuple[str, str, Callable[[Any], Any]]
_known_shares: dict[str, Share | None] = {}


def _share(key: str) -> Share | None:
    """Return which share of which component an attribute is, and how it is read."""
    if key in _known_shares:
        return _known_shares[key]
    name, dot, end = key.removeprefix(COMPONENT).rpartition(".")
    found = (ENDS[end][0], name, ENDS[end][1]) if dot and end in ENDS else None
    if len(_known_shares) >= 4_096:
        _known_shares.clear()
    _known_shares[key] = found
    return found


# ── events ───────────────────────────────────────────────────────────────────────────────────────

# Short names inside the house, full names outside: an event's attribute stands beside others'.
_NAMES = {"name": COMPONENT_NAME, "tokens": COMPONENT_TOKENS, "reason": "tokentrace.reason"}
_SIZES = {"before": "tokentrace.context.before", "after": "tokentrace.context.after"}
_LIMITS = {
    "model": REQUEST_MODEL,
    "tokens": TOKENS,
    "method": METHOD,
    "error": ERROR,
    "limit": LIMIT,
    "utilization": UTILIZATION,
    "threshold": THRESHOLD,
    "decision": DECISION,
    "forecast": FORECAST,
    "earliest": FORECAST_EARLIEST,
    "latest": FORECAST_LATEST,
    "grows": FORECAST_COMPONENT,
    "exceeded": "tokentrace.limit.components",
    "grew": "tokentrace.limit.grew",
}
EVENTS: dict[str, dict[str, str]] = {
    LIMIT_WARNING: _LIMITS,
    LIMIT_EXCEEDED: _LIMITS,
    UTILIZATION_LOW: _LIMITS,
    COMPONENT_EXCLUDED: _NAMES,
    CONTEXT_COMPRESSED: _NAMES | _SIZES,
    FIGURES_DISAGREE: _NAMES | _SIZES,
}


_SHORT = {event: {full: name for name, full in fields.items()} for event, fields in EVENTS.items()}


def dump_event(name: str, attributes: Mapping[str, Any]) -> dict[str, Value]:
    """Return an event's attributes under their full names, cleaned.

    A name that the event's table does not hold keeps its dots, or goes under our own prefix.
    """
    table = EVENTS.get(name, {})
    written: dict[str, Value] = {}
    for short, value in attributes.items():
        key = table.get(short) or (short if "." in short else PREFIX + normalise(short))
        known = normalise(value) if key == COMPONENT_NAME else clean(value)
        if known is not None:
            written[key] = known
    return written


def load_event(event: Event) -> Event:
    """Return ``event`` with the short names that `dump_event` was given."""
    short = _SHORT.get(event.name, {})
    attributes = {short.get(key, key): value for key, value in event.attributes.items()}
    return Event(event.name, attributes, event.time)


# ── records ──────────────────────────────────────────────────────────────────────────────────────


def dump(record: Record, since: Record | None = None) -> Written:
    """Return the attributes of ``record``, those that samplers want first, ours at most 70.

    Args:
        record: a call or an assembly.
        since: what was written already: then only what is new, and zeros for components that went.
    """
    before = EMPTY[type(record)] if since is None else since
    written: Written = {}
    if not isinstance(record, CallRecord) or not isinstance(before, CallRecord):
        _CONTEXT.write(written, record, _CONTEXT.unset(before, ALWAYS))
        return written
    unset = _UNCOUNTED if record.method else _UNSET
    _CALL.write(written, record, unset if since is None else _CALL.values(before))
    if record.settings is not before.settings:
        _settings(record.settings, written)
    _derive(record, before, written)
    _shared(record, before, written)
    if record.details and record.details is not before.details:
        written[DETAILS] = dump_details(record.details)
    if record.waste and record.waste is not before.waste:
        written[WASTE] = dump_waste(record.waste)
    if record.usage is not before.usage:
        _USAGE.write(written, record.usage, _USAGE.values(before.usage))
    return written


def _settings(settings: Mapping[str, Any], written: Written) -> None:
    """Write what of a request's settings may stand on a span."""
    for name in settings:
        key, convert = _SETTINGS.get(name, ("", clean))
        if key and (known := convert(settings[name])) is not None:
            written[key] = known


def _shared(record: CallRecord, before: CallRecord, written: Written) -> None:
    """Write what is told by component; where the components are others, all of it anew."""
    cached, costs = record.cached, record.costs
    anew = record.components is not before.components
    if anew:
        _components(written, record, before)
    read = bool(cached) and (anew or cached is not before.cached)
    paid = bool(costs) and (anew or costs is not before.costs)
    if read or paid:
        _extras(written, record, cached=read, costs=paid)


def _derive(record: CallRecord, before: CallRecord, written: Written) -> None:
    """Write what back ends cannot compute themselves."""
    tokens, limit = record.tokens, record.limit
    if limit is not None and not (tokens == before.tokens and limit == before.limit):
        share = record.utilization
        written[UTILIZATION] = real(share) or 0.0
        written[BAND] = band(share)
        written[HEADROOM] = whole(record.headroom) or 0
    if record.method:
        drift = record.drift
        if drift is not None and drift != before.drift:
            written[DRIFT] = whole(drift) or 0


def load(
    attributes: Mapping[str, Any], *, name: str = "", error: bool = False, **facts: Any
) -> Record | None:
    """Return the record whose attributes these are, None where they are no record's.

    Args:
        attributes: of a span. Odd values count as absent; nothing raises.
        name: the span's name.
        error: the span's status is an error.
        facts: ``trace_id``, ``span_id``, ``parent_id``, ``start`` and ``end`` in ns, ``service``,
            ``events`` (`Event`).
    """
    if events := facts.get("events", ()):
        facts["events"] = tuple(map(load_event, events))
    if INCLUDED in attributes:
        named = {"name": name.removeprefix(ASSEMBLE).strip()}
        return ContextRecord(**{**named, **_read(attributes, CONTEXT), **facts})
    if TOKENS not in attributes and attributes.get(OPERATION) not in OPERATIONS:
        return None
    plain, usage, settings = _call(attributes)
    if error:
        plain.setdefault("error_type", "_OTHER")
    return CallRecord(
        **plain,
        **facts,
        settings=settings,
        details=load_details(attributes.get(DETAILS)),
        waste=load_waste(attributes.get(WASTE)),
        usage=Usage(**usage) if usage else UNREPORTED,
    )


_PLACES = {
    key: (place, name, convert)
    for place, table in enumerate((CALL, USAGE, SETTINGS))
    for name, key, convert in table
}


def _call(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the fields of a call, of its usage and of its settings that are there and of their type.

    One walk over the attributes: a report reads millions of them.
    """
    call: dict[str, Any] = {"components": {}, "cached": {}, "costs": {}}
    usage: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    places = (call, usage, settings)
    for key, value in attributes.items():
        if (field := _PLACES.get(key)) is not None:
            place, name, convert = field
            if value is not None and (known := convert(value)) is not None:
                places[place][name] = known
        elif key.startswith(COMPONENT) and (share := _share(key)):
            field_name, name, convert = share
            if (known := convert(value)) is not None:
                call[field_name][name] = known
    return call, usage, settings


def measured(attributes: Mapping[str, Any], most: int) -> tuple[Mapping[str, Value], int]:
    """Return attributes `bounded` by ``most``, and their weight: one walk where nothing is long."""
    quarter, long = most // 4, False
    total = PAIR_BYTES * len(attributes) + sum(map(len, attributes))
    for value in attributes.values():
        kind = type(value)
        if kind is int:
            total += 3
        elif kind is str:
            total += len(value) if value.isascii() else heft(value)
            long = long or len(value) > quarter
        else:
            total += heft(value)
            long = long or (kind is tuple and 4 * sum(map(len, value)) > most)
    if not long:
        return attributes, total
    known = bounded(attributes, most)
    return known, weight(known)


def bounded(attributes: Mapping[str, Value], most: int) -> Mapping[str, Value]:
    """Return attributes none of which takes more than ``most`` bytes in UTF-8; cuts bear a mark."""
    quarter = most // 4  # a character is at most four bytes
    short = {
        key: _short(key, value, most)
        for key, value in attributes.items()
        if (type(value) is str and len(value) > quarter) or type(value) is tuple
    }
    return {**attributes, **short} if short else attributes


def _short(key: str, value: Value, most: int) -> Value:
    if key.startswith(PREFIX) and isinstance(value, str) and value.startswith("["):
        return cut_list(value, most)
    return within(value, most)


# How other instrumentations mark a span of an LLM call: attribute, its values, and whether each
# means embeddings.
_KINDS: dict[str, dict[str, bool]] = {
    OPERATION: {name: name == "embeddings" for name in OPERATIONS - {"count_tokens"}},
    "openinference.span.kind": {"LLM": False, "EMBEDDING": True},
    "langfuse.observation.type": {"generation": False, "embedding": True},
    "llm.request.type": {"chat": False, "completion": False, "embedding": True},
}
_MODELS = (REQUEST_MODEL, "llm.model_name")


def is_llm(attributes: Mapping[str, Any], operation: str) -> bool:
    """Whether attributes are those of an LLM call that embeds, or that does not, as ``operation``."""
    embeds = operation == "embeddings"
    marks = ((values, attributes.get(key)) for key, values in _KINDS.items())
    return any(values.get(str(mark)) is embeds for values, mark in marks if mark is not None)


def model_of(attributes: Mapping[str, Any]) -> str:
    """Return the model that anybody's span of an LLM call names, empty where none is."""
    named = (attributes.get(key) for key in _MODELS)
    return next((name for name in named if isinstance(name, str)), "")


@lru_cache(maxsize=256)
def span_name(operation: str, subject: str = "") -> str:
    """Return ``{operation} {subject}``: the first from a fixed set, the second cleaned."""
    known = operation if operation in _TITLES else OTHER_CALL
    return f"{known} {text(subject)}" if subject else known


# What can be derived or spared when a span has no room, first to last.
_SPARED = (
    *(
        WASTE,
        CALLED,
        DUPLICATE,
        CACHE_REASON,
        CACHE_BROKEN_BY,
        FORECAST_COMPONENT,
        FORECAST_LATEST,
        FORECAST_EARLIEST,
        FORECAST,
        HEADROOM,
        TREND,
        DELTA,
        TOKENIZER,
        TURN_ID,
    ),
    *(COMPRESSED_TOKENS, COST, LINEAGE, LIMIT_SOURCE, TURN, API, DRIFT, BAND),
)


def shrink(attributes: Mapping[str, Value], room: int) -> dict[str, Value]:
    """Return what of `dump` fits into ``room`` attributes of somebody else's span.

    Python's SDK drops the oldest attribute when a span is full, so we never fill one. Costs, cached
    tokens and details go first, then what can be spared; components are folded into ``other``, so
    that their sum holds, and go all at once when not even one fits.
    """
    kept = dict(attributes)
    shares = [key for key in kept if key.startswith(COMPONENT)]
    tokens = [key for key in shares if key.endswith(".tokens")]
    extras = [key for key in reversed(shares) if key not in tokens]
    for key in (*extras, DETAILS, *_SPARED):
        if len(kept) <= room:
            return kept
        kept.pop(key, None)
    if len(kept) <= room:
        return kept
    names = _shares({key: kept.pop(key) for key in tokens})["components"]
    first = {OPERATION, PROVIDER, REQUEST_MODEL, TOKENS, METHOD, DECISION}
    core = sorted(kept.items(), key=lambda pair: pair[0] not in first)[: max(0, room)]
    folded = fold(names, room - len(core)) if room > len(core) else []
    return dict(core) | {keys(name)[0]: count for name, count in folded}


def refit(attributes: Mapping[str, Value], sent: Container[str]) -> Written:
    """Return ``attributes`` with components under names that are on a full span already.

    What has no name there yet goes to ``other``; a name there without tokens now has none.
    """
    new = _shares(attributes)["components"]
    kept = {name: tokens for name, tokens in new.items() if keys(name)[0] in sent}
    if not kept:
        return dict(attributes)
    rest = sum(new.values()) - sum(kept.values())
    plain = {key: value for key, value in attributes.items() if not key.startswith(COMPONENT)}
    whole_sum = {**kept, OTHER: kept.get(OTHER, 0) + rest} if rest else kept
    return plain | {keys(name)[0]: tokens for name, tokens in whole_sum.items()}
