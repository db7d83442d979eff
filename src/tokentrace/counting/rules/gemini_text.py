r"""Gemini's way of cutting text, laid over o200k_base, since its vocabulary is not here.

Gemini's tokenizers take every digit alone, and never put letters, digits, signs and line breaks
into one token as o200k_base does (``_name``, ``).\n``, ``'s``, ``2026``). So each o200k_base token
counts as many tokens as it has such runs; a space in front belongs to the word or sign behind it.
Of 367 recorded requests without media and thoughts 241 come out exact that way, 127 in plain
o200k_base (2026-11-25).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from tokentrace.counting import vocab
from tokentrace.counting.text import Ruler, TokenRuler, byte_offsets, in_proportion

BASE = "o200k_base"
NAME = "o200k_base/gemini"
RUN = re.compile(r"\d|[^\W\d_]+|\n+|[^\S\n]+|(?:[^\w\s]|_)+")
LETTERS = re.compile(r"[^\W\d_]+")

_rulers: dict[str, Ruler] = {}
# Tokens of Gemini's for each token of o200k_base, by its rank; filled as texts come.
_weights: dict[int, int] = {}


class GeminiRuler(TokenRuler):
    """Counts the runs in o200k_base's tokens."""

    __slots__ = ()

    def __init__(self, vocabulary: vocab.Vocabulary) -> None:
        super().__init__(vocabulary)
        self.name = NAME

    def _piece(self, text: str) -> tuple[int, int, list[int] | None]:
        """Return the tokens of a piece, their error, and its ranks where it was encoded."""
        tokens, error, ranks = super()._piece(text)
        if ranks is None:
            return tokens, error, None
        return sum(self._weigh(text, ranks)), error, ranks

    def _weigh(self, text: str, ranks: list[int]) -> list[int]:
        try:
            return list(map(_weights.__getitem__, ranks))
        except KeyError:
            self._learn(text, ranks)
        return list(map(_weights.__getitem__, ranks))

    def _learn(self, text: str, ranks: list[int]) -> None:
        """Weigh the tokens that have not come before, by their bytes in the text."""
        raw = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
        start = 0
        for rank in ranks:
            stop = start + self._lengths[rank]
            if rank not in _weights:
                _weights[rank] = weight(raw[start:stop])
            start = stop

    def _split(
        self,
        text: str,
        tokens: int,
        ranks: list[int] | None,
        borders: Sequence[int],
        shares: list[int],
    ) -> None:
        """Add a piece's tokens to ``shares``: by the first bytes of o200k_base's tokens."""
        if ranks is None:
            found = in_proportion(tokens, text, borders)
            shares[:] = map(sum, zip(shares, found, strict=True))
            return
        ends = list(accumulate(map(self._lengths.__getitem__, ranks)))
        sums = [0, *accumulate(self._weigh(text, ranks))]
        last = len(ranks)
        before = 0
        for place, offset in enumerate(byte_offsets(text, borders)):
            below = sums[min(last, 1 + bisect_left(ends, offset))] if offset > 0 else 0
            shares[place] += below - before
            before = below
        shares[-1] += tokens - before


def weight(raw: bytes) -> int:
    r"""Return how many tokens of Gemini's an o200k_base token stands for.

    >>> [weight(raw) for raw in (b" pods", b"2026", b"_name", b").\n", b"'s")]
    [1, 4, 2, 2, 2]
    """
    try:
        runs = RUN.findall(raw.decode())
    except UnicodeDecodeError:  # a part of a character
        return 1
    joined = len(runs) > 1 and runs[0].isspace() and "\n" not in runs[0]
    joined = joined and not (runs[1].isspace() or runs[1].isdigit())
    return max(1, len(runs) - joined)


def ruler() -> Ruler | None:
    """Return the ruler, or None where o200k_base cannot be loaded."""
    if NAME not in _rulers:
        try:
            _rulers[NAME] = GeminiRuler(vocab.load(BASE))
        except vocab.VocabularyError:
            return None
    return _rulers[NAME]


def spaced(name: str) -> str:
    """Return an identifier with its words apart, since o200k_base knows few words without a space.

    >>> spaced("get_user_name")
    ' get_ user_ name'
    """
    return LETTERS.sub(r" \g<0>", name)
