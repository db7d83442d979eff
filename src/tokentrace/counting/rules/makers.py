"""What is known of makers that publish no tokenizer, or whose tokenizer is not here: numbers only.

Each row stands for models that count alike: tokens for each o200k_base token of text, and what
templates and hidden prompts add. Learned from reported usage of recorded requests (134 of Bedrock,
Cohere and Ollama, 2024-03 to 2026-11); last looked at 2026-11-25. ``scripts/learn_makers.py`` prints
what the rows leave over, the terms that fit best, and how each repository is judged by the others:
that is possible for Nova and Gemma, while most hidden prompts were seen in one or two repositories.
The templates of Llama 3 and Gemma are public; hosts add lines of date and settings to them.

A bound is a share of the total and a constant, by whether tools are in play; both are wider where
few requests were seen. Some makers' tokenizers split words in capitals finer than o200k_base does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from tokentrace import providers
from tokentrace.prompt import Message

# A text without any small letter, from so many characters on.
SHOUT = 64
# Messages, and letters of each, that are looked at; punctuation like dashes and quotes counts too.
MESSAGES, LETTERS = 64, 64
LAST_LATIN = "\u024f"
# What the share of foreign text may be off by.
FOREIGN = 0.5
NUMBERS = re.compile("[0-9]{2,}")


@dataclass(frozen=True, slots=True)
class Maker:
    """How a group of models counts.

    Attributes:
        match: glob over plain model names.
        text: tokens for each o200k_base token of text.
        once: tokens for each prompt.
        user, answer, system: tokens for each message of the user, the model, the system.
        tools: tokens for each o200k_base token of definitions as JSON with spaces.
        prompt: tokens that stand once before the tools.
        call: tokens on top of each call, and of each result.
        schema: tokens for each o200k_base token of a response schema as compact JSON, and once.
        document: tokens for each prompt with documents, and on top of each of them.
        thought: whether the model still sees the reasoning of earlier answers.
        guard: tokens around each text that a guardrail is to look at.
        image, page: tokens of an image of unknown size, of a file.
        pixels: of an image that cost a token.
        digits: whether the tokenizer takes digits one by one; o200k_base takes up to three at once.
        capitals: the factor of text in capitals, on top of ``text``.
        plain, tooled: bounds without and with tools, a share of the total and ± tokens.
        sure: whether so many requests were seen that the numbers are learned, not guessed.
    """

    match: str
    text: float = 1.05
    once: int = 0
    user: int = 4
    answer: int = 4
    system: int = 4
    tools: float = 1.0
    prompt: int = 0
    call: int = 5
    schema: tuple[float, int] = (0.0, 0)
    document: tuple[int, int] = (0, 10)
    thought: bool = True
    guard: int = 0
    image: int = 600
    page: int = 600
    pixels: int = 0
    digits: bool = False
    capitals: float = 1.25
    plain: tuple[float, int] = (0.3, 10)
    tooled: tuple[float, int] = (0.5, 45)
    sure: bool = False


NOVA_2 = Maker(
    "*nova-2*", 0.93, 47, 0, 5, 1, tools=1.05, prompt=810, call=15, thought=False,
    guard=12, pixels=750, page=2_500, plain=(0.12, 4), tooled=(0.12, 12), sure=True,
)  # fmt: skip
NOVA = Maker(
    "*nova*", 1.0, 0, 0, 6, 0, tools=1.05, prompt=338, call=14, thought=False,
    guard=12, digits=True, pixels=750, plain=(0.12, 3), tooled=(0.12, 10), sure=True,
)  # fmt: skip
COMMAND_A = Maker(
    "*command-a*", 1.08, 494, 0, 0, 34, tools=1.05, prompt=886, call=36, schema=(1.4, 60),
    document=(390, 10), digits=True, plain=(0.12, 8), tooled=(0.1, 12), sure=True,
)  # fmt: skip
MAKERS = (
    NOVA_2,
    NOVA,
    Maker(
        "*command-a-plus*", 1.0, 25, 0, 0, 0, tools=1.05, prompt=166, call=34, schema=(1.4, 25),
        document=(390, 10), digits=True, plain=(0.12, 8), tooled=(0.12, 12), sure=True,
    ),
    Maker("*command-a-reasoning*", 1.0, 1_400, 0, 0, 34, 1.05, 0, 36),
    COMMAND_A,
    Maker(
        "*command-r7b*", 1.0, 495, 0, 0, 34, tools=1.05, prompt=890, call=34, schema=(1.4, 60),
        document=(390, 10), digits=True, plain=(0.12, 8), tooled=(0.1, 12), sure=True,
    ),
    Maker("*command-r-*-2024*", 1.0, 199, 0, 0, 10, 1.05, 886, 36, plain=(0.1, 12)),
    Maker("*command-r*", 1.02, 70, 0, 0, 10, 1.05, 700, 36, plain=(0.12, 12)),
    Maker("*command*", 1.0, 62, 0, 0, 10, 1.05, 700, 36, plain=(0.12, 12)),
    Maker("*titan*", 1.05, 3, 0, 0, 0, plain=(0.15, 4)),
    Maker("*gemma*", 1.03, 4, 5, 5, 5, digits=True, plain=(0.1, 5)),
    Maker("*llama3.2*", 1.0, 20, 5, 5, 5, prompt=90, plain=(0.15, 8)),
    Maker("*llama2*", 1.17, 1, 4, 4, 4, plain=(0.2, 5)),
    Maker("*llama-2*", 1.17, 1, 4, 4, 4, plain=(0.2, 5)),
    Maker("*llama*", 1.02, 5, 5, 5, 5, prompt=90, plain=(0.2, 10)),
    Maker("*qwen*3.6*", 1.0, 5, 5, 5, 5, tools=1.1, prompt=200, digits=True, thought=False),
    Maker("*qwen*", 1.05, 5, 5, 5, 5, tools=1.1, prompt=140, digits=True, thought=False),
    Maker("*gpt-oss*", 1.0, 64, 4, 4, 4, capitals=1.0, plain=(0.1, 6)),
    Maker("*mistral*", 1.03, 1, 2, 1, 2, 1.03, 6, 8),
    Maker("*palmyra*", 1.05, 5, 5, 5, 5, prompt=20),
    Maker("*jamba*", 1.05, 6, 5, 5, 5),
    Maker("*nemotron*", 1.05, 10, 5, 5, 5),
    Maker("*deepseek*", 1.05, 0, 3, 3, 3, tools=1.2, prompt=110, call=10),
    Maker("*glm*", 1.05, 0, 3, 3, 3, tools=1.1, prompt=110),
    Maker("*grok-[4-9]*", 1.0, 0, 4, 4, 4, tools=1.1, prompt=330),
)  # fmt: skip
OTHER = Maker("*")


@lru_cache(maxsize=256)
def maker(model: str) -> Maker:
    """Return the numbers of a model's maker, by its name."""
    name = providers.plain(model)
    return next((one for one in MAKERS if fnmatchcase(name, one.match)), OTHER)


def digits(text: str) -> int:
    """Return how many tokens more a text has where each digit is one, than in o200k_base."""
    return sum(len(run) - (len(run) + 2) // 3 for run in NUMBERS.findall(text))


def shouted(text: str) -> bool:
    """Whether a text is written in capitals."""
    return len(text) >= SHOUT and text.isupper()


def foreign(messages: Sequence[Message]) -> float:
    """Return about what share of a prompt's text is in no Latin letters, from samples of it.

    How many tokens such text has differs most between tokenizers, and the recordings have little.
    """
    step = max(1, len(messages) // MESSAGES)
    texts = [part.text for one in messages[::step] for part in one.parts if part.text]
    total = sum(map(len, texts))
    odd = sum(len(text) * _foreign(text) for text in texts if not text.isascii())
    return odd / total if total else 0.0


def _foreign(text: str) -> float:
    seen = text[:: max(1, len(text) // LETTERS)][:LETTERS]
    return sum(letter > LAST_LATIN for letter in seen) / len(seen)
