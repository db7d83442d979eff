"""An agent under another instrumentation: makes each kind of call and prints what was recorded.

Run as ``agent.py PEER ORDER``: ORDER is ``before`` or ``after`` tokentrace; PEER may name two.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
import warnings

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tokentrace
from tokentrace import schema, testing
from tokentrace.testing import Reply, Wire

warnings.simplefilter("ignore")
PEERS = {
    "official": [("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor")],
    "openllmetry": [
        ("opentelemetry.instrumentation.openai", "OpenAIInstrumentor"),
        ("opentelemetry.instrumentation.anthropic", "AnthropicInstrumentor"),
    ],
    "openinference": [
        ("openinference.instrumentation.openai", "OpenAIInstrumentor"),
        ("openinference.instrumentation.anthropic", "AnthropicInstrumentor"),
    ],
}
TALK = [{"role": "user", "content": "Why does the pod restart?"}]
CHAT = {"model": "gpt-4o", "messages": TALK}
MESSAGE = {"model": "claude-sonnet-4-6", "max_tokens": 5, "messages": TALK}
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o", "status": "completed",
    "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    "usage": {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15,
              "input_tokens_details": {"cached_tokens": 0},
              "output_tokens_details": {"reasoning_tokens": 0}},
}  # fmt: skip
EMBEDDED = {
    "object": "list", "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}  # fmt: skip

spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
lines: list[str] = []


def provide(names):
    """Set the application's providers, or have Logfire do it."""
    if "logfire" in names:
        import logfire

        logfire.configure(
            send_to_logfire=False,
            console=False,
            additional_span_processors=[SimpleSpanProcessor(spans)],
            metrics=logfire.MetricsOptions(additional_readers=[reader]),
        )
        return
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))


def start(names):
    """Switch the other instrumentations on."""
    for name in names:
        if name == "logfire":
            import logfire

            logfire.instrument_openai()
            logfire.instrument_anthropic()
        for module, kind in PEERS.get(name, ()):
            getattr(importlib.import_module(module), kind)().instrument()


def client(sdk, reply, *, asynchronous=False):
    """Return a client of an SDK over a wire that answers ``reply``."""
    module = importlib.import_module(sdk)
    kind = {"openai": "OpenAI", "anthropic": "Anthropic"}[sdk]
    http = Wire(reply).client(sdk, asynchronous=asynchronous)
    make = getattr(module, f"{'Async' if asynchronous else ''}{kind}")
    return make(api_key="test", base_url="http://wire.test/", max_retries=0, http_client=http)


async def awaited_stream():
    """Read a stream of the async client."""
    talking = client("openai", STREAM, asynchronous=True).chat.completions
    async for _ in await talking.create(stream=True, **CHAT):
        pass


PLAIN = testing.openai_chat("Because.", prompt_tokens=13)
STREAM = testing.openai_chat_stream("Be", "cause", prompt_tokens=13)
REFUSED = Reply({"error": {"message": "no"}}, status=400)
CLAUDE = testing.anthropic_message("Because.", input_tokens=14)
CLAUDES = testing.anthropic_stream("Be", "cause", input_tokens=14)
FORMS = {
    "plain": lambda: client("openai", PLAIN).chat.completions.create(**CHAT),
    "stream": lambda: list(client("openai", STREAM).chat.completions.create(stream=True, **CHAT)),
    "async": lambda: asyncio.run(
        client("openai", PLAIN, asynchronous=True).chat.completions.create(**CHAT)
    ),
    "async stream": lambda: asyncio.run(awaited_stream()),
    "raw": lambda: (
        client("openai", PLAIN).chat.completions.with_raw_response.create(**CHAT).parse()
    ),
    "responses": lambda: client("openai", Reply(RESPONSE)).responses.create(
        model="gpt-4o", input="Why?"
    ),
    "embeddings": lambda: client("openai", Reply(EMBEDDED)).embeddings.create(
        model="text-embedding-3-small", input="Why?"
    ),
    "refused": lambda: client("openai", REFUSED).chat.completions.create(**CHAT),
    "guarded": lambda: client("openai", PLAIN).chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "word " * 500}]
    ),
    "claude": lambda: client("anthropic", CLAUDE).messages.create(**MESSAGE),
    "claude stream": lambda: list(
        client("anthropic", CLAUDES).messages.create(stream=True, **MESSAGE)
    ),
}


def recorded(form):
    """Make a call; return its outcome and its spans."""
    spans.clear()
    try:
        outcome = type(FORMS[form]()).__name__
    except Exception as error:
        outcome = type(error).__name__
    tokentrace.telemetry.flush()
    return {"outcome": outcome, "spans": [told(span) for span in spans.get_finished_spans()]}


def told(span):
    """Return what a test asks of a span."""
    known = dict(span.attributes)
    return {
        "scope": span.instrumentation_scope.name,
        "log": known.get("logfire.span_type") == "log",
        "usage": known.get(schema.USAGE_INPUT, known.get("llm.token_count.prompt")),
        "tokens": known.get(schema.TOKENS),
        "components": sum(
            value for key, value in known.items()
            if key.startswith(schema.COMPONENT) and key.endswith(".tokens")
        ),
        "decision": known.get(schema.DECISION),
        "error": known.get(schema.ERROR_TYPE),
    }  # fmt: skip


def measured():
    """Return how many calls the standard's input usage holds, by who recorded it."""
    counts: dict[str, int] = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == schema.TOKEN_USAGE:
                    points = [p for p in metric.data.data_points
                              if p.attributes.get(schema.TOKEN_TYPE) == "input"]  # fmt: skip
                    counts[scope.scope.name] = sum(point.count for point in points)
    return counts


def main():
    names, order = sys.argv[1].split("+"), sys.argv[2]
    keep = logging.Handler()
    keep.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("tokentrace").addHandler(keep)
    provide(names)
    guard = tokentrace.Guard(limit={"gpt-4o": 400}, on_exceed="raise")
    steps = [lambda: tokentrace.instrument(guard=guard, exporter="none"), lambda: start(names)]
    for step in steps if order == "after" else reversed(steps):
        step()
    found = {
        form: recorded(form) for form in FORMS if "claude" not in form or names != ["official"]
    }
    status = tokentrace.status()
    found = {"calls": found, "metrics": measured(), "log": lines, "errors": status["errors"]}
    sys.stdout.write(f"{json.dumps(found)}\n")


main()
