"""Counting for Gemini: how text is cut, what forms cost, what is forgotten and what is bounded."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokentrace
from tokentrace import dialects
from tokentrace.counting.counter import measure
from tokentrace.counting.rules import gemini, gemini_forms, gemini_table, gemini_text
from tokentrace.counting.text import ruler

CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "gemini").glob("*.json"))
HELD = [json.loads(path.read_text(encoding="utf-8")) for path in CORPUS]
API = "gemini.generateContent"
MODELS = ["gemini-2.0-flash", "gemini-2.5-flash", "gemini-3-flash-preview"]
FOG = {
    "name": "read_fog",
    "description": "Reads the fog.",
    "parameters": {
        "type": "OBJECT",
        "properties": {"hour": {"type": "INTEGER", "description": "the hour"}},
        "required": ["hour"],
    },
}
BELL = {"name": "ring_bell"}


def said(*texts, **more):
    roles = ("user", "model")
    contents = [{"role": roles[i % 2], "parts": [{"text": t}]} for i, t in enumerate(texts)]
    return {"contents": contents, **more}


def count(body, model="gemini-2.5-flash", provider="gemini", api=API):
    return tokentrace.count({"model": model, **body}, api=api, provider=provider)


def total(*args, **kwargs):
    return count(*args, **kwargs).total


def sealed(size, pieces):
    """Return a thought signature of about ``size`` bytes, in pieces or in one."""
    first = b"\n\x24" + b"k" * 36 if pieces else b""
    rest = size - len(first)
    return b64encode(first + bytes([0x0A, rest % 128 + 128, rest // 128]) + b"s" * rest).decode()


def looped(signature, *texts):
    """Return a turn with a call, a result, and texts behind them."""
    call = {"functionCall": {"name": "ring_bell", "args": {"times": 2}}}
    if signature:
        call["thoughtSignature"] = signature
    result = {"functionResponse": {"name": "ring_bell", "response": {"rung": "twice"}}}
    body = said("Ring the bell.")
    body["contents"] += [{"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
    body["contents"] += said(*texts)["contents"]
    return body


# ── text ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("What is the tide?", 5),
        ("What is 4200 + 42?", 12),
        ("Don't ring.", 5),
        ("Fog.\n\nRain.", 5),
        ("get_name", 3),
        ("", 0),
    ],
)
def test_digits_signs_and_words_are_cut_apart(text, tokens):
    """Each digit is a token, and no token holds letters and signs, or a sign and a line break."""
    assert gemini_text.ruler().tokens(text) == (tokens, 0)


@given(st.text(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_shares_add_up_to_the_text(text, borders):
    """However a text is divided, the shares are whole and sum to the text's tokens."""
    measure = gemini_text.ruler()
    shares, error = measure.shares(text, sorted(min(b, len(text)) for b in borders))
    assert (sum(shares), error) == measure.tokens(text)
    assert all(share >= 0 for share in shares)


@given(st.text(max_size=200))
def test_no_text_has_fewer_tokens_than_in_the_base(text):
    """A token of o200k_base counts at least once, whatever it holds."""
    assert gemini_text.ruler().tokens(text)[0] >= ruler("o200k_base").tokens(text)[0]


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "provider", "turn"),
    [
        ("gemini-1.5-flash", "gemini", 0),
        ("models/gemini-2.0-flash", "gemini", 0),
        ("gemini-2.5-pro", "gemini", 1),
        ("gemini-3-pro-preview", "", 1),
        ("gemini-flash-latest", "gemini", 1),
        ("gemini-2.5-pro", "vertex", 0),
        ("gemini-3-pro-preview", "gcp.vertex_ai", 0),
    ],
)
def test_a_message_costs_a_token_or_none(model, provider, turn):
    """From 2.5 on the Gemini API adds one token a message, the system's too; Vertex none."""
    body = said("Is it foggy?", "Yes.", "Still?", systemInstruction="Be brief.")
    assert count(body, model, provider).components.get("framing", 0) == 4 * turn


def test_a_small_prompt_is_counted_to_the_token():
    """Of a question the words, the sign and the message's own token count, nothing else."""
    found = count(said("What is the tide?"))
    assert (found.total, found.method) == (6, "calibrated")
    assert found.error <= 2


def test_thoughts_as_text_are_reasoning():
    """A thought that comes back as text counts like text."""
    parts = [{"text": "The tide turns at noon.", "thought": True}, {"text": "At noon."}]
    body = {"contents": [*said("When?")["contents"], {"role": "model", "parts": parts}]}
    assert count(body).components["reasoning"] == 6


def test_the_newest_user_text_stands_apart():
    """Older user text is history, the newest is the user's."""
    found = count(said("Is it foggy over there?", "Yes.", "Still?"))
    assert found.components["user"] == 2
    assert found.components["history"] == 9


# ── tools ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("form", "tool", "tokens"),
    [
        # read _ fog, Reads the fog ., hour, the hour, hour, OBJECT, INTEGER
        ("strings", FOG, 3 + 4 + 1 + 2 + 1 + 2),
        ("python", FOG, 18 + 3 + 4 + 1 + 2 + 9),
        ("tagged", FOG, 35 + 3 + 4 + 1 + 2 + 1 + 2),
        ("strings", BELL, 3),
        ("python", BELL, 18 + 3),
        ("tagged", BELL, 6 + 3),
    ],
)
def test_a_definition_costs_what_its_form_shows(form, tool, tokens):
    """A definition's words count in every form; what stands around them differs."""
    pen = gemini_forms.Pen(gemini_text.ruler())
    assert gemini_forms.FORMS[form].tool(tool, pen) == tokens


@pytest.mark.parametrize("model", MODELS)
def test_each_tool_is_a_detail(model):
    """Tools add up to their component, each under its name."""
    found = count(said("Fog?", tools=[{"functionDeclarations": [FOG, BELL]}]), model)
    details = {one.name: one.tokens for one in found.details if one.component == "tools"}
    assert details.keys() == {"read_fog", "ring_bell"}
    assert sum(details.values()) == found.components["tools"]


def test_vertex_counts_no_parameters_that_are_json_schema():
    """Where only strings count, parameters as JSON Schema are left out."""
    schema = {"type": "object", "properties": {"hour": {"type": "integer"}}}
    bare = said("Fog?", tools=[{"functionDeclarations": [BELL]}])
    full = said(
        "Fog?", tools=[{"functionDeclarations": [{**BELL, "parametersJsonSchema": schema}]}]
    )
    assert total(full, provider="vertex") == total(bare, provider="vertex")
    assert total(full) > total(bare)


@pytest.mark.parametrize("form", ["python", "tagged"])
def test_objects_inside_of_parameters_are_bounded_wider(form):
    """A nested object is counted, whether it stands there or is pointed at, and marked."""
    inner = {"type": "object", "properties": {"lamp": {"type": "string"}}}
    there = {"type": "object", "properties": {"light": inner}}
    pointed = {"type": "object", "properties": {"light": {"$ref": "#/$defs/Light"}}}
    tools = [
        {**BELL, "parameters": there},
        {**BELL, "parameters": {**pointed, "$defs": {"Light": inner}}},
    ]
    pens = [gemini_forms.Pen(gemini_text.ruler()) for _ in tools]
    costs = [gemini_forms.FORMS[form].tool(one, pen) for one, pen in zip(tools, pens, strict=True)]
    assert costs[0] == costs[1]
    assert [pen.nested for pen in pens] == [True, True]
    model = {"python": "gemini-2.5-flash", "tagged": "gemini-3-pro"}[form]
    found = count(said("Light?", tools=[{"functionDeclarations": tools[:1]}]), model)
    assert found.error > gemini_table.NESTED.share * found.total


@pytest.mark.parametrize("form", ["strings", "python", "tagged"])
def test_a_schema_that_holds_itself_has_an_end(form):
    """A definition without end is counted within bounds."""
    schema = {"type": "object", "required": ["more"]}
    schema["properties"] = {"more": schema, "list": {"type": "array", "items": schema}}
    pen = gemini_forms.Pen(gemini_text.ruler())
    assert 0 < gemini_forms.FORMS[form].tool({"name": "loop", "parameters": schema}, pen) < 10**6


@pytest.mark.parametrize("model", MODELS)
def test_a_response_schema_counts_where_strings_do(model):
    """Up to 2.0 the strings of a response schema count, with titles; later it is not shown."""
    schema = {"type": "OBJECT", "title": "Name", "properties": {"depth": {"type": "NUMBER"}}}
    bare, asked = said("Deep?"), said("Deep?", generationConfig={"responseSchema": schema})
    more = total(asked, model) - total(bare, model)
    assert more == (4 if model == "gemini-2.0-flash" else 0)


# ── calls and results ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "provider", "framing"),
    [
        ("gemini-2.0-flash", "gemini", 0),
        ("gemini-2.5-flash", "vertex", 0),
        ("gemini-2.5-flash", "gemini", 3 + 10),
        ("gemini-3-flash-preview", "gemini", 3 + 8),
    ],
)
def test_calls_and_results_count_by_their_form(model, provider, framing):
    """Strings cost no framing; the other forms some for each call and for each result."""
    found = count(looped(""), model, provider)
    assert found.components.get("framing", 0) == framing
    assert found.components["tool_results"] >= 5
    assert ("tool_results", "ring_bell") in {(d.component, d.name) for d in found.details}


def test_numbers_in_arguments_cost_nothing_as_strings():
    """Where only strings count, a number among the arguments is free."""
    bodies = [looped(""), looped("")]
    bodies[1]["contents"][1]["parts"][0]["functionCall"]["args"] = {"times": 2_000_000}
    assert total(bodies[0], "gemini-2.0-flash") == total(bodies[1], "gemini-2.0-flash")
    assert total(bodies[0]) + 6 == total(bodies[1])


def test_a_result_that_is_no_json_is_text():
    """The output of code is counted as it stands."""
    ran = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "{roll: 5} of 6"}}
    body = {"contents": [{"role": "model", "parts": [ran]}]}
    assert count(body).components["tool_results"] >= 8


# ── thought signatures ───────────────────────────────────────────────────────────────────────────


def test_a_streamed_signature_counts_and_another_does_not():
    """At 2.5 only signatures in pieces are read by the model again."""
    bare, whole, pieces = (
        count(looped(one)) for one in ("", sealed(500, pieces=False), sealed(500, pieces=True))
    )
    assert whole.total == bare.total
    assert 60 < pieces.components["reasoning"] == pieces.total - bare.total < 150
    assert pieces.error > whole.error + 20


@pytest.mark.parametrize(
    ("model", "kept"),
    [("gemini-2.5-pro", False), ("gemini-3-pro-preview", False), ("gemini-3.5-flash", True)],
)
def test_thoughts_of_earlier_turns_are_forgotten_by_older_models(model, kept):
    """Before 3.5, signatures ahead of the newest user text cost nothing."""
    running = count(looped(sealed(500, pieces=True)), model)
    earlier = count(looped(sealed(500, pieces=True), "Thank you."), model)
    assert running.components["reasoning"] > 60
    assert (earlier.components.get("reasoning", 0) > 60) is kept


# ── media ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("size", "detail", "model", "tokens"),
    [
        ((300, 200), "", "gemini-2.5-flash", 258),
        ((384, 384), "", "gemini-2.5-flash", 258),
        ((640, 480), "", "gemini-2.5-flash", 258 * 4),
        ((3072, 1536), "", "gemini-2.5-flash", 258 * 8),
        ((640, 480), "low", "gemini-2.5-flash", 64),
        ((640, 480), "", "gemini-3-pro", 1_085),
        ((640, 480), "low", "gemini-3-pro", 280),
        ((640, 480), "ultra_high", "gemini-3-pro", 2_240),
    ],
)
def test_images_cost_tiles_or_their_resolution(size, detail, model, tokens):
    """Up to 2.5 an image costs its tiles, from 3 on what its resolution asks for."""
    rates = gemini_table.family(model).media
    assert gemini_table.image(*size, rates, detail) == tokens


def test_a_resolution_for_the_whole_request_prices_images_again():
    """The request's own resolution holds for images without one."""
    png = b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + (64).to_bytes(4, "big") * 2 + b"\0" * 40)
    image = {"inlineData": {"mimeType": "image/png", "data": png.decode()}}
    own = {**image, "mediaResolution": {"level": "MEDIA_RESOLUTION_MEDIUM"}}
    body = {"contents": [{"role": "user", "parts": [image, own]}]}
    low = {**body, "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}}
    assert count(body, "gemini-3-pro").components["media"] == 1_085 + 560
    assert count(low, "gemini-3-pro").components["media"] == 280 + 560


def test_a_text_file_counts_its_text():
    """A file of text that the body holds is counted to the token, as media."""
    data = b64encode(b"The tide turns at noon.").decode()
    file = {"inlineData": {"mimeType": "text/plain", "data": data}}
    found = count({"contents": [{"role": "user", "parts": [file]}]})
    assert found.components["media"] == 6
    assert found.error < 10


@pytest.mark.parametrize("mime", ["image/png", "audio/wav", "video/mp4", "application/pdf"])
def test_stored_files_are_bounded_wide(mime):
    """Of a file behind a URI nobody knows the size: it has tokens and a wide bound."""
    file = {"fileData": {"mimeType": mime, "fileUri": "gs://charts/tide"}}
    found = count({"contents": [{"role": "user", "parts": [{"text": "What?"}, file]}]})
    assert found.components["media"] > 0
    assert found.error > 1_900


# ── what the provider adds ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tool", "error"), [("googleSearch", 150), ("codeExecution", 1_500), ("noveltyTool", 5_000)]
)
def test_tools_of_the_provider_are_estimates(tool, error):
    """Tools that the provider runs make an estimate of the count, with a bound for their finds."""
    found = count(said("Fog?", tools=[{tool: {}}]))
    assert found.method == "estimated"
    assert found.error > error
    assert total(said("Fog?", tools=[{tool: {}}])) == total(said("Fog?"))


def test_hidden_prompts_are_server_context_from_three_on():
    """Gemini 3 counts what code execution adds to the prompt."""
    found = count(said("Fog?", tools=[{"codeExecution": {}}]), "gemini-3-flash-preview")
    assert found.components["server_context"] == gemini_table.SERVED["code_execution"].tokens


def test_cached_content_may_be_a_whole_window():
    """Content stored with the provider cannot be known at all."""
    assert count(said("Fog?", cachedContent="cachedContents/a")).error > 10**6


# ── the whole ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("held", HELD, ids=[path.stem for path in CORPUS])
@pytest.mark.parametrize("provider", ["gemini", "vertex"])
@pytest.mark.parametrize("model", [*MODELS, "gemma-3-4b-it", "llama-9"])
def test_every_body_has_a_bounded_count(held, provider, model):
    """Each body of the corpus has whole components that add up, a bound, and is never exact."""
    found = count({**held["body"], "model": model}, model, provider, held["api"])
    assert found.total == sum(found.components.values()) > 0
    assert min(found.components.values()) >= 0
    assert found.method in {"calibrated", "estimated"}
    assert found.error > 0
    assert found.tokenizer == gemini_text.NAME


def test_other_letters_widen_the_bound():
    """Text in letters that the recordings hardly held is bounded wider."""
    plain, other = (
        count(said("The tide turns at noon. " * 20)),
        count(said("潮は正午に変わる。" * 20)),
    )
    assert other.error / other.total > 3 * plain.error / plain.total


def test_a_claude_on_vertex_is_counted_as_claude():
    """A Claude keeps its own rules, whoever serves it."""
    body = {
        "model": "claude-sonnet-4-5@20250929",
        "messages": [{"role": "user", "content": "Fog?"}],
    }
    found = tokentrace.count(body, api="anthropic.messages", provider="vertex")
    assert found.tokenizer == "o200k_base"


def test_a_longer_conversation_counts_as_from_scratch():
    """What was counted last turn gives the same numbers as a fresh count."""
    texts = [f"Ship {number} passed at {number}:00." for number in range(12)]
    grown = [count(said(*texts[:end])).total for end in (10, 11, 12)]
    whole = dialects.find(API).parse({"model": "gemini-2.5-flash", **said(*texts)})
    fresh = measure({"model": "gemini-2.5-flash", **said("Other.", *texts)}, api=API)[1]
    alone = total(said("Other."))
    assert grown[2] == fresh.total - alone
    assert grown[0] < grown[1] < grown[2]
    assert len(whole.messages) == 12


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6), st.sampled_from(MODELS))
def test_components_are_whole_and_add_up(texts, model):
    """For any texts the components are integers that sum to the total."""
    found = count(said(*texts), model)
    assert all(type(tokens) is int and tokens >= 0 for tokens in found.components.values())
    assert found.total == sum(found.components.values())


def test_rules_know_their_family_by_the_provider():
    """Vertex counts strings alone, whatever the model; unknown models are no sure thing."""
    assert gemini_table.family("gemini-3-pro", "vertex").form == "strings"
    assert gemini_table.family("gemini-3-pro", "gemini").form == "tagged"
    assert not gemini_table.family("llama-9").sure
    assert gemini.measured.__module__ == gemini.__name__
