"""What pictures, files and the provider's own tools add to a prompt."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest

import tokentrace

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 320, 160) + b"\x08" * 9
PICTURE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
WORDS = "Owls sing at night"


def pdf(*lines):
    written = " ".join(f"0 -20 Td ({line}) Tj" for line in lines)
    packed = zlib.compress(f"BT /F1 12 Tf 50 700 Td {written} ET".encode())
    head = b"%PDF-1.4\n1 0 obj << /Filter /FlateDecode >>\nstream\n"
    return base64.b64encode(head + packed + b"\nendstream\nendobj").decode()


def file(payload, kind="application/pdf", name="owl.pdf"):
    return {"type": "input_file", "filename": name, "file_data": f"data:{kind};base64,{payload}"}


def count(*content, model="gpt-4.1", **body):
    items = [{"role": "user", "content": [{"type": "input_text", "text": WORDS}, *content]}]
    return tokentrace.count({"model": model, "input": items, **body}, api="openai.responses")


def tokens(text):
    return tokentrace.count(text, model="gpt-4.1").total


def test_a_pdf_is_a_message_of_its_text():
    """A file costs the framing of a message and the text on its pages, a line a line."""
    more = count(file(pdf("An owl", "and its song"))).total - count().total
    assert more == 4 + tokens("An owl\nand its song")


def test_a_text_file_is_a_message_of_its_text():
    """Plain text is read as it is."""
    text = "a,b\n1,2\n"
    payload = base64.b64encode(text.encode()).decode()
    more = count(file(payload, "text/csv", "owls.csv")).total - count().total
    assert more == 4 + tokens(text)


def test_chat_shows_a_page_besides_its_text():
    """In chat a PDF costs more than its text, and the bound holds that."""
    part = {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf("An owl")}}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": [part]}]}
    counted = tokentrace.count(body, api="openai.chat", provider="openai")
    assert counted.components["media"] == 4 + 216 + tokens("An owl")
    assert counted.error >= 216
    elsewhere = tokentrace.count(body, api="openai.chat", provider="openrouter")
    assert elsewhere.components["media"] == counted.components["media"] - 216


def test_a_file_that_cannot_be_read_is_an_estimate_by_size():
    """An unknown format counts by its size, with a bound to match."""
    counted = count(file(base64.b64encode(bytes(61_000)).decode(), "application/zip", "a.zip"))
    assert counted.components["media"] == 4 + 1_000
    assert counted.method == "estimated"
    assert counted.error >= 2_000


def test_a_file_that_is_not_in_the_body_has_a_wide_bound():
    """Nobody knows how long a document behind an id is."""
    counted = count({"type": "input_file", "file_id": "file-1"})
    assert counted.components["media"] == 4
    assert counted.error >= 10_000


def test_a_message_of_a_picture_alone_costs_one_more():
    """Over the Responses API a message without text has a token of its own; chat has none."""
    picture = {"type": "input_image", "image_url": PICTURE}
    text = {"type": "input_text", "text": WORDS}
    one = {"role": "user", "content": [text, picture]}
    two = [{"role": "user", "content": [text]}, {"role": "user", "content": [picture]}]
    body = {"model": "gpt-4.1"}
    together = tokentrace.count({**body, "input": [one]}, api="openai.responses").total
    apart = tokentrace.count({**body, "input": two}, api="openai.responses").total
    assert apart == together + 4 + 1


@pytest.mark.parametrize(
    ("model", "media"), [("gpt-5.4", 60), ("gpt-5-mini", 60), ("gpt-5-nano", 75), ("gpt-5", 210)]
)
def test_chat_adds_one_to_pictures_in_patches(model, media):
    """A picture of 50 patches costs them by the model's factor, in chat one more."""
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    item = {"type": "input_image", "image_url": PICTURE}
    body = {"model": model, "messages": [{"role": "user", "content": [picture]}]}
    chat = tokentrace.count(body, api="openai.chat")
    assert count(item, model=model).components["media"] == media
    assert chat.components["media"] == media + (model != "gpt-5")


def test_what_a_tool_of_the_provider_brings_is_an_estimate():
    """Built-in tools have a component of their own, with a bound."""
    counted = count(model="gpt-5", tools=[{"type": "code_interpreter"}])
    assert counted.components["server_context"] == 1_390
    assert counted.method == "estimated"
    assert counted.error >= 1_390


def test_older_models_search_with_the_newer_tool_only():
    """The preview of web search is most often not used; a search that was made is not repeated."""
    newer, preview = (
        count(tools=[{"type": kind}]) for kind in ("web_search", "web_search_preview")
    )
    assert newer.components["server_context"] > 10_000 > preview.components["server_context"]
    done = {"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "owl"}}
    body = {"model": "gpt-4.1", "input": [done], "tools": [{"type": "web_search"}]}
    again = tokentrace.count(body, api="openai.responses")
    assert again.components["server_context"] == preview.components["server_context"]


def test_a_search_of_the_callers_own_hides_deferred_tools():
    """A client's tool search is a function; what it has yet to find is not in the prompt."""
    search = {"type": "tool_search", "execution": "client", "description": "Find a tool."}
    late = {"type": "function", "name": "sing", "description": "Sing.", "defer_loading": True}
    plain = {"type": "function", "name": "tool_search", "description": "Find a tool."}
    counted = count(model="gpt-5.4", tools=[search, late])
    assert counted.total == count(model="gpt-5.4", tools=[plain]).total + 18
    assert counted.method == "estimated"
    assert "sing" not in {detail.name for detail in counted.details}


def test_a_custom_tool_costs_its_grammar():
    """Description and grammar are text of the prompt."""
    grammar = "start: INT"
    tool = {"type": "custom", "name": "sum", "description": "Adds.", "format": {"type": "grammar"}}
    tool["format"]["definition"] = grammar
    more = count(model="gpt-5", tools=[tool]).total - count(model="gpt-5").total
    assert more == 70 + sum(map(tokens, ("sum", "Adds.", grammar)))
