"""Costs and called tools on the spans of real SDKs."""

from __future__ import annotations

import pytest

from tokentrace import dialects, schema, testing
from tokentrace.insights import cost, tools
from tokentrace.instrument import offered, records
from tokentrace.prompt import CallRecord, Usage
from tokentrace.providers import prices

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
pytest.importorskip("genai_prices")

LOOK = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
}
HIDDEN = {"id": "c9", "type": "function", "function": {"name": "secret_plan", "arguments": "{}"}}


@pytest.fixture(autouse=True)
def costs_are_on(monkeypatch):
    """Put costs onto spans, from the first call on."""
    monkeypatch.setenv("TOKENTRACE_COSTS", "1")
    assert prices.load()


def asked(reply, messages=None, **more):
    """Return the record of one call of OpenAI's SDK, and its span's attributes."""
    client = openai.OpenAI(api_key="x", http_client=testing.Wire(reply).client("openai"))
    talk = messages or [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why is it down?"},
    ]
    with testing.capture() as seen:
        answer = client.chat.completions.create(model="gpt-4o", messages=talk, **more)
        if more.get("stream"):
            list(answer)
    (call,), (span,) = seen.calls, seen.spans
    return call, span.attributes


def test_a_call_bears_its_cost():
    """The span holds the total and each component, as the list has it on the day of the call."""
    call, attributes = asked(testing.openai_chat("ok", prompt_tokens=20))
    listed = cost.spent(call)
    assert call.cost == pytest.approx(cost.usd(listed.total), rel=1e-12)
    assert call.costs == pytest.approx(
        {name: cost.usd(one) for name, one in listed.components.items()}
    )
    assert attributes[schema.COST] == call.cost > 0
    assert attributes["tokentrace.component.system.cost_usd"] > 0


def test_a_stream_bears_its_cost_once_usage_is_told():
    """A stream with usage is priced at its end; one without usage is not priced."""
    more = {"stream": True, "stream_options": {"include_usage": True}}
    told, _ = asked(testing.openai_chat_stream("a", "b", prompt_tokens=20), **more)
    assert told.cost == pytest.approx(cost.usd(cost.spent(told).total))
    silent, attributes = asked(testing.openai_chat_stream("a", "b"), stream=True)
    assert silent.cost is None
    assert schema.COST not in attributes


def test_the_tier_that_served_decides():
    """What the answer says of its tier is recorded, and priced."""
    plain, _ = asked(testing.openai_chat("ok", prompt_tokens=20), service_tier="auto")
    served, attributes = asked(testing.openai_chat("ok", prompt_tokens=20, service_tier="default"))
    assert attributes[schema.RESPONSE_TIER] == "default"
    assert served.cost == plain.cost > 0


def test_hour_long_writes_are_told():
    """Anthropic's two kinds of cache writes are told apart, in a span and in its cost."""
    lasting = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 30}
    reply = testing.anthropic_message("ok", input_tokens=9, cache_creation_input_tokens=40,
                                      cache_read_input_tokens=0, cache_creation=lasting)  # fmt: skip
    client = anthropic.Anthropic(api_key="x", http_client=testing.Wire(reply).client("anthropic"))
    with testing.capture() as seen:
        talk = [{"role": "user", "content": "hi"}]
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=talk)
    (call,) = seen.calls
    rates = cost.price(call).at(49)
    assert (call.usage.cache_write, call.usage.cache_write_long) == (40, 30)
    expected = 9 * rates.input + 10 * rates.write + 30 * rates.write_long + 5 * rates.output
    assert call.cost == pytest.approx(cost.usd(expected))


def test_unknown_models_bear_none():
    """A model that the list does not know has no cost attribute, not 0."""
    reply = testing.openai_chat("ok", prompt_tokens=20, model="my-own")
    client = openai.OpenAI(api_key="x", http_client=testing.Wire(reply).client("openai"))
    with testing.capture() as seen:
        client.chat.completions.create(model="my-own", messages=[{"role": "user", "content": "hi"}])
    (span,) = seen.spans
    assert not [key for key in span.attributes if "cost" in key]


@pytest.mark.parametrize("host", ["vllm:8000", "10.0.0.5", "localhost:11434", "llm.corp.example"])
def test_a_listed_name_on_a_server_of_ones_own_bears_none(host):
    """OpenAI's SDK asking another server for a listed model has no cost attribute."""
    wire = testing.Wire(testing.openai_chat("ok", prompt_tokens=20))
    client = openai.OpenAI(
        api_key="x", base_url=f"http://{host}/v1", http_client=wire.client("openai")
    )
    with testing.capture() as seen:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    (span,) = seen.spans
    assert span.attributes["gen_ai.request.model"] == "gpt-4o"
    assert not [key for key in span.attributes if "cost" in key]


def test_what_was_billed_stands_on_the_span_and_in_its_report():
    """Cohere's billed tokens are on no span: its cost is, and a report holds to that."""
    usage = Usage(502, 5, billed=(7, 3))
    call = CallRecord(
        provider="cohere", model="command-r", start=1_796_000_000 * 10**9, tokens=502,
        components={"user": 500, "framing": 2}, usage=Usage(),
    )  # fmt: skip
    ended = _ended(call, usage)
    assert ended.cost == pytest.approx(cost.usd(cost.spent(ended).total))
    read = schema.load(schema.dump(ended))
    assert read.usage.billed is None
    assert cost.spent(read) is None
    assert cost.usd(cost.agreed(read, None).total) == pytest.approx(ended.cost)


def _ended(call, usage):
    with testing.capture():
        return records.ended(call, usage, {}, {})


def test_switched_off_there_is_none(monkeypatch):
    """TOKENTRACE_COSTS=0 keeps costs off spans."""
    monkeypatch.setenv("TOKENTRACE_COSTS", "0")
    call, _ = asked(testing.openai_chat("ok", prompt_tokens=20))
    assert (call.cost, call.costs) == (None, {})


def called(*calls):
    """Return an assistant's message with these tool calls, and their results."""
    answers = [{"role": "tool", "tool_call_id": one["id"], "content": "fine"} for one in calls]
    return [{"role": "assistant", "content": None, "tool_calls": list(calls)}, *answers]


def look(name="c1"):
    """Return a call of the tool."""
    return {"id": name, "type": "function", "function": {"name": "look", "arguments": "{}"}}


def test_each_call_of_a_tool_is_told_once():
    """A prompt tells the calls that come back for the first time, not those of its history."""
    user = {"role": "user", "content": "look twice"}
    steps = [
        [user],
        [user, *called(look(), look("c2"))],
        [user, *called(look(), look("c2")), *called(look("c3"))],
    ]
    seen = [
        asked(testing.openai_chat("ok", prompt_tokens=20), talk, tools=[LOOK])[0] for talk in steps
    ]
    assert [one.called for one in seen] == [(), ("look", "look"), ("look",)]
    assert tools.called(seen) == {"look": 3}


def test_names_that_no_definition_holds_stay():
    """A call of a tool that is not defined in the request is told without its name."""
    talk = [{"role": "user", "content": "go"}, *called(HIDDEN)]
    call, attributes = asked(testing.openai_chat("ok", prompt_tokens=20), talk, tools=[LOOK])
    assert call.called == ("other",)
    assert "secret_plan" not in str(dict(attributes))


def test_a_new_question_brings_no_call_back():
    """After an answer in words the calls before it are history."""
    talk = [{"role": "user", "content": "go"}, *called(look()), {"role": "assistant", "content": "done"},
            {"role": "user", "content": "and now?"}]  # fmt: skip
    assert asked(testing.openai_chat("ok", prompt_tokens=20), talk, tools=[LOOK])[0].called == ()


def test_tools_that_a_server_listed_are_told():
    """A call of a tool of an MCP server has its name where the server's list stands in the request."""
    listed = {"type": "mcp_list_tools", "id": "l", "server_label": "hub",
              "tools": [{"name": "search", "input_schema": {"type": "object", "properties": {}}}]}  # fmt: skip
    done = {
        "type": "mcp_call",
        "id": "c",
        "server_label": "hub",
        "name": "search",
        "arguments": "{}",
        "output": "ok",
    }
    body = {"model": "gpt-4.1", "tools": [{"type": "mcp", "server_label": "hub", "server_url": "x"}],
            "input": [{"role": "user", "content": "go"}, listed, done]}  # fmt: skip
    prompt = dialects.find("openai.responses").parse(body)
    assert [tool.name for tool in prompt.tools] == ["mcp__hub"]
    assert offered.called(prompt) == ("search",)


@pytest.mark.parametrize("whole", [True, False])
def test_a_stream_that_is_let_go_has_no_cost(whole):
    """Anthropic's first event tells one token written, which is not what a cut stream wrote."""
    wire = testing.Wire(testing.anthropic_stream("a", "b", input_tokens=9))
    client = anthropic.Anthropic(api_key="x", http_client=wire.client("anthropic"))
    with testing.capture() as seen:
        stream = client.messages.create(
            model="claude-sonnet-4-5",
            max_tokens=9,
            messages=[{"role": "user", "content": "Hi."}],
            stream=True,
        )
        events = list(stream) if whole else [next(stream)]
        stream.close()
    (found,) = seen.calls
    assert events[0].type == "message_start"
    assert found.usage.input == 9
    assert (found.cost is not None) is whole


def test_a_toolset_of_anthropic_is_named_by_its_server():
    """A server's tools as a whole are a row of the table."""
    body = {
        "model": "claude-sonnet-4-5",
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "git"}],
    }
    (tool,) = dialects.find("anthropic.messages").parse(body).tools
    assert tools.group_of(tool.name) == "git"
