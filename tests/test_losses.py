"""What is lost is counted, told by `status`, exported as metrics and shown by doctor: each made to happen."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import tokentrace
from tokentrace import _late, _sessions, context, doctor, readers, schema, telemetry
from tokentrace.prompt import CallRecord
from tokentrace.telemetry import losses

GPT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}
CLAUDE = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "Say hello."}],
}
REPLY = {"usage": {"prompt_tokens": 10, "completion_tokens": 2}}


class Metrics:
    """The metrics of this process, by name and the attribute that says of what."""

    def __init__(self):
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def of(self, name):
        """Return a metric's numbers."""
        data = self.reader.get_metrics_data()
        return {
            point.attributes[schema.LOSSES[name]]: point.value
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        }


@pytest.fixture
def metrics():
    known = Metrics()
    tokentrace.instrument(meter_provider=known.provider)
    return known


def call(body, api):
    with tokentrace.llm_call(body, api=api) as made:
        made.response(REPLY)


def system(text):
    return {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": text}, {"role": "user", "content": "Go."}],
    }


def test_estimates_are_counted(metrics):
    """A call whose count is an estimate is one in status and metrics; an exact one is none."""
    call(GPT, "openai.chat")
    assert tokentrace.status()["estimates"] == {}
    call(CLAUDE, "anthropic.messages")
    told = tokentrace.status()["estimates"]
    assert sum(told.values()) == 1
    assert metrics.of(schema.ESTIMATED) == told


def test_names_that_may_not_leave_are_counted(metrics):
    """Two headings of a user's text are told as one common section, and counted as two names."""
    text = f"# Smith\n{'the pod restarts ' * 9}\n# Jones\n{'the cache is cold ' * 9}\n"
    call({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}, "openai.chat")
    assert tokentrace.status()["folded"] == {losses.PRIVATE: 2}
    assert metrics.of(schema.FOLDED) == {losses.PRIVATE: 2}


def test_names_that_a_span_has_no_room_for_are_counted(metrics):
    """Of 30 named texts and what lies between them a span holds 24 names: the rest is counted."""
    with tokentrace.session("s"):
        texts = [
            tokentrace.tag(f"piece_{n}", f"This is the text of piece {n}. ") for n in range(30)
        ]
        call(
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "\n".join(texts)}]},
            "openai.chat",
        )
    names = len(tokentrace.count(GPT, api="openai.chat").components)
    told = tokentrace.status()["folded"]
    assert told[losses.SPAN_FULL] >= 30 - 23
    assert told[losses.SPAN_FULL] <= 30 + names - 23
    assert metrics.of(schema.FOLDED)[losses.SPAN_FULL] == told[losses.SPAN_FULL]


def test_names_that_metrics_have_no_room_for_are_counted(metrics):
    """Names beyond the 64th of a process are one in metrics, and each use of one is counted."""
    for n in range(80):
        with tokentrace.session(f"s{n}"):
            text = tokentrace.tag(f"piece_{n}", f"This is the text of piece {n}. " * 3)
            call(
                {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}, "openai.chat"
            )
    told = metrics.of(schema.FOLDED)[losses.METRICS_FULL]  # whoever collects records what has ended
    assert 16 <= told <= 20
    assert tokentrace.status()["folded"][losses.METRICS_FULL] == told


def test_internal_errors_are_counted(metrics, monkeypatch):
    """A failure of ours, here in opening a span, is an error by place and type; the call goes on."""
    monkeypatch.delenv("TOKENTRACE_STRICT")
    call(GPT, "openai.chat")

    def broken(*args, **kwargs):
        raise LookupError("a secret")

    monkeypatch.setattr(telemetry, "open_call", broken)
    call(GPT, "openai.chat")
    told = tokentrace.status()["errors"]
    assert sum(told.values()) == 1
    assert all(kind.endswith(":LookupError") for kind in told)
    assert metrics.of(schema.INTERNAL_ERRORS) == told


class Refusing(SpanExporter):
    """Takes nothing."""

    def export(self, spans):
        """Refuse."""
        return SpanExportResult.FAILURE

    def shutdown(self):
        """End."""


def test_drops_are_counted(metrics):
    """Spans that an exporter refuses are dropped ones in status and metrics."""
    tokentrace.instrument(meter_provider=metrics.provider, exporter=Refusing())
    for _ in range(3):
        call(GPT, "openai.chat")
    telemetry.flush()
    assert tokentrace.status()["dropped"] == {losses.FAILED: 3}
    assert metrics.of(schema.DROPPED) == {losses.FAILED: 3}


def test_open_calls_are_told(metrics):
    """A call counts as open until it ends, with the seconds since it began."""
    with tokentrace.llm_call(GPT, api="openai.chat") as made:
        told = tokentrace.status()["open"]
        assert told["calls"] == 1
        assert told["oldest_s"] >= 0
        made.response(REPLY)
    assert tokentrace.status()["open"] == {"calls": 0, "oldest_s": 0.0}


def test_forgotten_sessions_and_lineages_are_counted(metrics, monkeypatch):
    """Sessions beyond the bound go with their lines of calls, and both are counted."""
    monkeypatch.setattr(_sessions.SESSIONS, "_most", 4)
    for n in range(7):
        with tokentrace.session(f"s{n}"):
            call(GPT, "openai.chat")
    marks = tokentrace.status()["marks"]
    assert (marks["sessions"], marks["sessions_evicted"]) == (4, 3)
    assert (marks["lineages"], marks["lineages_evicted"]) == (4, 3)
    told = metrics.of(schema.FORGOTTEN)
    assert (told["session"], told["lineage"]) == (3, 3)


def test_lost_tags_are_counted(metrics):
    """A named text that no call of its assembly holds is lost."""
    with tokentrace.session("s"):
        with tokentrace.assembly("ctx"):
            tokentrace.tag("memory", "This text is changed before it is sent anywhere.")
        call(GPT, "openai.chat")
        call(GPT, "openai.chat")
    assert tokentrace.status()["marks"]["tags_lost"] == 1
    assert metrics.of(schema.FORGOTTEN) == {context.LOST["tags_lost"]: 1}


AGENT = """
    import tokentrace
    from tokentrace import telemetry
    tokentrace.instrument(exporter="local")
    text = "# Smith\\n" + "the pod restarts " * 9 + "\\n# Jones\\n" + "the cache is cold " * 9
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    with tokentrace.session("s"):
        with tokentrace.assembly("ctx"):
            tokentrace.tag("memory", "This text is changed before it is sent anywhere.")
        for _ in range(2):
            with tokentrace.llm_call(body, api="anthropic.messages") as call:
                call.response({"usage": {"input_tokens": 99, "output_tokens": 2}})
    real, telemetry.open_call = telemetry.open_call, None
    with tokentrace.llm_call(body, api="anthropic.messages") as call:
        pass
    telemetry.open_call = real
    telemetry.flush()
    tokentrace.uninstrument()
    with telemetry.open_turn(None).active():
        pass
"""


def test_doctor_shows_what_a_process_lost(tmp_path, monkeypatch):
    """What a process told at its end is in doctor's findings: errors, folded names, lost texts, estimates."""
    clean = {key: value for key, value in os.environ.items() if key != "TOKENTRACE_STRICT"}
    folder = tmp_path / "traces"
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(AGENT)],
        env={**clean, "TOKENTRACE_DIR": str(folder)},
        check=True,
        timeout=120,
    )
    monkeypatch.setenv("TOKENTRACE_DIR", str(folder))
    machine = doctor.Machine(sdks=())
    found = {
        code: list(doctor.CHECKS[code][0](machine))
        for code in doctor.CHECKS
        if code[:4] in {"lost", "reco"}
    }
    assert [one.facts["count"] for one in found["lost.errors"]] == [1]
    assert {one.facts["reason"]: one.facts["count"] for one in found["lost.names"]} == {
        losses.PRIVATE: 6
    }
    assert {one.facts["kind"]: one.facts["count"] for one in found["lost.context"]} == {
        "text not found": 1
    }
    (methods,) = found["records.count"]
    assert methods.state == "note"
    told = readers.losses.read(str(folder))
    assert sum(told[schema.ESTIMATED].values()) == 3


# ── what the garbage collector ends ──────────────────────────────────────────────────────────────


class Ring:
    """Ends a call when the collector finds it."""

    def __init__(self, handle, record):
        self.me, self.handle, self.record = self, handle, record

    def __del__(self):
        self.handle.close(self.record)


def test_a_collection_inside_a_lock_ends_no_span_there(metrics):
    """A span that the collector ends while its thread holds a lock of the meters waits until it is free.

    Ended there and then it would ask for the lock that its own thread holds, and stop the host.
    """
    record = CallRecord(model="gpt-4o", tokens=1, method="exact", components={"user": 1})
    with tokentrace.testing.capture(meter_provider=metrics.provider) as captured:
        Ring(telemetry.open_call(record), record)
        done = []

        class Meeting:
            """Collects garbage in the middle of an instrument's work."""

            def __len__(self):
                gc.collect()
                done.append(_late.waiting())
                return 0

        Meeting().__len__()
        assert done == [1]
        assert [one.model for one in captured.calls] == ["gpt-4o"]
    assert _late.waiting() == 0


COLLECTED = """
    import gc, threading
    import openai, tokentrace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics._internal.exemplar import exemplar_reservoir as place
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from tokentrace import testing
    reader = InMemoryMetricReader()
    tokentrace.instrument(meter_provider=MeterProvider([reader]), exporter="local")
    wire = testing.Wire(testing.openai_chat_stream("a", "b"))
    client = openai.OpenAI(api_key="t", http_client=wire.client("openai"))
    body = dict(model="gpt-4o", messages=[dict(role="user", content="Say hello.")])
    def drop():
        stream = client.chat.completions.create(stream=True, **body)
        next(stream)
        ring = [stream]
        ring.append(ring)
    real = place.ExemplarBucket.offer
    def offer(self, *args, **kwargs):
        gc.collect()  # as it may at any allocation there, with the meters' lock held
        return real(self, *args, **kwargs)
    place.ExemplarBucket.offer = offer
    gc.disable()
    for _ in range(5):
        drop()
    list(client.chat.completions.create(stream=True, **body))
    reader.get_metrics_data()  # in which the collector finds the streams
    tokentrace.uninstrument()
    data = reader.get_metrics_data()
    print(sum(p.count for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics
              if m.name == "gen_ai.client.operation.duration" for p in m.data.data_points))
"""


def test_abandoned_streams_that_the_collector_finds_stop_nobody(tmp_path):
    """Streams that the collector finds while metrics are recorded end, and the process goes on."""
    pytest.importorskip("openai")
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COLLECTED)],
        env={**os.environ, "TOKENTRACE_DIR": str(tmp_path / "t")},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout.split() == ["6"]
    files = list((tmp_path / "t").glob("*.jsonl"))
    spans = [line for file in files for line in Path(file).read_text().splitlines()]
    assert sum("resourceSpans" in json.loads(line) for line in spans) == 6
