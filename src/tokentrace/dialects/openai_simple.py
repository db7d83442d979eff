"""OpenAI's embeddings and text completions: inputs without messages.

Each input is one user message of one text part. An input given as token ids is one part ``other``
whose ``data`` is the number of ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokentrace.dialects import openai_chat as chat
from tokentrace.dialects._reading import Walk, each, fields, items, number, picked, text_of
from tokentrace.prompt import Message, Part, Prompt, Usage

SETTINGS = {
    **chat.SETTINGS,
    "dimensions": "dimensions",
    "encoding_format": "encoding_formats",
}


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body: ``input`` makes it embeddings, ``prompt`` text completions."""
    body = fields(body) or {}
    embeddings = "input" in body
    raw = body.get("input") if embeddings else body.get("prompt")
    suffix = text_of(body.get("suffix"))
    inputs = _inputs(raw)
    return Prompt(
        api="openai.embeddings" if embeddings else "openai.completions",
        model=text_of(body.get("model")),
        messages=messages([*inputs, suffix] if suffix else inputs, message),
        max_output=number(body.get("max_tokens")),
        settings=picked(body, SETTINGS),
        features=frozenset({"suffix"} if suffix else ()),
    )


def _inputs(raw: Any) -> list[Any]:
    """Return the inputs as a list: texts, or lists of token ids."""
    if isinstance(raw, str):
        return [raw]
    found = items(raw)
    return [found] if found and isinstance(found[0], int) else list(found)


def message(raw: Any) -> Message:
    """Read one input: a text, token ids, or anything else."""
    if isinstance(raw, list | tuple) and all(isinstance(one, int) for one in raw):
        return Message("user", (Part("other", name="tokens", data=len(raw)),))
    if isinstance(raw, str):
        return Message("user", (Part("text", raw),))
    return chat.message(raw)


def usage(response: Any) -> Usage:
    """Read a whole response."""
    return chat.usage(response)


def fold(usage: Usage, chunk: Any) -> Usage:
    """Return the running usage after one chunk of a streamed completion."""
    return chat.fold(usage, chunk)


def final(stream: Any) -> Usage | None:
    """Return None: these streams have no helper that keeps a snapshot."""
    del stream
    return None
