"""Other instrumentations of the same call: on whose span ours may stand, so that a call has one.

Where the current span is already an LLM span of this very call, our attributes go onto it. Most
instrumentations make theirs current; OpenLLMetry starts some without doing so, and some only when
the call has returned: those are seen by a wrapper around the SDK's ``Tracer.start_span``, which
stands only where OpenLLMetry is (`instrument.hooks.WATCHED`).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from tokentrace import _failsafe, schema
from tokentrace._failsafe import attempt
from tokentrace.prompt import CallRecord
from tokentrace.telemetry import sources
from tokentrace.telemetry.spans import Awaited

PATIENCE_NS = 1_000_000_000  # how long after a call's end somebody's late span is waited for
MOST_AWAITED = 256


@dataclass(frozen=True, slots=True)
class Peer:
    """An instrumentation of LLM calls, by the names of its tracers.

    Attributes:
        name: as people call it.
        scope: how the names of its tracers begin.
        metrics: it records the standard's token usage and duration itself.
        late: apis by the tracer that starts their span only when the call has returned.
    """

    name: str
    scope: str
    metrics: bool
    late: Mapping[str, tuple[str, ...]]


NEVER: Mapping[str, tuple[str, ...]] = {}

# Seen on their releases of 2026-11: genai-openai 1.3b0, OpenLLMetry 0.62, OpenInference 0.1.66,
# Logfire 5.4. The first that matches holds; metrics of one that is not here are taken for none.
PEERS = (
    Peer("OpenTelemetry", "opentelemetry.instrumentation.genai.", True, NEVER),
    Peer("OpenTelemetry", "opentelemetry.instrumentation.openai_v2", True, NEVER),
    Peer(
        "OpenLLMetry",
        "opentelemetry.instrumentation.",
        True,
        {"opentelemetry.instrumentation.openai.v1": ("openai.responses",)},
    ),
    Peer("OpenInference", "openinference.instrumentation.", False, NEVER),
    Peer("Logfire", "logfire.", False, NEVER),
    Peer("OpenLIT", "openlit", True, NEVER),
    Peer("Pydantic AI", "pydantic-ai", True, NEVER),
)

LATE = frozenset(api for peer in PEERS for apis in peer.late.values() for api in apis)

OTEL = "_instance._is_instrumented_by_opentelemetry"
LOGFIRE = "_is_instrumented_by_logfire"
# What tells that an instrumentation stands around an SDK's calls: SDK, who, module, a switch in it.
SWITCHES = (
    ("openai", "OpenTelemetry", "opentelemetry.instrumentation.genai.openai", f"OpenAIInstrumentor.{OTEL}"),
    ("openai", "OpenTelemetry", "opentelemetry.instrumentation.openai_v2", f"OpenAIInstrumentor.{OTEL}"),
    ("openai", "OpenLLMetry", "opentelemetry.instrumentation.openai", f"OpenAIInstrumentor.{OTEL}"),
    ("openai", "OpenInference", "openinference.instrumentation.openai", f"OpenAIInstrumentor.{OTEL}"),
    ("openai", "Logfire", "openai", f"OpenAI.{LOGFIRE}"),
    ("anthropic", "OpenTelemetry", "opentelemetry.instrumentation.genai.anthropic", f"AnthropicInstrumentor.{OTEL}"),
    ("anthropic", "OpenLLMetry", "opentelemetry.instrumentation.anthropic", f"AnthropicInstrumentor.{OTEL}"),
    ("anthropic", "OpenInference", "openinference.instrumentation.anthropic", f"AnthropicInstrumentor.{OTEL}"),
    ("anthropic", "Logfire", "anthropic", f"Anthropic.{LOGFIRE}"),
)  # fmt: skip

_begun: ContextVar[Any] = ContextVar("tokentrace_peer_span", default=None)
_expected: ContextVar[Awaited | None] = ContextVar("tokentrace_awaited_span", default=None)
_awaited: deque[Awaited] = deque()
_told: set[str] = set()


# ── a span that is there ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody's span of a call.

    Attributes:
        span: OpenTelemetry's.
        standard: its owner leaves the standard's metrics to us.
    """

    span: Any
    standard: bool


def span_of(record: CallRecord) -> Found | None:
    """Return somebody's span of this very call, None where we need one of our own."""
    current = sources.otel().span()
    for span in (current, _begun.get()):
        if span is None or (span is not current and not _sibling(span, current)):
            continue
        if _is_of(span, record) and _ours_to_write(span):
            peer = peer_of(span)
            return Found(span, standard=not (peer is not None and peer.metrics))
    return None


def _sibling(span: Any, current: Any) -> bool:
    """Whether a span that is not current was started where the caller is."""
    parent, here = getattr(span, "parent", None), current.get_span_context()
    return parent == here if parent is not None else not here.is_valid


def _is_of(span: Any, record: CallRecord) -> bool:
    """Whether a span is an open LLM span of a call like ``record``, on which no call of ours stands."""
    if not span.is_recording():
        return False
    attributes = getattr(span, "attributes", None) or {}
    if schema.TOKENS in attributes or scope_of(span) == schema.SCOPE:
        return False
    return schema.is_llm(attributes, record.operation) and _same_model(
        schema.model_of(attributes), record.model
    )


def _same_model(theirs: str, ours: str) -> bool:
    """Whether two names may be one model's; a router's prefix makes no other model."""
    return not theirs or not ours or theirs.rpartition("/")[2] == ours.rpartition("/")[2]


def _ours_to_write(span: Any) -> bool:
    """Whether a span goes where ours would: a provider that was given to us is not passed over."""
    given = sources.settings().tracer_provider
    if given is None:
        return True
    theirs = getattr(span, "_span_processor", None)
    return theirs is not None and theirs is getattr(given, "_active_span_processor", None)


def scope_of(span: Any) -> str:
    """Return the name of the tracer that started a span, empty where it does not tell."""
    return str(getattr(getattr(span, "instrumentation_scope", None), "name", ""))


def peer_of(span: Any) -> Peer | None:
    """Return whose span it is, None where it is nobody's that we know."""
    scope = scope_of(span)
    return next((peer for peer in PEERS if scope.startswith(peer.scope)), None)


# ── a span that is not current, or still to come ─────────────────────────────────────────────────


def started(span: Any) -> None:
    """Hear of a span that somebody has started in the caller's context."""
    peer = peer_of(span)
    if peer is None:
        return
    expected = _expected.get()
    if expected is not None and scope_of(span) in peer.late:
        _expected.set(None)
        if expected.span is None:
            expected.found(span, standard=True)  # who comes late records no metrics of it
            return
    _begun.set(span)


def watch(_hook: Any) -> Callable[..., Any]:
    """Return a wrapper for the SDK's ``Tracer.start_span``."""

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        del instance
        span = wrapped(*args, **kwargs)
        attempt(started, span)
        return span

    return wrapper


def is_late(record: CallRecord) -> bool:
    """Whether somebody's span of this call will come only when the call has returned."""
    return record.api in LATE and any(
        record.api in apis and any(scope.startswith(module) for _, _, module in standing())
        for peer in PEERS
        for scope, apis in peer.late.items()
    )


def standing() -> Iterator[tuple[str, str, str]]:
    """Yield the instrumentations that are switched on: SDK, who, module."""
    for sdk, name, module, switch in SWITCHES:
        value: Any = sys.modules.get(module)
        for step in switch.split("."):
            value = getattr(value, step, None)
        if value is True:
            yield sdk, name, module


def expect(handle: Awaited) -> None:
    """Have ``handle`` stand on the next late span of this context."""
    _expected.set(handle)
    _awaited.append(handle)
    settle()


def settle() -> None:
    """Make spans of ours for the calls whose late span has not come in time."""
    before = sources.settings().wall() - PATIENCE_NS
    for handle in tuple(_awaited):
        if handle.span is not None or 0 < handle.ended < before or len(_awaited) > MOST_AWAITED:
            _end(handle)


def settle_all() -> None:
    """Do so for all, as the process or the recording ends."""
    for handle in tuple(_awaited):
        _end(handle)


def _end(handle: Awaited) -> None:
    try:
        _awaited.remove(handle)
    except ValueError:  # another thread has done it
        return
    if handle.span is None:
        attempt(handle.own)


sources.CLOSING.append(settle_all)


# ── two of them ──────────────────────────────────────────────────────────────────────────────────


def tell(sdk: str) -> None:
    """Warn once where two instrumentations trace the calls of one SDK."""
    if sdk in _told:
        return
    names = sorted({name for of, name, _ in standing() if of == sdk})
    if len(names) > 1:
        _told.add(sdk)
        _failsafe.warn_once(
            f"peers:{sdk}",
            "%s all trace the calls of %s, with a span each; keep one of them",
            " and ".join(names),
            sdk,
        )
