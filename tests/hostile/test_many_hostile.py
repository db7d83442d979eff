"""Streams that nobody ends, and first calls of a process without a network."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider

import tokentrace
from hostile.cases import (
    APIS,
    COLOURS,
    check_case,
    creating,
    instrumented,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from hostile.test_tokenizer_hostile import STORE_RESET
from instrument.forms import first, maybe
from tokentrace import _sessions, telemetry
from tokentrace.counting import text as texts
from tokentrace.counting import vocab

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::tokentrace.errors.TokenLimitWarning"
)


class Ended(SpanProcessor):
    """Counts the spans that ended, and keeps none."""

    def __init__(self):
        self.spans = 0

    def on_end(self, span):
        self.spans += 1


def counting():
    """Return a provider that counts, and its count."""
    ended, provider = Ended(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(ended)
    return provider, ended


def live():
    """Return how many spans are alive."""
    gc.collect()
    return sum(isinstance(thing, Span) for thing in gc.get_objects())


def collected():
    """Return a meter provider, and what records the calls that wait until somebody collects."""
    reader = InMemoryMetricReader()
    return MeterProvider([reader], shutdown_on_exit=False), reader.get_metrics_data


# ── streams ──────────────────────────────────────────────────────────────────────────────────────

STREAMS = 600


@pytest.mark.parametrize("colour", COLOURS)
def test_streams_that_stay_open(colour):
    """RB2: what is kept of their conversations is bounded and its loss told; let go, each ends its span once."""
    where = shop("openai", colour)
    where.wire.set(stream_reply("openai"))
    provider, ended = counting()
    before, most = live(), _sessions.PROCESS.lineages._most

    async def opened():
        streams = []
        for number in range(STREAMS):
            asked = [{"role": "user", "content": f"conversation {number}"}]
            body = request("openai", messages=asked, stream=True)
            streams.append(await maybe(where.resource().create(**body)))
            if number % 2:
                await first(streams[-1])
        status = tokentrace.status()
        assert (status["open"]["calls"], ended.spans) == (STREAMS, 0)
        assert status["marks"]["lineages"] == most < STREAMS
        assert status["marks"]["lineages_evicted"] == STREAMS - most
        streams.clear()

    meters, collect = collected()
    with instrumented(tracer_provider=provider, meter_provider=meters):
        asyncio.run(opened())
        gc.collect()
        telemetry.flush()  # what the collector found is told now
        collect()
        assert live() == before
        assert tokentrace.status()["open"]["calls"] == 0
        assert tokentrace.status()["errors"] == {}
    assert ended.spans == STREAMS


# ── vocabularies ─────────────────────────────────────────────────────────────────────────────────

# an SDK, its colour, a model of each vocabulary
COLD = [
    ("openai", "sync", "gpt-4o"),
    ("openai", "async", "gpt-4"),
    ("anthropic", "async", "claude-sonnet-4-6"),
]


@pytest.mark.parametrize(("sdk", "colour", "model"), COLD)
def test_the_first_call_asks_no_network(sdk, colour, model, monkeypatch, tmp_path):
    """TK2: with empty caches and no network at all the first call is counted in its vocabulary."""

    def refused(*_args, **_kwargs):
        raise AssertionError("somebody looked for a network")

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(vocab, "_loaded", {})
    monkeypatch.setattr(texts, "_rulers", {})
    STORE_RESET()
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refused)
    case = creating(lambda kind: {**request(kind), "model": model})
    seen = check_case(case, shop(sdk, colour), plain_reply(sdk))
    assert seen.call.tokenizer not in {"", "bytes"}
    assert vocab._loaded
    counted = tokentrace.count({**request(sdk), "model": model}, api=APIS[sdk], provider="x")
    assert abs(seen.call.tokens - counted.total) <= seen.call.error + counted.error
    assert list(tmp_path.iterdir()) == []
    STORE_RESET()
