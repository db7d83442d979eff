"""Reading the request bodies of Bedrock, Mistral, Cohere and Ollama."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from tokentrace import dialects
from tokentrace.prompt import Media, Usage

CORPUS = Path(__file__).parents[1] / "corpus"
APIS = {
    "bedrock_converse": "bedrock.converse",
    "bedrock_invoke": "bedrock.invoke",
    "mistral_chat": "mistral.chat",
    "cohere_chat": "cohere.chat",
    "ollama_chat": "ollama.chat",
}
ODD = [None, 7, 1.5, True, {}, {"a": {"b": 1}}, object(), b"x", {1, 2}, [], [None, 7, "x", {}]]
# Every key that one of these dialects looks for.
KEYS = (
    *("messages", "system", "tools", "toolConfig", "inferenceConfig", "modelId", "model", "input"),
    *("additionalModelRequestFields", "outputConfig", "promptVariables", "serviceTier", "body"),
    *("prompt", "inputText", "textGenerationConfig", "images", "inputImage", "texts", "message"),
    *("chat_history", "preamble", "documents", "tool_results", "response_format", "tool_choice"),
    *("thinking", "connectors", "options", "format", "context", "suffix", "template", "raw"),
    *("max_tokens", "prompt_mode", "reasoning_effort", "anthropic_version", "schemaVersion"),
)
FIELDS = (
    *("text", "image", "document", "video", "audio", "toolUse", "toolResult", "reasoningContent"),
    *("guardContent", "searchResult", "citationsContent", "json", "cachePoint", "type", "data"),
    *("image_url", "document_url", "input_audio", "reference_ids", "thinking", "file", "content"),
)


def cases():
    for folder, api in {**APIS, "gemini": ""}.items():  # of Gemini's apis each file names its own
        for path in sorted((CORPUS / folder).glob("*.json")):
            held = json.loads(path.read_text(encoding="utf-8"))
            named = held.get("api", api)
            yield pytest.param(named, held["body"], held["expected"], id=f"{folder}-{path.stem}")


CASES = list(cases())


@pytest.mark.parametrize(("api", "body", "expected"), CASES)
def test_a_corpus_body_is_read_as_written_down(api, body, expected):
    """Each body gives the roles, parts, tools and settings noted beside it, and stays as it was."""
    before = copy.deepcopy(body)
    prompt = dialects.find(api).parse(body)
    assert [m.role for m in prompt.messages] == expected["roles"]
    assert [[p.kind for p in m.parts] for m in prompt.messages] == expected["kinds"]
    assert [[p.text for p in m.parts] for m in prompt.messages] == expected["texts"]
    assert [tool.name for tool in prompt.tools] == expected["tools"]
    assert prompt.tool_choice == expected["tool_choice"]
    assert (prompt.schema is not None) is expected["schema"]
    assert prompt.max_output == expected["max_output"]
    assert prompt.settings == expected["settings"]
    assert list(prompt.server) == expected["server"]
    assert sorted(prompt.features) == expected["features"]
    assert body == before


@pytest.mark.parametrize(("api", "body", "expected"), CASES)
def test_payloads_stay_out_of_the_parts(api, body, expected):
    """No part's text holds an image's bytes; where the body has them, its size is known."""
    prompt = dialects.find(api).parse(body)
    assert len(prompt.messages) == len(expected["roles"])
    assert all("iVBOR" not in part.text for part in prompt.parts)
    images = [part.data for part in prompt.parts if part.kind == "image"]
    assert all((one.width, one.height) == (640, 480) for one in images if not one.remote)


@pytest.mark.parametrize("api", APIS.values())
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_an_odd_value_anywhere_is_no_error(api, odd):
    """A value of any type in any place gives a prompt of texts, and a usage."""
    dialect = dialects.find(api)
    bodies = [{key: odd} for key in KEYS]
    bodies += [{"messages": [{"role": odd, "content": odd, "tool_calls": odd, "images": odd}]}]
    bodies += [{"messages": [{"role": "tool", "content": odd}]}, {"messages": [odd]}]
    bodies += [{"messages": [{"role": "user", "content": [{key: odd}]}]} for key in FIELDS]
    bodies += [
        {"messages": [{"role": "user", "content": [{"type": key, key: odd}]}]} for key in FIELDS
    ]
    bodies += [{"tools": [odd]}, {"toolConfig": {"tools": [{"toolSpec": odd}], "toolChoice": odd}}]
    bodies += [{"input": {"converse": odd}}, {"input": {"invokeModel": {"body": odd}}}]
    for body in bodies:
        prompt = dialect.parse(body)
        assert all(isinstance(part.text, str) for part in prompt.parts)
    for held in ({"usage": odd}, {"usage": {"tokens": odd}}, {"metadata": odd}, {"chunk": odd}):
        assert isinstance(dialect.usage(held), Usage)
        assert isinstance(dialect.fold(Usage(), held), Usage)
    assert isinstance(dialect.fold(Usage(), odd), Usage)


@pytest.mark.parametrize("api", APIS.values())
def test_iterators_are_left_alone(api):
    """What can be read only once is not read."""
    blocks = iter([{"text": "a"}])
    messages = iter([{"role": "user", "content": blocks}])
    prompt = dialects.find(api).parse({"messages": messages, "system": blocks, "documents": blocks})
    assert len(prompt.messages) <= 1
    assert next(messages)["content"] is blocks
    assert next(blocks) == {"text": "a"}


@pytest.mark.parametrize("api", APIS.values())
def test_the_walker_gets_the_raw_messages(api):
    """A walker of the caller's own sees every raw message once, and a pure reader of one."""
    seen = []

    def walk(raw, read):
        seen.extend(raw)
        return [read(one) for one in raw]

    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "U"}]}]}
    prompt = dialects.find(api).parse(body, walk)
    assert seen == body["messages"]
    assert [[part.text for part in one.parts] for one in prompt.messages] == [["U"]]


@pytest.mark.parametrize("api", APIS.values())
def test_no_stream_of_theirs_keeps_a_snapshot(api):
    """The usage of these streams comes by their chunks alone."""
    assert dialects.find(api).final(object()) is None


def test_images_as_bytes_tell_their_size():
    """An image passed as bytes, which its SDK will encode, is measured like one in base64."""
    from base64 import b64decode

    held = json.loads((CORPUS / "bedrock_converse" / "blocks.json").read_text(encoding="utf-8"))
    raw = b64decode(held["body"]["messages"][0]["content"][1]["image"]["source"]["bytes"])
    block = {"image": {"format": "png", "source": {"bytes": raw}}}
    converse = {"messages": [{"role": "user", "content": [block]}]}
    ollama = {"messages": [{"role": "user", "content": "", "images": [raw]}]}
    for api, body in (("bedrock.converse", converse), ("ollama.chat", ollama)):
        seen = dialects.find(api).parse(body).messages[0].parts[0].data
        assert seen == Media(640, 480, size=len(raw), mime="image/png")
