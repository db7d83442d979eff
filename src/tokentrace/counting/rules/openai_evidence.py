"""How often the OpenAI rules were right, family by family and feature by feature."""

from __future__ import annotations

from tokentrace.prompt import Part, Prompt
from tokentrace.counting.tally import Tally


def payload(part: Part) -> int:
    """Return about how many tokens a sound, video or file costs."""
    return 0


def reasoning(part: Part) -> int:
    """Return about how many tokens a sealed reasoning item costs."""
    return 0


def judge(prompt: Prompt, tally: Tally, scope: object) -> tuple[str, int]:
    """Return method and bound."""
    return "estimated", 16 + tally.total // 4
