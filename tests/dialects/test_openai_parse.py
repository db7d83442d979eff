"""Reading requests of OpenAI's chat, responses, embeddings and completions."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage

from tokentrace import dialects
from tokentrace.dialects import openai_chat, openai_responses
from tokentrace.prompt import Prompt

CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "openai").glob("*.json"))
HELD = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in CORPUS}
CASES = [pytest.param(one["api"], one["body"], one["expected"], id=n) for n, one in HELD.items()]
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgCAIAAAC6s0uz"

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
keys = st.sampled_from(
    ["role", "content", "type", "text", "tool_calls", "function", "name", "id", "arguments", "file"]
)
words = st.sampled_from(
    ["user", "assistant", "tool", "system", "text", "image_url", "function_call", "reasoning"]
)
odd = st.recursive(
    leaves | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)
FIELDS = (
    "model messages input prompt tools functions tool_choice stop response_format instructions "
    "text reasoning max_tokens function_call"
)
bodies = st.dictionaries(st.sampled_from(FIELDS.split()), odd)


def parts_of(content):
    body = {"messages": [{"role": "user", "content": content}]}
    return openai_chat.parse(body).messages[0].parts


def item(**fields):
    return openai_responses.parse({"input": [fields]}).messages[0]


@pytest.mark.parametrize(("api", "body", "expected"), CASES)
def test_corpus_is_read_as_written_down(api, body, expected):
    """Each body of the corpus gives the roles, kinds, tools and settings noted beside it."""
    prompt = dialects.find(api).parse(body)
    assert [m.role for m in prompt.messages] == expected["roles"]
    assert [[p.kind for p in m.parts] for m in prompt.messages] == expected["kinds"]
    assert [tool.name for tool in prompt.tools] == expected["tools"]
    assert list(prompt.server) == expected["server"]
    assert prompt.max_output == expected["max_output"]
    assert prompt.tool_choice == expected["tool_choice"]
    assert prompt.settings == expected["settings"]
    assert sorted(prompt.features) == expected["features"]


@pytest.mark.parametrize(("api", "body", "expected"), CASES)
def test_parsing_changes_nothing(api, body, expected):
    """A parsed body is the same body afterwards."""
    before = copy.deepcopy(body)
    assert len(dialects.find(api).parse(body).messages) == len(expected["roles"])
    assert body == before


@pytest.mark.parametrize("api", sorted(name for name in dialects.DIALECTS if "openai" in name))
@given(body=bodies)
def test_nothing_odd_raises(api, body):
    """Whatever stands in a body, reading it gives a prompt."""
    assert isinstance(dialects.find(api).parse(body), Prompt)


@pytest.mark.parametrize("body", [None, "text", [], 7, b"x"])
def test_a_body_of_another_type_is_an_empty_prompt(body):
    """What is no mapping holds nothing."""
    for api in ("openai.chat", "openai.responses", "openai.embeddings"):
        assert list(dialects.find(api).parse(body).messages) == []


def test_an_image_tells_its_size_and_not_its_bytes():
    """Width, height and hint are read from a data URL; the payload is not kept."""
    (part,) = parts_of([{"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}])
    assert (part.data.width, part.data.height, part.data.detail) == (640, 480, "high")
    assert part.text == ""
    assert not part.data.remote


def test_a_remote_image_says_so():
    """The size of an image behind a URL is not known."""
    (part,) = parts_of([{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}])
    assert part.data.remote
    assert part.data.width == 0


def test_a_generator_is_left_alone():
    """An iterator in a body is not consumed, wherever it stands."""
    one = iter([{"role": "user", "content": "hi"}])
    assert list(openai_chat.parse({"messages": one, "tools": one}).messages) == []
    assert len(parts_of(one)) == 1
    assert next(one)["content"] == "hi"


def test_an_sdk_message_reads_like_its_mapping():
    """A response message that an agent appends as it came is read as what it holds."""
    raw = {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
    }
    model = ChatCompletionMessage.model_validate(raw)
    seen, plain = (openai_chat.parse({"messages": [m]}).messages[0] for m in (model, raw))
    assert [(p.kind, p.text, p.name, p.id) for p in seen.parts] == [
        (p.kind, p.text, p.name, p.id) for p in plain.parts
    ]


def test_a_lone_text_stands_for_a_conversation():
    """Where a list of messages is expected, a text is one user message."""
    assert openai_chat.parse({"messages": "hi"}).messages[0].parts[0].text == "hi"
    assert openai_responses.parse({"input": "hi"}).messages[0].role == "user"


def test_a_base64_block_of_an_unknown_kind_is_not_kept():
    """The text of an unknown part holds its JSON without payloads."""
    (part,) = parts_of([{"type": "hologram", "data": "QUJD" * 1000, "note": "keep"}])
    assert "keep" in part.text
    assert len(part.text) < 100


def test_a_message_depends_on_itself_alone():
    """The reader of one message gives the same for the same message, whatever stands ahead."""
    body = HELD["tools"]["body"]
    alone = [openai_chat.message(raw) for raw in body["messages"]]
    within = openai_chat.parse(body).messages
    assert [[p.text for p in m.parts] for m in alone] == [[p.text for p in m.parts] for m in within]


def test_instructions_come_first_and_go_through_the_walker():
    """The walker sees instructions as the first raw message, so it can reuse them."""
    seen = []

    def walk(raw, read):
        seen.extend(raw)
        return [read(one) for one in raw]

    body = {"instructions": "Be brief.", "input": "hi"}
    prompt = openai_responses.parse(body, walk)
    assert seen[0] == {"role": "system", "content": "Be brief."}
    assert [m.role for m in prompt.messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("extra", "data"), [({}, ""), ({"id": "fc"}, "id"), ({"id": "fc", "status": "x"}, "full")]
)
def test_a_call_tells_how_much_of_the_server_it_carries(extra, data):
    """A call item's id and status cost tokens on some models, so they are told."""
    held = item(type="function_call", call_id="c", name="f", arguments="{}", **extra)
    assert held.parts[0].data == data


def test_deep_nesting_ends():
    """A part nested 5,000 deep is read, and its text ends somewhere."""
    deep: dict = {}
    inner = deep
    for _ in range(5000):
        inner["a"] = {}
        inner = inner["a"]
    (part,) = parts_of([{"type": "odd", "deep": deep}])
    assert part.kind == "other"
    assert len(part.text) < 1000


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("required", "required"),
        ("sideways", ""),
        ({"type": "function", "name": "f"}, "name:f"),
        ({"type": "custom", "custom": {"name": "g"}}, "name:g"),
        ({"type": "web_search_preview"}, "name:web_search_preview"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}, "auto"),
        ({"name": "legacy"}, "name:legacy"),
        (7, ""),
    ],
)
def test_tool_choices(choice, expected):
    """Every form of a tool choice is read."""
    assert openai_chat.parse({"tool_choice": choice}).tool_choice == expected
