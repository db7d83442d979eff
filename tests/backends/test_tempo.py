"""The same in Tempo, where TEMPO_URL names one that takes what the Collector sends it."""

from __future__ import annotations

import time

import pytest

import real_backends
from real_backends import TEMPO, ask, assert_soon

real_backends.required()
if not TEMPO:
    pytest.skip("no Tempo here: TEMPO_URL is not set", allow_module_level=True)


def found(query):
    """Return the ids of the traces that a TraceQL query finds."""
    now = int(time.time())
    asked = {"q": query, "limit": 1_000, "start": now - 3_600, "end": now + 60}
    return {one["traceID"] for one in ask(f"{TEMPO}/api/search", **asked)["traces"]}


def measured(query):
    """Return the values of a TraceQL metrics query over the last hour, by its first label."""
    now = int(time.time())
    asked = {"q": query, "start": now - 3_600, "end": now + 60}
    series = ask(f"{TEMPO}/api/metrics/query", **asked)["series"]
    return {
        next(iter(one["labels"][0]["value"].values())) if one.get("labels") else "": one["value"]
        for one in series
    }


def turns(sent, holds):
    """Return how many turns of a session have a call for which something holds."""
    return len({call.turn for call in sent.calls if holds(call)})


def test_turns_are_found_by_decision_and_band(agent):
    """Refusals are found by their decision, and calls near the limit by their utilization."""
    chosen = f'resource.service.name = "{agent.service}"'
    refused = f'{{ {chosen} && span.tokentrace.guard.decision = "refuse" }}'
    assert_soon(lambda: len(found(refused)), 1)
    near = turns(agent, lambda call: (call.utilization or 0) > 0.8)
    assert_soon(
        lambda: len(found(f"{{ {chosen} && span.tokentrace.limit.utilization > 0.8 }}")), near
    )


@pytest.mark.parametrize("place", [0, 1], ids=["grpc", "http"])
def test_turns_are_found_by_the_size_of_a_component(demo, place):
    """A component's attribute is compared as a number."""
    expected = turns(demo, lambda call: call.components.get("tool_results", 0) > 1_000)
    session = f'span.gen_ai.conversation.id = "{demo.sessions[place]}"'
    query = f"{{ {session} && span.tokentrace.component.tool_results.tokens > 1000 }}"
    assert 0 < expected < 25
    assert_soon(lambda: len(found(query)), expected)


@pytest.mark.parametrize("place", [0, 1], ids=["grpc", "http"])
def test_a_session_has_a_trace_for_each_turn(demo, place):
    """Each of 25 turns has a root of its own."""
    session = f'span.gen_ai.conversation.id = "{demo.sessions[place]}"'
    assert_soon(lambda: len(found(f'{{ {session} && name =~ "invoke_agent.*" }}')), 25)


@pytest.mark.parametrize("component", ["tools", "history"])
def test_components_are_summed_by_tempo_itself(demo, component):
    """TraceQL metrics give the tokens that the trace file has."""
    session = f'span.gen_ai.conversation.id = "{demo.sessions[0]}"'
    attribute = f"span.tokentrace.component.{component}.tokens"
    query = f"{{ {session} }} | sum_over_time({attribute}) by (resource.service.name)"
    expected = sum(call.components.get(component, 0) for call in demo.calls)
    assert_soon(lambda: measured(query), {demo.service: expected})
