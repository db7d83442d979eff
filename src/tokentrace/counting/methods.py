"""The surest method that a count of a model's requests can have, without counting one."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tokentrace.counting import rules
from tokentrace.counting.counter import _family
from tokentrace.counting.rules import Scope
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import ruler
from tokentrace.prompt import CALIBRATED, ESTIMATED, EXACT, Message, Part, Prompt
from tokentrace.providers import Model

ORDER = (EXACT, CALIBRATED, ESTIMATED)  # the surest first
# The apis that serve a model, by its name: OpenAI's model pages, as remembered 2026-11-22.
SERVED = (
    ("*text-embedding-*", ("openai.embeddings",)),
    ("*-instruct*", ("openai.completions",)),
    ("*babbage-*", ("openai.completions",)),
    ("*davinci-*", ("openai.completions",)),
    ("*-pro*", ("openai.responses",)),
    ("*", ("openai.chat", "openai.responses")),
)
# The apis of providers that have one of their own, for what they are asked with it.
OWN = (
    ("gemini", "*", ("gemini.generateContent",)),
    ("vertex", "*gemini*", ("gemini.generateContent",)),
    ("bedrock", "*", ("bedrock.converse",)),
    ("mistral", "*", ("mistral.chat",)),
    ("cohere", "*", ("cohere.chat",)),
    ("ollama", "*", ("ollama.chat",)),
)
BYTES = "bytes"  # the ruler that needs no vocabulary: nothing is measured here
PLAIN = (Message("user", (Part("text", "plain text"),)),)


def surest(model: Model, name: str, provider: str) -> str:
    """Return the method of plain text, over whichever api it is surest.

    Args:
        model: the model's row.
        name: the model's name, as a caller writes it.
        provider: who serves it.
    """
    found = set()
    for api in _apis(model, name.lower(), provider):
        scope = Scope(ruler(BYTES), None, name, api, provider, model.family)
        rule = rules.find(_family(api, name, model))
        method: str = rule.judge(Prompt(api, name, PLAIN), Tally(), scope)[0]
        found.add(method)
    return min(found, key=ORDER.index)


def _apis(model: Model, name: str, provider: str) -> tuple[str, ...]:
    """Return the apis that serve a model: the provider's own, or OpenAI's."""
    if not model.tokenizer:
        for owner, glob, apis in OWN:
            if owner == provider and fnmatchcase(name, glob):
                return apis
    return next(apis for glob, apis in SERVED if fnmatchcase(name, glob))
