"""Anthropic's models.

Claude 4.1 and older are from the Bedrock rows of litellm's model file
(``model_prices_and_context_window_backup.json``), Claude 3.7's output from Anthropic's model page, as
remembered on that date. Claude 4.5 and newer answer when input + max_tokens > window and stop with
``model_context_window_exceeded``; older ones refuse (Anthropic's page on context windows).

A beta header gives Sonnet 4 and 4.5 a window of 1,000,000: a body does not show it, so the common
window stands here. No public tokenizer exists: o200k_base and a factor count the text.
"""

from __future__ import annotations

from tokentrace.providers._model import Model, Provider

M1 = 1_000_000
K200 = 200_000


def _new(match: str, window: int, output: int, family: str) -> Model:
    return Model(match, None, output, window, family=family)


def _old(match: str, window: int, output: int, family: str) -> Model:
    return Model(match, None, output, window, refuses_sum=True, family=family)


MODELS = (
    _new("claude-fable-5*", M1, 128_000, "claude-new"),
    _new("claude-mythos-*", M1, 128_000, "claude-new"),
    _new("claude-*-5-5", M1, 128_000, "claude-new"),
    _new("claude-opus-5", M1, 128_000, "claude-new"),
    _new("claude-sonnet-5", M1, 128_000, "claude-new"),
    _new("claude-opus-4-[78]", M1, 128_000, "claude-new"),
    _new("claude-opus-4-6", M1, 128_000, "claude-4"),
    _new("claude-sonnet-4-6", M1, 128_000, "claude-4"),
    _new("claude-opus-4-5", K200, 64_000, "claude-4"),
    _new("claude-sonnet-4-5", K200, 64_000, "claude-4"),
    _new("claude-haiku-4-5", K200, 64_000, "claude-4"),
    _old("claude-opus-4-1", K200, 32_000, "claude-4"),
    _old("claude-opus-4", K200, 32_000, "claude-4"),
    _old("claude-4-opus", K200, 32_000, "claude-4"),
    _old("claude-sonnet-4", K200, 64_000, "claude-4"),
    _old("claude-4-sonnet", K200, 64_000, "claude-4"),
    _old("claude-3-7-sonnet", K200, 64_000, "claude-3"),
    _old("claude-3-5-sonnet-20240620", K200, 4_096, "claude-3"),
    _old("claude-3-5-*", K200, 8_192, "claude-3"),
    _old("claude-3-*", K200, 4_096, "claude-3"),
    _old("claude-2.1", K200, 4_096, "claude-3"),
    _old("claude-v2:1", K200, 4_096, "claude-3"),
    _old("claude-2*", 100_000, 4_096, "claude-3"),
    _old("claude-v2", 100_000, 4_096, "claude-3"),
    _old("claude-instant*", 100_000, 4_096, "claude-3"),
)

ANTHROPIC = Provider(
    "anthropic",
    "anthropic",
    ("api.anthropic.com",),
    MODELS,
    "2026-11-22",
    "model file of litellm 1.109.1 (MIT); Anthropic's pages on its models and context windows",
)
