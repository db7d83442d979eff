"""OpenAI's models.

From gpt-5 on the input has a maximum of its own, window - output; litellm's model file
(``model_prices_and_context_window_backup.json``) gives the whole window as input for some of these
(gpt-5.1-codex, gpt-5.4, gpt-5.5): there window - output stands here. Models that the file no longer
lists (gpt-4.5, o1-preview, gpt-3.5-turbo-0301 …) and the 8,192 tokens of an embedding's input:
OpenAI's model pages, as remembered on that date.

Older chat models refuse prompt + requested output > window ("maximum context length is ... However,
you requested ..."). No such refusal is known for o-series models, so none is claimed.
"""

from __future__ import annotations

from tokentrace.providers._model import Model, Provider

K128 = 128_000
CL100K = "cl100k_base"


def _chat(match: str, window: int, output: int, tokenizer: str = "o200k_base") -> Model:
    return Model(match, None, output, window, refuses_sum=True, tokenizer=tokenizer)


def _reasoning(match: str) -> Model:
    return Model(match, None, 100_000, 200_000)


def _split(match: str, window: int, output: int = K128) -> Model:
    return Model(match, window - output, output, window)


MODELS = (
    _split("gpt-6-*", 1_050_000),
    _split("gpt-6.1-*", 1_050_000),
    _split("gpt-5.6-cyber", 400_000),
    _split("gpt-5.6", 1_050_000),
    _split("gpt-5.6-*", 1_050_000),
    _split("gpt-5.5", 1_050_000),
    _split("gpt-5.5-*", 1_050_000),
    _split("gpt-5.4-mini*", 400_000),
    _split("gpt-5.4-nano*", 400_000),
    _split("gpt-5.4", 1_050_000),
    _split("gpt-5.4-*", 1_050_000),
    _split("daybreak-blue", 1_050_000),
    _split("gpt-daybreak-blue", 1_050_000),
    _split("daybreak-red", 400_000),
    _split("gpt-daybreak-red", 400_000),
    _split("chat-latest", 400_000),
    _chat("gpt-5-chat*", K128, 16_384),
    _chat("gpt-5.[123]-chat*", K128, 16_384),
    Model("gpt-5-pro*", None, 272_000, 400_000),
    _split("gpt-5", 400_000),
    _split("gpt-5-*", 400_000),
    _split("gpt-5.[123]", 400_000),
    _split("gpt-5.[123]-*", 400_000),
    _chat("gpt-4.1", 1_047_576, 32_768),
    _chat("gpt-4.1-*", 1_047_576, 32_768),
    _chat("gpt-4.5-preview", K128, 16_384),
    _chat("gpt-4o-2024-05-13", K128, 4_096),
    _chat("gpt-4o", K128, 16_384),
    _chat("gpt-4o-*", K128, 16_384),
    _chat("chatgpt-4o", K128, 16_384),
    _chat("gpt-audio*", K128, 16_384),
    _reasoning("o1"),
    Model("o1-preview", None, 32_768, K128),
    Model("o1-mini", None, 65_536, K128),
    _reasoning("o1-pro"),
    _reasoning("o3*"),
    _reasoning("o4*"),
    Model("codex-mini", None, 100_000, 200_000),
    _chat("computer-use-preview", 8_192, 1_024),
    _chat("gpt-4-turbo*", K128, 4_096, CL100K),
    _chat("gpt-4-1106-*", K128, 4_096, CL100K),
    _chat("gpt-4-0125-*", K128, 4_096, CL100K),
    _chat("gpt-4-vision*", K128, 4_096, CL100K),
    _chat("gpt-4-32k*", 32_768, 4_096, CL100K),
    _chat("gpt-4", 8_192, 4_096, CL100K),
    _chat("gpt-3.5-turbo-instruct*", 4_096, 4_096, CL100K),
    _chat("gpt-3.5-turbo-0301", 4_096, 4_096, CL100K),
    _chat("gpt-3.5-turbo-0613", 4_096, 4_096, CL100K),
    _chat("gpt-3.5-turbo*", 16_385, 4_096, CL100K),
    _chat("babbage-002", 16_384, 4_096, CL100K),
    _chat("davinci-002", 16_384, 4_096, CL100K),
    Model("text-embedding-3-*", 8_192, tokenizer=CL100K),
    Model("text-embedding-ada-002*", 8_192, tokenizer=CL100K),
    Model("gpt-oss*", None, None, 131_072),
)

OPENAI = Provider(
    "openai",
    "openai",
    ("api.openai.com", "*.api.openai.com"),
    MODELS,
    "2026-11-22",
    "model file of litellm 1.109.1 (MIT); OpenAI's model pages, as remembered, for what it lacks",
)
