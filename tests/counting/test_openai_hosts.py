"""Other makers' models behind OpenAI's form: which row counts, what a template costs, what is bounded."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokentrace
from tokentrace import dialects
from tokentrace.counting.claims import Lens
from tokentrace.counting.rules import (
    Scope,
    gemini_table,
    openai,
    openai_host_table,
    openai_hosts,
)
from tokentrace.counting.store import STORE
from tokentrace.counting.tally import Tally

CHAT, RESPONSES = "openai.chat", "openai.responses"
# A name for each row, in the order of the table: (provider, model, api).
NAMED = (
    ("azure", "grok-4-fast", CHAT),
    ("xai", "grok-4.3", RESPONSES),
    ("xai", "grok-4.3", CHAT),
    ("xai", "grok-4-1-fast-non-reasoning", CHAT),
    ("openrouter", "x-ai/grok-4-fast:free", CHAT),
    ("xai", "grok-3-mini", CHAT),
    ("xai", "grok-2-1212", CHAT),
    ("openrouter", "x-ai/grok-code-fast-1", CHAT),
    ("azure", "Kimi-K2.5", CHAT),
    ("groq", "moonshotai/kimi-k2-instruct-0905", CHAT),
    ("deepseek", "deepseek-v4-flash", RESPONSES),
    ("deepseek", "deepseek-v4-flash", CHAT),
    ("openrouter", "deepseek/deepseek-v3.2", CHAT),
    ("openrouter", "deepseek/deepseek-chat-v3.1:free", CHAT),
    ("openrouter", "deepseek/deepseek-chat-v3-0324", CHAT),
    ("huggingface", "deepseek-ai/DeepSeek-R1", CHAT),
    ("deepseek", "deepseek-chat", CHAT),
    ("openrouter", "deepseek/deepseek-prover", CHAT),
    ("openrouter", "meta-llama/llama-3.2-3b-instruct", CHAT),
    ("local", "llama-guard3:1b", CHAT),
    ("groq", "meta-llama/llama-4-scout", CHAT),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", CHAT),
    ("local", "llama3.2", CHAT),
    ("groq", "llama3-8b-8192", CHAT),
    ("huggingface", "Qwen/Qwen3-Coder-480B", CHAT),
    ("together", "Qwen/Qwen2.5-72B", CHAT),
    ("local", "qwen3", CHAT),
    ("local", "mistral-small3.1", CHAT),
    ("together", "mistralai/Mixtral-8x7B", CHAT),
    ("databricks", "my-claude", CHAT),
    ("zai", "glm-4.6", CHAT),
    ("ollama.com", "gpt-oss:120b", CHAT),
    ("perplexity", "sonar-pro", CHAT),
    ("nobody", "unheard-of-1b", CHAT),
)
ROWS = openai_host_table.HOSTS
LOOK = {
    "type": "function",
    "function": {"name": "look", "description": "See.", "parameters": {"type": "object"}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "fog"}
FOGGY = "The fog came in over the pier and nobody saw the boats. " * 8


class Characters:
    """A ruler of one token a character."""

    name = "characters"

    def tokens(self, text, budget_s=None):
        return len(text), 0

    def shares(self, text, borders, budget_s=None):
        edges = [0, *borders, len(text)]
        return [b - a for a, b in pairwise(edges)], 0


def user(text="hello"):
    return {"role": "user", "content": text}


def answer(text="hi", **more):
    return {"role": "assistant", "content": text, **more}


def system(text="be kind"):
    return {"role": "system", "content": text}


def tally(*messages, provider="local", model="qwen3", **body):
    """Count by character, so that every number can be checked by hand."""
    prompt = dialects.find(CHAT).parse({"model": model, "messages": list(messages), **body})
    scope = Scope(Characters(), Lens(sections=False), prompt.model, prompt.api, provider)
    summed = Tally()
    for index, message in enumerate(prompt.messages):
        summed.add(openai.message(message, prompt.messages[:index], scope))
    return openai.finish(prompt, summed, scope)


def count(*messages, provider="local", model="qwen3", **body):
    whole = {"model": model, "messages": list(messages) or [user()], **body}
    return tokentrace.count(whole, api=CHAT, provider=provider)


def terms(provider="local", model="qwen3", api=CHAT):
    """Return the family's terms by name."""
    found = openai_hosts.family(provider, model, api)
    return dict(zip(openai_hosts.TERMS, found.terms, strict=True))


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────


def test_every_row_is_reached():
    """No row stands behind one that takes all its models; the order is that of the table."""
    reached = [openai_hosts.family(*name).match for name in NAMED]
    assert reached == [row[0] for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_rows_are_sound(row):
    """Each row has a factor near one, no negative term, bounds, and small shares for long prompts."""
    family = openai_hosts.Family(*row)
    assert len(family.terms) == len(openai_hosts.TERMS)
    assert 0.8 <= family.terms[0] <= 1.3
    assert min(family.terms) >= 0
    assert len(family.bounds) == 3
    for tokens, share in family.bounds:
        assert tokens >= 8
        assert 0.1 <= share <= 0.4
    assert 0 <= family.seen[1] <= family.seen[0]
    assert openai_host_table.LEARNED


def test_an_unknown_model_falls_to_the_last_row():
    """The row for all that nobody knows was learned from everything, and is bounded wider."""
    last, known = openai_hosts.family("nobody", "zebra-9"), openai_hosts.family("local", "qwen3")
    assert last.match == "*"
    assert last is openai_hosts.family("", "")
    assert last.bounds[0][0] > known.bounds[0][0]


def test_a_host_is_no_model():
    """A family's name is looked for in the model alone: ollama.com serves more than llamas."""
    assert "llama" in openai_hosts.named("ollama.com", "gpt-oss:20b", CHAT)
    assert openai_hosts.family("ollama.com", "gpt-oss:20b").match == "*/*gpt-oss*"
    assert openai_hosts.family("deepseek", "zebra-9").match == "*"


# ── templates ────────────────────────────────────────────────────────────────────────────────────


def test_a_prompt_costs_its_text_and_the_template():
    """Text as it is; once, for each message, and once more where no system text opens the prompt."""
    known = terms(model="llama-3.3-70b-versatile", provider="groq")
    counted = tally(system(), user(), model="llama-3.3-70b-versatile", provider="groq")
    bare = tally(user(), model="llama-3.3-70b-versatile", provider="groq")
    assert counted.components["system"] == len("be kind")
    assert counted.components["framing"] == round(known["once"] + 2 * known["message"])
    assert bare.components["framing"] == round(known["once"] + known["bare"] + known["message"])


def test_definitions_cost_once_and_by_their_size():
    """The template's words about tools are there once, however many tools there are."""
    known = terms()
    plain = tally(user()).components["framing"]
    one, two = tally(user(), tools=[LOOK]), tally(user(), tools=[LOOK, LOOK])
    assert abs(one.components["framing"] - plain - known["tools"]) <= 1
    assert one.components["framing"] == two.components["framing"]
    assert abs(two.components["tools"] - 2 * one.components["tools"]) <= 1
    assert two.details["tools", "look"] >= one.details["tools", "look"]


def test_a_call_costs_its_marks():
    """A call with its result costs two messages and the call's own tokens besides the text."""
    known = terms(provider="zai", model="glm-4.6")
    asked = tally(user(), tools=[LOOK], provider="zai", model="glm-4.6")
    loop = [user(), answer(None, tool_calls=[CALL]), RESULT]
    called = tally(*loop, tools=[LOOK], provider="zai", model="glm-4.6")
    grown = called.components["framing"] - asked.components["framing"]
    assert abs(grown - 2 * known["message"] - known["call"]) <= 1
    assert called.components["tool_results"] == len("fog")


def test_tools_are_shown_where_the_template_shows_them():
    """Ollama's Mistral sees tools with a question, and not in the loop that follows."""
    loop = [user(), answer(None, tool_calls=[CALL]), RESULT]
    asked = tally(user(), tools=[LOOK], model="mistral-small3.1")
    looped = tally(*loop, tools=[LOOK], model="mistral-small3.1")
    assert asked.components["tools"] > 0
    assert not looped.components.get("tools")
    assert looped.total == tally(*loop, model="mistral-small3.1").total
    assert tally(*loop, user(), tools=[LOOK], model="mistral-small3.1").components["tools"] > 0
    assert tally(*loop, tools=[LOOK], model="qwen3").components["tools"] > 0


def test_thoughts_of_earlier_turns_are_forgotten():
    """Templates leave out what was thought ahead of the newest question, and keep it behind it."""
    thought = answer("yes", reasoning_content="x" * 50)
    earlier = tally(user(), thought, user())
    assert "reasoning" not in {name for name, n in earlier.components.items() if n}
    assert earlier.total == tally(user(), answer("yes"), user()).total
    loop = answer(None, reasoning_content="x" * 50, tool_calls=[CALL])
    assert tally(user(), loop, RESULT).components["reasoning"] == 50


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<think>hm</think>yes", "yes"),
        ("<think>hm", "<think>hm"),
        ("so <think>hm</think>", "so <think>hm</think>"),
    ],
)
def test_thoughts_inside_an_answer_are_forgotten_too(text, kept):
    """Only thoughts that open an answer, and are closed, are left out."""
    counted = tally(user(), answer(text), user())
    assert counted.components["history"] == len(kept)


def test_a_response_schema_costs_what_its_host_shows_of_it():
    """XAI writes a schema into the prompt; Kimi's hosts use it for the answer alone."""
    asked = {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "fog", "schema": {"type": "object", "title": "Fog"}},
        }
    }
    names = {"provider": "xai", "model": "grok-4-fast-non-reasoning"}
    assert tally(user(), **names, **asked).total > tally(user(), **names).total + 20
    names = {"provider": "groq", "model": "kimi-k2"}
    assert tally(user(), **names, **asked).total == tally(user(), **names).total


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMED, ids="-".join)
def test_bounds_grow_slower_than_prompts(name):
    """A long prompt's bound is a small share of it: a guard can refuse."""
    provider, model, _ = name
    short = count(user("hi"), provider=provider, model=model)
    long = count(user("The fog came in. " * 20_000), provider=provider, model=model)
    assert short.error > 0
    assert long.total > 50_000
    assert long.error < 0.35 * long.total
    assert long.error / long.total < short.error / short.total


def test_a_bound_is_of_its_kind():
    """A question alone, answers ahead, tools or their results: each has its own bound."""
    kinds = (
        ({"messages": [system(), user()]}, 0),
        ({"messages": [user(), answer(), user()]}, 1),
        ({"messages": [user()], "tools": [LOOK]}, 2),
        ({"messages": [user(), answer(None, tool_calls=[CALL]), RESULT]}, 2),
    )
    for body, kind in kinds:
        assert openai_hosts.kind(dialects.find(CHAT).parse({"model": "m", **body})) == kind


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": {"type": "json_object"}},
        {"tools": [LOOK], "tool_choice": "none"},
        {"tools": [LOOK, {"type": "openrouter:web_search"}]},
        {"model": "moonshotai/kimi-k2:online", "tools": [LOOK]},
        {"messages": [user("雾从码头上来。" * 40)]},
    ],
    ids=("json", "none", "own tool", "online", "letters"),
)
def test_what_hosts_do_differently_widens_the_bound(more):
    """JSON mode, tools that must not be used, a host's own tools, letters that few recordings have."""
    names = {"provider": "openrouter", "model": "moonshotai/kimi-k2"}
    texts = more.get("messages") or [user()]
    plain = count(user(FOGGY) if "messages" in more else user(), **names)
    if "tools" in more:
        plain = count(user(), **names, tools=[LOOK])
    rest = {key: value for key, value in more.items() if key != "messages"}
    wide = count(*texts, **{**names, **rest})
    assert wide.error / wide.total > plain.error / plain.total


def test_a_host_that_searches_is_bounded_by_what_it_may_find():
    """Its own search, by a tool's type or by a model's name, may bring thousands of tokens."""
    searching = [{"type": "openrouter:web_search"}]
    assert count(provider="openrouter", model="openai/gpt-4o", tools=searching).error >= 40_000
    assert count(provider="groq", model="compound-beta").error >= 5_000
    assert count(provider="openrouter", model="qwen/qwen3:online").error >= 5_000


# ── makers behind gateways ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("provider", ["openrouter", "github-models", "portkey", "some-host"])
def test_openais_models_count_by_their_own_rules_anywhere(provider):
    """The total is OpenAI's, the bound is small, and the label is not given."""
    messages = [system(), user(FOGGY), answer(), user()]
    there = count(*messages, provider=provider, model="openai/gpt-4o", tools=[LOOK])
    own = count(*messages, provider="openai", model="gpt-4o", tools=[LOOK])
    assert there.total == own.total
    assert there.method == "estimated"
    assert own.error <= there.error <= 0.3 * there.total


@pytest.mark.parametrize("provider", ["openrouter", "vercel-gateway"])
def test_gateways_ask_models_that_reason_over_the_responses_api(provider):
    """Definitions for gpt-5 have no preamble there; gpt-4o, other hosts and Responses stay as they are."""
    direct = count(user(), provider="openai", model="gpt-5", tools=[LOOK]).total
    assert count(user(), provider=provider, model="openai/gpt-5", tools=[LOOK]).total == direct - 82
    direct = count(user(), provider="openai", model="gpt-4o", tools=[LOOK]).total
    assert count(user(), provider=provider, model="openai/gpt-4o", tools=[LOOK]).total == direct
    for scope in (
        Scope(None, None, "openai/gpt-5", RESPONSES, provider),
        Scope(None, None, "gpt-5", CHAT, "openai"),
        Scope(None, None, "openai/gpt-oss-120b", CHAT, provider),
    ):
        assert openai_hosts.measured(scope) is scope


def test_thoughts_in_chat_form_are_no_sealed_ones():
    """A gateway's reasoning beside an answer of gpt-5 is text; nothing of it is measured as sealed."""
    loop = answer(None, reasoning="Let me look.", tool_calls=[CALL])
    counted = count(user(), loop, RESULT, provider="openrouter", model="openai/gpt-5")
    assert counted.total == sum(counted.components.values())
    assert 0 < counted.error < 300


FOG = {
    "name": "read_fog",
    "description": "Reads the fog.",
    "parameters": {
        "type": "object",
        "properties": {"hour": {"type": "integer", "description": "the hour"}},
        "required": ["hour"],
    },
}
ASKED = {"contents": [{"role": "user", "parts": [{"text": "Read the fog at noon."}]}]}


@pytest.mark.parametrize(
    ("model", "provider", "own"),
    [
        ("google/gemini-2.5-flash", "openrouter", "vertex"),
        ("google/gemini-3-pro-preview", "vercel-gateway", "vertex"),
        ("google/gemini-3.1-flash-lite-preview", "openrouter", "gemini"),
        ("gemini-2.5-flash", "gemini", "gemini"),
    ],
)
def test_a_gemini_counts_as_where_it_is_sent_to(model, provider, own):
    """Behind a gateway Vertex counts, and the Gemini API for its newest; the form of a body is no matter."""
    body = {**ASKED, "tools": [{"functionDeclarations": [FOG]}]}
    name = model.rpartition("/")[2]
    native = tokentrace.count({"model": name, **body}, api="gemini.generateContent", provider=own)
    tools = [{"type": "function", "function": FOG}]
    there = count(user("Read the fog at noon."), provider=provider, model=model, tools=tools)
    assert there.total == native.total
    assert there.components["tools"] == native.components["tools"]
    assert there.error >= native.error


def test_a_geminis_bound_holds_the_other_way_to_count():
    """No body shows where a gateway sends it: what the other form of definitions costs is inside."""
    tools = [{"type": "function", "function": FOG}]
    names = {"provider": "openrouter", "model": "google/gemini-2.5-flash"}
    there = count(user("Read."), **names, tools=tools)
    direct = count(user("Read."), provider="gemini", model="gemini-2.5-flash", tools=tools)
    assert direct.total != there.total
    assert there.total - there.error <= direct.total <= there.total + there.error
    assert there.method == "estimated"
    relayed = count(user("Read."), provider="some-host", model="gemini-2.5-flash", tools=tools)
    assert relayed.total - relayed.error <= there.total <= relayed.total + relayed.error
    assert gemini_table.elsewhere("gemini-2.5-flash", "gemini") is None


def test_a_gemini_behind_a_gateway_bounds_calls_and_hosts_tools():
    """Calls are written anew by the gateway, and a tool of its own may bring anything."""
    names = {"provider": "openrouter", "model": "google/gemini-2.5-flash"}
    loop = [user(), answer(None, tool_calls=[CALL], reasoning="x" * 400), RESULT]
    called = count(*loop, **names)
    assert called.error >= count(user(), **names).error + 50
    assert called.total < 100  # thoughts as text are not sent on
    searching = count(user(), **names, tools=[{"type": "openrouter:web_search"}])
    assert searching.error >= 5_000


def test_a_response_schema_to_a_gemini_is_the_one_inside():
    """OpenAI wraps a schema in its name; only the schema's own words count."""
    schema = {"type": "object", "title": "Fog", "properties": {"hour": {"type": "integer"}}}
    names = {"provider": "openrouter", "model": "google/gemini-2.0-flash-001"}
    wrapped = {"name": "a_name_of_many_words_indeed", "schema": schema}
    asked = {"response_format": {"type": "json_schema", "json_schema": wrapped}}
    there = count(user("Read."), **names, **asked)
    body = {
        "model": "gemini-2.0-flash-001",
        "contents": [{"role": "user", "parts": [{"text": "Read."}]}],
        "generationConfig": {"responseSchema": schema},
    }
    native = tokentrace.count(body, api="gemini.generateContent", provider="vertex")
    assert there.components["tools"] == native.components["tools"]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "tool_calls"]), inner)
    ),
    max_leaves=12,
)
TEXTS = st.sampled_from(["", "fog", "<think>x</think>y", "<think>", "雾", "1" * 30])
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": TEXTS | ODD},
        optional={"reasoning": TEXTS, "tool_calls": st.just([CALL]), "tool_call_id": st.just("c1")},
    ),
    max_size=5,
)


@given(
    name=st.sampled_from([*NAMED, ("openrouter", "google/gemini-2.5-flash", CHAT)]),
    messages=MESSAGES,
    more=st.dictionaries(
        st.sampled_from(["tools", "tool_choice", "response_format"]),
        ODD | st.just([LOOK]) | st.just({"type": "json_object"}),
    ),
)
def test_components_add_up_whoever_serves_them(name, messages, more):
    """Any body to any host gives whole components that add up, none below zero, and a bound."""
    provider, model, api = name
    given_ = "input" if api == RESPONSES else "messages"
    body = {"model": model, given_: messages, **more}
    counted = tokentrace.count(body, api=api, provider=provider)
    assert counted.total == sum(counted.components.values())
    assert all(tokens >= 0 for tokens in counted.components.values())
    assert counted.error >= 0
    assert counted.method != "exact"


def test_a_longer_conversation_counts_as_from_scratch():
    """What is kept of earlier calls changes nothing, though a new question lets thoughts go."""
    messages = [user(), answer("<think>hm</think>yes", reasoning="x" * 40), user("and now?")]
    grown = [count(*messages[:n]).total for n in (1, 2, 3)]
    STORE.clear()
    assert count(*messages).total == grown[-1]
