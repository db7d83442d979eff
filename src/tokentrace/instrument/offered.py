"""The tools of a prompt: those that it defines, and those whose calls it brings back."""

from __future__ import annotations

from tokentrace.insights.tools import TOOLS, UNNAMED
from tokentrace.prompt import Count, Prompt

OTHER = "other"
SERVER = "mcp"
ANSWERED = frozenset({"assistant", "model"})
MEMO = "called"


def defined(prompt: Prompt) -> set[str]:
    """Return the names of the tools that a request defines, or that a server listed in it."""
    tools = {tool.name for tool in prompt.tools}
    if SERVER in prompt.server:
        parts = (part for message in prompt.messages for part in message.parts)
        tools.update(part.name for part in parts if part.kind == "tool")
    return tools


def sizes(count: Count) -> dict[str, int]:
    """Return tokens of definitions by the tools' names."""
    return {
        one.name: one.tokens
        for one in count.details
        if one.component == TOOLS and one.name not in UNNAMED
    }


def called(prompt: Prompt) -> tuple[str, ...]:
    """Return the tools whose calls come back in this prompt for the first time, one name a call.

    These are the calls of the newest answer in it: what follows are their results.
    """
    if not prompt.tools:
        return ()
    known: tuple[str, ...] | None = prompt.memo.get(MEMO)
    if known is None:
        known = prompt.memo[MEMO] = _called(prompt)
    return known


def _called(prompt: Prompt) -> tuple[str, ...]:
    tools = defined(prompt)
    found: list[str] = []
    answering = False
    for message in reversed(prompt.messages):
        spoken = message.role in ANSWERED
        if answering and not spoken:
            break
        answering = answering or spoken
        if spoken:
            calls = [part.name for part in message.parts if part.kind == "call"]
            found[:0] = [name if name in tools else OTHER for name in calls]
    return tuple(found)
