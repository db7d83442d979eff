"""A request body as read, before its texts are counted: how much of it is new, and what it can be at most."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from tokentrace.counting import made, stored
from tokentrace.counting.memory import Snapshot, Walker
from tokentrace.counting.rules import Scope
from tokentrace.counting.text import LONGEST_TOKEN, TYPICAL, Ruler, size
from tokentrace.prompt import ESTIMATED, Count, Limit, Message, Part, Prompt, light

ENCODED = 2**18  # characters of a text whose bytes are worth counting: under 0.2 ms
HASHED = 2**22  # characters of a text that is worth a look into the store
FRAMING = 64  # tokens of a message and of a part, besides their texts: more than any provider has
WIDE = 3  # bytes in memory of a character beyond which some need four of UTF-8
WRITTEN = 4  # times the length of a definition as JSON
NAMED = 6  # bytes of a character of a name, or of what a provider writes again as JSON
SPOKEN = frozenset({"text", "call", "result", "reasoning"})
COMPONENTS = {"system": "system", "developer": "system", "user": "user"}


@dataclass(frozen=True, slots=True)
class Again:
    """A body that is the same as one before, with its count."""

    prompt: Prompt
    count: Count

    @property
    def fresh(self) -> int:
        """Characters that nobody has counted yet: none."""
        return 0


@light
class Reading:
    """What `counter.read` made of a body, for `counter.counted`.

    Attributes:
        prompt: as read.
        limit: of the prompt.
        known: of the contexts that it names.
        rule: who counts it.
        scope: what that needs.
        walker: that has walked its messages.
        current: gives the ruler that would measure its texts now.
        unread: nobody can read its messages.
        wasteful: look for what it could do without, too.
        sought: what it is known again by, None where that cannot be told.
    """

    prompt: Prompt
    limit: Limit
    known: stored.Known
    rule: ModuleType
    scope: Scope
    walker: Walker
    current: Callable[[], Ruler]
    unread: bool = False
    wasteful: bool = False
    sought: made.Asked | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """What was kept of its messages, where they are a list."""
        return self.walker.snapshot

    @property
    def fresh(self) -> int:
        """Characters of the messages' text that nobody has counted yet."""
        known = self.scope.ruler.known
        return sum(
            len(part.text)
            for message in self._new()
            for part in message.parts
            if part.text and (len(part.text) > HASHED or not known(part.text))
        )

    def _new(self) -> Sequence[Message]:
        """Return the messages without a count."""
        messages, snapshot = self.prompt.messages, self.snapshot
        same = 0 if snapshot is None or snapshot.messages is not messages else snapshot.same
        return [message for message in messages[same:] if "tally" not in message.memo]

    @property
    def most(self) -> int | None:
        """Tokens that the prompt cannot exceed, as a byte is a token at most; None where nobody knows."""
        prompt = self.prompt
        parts = [part for message in prompt.messages for part in message.parts]
        if self.unread or prompt.server or any(part.kind not in SPOKEN for part in parts):
            return None
        names = sum(NAMED * len(message.name) + FRAMING for message in prompt.messages)
        schema = () if prompt.schema is None else (prompt.schema,)
        return names + sum(map(_most, parts)) + sum(map(_defined, (*prompt.tools, *schema)))

    def bounded(self, most: int) -> Count:
        """Return what can be said without counting: an estimate from sizes, and its bound.

        Args:
            most: the most tokens that it can be.
        """
        components: dict[str, int] = {}
        for message in self.prompt.messages:
            name = COMPONENTS.get(message.role, "history")
            letters = sum(len(part.text) for part in message.parts)
            components[name] = components.get(name, 0) + round(TYPICAL * letters)
        total = sum(components.values())
        return Count(
            total,
            components,
            method=ESTIMATED,
            error=max(most - total, total - total // LONGEST_TOKEN),
            tokenizer=self.scope.ruler.name,
            limit=self.limit.tokens,
            limit_source=self.limit.source,
            limit_hard=self.limit.hard,
            model=self.prompt.model,
            api=self.prompt.api,
        )


def _most(part: Part) -> int:
    """Return the tokens that a part of a message cannot exceed."""
    text, plain = part.text, part.kind == "text"
    named = NAMED * (len(part.name) + len(part.id)) + FRAMING
    if plain and (text.isascii() or len(text) <= ENCODED):
        return named + size(text)
    wide = sys.getsizeof(text) > WIDE * len(text)
    letter = (4 if wide else 3) if plain else (2 * NAMED if wide else NAMED)
    return named + letter * len(text)


def _defined(part: Part) -> int:
    """Return the tokens that a definition cannot exceed, in whatever form it is written again."""
    from json import dumps

    return WRITTEN * len(dumps(part.data, default=str)) + FRAMING
