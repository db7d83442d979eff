"""Recorded usage of every provider: the lines add up to what the list says the call costs."""

from __future__ import annotations

import json
import lzma
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tokentrace import dialects, providers
from tokentrace.insights import cost
from tokentrace.prompt import CallRecord
from tokentrace.providers import prices

pytest.importorskip("genai_prices")
from genai_prices import Usage as Theirs
from genai_prices.data_snapshot import get_snapshot

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "truth" / "dev.jsonl.xz"
MOMENT = datetime(2026, 6, 1, 12, tzinfo=UTC)
WHEN = int(MOMENT.timestamp()) * 10**9
MUST = {"openai", "anthropic", "google", "aws", "azure", "mistral", "openrouter", "x-ai", "deepseek",
        "groq", "cohere", "perplexity", "zai", "together", "cerebras"}  # fmt: skip

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


def recorded():
    """Yield provider, api, model and an answer with its usage of each recorded request."""
    with lzma.open(RECORDED, "rt", encoding="utf-8") as lines:
        for line in lines:
            one = json.loads(line)
            told = {
                "usage": one["usage"],
                "usageMetadata": one["usage"],
                "model": one["response_model"],
            }
            api = one["api"].replace("openai_compat", "openai")
            flat = api.startswith(("ollama", "gemini"))
            yield (
                one["provider"],
                api,
                one["model"] or "",
                {**one["usage"], **told} if flat else told,
            )


def check(provider, api, model, answer):
    """Hold a call's lines against the list's own sum; return the list's provider, None if unknown."""
    usage = (dialects.find(api) or dialects.find("generic")).usage(answer)
    server, _ = providers.find(model, provider)
    counted = max(0, (usage.input or 0) - 5)
    held = {"framing": counted // 7, "system": counted // 3}
    held["user"] = counted - sum(held.values())
    kind = "embeddings" if "embeddings" in api else "chat"
    record = CallRecord(provider=server.otel_name or server.name, model=model, operation=kind, start=WHEN,
                        components=held, tokens=counted, usage=usage)  # fmt: skip
    found = cost.spent(record)
    if found is None:
        return None
    lines = (found.drift, found.output, found.reasoning, found.request)
    assert sum(found.components.values()) + sum(lines) == found.total
    assert Decimal(found.total) / cost.UNIT == pytest.approx(theirs(record), rel=Decimal("1e-15"))
    return cost.price(record).provider


def theirs(record):
    """Return what the list's own arithmetic makes of a usage, in dollars."""
    found, usage = cost.price(record), record.usage
    (owner,) = [one for one in get_snapshot().providers if one.id == found.provider]
    names = (usage.response_model, record.model)
    known = (
        owner.find_model(name, all_providers=get_snapshot().providers) for name in names if name
    )
    entry = next(one for one in known if one is not None)
    told = {
        "input_tokens": usage.input, "output_tokens": usage.output, "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write, "cache_write_1h_tokens": usage.cache_write_long,
    }  # fmt: skip
    context = {"service_tier": usage.tier} if usage.tier not in prices.STANDARD else {}
    listed = entry.get_prices(MOMENT, context)
    return listed.calc_price(Theirs(**{key: one for key, one in told.items() if one}))[
        "total_price"
    ]


@pytest.mark.parametrize("body", OWN, ids=[one[2] for one in OWN])
def test_own_bodies_cost_what_the_list_says(body):
    """Uncached, cached, written for long, thought, beyond a step: the lines are the list's total."""
    assert check(*body) is not None


def test_recorded_usage_costs_what_the_list_says():
    """On recorded usage the lines add up, for every provider that the list knows."""
    if not RECORDED.exists():
        pytest.skip("the recorded requests are not here")
    known = [check(*one) for one in recorded()]
    assert {one for one in known if one} >= MUST
    assert sum(one is not None for one in known) > 3_000
