"""Counting where no tokenizer is known: estimates that say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace import providers
from tokentrace.counting.claims import Lens
from tokentrace.counting.rules import Scope, claude, find, generic
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import ruler
from tokentrace.dialects import bedrock_converse
from tokentrace.dialects import generic as layouts

TOOL = {"toolSpec": {"name": "run", "description": "Runs.", "inputSchema": {"json": {}}}}


SCHEMA = {"properties": {str(i): {} for i in range(99)}}


def count(body, model):
    dialect = bedrock_converse if type(body.get("messages")) is list else layouts
    prompt = dialect.parse({**body, "model": model})
    row = providers.find(model)[1]
    scope = Scope(ruler("o200k_base"), Lens(), model, prompt.api, "", row.family if row else "")
    summed = Tally()
    for index, one in enumerate(prompt.messages):
        summed.add(generic.message(one, prompt.messages[:index], scope))
    tally = generic.finish(prompt, summed, scope)
    return tally, *generic.judge(prompt, tally, scope)


def said(text):
    return {"messages": [{"role": "user", "content": [{"text": text}]}]}


def test_a_name_nobody_knows_gets_these_rules():
    """The table of rules falls back to the generic ones."""
    assert find("no such maker") is generic


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "amazon.nova-lite-v1:0", "command-r", "x"])
def test_counts_are_estimates_with_a_bound(model):
    """A count is never exact, and its bound grows with the prompt."""
    short, long = count(said("Hi"), model), count(said("Tell me all. " * 500), model)
    assert short[1] == long[1]
    assert short[1] in {"estimated", "calibrated"}
    assert 0 < short[2] < long[2]


def test_claude_is_counted_as_claude():
    """A Claude behind Bedrock's Converse is calibrated, to the token as its own rules say."""
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    body = {**said("Which pods restart?"), "toolConfig": {"tools": [TOOL]}}
    tally, method, _ = count(body, model)
    assert method == "calibrated"
    assert tally.details["framing", "tool_use_prompt"] == 496
    text = claude.definition(TOOL["toolSpec"])
    factor = 1.14
    assert tally.components["tools"] == round(factor * ruler("o200k_base").tokens(text)[0])


@pytest.mark.parametrize(
    "extra",
    [
        {"toolConfig": {"tools": [TOOL]}},
        {"promptVariables": {"name": {"text": "Ada"}}},
        {"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": SCHEMA}}}}},
    ],
)
def test_what_is_not_known_widens_the_bound(extra):
    """Tools, stored content and schemas make the bound wider."""
    assert (
        count({**said("Hi"), **extra}, "gemini-2.5-flash")[2]
        > count(said("Hi"), "gemini-2.5-flash")[2]
    )


def test_results_are_named_after_their_tool():
    """A result's tokens stand under the tool that its call's id tells."""
    body = {
        "messages": [
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "t", "name": "run", "input": {}}}],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "ok, done"}]}}],
            },
        ]
    }
    tally = count(body, "amazon.nova-lite-v1:0")[0]
    assert tally.details["tool_results", "run"] > 0


def test_media_are_estimated_wide():
    """An image has tokens, and a bound at least as large."""
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    tally, _, error = count({"contents": [{"role": "user", "parts": [image]}]}, "gemini-2.5-flash")
    assert error >= tally.components["media"] > 0


@given(
    st.dictionaries(
        st.sampled_from(["messages", "contents", "system", "x"]),
        st.text(max_size=40) | st.lists(st.text(max_size=40), max_size=4),
    )
)
def test_any_body_has_whole_components(body):
    """Whatever the body, components are integers of at least 0 and sum to the total."""
    tally, _, error = count(body, "some-model")
    assert all(type(tokens) is int and tokens >= 0 for tokens in tally.components.values())
    assert tally.total == sum(tally.components.values())
    assert error > 0
