"""Reading requests of Anthropic's Messages API."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from anthropic.types import TextBlock, ToolUseBlock

from tokentrace.dialects import anthropic_messages as dialect

CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "anthropic").glob("*.json"))


def cases():
    for path in CORPUS:
        held = json.loads(path.read_text(encoding="utf-8"))
        yield pytest.param(held["body"], held["expected"], id=path.stem)


CASES = list(cases())


def parts_of(content):
    return dialect.parse({"messages": [{"role": "user", "content": content}]}).messages[0].parts


@pytest.mark.parametrize(("body", "expected"), CASES)
def test_corpus_is_read_as_written_down(body, expected):
    """Each body of the corpus gives the roles, kinds, tools and settings noted beside it."""
    prompt = dialect.parse(body)
    assert [m.role for m in prompt.messages] == expected["roles"]
    assert [[p.kind for p in m.parts] for m in prompt.messages] == expected["kinds"]
    assert [tool.name for tool in prompt.tools] == expected["tools"]
    assert list(prompt.server) == expected["server"]
    assert prompt.max_output == expected["max_output"]
    assert prompt.settings == expected["settings"]


@pytest.mark.parametrize(("body", "expected"), CASES)
def test_parsing_changes_nothing(body, expected):
    """A parsed body is the same body afterwards."""
    before = copy.deepcopy(body)
    assert len(dialect.parse(body).messages) == len(expected["roles"])
    assert body == before


def test_an_image_tells_its_size_and_not_its_bytes():
    """A base64 image gives width, height and size; no part holds the payload."""
    body = json.loads(CORPUS[1].read_text(encoding="utf-8"))["body"]
    images = [p for p in dialect.parse(body).parts if p.kind == "image"]
    assert (images[0].data.width, images[0].data.height) == (640, 480)
    assert [p.data.remote for p in images] == [False, True, True]
    assert all("iVBOR" not in p.text for p in dialect.parse(body).parts)


def test_a_call_and_its_result_share_an_id():
    """A tool_use and its tool_result carry the id, and the call its arguments as compact JSON."""
    call = parts_of([{"type": "tool_use", "id": "t9", "name": "run", "input": {"a": [1, 2]}}])[0]
    result = parts_of([{"type": "tool_result", "tool_use_id": "t9", "content": "ok"}])[0]
    assert (call.name, call.text) == ("run", '{"a":[1,2]}')
    assert call.id == result.id == "t9"


def test_sdk_objects_are_read_like_mappings():
    """Blocks of an earlier response may be sent back as they came."""
    content = [
        TextBlock(type="text", text="Let me look."),
        ToolUseBlock(type="tool_use", id="t1", name="get_pods", input={"ns": "web"}),
    ]
    text, call = parts_of(content)
    assert (text.kind, text.text) == ("text", "Let me look.")
    assert (call.kind, call.name, call.text) == ("call", "get_pods", '{"ns":"web"}')


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "run"}, "name:run"),
        (None, ""),
        ("auto", ""),
        ({"type": ["any"]}, ""),
    ],
)
def test_tool_choice_has_one_form(choice, expected):
    """Each form of tool_choice becomes the prompt's own word, odd ones none."""
    assert dialect.parse({"tool_choice": choice}).tool_choice == expected


@pytest.mark.parametrize(
    ("body", "features"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"thinking"}),
        ({"thinking": {"type": "adaptive"}}, {"thinking", "adaptive"}),
        ({"thinking": {"type": "disabled"}}, set()),
        ({"context_management": {"edits": []}}, {"context_management"}),
        ({"output_config": {"task_budget": {"type": "tokens"}}}, {"task_budget"}),
        ({"tools": [{"name": "a", "defer_loading": True}]}, {"defer_loading"}),
        ({"prompt": "Human: hi"}, {"completion"}),
    ],
)
def test_features_tell_what_parts_do_not(body, features):
    """Settings that change the count are features of the prompt."""
    assert dialect.parse(body).features == features


@pytest.mark.parametrize("key", ["output_format", "output_config"])
def test_a_response_schema_is_found_in_both_places(key):
    """The schema of output_format and of output_config.format is the prompt's schema."""
    form = {"type": "json_schema", "schema": {"title": "Book", "type": "object"}}
    body = {key: form if key == "output_format" else {"format": form, "effort": "low"}}
    schema = dialect.parse(body).schema
    assert (schema.name, schema.data) == ("Book", form["schema"])


@pytest.mark.parametrize("odd", [None, 7, 1.5, True, {}, {"a": {"b": 1}}, object(), b"x", {1, 2}])
def test_odd_values_anywhere_are_no_error(odd):
    """A value of any type in any place gives a prompt."""
    bodies = [
        {"messages": odd},
        {"messages": [odd]},
        {"messages": [{"role": odd, "content": odd}]},
        {"messages": [{"role": "user", "content": [odd]}]},
        {"messages": [{"role": "user", "content": [{"type": odd}]}]},
        {"system": odd, "tools": odd, "tool_choice": odd, "max_tokens": odd, "model": odd},
        {"tools": [odd], "output_format": odd, "thinking": odd, "mcp_servers": odd},
    ]
    for kind in ("image", "document", "tool_use", "tool_result", "thinking", "search_result"):
        fields = {"source": odd, "content": odd, "input": odd, "thinking": odd, "title": odd}
        bodies.append({"messages": [{"role": "user", "content": [{"type": kind, **fields}]}]})
    for body in bodies:
        prompt = dialect.parse(body)
        assert prompt.api == "anthropic.messages"
        assert all(isinstance(part.text, str) for part in prompt.parts)


def test_generators_are_left_alone():
    """Iterators in a body are not consumed."""
    blocks = iter([{"type": "text", "text": "a"}])
    messages = iter([{"role": "user", "content": blocks}])
    prompt = dialect.parse({"messages": messages, "tools": (x for x in ()), "system": blocks})
    assert len(prompt.messages) <= 1
    assert next(messages)["content"] is blocks
    assert next(blocks)["text"] == "a"


def test_depth_is_bounded():
    """Tool input and results nested a thousand deep are cut, not followed."""
    deep = {"x": 1}
    for _ in range(1000):
        deep = {"x": deep}
    block = {"type": "tool_use", "id": "t", "name": "n", "input": deep}
    assert len(parts_of([block])[0].text) < 1000


def test_the_walker_gets_the_whole_conversation():
    """A walker of the caller's own sees the system text as the first raw message."""
    seen = []

    def walk(raw, read):
        seen.extend(raw)
        return [read(one) for one in raw]

    body = {"system": "S", "messages": [{"role": "user", "content": "U"}]}
    prompt = dialect.parse(body, walk)
    assert seen == [{"role": "system", "content": "S"}, *body["messages"]]
    assert [m.role for m in prompt.messages] == ["system", "user"]
