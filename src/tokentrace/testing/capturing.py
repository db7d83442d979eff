"""What happens inside a block, collected in memory; and time that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tokentrace import _late
from tokentrace.prompt import CallRecord, ContextRecord, Record

if TYPE_CHECKING:
    from tokentrace.analysis import Session


class Captured:
    """The records of what happened since `capture` began, in the order in which it ended."""

    def __init__(self, spans: Callable[[], Sequence[Any]]) -> None:
        self._spans = spans

    @property
    def spans(self) -> Sequence[Any]:
        """The finished spans themselves, as OpenTelemetry's ``ReadableSpan``; what is still counted is awaited."""
        from tokentrace.instrument.aside import BENCH

        BENCH.settle()
        _late.drain()
        return self._spans()

    @property
    def records(self) -> list[Record]:
        """Calls and assemblies."""
        from tokentrace import telemetry

        loaded = (telemetry.record_of(span) for span in self.spans)
        return [record for record in loaded if record is not None]

    @property
    def calls(self) -> list[CallRecord]:
        """The LLM calls."""
        return [record for record in self.records if isinstance(record, CallRecord)]

    @property
    def contexts(self) -> list[ContextRecord]:
        """The assemblies of a context."""
        return [record for record in self.records if isinstance(record, ContextRecord)]

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The conversations that the records add up to, oldest first, with their turns."""
        from tokentrace import analysis

        return analysis.sessions(self.records)


@contextmanager
def capture(**settings: Any) -> Iterator[Captured]:
    """Instrument for the length of a block and collect what it does, in memory.

    An application that is instrumented already is so again afterwards, as it was.

    Args:
        **settings: as for `tokentrace.instrument`; ``tracer_provider`` is ours, so spans come here
            even where the application has set a provider.
    """
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from tokentrace import telemetry
    from tokentrace.instrument import as_it_is, instrument, state
    from tokentrace.telemetry import exporting

    exporter = InMemorySpanExporter()
    undo, told = as_it_is(), telemetry.settings()
    if state.settings is not None:  # else its own exporter would be closed
        settings = {"exporter": told.exporter, "service_name": told.service_name, **settings}
    instrument(tracer_provider=exporting.in_memory(exporter), **settings)
    try:
        yield Captured(exporter.get_finished_spans)
    finally:
        undo()


class Clock:
    """A clock that moves only when it is told to. Call it for seconds."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def tick(self, seconds: float = 1.0) -> None:
        """Move on by ``seconds``."""
        self.now += seconds
