"""From a request body to its count: read, tally, judge, limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from operator import itemgetter
from types import ModuleType
from typing import Any

from tokentrace import _failsafe, dialects, providers
from tokentrace.counting import (
    anchoring,
    files,
    made,
    marks,
    rules,
    stored,
    summing,
    tekken,
    tokenizers,
    waste,
)
from tokentrace.counting.claims import Lens
from tokentrace.counting.folds import MEMO
from tokentrace.counting.hurry import Hurried
from tokentrace.counting.memory import Walker
from tokentrace.counting.reading import Again, Reading
from tokentrace.counting.rules import Scope, gemini, mistral, openai_hosts
from tokentrace.counting.rules.openai import SIMPLE
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import Ruler, ruler
from tokentrace.prompt import CALIBRATED, ESTIMATED, EXACT, Count, Detail, Limit, Prompt

Limiter = Callable[[Prompt], Limit]
Contexts = Callable[[Prompt], stored.Known]

GENERIC = "generic"
CLAUDE = "claude"
FAMILIES = {"openai": "openai", "anthropic": CLAUDE, "gemini": "gemini"}
MEASURED = {
    "mistral": mistral.measured,
    "gemini": gemini.measured,
    "openai": openai_hosts.measured,
}
EMBEDDINGS = "openai.embeddings"
RELAY = "relay"  # a host that nobody knows
DETAILS = 200
UNKNOWN_SHARE = 0.4
TOKENS = itemgetter(1)
CONVERSATIONS = ("messages", "contents")
READABLE = (list, tuple, type(None))
UNREAD = 2**31  # the bound of a count whose messages nobody could read
TOKENIZER = "o200k_base"
PLAIN = Lens()


def measure(
    body: Mapping[str, Any],
    *,
    api: str,
    provider: str = "",
    base_url: str = "",
    lens: Lens = PLAIN,
    limit: Limiter | None = None,
    budget_s: float | None = None,
    contexts: Contexts | None = None,
    wasteful: bool = False,
) -> tuple[Prompt, Count]:
    """Read and count a request body. Cost follows what is new since the conversation's last call.

    Args:
        body: the request as on the wire. It is not changed, no iterator in it is consumed.
        api: one of the api names; an unknown one gets a generic estimate and one warning.
        provider: who serves it, where that is not the api's own maker.
        base_url: of the client; tells hosts that speak somebody else's dialect.
        lens: tags and sections to lay over the text.
        limit: gives the limit of the read prompt; by default the registry's.
        budget_s: seconds after which new text is estimated; None counts everything.
        contexts: what is known of the contexts that the prompt names, see `stored.expected`.
        wasteful: look for what it could do without, too: `waste.Seen`, in the prompt's memo.

    Returns:
        The prompt as read, and its count with its limit.
    """
    found = read(
        body,
        api=api,
        provider=provider,
        base_url=base_url,
        lens=lens,
        limit=limit,
        contexts=contexts,
        wasteful=wasteful,
    )
    hurry = None if budget_s is None else partial(Hurried, seconds=budget_s)
    return found.prompt, counted(found, hurry)


def read(
    body: Mapping[str, Any],
    *,
    api: str,
    provider: str = "",
    base_url: str = "",
    lens: Lens = PLAIN,
    limit: Limiter | None = None,
    contexts: Contexts | None = None,
    wasteful: bool = False,
) -> Reading | Again:
    """Read a request body; the arguments are those of `measure`."""
    sought = made.asked(body, provider, base_url, lens.version, wasteful, limit is None)
    walker = Walker(api)
    before = None if sought is None else made.find(walker, sought)
    if before is not None:
        return Again(before.prompt, _limited(before, limit))
    prompt, known = _parsed(body, api, walker, contexts)
    asked = (api, provider, base_url)
    rule, scope, model = _ruled_by(prompt, lens, *asked)
    lasting = None if sought is None else made.apart(prompt)
    prompt = lasting or prompt
    _shared(prompt, walker)
    return Reading(
        prompt,
        limit(prompt) if limit else registry_limit(prompt, model),
        known,
        rule,
        scope,
        walker,
        unread=_unread(body),
        wasteful=wasteful,
        sought=sought if lasting else None,
        current=_current(prompt, scope, model, asked),
    )


def counted(reading: Reading | Again, hurry: Callable[[Any], Hurried] | None) -> Count:
    """Count what was read, with a ruler that ``hurry`` makes of the prompt's own."""
    if isinstance(reading, Again):
        return reading.count
    prompt, rule, scope, snapshot = reading.prompt, reading.rule, reading.scope, reading.snapshot
    scope = scope if hurry is None else replace(scope, ruler=hurry(scope.ruler))
    tally = summing.whole(rule, prompt, scope, snapshot)
    prompt.memo["waste"] = waste.UNSEEN
    if reading.wasteful:
        prompt.memo["waste"] = waste.look(prompt, scope, snapshot)
        marks.of_prompt(prompt)  # here on a worker, perhaps: who asks next may be an event loop
        anchoring.sized(prompt)
    verdict = (ESTIMATED, UNREAD) if reading.unread else rule.judge(prompt, tally, scope)
    limit = _itemwise(reading.limit, prompt, tally, scope)
    own = _count(prompt, tally, verdict, scope, limit)
    if reading.known:
        return stored.on_top(own, reading.known)
    _keep(reading, own, scope)
    return own


def _keep(reading: Reading, own: Count, scope: Scope) -> None:
    """Keep what was made of a request for the next one that is the same."""
    sought, current, walker = reading.sought, reading.current, reading.walker
    if sought is not None and _lasting(reading.prompt, scope):
        new = made.Made(sought.key, reading.prompt, (reading.limit, own), current(), current)
        made.keep(walker, new, sought.raw)
    walker.keep(made.left(walker.snapshot))


def _limited(before: made.Made, limit: Limiter | None) -> Count:
    """Return a count that was made before, with the limit of now."""
    bound, counted = before.told
    now = limit(before.prompt) if limit else bound
    if now != bound:
        tokens, source, hard = now.tokens, now.source, now.hard
        counted = replace(counted, limit=tokens, limit_source=source, limit_hard=hard)
        before.told = now, counted
    return counted


def _current(
    prompt: Prompt, scope: Scope, model: providers.Model | None, asked: tuple[str, str, str]
) -> Callable[[], Ruler]:
    """Return what gives the ruler that would measure a prompt's text now."""
    if model is not None and model.tokenizer == scope.ruler.name:
        return partial(ruler, scope.ruler.name)
    return lambda: _ruled_by(prompt, PLAIN, *asked)[1].ruler


def _shared(prompt: Prompt, walker: Walker) -> None:
    """Give a prompt what is known of its messages as a whole."""
    snapshot = walker.snapshot
    if snapshot is not None and snapshot.messages is prompt.messages:
        prompt.memo[MEMO] = snapshot.folds


def _lasting(prompt: Prompt, scope: Scope) -> bool:
    """Whether a count follows from its request alone, and nothing was left for a later call."""
    late = getattr(scope.ruler, "skipped", False)
    return not (late or prompt.stored or prompt.api == EMBEDDINGS)


def count(
    body: Mapping[str, Any] | str,
    *,
    api: str | None = None,
    model: str | None = None,
    provider: str = "",
    anchor: tuple[Mapping[str, Any], Any] | None = None,
) -> Count:
    """Count the input tokens of a request body, or of a text.

    Never touches the network and never raises on odd bodies: what cannot be read is an estimate
    and says so.

    Args:
        body: a request body as on the wire (with ``api``), or a text (with ``model``).
        api: one of the api names, e.g. ``openai.chat``.
        model: the model, where the body does not name it; required for a text.
        provider: who serves it, e.g. ``azure`` or ``bedrock``.
        anchor: an earlier body of the same conversation and the usage that the provider reported
            for it; the count then needs to be right only about what changed.

    Raises:
        TypeError: neither ``api`` nor ``model`` is given.
    """
    if api is None and model is None:
        raise TypeError("count() needs api= for a request body, or model= for a text")
    if isinstance(body, str):
        return _failsafe.attempt(_text, body, model or "", provider, default=_blind(model, api))
    if model is not None and isinstance(body, Mapping):
        body = {**body, "model": model}
    name = api or "openai.chat"
    return _failsafe.attempt(_body, body, name, provider, anchor, default=_blind(model, api))


def registry_limit(prompt: Prompt, model: providers.Model | None) -> Limit:
    """Return the limit that the shipped registry knows for the prompt's model."""
    return Limit() if model is None else providers.limit(model, prompt.max_output, reserve=True)


def _parsed(
    body: Mapping[str, Any], api: str, walker: Walker, contexts: Contexts | None
) -> tuple[Prompt, stored.Known]:
    """Return the read prompt, and what is known of the contexts that it names."""
    prompt: Prompt = _dialect(api).parse(body, walker)
    if prompt.api == GENERIC:
        prompt = replace(prompt, api=api)
    known = contexts(prompt) if contexts and prompt.stored else {}
    return stored.unknown(prompt, known) if known else prompt, known


def _itemwise(bound: Limit, prompt: Prompt, tally: Tally, scope: Scope) -> Limit:
    """Return the limit of a batch of embeddings, of which each input has the model's own limit.

    It is as many times larger as the batch is larger than its largest input, so that the
    utilization is that input's. Every other limit is that of the whole prompt.
    """
    if prompt.api != EMBEDDINGS:
        return bound
    sizes = [
        part.data if isinstance(part.data, int) else scope.ruler.tokens(part.text)[0]
        for message in prompt.messages
        for part in message.parts
    ]
    largest = max(sizes, default=0)
    if bound.tokens is None or not largest:
        return bound
    return replace(bound, tokens=max(bound.tokens, bound.tokens * tally.total // largest))


def _body(body: Any, api: str, provider: str, anchor: Any) -> Count:
    body = body if isinstance(body, Mapping) else {}
    if mistral.ours(api, ""):
        tekken.load()  # nobody's call waits here
    tokenizers.load(str(body.get("model", "")))
    prompt, counted = measure(body, api=api, provider=provider)
    if anchor is None or counted.method == EXACT:
        return counted
    return _anchored(counted, prompt, anchor, api, provider)


def _anchored(now: Count, prompt: Prompt, anchor: Any, api: str, provider: str) -> Count:
    """Put ``now`` on what was reported for an earlier call: only the difference is estimated."""
    earlier, usage = anchor if isinstance(anchor, tuple | list) and len(anchor) == 2 else ({}, None)
    if not isinstance(earlier, Mapping):
        return now
    past, before = measure(earlier, api=api, provider=provider)
    history = anchoring.History()
    history.note(past, anchoring.footprint(past, before), _dialect(api).usage({"usage": usage}))
    return anchoring.anchored(now, prompt, history)


def _text(text: str, model: str, provider: str) -> Count:
    """Count a text as the only user text of a prompt, without the framing around it."""
    found, known = providers.find(model, provider)
    claude = "claude" in model.lower()
    own = tokenizers.load(model)
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    api = "anthropic.messages" if claude else "openai.chat"
    _, whole = measure(body, api=api, provider=provider)
    native = known is not None and bool(known.tokenizer) and found.name in {"openai", "azure"}
    components = {name: n for name, n in whole.components.items() if n and name != "framing"}
    total = sum(components.values())
    method, error = whole.method, whole.error
    if own is not None and own.name == whole.tokenizer:
        error = own.tokens(text)[1] + files.seams(text)
        method = CALIBRATED if error else EXACT
    elif native:
        estimated = ruler(whole.tokenizer).tokens(text)[1]
        method, error = (ESTIMATED, estimated) if estimated else (EXACT, 0)
    elif not claude:
        method, error = ESTIMATED, math.ceil(UNKNOWN_SHARE * total)
    changed = replace(whole, total=total, components=components, api="text")
    return replace(changed, method=method, error=error)


def _blind(model: str | None, api: str | None) -> Count:
    """Return the count of a body that our own code could not read."""
    return Count(0, {}, model=model or "", api=api or "", error=UNREAD)


def _unread(body: Mapping[str, Any]) -> bool:
    """Whether the conversation is something that can be read only once, or no conversation."""
    if not all(isinstance(body.get(key), READABLE) for key in CONVERSATIONS):
        return True
    return any(hasattr(body.get(key), "__next__") for key in ("input", "system", "tools"))


def _dialect(api: str) -> ModuleType:
    found = dialects.find(api)
    if found is None:
        _failsafe.warn_once(f"api:{api}", "api %r is not known; its counts are estimates", api)
        found = dialects.find(GENERIC)
    if found is None:
        raise AssertionError("the generic dialect is part of the package")
    return found


def _family(api: str, name: str, model: providers.Model | None) -> str:
    """Return the name of the rules that count: Claude's and Gemini's are their own in any api."""
    if mistral.ours(api, name):
        return "mistral"
    if model is not None and model.family.startswith("claude"):
        return CLAUDE
    if gemini.ours(api, name):
        return "gemini"
    return FAMILIES.get(api.partition(".")[0], GENERIC)


def _scope(
    prompt: Prompt, lens: Lens, provider: str, model: providers.Model | None, rules_of: str
) -> Scope:
    name = model.tokenizer if model and model.tokenizer else TOKENIZER
    family = model.family if model else ""
    scope = Scope(ruler(name), lens, prompt.model, prompt.api, provider, family)
    native = rules_of == CLAUDE or (model is not None and bool(model.tokenizer))
    own = None if native else tokenizers.ruler(prompt.model)
    if own is not None:
        return replace(scope, ruler=own)
    measured = MEASURED.get(rules_of)
    return measured(scope) if measured else scope


def _ruled_by(
    prompt: Prompt, lens: Lens, api: str, provider: str, base_url: str
) -> tuple[ModuleType, Scope, providers.Model | None]:
    """Return the rules that count a prompt, what they need, and its model where it is known."""
    found, model = providers.find(prompt.model, provider, base_url)
    host = provider or found.name or (RELAY if base_url else "")
    family = _family(api, prompt.model, model)
    scope = _scope(prompt, lens, host, model, family)
    return rules.find(_ruled(family, scope, prompt)), scope, model


def _ruled(family: str, scope: Scope, prompt: Prompt) -> str:
    """Return whose rules count: a template's, where a file measures plain text in OpenAI's form."""
    if family != "openai" or not files.of_file(scope.ruler.name) or scope.api in SIMPLE:
        return family
    return family if prompt.tools or prompt.schema is not None else GENERIC


def _count(
    prompt: Prompt, tally: Tally, verdict: tuple[str, int], scope: Scope, limit: Limit
) -> Count:
    held = [item for item in tally.components.items() if item[1]]
    ranked = sorted(held, key=TOKENS, reverse=True)
    details = sorted(tally.details.items(), key=TOKENS, reverse=True)[:DETAILS]
    return Count(
        total=tally.total,
        components=dict(ranked),
        details=tuple(Detail(component, name, tokens) for (component, name), tokens in details),
        method=verdict[0],
        error=verdict[1],
        tokenizer=scope.ruler.name,
        limit=limit.tokens,
        limit_source=limit.source,
        limit_hard=limit.hard,
        model=prompt.model,
        api=prompt.api,
    )
