"""Telemetry that is broken, switched off or in the way: the call and the guard do not notice."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler

import tokentrace
from hostile.cases import (
    COLOURS,
    FINISHED,
    PROVIDER,
    SDKS,
    check_case,
    creating,
    expect_traced,
    perform,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from tokentrace import _failsafe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

LONG = [{"role": "user", "content": "far above any bound of its count " * 50}]
REFUSE = tokentrace.Guard(limit=5, on_exceed="raise")


def fails(*_args, **_kwargs):
    raise RuntimeError("the application's own telemetry failed")


class Broken(SpanProcessor):
    """A processor of the application that raises."""

    def __init__(self, *where):
        for name in where:
            setattr(self, name, fails)


class BrokenSampler(Sampler):
    should_sample = fails

    def get_description(self):
        return "broken"


class BrokenExporter(SpanExporter):
    def __init__(self, how):
        self.how = how

    def export(self, spans):
        if self.how == "raises":
            fails()
        return SpanExportResult.FAILURE if self.how == "fails" else None

    def shutdown(self):
        fails()


class BrokenProvider:
    get_tracer = get_meter = get_logger = fails


def provider(*processors, **options):
    made = TracerProvider(shutdown_on_exit=False, **options)
    for processor in processors:
        made.add_span_processor(processor)
    return made


def stopped():
    made = provider(SimpleSpanProcessor(FINISHED))
    made.shutdown()
    FINISHED._stopped = False  # it is shared
    return made


TELEMETRY = {
    "on_start raises": lambda: {"tracer_provider": provider(Broken("on_start"))},
    "on_end raises": lambda: {"tracer_provider": provider(Broken("on_end"))},
    "both raise": lambda: {"tracer_provider": provider(Broken("on_start", "on_end"))},
    "sampler raises": lambda: {"tracer_provider": provider(sampler=BrokenSampler())},
    "sampler drops": lambda: {
        "tracer_provider": provider(SimpleSpanProcessor(FINISHED), sampler=ALWAYS_OFF)
    },
    "tracer provider raises": lambda: {"tracer_provider": BrokenProvider()},
    "meter provider raises": lambda: {"meter_provider": BrokenProvider()},
    "logger provider raises": lambda: {"logger_provider": BrokenProvider()},
    "provider is an object": lambda: {"tracer_provider": object(), "meter_provider": object()},
    "provider shut down": lambda: {"tracer_provider": stopped()},
    "exporter raises": lambda: {"tracer_provider": None, "exporter": BrokenExporter("raises")},
    "exporter fails": lambda: {"tracer_provider": None, "exporter": BrokenExporter("fails")},
    "exporter says nothing": lambda: {"tracer_provider": None, "exporter": BrokenExporter("")},
    "exporter is an object": lambda: {"tracer_provider": None, "exporter": object()},
    "none": lambda: {"tracer_provider": None, "exporter": "none"},
}
HARMED = {
    "on_start raises", "on_end raises", "both raise", "sampler raises", "tracer provider raises",
    "meter provider raises", "logger provider raises", "provider is an object",
}  # fmt: skip


def settled(seen):
    """Nothing of ours was logged above WARNING, and what failed was counted."""
    return [log for log in seen.logs if log.levelno >= logging.ERROR and "tokentrace" in log.name]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("form", ["create", "stream"])
@pytest.mark.parametrize("name", TELEMETRY)
def test_broken_telemetry_harms_no_call(name, form, colour):
    """EX2-4: the host sees what it would see; our own failure is counted, and nobody logs an error."""
    where = shop("openai", colour)
    reply = stream_reply("openai") if form == "stream" else plain_reply("openai")
    case = creating(
        lambda kind: request(kind, messages=LONG, **({"stream": True} if form == "stream" else {}))
    )
    bare = perform(case, where, reply)
    settings = TELEMETRY[name]()
    before = sum(_failsafe.failures.values())
    with watched() as logs:
        tokentrace.instrument(**{"tracer_provider": PROVIDER, "exporter": "none", **settings})
        result = perform(case, where, reply)
        tokentrace.uninstrument()
    assert (result.error, result.value, result.sent) == (bare.error, bare.value, bare.sent)
    assert not [log.getMessage() for log in logs if log.levelno >= logging.ERROR]
    if name in HARMED - {"logger provider raises"}:
        assert sum(_failsafe.failures.values()) > before


def watched():
    from hostile.cases import listening

    return listening()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", TELEMETRY)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_guard_refuses_whatever_telemetry_does(sdk, name, colour):
    """GU5: the refusal arrives as itself and no byte leaves, however broken the telemetry is."""
    where = shop(sdk, colour)
    settings = TELEMETRY[name]()
    tokentrace.instrument(
        **{"tracer_provider": PROVIDER, "exporter": "none", **settings, "guard": REFUSE}
    )
    result = perform(creating(lambda kind: request(kind, messages=LONG)), where, plain_reply(sdk))
    tokentrace.uninstrument()
    assert result.error[0] == "TokenLimitExceeded"
    assert result.sent == []


@pytest.mark.parametrize("sdk", SDKS)
def test_suppressed_calls_are_not_traced_but_guarded(sdk):
    """EX4: suppress_instrumentation: no span, and the guard decides all the same."""
    where = shop(sdk, "sync")

    async def case(shop_):
        with suppress_instrumentation():
            return shop_.resource().create(**request(sdk, messages=LONG))

    check_case(case, where, plain_reply(sdk), calls=0)
    with expect_traced(calls=0, guard=REFUSE):
        assert perform(case, where, plain_reply(sdk)).error[0] == "TokenLimitExceeded"


def test_switched_off_without_a_guard_nothing_is_counted(monkeypatch):
    """EX4, CF2: no span wanted and no guard: no counting work at all."""
    from tokentrace.counting import counter

    def counted(*_args, **_kwargs):
        raise AssertionError("counted")

    monkeypatch.setattr(counter, "read", counted)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    check_case(
        creating(request), shop("openai", "sync"), plain_reply("openai"), calls=0, guard=False
    )


def test_otel_disabled_leaves_the_guard(monkeypatch):
    """CF2: OTEL_SDK_DISABLED is a no-op for spans; the guard works."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with expect_traced(calls=0, guard=REFUSE):
        case = creating(lambda kind: request(kind, messages=LONG))
        assert (
            perform(case, shop("openai", "sync"), plain_reply("openai")).error[0]
            == "TokenLimitExceeded"
        )


ENVIRONMENT = [
    ("TOKENTRACE_LIMIT", ["abc", "-1", "1e9", "", "0", "9" * 400]),
    ("TOKENTRACE_THRESHOLDS", ["abc", "2", "0.5,", ",", "nan", "inf", "-1", "0.9,0.1"]),
    ("TOKENTRACE_ON_EXCEED", ["explode", "", "RAISE"]),
    ("TOKENTRACE_EXPORTER", ["explode", "", "LOCAL"]),
    ("TOKENTRACE_SECTIONS", ["2", ",", "", "a,b"]),
    ("TOKENTRACE_CAPTURE_CONTENT", ["2", "", "maybe"]),
    ("TOKENTRACE_DIR", ["/proc/none", "", "\x7f", "a" * 300]),
    ("TOKENTRACE_TURN", ["x", "-5", "1e5"]),
    ("TRACEPARENT", ["x", "00-0-0-0", "\xff"]),
    ("OTEL_BSP_MAX_QUEUE_SIZE", ["x", "-1", "0"]),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", ["1", "0"]),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", ["not a url", "http://[", "ftp://x"]),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", ["carrier pigeon"]),
]
ROWS = [(name, value) for name, values in ENVIRONMENT for value in values]


@pytest.mark.parametrize(("name", "value"), ROWS, ids=lambda text: text[:40])
def test_odd_environment(name, value, monkeypatch):
    """CF1: a variable of any value is a default and at most a warning; nothing raises, all calls work."""
    where = shop("openai", "sync")
    bare = perform(creating(request), where, plain_reply("openai"))
    monkeypatch.setenv(name, value)
    exporter = "otlp" if "ENDPOINT" in name else "auto"
    with watched() as logs:
        tokentrace.instrument(exporter=exporter)
        with tokentrace.session("s"):
            result = perform(creating(request), where, plain_reply("openai"))
        tokentrace.uninstrument()
    assert (result.error, result.value, result.sent) == (bare.error, bare.value, bare.sent)
    ours = [log for log in logs if log.name.startswith("tokentrace")]
    assert len(ours) <= 2
    assert not [log for log in ours if log.levelno >= logging.ERROR]
