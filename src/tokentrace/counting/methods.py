"""The surest method that a count of a model's requests can have, without counting one."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tokentrace.counting import rules
from tokentrace.counting.rules import Scope
from tokentrace.counting.tally import Tally
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
PLAIN = (Message("user", (Part("text", "plain text"),)),)


def surest(model: Model, name: str, provider: str) -> str:
    """Return the method of plain text, over whichever api it is surest.

    Args:
        model: the model's row.
        name: the model's name, as a caller writes it.
        provider: who serves it.
    """
    rule = rules.find("claude" if model.family.startswith("claude") else "openai")
    apis = next(apis for glob, apis in SERVED if fnmatchcase(name.lower(), glob))
    found = set()
    for api in apis:
        scope = Scope(None, None, name, api, provider, model.family)
        method, _ = rule.judge(Prompt(api, name, PLAIN), Tally(), scope)
        found.add(method)
    return min(found, key=ORDER.index)
