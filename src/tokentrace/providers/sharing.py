"""How providers hold input and output against a model's numbers, for rows that are generated.

Read 2026-11-25. ``refuses_sum`` stands only where a wording of a refusal counts the requested
output, see ``SHAPES`` in `providers.overflow`; where none is known, the output may be cut and the
call is answered. Mistral and xAI name the prompt alone, Kimi, Groq, Cerebras and Together do not say what
they count, and Ollama, LM Studio and Z.ai refuse nothing. The rows of OpenAI and Anthropic are
written by hand, with their own reasons.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the numbers of a provider mean.

    Attributes:
        separate: glob over plain names of models whose input has a limit of its own, whatever
            output is requested; with the others input and output share a window.
        refuses_sum: input + requested output above the window is refused.
        reason: what says so, in one line.
    """

    separate: str = ""
    refuses_sum: bool = False
    reason: str = "no refusal that counts the requested output is known"


SHARED = Sharing()
BY_PROVIDER = {
    "gemini": Sharing("*", reason="models.get has inputTokenLimit and outputTokenLimit"),
    "vertex": Sharing("gemini-*", reason="serves Gemini with the same two limits"),
    "dashscope": Sharing(
        "*",
        reason="the model list has a maximum input below the context length, e.g. 129,024 of 131,072",
    ),
    "deepseek": Sharing(
        refuses_sum=True,
        reason="'you requested N tokens (… in the messages, … in the completion)'",
    ),
    "openrouter": Sharing(
        refuses_sum=True,
        reason="'you requested about N tokens (… of text input, … in the output)'",
    ),
}


def of(provider: str) -> Sharing:
    """Return what the numbers of a provider mean, by its short name."""
    return BY_PROVIDER.get(provider, SHARED)
