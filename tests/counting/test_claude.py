"""Counting for Claude: what is scaled, what is hidden, what is bounded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace import providers
from tokentrace.counting.claims import Lens
from tokentrace.counting.rules import Scope, claude, claude_table
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import ruler
from tokentrace.dialects import anthropic_messages as dialect

CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "anthropic").glob("*.json"))
BODIES = [json.loads(path.read_text(encoding="utf-8"))["body"] for path in CORPUS]
TOOL = {"name": "get_pods", "description": "List pods.", "input_schema": {"type": "object"}}
MODELS = ["claude-3-5-haiku-20241022", "claude-sonnet-4-5", "claude-sonnet-5"]


def count(body, model="claude-sonnet-4-5", lens=None):
    prompt = dialect.parse({"model": model, **body})
    row = providers.find(model)[1]
    family = row.family if row else ""
    scope = Scope(ruler("o200k_base"), lens or Lens(), model, prompt.api, "anthropic", family)
    summed = Tally()
    for index, one in enumerate(prompt.messages):
        summed.add(claude.message(one, prompt.messages[:index], scope))
    tally = claude.finish(prompt, summed, scope)
    return tally, *claude.judge(prompt, tally, scope)


def total(body, model="claude-sonnet-4-5"):
    return count(body, model)[0].total


def said(*contents):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("model", MODELS)
def test_every_body_has_a_calibrated_count(body, model):
    """Each body of the corpus is calibrated, never exact, with a bound, and no share below 0."""
    tally, method, error = count({**body, "model": model}, model)
    assert (method, error > 0) == ("calibrated", True)
    assert min(tally.components.values()) >= 0
    assert tally.total == sum(tally.components.values()) > 0


def test_text_is_scaled_by_the_family():
    """The same text costs more with each newer tokenizer, by the factor of the table."""
    text = "The deployment restarts because its probe fails. " * 40
    tokens = ruler("o200k_base").tokens(text)[0]
    for model, family in zip(MODELS, ("claude-3", "claude-4", "claude-new"), strict=True):
        factor = claude_table.FAMILIES[family].text
        assert count(said(text), model)[0].components["user"] == round(factor * tokens)


def test_speakers_cost_framing_and_repeated_speakers_do_not():
    """Each change of speaker costs the same; two messages of one speaker are one turn."""
    one = count(said("Hi"))[0].components["framing"]
    three = count(said("Hi", "Hello", "Bye"))[0].components["framing"]
    doubled = {"messages": [{"role": "user", "content": "Hi"}] * 2}
    assert (one, three) == (7, 13)
    assert count(doubled)[0].components["framing"] == one


def test_system_text_has_no_framing():
    """System text adds its tokens to ``system`` and nothing else."""
    bare = count(said("Hi"))[0]
    ruled = count({**said("Hi"), "system": "Be brief."})[0]
    assert ruled.components["framing"] == bare.components["framing"]
    assert ruled.total - bare.total == ruled.components["system"] > 0


@pytest.mark.parametrize(
    ("model", "choice", "hidden"),
    [
        ("claude-sonnet-4-5", None, 496),
        ("claude-sonnet-4-5", {"type": "none"}, 496),
        ("claude-sonnet-4-5", {"type": "any"}, 588),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", {"type": "tool", "name": "a"}, 588),
        ("claude-sonnet-4-20250514", None, 313),
        ("claude-opus-4-8", None, 290),
        ("claude-sonnet-5", {"type": "any"}, 474),
    ],
)
def test_tools_bring_a_hidden_prompt_of_their_model(model, choice, hidden):
    """The hidden prompt follows model and tool_choice, as framing with a name of its own."""
    tally = count({**said("Hi"), "tools": [TOOL], "tool_choice": choice}, model)[0]
    assert tally.details["framing", "tool_use_prompt"] == hidden
    assert tally.components["tools"] == tally.details["tools", "get_pods"] < hidden


def test_deferred_tools_count_when_they_are_referenced():
    """A deferred tool costs nothing until a search brings it in."""
    late = {**TOOL, "name": "late", "defer_loading": True}
    tools = [TOOL, late]
    found = [{"type": "tool_reference", "tool_name": "late"}]
    result = [{"type": "tool_result", "tool_use_id": "t", "content": found}]
    hidden = count({**said("Hi"), "tools": tools})[0]
    shown = count({**said("Hi", "?", result), "tools": tools})[0]
    assert ("tools", "late") not in hidden.details
    assert shown.details["tools", "late"] > 0


def test_results_are_named_after_their_call():
    """A result's tokens stand under the tool whose call has its id."""
    call = [{"type": "tool_use", "id": "t", "name": "get_pods", "input": {"ns": "web"}}]
    result = [{"type": "tool_result", "tool_use_id": "t", "content": "web-1 Running"}]
    tally = count(said("Pods?", call, result))[0]
    assert tally.details["tool_results", "get_pods"] == tally.components["tool_results"] > 0
    assert tally.components["history"] > 0


@pytest.mark.parametrize(
    ("model", "kept"), [("claude-sonnet-4-5", False), ("claude-sonnet-5", True)]
)
def test_thinking_of_earlier_turns_is_forgotten_by_old_models(model, kept):
    """Thinking before the newest user text costs nothing, with models that drop it."""
    thinking = {"type": "thinking", "thinking": "Let me think about the pods. " * 20}
    old = count(said("Hi", [thinking, {"type": "text", "text": "Hello"}], "Bye"), model)[0]
    assert (old.components["reasoning"] > 0) is kept


def test_thinking_of_the_running_tool_loop_counts():
    """Thinking ahead of a call whose result is sent now is part of the prompt."""
    thinking = {"type": "thinking", "thinking": "Let me think about the pods. " * 20}
    call = {"type": "tool_use", "id": "t", "name": "run", "input": {}}
    result = [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]
    assert count(said("Hi", [thinking, call], result))[0].components["reasoning"] > 100


def test_a_tag_called_reasoning_is_not_forgotten():
    """Only the model's own thinking is taken out, not what the agent calls by that name."""

    class Tag:
        name = "reasoning"
        text = "Because the disk was full, the pods were evicted."

    thinking = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hello"}]
    body = said("Hi", thinking, f"Note: {Tag.text}")
    tally = count(body, lens=Lens([Tag]))[0]
    assert tally.components["reasoning"] > 5
    assert tally.total == count(body)[0].total


def test_switched_on_thinking_costs_once():
    """Enabled thinking adds its constant, adaptive thinking nothing."""
    bare = total(said("Hi"))
    enabled = total({**said("Hi"), "thinking": {"type": "enabled", "budget_tokens": 1024}})
    adaptive = total({**said("Hi"), "thinking": {"type": "adaptive"}})
    assert (enabled - bare, adaptive - bare) == (29, 0)


@pytest.mark.parametrize(
    ("size", "family", "tokens"),
    [
        ((28, 28), "claude-4", 1),
        ((800, 600), "claude-4", 29 * 22),
        ((1568, 784), "claude-4", 56 * 28),
        ((3136, 1568), "claude-4", 56 * 28),
        ((20_000, 1), "claude-4", 56),
        ((2000, 1000), "claude-new", 72 * 36),
    ],
)
def test_images_cost_patches_of_their_fitted_size(size, family, tokens):
    """An image costs its 28-pixel patches after it was fitted into edge and cap."""
    found = claude.image(*size, claude_table.FAMILIES[family])
    assert found == tokens + claude_table.IMAGE


@given(st.integers(1, 30_000), st.integers(1, 30_000))
def test_no_image_costs_more_than_the_cap(width, height):
    """Whatever its size, an image stays within the family's cap."""
    for family in claude_table.FAMILIES.values():
        tokens = claude.image(width, height, family)
        assert 0 < tokens <= family.cap + claude_table.IMAGE


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x" * 99},
        },
    ],
)
def test_media_that_a_body_cannot_tell_widen_the_bound(block):
    """A remote image, a file and a PDF have tokens, and a bound much wider than text."""
    tally, _, error = count(said([{"type": "text", "text": "Look"}, block]))
    plain = count(said("Look"))[2]
    assert tally.components["media"] > 0
    assert error >= plain + 150


def test_cited_documents_bring_one_hidden_prompt():
    """Documents cost a little each; citations a hidden prompt, once."""
    source = {"type": "text", "media_type": "text/plain", "data": "Drain the node."}
    document = {"type": "document", "source": source}
    cited = {**document, "citations": {"enabled": True}}
    one, two = total(said([document])), total(said([document] * 2))
    assert two - one < 100
    assert total(said([cited] * 2)) - two == claude_table.CITATIONS


@pytest.mark.parametrize(
    "kind", ["web_search_20250305", "code_execution_20260120", "novelty_20300101"]
)
def test_tools_of_the_provider_are_bounded_wide(kind):
    """What the provider's own tools bring in is in the bound, their definition in ``tools``."""
    body = {**said("Hi"), "tools": [{"type": kind, "name": "t"}]}
    tally, _, error = count(body)
    assert tally.components["tools"] == claude_table.typed(kind).tokens
    assert error > claude_table.typed(kind).found > 0


def test_a_schema_is_a_tool_detail():
    """The response schema stands in ``tools`` under its own name, and costs more when longer."""
    small = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}
    fields = {f"field_{i}": {"type": "string"} for i in range(20)}
    large = {"type": "json_schema", "schema": {"type": "object", "properties": fields}}
    costs = [
        count({**said("Hi"), "output_format": form})[0].details["tools", "response_format"]
        for form in (small, large)
    ]
    assert claude_table.SCHEMA_ONCE < costs[0] < costs[1]


def test_gateway_and_bedrock_tools_count_alike():
    """One definition costs the same in the shapes of Anthropic, OpenAI and Bedrock."""
    openai = {
        "type": "function",
        "function": {
            "name": "get_pods",
            "description": "List pods.",
            "parameters": {"type": "object"},
        },
    }
    bedrock = {
        "name": "get_pods",
        "description": "List pods.",
        "inputSchema": {"json": {"type": "object"}},
    }
    texts = {claude.definition(tool) for tool in (TOOL, openai, bedrock)}
    assert len(texts) == 1


def test_cyclic_definitions_are_counted():
    """A tool whose schema holds itself has a bounded count."""
    schema = {"type": "object"}
    schema["properties"] = {"self": schema}
    tally = count({**said("Hi"), "tools": [{"name": "loop", "input_schema": schema}]})[0]
    assert 0 < tally.details["tools", "loop"] < 200_000


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-3-haiku-20240307", "claude-3"),
        ("anthropic.claude-v2:1", "claude-3"),
        ("claude-opus-4-1-20250805", "claude-4"),
        ("claude-opus-4-7", "claude-new"),
        ("claude-haiku-9-1", "claude-new"),
    ],
)
def test_models_find_their_family(model, family):
    """Known models count by their family, unknown Claudes by the newest."""
    assert claude_table.family(model).name == family


def test_another_makers_model_is_an_estimate():
    """A model that is no Claude is estimated with a bound of half its total."""
    tally, method, error = count(said("Hi there, what is up?" * 20), "deepseek-v4")
    assert method == "estimated"
    assert error >= math.ceil(0.5 * tally.total)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6), st.sampled_from(MODELS))
def test_components_are_whole_and_add_up(texts, model):
    """For any texts the components are integers that sum to the total, tagged or not."""

    class Tag:
        name = "memory"
        text = texts[0]

    bare = count(said(*texts), model)[0]
    tagged = count(said(*texts), model, Lens([Tag]))[0]
    assert all(isinstance(tokens, int) for tokens in tagged.components.values())
    assert bare.total == tagged.total


def test_sealed_results_of_a_search_are_bounded_wide():
    """Encrypted search results have tokens by their size, and a bound of three times that."""
    sealed = {"type": "web_search_result", "title": "K8s", "url": "https://example.org"}
    sealed["encrypted_content"] = "QUJD" * 300
    block = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [sealed]}
    tally, _, error = count(said("Hi", [block]))
    assert tally.components["tool_results"] > 300
    assert error > 3 * 300


def test_text_files_count_by_their_bytes():
    """A plain text file in base64 costs like text, not like pages of a PDF."""
    source = {"type": "base64", "media_type": "text/plain", "data": "QUJD" * 100}
    tally = count(said([{"type": "document", "source": source}]))[0]
    assert 75 <= tally.components["media"] < 200
