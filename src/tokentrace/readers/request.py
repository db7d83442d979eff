"""A request body or a text, from a file, standard input or the command line, and whose api it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tokentrace.dialects import DIALECTS
from tokentrace.errors import InputError
from tokentrace.readers.lines import LINE_CAP, STDIN

Body = Mapping[str, Any]


def read(path: str) -> Body | str:
    """Return the body in a file (``-``: standard input), or its text when it holds no JSON.

    A list is taken for the messages of a chat.

    Raises:
        InputError: the file is missing, empty, over 64 MB, no UTF-8, or JSON that is broken.
    """
    data = _bytes(path)
    if len(data) > LINE_CAP:
        raise InputError(f"larger than {LINE_CAP >> 20} MB", source=path)
    if not data.strip():
        raise InputError("is empty", source=path, mend="give a request body as JSON, or a text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"no UTF-8 text: byte {error.start}", source=path) from None
    if path.endswith(".json") or text.lstrip().startswith("{"):
        return _body(text, path)
    return _messages(text) or text


def guess(body: Body) -> tuple[str, str]:
    """Return the api that a body was made for, and what says so.

    Raises:
        InputError: no api is known by the body's keys.
    """
    for api, says, holds in GUESSES:
        if holds(body):
            return api, says
    mend = f"name it with --api, one of {', '.join(sorted(DIALECTS))}"
    raise InputError("cannot tell which api this body is for", mend=mend)


def _anthropic(body: Body) -> bool:
    """Whether a body with messages has what only Anthropic's have."""
    if "messages" not in body:
        return False
    named = "claude" in str(body.get("model", "")) or "anthropic_version" in body
    tools = body.get("tools")
    listed = tools if isinstance(tools, (list, tuple)) else ()
    return named or "system" in body or any(_holds(tool, "input_schema") for tool in listed)


def _holds(value: Any, key: str) -> bool:
    return isinstance(value, Mapping) and key in value


def _embeds(body: Body) -> bool:
    return "input" in body and "embed" in str(body.get("model", ""))


# The first that holds is taken: what is rarer stands above what it looks like.
GUESSES: tuple[tuple[str, str, Callable[[Body], bool]], ...] = (
    ("anthropic.messages", "it looks like Anthropic's messages", _anthropic),
    ("openai.chat", 'it holds "messages"', lambda body: "messages" in body),
    ("gemini.generateContent", 'it holds "contents"', lambda body: "contents" in body),
    ("openai.embeddings", 'it holds "input" for an embedding model', _embeds),
    ("openai.responses", 'it holds "input"', lambda body: "input" in body),
    ("openai.completions", 'it holds "prompt"', lambda body: "prompt" in body),
)


def _body(text: str, path: str) -> Body:
    try:
        found = msgspec.json.decode(text)
    except RecursionError:
        raise InputError("JSON nested too deeply", source=path) from None
    except ValueError as error:
        mend = "`tokentrace count --text` counts a text"
        raise InputError(f"broken JSON: {error}", source=path, mend=mend) from None
    if isinstance(found, list):
        found = {"messages": found}
    if not isinstance(found, dict):
        raise InputError("JSON, but no request body", source=path, mend="an object is needed")
    return found


def _messages(text: str) -> Body | None:
    """Return a bare list of messages as a body, None for what is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    held = isinstance(found, list) and all(_holds(one, "role") for one in found)
    return {"messages": found} if held and found else None


def _bytes(path: str) -> bytes:
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(LINE_CAP + 1)
        with Path(path).open("rb") as file:
            return file.read(LINE_CAP + 1)
    except FileNotFoundError:
        raise InputError(
            "no such file",
            source=path,
            mend="check the path; `tokentrace count --text` counts a text",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", source=path) from None
