"""What a provider keeps of a conversation, which no body shows: the component ``server_context``.

Before a call it is what reported usage of earlier calls lets expect: their input and output, under
the id by which the next call names them. After a call it is what was reported beyond our own count.
Ids are kept as salted hashes, for six hours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokentrace.counting import marks
from tokentrace.counting.anchoring import size_of
from tokentrace.counting.digests import SALT
from tokentrace.counting.keeping import Keeping
from tokentrace.counting.tally import Tally, scaled
from tokentrace.prompt import ANCHORED, PROVIDER, Count, Prompt, Usage

COMPONENT = "server_context"
MOST = 4_096
LIFE_SECONDS = 21_600.0

# What an id names, by the name under which a body holds it.
ANSWER, TALK, CACHE, TEMPLATE = "answer", "conversation", "cache", "template"
KINDS = {
    "previous_response_id": ANSWER,
    "previous_interaction_id": ANSWER,
    "conversation": TALK,
    "cached_content": CACHE,
    "prompt": TEMPLATE,
}
# Apis whose answers can be named by the next call.
CHAINED = frozenset({"openai.responses", "gemini.interactions"})
# Features with which a provider drops some of what it keeps.
DROPPING = frozenset({"context_management", "truncation"})
# ± tokens: what surrounds the parts; a share of the answer, which comes back in another form, of what
# passes, and of a template, which has other variables each time. Margins, not measured: no recording here
# holds both calls of a long chain.
FRAMES = 12
REPLAYED = 0.05
PASSED = 0.1
FILLED = 0.25
OTHER_MODEL = 0.3


@dataclass(frozen=True, slots=True)
class Stored:
    """What a provider keeps under one id.

    Attributes:
        tokens: of input that it adds to the next call.
        error: ± tokens.
        model: that it was counted for.
        lineage: of the calls that led to it.
        shared: somebody else goes on with it, too: there may be any number of tokens more.
    """

    tokens: int
    error: int
    model: str = ""
    lineage: str = ""
    shared: bool = False


Known = Mapping[str, Stored]
STORED: Keeping[int, Stored] = Keeping(MOST, LIFE_SECONDS)


def _key(place: Any, kind: str, known: str) -> int:
    return hash((SALT, place, kind, known))


# ── before a call ────────────────────────────────────────────────────────────────────────────────


def expected(prompt: Prompt, place: Any) -> dict[str, Stored]:
    """Return what is known of the contexts that a prompt names, by their names in `Prompt.server`.

    Args:
        prompt: as read.
        place: where the provider is, whatever tells one from another.
    """
    found = {}
    for name, known in prompt.stored:
        kept = STORED.find(_key(place, KINDS[name], known))
        if kept is not None:
            other = 0 if kept.model == prompt.model else math.ceil(OTHER_MODEL * kept.tokens)
            found[name] = replace(kept, error=kept.error + other)
    return found


def unknown(prompt: Prompt, known: Known) -> Prompt:
    """Return the prompt without the names of contexts that are known for sure."""
    sure = {name for name, one in known.items() if not one.shared}
    return replace(prompt, server=tuple(name for name in prompt.server if name not in sure))


def on_top(count: Count, known: Known) -> Count:
    """Return the count of what the body holds, with the contexts that are known on top."""
    tokens = sum(one.tokens for one in known.values())
    error = count.error + sum(one.error for one in known.values())
    larger = attributed(count, count.total + tokens)
    return replace(larger, method=ANCHORED, error=error)


def attributed(count: Count, total: int) -> Count:
    """Return the count with another total: the difference is what no body shows.

    A total below what the body itself holds leaves the count as it is.
    """
    components = dict(count.components)
    rest = count.total - components.pop(COMPONENT, 0)
    if total < rest:
        return count
    if total > rest:
        components[COMPONENT] = total - rest
    ranked = dict(sorted(components.items(), key=lambda pair: -pair[1]))
    return replace(count, total=total, components=ranked)


def provided(count: Count, total: int, *, hidden: bool) -> Count:
    """Return the count with the provider's own total, which is certain.

    Args:
        count: our own.
        total: the provider's.
        hidden: the prompt is more than its body, so that the difference is what no body shows;
            otherwise all components are stretched alike.
    """
    told = attributed(count, total) if hidden else count
    if told.total != total:
        components = scaled(Tally(dict(count.components)), total).components
        if sum(components.values()) != total:
            components = {"framing": total}
        told = replace(count, total=total, components=components)
    return replace(told, method=PROVIDER, error=0)


# ── after a call ─────────────────────────────────────────────────────────────────────────────────


def note(prompt: Prompt, counted: Count, usage: Usage, place: Any, lineage: str = "") -> None:
    """Remember what the provider keeps now that a call was answered.

    Args:
        prompt: as read and counted, with all the names in `Prompt.stored`.
        counted: our own count of it, with the contexts that were known.
        usage: as reported.
        place: see `expected`.
        lineage: of the call.
    """
    if not usage.input or not prompt.memo.get(marks.WHOLE):
        return
    named = dict(prompt.stored)
    fresh = Stored(0, 0, prompt.model, lineage)
    if prompt.api in CHAINED and usage.output is not None:
        after = _talk(prompt, counted, usage, fresh)
        if usage.response_id:
            STORED.put(_key(place, ANSWER, usage.response_id), after)
        if "conversation" in named:
            key = _key(place, TALK, named["conversation"])
            shared = _outgrown(prompt, counted, usage.input)
            STORED.change(key, lambda known: _grown(known, after, shared=shared))
    if len(named) == 1:
        (name, known), own = next(iter(named.items())), _hidden(counted, usage.input)
        if KINDS[name] == CACHE:
            tokens, rest = usage.cache_read or own, usage.input - own
            unsure = 0 if usage.cache_read else math.ceil(FILLED * rest)
            error = FRAMES + unsure + max(0, own - tokens)  # a part of it may have been read anew
            kept = replace(fresh, tokens=tokens, error=error)
            STORED.put(_key(place, CACHE, known), kept)
        elif KINDS[name] == TEMPLATE and own:
            error = FRAMES + math.ceil(FILLED * own)
            STORED.put(_key(place, TEMPLATE, known), replace(fresh, tokens=own, error=error))


def _outgrown(prompt: Prompt, counted: Count, reported: int) -> bool:
    """Whether a conversation that was known had become larger than it can have by this process's calls."""
    return "conversation" not in prompt.server and reported > counted.total + counted.error


def _grown(known: Stored | None, after: Stored, *, shared: bool) -> Stored:
    """Return what a conversation is now; what others go on with stays theirs, too."""
    return replace(after, shared=shared or (known is not None and known.shared))


def _hidden(counted: Count, reported: int) -> int:
    """Return the reported tokens that the body does not hold."""
    return max(0, reported - counted.total + counted.components.get(COMPONENT, 0))


def _talk(prompt: Prompt, counted: Count, usage: Usage, fresh: Stored) -> Stored:
    """Return what a conversation has grown to: its input and output, without what passes.

    Definitions and instructions come with each call anew. Reasoning may be kept or dropped. What the
    provider's own tools have read was input more than once, or is gone.
    """
    reported, output = usage.input or 0, usage.output or 0
    passing = counted.components.get("tools", 0) + sum(
        map(size_of, prompt.messages[: prompt.passing])
    )
    tokens = max(0, reported + output - passing)
    error = FRAMES + math.ceil(PASSED * passing + REPLAYED * output) + (usage.reasoning or 0)
    named = {name for name, _ in prompt.stored}
    if any(name not in named for name in prompt.server):
        error += _hidden(counted, reported)
    if DROPPING & prompt.features:
        error += tokens
    return replace(fresh, tokens=tokens, error=error)
