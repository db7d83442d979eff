"""The registry: names, hosts, limits."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from tokentrace import providers
from tokentrace.prompt import Limit
from tokentrace.providers import Model

ROWS = [(p, row) for p in providers.PROVIDERS.values() for row in p.models]
STANDARD = {
    *("openai", "anthropic", "aws.bedrock", "azure.ai.inference", "azure.ai.openai", "cohere"),
    *("deepseek", "gcp.gemini", "gcp.gen_ai", "gcp.vertex_ai", "groq", "ibm.watsonx.ai"),
    *("mistral_ai", "moonshot_ai", "perplexity", "x_ai"),
}


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("gpt-4o", "gpt-4o"),
        ("  GPT-4o ", "gpt-4o"),
        ("azure/gpt-4o", "gpt-4o"),
        ("gpt-35-turbo-16k", "gpt-3.5-turbo-16k"),
        ("ft:gpt-4o-2024-08-06:acme::id", "gpt-4o-2024-08-06"),
        ("openai/gpt-5:free", "gpt-5"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4-20250514"),
        ("anthropic.claude-v2:1", "claude-v2:1"),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-3-haiku-20240307-v1:0",
            "claude-3-haiku-20240307",
        ),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5-20251001"),
        ("openrouter/anthropic/claude-sonnet-4.5:beta", "claude-sonnet-4-5"),
        ("claude-2.1", "claude-2.1"),
        ("claude-sonnet-4-0", "claude-sonnet-4"),
        ("ft:", ""),
        ("", ""),
    ],
)
def test_names_become_plain(model, plain):
    """What hosts put around a model's name is taken off."""
    assert providers.plain(model) == plain


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-*"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-5-chat-latest", "gpt-5-chat*"),
        ("gpt-5.1-codex-max", "gpt-5.[123]-*"),
        ("o3-mini", "o3*"),
        ("claude-3-5-haiku-latest", "claude-3-5-*"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-*"),
    ],
)
def test_models_find_their_row(model, match):
    """A dated, prefixed or tuned name finds the row of its model."""
    row = providers.find(model)[1]
    assert row is not None
    assert row.match == match


@pytest.mark.parametrize(
    "model",
    ["", "llama3:8b", "gpt-5.9", "gpt-10", "gpt-6.7-sol", "claude-zebra", "*", "[", "x" * 5000],
)
def test_unknown_models_have_no_row(model):
    """A name nobody knows gives None, never a guess."""
    assert providers.find(model)[1] is None


@pytest.mark.parametrize(
    ("model", "provider", "url", "name"),
    [
        ("gpt-4o", "", "", "openai"),
        ("gpt-4o", "", "https://api.openai.com/v1/", "openai"),
        ("gpt-4o", "", "https://acme.openai.azure.com/openai/", "azure"),
        ("gpt-4o", "azure", "https://proxy.example/v1", "azure"),
        ("gpt-4o", "azure.ai.openai", "", "azure"),
        ("llama3", "", "https://api.groq.com/openai/v1", "groq"),
        ("gpt-4o", "", "http://localhost:8000/v1", "local"),
        ("gpt-4o", "", "http://[::1]:8000/v1", "local"),
        ("gpt-4o", "", "https://user:secret@127.0.0.1/v1", "local"),
        ("gpt-4o", "", "https://gateway.example/v1", ""),
        ("claude-sonnet-4-5", "", "", "anthropic"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "", "", "bedrock"),
        ("x", "", "https://bedrock-runtime.eu-west-1.amazonaws.com", "bedrock"),
        ("x", "", "https://europe-west1-aiplatform.googleapis.com", "vertex"),
        ("openrouter/auto", "", "", "openrouter"),
        ("gemini-3-flash", "", "", "gemini"),
        ("x", "in-house", "", "in-house"),
        ("x", "", "", ""),
    ],
)
def test_providers_are_found_by_name_host_and_model(model, provider, url, name):
    """The caller's word comes first, then the host, then the model's name."""
    assert providers.find(model, provider, url)[0].name == name


def test_a_model_is_known_whoever_serves_it():
    """The row follows the model, not the host."""
    direct = providers.find("gpt-4o")[1]
    assert direct is not None
    assert providers.find("gpt-4o", "azure")[1] is direct


def test_standard_names_are_the_standards():
    """Where the standard names a provider, our table uses that name."""
    names = {p.otel_name for p in providers.PROVIDERS.values()}
    assert names & STANDARD == STANDARD - {"gcp.gen_ai"}


@pytest.mark.parametrize(("provider", "row"), ROWS)
def test_rows_are_sound(provider, row):
    """Each row has a window or an input, sane sizes, and a dated table that names its source."""
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", provider.dated)
    assert provider.source
    assert provider.source.isprintable()
    assert row.window or row.input
    assert row.input is None or row.window is None or row.input <= row.window
    assert row.output is None or row.window is None or row.output <= row.window
    assert row.tokenizer in {"o200k_base", "cl100k_base"}


@pytest.mark.parametrize(("provider", "row"), ROWS)
def test_no_row_is_hidden_by_an_earlier_one(provider, row):
    """The first name that a row's glob stands for is not caught by a row before it."""
    name = row.match.replace("*", "").replace("[123]", "1").replace("[78]", "7")
    earlier = provider.models[: provider.models.index(row)]
    caught = [other.match for other in earlier if fnmatchcase(name, other.match)]
    assert caught == []


@pytest.mark.parametrize(
    ("model", "max_output", "reserve", "tokens"),
    [
        ("gpt-5", 100_000, True, 272_000),
        ("gpt-4o", 16_000, True, 112_000),
        ("gpt-4o", 16_000, False, 128_000),
        ("gpt-4o", None, True, 128_000),
        ("gpt-4", 9_000, True, 0),
        ("claude-sonnet-4", 8_000, True, 192_000),
        ("claude-sonnet-4-5", 8_000, True, 200_000),
        ("text-embedding-3-small", None, True, 8_192),
    ],
)
def test_limits_follow_the_providers_refusals(model, max_output, reserve, tokens):
    """Requested output counts only where the provider refuses the sum."""
    row = providers.find(model)[1]
    assert row is not None
    assert providers.limit(row, max_output, reserve=reserve) == Limit(tokens, "registry")


def test_a_soft_limit_is_no_refusal():
    """Where output does not fit but nobody refuses, the limit is soft; elsewhere it is hard."""
    soft = providers.soft_limit(providers.find("claude-sonnet-4-5")[1], 8_000)
    hard = providers.soft_limit(providers.find("gpt-4o")[1], 8_000)
    split = providers.soft_limit(providers.find("gpt-5")[1], 8_000)
    assert (soft.tokens, soft.hard) == (192_000, False)
    assert (hard.tokens, hard.hard) == (120_000, True)
    assert (split.tokens, split.hard) == (272_000, True)


def test_a_model_without_numbers_has_no_limit():
    """A row without a window and an input says so."""
    assert providers.limit(Model("x"), 10) == Limit()
    assert providers.soft_limit(Model("x"), 10) == Limit()
