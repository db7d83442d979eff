"""Recorded usage of every provider: the lines add up to what the list says the call costs."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import recorded_costs
from recorded_costs import CACHED, Recorded, held, measure, record, usage_of, with_cached

from tokentrace.insights import cost
from tokentrace.prompt import CallRecord, Usage
from tokentrace.providers import prices

pytest.importorskip("genai_prices")
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "truth" / "dev.jsonl.xz"
MUST = {"openai", "anthropic", "gemini", "vertex", "bedrock", "azure", "mistral", "openrouter", "xai",
        "deepseek", "groq", "cohere", "perplexity", "zai", "together", "cerebras"}  # fmt: skip

# Bodies of our own, with the fields of each provider's usage.
OWN = [
    ("openai", "openai.chat", "gpt-4o-2024-08-06", {"usage": {
        "prompt_tokens": 2_431, "completion_tokens": 77, "total_tokens": 2_508,
        "prompt_tokens_details": {"cached_tokens": 1_920},
        "completion_tokens_details": {"reasoning_tokens": 0}}}),
    ("openai", "openai.responses", "gpt-5", {"service_tier": "default", "usage": {
        "input_tokens": 61_007, "output_tokens": 1_204, "total_tokens": 62_211,
        "input_tokens_details": {"cached_tokens": 59_904},
        "output_tokens_details": {"reasoning_tokens": 1_088}}}),
    ("anthropic", "anthropic.messages", "claude-sonnet-4-5", {"usage": {
        "input_tokens": 13, "output_tokens": 411, "cache_read_input_tokens": 210_003,
        "cache_creation_input_tokens": 1_977, "service_tier": "standard",
        "cache_creation": {"ephemeral_5m_input_tokens": 977, "ephemeral_1h_input_tokens": 1_000}}}),
    ("xai", "openai.chat", "grok-3-mini", {"usage": {
        "prompt_tokens": 300, "completion_tokens": 30, "total_tokens": 480,
        "prompt_tokens_details": {"cached_tokens": 288},
        "completion_tokens_details": {"reasoning_tokens": 150}}}),
    ("gemini", "gemini.generateContent", "gemini-2.5-pro", {"usageMetadata": {
        "promptTokenCount": 250_019, "candidatesTokenCount": 90, "thoughtsTokenCount": 800,
        "cachedContentTokenCount": 200_000, "totalTokenCount": 250_909}}),
    ("bedrock", "bedrock.converse", "anthropic.claude-3-5-haiku-20241022-v1:0", {"usage": {
        "inputTokens": 19, "outputTokens": 7, "cacheReadInputTokens": 3_000, "cacheWriteInputTokens": 41}}),
]  # fmt: skip


def call(body):
    """Return the record of a call with these numbers, a few tokens of it counted by nobody."""
    one = Recorded(*body[:3], {}, body[3])
    counted = max(0, (usage_of(one).input or 0) - 5)
    parts = {"framing": counted // 7, "system": counted // 3}
    return record(one, {**parts, "user": counted - sum(parts.values())})


@pytest.mark.parametrize("body", OWN, ids=[one[2] for one in OWN])
def test_own_bodies_cost_what_the_list_says(body):
    """Uncached, cached, written for long, thought, beyond a step: the lines are the list's total."""
    assert held(call(body)) == (True, True)


def test_every_share_of_a_cache_costs_what_the_list_says():
    """Where a body tells of no cache, it costs what the list says with any part read and written."""
    provider, api, model, answer = OWN[0]
    usage = {**answer["usage"], "prompt_tokens_details": {}}
    plain = call((provider, api, model, {**answer, "usage": usage}))
    found = [held(one) for one in with_cached(plain)]
    assert found == [(True, True)] * len(recorded_costs.SHARES)


def moments(info):
    """Yield a day, and the moments at which a model's prices change, with those just before."""
    yield recorded_costs.MOMENT
    rules = (
        *(info.prices if isinstance(info.prices, list) else ()),
        *(info.price_variants or ()),
    )
    for limit in filter(None, (rule.constraint for rule in rules)):
        if hasattr(limit, "start_date"):
            borders = [datetime.combine(limit.start_date, datetime.min.time(), UTC)]
        else:
            times = (limit.start_time, limit.end_time)
            borders = [
                datetime.combine(date(2026, 11, 30), one.replace(tzinfo=UTC)) for one in times
            ]
        for border in borders:
            yield from (border, border - timedelta(milliseconds=1))


def usages(price, tier, noise):
    """Yield a usage at and above every step of a price, with anything cached, written, thought."""
    writes = price.steps[-1][1].output is not None
    for start in {999, *(start for start, _ in price.steps)}:
        for size in {max(0, start), start + 1}:
            output = noise.randint(0, 10**5) if writes else 0
            read = noise.randint(0, size)
            write = noise.randint(0, size - read)
            yield Usage(size, output, read, write, noise.randint(0, output), tier=tier,
                        cache_write_long=noise.randint(0, write))  # fmt: skip


def priced(every):
    """Yield a call for each price of the list: of each model, tier, step and time."""
    noise = random.Random(7)
    for provider in every:
        for info in provider.models:
            if provider.find_model(info.id, all_providers=every) is not info:
                continue
            variants = [one.when for one in info.price_variants or ()]
            tiers = {one.get(key, "") for one in ({}, *variants) for key in prices.TIER_KEYS}
            for moment, tier in (
                (one, tier) for one in set(moments(info)) for tier in sorted(tiers)
            ):
                when = round(moment.timestamp() * 1_000) * 10**6
                found = prices.price_of(provider.id, info.id, when, tier)
                for usage in usages(found, tier, noise) if found else ():
                    yield CallRecord(provider=provider.id, model=info.id, start=when, usage=usage,
                                     operation="chat" if usage.output else "embeddings", tokens=100,
                                     settings={"output.type": "text"}, components={"user": 100})  # fmt: skip


def test_every_price_of_the_list_makes_the_lists_own_cost():
    """Every model, tier, step of a long prompt and border of a time costs what the list works out."""
    from genai_prices.data_snapshot import get_snapshot

    calls = list(priced(get_snapshot().providers))
    found = [(held(one), one) for one in calls if one.provider != "cohere"]
    assert len(found) > 5_000
    assert [one for both, one in found if both != (True, True)] == []


def test_a_cost_that_differs_is_seen(monkeypatch):
    """Lines that come to another sum than the tokens at their prices, and the list's, are told."""
    one = call(OWN[0])
    whole = cost.spent(one)
    monkeypatch.setattr(cost, "spent", lambda _: whole._replace(output=whole.output + 2_000_000))
    assert held(one) == (False, False)


def test_rows_say_what_is_unknown(tmp_path):
    """A row counts the calls, what was held of them, and why the others have no cost."""
    body = {"provider": "openai", "api": "openai.chat", "response_model": None, "usage": OWN[0][3]["usage"],
            "request": {"messages": [{"role": "user", "content": "hi"}]}}  # fmt: skip
    path = tmp_path / "some.jsonl"
    models = ("gpt-4o", "my-own")
    path.write_text("\n".join(json.dumps({**body, "model": name}) for name in models))
    row = measure(path)["openai"]
    assert (row["calls"], row["priced"], row["exact"], row["equal"]) == (2, 1, 1, 1)
    assert row["unknown"] == {"no price": 1}


def test_recorded_usage_costs_what_the_list_says():
    """On recorded usage the lines add up, for every provider that the list knows."""
    if not RECORDED.exists():
        pytest.skip("the recorded requests are not here")
    rows = measure(RECORDED)
    assert {name for name, row in rows.items() if row["priced"]} >= MUST
    for end in ("", CACHED):
        figures = [[row[f"{name}{end}"] for row in rows.values()] for name in ("exact", "equal")]
        assert figures == [[row[f"priced{end}"] for row in rows.values()]] * 2
    assert rows["all"]["priced"] > 3_000
