"""What OpenAI adds to a prompt and no body shows: its own tools' work, sealed reasoning.

All of it is an estimate; `openai_evidence.HIDDEN` has the bounds. What a tool brings is summed over
the turns that the provider takes on its own, so it depends on what the model asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokentrace.counting.rules import Scope
from tokentrace.counting.rules.openai_styles import Style, style
from tokentrace.counting.tally import Tally
from tokentrace.dialects._reading import get, text_of
from tokentrace.prompt import Media, Part, Prompt

# Medians of recorded requests (2026-11-25), the number of them beside each.
BROUGHT = {
    "code_interpreter": 1_390,  # 4: 655 to 2,751
    "file_search": 1_140,  # 3: 846 to 1,154
    "image_generation": 1_740,  # 2: 1,727 and 1,746
    "tool_search": 515,  # 5: 340 to 635
}
# Models that reason search the web as a rule. Older ones do with ``web_search`` (6 of 6 that asked for
# something new), not with ``web_search_preview`` (0 of 6).
SEARCHED = 8_800  # 9 of gpt-5: 4,295 to 115,869
FETCHED = 16_150  # 6 of gpt-4o and gpt-4.1: 16,307 to 16,784, with the definition
GRAMMAR = 70  # around a custom tool's grammar (1 request)
FOUND = 18  # around a tool search of the caller's own (2 requests)
SEAL, SEALED, LEAST = {"gpt-5.4": 650}, 5, 5
SEAL_ELSE = 625


def hidden(prompt: Prompt, summed: Tally, scope: Scope) -> None:
    """Add what only the provider sees: its tools' work, reasoning of this turn."""
    rule = style(scope.model)
    parts = [part for message in prompt.messages for part in message.parts]
    loaded = any(part.kind == "tool" for part in parts)
    for kind in prompt.server:
        if kind != "tool_search" or not loaded:
            summed.put("server_context", BROUGHT.get(kind, 0))
    if any(kind.startswith("web_search") for kind in prompt.server):
        summed.put("server_context", _searched(prompt, parts, rule))
    _reasoning(prompt, summed, SEAL.get(rule.name, SEAL_ELSE))


def _searched(prompt: Prompt, parts: Sequence[Part], rule: Style) -> int:
    """Return what a web search brings, with its definition."""
    if not rule.named:
        return SEARCHED
    known = any(part.kind == "call" and part.name.startswith("web_search") for part in parts)
    return rule.search + (FETCHED if "web_search" in prompt.server and not known else 0)


def _reasoning(prompt: Prompt, summed: Tally, seal: int) -> None:
    """Add sealed reasoning.

    That ahead of the newest user message is dropped by the provider. Its size follows that of the
    sealed text: 18 requests of gpt-5 and o models (2026-11-25) lie within 42 tokens.
    """
    current = True
    for message in reversed(prompt.messages):
        current = current and message.role != "user"
        for part in message.parts:
            sealed = part.data if isinstance(part.data, Media) else Media()
            if part.kind == "reasoning" and sealed.size and (current or part.name):
                summed.put("reasoning", max(LEAST, (sealed.size - seal) // SEALED))


def typed(prompt: Prompt, summed: Tally, scope: Scope) -> None:
    """Add tools that are no functions but whose words are known: a custom tool with its grammar."""
    for part in prompt.tools:
        if get(part.data, "type") == "custom":
            held = get(part.data, "custom", part.data)
            words = (
                part.name,
                text_of(get(held, "description")),
                text_of(get(get(held, "format"), "definition")),
            )
            tokens = sum(scope.ruler.tokens(text)[0] for text in words if text)
            summed.put("tools", GRAMMAR + tokens, part.name)
