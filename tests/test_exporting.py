"""The private providers: which exporter, bounded queues, counted losses, a quick exit."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tokentrace import schema, telemetry
from tokentrace.prompt import CallRecord, Usage
from tokentrace.telemetry import exporting, logs
from tokentrace.telemetry.exporting import Batch, Private


def _load_receiver():
    place = Path(__file__).with_name("otlp_receiver.py")
    spec = importlib.util.spec_from_file_location("otlp_receiver", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("otlp_receiver", module)
    spec.loader.exec_module(module)
    return module


receiving = _load_receiver().receiving

RECORD = CallRecord(
    model="gpt-4o", tokens=85, method="exact", components={"history": 60, "system": 25}, limit=100, session="s1",
    settings={"temperature": 0.5, "stream": True}, usage=Usage(input=87, output=5, finish_reasons=("stop",)),
)  # fmt: skip


@pytest.fixture
def count():
    return Counter()


def batch(send, count, **changes):
    def add(reason, items):
        count[reason] += items

    return Batch(send, lambda: None, add, **{"delay": 0.01, **changes})


def call():
    telemetry.open_call(RECORD).close(RECORD)


def script(body, timeout=60, **environment):
    """Run Python of its own; return its output and the seconds it took."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    start = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=True,
        env={**clean, **environment},
    )
    return ran, time.monotonic() - start


# ── the queue ────────────────────────────────────────────────────────────────────────────────────


def test_everything_put_is_sent_in_order(count):
    """A batch sends what it is given, in order, in lists of at most its size."""
    sent = []
    items = batch(lambda some: sent.append(some) or "", count, size=7)
    for number in range(100):
        items.put(number)
    assert items.flush(5)
    assert [number for some in sent for number in some] == list(range(100))
    assert max(map(len, sent)) <= 7
    assert count == {}


def test_a_full_queue_counts_and_never_waits(count):
    """While the exporter hangs, what does not fit is counted, and putting stays quick."""
    gate = threading.Event()
    items = batch(lambda some: gate.wait(10) and "", count, queue=10, size=5)
    items.put(0)
    time.sleep(0.1)
    start = time.monotonic()
    for number in range(100):
        items.put(number)
    assert time.monotonic() - start < 1
    assert count == {exporting.QUEUE_FULL: 90}
    gate.set()
    items.close(5)


def test_a_failed_export_is_counted(count):
    """What the exporter does not take is counted with its reason."""
    items = batch(lambda some: exporting.FAILED, count)
    for number in range(3):
        items.put(number)
    items.close(5)
    assert count == {exporting.FAILED: 3}


def test_a_raising_exporter_is_counted_and_does_not_end_the_thread(count, monkeypatch):
    """An exporter that raises loses its batch, and the next batch still goes."""
    monkeypatch.delenv("TOKENTRACE_STRICT")
    sent = []

    def send(some):
        if not sent:
            sent.append(some)
            raise KeyError("theirs")
        sent.append(some)
        return ""

    items = batch(send, count)
    items.put(1)
    items.flush(5)
    items.put(2)
    items.close(5)
    assert sent == [[1], [2]]
    assert count == {exporting.FAILED: 1}


def test_a_hanging_exporter_does_not_hold_the_close(count):
    """Closing waits as long as it was told, and counts what is left."""
    gate = threading.Event()
    items = batch(lambda some: gate.wait(30) and "", count, size=4)
    for number in range(10):
        items.put(number)
    start = time.monotonic()
    items.close(0.3)
    assert time.monotonic() - start < 2
    assert count == {exporting.LEFT: 10}
    gate.set()


def test_what_fails_after_the_close_is_counted_once(count):
    """A batch that is under way when the patience ends counts as left, and not again when it fails."""
    gate, failed = threading.Event(), threading.Event()

    def send(some):
        gate.wait(30)
        failed.set()
        return exporting.FAILED

    items = batch(send, count, size=4)
    for number in range(10):
        items.put(number)
    items.close(0.3)
    gate.set()
    assert failed.wait(30)
    items._thread.join(30)
    assert count == {exporting.LEFT: 10}


def test_what_comes_after_the_close_is_counted(count):
    """A span that ends after shutdown is lost and counted."""
    items = batch(lambda some: "", count)
    items.close(1)
    items.put(1)
    assert count == {exporting.CLOSED: 1}


@pytest.mark.parametrize(("inline", "expected"), [(True, {}), (False, {exporting.LEFT: 1})])
def test_without_threads_files_are_written_and_collectors_are_not(
    count, monkeypatch, inline, expected
):
    """Where the interpreter starts no more threads, quick work is done and slow work is counted."""

    def refuse(self):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    sent = []
    items = batch(lambda some: sent.extend(some) or "", count, inline=inline)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    items.put("span")
    assert sent == (["span"] if inline else [])
    assert count == expected


def test_an_idle_batch_starts_no_thread(count):
    """A provider that nobody uses costs no thread."""
    before = threading.active_count()
    items = batch(lambda some: "", count)
    assert threading.active_count() == before
    items.close(1)
    assert items.flush(1)


# ── the choice ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("exporter", "environment", "kind"), [
    ("auto", {}, "local"),
    ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "otlp"),
    ("auto", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}, "otlp"),
    ("auto", {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:9"}, "local"),
    ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, "local"),
    ("auto", {"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
    ("auto", {"OTEL_TRACES_EXPORTER": "none"}, "none"),
    ("auto", {"OTEL_TRACES_EXPORTER": "console"}, "local"),
    ("auto", {"TOKENTRACE_EXPORTER": "otlp"}, "otlp"),
    ("auto", {"TOKENTRACE_EXPORTER": "none"}, "none"),
    ("local", {"TOKENTRACE_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "local"),
    ("otlp", {"OTEL_TRACES_EXPORTER": "none"}, "none"),
    ("local", {"OTEL_TRACES_EXPORTER": "none"}, "none"),
    ("none", {}, "none"),
])  # fmt: skip
def test_the_exporter_is_chosen_by_argument_then_environment(
    monkeypatch, exporter, environment, kind
):
    """Arguments come first, then our variable, then OpenTelemetry's; its ``none`` is always obeyed."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    private = Private("", exporter, lambda reason, items: None)
    assert private.kind == kind
    assert (private.tracer_provider is None) == (kind == "none")
    private.close(0.1)


def test_an_unknown_exporter_is_one_warning(monkeypatch, caplog):
    """A misspelled exporter warns once and is the default."""
    kinds = [Private("", "lokal", lambda reason, items: None).kind for _ in range(2)]
    assert kinds == ["local", "local"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("protocol", "library"), [("grpc", "grpc"), ("http/protobuf", "http"), ("", "http")]
)
def test_the_protocol_is_chosen_by_the_environment(monkeypatch, protocol, library):
    """OTLP goes over HTTP unless gRPC is asked for."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    exporter = exporting.otlp_exporter("TRACES")
    assert type(exporter).__module__.startswith(f"opentelemetry.exporter.otlp.proto.{library}.")
    exporter.shutdown()


@pytest.mark.parametrize(("given", "environment", "expected"), [
    ("mine", {"OTEL_SERVICE_NAME": "theirs"}, "mine"), ("", {"OTEL_SERVICE_NAME": "theirs"}, "theirs"),
    ("", {}, "unknown_service"),
])  # fmt: skip
def test_the_service_has_a_name(monkeypatch, given, environment, expected):
    """The argument names the service, else the environment, else nobody."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert exporting.resource(given).attributes[schema.SERVICE_NAME].startswith(expected)


def test_an_exporter_of_the_callers_gets_each_span_at_once():
    """A given SpanExporter is called as a span ends, on the same thread."""
    exporter = InMemorySpanExporter()
    telemetry.configure(exporter=exporter)
    call()
    assert [span.name for span in exporter.get_finished_spans()] == ["chat gpt-4o"]


def test_a_provider_in_memory_can_be_given(monkeypatch):
    """`in_memory` makes a provider that wins over any other when it is given."""
    exporter = InMemorySpanExporter()
    telemetry.configure(tracer_provider=exporting.in_memory(exporter, "svc"))
    call()
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes[schema.SERVICE_NAME] == "svc"


# ── OTLP ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_span_arrives_over_otlp_as_it_was(monkeypatch):
    """What a receiver gets over OTLP reads back as the very record."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        telemetry.configure(service_name="svc")
        handle = telemetry.open_call(RECORD)
        telemetry.emit(schema.LIMIT_WARNING, {"tokens": 85, "limit": 100}, handle)
        handle.close(RECORD)
        telemetry.shutdown()
    (span,) = receiver.spans
    assert (span.name, span.scope, span.kind) == ("chat gpt-4o", "tokentrace", 3)
    assert span.resource[schema.SERVICE_NAME] == "svc"
    read = schema.load(span.attributes)
    assert read == RECORD
    assert span.events[0][0] == schema.LIMIT_WARNING
    assert receiver.metrics[schema.TOKEN_USAGE].histogram.data_points
    (line,) = receiver.logs
    named = {pair.key: pair.value.string_value for pair in line.attributes}
    event = getattr(line, "event_name", "") or named[schema.EVENT_NAME]  # before 1.35
    assert event == schema.LIMIT_WARNING
    assert telemetry.dropped() == {}


def test_only_traces_are_sent_where_only_traces_are_taken(monkeypatch):
    """An endpoint for traces alone is sent neither metrics nor logs."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
        telemetry.configure()
        call()
        telemetry.shutdown()
    assert {path for path, _ in receiver.requests} == {"/v1/traces"}


def test_hostile_texts_do_not_poison_a_batch(monkeypatch):
    """A lone surrogate, an escape and a number of 70 bits arrive as something, with their batch."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        telemetry.configure()
        bad = CallRecord(
            model="m\ud800\x1b", tokens=2**70, method="exact", components={"\udfff": 2**70}
        )
        handle = telemetry.open_call(bad, attributes={"k\ud800": "v\ud800", "big": 2**80})
        telemetry.emit(schema.COMPONENT_EXCLUDED, {"name": "\ud800", "reason": "\ud800"}, handle)
        handle.close(bad, ValueError("\ud800"))
        call()
        telemetry.shutdown()
    assert [span.name for span in receiver.spans] == ["chat m\ufffd ", "chat gpt-4o"]
    assert receiver.spans[0].attributes[schema.TOKENS] == 2**63 - 1


def test_a_collector_that_refuses_is_counted(monkeypatch, caplog):
    """Spans that a collector answers with an error are counted as lost."""
    with receiving(status=400) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
        telemetry.configure()
        call()
        telemetry.shutdown()
    assert telemetry.dropped() == {exporting.FAILED: 1}


TRACE_AND_END = """
    from tokentrace import telemetry
    from tokentrace.prompt import CallRecord
    telemetry.configure()
    for _ in range(100):
        telemetry.open_call(CallRecord()).close(CallRecord())
"""


def test_a_black_hole_does_not_hold_the_exit():
    """With a collector that never answers, the process ends within five seconds of its work."""
    with receiving(delay=60) as receiver:
        _, alone = script("import tokentrace.telemetry.exporting, tokentrace.telemetry")
        _, taken = script(TRACE_AND_END, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    assert taken - alone < 6.5


def test_a_dead_collector_does_not_hold_the_exit():
    """With nobody listening, the process ends within five seconds of its work."""
    _, alone = script("import tokentrace.telemetry.exporting, tokentrace.telemetry")
    _, taken = script(TRACE_AND_END, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert taken - alone < 6.5


def test_everything_is_sent_at_a_normal_exit():
    """A process that ends by itself leaves nothing behind."""
    with receiving() as receiver:
        script(TRACE_AND_END, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
        assert len(receiver.spans) == 100


def test_a_child_sends_its_own_spans_and_not_its_parents():
    """After a fork the child starts with an empty queue and a thread of its own."""
    body = """
        import os
        from tokentrace import telemetry
        from tokentrace.prompt import CallRecord
        telemetry.configure()
        telemetry.open_call(CallRecord(model="parent")).close(CallRecord(model="parent"))
        child = os.fork()
        if child == 0:
            telemetry.open_call(CallRecord(model="child")).close(CallRecord(model="child"))
            telemetry.shutdown()
            os._exit(0)
        os.waitpid(child, 0)
    """
    with receiving() as receiver:
        script(body, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
        assert sorted(span.name for span in receiver.spans) == ["chat child", "chat parent"]


def test_a_forked_worker_sends_its_spans_before_it_ends(tmp_path):
    """A worker of multiprocessing ends without atexit; its spans are written all the same."""
    body = """
        import multiprocessing
        from tokentrace import telemetry
        from tokentrace.prompt import CallRecord

        def work():
            telemetry.open_call(CallRecord()).close(CallRecord())

        telemetry.configure()
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
    """
    script(body, TOKENTRACE_DIR=str(tmp_path / "t"))
    (file,) = (tmp_path / "t").glob("*.jsonl")
    assert len(file.read_text().splitlines()) == 1


def test_a_provider_of_ours_can_be_flushed_and_shut_down(monkeypatch):
    """Whoever holds our provider may flush it and shut it down like any other."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        private = Private("", "otlp", lambda reason, items: None)
        private.tracer_provider.get_tracer("t").start_span("x").end()
        logs.emit(private.logger_provider.get_logger("t"), "e", {}, Context(), time.time_ns())
        assert private.tracer_provider.force_flush()
        assert private.logger_provider.force_flush()
        assert (len(receiver.spans), len(receiver.logs)) == (1, 1)
        private.tracer_provider.shutdown()
        private.logger_provider.shutdown()
        private.close()


def test_settings_that_change_the_exporter_flush_the_old_one():
    """Instrumenting again with another exporter loses nothing of the first."""
    first = InMemorySpanExporter()
    telemetry.configure(exporter="local")
    call()
    folder = telemetry.folder()
    telemetry.configure(exporter=first)
    call()
    assert [len(file.read_text().splitlines()) for file in Path(folder).glob("*.jsonl")] == [1]
    assert len(first.get_finished_spans()) == 1


def test_the_global_provider_stays_unset(monkeypatch):
    """Exporting over OTLP leaves the application's providers alone."""
    call()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
