"""What a prompt could do without, in tokens, found while its text is at hand. Only numbers are kept.

Each text is looked at once: what was found lies with its message, or in the one store. What the
messages of a conversation add up to lies with its snapshot, so a call with nothing new costs a
look-up. Where the counter ran out of time nothing is told: the next call goes on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from tokentrace.counting import blocks
from tokentrace.counting.claims import CLOSED, Claim
from tokentrace.counting.memory import Snapshot
from tokentrace.counting.pace import give_way, hashed
from tokentrace.counting.rules import Scope
from tokentrace.counting.store import STORE
from tokentrace.counting.tally import Tally
from tokentrace.outlook import Waste
from tokentrace.prompt import Message, Part, Prompt

DUPLICATE = "duplicate"
JSON = "json"
BASE64 = "base64"
CARRIED = "carried"

OLD = 5  # turns from which on the result of a tool counts as carried
SMALL = 16  # tokens: less is not worth a word
SHORT = 80  # characters of a text that is looked at
WORTH_KEEPING = 512  # characters of a text whose finds are kept in the store, too
MOST_MARKS = (
    20_000  # of a conversation, about 1.3 MB for 4 MB of text: what is beyond is not known again
)
MOST_NAMES = 64
# Measured with tracemalloc on CPython 3.11.7 (2026-11-30); a test holds the store to it.
MARK_BYTES, BLOCK_BYTES = 80, 160
SIMPLE = frozenset({"openai.embeddings", "openai.completions"})
COMPONENTS = {"system": "system", "developer": "system", "user": "user"}
RESULTS = "tool_results"
ROLES = CLOSED | {"system", "user", "server_context"}
LOOKED_AT = frozenset({"text", "call", "result"})
APART = frozenset(
    {"framing", "media", "reasoning", "server_context", "tools"}
)  # no text of a message

Key = tuple[object, ...]
Found = dict[tuple[str, str], int]
Laid = tuple[Sequence[Claim], str]  # who owns what of a text, and who owns the rest


@dataclass(frozen=True, slots=True)
class Finds:
    """What was found in one text.

    Attributes:
        found: tokens by kind and component.
        blocks: see `blocks.blocks`.
        contents: a salted mark of what each named component has in it.
    """

    found: tuple[tuple[tuple[str, str], int], ...] = ()
    blocks: tuple[blocks.Block, ...] = ()
    contents: tuple[tuple[str, int], ...] = ()


NOTHING = Finds()


@dataclass(slots=True, eq=False)
class Sums:
    """What the messages of a conversation add up to, grown by those that are new.

    Attributes:
        done: how many messages are in it.
        seen: marks of their blocks.
        found: tokens by kind and component.
        newest: the part of ``found`` that is the newest user message's.
        results: tokens of tools' results by now, and ahead of each of the last turns.
        turns: how many user messages there were, and ahead of the first result.
        contents: a salted mark of what each named component has in it.
        blocks: how many blocks all the messages have.
        beyond: blocks that are not remembered for want of room.
    """

    done: int = 0
    seen: set[int] = field(default_factory=set)
    found: Found = field(default_factory=dict)
    newest: Found = field(default_factory=dict)
    results: int = 0
    ahead: deque[int] = field(default_factory=lambda: deque(maxlen=OLD))
    turns: int = 0
    first: int | None = None
    contents: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    beyond: int = 0

    @property
    def weight(self) -> int:
        """Bytes held, with the blocks that lie with the messages."""
        return MARK_BYTES * len(self.seen) + BLOCK_BYTES * self.blocks


@dataclass(frozen=True, slots=True)
class Seen:
    """What a prompt could do without, and what its named components hold.

    Attributes:
        waste: the largest first.
        contents: a salted mark for each named component; it changes with the component's text.
    """

    waste: tuple[Waste, ...] = ()
    contents: Mapping[str, int] = field(default_factory=dict)


UNSEEN = Seen()

beyond: Counter[str] = Counter()


def look(prompt: Prompt, scope: Scope, snapshot: Snapshot | None) -> Seen:
    """Return what a counted prompt could do without.

    Args:
        prompt: as counted.
        scope: with the ruler that counted it; one that ran out of time is not asked for more.
        snapshot: of the prompt's messages, where there is one.
    """
    if prompt.api in SIMPLE or getattr(scope.ruler, "skipped", False):
        return UNSEEN
    key = ("waste", scope.ruler.name, scope.lens.version)
    whole = (*key, scope.model, scope.provider)  # by which the tallies differ
    known = snapshot if snapshot is not None and snapshot.messages is prompt.messages else None
    if known is None:
        return _seen(_grown(Sums(), prompt.messages, scope, key))
    seen: Seen | None = known.kept.get(whole)
    if seen is None:
        sums = _grown(_taken(known, whole, prompt.messages), prompt.messages, scope, key)
        if getattr(scope.ruler, "skipped", False):
            return UNSEEN
        seen = known.kept[whole] = _seen(sums)
        known.kept["sums", *whole] = sums
    return seen


def _taken(snapshot: Snapshot, key: Key, messages: Sequence[Message]) -> Sums:
    """Take over the sums of the snapshot before: of two threads only one gets them."""
    sums: Sums | None = snapshot.behind.pop(("sums", *key), None)
    snapshot.behind = {}
    fits = sums is not None and sums.done == snapshot.same <= len(messages)
    return sums if sums is not None and fits else Sums()


def _grown(sums: Sums, messages: Sequence[Message], scope: Scope, key: Key) -> Sums:
    """Add the messages that are not yet in ``sums``, and return it."""
    for message in messages[sums.done :]:
        _add(sums, message, scope, key)
    sums.done = len(messages)
    return sums


def _add(sums: Sums, message: Message, scope: Scope, key: Key) -> None:
    component = COMPONENTS.get(message.role, "history")
    asks = component == "user" and any(part.kind != "result" for part in message.parts)
    if asks:
        sums.turns += 1
        sums.ahead.append(sums.results)
        sums.newest = {}
    for part in message.parts:
        if part.kind not in LOOKED_AT or len(part.text) < SHORT:
            continue
        own = RESULTS if part.kind == "result" else component
        finds = _finds(message, part, own, scope, key)
        again = _again(sums, finds)
        held = (*finds.found, *(_repeated(part, own, again, scope) if again else ()))
        factor = _factor(message, scope) if held else 1.0
        for kind, measured in held:
            tokens = round(factor * measured)
            sums.found[kind] = sums.found.get(kind, 0) + tokens
            if asks:
                sums.newest[kind] = sums.newest.get(kind, 0) + tokens
        for name, mark in finds.contents:
            if name in sums.contents or len(sums.contents) < MOST_NAMES:
                sums.contents[name] = sums.contents.get(name, 0) + mark
    _carry(sums, message, scope)


def _factor(message: Message, scope: Scope) -> float:
    """Return by what a message's text was multiplied where the ruler's vocabulary is not its own."""
    kept = _tallied(message, scope)
    texts = (part.text for part in message.parts if part.kind in LOOKED_AT)
    measured = sum(_tokens(text, scope) for text in texts if text) if kept is not None else 0
    if kept is None or not measured:
        return 1.0
    held = kept.items()
    return sum(tokens for name, tokens in held if name not in APART) / measured


def _tallied(message: Message, scope: Scope) -> Mapping[str, int] | None:
    """Return the tokens of a message by component; None where it is not counted for this model."""
    kept: tuple[Key, Tally] | None = message.memo.get("tally")
    mine = (scope.ruler.name, scope.model, scope.provider, scope.lens.version)
    return kept[1].components if kept is not None and kept[0][1:] == mine else None


def _carry(sums: Sums, message: Message, scope: Scope) -> None:
    """Add the tokens of a message's results, as they were counted with it."""
    kept = _tallied(message, scope)
    tokens = kept.get(RESULTS, 0) if kept is not None else 0
    if tokens:
        sums.results += tokens
        sums.first = sums.turns if sums.first is None else sums.first


@lru_cache(maxsize=256)  # the same for a call that is made again, as it always was
def stretched(waste: tuple[Waste, ...], before: int, after: int) -> tuple[Waste, ...]:
    """Return what was found in a prompt of ``before`` tokens, that turned out to have ``after``."""
    return tuple(replace(one, tokens=round(one.tokens * after / max(1, before))) for one in waste)


# ── one text ─────────────────────────────────────────────────────────────────────────────────────


def _finds(message: Message, part: Part, component: str, scope: Scope, key: Key) -> Finds:
    """Return what is found in a text; it was looked at before, or is now."""
    own = (*key, id(part))
    known: Finds | None = message.memo.get(own)
    if known is not None:
        return known
    text = part.text
    give_way()
    shared = (*key, component, len(text), hash(text)) if len(text) >= WORTH_KEEPING else None
    known = STORE.get(shared) if shared else None
    if known is None:
        known = _looked(text, component, scope)
        if shared and not getattr(scope.ruler, "skipped", False):
            STORE.put(shared, known, 200 + 120 * (len(known.blocks) + len(known.contents)))
    message.memo[own] = known
    return known


def _looked(text: str, component: str, scope: Scope) -> Finds:
    give_way()
    cut = blocks.blocks(text)
    give_way()
    claims = scope.lens.claims(text, component)
    found: Found = {}
    laid = claims, component
    for name, tokens in (*_spaced(text, laid, scope), *_encoded(text, laid, scope)):
        found[name] = found.get(name, 0) + tokens
    contents = tuple(
        (claim.name, hashed(text, claim.start, claim.end))
        for claim in claims
        if claim.name not in ROLES  # a role's tokens are more than what bears its name
    )
    if not (cut or found or contents):
        return NOTHING
    return Finds(tuple(found.items()), cut, contents)


def _spaced(text: str, laid: Laid, scope: Scope) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield what compact JSON would save: both texts are counted."""
    found = blocks.pretty(text)
    if not found:
        return
    saved = _tokens(text, scope) - _tokens(blocks.replaced(text, found), scope)
    if saved >= SMALL:
        yield (JSON, _owner_of_most(text, laid, found)), saved


def _owner_of_most(text: str, laid: Laid, found: Sequence[blocks.Pretty]) -> str:
    """Return the component that owns most lines of stretches."""
    claims, component = laid
    lines = Counter({component: sum(text.count("\n", start, end) for start, end, _ in found)})
    for claim in claims:
        for start, end, _ in found:
            own = text.count("\n", max(start, claim.start), min(end, claim.end))
            lines[claim.name] += own
            lines[component] -= own
    return lines.most_common(1)[0][0]


def _encoded(text: str, laid: Laid, scope: Scope) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield what base64 takes; a run of megabytes is neither copied nor counted again for it."""
    found = blocks.encoded(text)
    borders = sorted({border for span in found for border in span} - {0, len(text)})
    shares = scope.ruler.shares(text, borders)[0] if found else []
    for start, _ in found:
        yield (BASE64, _owner(laid, start)), shares[bisect_right(borders, start)]


def _tokens(text: str, scope: Scope) -> int:
    tokens: int = scope.ruler.tokens(text)[0]
    return tokens


def _owner(laid: Laid, at: int) -> str:
    """Return the component that owns the character at a position."""
    claims, component = laid
    place = bisect_right(claims, at, key=lambda claim: claim.start) - 1
    if place >= 0 and at < claims[place].end:
        return claims[place].name
    return component


def _again(sums: Sums, finds: Finds) -> list[blocks.Block]:
    """Return the blocks that stood in the prompt before, and remember the others."""
    seen = sums.seen
    again = []
    for block in finds.blocks:
        if block[0] in seen:
            again.append(block)
        elif len(seen) < MOST_MARKS:
            seen.add(block[0])
        else:
            sums.beyond += 1
            beyond["blocks"] += 1
    sums.blocks += len(finds.blocks)
    return again


def weight(kept: Mapping[Any, Any]) -> int:
    """Return the bytes that looking through the messages of a snapshot has left with them."""
    return sum(one.weight for one in kept.values() if isinstance(one, Sums))


def status() -> dict[str, int]:
    """Return how many blocks of prompts are not known again, for want of room, in this process."""
    return {"blocks_not_kept": beyond["blocks"]}


def _repeated(
    part: Part, component: str, again: Sequence[blocks.Block], scope: Scope
) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield the tokens of blocks that stand in the prompt once more."""
    laid = scope.lens.claims(part.text, component), component
    for start, end in blocks.joined(again):
        yield (DUPLICATE, _owner(laid, start)), _tokens(part.text[start:end], scope)


# ── the whole prompt ─────────────────────────────────────────────────────────────────────────────


def _seen(sums: Sums) -> Seen:
    found = dict(sums.found)
    for (kind, component), tokens in sums.found.items():
        if component == "user":  # older user text is history
            own = sums.newest.get((kind, component), 0)
            found[kind, component] = own
            found[kind, "history"] = found.get((kind, "history"), 0) + tokens - own
    waste = [Waste(*name, tokens) for name, tokens in found.items() if tokens >= SMALL]
    if len(sums.ahead) == OLD and sums.ahead[0] >= SMALL:
        waste.append(Waste(CARRIED, RESULTS, sums.ahead[0], sums.turns - (sums.first or 0)))
    waste.sort(key=lambda one: -one.tokens)
    return Seen(tuple(waste), dict(sums.contents))
