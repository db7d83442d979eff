"""A prompt as it is compared with the next of its conversation: hashes, names and numbers, never text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tokentrace.counting import prefix, stored
from tokentrace.counting.anchoring import size_of
from tokentrace.counting.digests import LONGEST, SALT, WIDTH, common, hashes_of, leading
from tokentrace.counting.rules.openai_appendix import fingerprint, written
from tokentrace.counting.tally import Run
from tokentrace.insights.cache import Piece
from tokentrace.instrument.learning import Own
from tokentrace.lineage import opening_of
from tokentrace.prompt import Message, Prompt
from tokentrace.providers import Caching
from tokentrace.providers._model import TOOLS

Tokens = Mapping[str, int]

DIVIDED = 64  # messages of several components whose insides are compared
TEXTS = 512  # of such a message


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A prompt as it is compared with the next: hashes, names and numbers.

    Attributes:
        model: and who serves it.
        switches: what else leaves a prefix unread where it changes, by name.
        asked: a salted hash of all definitions as they were sent.
        fixed: the definitions, the response schema first.
        marks: 8 bytes for each message.
        leading: how many of the messages are the system's and stand first.
        mains: the largest component of each message.
        sizes: tokens of each message.
        inner: the texts of messages that are more than one component's, by index.
        total: tokens of the whole prompt, as counted.
        ahead: tokens that stand before the messages and the leading system text.
        same: how many messages are those of the prompt before, from the first on.
        of: what it was made of, besides the prompt before.
        opening: a salted hash of how it begins.
    """

    model: tuple[str, str] = ("", "")
    switches: Mapping[str, Any] = field(default_factory=dict)
    asked: int = 0
    fixed: tuple[Piece, ...] = ()
    marks: bytes = b""
    leading: int = 0
    mains: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    inner: Mapping[int, tuple[Run, ...]] = field(default_factory=dict)
    total: int = 0
    ahead: int = 0
    same: int = 0
    of: tuple[Any, ...] = (None,)
    opening: int = 0

    @property
    def talk(self) -> list[bytes]:
        """What tells the messages behind the leading ones."""
        said = self.marks[self.leading * WIDTH :]
        return [said[at : at + WIDTH] for at in range(0, len(said), WIDTH)]

    def follows(self, before: Layout) -> bool:
        """Whether it may be of the conversation before: something is said again, or little was said.

        A session holds the calls of agents that nobody told apart, each with a conversation of its own.
        """
        if self.same > self.leading:
            return True
        old, new = before.talk, self.talk
        short = min(len(old), len(new)) < 2
        return (short and self.opening == before.opening) or not set(old).isdisjoint(new)

    def continues(self, before: Layout) -> bool:
        """Whether it is the prompt before, with or without more at its end."""
        return self.same == len(before.sizes) and (
            self.asked,
            self.leading,
            self.model,
            self.switches,
        ) == (before.asked, before.leading, before.model, before.switches)

    def pieces(self, start: int, end: int, newest: int) -> list[Piece]:
        """Return messages as pieces; user text before message ``newest`` is history."""
        return [
            Piece(
                "history" if self.mains[at] == "user" and at < newest else self.mains[at],
                int.from_bytes(self.marks[at * WIDTH : (at + 1) * WIDTH], "big"),
                self.sizes[at],
            )
            for at in range(start, min(end, len(self.sizes)))
        ]


def of(known: Own, rule: Caching, tokens: Tokens, before: Layout) -> Layout:
    """Return the layout of a prompt that was counted; what it has in common with the one before is kept.

    Args:
        known: the prompt and its count.
        rule: how the provider keeps prefixes.
        tokens: by component, what the provider keeps among them.
        before: the layout of the conversation's last call.
    """
    prompt, made_of = known.prompt, (known.count, tokens.get(stored.COMPONENT), rule)
    marks, same = hashes_of(prompt), len(before.sizes)
    if marks is before.marks and made_of[0] is before.of[0] and made_of[1:] == before.of[1:]:
        return before if before.same == same else replace(before, same=same)
    messages, same = prompt.messages[:LONGEST], common(before.marks, marks) // WIDTH
    fresh = messages[same:]
    asked = hash((SALT, fingerprint(prompt)))
    alike = asked == before.asked
    grown = bool(fresh) or same < len(before.sizes)
    return Layout(
        (prompt.model, known.request.base_url),
        _switches(prompt, rule),
        asked,
        before.fixed if alike else tuple(_fixed(prompt, known)),
        marks,
        leading(messages) // WIDTH,
        [*before.mains[:same], *map(_main, fresh)] if grown else before.mains,
        [*before.sizes[:same], *map(size_of, fresh)] if grown else before.sizes,
        _inner(before, same, fresh) if grown else before.inner,
        sum(tokens.values()),
        sum(prefix.around(prompt, tokens).values()),
        same,
        made_of,
        opening_of(prompt),
    )


def _inner(before: Layout, same: int, fresh: Sequence[Message]) -> dict[int, tuple[Run, ...]]:
    """Return the texts of messages that are more than one component's."""
    inner = {at: runs for at, runs in before.inner.items() if at < same}
    for at, message in enumerate(fresh, same):
        runs = message.memo.get("runs", ())
        if not 1 < len(runs) <= TEXTS or len(inner) >= DIVIDED:
            continue
        if len({run[0] for run in runs}) > 1:
            inner[at] = runs
    return inner


def _switches(prompt: Prompt, rule: Caching) -> Mapping[str, Any]:
    found = {"tool_choice": prompt.tool_choice, "thinking": "thinking" in prompt.features}
    return {name: found[name] for name in rule.breakers}


def _fixed(prompt: Prompt, known: Own) -> Iterator[Piece]:
    """Yield definitions with hashes of their JSON; marks for the cache are no part of it."""
    sizes = {one.name: one.tokens for one in known.count.details if one.component == TOOLS}
    schema = (prompt.schema,) if prompt.schema is not None else ()
    for part in (*schema, *prompt.tools[:LONGEST]):
        data, name = part.data, part.name
        if isinstance(data, Mapping):
            data = {key: value for key, value in data.items() if key != "cache_control"}
        size = sizes.get("response_format" if part.kind == "schema" else name, 0)
        yield Piece(TOOLS, hash((SALT, name, written(data))), size)


def _main(message: Message) -> str:
    """Return the largest component of a message, framing apart."""
    tally = message.memo.get("tally")
    tokens: Mapping[str, int] = tally[1].components if tally else {}
    named = (name for name in tokens if name != "framing")
    return max(named, key=lambda name: tokens[name], default=message.role)
