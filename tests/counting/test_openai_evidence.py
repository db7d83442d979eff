"""What a count may call itself."""

from __future__ import annotations

import base64
import struct

import pytest

import tokentrace
from tokentrace import dialects
from tokentrace.counting import images
from tokentrace.counting.rules import (
    Scope,
    openai_evidence,
    openai_marks,
    openai_styles,
    openai_table,
)

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 512, 512) + b"\x08" * 9
).decode()
DATA = f"data:image/png;base64,{PNG}"


def user(content="What sings at night?"):
    return {"role": "user", "content": content}


def count(*messages, model="gpt-4o", provider="openai", **body):
    held = {"model": model, "messages": list(messages) or [user()], **body}
    return tokentrace.count(held, api="openai.chat", provider=provider)


def labelled(kinds, row="openai.chat gpt-4o"):
    return {marks for _, marks in openai_evidence.labels({row: kinds})}


def marks(body, api="openai.chat"):
    prompt = dialects.find(api).parse({"model": "gpt-4o", **body})
    return openai_marks.marks(prompt, Scope(None, None, "gpt-4o", prompt.api, "openai"))


def test_plain_text_to_a_known_model_is_exact():
    """A family that recordings have proven is labelled, with no bound."""
    counted = count()
    assert (counted.method, counted.error) == ("exact", 0)
    assert counted.total == 5 + 4 + 3


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "openrouter"},
        {"model": "grok-4-fast"},
        {"model": "o1-preview"},
        {"functions": [{"name": "f", "parameters": {"oneOf": []}}]},
        {"messages": []},
        {"prediction": {"type": "content", "content": "x"}},
        {"tools": [{"type": "custom", "custom": {"name": "c"}}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_unproven_is_never_exact(change):
    """Another host, an unknown model or an unseen feature gives an estimate with a bound."""
    counted = count(**change)
    assert counted.method == "estimated"
    assert counted.error > 0


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "hologram", "beam": 3},
    ],
    ids=lambda part: part["type"],
)
def test_what_the_body_cannot_tell_has_a_bound(part):
    """Remote images, files, sound and unknown parts are estimates."""
    counted = count(user([{"type": "text", "text": "see"}, part]))
    assert counted.method == "estimated"
    assert counted.error >= 10


def test_stored_context_has_a_wide_bound():
    """A conversation that the provider keeps may be of any size."""
    body = {"model": "gpt-5", "input": "hi", "previous_response_id": "resp_1"}
    counted = tokentrace.count(body, api="openai.responses")
    assert counted.method == "estimated"
    assert counted.error >= 10_000


def test_no_row_is_labelled_with_too_little_evidence():
    """The label needs enough requests, all or nearly all exact: more in a family with misses."""
    clean = {"": (100, 98), "tools": (3, 3), "schema": (2, 2), "name": (10, 9), "calls": (0, 0)}
    assert labelled(clean) == {"", "tools"}
    noisy = {"": (24, 20), "tools": (9, 9), "schema": (10, 10)}
    assert labelled(noisy) == {"schema"}
    short = {"tools": (9, 9), "schema": (10, 10)}
    assert labelled(short) == {"schema"}


def test_assorted_marks_are_never_labelled():
    """A mark that stands for many things, or for what the provider adds, carries no label."""
    kinds = {"": (50, 50), "odd_schema tools": (9, 9), "image": (9, 9), "server": (9, 9)}
    assert labelled(kinds) == {""}


def test_rows_whose_count_hangs_on_more_than_the_body_are_not_labelled():
    """Months that no body shows, and answers that change what is reported, take the label away."""
    kinds = {"": (50, 50), "tools": (50, 50), "calls tools": (9, 9)}
    assert labelled(kinds, "openai.responses gpt-4o") == set()
    assert labelled(kinds, "openai.responses gpt-4.1") == {""}
    assert labelled(kinds, "openai.responses gpt-5.4") == set(kinds)


def test_a_deployment_is_not_promised_to_be_the_model_of_its_name():
    """On Azure the body names a deployment: an estimate with a small bound."""
    counted = count(provider="azure")
    assert counted.method == "estimated"
    assert 0 < counted.error < 5


@pytest.mark.parametrize(
    ("model", "more", "marked"),
    [
        ("gpt-5", {}, True),
        ("gpt-5", {"reasoning": {"effort": "none"}}, False),
        ("gpt-5.6", {}, True),
        ("gpt-4.1", {}, False),
        ("gpt-5.4", {}, False),
        ("gpt-5.4", {"reasoning": {"effort": "none"}}, False),
        ("gpt-5.4", {"reasoning": {"effort": "high"}}, True),
    ],
)
def test_calls_without_their_reasoning_are_marked(model, more, marked):
    """The provider may put reasoning back to a call that the body sends without it."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    prompt = dialects.find("openai.responses").parse({"model": model, "input": [call], **more})
    scope = Scope(None, None, model, prompt.api, "openai")
    assert ("unsealed" in openai_marks.marks(prompt, scope)) is marked


def test_the_table_is_dated_and_sound():
    """Every row has a known family, and never more exact requests than seen ones."""
    assert openai_table.LEARNED
    for row, seen in openai_table.SEEN.items():
        api, _, family = row.partition(" ")
        assert api in {"openai.chat", "openai.responses"}
        assert family in openai_styles.STYLES
        for held, (number, exact) in seen.items():
            assert held == " ".join(sorted(held.split()))
            assert 0 <= exact <= number


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o"),
        ("chatgpt-4o-latest", "gpt-4o"),
        ("gpt-4.1-nano", "gpt-4.1"),
        ("gpt-4", "gpt-4"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4-turbo", "gpt-4-turbo"),
        ("gpt-35-turbo", "gpt-3.5"),
        ("gpt-3.5-turbo-0301", "gpt-3.5-0301"),
        ("gpt-5-mini", "gpt-5"),
        ("gpt-5.1-codex", "gpt-5"),
        ("gpt-5.4-nano", "gpt-5.4"),
        ("gpt-5.10", "gpt-5.4"),
        ("o3", "o"),
        ("o4-mini-2025-04-16", "o"),
        ("o1-preview", "o1-preview"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "gpt-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("openai.gpt-5.5", "gpt-5.4"),
        ("gpt-4o-search-preview", "search"),
        ("gpt-oss-120b", "other"),
        ("gpt-6", "other"),
        ("", "other"),
    ],
)
def test_families(model, name):
    """Each model has its family; a new one is unknown until it was seen."""
    assert openai_styles.style(model).name == name


def test_marks_name_what_a_prompt_holds():
    """Marks of messages and of what stands beside them."""
    call = {"id": "c", "function": {"name": "f", "arguments": '{"a": "é"}'}}
    body = {
        "messages": [
            user(),
            {"role": "system", "content": "late"},
            {"role": "assistant", "content": "ok", "tool_calls": [call, call]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}],
        "tool_choice": "required",
    }
    assert marks(body) == {
        *("answers", "calls", "parallel", "odd_call", "late_system"),
        *("tools", "odd_schema", "forced"),
    }
    assert marks({"messages": [{"role": "system", "content": "first"}, user()]}) == set()


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (512, 512), "", 85 + 170),
        ("gpt-4o", (1024, 1024), "high", 85 + 4 * 170),
        ("gpt-4o", (2048, 4096), "high", 85 + 6 * 170),
        ("gpt-4o", (4000, 4000), "low", 85),
        ("gpt-4o-mini", (512, 512), "", 2833 + 5667),
        ("gpt-5", (512, 512), "", 70 + 140),
        ("o3", (512, 512), "", 75 + 150),
        ("gpt-4.1-mini", (1024, 1024), "", 1659),
        ("gpt-4.1-mini", (1800, 2400), "", 2353),
        ("gpt-5-mini", (400, 301), "", 156),
        ("gpt-5-nano", (239, 178), "", 72),
        ("gpt-5.4", (240, 278), "", 87),
        ("gpt-4o", (0, 0), "", 85 + 4 * 170),
        ("gpt-4o", (1, 1_000_000), "", 85 + 4 * 170),
        ("gpt-4.1-mini", (1, 1_000_000), "", 2489),
    ],
)
def test_images(model, size, detail, tokens):
    """Published examples and edges of the image rules."""
    assert images.tokens(model, *size, detail) == tokens


def test_an_image_by_data_url_is_counted_by_its_size():
    """The size in the header decides; the media component holds it."""
    counted = count(user([{"type": "image_url", "image_url": {"url": DATA}}]))
    assert counted.components["media"] == 85 + 170
