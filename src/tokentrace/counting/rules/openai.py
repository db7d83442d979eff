"""How OpenAI's models turn a prompt into tokens: messages, tools, schemas, calls and results.

Rules and their evidence: `openai_styles` (framing a family), `openai_tools` (definitions and
schemas), `openai_media` (pictures, files), `openai_server` (what no body shows); `openai_evidence` says how often they are right.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokentrace.counting import files
from tokentrace.counting.rules import (
    Scope,
    openai_appendix,
    openai_evidence,
    openai_hosts,
    openai_media,
    openai_server,
    openai_tools,
)
from tokentrace.counting.rules.calls import call_of
from tokentrace.counting.rules.openai_calls import arguments, listed, wrapped
from tokentrace.counting.rules.openai_styles import OTHER, Style, style
from tokentrace.counting.tally import Tally
from tokentrace.prompt import Message, Part, Prompt

TEXT_ROLES = {"system": "system", "developer": "system", "user": "user"}
SYSTEM = frozenset({"system", "developer"})
ADDED = frozenset({"framing", "media", "tools", "server_context"})
SIMPLE = frozenset({"openai.embeddings", "openai.completions"})
BARE = frozenset({"call", "result", "reasoning", "tool"})


# ── one message ──────────────────────────────────────────────────────────────────────────────────


def message(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Return the tokens of one message with its framing; ``before`` tells a result's tool."""
    if scope.api in SIMPLE:
        return _input(message, before, scope)
    parts = message.parts
    tally = _texts(message, before, scope)
    if len(parts) == 1 and parts[0].kind == "text":
        return tally
    calls = [part for part in parts if part.kind == "call"]
    if calls:
        _calls(calls, before, scope, tally)
    for part in parts:
        if part.kind == "result":
            _result(part, before, scope, tally)
        elif part.kind not in {"text", "call"}:
            _piece(part, message, scope, tally)
    return tally


def _input(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Count an input of embeddings or completions: text and nothing else."""
    tally = Tally()
    for index, part in enumerate(message.parts):
        place = ("user", len(before), index)
        if part.kind == "other" and isinstance(part.data, int):
            tally.put("user", part.data)
        elif part.text:
            tally.add(scope.lens.spread(part.text, "user", scope.ruler, place))
    return tally


def _texts(message: Message, before: Sequence[Message], scope: Scope) -> Tally:
    """Count a message's text as one piece: its parts are put together without a seam."""
    parts, role, rule = message.parts, message.role, style(scope.model)
    if len(parts) == 1 and parts[0].kind == "text":
        text, bare = parts[0].text, False
    else:
        text = "".join([part.text for part in parts if part.kind == "text"])
        bare = any(part.kind in BARE for part in parts)
    if text:
        component = TEXT_ROLES.get(role, "history")
        tally: Tally = scope.lens.spread(text, component, scope.ruler, (role, len(before)))
    else:
        tally = Tally()
    framing = _around(message, rule, scope) if text or not bare else _named_by(message, scope)
    if parts and not text:
        framing += openai_media.alone(message, scope)
    tally.put("framing", framing)
    return tally


def plain(messages: Sequence[Message], scope: Scope) -> dict[int, Tally]:
    """Return what `message` does of each that is one text and no more, by its place.

    None of those whose text is looked through, or for which the ruler has no time.
    """
    texts: dict[int, tuple[str, str]] = {}
    for place, one in enumerate(messages if scope.api not in SIMPLE else ()):
        parts = one.parts
        if len(parts) == 1 and parts[0].kind == "text" and parts[0].text:
            texts[place] = parts[0].text, TEXT_ROLES.get(one.role, "history")
    found: dict[int, Tally] = scope.lens.undivided(texts, scope.ruler)
    rule = style(scope.model)
    for place, tally in found.items():
        tally.put("framing", _around(messages[place], rule, scope))
    return found


def _around(message: Message, rule: Style, scope: Scope) -> int:
    """Return the framing of a message that holds text."""
    framing = rule.message + (rule.answer if message.role == "assistant" else 0)
    return framing + _named_by(message, scope) if message.name else framing


def _named_by(message: Message, scope: Scope) -> int:
    """Return what the name of who speaks costs."""
    if not message.name:
        return 0
    return 1 if message.name == message.role else 1 + _tokens(scope, message.name)


def _calls(calls: list[Part], before: Sequence[Message], scope: Scope, tally: Tally) -> None:
    rule, chat = style(scope.model), scope.api == "openai.chat"
    if chat and len(calls) > 1 and rule.parallel:
        tally.put("framing", rule.parallel)
        tally.add(scope.lens.spread(wrapped(calls), "history", scope.ruler, ("call",)))
        return
    previous = None if chat or not before else _call_of(before[-1])
    for part in calls:
        framing = (rule.further if previous else rule.call)[not chat]
        if previous is None:
            framing += _kept(rule, part)
        elif len(before) < 2 or not _is_call(before[-2]):
            framing -= _kept(rule, previous)
        tally.put("framing", framing)
        _spread_call(part, scope, tally)
        previous = part


def _placed(name: str) -> int:
    """Return -1 for a tool of a namespace of its own: its address lacks the common one's name.

    Names of functions hold no dot. Evidence (2026-11-22): of 9 requests of
    gpt-5.4, 5 are exact and 8 within 1.
    """
    return -1 if "." in name else 0


def _call_of(message: Message) -> Part | None:
    return next((part for part in message.parts if part.kind == "call"), None)


def _kept(rule: Style, part: Part) -> int:
    """Return what the server's own id and status cost a call that stands alone.

    Two calls in a row cost nothing for theirs (2 of 2 requests, 2026-11-22).
    """
    return rule.kept[part.data == "full"] if part.data in {"id", "full"} else 0


def _is_call(message: Message) -> bool:
    return any(part.kind == "call" for part in message.parts)


def _spread_call(part: Part, scope: Scope, tally: Tally) -> None:
    tally.put("history", _tokens(scope, f".{part.name}"))
    tally.put("framing", _placed(part.name))
    text = arguments(part.text)
    if text:
        tally.add(scope.lens.spread(text, "history", scope.ruler, ("call",)))


def _result(part: Part, before: Sequence[Message], scope: Scope, tally: Tally) -> None:
    rule, chat = style(scope.model), scope.api == "openai.chat"
    call, index, of = _answered(part, before)
    name = call.name if call else part.name
    text = part.text
    if chat and of > 1 and rule.parallel:
        text = listed(text, index, of)
    else:
        named = (name if chat else f".{name}") if name else "unknown"
        tally.put("framing", rule.result[not chat] + _tokens(scope, named) + _placed(name))
    spread = scope.lens.spread(text, "tool_results", scope.ruler, ("tool",))
    tally.add(spread)
    own = spread.components.get("tool_results", 0)
    tally.details["tool_results", name] = tally.details.get(("tool_results", name), 0) + own


def _answered(part: Part, before: Sequence[Message]) -> tuple[Part | None, int, int]:
    """Return the call of a result, which of its message's results it is, and of how many.

    The results of one message stand behind it, one a message, each with the id of its call.
    """
    call, at = call_of(part, before)
    if call is None:
        return None, 0, 1
    calls = [one.id for one in before[at].parts if one.kind == "call"]
    behind = (one for message in before[at + 1 :] for one in message.parts)
    given = [one for one in behind if one.kind == "result" and one.id in calls]
    return call, len(given), len(calls)


def _piece(part: Part, message: Message, scope: Scope, tally: Tally) -> None:
    """Count what is no text: images by their size, the rest by what can be known of it."""
    if part.kind == "image":
        tally.put("media", openai_media.image(part, scope))
    elif part.kind == "file":
        tally.add(openai_media.file(part, scope))
    elif part.kind in {"audio", "video"}:
        pass  # nobody knows before the provider does; the bound says so
    elif part.kind == "reasoning":
        if scope.api == "openai.chat":
            tally.put("reasoning", _tokens(scope, part.text))
    elif part.kind == "tool":
        text = openai_tools.functions([part])[1:-1]
        tally.put("tools", sum(_tokens(scope, one) for _, one in text), part.name)
        if part is message.parts[0]:
            tally.put("framing", style(scope.model).late[message.role not in SYSTEM])
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
    if rule.name == OTHER:
        _appended(prompt, summed, scope, "")
        return _measured(summed, openai_hosts.finish(prompt, summed, scope), scope)
    summed.put("framing", rule.once[not chat])
    if any(map(openai_tools.definition, prompt.tools)):
        _tools(prompt, summed, scope)
    elif prompt.schema is not None:
        _schema(prompt, summed, scope)
    if prompt.tools:
        _choice(prompt, summed, scope)
        openai_server.typed(prompt, summed, scope)
    if not chat:
        openai_server.hidden(prompt, summed, scope)
    return summed


def _measured(summed: Tally, guessed: Tally, scope: Scope) -> Tally:
    """Return a tally of another maker's model; text that a file of the user's measured stays so."""
    if files.of_file(scope.ruler.name):
        kept = {name: n for name, n in summed.components.items() if name not in ADDED}
        guessed.components.update(kept)
    return guessed


def _appended(prompt: Prompt, summed: Tally, scope: Scope, tail: str) -> None:
    """Add definitions and schema, as they stand behind the end of the system text."""
    summed.add(openai_appendix.counted(prompt, style(scope.model), scope.ruler, tail))


def _tools(prompt: Prompt, summed: Tally, scope: Scope) -> None:
    """Count definitions: in chat they follow the system text, or make a system message.

    A system message that does not open the prompt stays apart (2026-11-22: 12 of 15 requests exact,
    the others 1 off).
    """
    rule = style(scope.model)
    if scope.api != "openai.chat":
        _appended(prompt, summed, scope, "")
        plain = sum(not openai_tools.described(part) for part in prompt.tools)
        new = prompt.schema is not None and not rule.named
        searched = openai_server.FOUND * any(map(openai_tools.searching, prompt.tools))
        summed.put("framing", rule.apart + rule.bare * plain - new + searched)
        return
    system = _system(prompt)
    _appended(prompt, summed, scope, _tail(system or ""))
    if system:
        summed.put("framing", rule.joined)
    else:
        summed.put("framing", rule.alone - (0 if system is None else rule.message))
    if prompt.schema is not None and rule.named:
        summed.put("framing", _answers(prompt) * _named(prompt, scope))


def _schema(prompt: Prompt, summed: Tally, scope: Scope) -> None:
    """Count a response schema without tools; older models name it in every answer.

    Over the Responses API it stands apart from the system text: with and without one it costs the
    same (2026-11-25: 4 and 45 requests of gpt-4o, gpt-4.1, gpt-5, gpt-5.4 and o4-mini, all exact).
    """
    rule, chat = style(scope.model), scope.api == "openai.chat"
    system = _system(prompt) if chat else None
    _appended(prompt, summed, scope, _tail(system or ""))
    joined, alone, apart = rule.schema
    if not chat:
        summed.put("framing", apart)
        return
    summed.put("framing", joined if system else alone)
    if rule.named:
        summed.put("framing", (1 + _answers(prompt)) * _named(prompt, scope))


def _answers(prompt: Prompt) -> int:
    return sum(m.role == "assistant" and not _is_call(m) for m in prompt.messages)


def _named(prompt: Prompt, scope: Scope) -> int:
    return 2 + _tokens(scope, prompt.schema.name) if prompt.schema is not None else 0


def _system(prompt: Prompt) -> str | None:
    """Return the text of a system message that opens the prompt; None where another does."""
    first = prompt.messages[0] if prompt.messages else None
    if first is None or first.role not in SYSTEM:
        return None
    return "".join(part.text for part in first.parts if part.kind == "text")


def _tail(text: str) -> str:
    """Return the end of a text from a line on that starts with a letter.

    Every pre-tokenizer splits ahead of such a line, so only the end can merge with what follows.
    """
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


# ── the label ────────────────────────────────────────────────────────────────────────────────────


def judge(prompt: Prompt, tally: Tally, scope: Scope) -> tuple[str, int]:
    """Return method and bound from the evidence for this family and these features."""
    return openai_evidence.judge(prompt, tally, scope)
