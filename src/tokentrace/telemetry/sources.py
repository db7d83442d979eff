"""Which provider records: one that was given, else the application's, else a private one.

Asked at every span, metric and event, because an application may set its provider long after
`configure`. No provider is ever made global.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tokentrace import _config, _late, schema
from tokentrace._failsafe import attempt
from tokentrace.telemetry import losses, meters, weighing
from tokentrace.telemetry.forking import renew
from tokentrace.telemetry.meters import Meters

if TYPE_CHECKING:
    from tokentrace.telemetry.exporting import Private

PATIENCE = 1.0  # seconds
CAPACITY = 128  # attributes a span, where its provider does not tell
SHORTEST = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """What `configure` was told.

    Attributes:
        service_name: of the private provider; empty leaves it to ``OTEL_SERVICE_NAME``.
        tracer_provider, meter_provider, logger_provider: win over the application's.
        exporter: of the private provider: ``auto``, ``otlp``, ``local``, ``none``, a SpanExporter.
        wall: ns since the epoch; asked once a span, at its start.
        steady: ns of a clock that never goes back; measures durations.
    """

    service_name: str = ""
    tracer_provider: Any = None
    meter_provider: Any = None
    logger_provider: Any = None
    exporter: Any = "auto"
    wall: Callable[[], int] = time.time_ns
    steady: Callable[[], int] = time.perf_counter_ns


@dataclass(slots=True, eq=False)
class _State:
    """All that this module keeps: the settings, and what was made from them."""

    settings: Settings = field(default_factory=Settings)
    disabled: bool = False
    private: Private | None = None
    carrier: dict[str, str] | None = None
    tracer: tuple[Any, Any, int, int] = (None, None, CAPACITY, 0)
    most: int = _config.ATTRIBUTE_BYTES
    meters: tuple[Any, Meters | None] = (None, None)
    logger: tuple[Any, Any] = (None, None)
    lock: Any = field(default_factory=threading.Lock)

    def forget(self) -> None:
        """Ask for tracer, instruments and logger anew."""
        self.tracer = (None, None, CAPACITY, 0)
        self.meters = self.logger = (None, None)
        self.carrier = None


_state = _State()
# What has spans left to end when everything is sent or closed.
CLOSING: list[Callable[[], Any]] = [_late.drain]
_dropped: Counter[str] = Counter()
OPEN: dict[
    int, int
] = {}  # of each call that is open, by its handle: when it began, as `steady` tells


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


def configure(**changes: Any) -> None:
    """Replace the settings (see `Settings`); None means the default.

    A private provider that they no longer fit is flushed and closed.
    """
    settings = Settings(**{name: value for name, value in changes.items() if value is not None})
    before, _state.settings = _state.settings, settings
    if (before.exporter, before.service_name) != (settings.exporter, settings.service_name):
        shutdown()
    _state.disabled = _config.sdk_disabled()
    _state.most = _config.attribute_bytes()
    _state.forget()
    _late.listen()
    # A first call may come from an exit handler, when a provider's own would no longer be heard.
    atexit.unregister(shutdown)
    atexit.register(shutdown)


def settings() -> Settings:
    """Return the settings in force."""
    return _state.settings


def shutdown() -> None:
    """Flush and close the private providers; the next span makes new ones.

    A thread that died with the lock does not hold the exit.
    """
    for work in CLOSING:
        attempt(work)
    locked = _state.lock.acquire(timeout=PATIENCE)
    private, _state.private = _state.private, None
    if locked:
        _state.lock.release()
    _state.forget()
    if private is not None:
        private.close()


def carrier() -> dict[str, str]:
    """Return the parent that another process handed down, read once."""
    if _state.carrier is None:
        _state.carrier = _config.traceparent()
    return _state.carrier


def adopt(parent: dict[str, str] | None) -> None:
    """Make a span of this process the parent of those that have none; None asks the environment."""
    _state.carrier = parent


def room() -> int:
    """Return how many attributes a span of the tracer in charge holds."""
    return _state.tracer[2]


def most() -> int:
    """Return how many bytes a text on a span of the tracer in charge may take."""
    return _state.tracer[3] or _state.most


def most_of(limits: Any) -> int:
    """Return how many bytes a text may take under a provider's own limits, which count characters.

    Python's SDK cuts without a mark; so what it would cut, we do. Limits of under 64 leave no room
    for a mark.
    """
    names = ("max_span_attribute_length", "max_attribute_length")
    lengths: list[int] = [
        length for name in names if (length := getattr(limits, name, None)) is not None
    ]
    return max(SHORTEST, min([*lengths, _state.most]))


def flush(timeout: float = 4.0) -> bool:
    """Send what waits in the private providers; False when ``timeout`` seconds were not enough."""
    for work in CLOSING:
        attempt(work)
    return _state.private is None or _state.private.flush(timeout)


def reset() -> None:
    """Forget everything (tests)."""
    shutdown()
    _state.settings, _state.disabled = Settings(), False
    _state.most = _config.ATTRIBUTE_BYTES
    _dropped.clear()
    OPEN.clear()
    losses.reset()
    weighing.reset()
    meters.reset()


def dropped() -> Mapping[str, int]:
    """Return how many spans and log records our own providers lost, by reason."""
    return _dropped


def open_calls() -> dict[str, float]:
    """Return how many calls have not ended yet, and the seconds since the oldest of them began."""
    begun = tuple(OPEN.values())
    oldest = settings().steady() - min(begun) if begun else 0
    return {"calls": len(begun), "oldest_s": round(oldest / 1e9, 3)}


def folder() -> str:
    """Return where the local exporter writes, empty where it does not."""
    return _state.private.folder if _state.private is not None else ""


@cache
def otel() -> SimpleNamespace:
    """Return what every call needs of OpenTelemetry, imported on first use and looked up once."""
    from opentelemetry import context, metrics, trace
    from opentelemetry.instrumentation.utils import is_instrumentation_enabled

    return SimpleNamespace(
        attach=context.attach,
        current=context.get_current,
        enabled=is_instrumentation_enabled,
        kinds=trace.SpanKind,
        link=trace.Link,
        meter_provider=metrics.get_meter_provider,
        proxy=trace.ProxyTracerProvider,
        span=trace.get_current_span,
        statuses=trace.StatusCode,
        tracer_provider=trace.get_tracer_provider,
        within=trace.set_span_in_context,
    )


def on() -> bool:
    """Whether OpenTelemetry is not switched off for this process."""
    return not _state.disabled


def enabled() -> bool:
    """Whether spans and metrics are wanted here: neither switched off nor suppressed."""
    return not _state.disabled and bool(otel().enabled())


def _count_dropped(reason: str, items: int) -> None:
    if items:
        _dropped[reason] += items


def _after_fork() -> None:
    _state.lock = threading.Lock()
    _dropped.clear()
    OPEN.clear()
    weighing.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# ── providers ────────────────────────────────────────────────────────────────────────────────────


def _private() -> Private:
    """Return the private providers, made on first use."""
    if _state.private is None:
        from tokentrace.telemetry.exporting import Private

        with _state.lock:
            if _state.private is None:
                wanted = _state.settings
                _state.private = Private(
                    wanted.service_name, wanted.exporter, _count_dropped, _dropped
                )
    return _state.private


def tracer() -> Any:
    """Return the tracer of the provider that is in charge now, or None."""
    renew()
    provider = _state.settings.tracer_provider
    if provider is None:
        provider = otel().tracer_provider()
        if isinstance(provider, otel().proxy):
            provider = _private().tracer_provider
    if provider is not _state.tracer[0]:
        made = provider and provider.get_tracer(schema.SCOPE, _version())
        limits = getattr(made, "_span_limits", None)
        room = getattr(limits, "max_span_attributes", None) or CAPACITY
        _state.tracer = (provider, made, room, most_of(limits))
    return _state.tracer[1]


def instruments() -> Meters | None:
    """Return the instruments of the meter provider that is in charge now, or None."""
    renew()
    provider = _state.settings.meter_provider
    if provider is None:
        provider = otel().meter_provider()
        if type(provider).__name__ == "_ProxyMeterProvider":
            provider = _private().meter_provider
    if provider is not _state.meters[0]:
        meter = provider and provider.get_meter(schema.SCOPE, _version())
        _state.meters = (provider, meters.of(meter, _dropped) if meter else None)
    return _state.meters[1]


def logger() -> Any:
    """Return the logger of the provider that is in charge now, or None."""
    renew()
    provider = _state.settings.logger_provider
    if provider is None:
        from opentelemetry import _logs

        provider = _logs.get_logger_provider()
        if type(provider).__name__ == "ProxyLoggerProvider":
            provider = _private().logger_provider
    if provider is not _state.logger[0]:
        made = provider and provider.get_logger(schema.SCOPE, _version())
        _state.logger = (provider, made)
    return _state.logger[1]


def _version() -> str:
    import tokentrace

    return tokentrace.__version__
