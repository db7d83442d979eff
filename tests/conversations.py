"""Long conversations with a simulated provider, whose tokenizer is its own."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

WORDS = [
    "pod",
    "node",
    "cluster",
    "namespace",
    "deployment",
    "replica",
    "rollout",
    "restart",
    "memory",
    "limit",
    "request",
    "cpu",
    "quota",
    "latency",
    "timeout",
    "connection",
    "pool",
    "database",
    "queue",
    "consumer",
    "offset",
    "partition",
    "broker",
    "certificate",
    "ingress",
    "gateway",
    "upstream",
    "retry",
    "budget",
    "canary",
    "traffic",
    "header",
    "checkout",
    "payment",
    "order",
    "service",
    "because",
    "when",
    "after",
    "before",
    "while",
    "the",
    "a",
    "of",
    "in",
    "on",
    "with",
    "for",
    "from",
    "is",
    "was",
    "are",
    "has",
    "shows",
    "grows",
    "fails",
    "unexpectedly",
    "intermittently",
    "approximately",
    "configuration",
    "observability",
    "misconfigured",
    "throughput",
]
RUN = re.compile(r"[A-Za-z]+|\d|\s*\n\s*|[^\sA-Za-z\d]")


def prose(random: random.Random, words: int) -> str:
    """Return sentences."""
    text = " ".join(random.choice(WORDS) for _ in range(words))
    return ". ".join(part.strip().capitalize() for part in re.split(r"(?<=\w{9}) ", text)) + "."


def log(random: random.Random, lines: int) -> str:
    """Return log lines."""
    return "\n".join(
        f"2026-11-{random.randint(1, 30):02d}T{random.randint(0, 23):02d}:{random.randint(0, 59):02d}Z "
        f"level={random.choice(['info', 'warn', 'error'])} svc={random.choice(WORDS)}-"
        f'{random.randint(100, 999)} msg="{" ".join(random.choice(WORDS) for _ in range(6))}"'
        for _ in range(lines)
    )


def manifest(random: random.Random, keys: int) -> str:
    """Return YAML."""
    return "\n".join(
        f"{'  ' * random.randint(0, 3)}{random.choice(WORDS)}_{random.choice(WORDS)}: "
        f"{random.choice([str(random.randint(0, 9999)), random.choice(WORDS), 'true'])}"
        for _ in range(keys)
    )


@dataclass
class Provider:
    """Counts as no vocabulary here does: pieces of letters, single digits, signs, and frames.

    Attributes:
        letters: of a word, in one token.
        hidden: tokens that the provider adds once.
        frame: tokens it adds to each message.
    """

    letters: int = 5
    hidden: int = 320
    frame: int = 7

    def text(self, text: str) -> int:
        """Return the tokens of a text."""
        pieces = (len(run) for run in RUN.findall(text) if not run.isspace() or "\n" in run)
        return sum(-(-length // self.letters) for length in pieces)

    def prompt(self, texts: list[str]) -> int:
        """Return the tokens of a prompt of these texts, one a message."""
        return self.hidden + sum(self.frame + self.text(text) for text in texts)


@dataclass
class Conversation:
    """25 turns that grow to about 100,000 tokens, with an edit in the middle and one compaction.

    Attributes:
        texts: what stands in the prompt: role and text.
    """

    seed: int = 1
    system: str = ""
    texts: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.system = prose(self.random, 900) + "\n" + manifest(self.random, 200)

    def turns(self, turns: int = 25) -> Any:
        """Yield the number of each turn; the prompt to be sent stands in ``texts``."""
        for turn in range(1, turns + 1):
            if turn > 1:
                self.texts.append(("assistant", prose(self.random, 450)))
            self.texts.append(("user", self.piece(turn)))
            if turn == 12:
                self.texts[4] = (self.texts[4][0], manifest(self.random, 900))
            if turn == 19:
                self.texts[1:-6] = [("assistant", prose(self.random, 700))]
            yield turn

    def piece(self, turn: int) -> str:
        """Return what the user brings in a turn: prose with a log or a manifest."""
        more = log(self.random, 45) if turn % 2 else manifest(self.random, 330)
        return f"{prose(self.random, 560)}\n\n{more}"
