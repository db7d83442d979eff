"""The framing of OpenAI prompts, with a ruler of one token a character: every number by hand."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokentrace
from tokentrace import dialects
from tokentrace.counting.claims import Lens
from tokentrace.counting.rules import Scope, openai
from tokentrace.counting.tally import Tally
from tokentrace.prompt import Message, Part

HEAD = len("# Tools\n\n## functions\n\nnamespace functions {\n\n") + len("} // namespace functions")
LOOK = {"name": "look", "description": "See.", "parameters": {"type": "object", "properties": {}}}
LOOK_TEXT = len("// See.\ntype look = () => any;\n\n")
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
APIS = ("openai.chat", "openai.responses", "openai.embeddings", "openai.completions")


class Characters:
    """A ruler of one token a character."""

    name = "characters"

    def tokens(self, text, budget_s=None):
        return len(text), 0

    def shares(self, text, borders, budget_s=None):
        edges = [0, *borders, len(text)]
        return [b - a for a, b in pairwise(edges)], 0


def tally(body, api="openai.chat", provider="openai"):
    prompt = dialects.find(api).parse(body)
    scope = Scope(Characters(), Lens(sections=False), prompt.model, prompt.api, provider)
    summed = Tally()
    for index, message in enumerate(prompt.messages):
        summed.add(openai.message(message, prompt.messages[:index], scope))
    return openai.finish(prompt, summed, scope)


def chat(*messages, model="gpt-4o", **body):
    return tally({"model": model, "messages": list(messages), **body})


def responses(*items, model="gpt-4o", **body):
    return tally({"model": model, "input": list(items), **body}, "openai.responses")


def user(text="hello"):
    return {"role": "user", "content": text}


def function(definition):
    return {"type": "function", "function": definition}


def test_a_message_costs_four_and_the_reply_three():
    """Two messages of plain text: their characters, 4 each, 3 once."""
    counted = chat({"role": "system", "content": "be kind"}, user())
    assert counted.components == {"system": 7, "user": 5, "framing": 4 + 4 + 3}


@pytest.mark.parametrize(
    ("model", "once", "answer"),
    [("gpt-4o", 3, 0), ("gpt-4.1-mini", 3, 0), ("gpt-4", 3, 0), ("o3", 2, 0), ("gpt-5.1", 2, 2)],
)
def test_families_open_the_reply_differently(model, once, answer):
    """Reasoning models open the reply with one less; gpt-5 marks each answer of the history."""
    counted = chat(user(), {"role": "assistant", "content": "yes"}, model=model)
    assert counted.components["framing"] == 8 + once + answer
    assert counted.components["history"] == 3


def test_text_parts_are_one_text():
    """Several text parts cost what their text put together costs."""
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    assert chat(user(parts)).components == chat(user()).components


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "critic"])
@pytest.mark.parametrize("name", ["", "Ann", "user"])
@pytest.mark.parametrize("text", ["", "hello", '{"a": [1, 2], "b": "two of it"}'])
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5.1", "o3"])
@pytest.mark.parametrize("api", ["openai.chat", "openai.responses"])
def test_a_message_of_one_text_costs_what_the_same_in_two_does(role, name, text, model, api):
    """The short way for the usual message leads to the same tally as the way for all others."""
    scope = Scope(Characters(), Lens(), model, api, "openai")
    one = openai.message(Message(role, (Part("text", text),), name), [], scope)
    two = openai.message(Message(role, (Part("text", text), Part("text")), name), [], scope)
    assert (one.components, one.details, one.error) == (two.components, two.details, two.error)
    assert one.runs == two.runs


def test_names():
    """A participant's name costs one more than itself; one that equals the role costs one."""
    plain = chat(user()).total
    assert chat({**user(), "name": "ada"}).total == plain + 1 + 3
    assert chat({**user(), "name": "user"}).total == plain + 1


def test_a_call_and_its_result():
    """A call costs 7, its name behind a dot and compact arguments; its result 6 and the name."""
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "mild"}
    counted = chat(user(), call, result)
    assert counted.components["history"] == len(".look") + len('{"a":1}')
    assert counted.components["tool_results"] == 4
    assert counted.details["tool_results", "look"] == 4
    assert counted.components["framing"] == 4 + 7 + (6 + 4) + 3


def test_a_result_without_its_call_bears_its_own_name():
    """An old function result names its function itself."""
    counted = chat({"role": "function", "name": "old", "content": "ok"})
    assert counted.details["tool_results", "old"] == 2


def test_parallel_calls_are_one_call_of_a_wrapper():
    """Two calls in one message are one JSON text, and their results one JSON list."""
    calls = [CALL, {**CALL, "id": "c2"}]
    results = [
        {"role": "tool", "tool_call_id": name, "content": text}
        for name, text in (("c1", "mild"), ("c2", "wet"))
    ]
    counted = chat(user(), {"role": "assistant", "tool_calls": calls}, *results)
    use = {"recipient_name": "functions.look", "parameters": {"a": 1}}
    wrapped = json.dumps({"tool_uses": [use, use]}, separators=(",", ":"))
    assert counted.components["history"] == len(wrapped)
    assert counted.components["tool_results"] == len('["mild", "wet"]')
    assert counted.components["framing"] == 4 + 20 + 3


def test_tools_follow_the_system_text():
    """Behind a system text definitions cost their text, joined by an empty line, less one."""
    bare = chat({"role": "system", "content": "be kind"}, user())
    counted = chat({"role": "system", "content": "be kind"}, user(), tools=[function(LOOK)])
    assert counted.components["tools"] == LOOK_TEXT
    assert counted.details["tools", "look"] == LOOK_TEXT
    assert counted.total == bare.total + 2 + HEAD + LOOK_TEXT - 1


@pytest.mark.parametrize(("model", "more"), [("gpt-4o", 3), ("o3", 4), ("gpt-5", 85)])
def test_tools_without_a_system_text(model, more):
    """Without a system message definitions make one."""
    bare = chat(user(), model=model).total
    tools = [function(LOOK)]
    assert chat(user(), model=model, tools=tools).total == bare + HEAD + LOOK_TEXT + more


def test_a_system_message_that_does_not_open_the_prompt_stays_apart():
    """Definitions join only a system message that stands first."""
    late = {"role": "system", "content": "be kind"}
    bare = chat(user(), late).total
    counted = chat(user(), late, tools=[function(LOOK)])
    assert counted.total == bare + HEAD + LOOK_TEXT + 3


def test_a_named_tool_choice_opens_the_reply():
    """A tool choice by name costs 7 and the name; `auto` and `required` cost nothing."""
    bare = chat(user(), tools=[function(LOOK)]).total
    named = {"type": "function", "function": {"name": "look"}}
    assert chat(user(), tools=[function(LOOK)], tool_choice=named).total == bare + 7 + 4
    for free in ("auto", "required"):
        assert chat(user(), tools=[function(LOOK)], tool_choice=free).total == bare
    assert chat(user(), model="gpt-5", tools=[function(LOOK)], tool_choice=named).total == (
        chat(user(), model="gpt-5", tools=[function(LOOK)]).total
    )


def test_a_response_schema_is_a_tool_detail():
    """A schema stands behind the system text and names itself in every answer."""
    schema = {"name": "bird", "schema": {"type": "object", "additionalProperties": False}}
    form = {"type": "json_schema", "json_schema": schema}
    system = {"role": "system", "content": "be kind"}
    text = len('# Response Formats\n\n## bird\n\n{"type":"object"}')
    counted = chat(system, user(), response_format=form)
    assert counted.details["tools", "response_format"] == text
    assert counted.total == chat(system, user()).total + 2 + text + (2 + 4)
    answer = {"role": "assistant", "content": "yes"}
    again = chat(system, user(), answer, response_format=form)
    assert again.total == chat(system, user(), answer).total + 2 + text + 2 * (2 + 4)


def test_responses_count_like_chat_for_plain_text():
    """Instructions are a system message; the items cost what messages cost."""
    counted = responses(user(), instructions="be kind")
    assert counted.components == chat({"role": "system", "content": "be kind"}, user()).components


def test_responses_tools_stand_apart():
    """Over the Responses API definitions are a text of their own, whatever the instructions."""
    tools = [{"type": "function", **LOOK}]
    for more in ({}, {"instructions": "be kind"}):
        bare = responses(user(), **more).total
        assert responses(user(), tools=tools, **more).total == bare + HEAD + LOOK_TEXT - 3


def test_sealed_reasoning_counts_in_its_own_turn():
    """Sealed reasoning costs by its size until the user speaks again."""
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": "A" * 2200}
    now = responses(user(), sealed, model="gpt-5")
    assert now.components["reasoning"] == (1650 - 625) // 5
    newer = responses(user(), sealed, model="gpt-5.4")
    assert newer.components["reasoning"] == (1650 - 650) // 5
    assert "reasoning" not in responses(user(), sealed, user(), model="gpt-5").components


@pytest.mark.parametrize(("model", "once"), [("gpt-4o", 1), ("gpt-4.1", 1), ("gpt-5", 0)])
def test_a_schema_over_responses_costs_the_same_with_and_without_instructions(model, once):
    """Over the Responses API a schema is a text of its own, whatever the instructions end with."""
    schema = {"type": "json_schema", "name": "bird", "schema": {"type": "object"}}
    text = len('# Response Formats\n\n## bird\n\n{"type":"object"}')
    for more in ({}, {"instructions": "be kind."}):
        bare = responses(user(), model=model, **more).total
        asked = responses(user(), model=model, text={"format": schema}, **more).total
        assert asked == bare + text + once


def test_embeddings_are_their_text():
    """Inputs cost their text or their number of tokens, nothing else."""
    body = {"model": "text-embedding-3-small", "input": ["one", "three"]}
    assert tally(body, "openai.embeddings").components == {"user": 8}
    body = {"model": "text-embedding-3-small", "input": [5, 6, 7]}
    assert tally(body, "openai.embeddings").components == {"user": 3}


def test_a_message_is_counted_from_itself():
    """A message's tally does not change with what stands behind it, and changes nothing."""
    prompt = dialects.find("openai.chat").parse({"model": "gpt-4o", "messages": [user(), user()]})
    scope = Scope(Characters(), Lens(sections=False), "gpt-4o", "openai.chat", "openai")
    one = openai.message(prompt.messages[1], prompt.messages[:1], scope)
    assert (
        one.components == openai.message(prompt.messages[1], prompt.messages[:1], scope).components
    )


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=30)
keys = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "tool_calls",
        "function",
        "name",
        "id",
        "arguments",
        "parameters",
        "properties",
        "items",
        "anyOf",
        "enum",
        "required",
        "description",
        "title",
        "default",
        "$ref",
        "image_url",
        "url",
        "output",
        "call_id",
    ]
)
words = st.sampled_from(
    [
        "user",
        "assistant",
        "tool",
        "system",
        "text",
        "image_url",
        "function_call",
        "function_call_output",
        "reasoning",
        "function",
        "object",
        "array",
        "string",
        "custom",
        "web_search",
    ]
)
odd = st.recursive(
    leaves | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)
FIELDS = (
    "messages input prompt tools functions tool_choice response_format instructions text "
    "previous_response_id"
)
models = st.sampled_from(["gpt-4o", "gpt-4", "gpt-5", "o3", "grok-4", "", "ft:gpt-4o-mini:org::1"])
bodies = st.dictionaries(st.sampled_from(FIELDS.split()), odd)


@pytest.mark.parametrize("api", APIS)
@given(body=bodies, model=models)
def test_components_add_up_whatever_comes(api, body, model):
    """Any body gives a count whose components add up, none below zero, and a bound."""
    counted = tokentrace.count({**body, "model": model}, api=api, provider="openai")
    assert counted.total == sum(counted.components.values())
    assert all(tokens >= 0 for tokens in counted.components.values())
    assert counted.error >= 0


def test_calls_in_a_row_cost_nothing_for_their_ids():
    """The server's own id and status cost 3 on a call that stands alone, nothing on two."""
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    full = {**call, "id": "fc_1", "status": "completed"}
    assert responses(user(), full).total == responses(user(), call).total + 3
    assert responses(user(), full, full).total == responses(user(), call, call).total


def test_definitions_that_come_late_cost_their_block():
    """Added definitions cost 99 and their text on gpt-5, found ones 85."""
    bare = responses(user(), model="gpt-5").total
    tools = [{"type": "function", **LOOK}]
    added = {"type": "additional_tools", "role": "developer", "tools": tools}
    found = {"type": "tool_search_output", "tools": tools}
    assert responses(user(), added, model="gpt-5").total == bare + 99 + LOOK_TEXT
    assert responses(user(), found, model="gpt-5").total == bare + 85 + LOOK_TEXT


def test_a_tool_of_a_namespace_is_addressed_by_it():
    """A call of a namespace's tool is one token cheaper than its name, and so is its result."""
    call = {"type": "function_call", "call_id": "c", "name": "ab", "arguments": "{}"}
    spaced = {**call, "namespace": "n"}
    plain = responses(user(), {**call, "name": "n.ab"}).total
    assert responses(user(), spaced).total == plain
    assert responses(user(), {**call, "name": "n_ab"}).total == plain + 1
