"""From an agent over OTLP and the Collector into Jaeger: found, typed, one tree a turn."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import real_backends
from real_backends import ask, assert_soon, spans, tagged, trace
from tokentrace import readers, schema
from tokentrace.prompt import CallRecord

real_backends.required()


def turns_with(sent, **facts):
    """Return how many turns of a session have a call with these attributes."""
    return len({call.turn for call in sent.calls if matches(call, facts)})


def matches(call, facts):
    attributes = schema.dump(call)
    return all(attributes.get(name.replace("__", ".")) == value for name, value in facts.items())


def test_services_and_operations_are_listed(backends, demo):
    """Jaeger lists the service, and its operations by their standard names."""
    assert_soon(lambda: demo.service in ask(f"{backends.jaeger}/api/v3/services")["services"], True)
    expected = {
        ("invoke_agent devops", "internal"),
        ("assemble_context devops", "internal"),
        ("chat gpt-5-mini", "client"),
    }

    def operations():
        url = f"{backends.jaeger}/api/v3/operations"
        told = ask(url, service=demo.service)["operations"]
        return {(one["name"], one["spanKind"]) for one in told}

    assert_soon(operations, expected)


@pytest.mark.parametrize("facts", [
    {"tokentrace__guard__decision": "compress"},
    {"tokentrace__guard__decision": "warn"},
    {"tokentrace__limit__band": "80-90"},
    {"tokentrace__guard__decision": "ok", "tokentrace__limit__band": "70-80"},
], ids=lambda facts: " ".join(facts.values()))  # fmt: skip
def test_turns_are_found_by_decision_and_band(backends, demo, facts):
    """A search by tags finds in each session exactly the turns that have such a call."""
    expected = turns_with(demo, **facts)
    assert expected > 0
    for name in demo.sessions:
        both = {"gen_ai__conversation__id": name, **facts}
        assert_soon(lambda both=both: len(tagged(backends, demo.service, **both)), expected)


def test_a_refused_call_is_found_and_is_an_error(backends, agent):
    """The refusal is found by its decision; its span is an error of ours and used no token."""
    asked = {"tokentrace__guard__decision": "refuse"}
    assert_soon(lambda: len(tagged(backends, agent.service, **asked)), 1)
    (found,) = tagged(backends, agent.service, **asked)
    (call,) = [one for one in spans(trace(backends, found)) if one["name"].startswith("chat")]
    told = {one["key"]: one["value"] for one in call["attributes"]}
    assert call["status"]["code"] == 2
    assert told[schema.ERROR_TYPE] == {"stringValue": "tokentrace.TokenLimitExceeded"}
    assert told[schema.BAND] == {"stringValue": "100+"}
    assert not [name for name in told if name.startswith("gen_ai.usage.")]


def traces_of(backends, service, session, count):
    """Return the traces of a session once all of them are there, as resource spans."""
    asked = {"gen_ai__conversation__id": session}
    assert_soon(lambda: len(tagged(backends, service, **asked)), count)
    return [trace(backends, one) for one in sorted(tagged(backends, service, **asked))]


@pytest.mark.parametrize("place", [0, 1], ids=["grpc", "http"])
def test_a_sessions_turns_are_one_tree_each(backends, demo, place):
    """Each of 25 turns is a trace of its own with one root, under which all its spans hang."""
    for whole in traces_of(backends, demo.service, demo.sessions[place], 25):
        found = {one["spanId"]: one for one in spans(whole)}
        roots = [one["name"] for one in found.values() if not one.get("parentSpanId")]
        assert roots == ["invoke_agent devops"]
        parents = {one["parentSpanId"] for one in found.values() if one.get("parentSpanId")}
        assert parents <= set(found)


@pytest.mark.parametrize("place", [0, 1], ids=["grpc", "http"])
def test_components_are_integers_and_add_up(backends, demo, place):
    """Every number of tokens is typed int in Jaeger's answer, and the components add up."""
    calls = cached = 0
    for whole in traces_of(backends, demo.service, demo.sessions[place], 25):
        for span in spans(whole):
            told = {one["key"]: one["value"] for one in span["attributes"]}
            if schema.TOKENS not in told:
                continue
            calls += 1
            tokens = {name: told[name] for name in told if name.endswith((".tokens", "_tokens"))}
            assert {kind for value in tokens.values() for kind in value} == {"intValue"}
            parts = {
                name: int(tokens[name]["intValue"]) for name in tokens if schema.COMPONENT in name
            }
            of_it = {name for name in parts if name.endswith(".cached_tokens")}
            assert all(parts[name] <= parts[name.replace("cached_", "")] for name in of_it)
            whole_prompt = sum(parts[name] for name in parts.keys() - of_it)
            assert whole_prompt == int(tokens[schema.TOKENS]["intValue"]) > 0
            cached += len(of_it)
    assert calls == len(demo.calls)
    assert cached > 0


def numbers(calls):
    """Return what must be the same however calls were sent."""
    return Counter(
        (one.turn, one.tokens, one.decision, one.usage.input, tuple(sorted(one.components.items())))
        for one in calls
    )


@pytest.mark.parametrize("place", [0, 1], ids=["grpc", "http"])
def test_jaeger_tells_what_the_local_file_tells(backends, demo, place, tmp_path):
    """What is read back from Jaeger has the numbers of the trace file, call by call."""
    whole = traces_of(backends, demo.service, demo.sessions[place], 25)
    lines = [json.dumps({"resourceSpans": one}) for one in whole]
    (tmp_path / "traces.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    problems = readers.Problems()
    records = readers.read([str(tmp_path / "traces.jsonl")], problems)
    read = [one for one in records if isinstance(one, CallRecord)]
    assert problems.count == 0
    assert numbers(read) == numbers(demo.calls)


@pytest.mark.skipif(bool(real_backends.TEMPO), reason="Tempo itself has the traces")
def test_tempos_exporter_sends_the_same(backends, demo, tmp_path):
    """What leaves for Tempo is what Jaeger has: every call of both sessions."""

    def sent():
        copy = tmp_path / "sent.jsonl"
        whole = Path(backends.sink_file).read_text(encoding="utf-8")
        copy.write_text(whole[: whole.rfind("\n") + 1], encoding="utf-8")
        records = readers.read([str(copy)], readers.Problems())
        return [one for one in records if isinstance(one, CallRecord)]

    expected = numbers(demo.calls)
    for name in demo.sessions:
        assert_soon(
            lambda name=name: numbers(one for one in sent() if one.session == name), expected
        )
