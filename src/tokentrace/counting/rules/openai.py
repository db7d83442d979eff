"""How OpenAI's models turn a prompt into tokens: messages, tools, schemas, calls and results.

Rules and their evidence: `openai_styles` (framing a family), `openai_tools` (definitions and
schemas), `tokentrace.counting.images`; `openai_evidence` says how often they are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokentrace.counting import images
from tokentrace.counting.rules import Scope, openai_evidence, openai_tools
from tokentrace.counting.rules.openai_styles import Style, plain_name, style
from tokentrace.counting.tally import Tally
from tokentrace.dialects._reading import text_of
from tokentrace.prompt import Message, Part, Prompt

TEXT_ROLES = {"system": "system", "developer": "system", "user": "user"}
SYSTEM = frozenset({"system", "developer"})
SIMPLE = frozenset({"openai.embeddings", "openai.completions"})
JOIN = "\n\n"
WRAPPER = "multi_tool_use.parallel"
SEAL, SEALED = 650, 5
LATE = 99  # around definitions that come as an item: 6 requests of gpt-5 within 4 (2026-11-22)


# ── one message ──────────────────────────────────────────────────────────────────────────────────


def message(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Return the tokens of one message with its framing; ``before`` tells a result's tool."""
    tally = Tally()
    if scope.api in SIMPLE:
        return _input(message, before, scope)
    _texts(message, before, scope, tally)
    calls = [part for part in message.parts if part.kind == "call"]
    if calls:
        _calls(calls, before, scope, tally)
    for part in message.parts:
        if part.kind == "result":
            _result(part, before, scope, tally)
        elif part.kind not in {"text", "call"}:
            _piece(part, message, scope, tally)
    return tally


def _input(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Count an input of embeddings or completions: text and nothing else."""
    tally = Tally()
    for part in message.parts:
        if part.kind == "other" and isinstance(part.data, int):
            tally.put("user", part.data)
        elif part.text:
            tally.add(scope.lens.spread(part.text, "user", scope.ruler, ("user", len(before))))
    return tally


def _texts(message: Message, before: Sequence[Message], scope: Scope, tally: Tally) -> None:
    """Count a message's text as one piece: its parts are put together without a seam."""
    text = "".join(part.text for part in message.parts if part.kind == "text")
    bare = any(part.kind in {"call", "result", "reasoning", "tool"} for part in message.parts)
    if text:
        component = TEXT_ROLES.get(message.role, "history")
        place = (message.role, len(before))
        tally.add(scope.lens.spread(text, component, scope.ruler, place))
    if message.name:
        same = message.name == message.role
        tally.put("framing", 1 if same else 1 + _tokens(scope, message.name))
    if text or not bare:
        answer = style(scope.model).answer if message.role == "assistant" else 0
        tally.put("framing", style(scope.model).message + answer)


def _calls(calls: list[Part], before: Sequence[Message], scope: Scope, tally: Tally) -> None:
    rule, chat = style(scope.model), scope.api == "openai.chat"
    if chat and len(calls) > 1:
        tally.put("framing", rule.parallel)
        tally.add(scope.lens.spread(wrapped(calls), "history", scope.ruler, ("call", WRAPPER)))
        return
    later = not chat and bool(before) and _is_call(before[-1])
    for part in calls:
        framing = (rule.further if later else rule.call)[not chat]
        framing += rule.kept[part.data == "full"] if part.data in {"id", "full"} else 0
        tally.put("framing", framing)
        _spread_call(part, scope, tally)
        later = True


def wrapped(calls: Sequence[Part]) -> str:
    """Return parallel calls as the one call of a wrapper tool that chat makes of them.

    The results are one JSON list then, see `listed`. Evidence (2026-11-22): 14 of 15 distinct
    conversations of gpt-4o, gpt-4.1 and gpt-5 with 2 or 3 calls.
    """
    from json import dumps

    uses = [
        {"recipient_name": f"functions.{part.name}", "parameters": loaded(part.text, part.text)}
        for part in calls
    ]
    return dumps({"tool_uses": uses}, separators=(",", ":"))


def listed(text: str, index: int, of: int) -> str:
    """Return the piece of a JSON list that holds one of ``of`` results, with what follows it.

    Between the comma and the space every pre-tokenizer splits, so the pieces add up.
    """
    from json import dumps

    value = loaded(text, text) if text.lstrip()[:1] in {"{", "["} else text
    head, end = " " if index else "[", "]" if index == of - 1 else ","
    return f"{head}{dumps(value)}{end}"


def loaded(text: str, default: Any) -> Any:
    """Return what a JSON text holds, or ``default``."""
    from json import loads

    try:
        return loads(text)
    except (ValueError, RecursionError):
        return default


def _is_call(message: Message) -> bool:
    return any(part.kind == "call" for part in message.parts)


def _spread_call(part: Part, scope: Scope, tally: Tally) -> None:
    tally.put("history", _tokens(scope, f".{part.name}"))
    text = arguments(part.text)
    if text:
        tally.add(scope.lens.spread(text, "history", scope.ruler, ("call", part.name)))


def arguments(text: str) -> str:
    """Return a call's arguments as compact JSON, as the provider writes them again."""
    if text[:1] not in {"{", "["} or (" " not in text and "\n" not in text and "\\" not in text):
        return text
    from json import dumps

    value = loaded(text, None)
    return text if value is None else dumps(value, ensure_ascii=False, separators=(",", ":"))


def _result(part: Part, before: Sequence[Message], scope: Scope, tally: Tally) -> None:
    rule, chat = style(scope.model), scope.api == "openai.chat"
    call, index, of = called(part, before)
    name = call.name if call else part.name
    text = part.text
    if chat and of > 1:
        text = listed(text, index, of)
    else:
        named = (name if chat else f".{name}") if name else "unknown"
        tally.put("framing", rule.result[not chat] + _tokens(scope, named))
    spread = scope.lens.spread(text, "tool_results", scope.ruler, ("tool", name))
    tally.add(spread)
    own = spread.components.get("tool_results", 0)
    tally.details["tool_results", name] = tally.details.get(("tool_results", name), 0) + own


def called(part: Part, before: Sequence[Message]) -> tuple[Part | None, int, int]:
    """Return the call of a result, which of its message's results it is, and of how many.

    The results of one message stand behind it, one a message, each with the id of its call.
    """
    if not part.id:
        return None, 0, 1
    for at in range(len(before) - 1, -1, -1):
        for found in before[at].parts:
            if found.kind == "call" and found.id == part.id:
                calls = [one.id for one in before[at].parts if one.kind == "call"]
                behind = (one for message in before[at + 1 :] for one in message.parts)
                given = [one for one in behind if one.kind == "result" and one.id in calls]
                return found, len(given), len(calls)
    return None, 0, 1


def _piece(part: Part, message: Message, scope: Scope, tally: Tally) -> None:
    """Count what is no text: images by their size, the rest by what can be known of it."""
    if part.kind == "image":
        seen = part.data
        name = plain_name(scope.model)
        tally.put("media", images.tokens(name, seen.width, seen.height, seen.detail))
    elif part.kind in {"audio", "video", "file"}:
        tally.put("media", openai_evidence.payload(part))
    elif part.kind == "reasoning":
        if scope.api == "openai.chat":
            tally.put("reasoning", _tokens(scope, part.text))
    elif part.kind == "tool":
        text = openai_tools.functions([part])[1:-1]
        tally.put("tools", sum(_tokens(scope, one) for _, one in text), part.name)
        tally.put("framing", LATE if part is message.parts[0] else 0)
    elif part.text:
        component = TEXT_ROLES.get(message.role, "history")
        tally.put(component, _tokens(scope, part.text))


def _tokens(scope: Scope, text: str) -> int:
    if not text:
        return 0
    found: int = scope.ruler.tokens(text)[0]
    return found


# ── the whole prompt ─────────────────────────────────────────────────────────────────────────────


def finish(prompt: Prompt, summed: Tally, scope: Scope) -> Tally:
    """Return the whole tally: the messages' sum, the reply's opening, tools, schema, choice."""
    if scope.api in SIMPLE:
        return summed
    rule, chat = style(scope.model), scope.api == "openai.chat"
    summed.put("framing", rule.once[not chat])
    pieces = _appendix(prompt, rule)
    if pieces:
        _append(pieces, prompt, summed, scope)
    if prompt.tools:
        _choice(prompt, summed, scope)
    if not chat:
        _hidden(prompt, summed, rule)
    if prompt.schema and chat and rule.named:
        answers = sum(m.role == "assistant" and not _is_call(m) for m in prompt.messages)
        own = 2 + _tokens(scope, prompt.schema.name)
        summed.put("framing", own * (answers + (not prompt.tools)))
    return summed


def _appendix(prompt: Prompt, rule: Style) -> list[tuple[str, str, str]]:
    """Return what follows the system text, in pieces: (component, detail, text)."""
    pieces: list[tuple[str, str, str]] = []
    if any(openai_tools.definition(part) for part in prompt.tools):
        for name, text in openai_tools.functions(prompt.tools, titles=rule.titles):
            pieces.append(("tools" if name else "framing", name, text))
    if prompt.schema is not None:
        if pieces:
            pieces.append(("framing", "", JOIN))
        pieces.append(("tools", "response_format", openai_tools.response_format(prompt.schema)))
    return pieces


def _described(part: Part) -> bool:
    return bool(text_of((openai_tools.definition(part) or {}).get("description")))


def _append(
    pieces: list[tuple[str, str, str]], prompt: Prompt, summed: Tally, scope: Scope
) -> None:
    """Count the appendix: behind the system text in chat, else as a text of its own."""
    rule, chat = style(scope.model), scope.api == "openai.chat"
    tools = any(detail != "response_format" for _, detail, _ in pieces if detail)
    system = _system(prompt)
    tail = _tail(system or "") if chat or not tools else ""
    if tail:
        pieces = [("framing", "", tail + JOIN), *pieces]
    borders, at = [], 0
    for _, _, text in pieces[:-1]:
        at += len(text)
        borders.append(at)
    shares, error = scope.ruler.shares("".join(text for _, _, text in pieces), borders)
    for (component, detail, _), tokens in zip(pieces, shares, strict=True):
        summed.put(component, tokens, detail)
    summed.put("framing", -_tokens(scope, tail))
    summed.error += error
    offsets = (rule.joined, rule.alone, rule.apart) if tools else rule.schema
    if chat and tail:
        summed.put("framing", offsets[0])
    elif chat or (not tools and not tail):
        made = system is None
        summed.put("framing", offsets[1] - (0 if made or not tools else rule.message))
    if not chat and (not tools):
        summed.put("framing", offsets[2])
    if not chat and tools:
        plain = sum(not _described(part) for part in prompt.tools)
        summed.put("framing", offsets[2] + rule.bare * plain)
        if prompt.schema and not rule.named:
            summed.put("framing", -1)


def _system(prompt: Prompt) -> str | None:
    """Return the text of a system message that opens the prompt; None where another does."""
    first = prompt.messages[0] if prompt.messages else None
    if first is None or first.role not in SYSTEM:
        return None
    return "".join(part.text for part in first.parts if part.kind == "text")


def _tail(text: str) -> str:
    """Return the end of a text from a line that starts with a letter: what stands ahead of it
    is split from it by every pre-tokenizer, so only the end can merge with what follows."""
    at = len(text)
    for _ in range(20):
        at = text.rfind("\n", 0, at)
        if at < 0:
            return text
        if len(text) - at > 40 and text[at + 1 : at + 2].isalpha():
            return text[at + 1 :]
    return text


def _choice(prompt: Prompt, summed: Tally, scope: Scope) -> None:
    """Count a tool choice that names a tool: it opens the reply."""
    rule, chat = style(scope.model), scope.api == "openai.chat"
    kind, _, name = prompt.tool_choice.partition(":")
    if kind == "required" and len(prompt.tools) == 1 and not chat:
        name = prompt.tools[0].name
    if name and rule.forced is not None:
        summed.put("framing", rule.forced + _tokens(scope, name))


def _hidden(prompt: Prompt, summed: Tally, rule: Style) -> None:
    """Count what only the provider sees: sealed reasoning of this turn, its own search tool.

    Reasoning ahead of the newest user message is dropped by the provider. Its size follows that
    of the sealed text: 12 requests of gpt-5 and o models (2026-11-22) lie within 40 tokens.
    """
    if rule.search and any(name.startswith("web_search") for name in prompt.server):
        summed.put("server_context", rule.search)
    current = True
    for message in reversed(prompt.messages):
        current = current and message.role != "user"
        for part in message.parts:
            if part.kind == "reasoning" and part.data.size and (current or part.name):
                summed.put("reasoning", max(0, part.data.size - SEAL) // SEALED)


# ── the label ────────────────────────────────────────────────────────────────────────────────────


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return method and bound from the evidence for this family and these features."""
    return openai_evidence.judge(prompt, tally, scope)
