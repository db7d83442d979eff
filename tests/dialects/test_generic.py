"""Reading bodies of apis without a dialect of their own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentrace.dialects import generic as dialect
from tokentrace.prompt import Usage

GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}],
        },
        {"role": "model", "parts": [{"functionCall": {"name": "run", "args": {"a": 1}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "run", "response": {"ok": True}}}],
        },
        {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "Done."}]},
    ],
    "tools": [
        {"functionDeclarations": [{"name": "run", "description": "Runs."}]},
        {"googleSearch": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    "generationConfig": {
        "temperature": 0.1,
        "maxOutputTokens": 50,
        "responseSchema": {"properties": {}},
    },
}
CONVERSE = {
    "modelId": "amazon.nova-lite-v1:0",
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {
            "role": "user",
            "content": [{"text": "Hi"}, {"image": {"format": "png", "source": {"bytes": b"123"}}}],
        },
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "t", "name": "run", "input": {}}}],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t", "content": [{"text": "ok"}, {"json": {"a": 1}}]}}
            ],
        },
        {
            "role": "user",
            "content": [{"document": {"format": "txt", "name": "a", "source": {"text": "T"}}}],
        },
    ],
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "run", "inputSchema": {"json": {}}}}, {"cachePoint": {}}],
        "toolChoice": {"tool": {"name": "run"}},
    },
    "inferenceConfig": {"maxTokens": 9},
    "additionalModelRequestFields": {"thinking": {"type": "enabled"}},
}
COHERE = {
    "model": "command-r",
    "messages": [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "t", "type": "function", "function": {"name": "run", "arguments": "{}"}}
            ],
            "content": None,
        },
        {"role": "tool", "tool_call_id": "t", "content": [{"type": "text", "text": "ok"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "run"}}],
    "documents": ["d"],
}


def shape(body):
    prompt = dialect.parse(body)
    return [(m.role, *(p.kind for p in m.parts)) for m in prompt.messages]


def test_gemini_is_read():
    """Contents, system, tools, schema, choice and cap of a Gemini body are found."""
    prompt = dialect.parse(GEMINI)
    assert shape(GEMINI) == [
        ("system", "text"),
        ("user", "text", "audio"),
        ("assistant", "call"),
        ("user", "result"),
        ("assistant", "reasoning", "text"),
    ]
    assert [tool.name for tool in prompt.tools] == ["run"]
    assert prompt.server == ("googleSearch",)
    assert (prompt.tool_choice, prompt.max_output) == ("required", 50)
    assert prompt.schema is not None
    assert prompt.settings == {"temperature": 0.1}


def test_bedrock_converse_is_read():
    """Messages, results, tools and thinking of a Converse body are found."""
    prompt = dialect.parse(CONVERSE)
    assert shape(CONVERSE) == [
        ("system", "text"),
        ("user", "text", "image"),
        ("assistant", "call"),
        ("user", "result"),
        ("user", "other", "text"),
    ]
    assert prompt.messages[3].parts[0].text == 'ok\n{"a":1}'
    assert (prompt.model, prompt.tool_choice) == ("amazon.nova-lite-v1:0", "name:run")
    assert prompt.features == {"thinking"}


def test_messages_with_calls_and_tool_roles_are_read():
    """The layout that Cohere and Ollama share with OpenAI is found."""
    assert shape(COHERE) == [("user", "text"), ("assistant", "call"), ("tool", "result")]
    assert dialect.parse(COHERE).server == ("documents",)


@pytest.mark.parametrize(
    "body",
    [
        {"generateContentRequest": {"contents": [{"parts": [{"text": "Hi"}]}]}},
        {"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}}},
        {"prompt": "Hi"},
        {"inputText": "Hi"},
        {"message": "Hi"},
        {"input": [{"type": "text", "text": "Hi"}]},
        {"question": {"deeply": ["Hi"]}},
    ],
)
def test_other_layouts_give_their_text_to_the_user(body):
    """Wrapped requests, bare prompts and unknown layouts are user text."""
    assert [(m.role, p.text) for m in dialect.parse(body).messages for p in m.parts] == [
        ("user", "Hi")
    ]


def test_a_body_of_unknown_layout_says_so():
    """Where no known key holds the conversation, a feature tells."""
    assert "unknown_layout" in dialect.parse({"question": "Hi"}).features
    assert "unknown_layout" not in dialect.parse({"messages": []}).features


def test_unknown_layouts_are_walked_within_bounds():
    """A wide body of unknown layout stops after 10,000 nodes, a deep one at 64."""
    wide = {"rows": ["x"] * 50_000}
    assert len(dialect.parse(wide).messages) <= 10_000
    deep = "bottom"
    for _ in range(200):
        deep = [deep]
    assert dialect.parse({"deep": deep}).messages == []


KEYS = (
    "messages contents parts role content text tools system toolConfig functionCall toolUse source "
    "toolResult image inlineData thinking input converse document generationConfig responseSchema "
    "tool_calls schema x"
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["messages", "contents", "system", "tools", "input", "toolConfig", "y"]),
        JSON,
        max_size=4,
    )
)
def test_any_json_is_a_prompt(body):
    """No body of JSON values raises, and every part's text is a text."""
    prompt = dialect.parse(body)
    assert all(isinstance(part.text, str) for part in prompt.parts)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            {
                "usageMetadata": {
                    "promptTokenCount": 9,
                    "cachedContentTokenCount": 4,
                    "candidatesTokenCount": 2,
                }
            },
            Usage(9, 2, 4),
        ),
        (
            {
                "usage": {
                    "inputTokens": 9,
                    "cacheReadInputTokens": 4,
                    "cacheWriteInputTokens": 1,
                    "outputTokens": 2,
                }
            },
            Usage(14, 2, 4, 1),
        ),
        (
            {"usage": {"tokens": {"input_tokens": 9, "output_tokens": 2}, "cached_tokens": 1}},
            Usage(9, 2, 1),
        ),
        ({"prompt_eval_count": 9, "eval_count": 2}, Usage(9, 2)),
        ({"totalTokens": 9}, Usage(9)),
        ({}, Usage()),
        (None, Usage()),
    ],
)
def test_usage_has_many_names(response, expected):
    """The numbers of Gemini, Bedrock, Cohere and Ollama are found under their own names."""
    assert dialect.usage(response) == expected


def test_the_last_numbers_of_a_stream_hold():
    """Chunks without numbers keep the running usage; those with numbers replace it."""
    running = dialect.fold(Usage(), {"usageMetadata": {"promptTokenCount": 9}})
    running = dialect.fold(running, {"candidates": []})
    assert running.input == 9
    assert dialect.fold(running, {"metadata": {"usage": {"inputTokens": 5}}}).input == 5
    assert dialect.final(object()) is None


@pytest.mark.parametrize(
    ("block", "kinds"),
    [
        ({"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, ["reasoning"]),
        (
            {"type": "image", "uri": "https://example.org/a.png", "mime_type": "image/png"},
            ["image"],
        ),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, ["image"]),
        ({"fileData": {"fileUri": "gs://b/v.mp4", "mimeType": "video/mp4"}}, ["video"]),
        ({"functionCall": {"name": "run", "args": '{"a": 1}'}}, ["call"]),
        ({"text": {"odd": 1}}, ["other"]),
        ({"hologram": 3}, ["other"]),
        (7, ["other"]),
    ],
)
def test_blocks_of_all_layouts_are_read(block, kinds):
    """Each kind of content block gives the parts it stands for."""
    body = {"messages": [{"role": "user", "content": [block]}]}
    assert [part.kind for part in dialect.parse(body).messages[0].parts] == kinds


def test_images_inside_a_result_are_media():
    """What a tool's result carries beside its response is media, not text."""
    seen = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    block = {"functionResponse": {"name": "shot", "response": {"ok": True}, "parts": [seen]}}
    parts = dialect.parse({"contents": [{"role": "user", "parts": [block]}]}).messages[0].parts
    assert [part.kind for part in parts] == ["result", "image"]
    assert parts[0].text == '{"ok":true}'


@pytest.mark.parametrize(
    ("body", "choice"),
    [
        ({"tool_choice": "REQUIRED"}, "required"),
        ({"tool_choice": "maybe"}, ""),
        ({"toolConfig": {"toolChoice": {"any": {}}}}, "required"),
        ({"toolConfig": {"toolChoice": {"auto": {}}}}, "auto"),
    ],
)
def test_tool_choice_has_one_form(body, choice):
    """Each layout's tool choice becomes the prompt's own word."""
    assert dialect.parse({"messages": [], **body}).tool_choice == choice


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": {"type": "json_object", "json_schema": {"properties": {}}}},
        {"format": {"properties": {}}},
        {"generationConfig": {"responseJsonSchema": {"properties": {}}}},
    ],
)
def test_schemas_are_found_where_each_api_keeps_them(body):
    """The response schema is found at any depth that an api puts it; a plain format is none."""
    assert dialect.parse({"messages": [], **body}).schema is not None
    assert dialect.parse({"messages": [], "format": "json"}).schema is None
