"""What is kept of a call for one that is the same: no span of a later call bears anything else."""

from __future__ import annotations

import random

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

import tokentrace
from tokentrace import schema, telemetry, testing, turns
from tokentrace.counting.store import STORE
from tokentrace.instrument import records
from tokentrace.providers import prices

openai = pytest.importorskip("openai")

OWN = (schema.LINEAGE, schema.TURN_ID)  # made anew in each run
NOTE = "- the pod restarts since the rollout\n" * 9
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": f"<log_{1}>\n{NOTE}</log_1>\nWhy?"},
]
TOOLS = [{"type": "function", "function": {"name": "logs", "description": "Reads logs."}}]
SESSIONS = (None, ("one", "a", {}), ("one", "b", {}), ("two", "a", {"tenant": "t1"}))
BODIES = (
    {"model": "gpt-4.1"},
    {"model": "gpt-4.1", "temperature": 0.5},
    {"model": "gpt-4.1", "tools": TOOLS},
    {"model": "gpt-4o", "max_tokens": 50},
)


def steps(seed):
    """Return sessions, bodies and messages of calls, most of which are made again and again."""
    pick = random.Random(seed)
    for number in range(30):
        talk = TALK if pick.random() < 0.8 else [*TALK, {"role": "user", "content": f"{number}?"}]
        if pick.random() < 0.1:  # the name of its section may be told from here on
            filled = f"<log_1>\n{number} {NOTE}</log_1>\nWhy?"
            talk = [TALK[0], {"role": "user", "content": filled}]
        yield pick.choice(SESSIONS[: 1 + seed]), pick.choice(BODIES[: 1 + seed]), talk


def told(seed):
    """Return the attributes of the spans of a script of calls, in a process that knows none yet."""
    turns.reset()
    STORE.clear()
    prices.load()
    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=100))
    clients = [
        openai.OpenAI(api_key="test", http_client=wire.client("openai"), base_url=url)
        for url in ("https://api.openai.com/v1", "http://localhost:8000/v1")
    ]
    with testing.capture() as captured:
        for number, (session, body, talk) in enumerate(steps(seed)):
            create = clients[number % (1 + seed % 2)].chat.completions.create
            if session is None:
                create(messages=talk, **body)
                continue
            name, agent, attributes = session
            with tokentrace.session(name, agent=agent, attributes=attributes):
                create(messages=talk, **body)
    return [
        {key: value for key, value in span.attributes.items() if key not in OWN}
        for span in captured.spans
    ]


@pytest.mark.parametrize("seed", range(4))
def test_no_attribute_differs_from_one_that_was_made_anew(seed, monkeypatch):
    """Sessions, agents, hosts, settings and names that become public change between the calls."""
    found = told(seed)
    monkeypatch.setattr(records, "record", records._record)
    monkeypatch.setattr(telemetry, "_told", lambda record, own, _line: made_anew(record, own))
    again = told(seed)
    assert len(found) == 30
    assert found == again
    assert [list(one) for one in found] == [list(one) for one in again]


def made_anew(record, attributes):
    """Return what a call's span begins with, by a line that remembers nothing."""
    return telemetry.spans.Told(schema.dump(record) | telemetry.foreign(attributes), record)


def test_a_call_that_is_the_same_is_written_once(monkeypatch):
    """From the second call on, in which its turn has begun, the record and its span's beginning stay."""
    seen, dump = [], schema.dump
    monkeypatch.setattr(schema, "dump", lambda *args: seen.append(args) or dump(*args))
    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=100))
    client = openai.OpenAI(api_key="test", http_client=wire.client("openai"))
    with testing.capture():
        for _ in range(4):
            client.chat.completions.create(model="gpt-4.1", messages=TALK)
    begun = [args[0] for args in seen if len(args) == 1]
    ended = [args[1] for args in seen if len(args) == 2]
    assert len(begun) == 2
    assert [one is begun[1] for one in ended] == [False, True, True, True]


class Marking(Sampler):
    """A sampler that writes into what it is given."""

    def should_sample(self, context, trace_id, name, kind=None, attributes=None, *rest, **more):
        """Sample, and leave a mark that is another with each span."""
        attributes[f"mark.{trace_id}"] = 1
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self):
        """Return a name."""
        return "marking"


def test_a_sampler_that_writes_into_attributes_marks_one_span_alone():
    """What is kept for the next call is nobody else's to change."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(sampler=Marking(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=100))
    client = openai.OpenAI(api_key="test", http_client=wire.client("openai"))
    tokentrace.instrument(tracer_provider=provider, exporter="none")
    try:
        for _ in range(3):
            client.chat.completions.create(model="gpt-4.1", messages=TALK)
    finally:
        tokentrace.uninstrument()
    spans = kept.get_finished_spans()
    assert [sum(key.startswith("mark.") for key in one.attributes) for one in spans] == [1, 1, 1]


def test_a_name_that_may_be_told_now_is_told_of_the_same_prompt():
    """Another conversation makes a section's name public between two calls that are the same."""
    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=100))
    client = openai.OpenAI(api_key="test", http_client=wire.client("openai"))

    def ask(session, text):
        with tokentrace.session(session):
            talk = [TALK[0], {"role": "user", "content": f"<notes>\n{text}\n</notes>\nWhy?"}]
            client.chat.completions.create(model="gpt-4.1", messages=talk)

    with testing.capture() as captured:
        for session, text in [*[("one", NOTE)] * 3, ("two", "another"), ("one", NOTE)]:
            ask(session, text)
    named = ["section.notes" in call.components for call in captured.calls]
    assert named == [False, False, False, True, True]
