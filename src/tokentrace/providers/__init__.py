"""Providers and models: names, hosts and limits, as dated data.

`find` tells who serves a request and what is known about its model; `limit` what the model takes.
The rows of OpenAI and Anthropic are written by hand, with their reasons; all others stand in a table
that a script writes, see `providers.generated`. A host's own row goes before its maker's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase, translate
from functools import cache, lru_cache

from tokentrace.prompt import Limit
from tokentrace.providers import generated
from tokentrace.providers._model import Caching, Model, Provider
from tokentrace.providers.anthropic import ANTHROPIC
from tokentrace.providers.hosts import (
    AZURE,
    AZURE_INFERENCE,
    BEDROCK,
    GEMINI,
    OTHERS,
    VERTEX,
)
from tokentrace.providers.openai import OPENAI

__all__ = [
    "PROVIDERS", "UNKNOWN", "Caching", "Found", "Model", "Provider", "by_hand", "find", "holder", "host_of",
    "hosting", "limit", "load", "look_up", "plain", "soft_limit", "undated",
]  # fmt: skip

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        *(OPENAI, ANTHROPIC, AZURE, AZURE_INFERENCE, BEDROCK, VERTEX, GEMINI),
        *OTHERS,
    )
}
UNKNOWN = Provider("", "")
MAKERS = (OPENAI, ANTHROPIC)
REGISTRY = "registry"

# What a model's plain name begins with, by its maker.
BEGINNINGS = {
    "claude": "anthropic",
    "gpt-": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "text-embedding-": "openai",
    "codex-": "openai",
    "gemini": "gemini",
    "mistral": "mistral",
    "command": "cohere",
    "deepseek": "deepseek",
    "grok": "xai",
}

ANY_HOST = Provider("any-host", "any-host")  # whose rows hold wherever a model is served
LONGEST = 300
DATE = re.compile(r"-(?:20\d{2}-?\d{2}-?\d{2}|\d{4}|latest)$", re.ASCII)
ALIASES = {"gpt-35-": "gpt-3.5-", "gpt-3-5-": "gpt-3.5-"}


def find(model: str, provider: str = "", base_url: str = "") -> tuple[Provider, Model | None]:
    """Return who serves a request, and the model's row or None where nobody knows it.

    Args:
        model: as requested: plain, dated, with a provider's prefix, a Bedrock id or profile, a
            Vertex name, a fine-tuned model's name.
        provider: its short or OpenTelemetry name, where the caller knows it.
        base_url: of the client; asked before the model's name is.

    An unknown ``provider`` keeps its name; an unknown host is ``UNKNOWN``, whatever the model.
    """
    found = look_up(model, provider, base_url)
    return found.server, found.row


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a request's model.

    Attributes:
        server: who serves it.
        row: None where nobody knows it.
        holder: whose row it is, with date and source; ``UNKNOWN`` without a row.
    """

    server: Provider
    row: Model | None = None
    holder: Provider = UNKNOWN


def look_up(model: str, provider: str = "", base_url: str = "") -> Found:
    """Return what `find` does, and whose row it is."""
    return _find(model[:LONGEST], provider[:LONGEST], host_of(base_url[:LONGEST]))


def load() -> None:
    """Read the generated table now, so that no call waits for it."""
    generated.load()
    _patterns()


def limit(model: Model, max_output: int | None = None, reserve: bool = True) -> Limit:
    """Return the largest input of a call.

    With ``reserve``, the requested output is taken off a shared window, but only where the provider
    refuses the sum. `soft_limit` gives the number for the others.
    """
    if model.input is not None:
        return Limit(model.input, REGISTRY)
    if model.window is None:
        return Limit()
    taken = (max_output or 0) if reserve and model.refuses_sum else 0
    return Limit(max(0, model.window - taken), REGISTRY)


def soft_limit(model: Model, max_output: int | None = None) -> Limit:
    """Return the input above which the requested output no longer fits into a shared window.

    Where the provider does not refuse this (``hard`` is False), only a warning is right.
    """
    if model.input is not None or model.window is None:
        return limit(model, max_output)
    return Limit(max(0, model.window - (max_output or 0)), REGISTRY, hard=model.refuses_sum)


def plain(model: str) -> str:
    """Return a model's name as its maker writes it, in lower case, without who serves it.

    >>> plain("us.anthropic.claude-sonnet-4-20250514-v1:0")
    'claude-sonnet-4-20250514'
    >>> plain("ft:gpt-4o-2024-08-06:acme::abc")
    'gpt-4o-2024-08-06'
    """
    name = model.strip().lower()
    if name.startswith("ft:"):
        name = name.split(":")[1]
    name = name.rpartition("/")[2]
    if "claude" in name:
        return _claude(name[name.index("claude") :])
    name = name.partition(":")[0].partition("@")[0].removeprefix("openai.")
    for wrong, right in ALIASES.items():
        if name.startswith(wrong):
            return right + name.removeprefix(wrong)
    return name


def undated(name: str) -> str:
    """Return a plain name without its date or ``-latest``."""
    return DATE.sub("", name)


@lru_cache(maxsize=512)
def host_of(base_url: str) -> str:
    """Return the host of a URL in lower case, empty where it has none."""
    rest = base_url.partition("://")[2] or base_url
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].lower()
    if host.startswith("["):
        return host.partition("]")[0][1:]
    return host.partition(":")[0]


def _claude(name: str) -> str:
    """Undo what Bedrock, Vertex and routers do to a Claude's name."""
    name = name.replace("@", "-")
    if not name.startswith("claude-v"):
        name = re.sub(r"-v\d+(?::\d+)?$", "", name)
        name = name.partition(":")[0]
    if re.search(r"\d\.\d", name) and not name.startswith("claude-2"):
        name = re.sub(r"(\d)\.(\d)", r"\1-\2", name)
    return name.removesuffix("-default").removesuffix("-0")


@lru_cache(maxsize=512)
def _find(model: str, provider: str, host: str) -> Found:
    name = plain(model)
    maker, known = by_hand(name)
    server = _serving(maker, model, provider, host)
    names = generated.names_of(name)
    if known is not None:
        own = None if server is maker else generated.own(names, server.name)
        return Found(server, known, maker) if own is None else _hosted(server, known, own)
    made = generated.find(names, server.name, elsewhere=bool(provider or host))
    if made is None:
        return Found(server)
    owner, row = made
    return Found(server, row, holder(owner, row.match))


def _hosted(server: Provider, known: Model, own: tuple[str, Model]) -> Found:
    """Return a maker's row with the numbers of a host that takes less or more."""
    owner, row = own
    tokens, output = row.input or row.window, row.output or known.output
    if known.input is None:
        merged = replace(known, match=row.match, window=tokens, output=output)
    else:
        merged = replace(known, match=row.match, input=tokens, window=None, output=output)
    return Found(server, merged, holder(owner, row.match))


def holder(owner: str, name: str) -> Provider:
    """Return whose row a generated one is, with its date and source."""
    return _dated(owner, generated.source(owner, name))


@cache
def _dated(owner: str, source: str) -> Provider:
    told = f"model file of {source} (MIT)"
    return replace(PROVIDERS.get(owner, ANY_HOST), dated=generated.load().dated, source=told)


def by_hand(name: str) -> tuple[Provider, Model | None]:
    """Return the maker of a model by its plain name, and its row where it is written by hand."""
    for candidate in dict.fromkeys((name, undated(name))):
        for maker, pattern in _patterns():
            if (found := pattern.match(candidate)) and found.lastindex:
                return maker, maker.models[found.lastindex - 1]
    makers = (maker for start, maker in BEGINNINGS.items() if name.startswith(start))
    return PROVIDERS.get(next(makers, ""), UNKNOWN), None


@cache
def _patterns() -> tuple[tuple[Provider, re.Pattern[str]], ...]:
    """Return each maker's globs as one pattern: the first group that matches is the row."""
    return tuple(
        (maker, re.compile("|".join(f"({translate(row.match)})" for row in maker.models)))
        for maker in MAKERS
    )


def _serving(maker: Provider, model: str, provider: str, host: str) -> Provider:
    if provider:
        return _named(provider)
    if host:
        return hosting(host)
    if re.match(r"(?:arn:aws|[a-z-]*\.?anthropic\.claude)", model.lower()):
        return BEDROCK
    prefix = model.partition("/")[0].lower() if "/" in model else ""
    return PROVIDERS.get(prefix, maker)


@lru_cache(maxsize=512)
def _named(name: str) -> Provider:
    known = PROVIDERS.get(name)
    if known is not None:
        return known
    standard = (p for p in PROVIDERS.values() if p.otel_name == name)
    return next(standard, Provider(name, name))


@lru_cache(maxsize=512)
def hosting(host: str) -> Provider:
    """Return who serves from a host, in lower case; ``UNKNOWN`` where nobody knows."""
    serving = (p for p in PROVIDERS.values() for glob in p.hosts if fnmatchcase(host, glob))
    return next(serving, UNKNOWN)
