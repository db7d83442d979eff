"""What providers say when a prompt does not fit: wordings as a dated table, and how they are read.

Wordings: error texts in public issues and in error lists of other clients, read 2026-11-25; few
makers document theirs, and any may reword. Numbers are read only where the words around them say
what they are; an error that speaks of a rate, a quota or a time is none of ours, whatever else it
says. Nothing here keeps a text, and nothing takes longer for a longer one.

Not read: a status 400 or 413 without a body (Cerebras sends it, but so does any proxy), and
Anthropic's ``request_too_large``, which is about bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

DATED = "2026-11-25"
CLIP = 4_000
LARGEST = 2**40
DEPTH = 4
WIDTH = 4
MOST_FIELDS = 16
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Overflow:
    """A prompt that a provider refused because it is too long.

    Attributes:
        limit: the largest number of tokens, None where it was not told.
        tokens: what the provider held against it, or at least so many; None where it was not told.
        shared: the requested output counts against ``limit`` too, and the provider refuses the sum.
            Only where the words count it: a "context length" alone does not say so.
    """

    limit: int | None = None
    tokens: int | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """One wording.

    Attributes:
        who: who words it so.
        words: a pattern over lower-case text in which ``<limit>``, ``<tokens>``, ``<input>`` and
            ``<output>`` stand for numbers; the last two add up to the tokens.
        shared: the words count the requested output.
    """

    who: str
    words: str
    shared: bool = False


WINDOW = r"maximum context length is <limit> tokens?[.,]? however,? "
# The first that matches holds, so the ones that tell more stand first.
SHAPES = (
    Shape(
        "OpenAI, DeepSeek, vLLM until 2026-03, OpenRouter",
        WINDOW + r"you requested (?:about )?<tokens> tokens \([^()]{0,120}(?:completion|output)",
        shared=True,
    ),
    Shape(
        "vLLM since 2026-03",
        WINDOW + r"you requested <output> output tokens and your prompt contains (?:at least )?"
        r"<input> input tokens",
        shared=True,
    ),
    Shape(
        "the same where it did not tokenize the prompt",
        WINDOW + r"you requested \d{1,13} output tokens and your prompt contains",
        shared=True,
    ),
    Shape(
        "OpenAI chat, vLLM and embeddings without an output",
        WINDOW + r"(?:your messages resulted in|you requested(?: about)?) <tokens> tokens",
    ),
    Shape("hosts that speak OpenAI's api", r"maximum context length (?:is|of) <limit>"),
    Shape(
        "OpenAI from gpt-5 on",
        r"input tokens exceed the configured limit of <limit> tokens"
        r"(?:\. your (?:messages|input) resulted in <tokens> tokens)?",
    ),
    Shape(
        "Anthropic, also through Bedrock and Vertex",
        r"prompt is too long: <tokens> tokens > <limit> maximum",
    ),
    Shape(
        "Anthropic before Claude 4.5",
        r"input length and `?max_tokens`? exceed context limit: <input> \+ <output> > <limit>",
        shared=True,
    ),
    Shape(
        "Gemini",
        r"input token count \(?<tokens>\)? exceeds the maximum number of tokens allowed \(?<limit>",
    ),
    Shape(
        "Mistral",
        r"prompt contains <tokens> tokens[^.]{0,80}too large for model with <limit> maximum context",
    ),
    Shape("xAI", r"maximum prompt length is <limit> but the request contains <tokens> tokens"),
    Shape(
        "vLLM, multimodal",
        r"prompt \((?:total )?length <tokens>\) is too long to fit into the model "
        r"\(context length <limit>\)",
    ),
    Shape("Kimi", r"exceeded model token limit ?: ?<limit> \(requested: ?<tokens>\)"),
    Shape("Copilot", r"prompt token count of <tokens> exceeds the limit of <limit>"),
    Shape(
        "llama.cpp",
        r"request \(<tokens> tokens\) exceeds the available context size \(<limit> tokens\)",
    ),
    Shape("Cerebras", r"current length is <tokens> while limit is <limit>"),
    Shape(
        "Together, SGLang",
        r"input \(<tokens> tokens\) is longer than the model'?s context length \(<limit> tokens\)",
    ),
)

# Wordings without a number, and what stays of the ones above when their numbers cannot be read.
PHRASES = (
    "exceeds the context window",  # OpenAI responses
    "input is too long for requested model",  # Bedrock
    "prompt is too long",
    "reduce the length of the messages or completion",  # Groq
    "exceeds the available context size",  # llama.cpp
    "context window exceeds limit",  # MiniMax
    "exceed context limit",
    "exceeds the maximum number of tokens allowed",
    "exceeded model token limit",
    "maximum context length",
    "maximum prompt length is",
    "too large for model with",
)
CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
RATE = re.compile(
    r"(?:\b|_)rate[ _-]?limit|\brates?\b|\b[tr]p[md]\b|quota|throttl|exhausted|too many requests"
    r"|per[ _-]?(?:minute|min\b|second|sec\b|hour|day)",
    re.ASCII,
)
BLANKS = re.compile(r"[ \t\r\n]+")
NUMBER = r"(?:\d{1,3}(?:[,._'\u00a0\u202f]\d{3}){1,4}|\d{1,13})\b(?![,._']?\d)"
SEPARATORS = re.compile(r"\D+")
PLACE = re.compile(r"<(\w+)>")


def read(status: int | None, code: str, message: str) -> Overflow | None:
    """Return what an error says about a prompt that is too long; None for any other error.

    Args:
        status: of the HTTP response, None where there was none.
        code: the error's codes and types, separated by spaces.
        message: its text, of which the first 4,000 characters are read.
    """
    words = code[:CLIP].lower()
    text = BLANKS.sub(" ", message[:CLIP]).lower()
    codes = frozenset(words.split())
    if status == TOO_MANY_REQUESTS or str(TOO_MANY_REQUESTS) in codes:
        return None
    if RATE.search(words) or RATE.search(text):
        return None
    for pattern, shared in _patterns():
        found = pattern.search(text)
        if found is not None:
            return _overflow(found.groupdict(), shared=shared)
    known = not codes.isdisjoint(CODES) or any(phrase in text for phrase in PHRASES)
    return Overflow() if known else None


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], bool], ...]:
    """Return the shapes, compiled at the first error."""
    return tuple(
        (re.compile(PLACE.sub(_numbered, shape.words), re.ASCII), shape.shared) for shape in SHAPES
    )


def _numbered(place: re.Match[str]) -> str:
    return f"(?P<{place[1]}>{NUMBER})"


def _overflow(told: dict[str, str | None], *, shared: bool) -> Overflow:
    numbers = {name: _number(text) for name, text in told.items()}
    tokens, parts = numbers.get("tokens"), (numbers.get("input"), numbers.get("output"))
    if parts[0] is not None:
        tokens = parts[0] + (parts[1] or 0)
    return Overflow(numbers.get("limit"), tokens, shared)


def _number(text: str | None) -> int | None:
    return None if text is None else _sane(int(SEPARATORS.sub("", text)))


def _sane(number: Any) -> int | None:
    """Return a number of tokens, None for what cannot be one."""
    return number if type(number) is int and 0 < number < LARGEST else None


# ── from an error ───────────────────────────────────────────────────────────────────

# Where an error's parts lie in a body: what to look into, its texts, its codes.
NESTED = ("error", "Error", "response", "metadata", "details", "detail")
TEXTS = ("message", "Message", "msg", "error", "detail", "raw")
NAMES = ("code", "Code", "type", "status")
SIZES = ("n_ctx", "n_prompt_tokens")  # llama.cpp


def of_error(error: object) -> Overflow | None:
    """Return what an error says about a prompt that is too long; None for any other.

    Known by shape: ``status_code``, ``body``, ``code`` and ``message`` (openai, anthropic, and SDKs
    made like them), ``code`` and ``message`` (google), ``response`` (botocore). So anything else is
    read that has a ``status_code`` and a ``body``, parsed or as text.
    """
    response, code = _held(error, "response"), _held(error, "code")
    message = _held(error, "message")
    if isinstance(response, dict):
        status = _field(_field(response, "ResponseMetadata"), "HTTPStatusCode")
        return _judged(status, response)
    status = _held(error, "status_code")
    status = code if status is None else status
    return _judged(status, _held(error, "body"), {"code": code, "message": message})


def _judged(status: Any, *bodies: Any) -> Overflow | None:
    fields = [one for body in bodies for one in islice(_fields(body), MOST_FIELDS)]
    texts = [text for text in bodies if isinstance(text, str)]
    texts += [text for one in fields for text in _texts(one, TEXTS)]
    codes = [name for one in fields for name in _texts(one, NAMES)]
    status = status if isinstance(status, int) else None
    message = "\n".join(str.__str__(text)[:CLIP] for text in texts)
    found = read(status, " ".join(name[:CLIP] for name in codes), message)
    sizes = next((one for one in fields if SIZES[0] in one), None)
    if found is not None and found.limit is None and sizes is not None:
        limit, tokens = (_sane(sizes.get(name)) for name in SIZES)
        return Overflow(limit, tokens)
    return found


def _fields(body: Any, depth: int = 0) -> Iterator[dict[Any, Any]]:
    """Yield a body and the objects inside it in which providers put an error."""
    if depth > DEPTH:
        return
    if isinstance(body, list):
        for one in body[:WIDTH]:
            yield from _fields(one, depth + 1)
    elif isinstance(body, dict):
        yield body
        for name in NESTED:
            yield from _fields(body.get(name), depth + 1)


def _texts(fields: dict[Any, Any], names: tuple[str, ...]) -> list[str]:
    """Return the fields that are texts, and small numbers as texts."""
    held = (fields.get(name) for name in names)
    return [one if isinstance(one, str) else str(one) for one in held if _is_text(one)]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or _sane(value) is not None


def _field(fields: Any, name: str) -> Any:
    return fields.get(name) if isinstance(fields, dict) else None


def _held(error: object, name: str) -> Any:
    """Return an attribute without running code of its class; a property is as good as absent."""
    for holder in (error, *type(error).__mro__):
        held = getattr(holder, "__dict__", {})
        if name in held:
            return held[name]
    return None
