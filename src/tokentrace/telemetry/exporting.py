"""The private providers: what records where the application has set no provider of its own.

Nothing here is ever made global. Spans and log records wait in a bounded queue for one daemon
thread, so that a call never waits for a collector; at exit the queue is given `EXIT` seconds, and
what is lost on the way is counted by reason.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from tokentrace import _config, schema
from tokentrace._failsafe import attempt
from tokentrace.telemetry import losses
from tokentrace.telemetry.forking import patient
from tokentrace.telemetry.local import LocalExporter
from tokentrace.telemetry.losses import CLOSED, FAILED, LEFT, QUEUE_FULL

EXIT = 2.5
EXIT_LOCAL = 2.0
LOCAL_DELAY = 1.0

Count = Callable[[str, int], None]
_batches: WeakSet[Batch] = WeakSet()


class Batch:
    """A bounded queue and the one daemon thread that empties it.

    Args:
        send: takes a list of items; returns an empty text, or why they are lost.
        end: called once after the last batch.
        count: told of everything lost: reason, number of items.
        queue: items that may wait.
        size: items a batch.
        delay: seconds that the first of them may wait.
        inline: send on the caller's thread where no thread can be started, as at exit.
    """

    def __init__(
        self,
        send: Callable[[list[Any]], str],
        end: Callable[[], Any],
        count: Count,
        *,
        queue: int = 2_048,
        size: int = 512,
        delay: float = 5.0,
        inline: bool = False,
    ) -> None:
        self._send, self._end, self._count = send, end, count
        self._limit, self._size, self._delay, self._inline = queue, size, delay, inline
        self._ended = False
        self._reborn()
        _batches.add(self)

    def _reborn(self) -> None:
        """Start empty: new, or in a child process. The parent's items are the parent's."""
        self._queue: deque[Any] = deque()
        self._lock = threading.Lock()
        self._some, self._many, self._stop = (threading.Event() for _ in range(3))
        self._thread: threading.Thread | None = None
        self._sending = 0
        self._given_up = False

    def put(self, item: Any) -> None:
        """Take ``item``, or count it as lost. Never waits."""
        if self._stop.is_set():
            self._count(CLOSED, 1)
        elif len(self._queue) >= self._limit:
            self._count(QUEUE_FULL, 1)
        else:
            self._queue.append(item)
            if self._thread is None and not self._start():
                self._without_thread()
            if not self._some.is_set():
                self._some.set()
            if len(self._queue) >= self._size and not self._many.is_set():
                self._many.set()

    def _start(self) -> bool:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="tokentrace-export", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads: the interpreter is about to end
                    return False
                self._thread = thread
                _close_with_child(self)
        return True

    def _without_thread(self) -> None:
        if self._inline:
            self._drain()
        else:
            self._count(LEFT, len(self._queue))
            self._queue.clear()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._some.wait()
            self._many.wait(self._delay)
            self._some.clear()
            self._many.clear()
            self._drain()
        self._drain()
        self._finish()

    def _finish(self) -> None:
        if not self._ended:
            self._ended = True
            attempt(self._end)

    def _drain(self) -> None:
        """Send everything that waits; an Event among the items is set when its turn comes."""
        with suppress_instrumentation():
            while self._queue and not self._given_up:
                batch: list[Any] = []
                marker: threading.Event | None = None
                while self._queue and len(batch) < self._size and marker is None:
                    item = self._queue.popleft()
                    if isinstance(item, threading.Event):
                        marker = item
                    else:
                        batch.append(item)
                self._deliver(batch)
                if marker is not None:
                    marker.set()

    def _deliver(self, batch: list[Any]) -> None:
        if batch:
            self._sending = len(batch)
            lost = attempt(self._send, batch, default=FAILED)
            with self._lock:
                self._sending = 0
                told = self._given_up
            if lost and not told:
                self._count(lost, len(batch))

    def flush(self, timeout: float) -> bool:
        """Wait until everything put so far is sent or lost; False when ``timeout`` ran out."""
        if self._thread is None or not self._thread.is_alive():
            return not self._queue
        marker = threading.Event()
        self._queue.append(marker)
        self._some.set()
        self._many.set()
        return marker.wait(timeout)

    def stop(self) -> None:
        """Take nothing more; the thread sends what it has."""
        self._stop.set()
        self._some.set()
        self._many.set()

    def close(self, timeout: float) -> None:
        """Stop, and wait at most ``timeout`` seconds; what is left then is counted."""
        self.stop()
        thread = self._thread
        if thread is None:
            self._finish()
            return
        thread.join(max(0.0, timeout))
        if thread.is_alive():
            with self._lock:  # what is under way counts once, whatever becomes of it
                self._given_up = True
                left = len(self._queue) + self._sending
            self._count(LEFT, left)


def _close_with_child(batch: Batch) -> None:
    """Close with a forked worker of multiprocessing, which ends without running atexit."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, batch.close, args=(EXIT,), exitpriority=10)


def _after_fork() -> None:
    for batch in tuple(_batches):
        batch._reborn()  # noqa: SLF001 - our own, in the child's first and only thread


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Spans(SpanProcessor):
    """Puts sampled spans into a batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._batch.put(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for the batch."""
        return self._batch.flush(timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Close the batch."""
        self._batch.close(EXIT)


class Given(SpanProcessor):
    """Hands each span to an in-memory exporter as it ends; its failures are counted."""

    def __init__(self, exporter: Any, count: Count) -> None:
        self._exporter, self._count = exporter, count

    def on_end(self, span: ReadableSpan) -> None:
        """Export a span that has ended."""
        if span.context is not None and span.context.trace_flags.sampled:
            with suppress_instrumentation():
                result = attempt(self._export, span, default=SpanExportResult.FAILURE)
            if result is SpanExportResult.FAILURE:
                self._count(FAILED, 1)

    def _export(self, span: ReadableSpan) -> Any:
        return self._exporter.export((span,))

    def shutdown(self) -> None:
        """Close the exporter."""
        attempt(self._exporter.shutdown)


class Logs(LogRecordProcessor):
    """Puts log records into a batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def on_emit(self, log_record: Any) -> None:
        """Take a log record."""
        self._batch.put(log_record)

    emit = on_emit  # its name before OpenTelemetry 1.35

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for the batch."""
        return self._batch.flush(timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Close the batch."""
        self._batch.close(EXIT)


class Private:
    """Providers of our own, for as long as the application has none.

    Args:
        service: the name of the service, empty for OpenTelemetry's own choice.
        exporter: as for `tokentrace.instrument`.
        count: told of everything lost: reason, number of items.
        dropped: all that was lost so far in this process; the local files tell of it.

    Attributes:
        kind: ``otlp``, ``local``, ``none`` or ``given``.
        tracer_provider, meter_provider, logger_provider: None where that signal goes nowhere.
        folder: where the local exporter writes, empty for the others.
    """

    def __init__(
        self, service: str, exporter: Any, count: Count, dropped: Mapping[str, int] | None = None
    ) -> None:
        self.kind = _config.exporter(exporter) if isinstance(exporter, str) else "given"
        self.tracer_provider: Any = None
        self.meter_provider: Any = None
        self.logger_provider: Any = None
        self.folder = ""
        self._count = count
        self._batches: list[Batch] = []
        if self.kind == "none":
            return
        self._resource = resource(service)
        self.tracer_provider = patient(TracerProvider)(
            resource=self._resource, shutdown_on_exit=False
        )
        if self.kind == "given":
            collects = hasattr(exporter, "get_finished_spans")  # in memory: a test looks at once
            given = Given(exporter, count) if collects else Spans(self._batch(exporter))
            self.tracer_provider.add_span_processor(given)
        elif self.kind == "local":
            self._local({} if dropped is None else dropped)
        else:
            self._otlp()
        atexit.register(self.close)

    def _local(self, dropped: Mapping[str, int]) -> None:
        exporter = LocalExporter(_config.folder(), losses.counts(dropped))
        self.folder = exporter.folder

        def count(reason: str, items: int) -> None:
            self._count(reason, items)
            if reason == CLOSED:  # its file has been told of the losses already: once more at exit
                atexit.unregister(exporter.shutdown)
                atexit.register(exporter.shutdown)

        batch = Batch(
            exporter.send, exporter.shutdown, count, delay=LOCAL_DELAY, size=64, inline=True
        )
        self._batches.append(batch)
        self.tracer_provider.add_span_processor(Spans(batch))

    def _otlp(self) -> None:
        self.tracer_provider.add_span_processor(Spans(self._batch(otlp_exporter("TRACES"))))
        metrics = otlp_exporter("METRICS")
        if metrics is not None:
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

            reader = patient(PeriodicExportingMetricReader)(metrics)
            self.meter_provider = patient(MeterProvider)(
                [reader], resource=self._resource, shutdown_on_exit=False
            )
        logs = otlp_exporter("LOGS")
        if logs is not None:
            from opentelemetry.sdk._logs import LoggerProvider

            self.logger_provider = patient(LoggerProvider)(
                resource=self._resource, shutdown_on_exit=False
            )
            self.logger_provider.add_log_record_processor(Logs(self._batch(logs)))

    def _batch(self, exporter: Any) -> Batch:
        queue, size, delay = _config.batching()

        def send(items: list[Any]) -> str:
            # Spans, log records: their results are different enums with the same member names.
            return "" if exporter.export(items).name == SpanExportResult.SUCCESS.name else FAILED

        batch = Batch(send, exporter.shutdown, self._count, queue=queue, size=size, delay=delay)
        self._batches.append(batch)
        return batch

    def flush(self, timeout: float = EXIT) -> bool:
        """Send what waits; False when ``timeout`` seconds were not enough."""
        end = time.monotonic() + timeout
        sent = [batch.flush(max(0.0, end - time.monotonic())) for batch in self._batches]
        return all(sent)

    def close(self, timeout: float | None = None) -> None:
        """Send what waits and end, in at most ``timeout`` seconds (2 for files, 2.5 else), once."""
        atexit.unregister(self.close)
        limit = EXIT_LOCAL if self.kind == "local" else EXIT
        end = time.monotonic() + (limit if timeout is None else timeout)
        batches, self._batches = self._batches, []
        meters, self.meter_provider = self.meter_provider, None
        for batch in batches:
            batch.stop()
        for batch in batches:
            batch.close(end - time.monotonic())
        if meters is not None:
            left = max(0.2, end - time.monotonic())
            attempt(meters.shutdown, timeout_millis=left * 1_000)


def resource(service: str) -> Resource:
    """Return what our own providers say about this process."""
    return Resource.create({schema.SERVICE_NAME: service} if service else {})


def otlp_exporter(signal: str) -> Any:
    """Return an OTLP exporter as the environment asks for it, None where it asks for none."""
    protocol = _config.otlp_protocol(signal)
    if protocol is None:
        return None
    from importlib import import_module

    module, name = {
        "TRACES": ("trace_exporter", "OTLPSpanExporter"),
        "METRICS": ("metric_exporter", "OTLPMetricExporter"),
        "LOGS": ("_log_exporter", "OTLPLogExporter"),
    }[signal]
    return getattr(import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}"), name)()


def in_memory(exporter: Any, service: str = "") -> TracerProvider:
    """Return a provider that hands each span to ``exporter`` as it ends, on the same thread."""
    provider = TracerProvider(resource=resource(service), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider
