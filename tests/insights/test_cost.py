"""What calls cost: lines that add up, unknowns that stay unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace.insights import cost, repaid
from tokentrace.prompt import CallRecord, Usage
from tokentrace.providers.prices import Price, Rates

DOLLAR = cost.UNIT
TOKEN = DOLLAR // 10**6  # a dollar a million
FLAT = Price("here", "model", ((-1, Rates(4 * TOKEN, TOKEN, 5 * TOKEN, 8 * TOKEN, 10 * TOKEN, 12 * TOKEN)),))  # fmt: skip
NAMES = ("system", "tools", "history", "user", "framing")


def call(components=None, usage=None, **more):
    """Return a call of 100 counted tokens, 20 written ones."""
    held = {"system": 60, "user": 33, "framing": 7} if components is None else components
    told = Usage(sum(held.values()), 20) if usage is None else usage
    return CallRecord(tokens=sum(held.values()), components=held, usage=told, **more)


def added(found):
    """Return the sum of all lines of a call's cost."""
    lines = (found.drift, found.output, found.reasoning, found.request, found.rest)
    return sum(found.components.values()) + sum(lines)


def test_each_component_costs_its_tokens():
    """Without a cache a component costs its tokens at the input price, framing too."""
    found = cost.spent(call(), FLAT)
    assert found.components == {"system": 240 * TOKEN, "user": 132 * TOKEN, "framing": 28 * TOKEN}
    assert (found.output, found.drift, found.split) == (200 * TOKEN, 0, "")
    assert found.total == 600 * TOKEN == added(found)


@pytest.mark.parametrize(("reported", "drift"), [(110, 40), (90, -40)])
def test_what_was_not_counted_is_a_line_of_its_own(reported, drift):
    """Reported tokens beyond the counted ones cost by themselves; fewer take off by themselves."""
    found = cost.spent(call(usage=Usage(reported, 0)), FLAT)
    assert found.drift == drift * TOKEN
    assert found.total == reported * 4 * TOKEN == added(found)


def test_cached_tokens_are_laid_by_size_and_it_is_said():
    """Where nobody knows which tokens were read, each component has its share of them."""
    found = cost.spent(call(usage=Usage(100, 0, 50)), FLAT)
    assert found.split == "proportional"
    assert found.components["system"] == (30 * 4 + 30) * TOKEN
    assert found.total == (50 * 4 + 50) * TOKEN
    assert (found.reads, found.saved) == (50 * TOKEN, 150 * TOKEN)


def test_cached_tokens_lie_where_they_are_known_to_be():
    """What is known of a component holds; only the rest is shared among the others."""
    record = call(usage=Usage(100, 0, 62), cached={"system": 60})
    found = cost.spent(record, FLAT)
    assert found.split == "known"
    assert found.components["system"] == 60 * TOKEN
    assert found.components["user"] + found.components["framing"] == (38 * 4 + 2) * TOKEN
    assert found.total == added(found) == (38 * 4 + 62) * TOKEN


def test_written_tokens_have_their_price_by_how_long_they_are_kept():
    """Writing for an hour costs more than for minutes, and both are part of the components."""
    found = cost.spent(call(usage=Usage(100, 0, 10, 40, cache_write_long=15)), FLAT)
    assert found.total == (50 * 4 + 10 + 25 * 5 + 15 * 8) * TOKEN == added(found)
    assert found.writes == (25 * 5 + 15 * 8) * TOKEN


def test_thoughts_are_a_line_of_their_own():
    """Reasoning is taken out of the output and has its own price."""
    found = cost.spent(call(usage=Usage(100, 20, reasoning=15)), FLAT)
    assert (found.output, found.reasoning) == (50 * TOKEN, 180 * TOKEN)


def test_a_long_prompt_costs_more_for_all_of_its_tokens():
    """Above a step its price holds for every token, at the step the lower one."""
    dear = replace(
        FLAT, steps=((100, Rates(*[2 * rate for rate in FLAT.steps[0][1][:6]])), *FLAT.steps)
    )
    at, above = (cost.spent(call(usage=Usage(size, 0)), dear) for size in (100, 101))
    assert at.total == 100 * 4 * TOKEN
    assert above.total == 101 * 8 * TOKEN == added(above)


def test_a_price_for_the_call_itself_is_a_line():
    """What a request costs as such is in the total and in no component."""
    rates = FLAT.steps[0][1]._replace(request=7 * TOKEN)
    found = cost.spent(call(), replace(FLAT, steps=((-1, rates),)))
    assert found.request == 7 * TOKEN
    assert found.total == 607 * TOKEN


@given(
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 10**6)),
    st.integers(-1_000, 10**6),
    st.tuples(*[st.integers(0, 10**6)] * 4),
    st.dictionaries(st.sampled_from(NAMES), st.integers(-5, 10**6)),
)
def test_lines_add_up_to_the_price_of_the_usage(held, drift, numbers, cached):
    """Whatever is cached where, the lines are the cost of the call, to the last part."""
    total = sum(held.values()) + drift
    read, write, long, thought = numbers
    read = min(read, max(0, total))
    write = min(write, max(0, total - read))
    long = min(long, write)
    usage = Usage(total, 10**6, read, write, thought, cache_write_long=long)
    found = cost.spent(call(held, usage, cached=cached), FLAT)
    if total < 0:
        assert found is None
        return
    rates = FLAT.at(total)
    expected = (total - read - write) * rates.input + read * rates.read
    expected += (write - long) * rates.write + long * rates.write_long
    expected += (10**6 - thought) * rates.output + thought * rates.reasoning
    assert found.total == expected == added(found)
    assert min(found.components.values(), default=0) >= 0


ODD = {
    "negative input": Usage(-1, 2),
    "negative output": Usage(10, -2),
    "more cached than read": Usage(10, 2, 11),
    "cached and written beyond the input": Usage(10, 2, 6, 6),
    "negative cached": Usage(10, 2, -1),
    "negative written": Usage(10, 2, 0, -1),
    "more thought than written": Usage(10, 2, reasoning=3),
    "longer kept than written": Usage(10, 2, 0, 3, cache_write_long=4),
    "absurd": Usage(2**60, 2),
    "more than any model takes": Usage(10**9 + 1, 2),
    "more than any model writes": Usage(10, 10**9 + 1),
}


@pytest.mark.parametrize("usage", ODD.values(), ids=ODD)
def test_odd_usage_has_no_cost(usage):
    """Numbers that cannot be are no reason for a made-up price."""
    assert cost.spent(call(usage=usage), FLAT) is None
    assert cost.unknown(call(usage=usage)) == "odd usage"


@pytest.mark.parametrize("usage", [Usage(), Usage(10), Usage(None, 3)])
def test_without_usage_there_is_no_cost(usage):
    """What the provider did not report is not priced by what we counted."""
    assert cost.spent(call(usage=usage), FLAT) is None
    assert cost.unknown(call(usage=usage)) == "no usage reported"


def test_a_stream_that_was_let_go_has_no_cost():
    """What was told while it ran is not what was written; at its end it is, and elsewhere always."""
    streamed = {"settings": {"stream": True}, "usage": Usage(10, 1)}
    cut = call(api="anthropic.messages", **streamed)
    assert cost.spent(cut, FLAT) is None
    assert cost.unknown(cut) == "stream let go"
    ended = replace(cut, usage=Usage(10, 1, finish_reasons=("end_turn",)))
    assert cost.spent(ended, FLAT) is not None
    assert cost.spent(call(api="openai.chat", **streamed), FLAT) is not None
    assert cost.spent(call(api="anthropic.messages", usage=Usage(10, 1)), FLAT) is not None


def test_embeddings_report_no_output():
    """A call that writes nothing is known by its input alone."""
    assert cost.spent(call(usage=Usage(100), operation="embeddings"), FLAT).total == 400 * TOKEN


def test_a_refused_call_was_not_sent():
    """The guard's refusal costs nothing, and is not among the unknown."""
    record = call(decision="refuse", usage=Usage())
    assert cost.unknown(record) == "not sent"
    bill = cost.bill([record])
    assert (bill.total, bill.unknown) == (None, {})


def test_media_with_a_price_of_their_own_are_unknown():
    """Where sound or images cost otherwise, and some may be among the tokens, nobody knows the cost."""
    apart = replace(FLAT, media=True)
    assert cost.spent(call({"media": 5, "user": 5}), apart) is None
    assert cost.spent(call(), apart) is not None


def test_drawn_output_is_unknown_unless_it_was_text():
    """A model that also draws is priced where the request asked for text."""
    draws = replace(FLAT, drawn=True)
    assert cost.spent(call(), draws) is None
    assert cost.spent(call(settings={"output.type": "text"}), draws) is not None


def test_output_without_a_price_is_unknown():
    """A model that has no price for what it writes has no cost when it writes."""
    rates = FLAT.steps[0][1]._replace(output=None, reasoning=None)
    price = replace(FLAT, steps=((-1, rates),))
    assert cost.spent(call(), price) is None
    assert cost.spent(call(usage=Usage(100, 0)), price).total == 400 * TOKEN


def test_free_is_known_and_unknown_is_not_free():
    """A price of 0 is a cost of 0; no price is no cost at all."""
    free = replace(FLAT, steps=((-1, Rates(0, 0, 0, 0, 0, 0)),))
    assert cost.spent(call(), free).total == 0
    bill = cost.bill([call(provider="nobody", model="nothing")])
    assert bill.total is None
    assert bill.unknown == {("nobody", "nothing", "no price"): 1}


def test_components_below_nothing_are_not_believed():
    """With a component of less than no tokens the whole input is a line of its own."""
    found = cost.spent(call({"user": -5, "system": 105}, Usage(100, 0)), FLAT)
    assert found.components == {}
    assert found.drift == 400 * TOKEN


def test_what_a_record_says_holds_where_the_list_says_otherwise():
    """A recorded cost is taken with what its components tell; the rest is a line."""
    told = call(cost=0.5, costs={"system": 0.25})
    found = cost.agreed(told, cost.spent(told, FLAT))
    assert found.components == {"system": DOLLAR // 4}
    assert found.rest == DOLLAR // 4
    assert found.total == DOLLAR // 2


def test_where_record_and_list_agree_all_lines_are_told():
    """The list's lines stand where they come to what was recorded."""
    listed = cost.spent(call(), FLAT)
    assert cost.agreed(call(cost=cost.usd(listed.total)), listed) is listed
    assert cost.agreed(call(), None) is None
    assert cost.agreed(call(cost=-1.0), None) is None


def test_bills_add_up():
    """A bill of many calls is the sum of their costs, line by line."""
    one, two = cost.spent(call(), FLAT), cost.spent(call(usage=Usage(110, 20, 50)), FLAT)
    bill, other = cost.Bill(), cost.Bill()
    bill.add(one)
    other.add(two)
    bill.merge(other)
    assert bill.total == one.total + two.total
    assert (bill.known, bill.proportional, bill.saved) == (2, 1, two.saved)


def priced(**usage):
    """Return a call of a listed model, with the lineage of others."""
    told = Usage(**{"input": 4_000, "output": 10, **usage})
    return CallRecord(provider="anthropic", model="claude-3-5-sonnet-20241022", start=1_735_689_600 * 10**9,
                      components={"user": 4_000}, tokens=4_000, usage=told, lineage="a")  # fmt: skip


def test_what_was_cached_and_is_read_no_more_was_paid_again():
    """Tokens that the call before left in the cache cost the difference between plain and read."""
    pytest.importorskip("genai_prices")
    before, now = priced(cache_read=1_000, cache_write=2_000), priced(cache_read=0, cache_write=0)
    rates = cost.price(now).at(4_000)
    assert repaid.missed(now, before) == repaid.Missed(3_000, 3_000 * (rates.input - rates.read))


def test_nothing_was_missed_where_all_was_read():
    """A call that read what there was missed nothing; one that tells nothing is not judged."""
    pytest.importorskip("genai_prices")
    before = priced(cache_read=1_000, cache_write=2_000)
    assert repaid.missed(priced(cache_read=3_000), before) == repaid.Missed(0, 0)
    assert repaid.missed(priced(), before) is None


def test_a_known_break_tells_of_all_that_could_have_been_read():
    """Where a component broke the prefix, what both prompts can share was paid again at most."""
    pytest.importorskip("genai_prices")
    now = replace(priced(cache_read=500), cache_broken_by="system")
    assert repaid.missed(now, priced(cache_read=0)).tokens == 3_500


def test_what_a_provider_tells_of_its_cache_bounds_a_break():
    """Where writes are told, no more can have been missed than was kept, whatever broke the prefix."""
    pytest.importorskip("genai_prices")
    broken = replace(priced(cache_read=500), cache_broken_by="system")
    assert repaid.missed(broken, priced(cache_read=400, cache_write=600)).tokens == 500
    assert repaid.missed(broken, priced(cache_read=0, cache_write=0)) == repaid.Missed(0, 0)


def test_what_was_missed_is_paid_as_written_only_as_far_as_it_was_written():
    """Tokens that were paid again cost a write for as many as were written, and else plain input."""
    pytest.importorskip("genai_prices")
    before = priced(cache_read=1_000, cache_write=2_000)
    now = priced(cache_read=0, cache_write=700, cache_write_long=200)
    rates = cost.price(now).at(4_000)
    dearer = (200 * rates.write_long + 500 * rates.write + 2_300 * rates.input) - 3_000 * rates.read
    assert repaid.missed(now, before) == repaid.Missed(3_000, dearer)


def listed(**changes):
    """Return a call of a listed model of OpenAI's, on a day."""
    plain = {"provider": "openai", "model": "gpt-4o", "start": 1_760_000_000 * 10**9}
    return call(**{**plain, **changes})


@pytest.mark.parametrize(
    "host",
    ["10.0.0.5", "vllm", "192.168.1.4", "host.docker.internal", "llm.corp.example", "localhost", "::1",
     "127.0.0.1", "gpu.local", "api.openai.com.example", "LOCALHOST"],
)  # fmt: skip
def test_a_server_of_ones_own_has_no_price(host):
    """A listed name at a host that nobody knows is no listed model, whoever's SDK asked for it."""
    pytest.importorskip("genai_prices")
    found = listed(server_address=host)
    assert cost.spent(found) is None
    assert cost.unknown(found) in {"unknown host", "no price"}


@pytest.mark.parametrize(
    ("provider", "model", "host", "seller"),
    [("openai", "gpt-4o", "api.openai.com", "openai"), ("openai", "gpt-4o", "eu.api.openai.com", "openai"),
     ("openai", "gpt-4o", "", "openai"), ("azure.ai.openai", "gpt-4o", "apim.corp.example", "azure"),
     ("azure.ai.openai", "gpt-4o", "me.openai.azure.com", "azure"),
     ("aws.bedrock", "amazon.nova-lite-v1:0", "vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com", "aws"),
     ("openai", "openai/gpt-4o", "openrouter.ai", "openrouter")],
)  # fmt: skip
def test_the_host_says_whose_price_it_is(provider, model, host, seller):
    """A known host has its own list; who serves customers under their own names keeps its own."""
    pytest.importorskip("genai_prices")
    found = cost.price(listed(provider=provider, model=model, server_address=host))
    assert found.provider == seller


@pytest.mark.parametrize(
    ("provider", "asked", "answered", "priced_as"),
    [("openai", "gpt-4.1-mini", "moonshotai/kimi-k2", None), ("azure", "gpt-4", "my-own-2025-04-14", None),
     ("openai", "gpt-4o", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"), ("openai", "gpt-4o", "", "gpt-4o"),
     ("xai", "grok-3-mini", "grok-3-mini-high", "grok-3-mini"),
     ("bedrock", "us.anthropic.claude-3-sonnet-20240229-v1:0", "claude-3-sonnet-28k-20240229",
      "regional.anthropic.claude-3-sonnet-20240229-v1:0"),
     ("openrouter", "anthropic/claude-sonnet-4", "anthropic/claude-4-sonnet-20250522", "anthropic/claude-sonnet-4"),
     ("azure", "my-deployment", "gpt-4o-2024-08-06", "gpt-4o"),
     ("gemini", "models/gemini-embedding-001", "", "gemini-embedding-001"),
     ("vertex", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro", "", "gemini-2.5-pro"),
     ("vertex", "projects/p/locations/l/models/gemini-2.5-pro", "", None),
     ("fireworks", "accounts/me/models/gpt-oss-120b", "", None)],
)  # fmt: skip
def test_the_model_that_answered_is_priced(provider, asked, answered, priced_as):
    """What was asked for is priced only where no other model answered."""
    pytest.importorskip("genai_prices")
    usage = Usage(100, 20, response_model=answered)
    found = cost.price(listed(provider=provider, model=asked, usage=usage))
    assert (found and found.model) == priced_as


def test_what_is_billed_is_priced():
    """Where a provider bills other tokens than it read those are the cost; the rest is taken off."""
    read = Usage(502, 26, 464, reasoning=2, billed=(7, 22))
    found = cost.spent(call({"user": 502}, read, provider="cohere"), FLAT)
    assert found.total == (7 * 4 + 22 * 10) * TOKEN == added(found)
    assert (found.drift, found.reads) == (-495 * 4 * TOKEN, 0)


def test_without_billed_tokens_such_a_provider_has_no_cost():
    """A span does not tell what Cohere bills: what it read is not priced in its place."""
    silent = call(usage=Usage(502, 26), provider="cohere")
    assert cost.spent(silent, FLAT) is None
    assert cost.unknown(silent) == "billed tokens not told"
    assert cost.spent(replace(silent, usage=Usage(5), operation="embeddings"), FLAT) is not None
    assert cost.unknown(replace(silent, usage=Usage(502, 26, billed=(600, -1)))) == "odd usage"
