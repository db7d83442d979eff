"""How a hostile case is judged: against the same case without us.

A case is a coroutine function that does what a caller would with a `Shop` of one SDK and colour and
returns what the caller sees. `check_case` runs it bare and traced and demands of every case: the same
result, error and bytes on the wire, the arguments unchanged, the current span as it was, each span
ended once, exportable and without content, no ERROR in any log, and no internal error that was not
announced.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import json
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tokentrace
from instrument import forms
from instrument.forms import MAIN as SDKS
from instrument.forms import Shop, maybe
from tokentrace import _failsafe, telemetry, testing
from tokentrace.prompt import CallRecord
from tokentrace.testing import Reply, Wire

BROKEN, LOST, FLOODS = "host calls broken", "spans lost", "floods"
TALLY: Counter = Counter()  # what cases found, for the line at the end of a run
SECRET = "SECRET"  # in every text, key and header of a case, and in no telemetry
COLOURS = {"sync": False, "async": True}
APIS = {"openai": "openai.chat", "anthropic": "anthropic.messages"}
REPORTED = 13


@dataclass
class Outcome:
    """What a caller sees of a case, and what the provider saw."""

    value: Any = None
    error: tuple[str, str] | None = None
    sent: list[Any] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)


@dataclass
class Judged:
    """Both runs, and what was traced of the second."""

    bare: Outcome
    traced: Outcome
    calls: list[CallRecord]
    spans: list[Any]
    errors: Counter
    logs: list[logging.LogRecord]

    @property
    def call(self) -> CallRecord:
        (call,) = self.calls
        return call


# ── clients ──────────────────────────────────────────────────────────────────────────────────────


class Switch(Wire):
    """A wire whose replies are set for each run, so that clients may be shared."""

    def set(self, replies: Any) -> None:
        self._replies = replies if isinstance(replies, tuple) else (replies,)
        self.requests = []


@dataclass
class Shared(Shop):
    """A shop of one client that all cases share."""

    options: dict[str, Any] = field(default_factory=dict)
    _made: Any = None

    def make(self, **options: Any) -> Any:
        if options:
            return super().make(**self.options, **options)
        if self._made is None:
            self._made = super().make(**self.options)
        return self._made


@functools.cache
def shop(sdk: str, colour: str, base_url: str = "http://wire.test/") -> Shared:
    """Return the shared shop of an SDK and colour."""
    options = {
        "api_key": f"sk-{SECRET}",
        "base_url": base_url,
        "default_headers": {"x-team": SECRET},
    }
    return Shared({**SDKS, **forms.SDKS}[sdk], COLOURS[colour], Switch(), options)


def plain_reply(sdk: str) -> Reply:
    """Return an answer with content."""
    if sdk == "openai":
        return testing.openai_chat(f"{SECRET} answer", prompt_tokens=REPORTED)
    return testing.anthropic_message(f"{SECRET} answer", input_tokens=REPORTED)


def stream_reply(sdk: str, texts: int = 3, **options: Any) -> Reply:
    """Return a stream with content."""
    pieces = [f"{SECRET} {n}" for n in range(texts)]
    if sdk == "openai":
        return testing.openai_chat_stream(*pieces, prompt_tokens=REPORTED, **options)
    return testing.anthropic_stream(*pieces, input_tokens=REPORTED, **options)


def request(sdk: str, **changes: Any) -> dict[str, Any]:
    """Return arguments of ``create``."""
    messages = [{"role": "user", "content": f"Why does the pod {SECRET} restart?"}]
    own = (
        {"model": "gpt-4o"} if sdk == "openai" else {"model": "claude-sonnet-4-6", "max_tokens": 64}
    )
    return {**own, "messages": messages, **changes}


# ── running ──────────────────────────────────────────────────────────────────────────────────────


def comparable(value: Any) -> Any:
    """Return what two runs have in common: types and data, no identities."""
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return type(value).__name__, repr(dump(warnings=False))
    if isinstance(value, str | int | float | bytes | None):
        return value
    return repr(value) if isinstance(value, dict) else type(value).__name__


def perform(case: Callable[[Shop], Any], where: Shop, reply: Any) -> Outcome:
    """Do what a caller does."""
    where.wire.set(reply)
    outcome = Outcome()

    async def run() -> Any:
        before = context.get_current()  # in here: a task's context is its own
        try:
            return await case(where)
        finally:
            assert context.get_current() is before

    try:
        outcome.value = comparable(asyncio.run(run()))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | AssertionError):
            raise
        outcome.error = (type(error).__name__, str(error)[:2000])
    outcome.requests = list(where.wire.requests)
    outcome.sent = [(sent.method, sent.path, sent.content) for sent in outcome.requests]
    return outcome


class Logs(logging.Handler):
    """Keeps every record of WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def listening():
    """Collect what anybody logs."""
    logs, root = Logs(), logging.getLogger()
    root.addHandler(logs)
    try:
        yield logs.records
    finally:
        root.removeHandler(logs)


AGENT = TracerProvider(shutdown_on_exit=False).get_tracer("agent")
FINISHED = InMemorySpanExporter()
PROVIDER = TracerProvider(shutdown_on_exit=False)  # one for all cases: making one takes 10 ms
PROVIDER.add_span_processor(SimpleSpanProcessor(FINISHED))


@contextmanager
def tallied(what: str):
    """Count what a failing check has found."""
    try:
        yield
    except AssertionError:
        TALLY[what] += 1
        raise


@contextmanager
def instrumented(**settings: Any):
    """Instrument for the length of a block; give what was captured."""
    FINISHED.clear()
    tokentrace.instrument(**{"tracer_provider": PROVIDER, "exporter": "none", **settings})
    try:
        yield testing.Captured(FINISHED.get_finished_spans)
    finally:
        tokentrace.uninstrument()


@contextmanager
def expect_traced(
    calls: int | None = 1,
    errors: set[str] | None = None,
    logged: list[logging.LogRecord] | None = None,
    **settings: Any,
):
    """Trace a block, and check_case what is the same for every case at its end.

    Args:
        calls: spans that must have ended; None where that is the case's own business.
        errors: kinds of internal errors that must have been counted, all of them.
        logged: what was logged without us: an SDK may log errors of its own.
        **settings: of `tokentrace.instrument`.
    """
    with listening() as logs, AGENT.start_as_current_span("agent") as agent:
        before = context.get_current()
        kept = Counter(_failsafe.failures)
        with instrumented(**settings) as captured:
            seen = Judged(Outcome(), Outcome(), [], [], Counter(), logs)
            yield seen
            if calls is not None and len(captured.calls) < calls:
                gc.collect()  # what an error's traceback or a cycle holds is let go only here
            spans = list(captured.spans)
        seen.spans = spans
        seen.calls = [call for call in captured.calls if call.operation != "invoke_agent"]
        seen.errors = Counter(_failsafe.failures) - kept
        assert trace.get_current_span() is agent
        assert context.get_current() is before
    assert {kind.rpartition(":")[2] for kind in seen.errors} == (errors or set()), seen.errors
    with tallied(LOST):
        assert calls is None or len(seen.calls) == calls
        sound(spans)
    with tallied(FLOODS):
        quiet(logs, logged or [])


def sound(spans: list[Any]) -> None:
    """Each span ended once, adds up, can be exported, and tells no content."""
    ids = [span.context.span_id for span in spans]
    assert len(set(ids)) == len(ids)
    wire = encode_spans(spans).SerializeToString()
    assert SECRET.encode() not in wire
    for span in spans:
        record = telemetry.record_of(span)
        if isinstance(record, CallRecord):
            assert sum(record.components.values()) == record.tokens


def quiet(logs: list[logging.LogRecord], logged: list[logging.LogRecord]) -> None:
    """Nobody logged an error, OpenTelemetry had nothing to complain of, and no content was logged."""
    # an exporter's thread of an earlier test may still have something to say
    heard = [log for log in logs if log.threadName != "tokentrace-export"]
    assert not errors_in(heard) - errors_in(logged)
    told = [(log.name, log.levelname, log.getMessage()) for log in heard]
    assert not [one for one in told if one[0].startswith("opentelemetry")]
    assert not [one for one in told if one[0].startswith("tokentrace") and SECRET in one[2]]


def errors_in(logs: list[logging.LogRecord]) -> Counter:
    """Return who logged which errors how often."""
    return Counter((log.name, str(log.msg)) for log in logs if log.levelno >= logging.ERROR)


def check_case(
    case: Callable[[Shop], Any],
    where: Shop,
    reply: Any,
    *,
    calls: int | None = 1,
    errors: set[str] | None = None,
    **settings: Any,
) -> Judged:
    """Run a case bare and traced and demand what every case must hold."""
    with listening() as logged:
        bare = perform(case, where, reply)
    with expect_traced(calls, errors, logged, **settings) as seen:
        result = perform(case, where, reply)
    seen.bare, seen.traced = bare, result
    with tallied(BROKEN):
        assert result.error == bare.error
        assert result.value == bare.value
        assert result.sent == bare.sent
    return seen


def creating(make: Callable[[str], dict[str, Any]]) -> Callable[[Shop], Any]:
    """Return a case that creates with the arguments that ``make(sdk)`` gives, made anew each run."""

    async def case(where: Shop) -> Any:
        kwargs = make(where.sdk.name)
        before = snapshot(kwargs)
        try:
            result = await maybe(where.resource().create(**kwargs))
            if hasattr(result, "__aiter__") and kwargs.get("stream"):
                return [item async for item in result]
            return list(result) if kwargs.get("stream") else result
        finally:
            assert snapshot(kwargs) == before

    return case


def snapshot(value: Any) -> str:
    """Return a picture of arguments that shows any change of them, one-shot iterators aside."""
    with suppress(RecursionError, TypeError, ValueError):
        return repr(copy.deepcopy(value)) if is_json(value) else shallow(value)
    return shallow(value)


def shallow(value: Any) -> str:
    return repr({key: (type(item).__name__, id(item)) for key, item in value.items()})


def is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError, UnicodeError):
        return False
    return True


def counted(call: CallRecord, outcome: Outcome) -> bool:
    """Whether what was counted is what was sent: the span agrees with a count of the bytes."""
    body = outcome.requests[-1].body
    return call.tokens == tokentrace.count(body, api=call.api, provider=call.provider).total
