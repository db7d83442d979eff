"""Wire formats: a module for each, with ``parse``, ``usage``, ``fold`` and ``final``.

``parse(body, messages=each) -> Prompt``
    a request body as on the wire. Never raises on odd bodies, never iterates what is no list or
    tuple, never changes the body. ``messages(raw, read)`` walks the raw message list with a pure
    reader of one message.
``usage(response) -> Usage``
    a whole response, an SDK object or a mapping; an odd shape gives what can be read of it.
``fold(usage, chunk) -> Usage``
    the running usage after one more chunk or event of a stream.
``final(stream) -> Usage | None``
    the usage of a stream helper's own snapshot, None where it has none.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

from tokentrace.dialects._reading import Walk, each

__all__ = ["DIALECTS", "Walk", "each", "find"]

DIALECTS = {
    "openai.chat": "openai_chat",
    "openai.responses": "openai_responses",
    "openai.responses.input_tokens": "openai_responses",
    "openai.embeddings": "openai_simple",
    "openai.completions": "openai_simple",
    "anthropic.messages": "anthropic_messages",
    "anthropic.count_tokens": "anthropic_messages",
    "mistral.chat": "mistral_chat",
    "gemini.generateContent": "gemini",
    "gemini.countTokens": "gemini",
    "gemini.interactions": "gemini_interactions",
    "bedrock.converse": "bedrock_converse",
    "bedrock.invoke": "bedrock_invoke",
    "bedrock.count_tokens": "bedrock_invoke",
    "cohere.chat": "cohere_chat",
    "ollama.chat": "ollama_chat",
    "ollama.generate": "ollama_chat",
    "generic": "generic",
}


@cache
def find(api: str) -> ModuleType | None:
    """Return the dialect of an api name, or None for a name that has none."""
    name = DIALECTS.get(api)
    return None if name is None else import_module(f"{__name__}.{name}")
