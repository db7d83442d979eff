"""Waste and forecasts on the spans of real calls, and in what a guard hands on."""

from __future__ import annotations

import json

import pytest

import tokentrace
from tokentrace import schema, testing
from tokentrace.analysis import CODES
from tokentrace.lineage import Lineages
from tokentrace.prompt import Count, Message, Part, Prompt

openai = pytest.importorskip("openai")

DOCUMENT = "\n".join(
    f"- step {n}: service {n * 7919 % 997} waits for its database" for n in range(40)
)


@pytest.fixture
def client():
    """Return an OpenAI client whose answers come from a mock transport."""
    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=10))
    return openai.OpenAI(api_key="test", http_client=wire.client("openai"))


def converse(client, turns, question):
    """Hold a conversation of so many turns; ``question`` gives each user text by its number."""
    talk = []
    with tokentrace.session("s", agent="a"):
        for number in range(1, turns + 1):
            with tokentrace.turn(number=number):
                system = f"Turn {number}\n\n<rules>\n{DOCUMENT}\n</rules>"
                talk.append({"role": "user", "content": question(number)})
                client.chat.completions.create(
                    model="gpt-4.1", messages=[{"role": "system", "content": system}, *talk]
                )
                talk.append({"role": "assistant", "content": f"answer {number}"})


def test_waste_stands_on_spans_as_numbers(client):
    """Kinds, components, tokens and turns; no text of the prompt."""
    with testing.capture() as captured:
        converse(client, 8, lambda n: f"q{n}\n\n{DOCUMENT}" if n == 2 else f"q{n} {'why ' * n}")
    calls = [call for call in captured.calls if call.waste]
    kinds = {(one.kind, one.component) for call in calls for one in call.waste}
    assert kinds == {
        ("duplicate", "user"), ("duplicate", "history"), ("unchanged", "section.rules"),
    }  # fmt: skip
    last = {one.kind: one for one in calls[-1].waste}
    assert (last["unchanged"].turns, last["unchanged"].component) == (7, "section.rules")
    assert calls[-1].duplicate_tokens == last["duplicate"].tokens > 300
    for span in captured.spans:
        assert "database" not in json.dumps(dict(span.attributes), default=str)


def test_waste_follows_what_was_reported_for_the_conversation():
    """Half of the history is a copy, in the provider's own tokens as the history is."""
    anthropic = pytest.importorskip("anthropic")
    wire = testing.Wire(
        lambda sent: testing.anthropic_message("ok", input_tokens=len(sent.content) // 2)
    )
    client = anthropic.Anthropic(api_key="test", http_client=wire.client("anthropic"))
    talk = []
    with testing.capture() as captured, tokentrace.session("s"):
        for question in (DOCUMENT, DOCUMENT, "and now?"):
            talk.append({"role": "user", "content": question})
            client.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=talk)
            talk.append({"role": "assistant", "content": "ok"})
    last = captured.calls[-1]
    (copied,) = last.waste
    assert (last.method, copied.kind, copied.component) == ("anchored", "duplicate", "history")
    assert copied.tokens == pytest.approx(last.components["history"] / 2, rel=0.05)


def test_conversations_without_waste_have_none_on_their_spans(client):
    """One call, and calls of different text."""
    with testing.capture() as captured:
        client.chat.completions.create(
            model="gpt-4.1", messages=[{"role": "user", "content": DOCUMENT}]
        )
        converse(client, 3, lambda n: f"q{n}")
    assert [call.waste for call in captured.calls] == [()] * 4
    assert all(schema.WASTE not in span.attributes for span in captured.spans)


def test_interleaved_sessions_do_not_see_each_other(client):
    """The same document in two conversations is a copy in neither."""
    with testing.capture() as captured:
        for _ in range(3):
            for name in ("one", "two"):
                with tokentrace.session(name):
                    text = f"I am {name}\n\n{DOCUMENT}"
                    client.chat.completions.create(
                        model="gpt-4.1", messages=[{"role": "user", "content": text}]
                    )
    assert [call.waste for call in captured.calls] == [()] * 6


@pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning")
def test_a_forecast_has_its_interval_and_its_component_on_the_span(client):
    """The third turn of growth has one; the compress callback sees the same."""
    seen = []
    guard = tokentrace.Guard(
        limit=2_000, thresholds=(0.5,), compress=lambda _body, report: seen.append(report)
    )
    with testing.capture(guard=guard) as captured:
        converse(client, 5, lambda n: f"q{n} " + "again and again " * (20 * n))
    first, _, third, *_ = captured.calls
    assert (first.forecast, first.forecast_component) == (None, "")
    assert third.forecast_component == "history"
    assert third.forecast_earliest <= third.forecast
    assert third.forecast_latest is None or third.forecast <= third.forecast_latest
    assert seen[-1].ahead.turns == seen[-1].forecast


@pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning")
def test_the_compress_callback_is_told_what_is_waste(client):
    """`tokentrace.advice` gives it codes that a report would give."""
    codes = []

    def compress(_body, report):
        codes.extend(finding.code for finding in tokentrace.advice(report))

    guard = tokentrace.Guard(limit=1_200, thresholds=(0.5,), compress=compress)
    with testing.capture(guard=guard):
        converse(client, 2, lambda n: f"q{n}\n\n{DOCUMENT}" if n == 2 else "q")
    assert "waste.duplicate" in codes


def advised(client, turns, messages, tools):
    """Return what a compress callback is told of tools in each turn of a conversation."""
    told = []

    def compress(_body, report):
        found = [one for one in tokentrace.advice(report) if one.code == "tools.uncalled"]
        told.append([(one.component, one.tokens, one.turns) for one in found])

    guard = tokentrace.Guard(limit=300, thresholds=(0.01,), compress=compress)
    with testing.capture(guard=guard) as captured, tokentrace.session(f"of {turns} turns"):
        for number in range(1, turns + 1):
            with tokentrace.turn(number=number):
                client.chat.completions.create(
                    model="gpt-4.1", messages=messages(number), tools=tools(number)
                )
    assert all("uncalled" not in span.attributes.get(schema.WASTE, "") for span in captured.spans)
    return told, captured.calls[-1].details


def tool(name):
    """Return a definition of some 60 tokens."""
    about = f"Use {name} to look at what the cluster does. " * 5
    return {"type": "function", "function": {"name": name, "description": about}}


def asks(number, called=()):
    """Return a conversation in whose last answer tools were called."""
    calls = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in called
    ]
    results = [{"role": "tool", "tool_call_id": name, "content": "fine"} for name in called]
    answer = {"role": "assistant", "content": "Let me see.", "tool_calls": calls}
    said = [answer, *results] if calls else []
    return [{"role": "user", "content": f"Question {number}"}, *said]


@pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning")
def test_the_compress_callback_is_told_of_tools_that_nobody_called(client):
    """From the sixth turn on, with the tokens of their definitions; the code is a report's."""
    told, details = advised(client, 7, asks, lambda _number: [tool("logs"), tool("metrics")])
    sizes = {one.name: one.tokens for one in details if one.component == "tools"}
    both = sizes["logs"] + sizes["metrics"]
    assert told == [[]] * 5 + [[("tools", both, 5)], [("tools", both, 6)]]
    assert "tools.uncalled" in CODES


@pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning")
def test_a_tool_that_was_called_once_or_offered_late_is_not_advised_against(client):
    """Not from the prompt on that brings the call back, and not before five turns of its own."""
    told, details = advised(
        client,
        7,
        lambda number: asks(number, ("logs",) if number == 3 else ()),
        lambda number: [tool("logs"), *([tool("metrics")] if number > 2 else [])],
    )
    sizes = {one.name: one.tokens for one in details if one.component == "tools"}
    assert told == [[]] * 7
    told, _ = advised(
        client,
        6,
        lambda number: asks(number, ("logs",) if number == 6 else ()),
        lambda _number: [tool("logs"), tool("metrics")],
    )
    assert told[-1] == [("tools", sizes["metrics"], 5)]


# ── what a lineage keeps ─────────────────────────────────────────────────────────────────────────


def lineage():
    """Return a lineage of one message."""
    prompt = Prompt("openai.chat", "m", [Message("user", (Part("text", "u"),))])
    return Lineages(named=True).follow(prompt)


def serve(line, number, contents, **tokens):
    """Serve a turn; return what stayed the same in it."""
    line.turn = number
    count = Count(sum(tokens.values()), tokens)
    found = line.unchanged(contents, count)
    line.note(count, number)
    line.hold(contents)
    return found


def test_what_stays_the_same_is_told_from_five_turns_on():
    """A change begins it anew; a component that is small or gone is not told."""
    line = lineage()
    for number in range(1, 6):
        assert serve(line, number, {"rules": 1, "small": 1}, rules=200, small=9) == ()
    (found,) = serve(line, 6, {"rules": 1, "small": 1}, rules=200, small=9)
    assert (found.component, found.tokens, found.turns) == ("rules", 200, 5)
    assert serve(line, 7, {"rules": 2}, rules=210) == ()
    assert serve(line, 8, {"rules": 2}, rules=210) == ()


def test_calls_of_one_turn_make_nothing_older():
    """Six calls in a turn are one turn."""
    line = lineage()
    for _ in range(9):
        assert serve(line, 1, {"rules": 1}, rules=200) == ()


def test_ten_thousand_turns_keep_a_bounded_state():
    """What a lineage holds after very many turns is what it holds after many."""
    line = lineage()
    for number in range(1, 10_001):
        serve(line, number, {f"name-{number % 64}": number}, history=number)
        if number == 100:
            before = line.weight
    assert line.weight == before
    assert len(line.turns) == 32
