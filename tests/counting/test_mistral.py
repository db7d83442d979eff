"""How Mistral's templates are counted, and the vocabulary that an extra brings along."""

from __future__ import annotations

import base64
import json
import threading

import pytest

from tokentrace import count
from tokentrace.counting import counter, tekken
from tokentrace.counting.rules import mistral
from tokentrace.counting.text import ruler

RULER = ruler("o200k_base")
TEXT = "Which lighthouse is the oldest?"
TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
CALL = {"id": "a1b2c3d4e", "function": {"name": "tide", "arguments": '{"harbour":"Cove"}'}}
LOOP = [
    {"role": "user", "content": TEXT},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "a1b2c3d4e", "content": "four metres"},
]
WORDS = [b" the", b" tide", b"lighthouse"]
PATTERN = r"\p{N}|[^\r\n\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"


def body(*texts, model="mistral-large-2512", **extra):
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": t} for i, t in enumerate(texts)]
    return {"model": model, "messages": turns, **extra}


def chat(*texts, **extra):
    return count(body(*texts, **extra), api="mistral.chat")


@pytest.fixture
def unloaded(monkeypatch):
    """Run as if nothing were loaded, and put everything back afterwards."""
    monkeypatch.setattr(tekken, "_rulers", {})
    monkeypatch.setattr(tekken._loads, "under_way", set())
    tekken.found.cache_clear()
    yield
    tekken.found.cache_clear()


@pytest.fixture
def absent(monkeypatch, unloaded):
    """Run as if mistral-common were not installed."""
    monkeypatch.setattr(tekken, "PACKAGE", "no_such_package_at_all")


@pytest.fixture
def installed(monkeypatch, unloaded, tmp_path):
    """Install a small package with a small vocabulary in the form of mistral-common's."""
    tokens = [bytes([i]) for i in range(256)] + WORDS
    vocabulary = [
        {"rank": i, "token_bytes": base64.b64encode(token).decode(), "token_str": '"token_bytes":'}
        for i, token in enumerate(tokens)
    ]
    data = tmp_path / "small_common" / "data"
    data.mkdir(parents=True)
    held = {"config": {"pattern": PATTERN, "version": "v3"}, "vocab": vocabulary}
    (data / tekken.FILES[0]).write_text(json.dumps(held, indent=1), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tekken, "PACKAGE", "small_common")
    monkeypatch.setattr(tekken, "SIZE", len(tokens))
    return data / tekken.FILES[0]


# ── the templates ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("api", "model", "expected"),
    [
        ("mistral.chat", "ft:anything", True),
        ("bedrock.converse", "us.mistral.pixtral-large-2502-v1:0", True),
        ("bedrock.invoke", "mistral.mixtral-8x7b-instruct-v0:1", True),
        ("bedrock.converse", "amazon.nova-lite-v1:0", False),
        ("ollama.chat", "mistral", False),
    ],
)
def test_mistral_is_told_by_its_api_and_by_bedrocks_names(api, model, expected):
    """Its own api is Mistral's whatever the model; on Bedrock the name tells."""
    assert mistral.ours(api, model) is expected


def test_a_plain_prompt_has_a_beginning_and_two_marks_a_question(absent):
    """One token begins the prompt, two stand around a question, one ends an answer."""
    one, three = chat(TEXT), chat(TEXT, "Cordouan.", TEXT)
    assert one.components["framing"] == 1 + 2
    assert three.components["framing"] == 1 + 2 + 1 + 2
    assert one.total == 3 + round(mistral.TEXT * RULER.tokens(TEXT)[0])


@pytest.mark.parametrize(
    ("model", "effort", "more"),
    [
        ("mistral-small-2603", None, mistral.SETTINGS),
        ("mistral-small-latest", "high", mistral.SETTINGS),
        ("mistral-small-latest", "none", 0),
        ("mistral-small-2506", None, 0),
    ],
)
def test_settings_stand_ahead_of_everything(absent, model, effort, more):
    """The newest template states its settings; so does every request with a reasoning effort."""
    extra = {} if effort is None else {"reasoning_effort": effort}
    assert chat(TEXT, model=model, **extra).components["framing"] == 3 + more


def test_an_alias_that_moved_on_has_a_wider_bound(absent):
    """Under a name without a date nothing tells which template is in use; the bound does."""
    dated, alias = chat(TEXT, model="mistral-small-2603"), chat(TEXT, model="mistral-small-latest")
    assert alias.error - dated.error >= mistral.SETTINGS - 2
    assert abs(alias.total - dated.total) <= alias.error


def test_calls_are_framed_by_their_generation(absent):
    """The oldest form has the call as JSON with its id, the next the id, the newest neither."""
    names = ("ministral-3b-2410", "mistral-small-2506", "mistral-large-2512")
    bodies = [{"model": name, "messages": LOOP, "tools": [TOOL]} for name in names]
    oldest, middle, newest = (count(one, api="mistral.chat") for one in bodies)
    assert oldest.total > middle.total > newest.total
    tied = round(mistral.TEXT * RULER.tokens("a1b2c3d4e")[0])
    assert middle.components["framing"] - newest.components["framing"] >= 2 * tied
    for one in (oldest, middle, newest):
        results = {(d.component, d.name): d.tokens for d in one.details}
        assert results["tool_results", "tide"] == one.components["tool_results"]


def test_definitions_stand_as_one_list_of_json(absent):
    """Tools are counted as the template writes them, Bedrock's form like Mistral's own."""
    spec = {"toolSpec": {"name": "tide", "inputSchema": {"json": {"type": "object"}}}}
    shown = mistral.definition(TOOL)
    assert shown == mistral.definition(spec["toolSpec"])
    assert shown["function"]["description"] == ""
    without, given = chat(TEXT), chat(TEXT, tools=[TOOL, TOOL])
    whole = round(mistral.TEXT * RULER.tokens(json.dumps([shown, shown]))[0])
    assert given.total - without.total == mistral.TOOLS + whole
    converse = {"modelId": "mistral.mistral-large-2512", "toolConfig": {"tools": [spec]},
                "messages": [{"role": "user", "content": [{"text": TEXT}]}]}  # fmt: skip
    assert count(converse, api="bedrock.converse").total == chat(TEXT, tools=[TOOL]).total


def test_a_schema_is_not_in_the_prompt(absent):
    """A response schema steers the answer and adds nothing."""
    form = {"type": "json_schema", "json_schema": {"name": "A", "schema": {"type": "object"}}}
    assert chat(TEXT, response_format=form).total == chat(TEXT).total


def test_what_mistral_runs_is_an_estimate(absent):
    """A tool without a definition brings in what it finds: nobody can say how much."""
    found = chat(TEXT, tools=[{"type": "web_search"}])
    assert found.method == "estimated"
    assert found.error > 1_000


def test_an_image_is_cut_into_squares():
    """An image costs its squares and a marker a row, after shrinking to the longest edge."""
    assert mistral.image(28, 28) == 2
    assert mistral.image(280, 140) == 11 * 5
    assert mistral.image(3_080, 1_540) == mistral.image(1_540, 770)


@pytest.mark.parametrize("arguments", ["", "{", "[1", '{"a": 1}', "null", "\ud800"])
def test_odd_arguments_are_no_error(absent, arguments):
    """A call whose arguments are no JSON is counted as it stands, in every form."""
    call = {"id": "x", "function": {"name": "tide", "arguments": arguments}}
    turns = [{"role": "assistant", "tool_calls": [call]}]
    for model in ("ministral-3b-2410", "mistral-small-2506", "mistral-large-2512"):
        found = count({"model": model, "messages": turns}, api="mistral.chat")
        assert found.total == sum(found.components.values()) > 0


# ── the vocabulary ───────────────────────────────────────────────────────────────────────────────


def test_without_the_package_nothing_is_loaded(absent):
    """Where mistral-common is not installed the estimate serves, and no thread is started."""
    assert tekken.found() is None
    assert tekken.load() is None
    assert chat(TEXT).tokenizer == "o200k_base"


def test_count_loads_the_vocabulary(installed):
    """Outside of a call the vocabulary is loaded at once, and the bound shrinks."""
    found = chat("lighthouse the tide")
    assert found.tokenizer == tekken.NAME
    assert found.total == 3 + 3
    assert found.method == "calibrated"
    assert found.error <= 4


def test_a_call_never_waits_for_the_vocabulary(installed, monkeypatch):
    """Inside a call loading begins aside; the call is counted with what is there."""
    begun = []
    monkeypatch.setattr(threading, "Thread", lambda **kwargs: begun.append(kwargs) or Idle())
    _, first = counter.measure(body(TEXT), api="mistral.chat", budget_s=0.1)
    _, second = counter.measure(body(TEXT), api="mistral.chat", budget_s=0.1)
    assert first.tokenizer == second.tokenizer == "o200k_base"
    assert [one["name"] for one in begun] == ["tokentrace-tekken"]
    tekken.load()
    _, third = counter.measure(body(TEXT), api="mistral.chat", budget_s=0.1)
    assert third.tokenizer == tekken.NAME


class Idle:
    """A thread that is never run."""

    def start(self):
        """Do nothing."""


def test_loading_aside_ends_with_a_ruler(installed):
    """The thread that is started loads the vocabulary."""
    tekken.load_in_background()
    for thread in threading.enumerate():
        if thread.name == "tokentrace-tekken":
            thread.join(10)
    assert tekken.ruler() is tekken.load() is not None


@pytest.mark.parametrize("text", ["", "{}", '{"config": {"pattern": 1}, "vocab": []}', "\x00"])
def test_a_damaged_file_is_reported_and_not_used(installed, caplog, text):
    """A file that holds no such vocabulary costs a log line, and the estimate serves."""
    installed.write_text(text, encoding="utf-8")
    assert tekken.load() is None
    assert chat(TEXT).tokenizer == "o200k_base"


def test_the_real_vocabulary_counts_like_its_own_package():
    """Where mistral-common is installed, plain prompts are counted as it encodes them."""
    pytest.importorskip("mistral_common", reason="the extra is not installed")
    from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    texts = [TEXT, "Cordouan, since 1611.", "¿Y la más alta? 高さは？ It's 133 m!"]
    request = ChatCompletionRequest(messages=[
        UserMessage(content=texts[0]), AssistantMessage(content=texts[1]),
        UserMessage(content=texts[2]),
    ])  # fmt: skip
    encoded = MistralTokenizer.v3(is_tekken=True).encode_chat_completion(request).tokens
    assert chat(*texts).total == len(encoded)
