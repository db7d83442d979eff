"""Reading requests of Gemini's apis."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from tokentrace import dialects
from tokentrace.counting.memory import Walker
from tokentrace.dialects import gemini as dialect
from tokentrace.dialects import openai_chat

CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "gemini").glob("*.json"))
ODD = [None, 7, 1.5, True, "x", {}, {"a": {"b": 1}}, object(), b"x", {1, 2}, [], [None, 7, "x", {}]]
KEYS = (
    *("contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model"),
    *("cachedContent", "generateContentRequest", "system_instruction", "generation_config"),
    *("input", "response_format", "previous_interaction_id", "tool_config"),
)
FIELDS = (
    *dialect.PARTS,
    *("thought", "thoughtSignature", "mediaResolution", "videoMetadata", "type", "data"),
)


def cases():
    for path in CORPUS:
        held = json.loads(path.read_text(encoding="utf-8"))
        yield pytest.param(held["api"], held["body"], held["expected"], id=path.stem)


CASES = list(cases())


def parts_of(*parts):
    return dialect.parse({"contents": [{"role": "user", "parts": list(parts)}]}).messages[0].parts


def said(number):
    role = ("user", "model")[number % 2]
    return {"role": role, "parts": [{"text": f"Ship {number} passed the light."}]}


def test_media_tell_their_size_and_not_their_bytes():
    """Images in the body give width and height, stored ones are remote, none leaves its bytes."""
    prompt = dialects.find("gemini.generateContent").parse(CASES_BY_NAME["parts"])
    image, _, page, video, audio = [p for p in prompt.parts if p.data is not None][:5]
    assert (image.data.width, image.data.height, image.data.detail) == (640, 480, "low")
    assert (page.data.mime, page.data.size // 4) == ("application/pdf", 3)
    assert (video.data.remote, audio.data.remote, page.data.remote) == (True, True, False)
    assert all("iVBOR" not in part.text for part in prompt.parts)


def test_names_in_snake_case_are_the_same_names():
    """A body in camelCase and its twin in snake_case give the same parts."""
    call = {"name": "tide", "args": {"at": "Skerry"}}
    twins = [
        ({"functionCall": call, "thoughtSignature": "AAAA"},
         {"function_call": call, "thought_signature": "AAAA"}),
        ({"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
         {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}),
    ]  # fmt: skip
    for camel, snake in twins:
        shown = [
            [(p.kind, p.text, p.name, p.data) for p in parts_of(one)] for one in (camel, snake)
        ]
        assert shown[0] == shown[1]
        assert shown[0]


@pytest.mark.parametrize(
    ("raw", "size", "detail"),
    [
        (b"\n\x24" + b"k" * 36 + b"\n\x60" + b"s" * 96, 136, dialect.PIECES),
        (b"\n\x80\x01" + b"w" * 128, 131, ""),
        (b"\x12\x10" + b"o" * 16, 18, ""),
        (b"\n", 1, ""),
    ],
)
def test_a_signature_tells_its_size_and_whether_it_is_in_pieces(raw, size, detail):
    """Streams send a short first field and more behind it; whole answers send one field."""
    from base64 import urlsafe_b64encode

    part = {"text": "A rock.", "thoughtSignature": urlsafe_b64encode(raw).decode()}
    text, sealed = parts_of(part)
    assert (text.kind, sealed.kind, sealed.text) == ("text", "reasoning", "")
    assert (sealed.data.size, sealed.data.detail) == (size, detail)


def test_an_empty_system_instruction_is_none():
    """Only a system instruction that says something becomes a message."""
    told = [{"parts": [{"text": "Be brief."}]}, "Be brief.", [{"text": "Be brief."}]]
    mute = [None, "", {"parts": [{"text": ""}]}, {"parts": {"text": ""}}, {"parts": []}, {}]
    for raw in told:
        roles = [m.role for m in dialect.parse({"systemInstruction": raw, "contents": []}).messages]
        assert roles == ["system"]
    for raw in mute:
        assert dialect.parse({"systemInstruction": raw, "contents": []}).messages == []


def test_a_payload_inside_of_a_result_is_text():
    """What stands inside of a function's response is text to the model, base64 or not."""
    data = "QUJD" * 500
    found = parts_of({"functionResponse": {"name": "shot", "response": {"data": data}}})
    assert found[0].text == json.dumps({"data": data}, separators=(",", ":"))


def test_sdk_objects_are_read_like_mappings():
    """Contents that are models of the SDK, with empty fields, are read as their bodies are."""

    class Part(BaseModel):
        text: str | None = None
        function_call: dict | None = None
        thought: bool | None = None

    class Content(BaseModel):
        role: str
        parts: list[Part]

    parts = [Part(text="Fog?"), Part(function_call={"name": "fog", "args": {"at": "Skerry"}})]
    prompt = dialect.parse({"contents": [Content(role="model", parts=parts)]})
    shown = [(p.kind, p.text, p.name) for p in prompt.messages[0].parts]
    assert shown == [("text", "Fog?", ""), ("call", '{"at":"Skerry"}', "fog")]


@pytest.mark.parametrize("api", ["gemini.generateContent", "gemini.interactions"])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_an_odd_value_anywhere_is_no_error(api, odd):
    """A value of any type in any place gives a prompt of texts."""
    dialect = dialects.find(api)
    bodies = [{key: odd} for key in KEYS] + [
        {"contents": [odd]},
        {"input": [odd]},
        {"tools": [odd]},
    ]
    bodies += [
        {"contents": [{"role": odd, "parts": odd}]},
        {"input": [{"role": odd, "content": odd}]},
    ]
    bodies += [{"contents": [{"role": "user", "parts": [{key: odd}]}]} for key in FIELDS]
    bodies += [{"input": [{"type": key, "text": odd, "data": odd, "name": odd}]} for key in FIELDS]
    bodies += [{"tools": [{"functionDeclarations": [odd]}]}, {"generationConfig": {"topP": odd}}]
    bodies += [{"toolConfig": {"functionCallingConfig": {"mode": odd}}}]
    for body in bodies:
        prompt = dialect.parse(body)
        assert all(isinstance(part.text, str) for part in prompt.parts)
        assert isinstance(prompt.settings, dict)


@pytest.mark.parametrize(
    ("api", "name"), [("gemini.generateContent", "contents"), ("gemini.interactions", "input")]
)
def test_iterators_are_left_alone(api, name):
    """What can be read only once is not read."""
    parts = iter([{"text": "a"}])
    messages = iter([{"role": "user", "parts": parts, "content": parts}])
    body = {name: messages, "systemInstruction": {"parts": parts}, "tools": parts}
    assert len(dialects.find(api).parse(body).messages) <= 2
    assert next(messages)["parts"] is parts
    assert next(parts) == {"text": "a"}


def test_the_walker_reads_only_what_is_new():
    """With the counter's walker an appended turn reads one message; the others stay the same."""
    contents = [said(number) for number in range(20)]
    first = dialect.parse({"contents": contents}, Walker("gemini.generateContent"))
    longer = {"contents": [*contents, said(20)]}
    second = dialect.parse(longer, Walker("gemini.generateContent"))
    assert [a is b for a, b in zip(first.messages, second.messages, strict=False)] == [True] * 20
    assert second.messages[20].parts[0].text == "Ship 20 passed the light."


def test_a_thousand_messages_are_read_at_once():
    """Reading a thousand messages takes at most a few times what OpenAI's form takes, in one run."""
    plain = {"messages": [{"role": "user", "content": str(number)} for number in range(1_000)]}
    body = {"contents": [said(number) for number in range(1_000)]}

    def spent(reader, given):
        start = time.thread_time()
        assert len(reader.parse(given).messages) == 1_000
        return time.thread_time() - start

    assert min(spent(dialect, body) / spent(openai_chat, plain) for _ in range(7)) < 5


CASES_BY_NAME = {case.id: case.values[1] for case in CASES}
