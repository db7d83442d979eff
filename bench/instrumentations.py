"""Ways to instrument the openai SDK, ours and others': each begins once, in an environment that has it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Telemetry:
    """The providers that every way is given: spans in a batch to nowhere, metrics into memory.

    Args:
        keep: keep the spans, each as it ends.

    Attributes:
        arrived: the spans that are kept; else an item for each.
        reader: of the metrics; collects when it is asked.
    """

    def __init__(self, *, keep: bool = False) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self.arrived: list[Any] = []
        self.exporter = exporter(self.arrived, keep=keep)
        processor = SimpleSpanProcessor if keep else BatchSpanProcessor
        self.processor = processor(self.exporter)
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(self.processor)
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def as_global(self) -> None:
        """Make them the process's, for those that can be given none."""
        from opentelemetry import metrics, trace

        trace.set_tracer_provider(self.tracers)
        metrics.set_meter_provider(self.meters)


def exporter(arrived: list[Any], *, keep: bool) -> Any:
    """Return a span exporter that keeps the spans, or only an item for each."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:
            arrived.extend(spans if keep else [None] * len(spans))
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            pass

    return Nowhere()


def tokentrace_begins(telemetry: Telemetry, capture_content: bool = False) -> None:
    import tokentrace

    tokentrace.instrument(
        tracer_provider=telemetry.tracers,
        meter_provider=telemetry.meters,
        exporter="none",
        capture_content=capture_content,
    )
    tokentrace.count("warm", model="gpt-4.1")


def floor_begins(telemetry: Telemetry) -> None:
    """Wrap `create` by hand: one span of nine attributes, two records in histograms."""
    import time

    from openai.resources.chat.completions import Completions
    from opentelemetry.trace import SpanKind

    create = Completions.create
    tracer = telemetry.tracers.get_tracer("floor")
    meter = telemetry.meters.get_meter("floor")
    tokens, seconds = meter.create_histogram("tokens"), meter.create_histogram("seconds")
    asked = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}

    def wrapper(self: Any, *args: Any, **given: Any) -> Any:
        begun = time.perf_counter()
        before = asked | {
            "gen_ai.request.model": given["model"],
            "server.address": "api.openai.com",
        }
        with tracer.start_as_current_span(
            f"chat {given['model']}", kind=SpanKind.CLIENT, attributes=before
        ) as span:
            answer = create(self, *args, **given)
            span.set_attributes(
                {
                    "gen_ai.response.model": answer.model,
                    "gen_ai.response.id": answer.id,
                    "gen_ai.response.finish_reasons": (answer.choices[0].finish_reason,),
                    "gen_ai.usage.input_tokens": answer.usage.prompt_tokens,
                    "gen_ai.usage.output_tokens": answer.usage.completion_tokens,
                }
            )
        tokens.record(answer.usage.prompt_tokens, before)
        seconds.record(time.perf_counter() - begun, before)
        return answer

    Completions.create = wrapper


def official_begins(telemetry: Telemetry) -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    given = {"tracer_provider": telemetry.tracers, "meter_provider": telemetry.meters}
    OpenAIInstrumentor().instrument(**given, logger_provider=logs())


def logs() -> Any:
    """Return a provider of loggers whose records go nowhere."""
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter

    class Nowhere(InMemoryLogRecordExporter):
        def export(self, _batch: Any) -> Any:
            from opentelemetry.sdk._logs.export import LogRecordExportResult

            return LogRecordExportResult.SUCCESS

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(Nowhere()))
    return provider


def openllmetry_begins(telemetry: Telemetry) -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(
        tracer_provider=telemetry.tracers, meter_provider=telemetry.meters
    )


def openinference_begins(telemetry: Telemetry) -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=telemetry.tracers)


def openlit_begins(telemetry: Telemetry, content: bool = True) -> None:
    import openlit

    telemetry.as_global()
    openlit.init(capture_message_content=content, disable_events=True)


def logfire_begins(telemetry: Telemetry, scrubbing: bool = True) -> None:
    import logfire

    logfire.configure(
        send_to_logfire=False,
        console=False,
        scrubbing=None if scrubbing else False,
        additional_span_processors=[telemetry.processor],
        inspect_arguments=False,
    )
    logfire.instrument_openai()
    telemetry.tracers = logfire.DEFAULT_LOGFIRE_INSTANCE.config.get_tracer_provider()


def langfuse_begins(telemetry: Telemetry, masked: bool = False) -> None:
    from langfuse import Langfuse
    from opentelemetry.sdk.trace import TracerProvider

    telemetry.tracers = TracerProvider()  # it adds the processor of its own, with our exporter
    Langfuse(
        tracer_provider=telemetry.tracers,
        public_key="pk-lf-bench",
        secret_key="sk-lf-bench",
        base_url="http://127.0.0.1:9",
        span_exporter=telemetry.exporter,
        mask=(lambda **_: None) if masked else None,
    )
    import langfuse.openai  # noqa: F401 - wraps the SDK when it is imported


@dataclass(frozen=True, slots=True)
class Way:
    """One way to instrument.

    Attributes:
        name: as in the tables.
        where: the environment that has it.
        begin: instruments the SDK.
        content: whether the messages' texts go onto its spans or events.
        given: further arguments of ``begin``.
        variables: the environment variables that say so.
    """

    name: str
    where: str
    begin: Callable[..., None]
    content: bool
    given: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, telemetry: Telemetry) -> None:
        """Instrument the SDK."""
        os.environ.update(self.variables)
        self.begin(telemetry, **self.given)


LATEST = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
HIDDEN = {"OPENINFERENCE_HIDE_INPUTS": "true", "OPENINFERENCE_HIDE_OUTPUTS": "true"}
WAYS = (
    Way("tokentrace", "ours", tokentrace_begins, content=False),
    Way("tokentrace, content on", "ours", tokentrace_begins, True, {"capture_content": True}),
    Way("one span and two histograms, by hand", "ours", floor_begins, content=False),
    Way("official, content off", "ours", official_begins, content=False),
    Way(
        *("official, content on spans", "ours", official_begins, True),
        variables=LATEST | {CAPTURE: "span_only"},
    ),
    Way(
        *("official, content in events", "ours", official_begins, True),
        variables=LATEST | {CAPTURE: "event_only"},
    ),
    Way("OpenLLMetry", "openllmetry", openllmetry_begins, content=True),
    Way(
        *("OpenLLMetry, content off", "openllmetry", openllmetry_begins, False),
        variables={"TRACELOOP_TRACE_CONTENT": "false"},
    ),
    Way("OpenInference", "openinference", openinference_begins, content=True),
    Way(
        *("OpenInference, content hidden", "openinference", openinference_begins, False),
        variables=HIDDEN,
    ),
    Way("openlit", "openlit", openlit_begins, content=True),
    Way("openlit, content off", "openlit", openlit_begins, False, {"content": False}),
    Way("logfire", "logfire", logfire_begins, content=True),
    Way("logfire, scrubbing off", "logfire", logfire_begins, True, {"scrubbing": False}),
    Way("langfuse", "langfuse", langfuse_begins, content=True),
    Way("langfuse, masked", "langfuse", langfuse_begins, False, {"masked": True}),
)
BY_NAME = {way.name: way for way in WAYS}
