"""For `opentelemetry-instrument`: the entry point that starts tokentrace in an unchanged program."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

import tokentrace
from tokentrace._failsafe import attempt

PROVIDERS = ("tracer_provider", "meter_provider", "logger_provider")


class TokentraceInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """OpenTelemetry's way to `tokentrace.instrument`; settings are those of the environment."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: an SDK that is not there is no conflict, its hooks wait."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """Put the hooks in. A failure of ours must not keep other instrumentations out."""
        given = {name: kwargs[name] for name in PROVIDERS if name in kwargs}
        attempt(tokentrace.instrument, **given)

    def _uninstrument(self, **_: Any) -> None:
        """Take the hooks out."""
        attempt(tokentrace.uninstrument)
