"""`count`: what it takes, what it says, and that nothing makes it raise."""

from __future__ import annotations

from collections import deque

import pytest

import tokentrace
from tokentrace.counting import counter

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Why does the pod restart?"}]}
ODD_BODIES = [
    {},
    {"messages": None},
    {"messages": "text"},
    {"messages": 7},
    {"messages": [None, 1, "x", [], {}]},
    {"messages": [{"role": None, "content": None}]},
    {"messages": [{"role": "user", "content": b"bytes"}]},
    {"messages": [{"role": "user", "content": deque(["a"])}]},
    {"messages": (m for m in CHAT["messages"])},
    {"messages": [{"role": "user", "content": "\ud800 <|endoftext|> \x00"}]},
    {"messages": [{"role": "user", "content": " " * 1_000_000}]},
    {"model": None, "messages": CHAT["messages"]},
    {"model": 4, "messages": CHAT["messages"]},
    {"model": "gpt-4o", "tools": [{"type": "function"}], "messages": CHAT["messages"]},
    {"model": "gpt-4o", "input": [1, 2, 3]},
    {"contents": [{"parts": [{"text": "hi"}]}]},
]
APIS = [
    "openai.chat",
    "openai.responses",
    "openai.embeddings",
    "anthropic.messages",
    "gemini.generateContent",
    "bedrock.converse",
    "nobody.knows",
]


def test_the_plain_request_is_counted_exactly():
    """Four tokens a message, three for the answer, six of text: thirteen, and it says exact."""
    count = tokentrace.count(CHAT, api="openai.chat")
    assert (count.total, count.method, count.error) == (13, "exact", 0)
    assert count.components == {"framing": 7, "user": 6}
    assert (count.model, count.api, count.tokenizer) == ("gpt-4o", "openai.chat", "o200k_base")


def test_limit_utilization_and_headroom_come_with_it():
    """The registry's limit makes a share and a rest."""
    count = tokentrace.count(CHAT, api="openai.chat")
    assert count.limit == 128_000
    assert count.headroom == 128_000 - 13
    assert count.utilization == pytest.approx(13 / 128_000)


def test_older_user_text_is_history():
    """Only the newest user text is the user's."""
    messages = [*CHAT["messages"], {"role": "assistant", "content": "It is out of memory."}]
    longer = {**CHAT, "messages": [*messages, {"role": "user", "content": "And now?"}]}
    parts = tokentrace.count(longer, api="openai.chat").components
    assert parts["user"] == 3
    assert parts["history"] == 6 + 6


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
@pytest.mark.filterwarnings("ignore")
def test_odd_bodies_are_counted_and_never_raise(body, api):
    """Whatever an agent sends gets a labelled count whose parts add up."""
    count = tokentrace.count(body, api=api)
    assert sum(count.components.values()) == count.total
    assert count.method in {"exact", "calibrated", "estimated"}
    assert count.error >= 0


def test_a_generator_in_a_body_is_not_consumed():
    """What can be read once is left to the one who sends it."""
    messages = (m for m in CHAT["messages"])
    tokentrace.count({"model": "gpt-4o", "messages": messages}, api="openai.chat")
    assert list(messages) == CHAT["messages"]


def test_neither_api_nor_model_is_a_type_error():
    """A count needs to know what to count for."""
    with pytest.raises(TypeError, match=r"api= .*model="):
        tokentrace.count(CHAT)


def test_a_body_that_is_no_mapping_is_an_empty_one():
    """A list or number where a body should be is counted as nothing, not raised."""
    count = tokentrace.count([1, 2], api="openai.chat")
    assert sum(count.components.values()) == count.total


def test_a_model_given_beside_the_body_wins():
    """An Azure deployment's body does not name its model."""
    count = tokentrace.count({"messages": CHAT["messages"]}, api="openai.chat", model="gpt-4")
    assert (count.model, count.tokenizer) == ("gpt-4", "cl100k_base")


@pytest.mark.parametrize(
    ("model", "method"),
    [("gpt-4o", "exact"), ("claude-sonnet-4-5", "calibrated"), ("mistral-large", "estimated")],
)
def test_a_text_is_counted_for_its_model(model, method):
    """A text has the label that the model's tokenizer earns."""
    count = tokentrace.count("The pod restarts.", model=model)
    assert count.method == method
    assert 3 <= count.total <= 12
    assert "framing" not in count.components


@pytest.mark.parametrize(("inputs", "share"), [
    (["word " * 4_096], 0.5),
    (["word " * 4_096] * 10, 0.5),
    (["word " * 9_000, *["word"] * 50], 9_000 / 8_192),
    ([[1] * 4_096, [2] * 10], 0.5),
])  # fmt: skip
def test_embedding_inputs_are_limited_item_by_item(inputs, share):
    """A batch is as near to the limit as its largest input, however many there are."""
    body = {"model": "text-embedding-3-small", "input": inputs}
    count = tokentrace.count(body, api="openai.embeddings")
    assert count.utilization == pytest.approx(share, rel=0.01)
    refused = tokentrace.Guard(on_exceed="raise").check(body, api="openai.embeddings")
    assert (refused.decision == "refuse") is (share > 1)


def test_an_unknown_api_is_told_once(caplog):
    """One warning a process, and an estimate each time."""
    for _ in range(2):
        count = tokentrace.count(CHAT, api="brand.new")
        assert (count.method, count.api) == ("estimated", "brand.new")
    assert caplog.text.count("brand.new") == 1


def test_a_claude_through_another_api_has_its_own_rules():
    """A gateway's Claude is calibrated, not counted as an OpenAI model."""
    body = {**CHAT, "model": "anthropic/claude-sonnet-4.5"}
    assert tokentrace.count(body, api="openai.chat", provider="openrouter").method == "calibrated"


def claude(*texts):
    """Return a conversation with Claude."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": messages}


def test_an_anchor_needs_only_the_difference():
    """What was reported for an earlier body is certain; only what was added is estimated."""
    earlier = claude("Why does the pod restart? " * 400)
    later = claude("Why does the pod restart? " * 400, "It is out of memory.", "And now?")
    usage = {"input_tokens": 3_000, "output_tokens": 5}
    alone = tokentrace.count(later, api="anthropic.messages")
    count = tokentrace.count(later, api="anthropic.messages", anchor=(earlier, usage))
    assert count.method == "anchored"
    assert 3_000 < count.total < 3_060
    assert count.error < alone.error
    assert sum(count.components.values()) == count.total


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None}, "rubbish"])
def test_an_anchor_without_numbers_changes_nothing(usage):
    """A provider that reported nothing anchors nothing."""
    body = claude("hello")
    alone = tokentrace.count(body, api="anthropic.messages")
    assert tokentrace.count(body, api="anthropic.messages", anchor=(body, usage)) == alone


def test_our_own_failure_is_an_estimate_without_bound(monkeypatch):
    """When our code fails, count() still answers, and says that it knows nothing."""
    monkeypatch.setenv("TOKENTRACE_STRICT", "0")
    monkeypatch.setattr(counter, "measure", lambda *_, **__: 1 / 0)
    count = tokentrace.count(CHAT, api="openai.chat")
    assert (count.total, count.method) == (0, "estimated")
    assert count.error >= 2**31
