"""What a prompt is made of, in the words of the evidence: families of models, marks of features.

The same marks are counted by ``scripts/learn_openai.py`` and looked up by `openai_evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from tokentrace.counting.folds import folded
from tokentrace.counting.rules import Scope, openai_tools
from tokentrace.counting.rules.openai_appendix import fingerprint
from tokentrace.counting.rules.openai_styles import OTHER, plain_name, style
from tokentrace.counting.store import STORE
from tokentrace.dialects._reading import fields, get, items
from tokentrace.prompt import Message, Part, Prompt

MEMO = "openai.marks"
Joined = tuple[frozenset[str] | None, frozenset[str]]
NONE: frozenset[str] = frozenset()
START: Joined = (None, NONE)
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
KIN = {"gpt-4.1": "gpt-4o", "gpt-4-turbo": "gpt-3.5", "gpt-5.4": "gpt-5"}
# Families that reason unless they are told not to; of the newest only gpt-5.4 waits to be told.
REASONING = frozenset({"gpt-5", "gpt-5.4", "o"})
# Where OpenAI's rules hold though nobody promised which model answers: hosts that nobody knows and
# pass requests on; Azure, where a body names a deployment. Of 85 recorded requests to deployments
# with the name of an OpenAI model 6 were answered by another family of models, and 4 of o4-mini
# cost 3 less than with OpenAI (2026-11-25).
RELAYS = frozenset({"local", "relay", "azure"})
PROMISED = frozenset({"", "openai"})
HOSTS = PROMISED | RELAYS
CALLS = {"custom": "custom", "server": "server_item"}
USUAL = frozenset({
    "type", "title", "description", "properties", "required", "items", "enum", "default", "$defs",
    "$ref", "additionalProperties", "strict", "$schema",
})  # fmt: skip
WRITTEN = USUAL | {"const", "anyOf", "minLength", "maxLength", "minimum", "maximum", "format"}
NAMED = frozenset({"properties", "$defs", "definitions"})
NODES = 10_000
ODD: tuple[tuple[str, ...], ...] = ((), ("odd_schema",))


def kin(scope: Scope) -> str:
    """Return the family under which a prompt's evidence stands; empty for other makers' models.

    Nobody but OpenAI and those who pass requests on to it serves a model of such a name.
    """
    name = style(scope.model).name
    if name == OTHER:
        return ""
    return KIN.get(name, name) if scope.api == "openai.chat" else name


def marks(prompt: Prompt, scope: Scope) -> frozenset[str]:
    """Return the marks of a whole prompt."""
    first, later = folded(prompt, MEMO, _joined, START)
    found = set(later)
    if "system" in found:
        found.add("late_system")
    found.update(first or NONE, _asked(prompt), _defined(prompt))
    found.discard("system")
    if "calls" in found and "sealed" not in found and _reasoned(prompt, scope):
        found.add("unsealed")
    return frozenset(found)


def _joined(so_far: Joined, messages: Sequence[Message]) -> Joined:
    """Return the marks of the first message, and those of all others."""
    first, later = so_far
    every = [*map(of_message, messages)]
    if first is None and every:
        first = every.pop(0)
    new = {one for one in set(every) if not one <= later}
    return first, later.union(*new) if new else later


def _reasoned(prompt: Prompt, scope: Scope) -> bool:
    """Whether a model may have reasoned ahead of its calls, and the provider may know it."""
    level = prompt.settings.get("reasoning.level")
    if scope.api == "openai.chat" or level == "none":
        return False
    waits = plain_name(scope.model).startswith("gpt-5.4")
    return level is not None or (style(scope.model).name in REASONING and not waits)


def of_message(message: Message) -> frozenset[str]:
    """Return the marks of one message; they are kept with it."""
    parts = message.parts
    if len(parts) == 1 and parts[0].kind == "text":
        return _of_text(message.role, bool(message.name), parts[0].name)
    known: frozenset[str] | None = message.memo.get(MEMO)
    if known is None:
        known = message.memo[MEMO] = frozenset(_of_message(message)) or NONE
    return known


@lru_cache(maxsize=64)
def _of_text(role: str, named: bool, kind: str) -> frozenset[str]:
    """Return the marks of a message of one text: they follow from so little."""
    told = Message(role, (Part("text", name=kind),), role if named else "")
    return frozenset(_of_message(told)) or NONE


def _of_message(message: Message) -> Iterator[str]:
    if message.role not in ROLES:
        yield "role"
    if message.name:
        yield "name"
    if message.role in {"system", "developer"}:
        yield "system"
    calls = [part for part in message.parts if part.kind == "call"]
    if len(calls) > 1:
        yield "parallel"
    for part in message.parts:
        yield from _of_part(part, message.role)


def _of_part(part: Part, role: str) -> Iterator[str]:
    if part.kind == "text":
        if role == "assistant":
            yield "answers"
        if part.name == "refusal":
            yield "refusal"
    elif part.kind == "call":
        yield CALLS.get(part.data, "calls")
        if not part.text.isascii() or "\\u" in part.text or part.text[:1] not in {"{", ""}:
            yield "odd_call"
    elif part.kind in {"file", "image"}:
        seen = part.kind == "file" or part.data.width
        yield f"remote_{part.kind}" if part.data.remote or not seen else part.kind
    elif part.kind == "reasoning":
        yield "sealed" if part.data else "reasoning"
    elif part.kind == "tool":
        yield "late_tools"
    elif part.kind != "result":
        yield part.kind


def _asked(prompt: Prompt) -> Iterator[str]:
    """Name what stands beside the messages."""
    yield from prompt.features
    if not prompt.messages:
        yield "empty"
    if prompt.server:
        yield "server"
    if prompt.tools:
        yield "tools"
    if prompt.tool_choice == "required" or prompt.tool_choice.startswith("name:"):
        yield "forced"
    if prompt.schema is not None:
        yield "schema"


def _defined(prompt: Prompt) -> frozenset[str]:
    """Return the marks of all definitions; they are remembered as the definitions are."""
    asked = fingerprint(prompt)
    known: frozenset[str] | None = STORE.get((MEMO, asked)) if asked is not None else None
    if known is None:
        known = frozenset(_definitions(prompt))
        if asked is not None:
            STORE.put((MEMO, asked), known, len(asked))
    return known


def _definitions(prompt: Prompt) -> Iterator[str]:
    for tool in prompt.tools:
        found = openai_tools.definition(tool)
        if openai_tools.searching(tool):
            yield "client_search"
        if found is None:
            yield "typed_tool"
        else:
            yield from ODD[_schema(get(found, "parameters"), USUAL)]
    if prompt.schema is not None:
        yield from ODD[_schema(get(prompt.schema.data, "schema"), WRITTEN)]


def _schema(schema: Any, usual: frozenset[str]) -> bool:
    """Whether there is anything unusual in a schema: unknown keywords, unions, too much of it."""
    ahead, left = [schema], NODES
    while ahead and left:
        left -= 1
        held = fields(ahead.pop())
        if held is None:
            continue
        if any(key not in usual for key in held):
            return True
        if isinstance(held.get("type"), list | tuple):
            return True
        if fields(held.get("additionalProperties")) is not None:
            return True
        for key in NAMED:
            ahead.extend((fields(held.get(key)) or {}).values())
        ahead.extend((held.get("items"), *items(held.get("anyOf"))))
    return bool(ahead)
