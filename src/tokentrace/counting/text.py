"""How many tokens a text has, and how they fall on its segments.

Texts are counted once and remembered by the text itself in the one store. Long ones are cut where
every tokenizer must split (`tokentrace.counting.cuts`), so that no call into tiktoken lasts long
and a text that changed in the middle is encoded in the middle only. What cannot be cut for
`LONGEST_RUN` characters never reaches tiktoken whole, which is superlinear in it and panics on a
million spaces: such a run is estimated from samples and says so by its error.
"""

from __future__ import annotations

import math
import re
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Protocol

from tokentrace import _failsafe
from tokentrace.counting import pieces, vocab
from tokentrace.counting.cuts import STRIDE, split
from tokentrace.counting.pace import give_way
from tokentrace.counting.pieces import Pieces, take_over
from tokentrace.counting.store import STORE

SHORT = STRIDE + STRIDE // 2  # characters that are encoded in one call
FAR = 512  # characters between two borders on the average that get small pieces of their own
LONGEST_RUN = 2**16  # characters: at most 25 ms in tiktoken on the slowest script tried

SAMPLES = 16
SAMPLE = 1024  # characters
GOLDEN = 0.618033988749895  # its multiples less their whole parts lie far from each other
LONGEST_TOKEN = 128  # bytes, in both vocabularies

# Tokens a byte where no vocabulary is at hand: prose 0.22, Chinese 0.26, logs 0.4, base64 0.67,
# small JSON 0.75 (o200k_base, 2026-11-22). Only one token a byte is a certain bound.
TYPICAL = 2 / 7

Counts = Sequence["tuple[int, int] | None"]
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Ruler(Protocol):
    """Measures text in one vocabulary. All text is ordinary text, special tokens too."""

    @property
    def name(self) -> str:
        """The vocabulary, or ``bytes`` where tokens are estimated from bytes."""

    def tokens(self, text: str, budget_s: float | None = None) -> tuple[int, int]:
        """Return the text's tokens and their error (± tokens, 0 where every one was counted).

        Args:
            text: any string; a lone surrogate counts as U+FFFD.
            budget_s: seconds after which the rest of a new text is estimated from samples.
        """

    def each(self, texts: Sequence[str], budget_s: float | None = None) -> Counts:
        """Return what `tokens` says of each text; None for those for which there was no time.

        Texts that come together cost less than one by one: what counts them stays in the caches.
        """

    def shares(
        self, text: str, borders: Sequence[int], budget_s: float | None = None
    ) -> tuple[list[int], int]:
        """Return the tokens of each segment between ``borders``, and the error of their sum.

        A token belongs to the segment in which its first byte lies, so the shares add up to what
        `tokens` returns.

        Args:
            text: as for `tokens`.
            borders: sorted positions in characters; n of them make n + 1 segments.
            budget_s: as for `tokens`.
        """

    def known(self, text: str) -> bool:
        """Whether a text of at most `SHORT` characters was counted before."""


class TokenRuler:
    """Counts with a vocabulary."""

    __slots__ = ("_encode", "_lengths", "name")

    def __init__(self, vocabulary: vocab.Vocabulary) -> None:
        self.name = vocabulary.name
        self._encode = vocabulary.encode
        self._lengths = vocabulary.lengths

    def tokens(self, text: str, budget_s: float | None = None) -> tuple[int, int]:
        """Return the text's tokens and their error, see `Ruler`."""
        if len(text) <= SHORT:
            key = (self.name, text)
            found: tuple[int, int] | None = STORE.get(key)
            if found is None:
                found = self._piece(text)[:2]
                STORE.put(key, found, sys.getsizeof(text))
            return found
        return self._pieces(text, (), budget_s)[0].sum

    def each(self, texts: Sequence[str], budget_s: float | None = None) -> Counts:
        """Return the tokens and the error of each text, see `Ruler`."""
        short = [text for text in texts if len(text) <= SHORT]
        if len(short) == len(texts):
            return self._short(short)
        counts = iter(self._short(short))
        return [
            next(counts) if len(text) <= SHORT else self.tokens(text, budget_s) for text in texts
        ]

    def shares(
        self, text: str, borders: Sequence[int], budget_s: float | None = None
    ) -> tuple[list[int], int]:
        """Return the tokens of each segment between ``borders``, see `Ruler`."""
        if not borders:
            tokens, error = self.tokens(text, budget_s)
            return [tokens], error
        marks = tuple(borders)
        if len(text) <= SHORT:
            return self._short_shares(text, marks)
        found, ranks = self._pieces(text, marks, budget_s)
        before, shares = found.laid
        if before != marks:
            shares = self._lay(text, found, marks, ranks)
            found.laid = (marks, shares)
        return shares.copy(), found.sum[1]

    def known(self, text: str) -> bool:
        """Whether a short text was counted before, see `Ruler`."""
        return STORE.get((self.name, text)) is not None

    def _short(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Return the tokens and the error of short texts, which are remembered."""
        name = self.name
        known = {text: STORE.get((name, text)) for text in texts}
        fresh = [text for text, found in known.items() if found is None]
        counts = self._counts(fresh)
        new = zip(fresh, counts, strict=True)
        STORE.put_all([((name, text), count, sys.getsizeof(text)) for text, count in new])
        known.update(zip(fresh, counts, strict=True))
        return [*map(known.__getitem__, texts)]

    def _counts(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Return the tokens and the error of short texts, as `_piece` does each."""
        return [
            _guess(size(text)) if ranks is None else (len(ranks), 0)
            for text, ranks in zip(texts, _failsafe.each(self._encode, texts), strict=True)
        ]

    def _piece(self, text: str) -> tuple[int, int, list[int] | None]:
        """Return the tokens of a piece, their error, and their ranks where it was encoded."""
        ranks = None
        if len(text) <= LONGEST_RUN:
            # A panic of tiktoken's is no Exception: only the fail-safe may catch it.
            ranks = _failsafe.attempt(self._encode, text)
            if ranks is not None:
                return len(ranks), 0, ranks
            return (*_guess(size(text)), None)
        return (*self._sampled(text), None)

    def _sampled(self, text: str) -> tuple[int, int]:
        """Estimate a text's tokens from samples all over it.

        They do not lie at equal distances, or a text that repeats itself at that distance would show
        one of its sides only. The error is half of the largest deviation of a sample from the mean, which is about three
        and a half standard errors of a mean of sixteen, and two tokens for each sample's ends.
        """
        total = size(text)
        step = (len(text) - SAMPLE) / SAMPLES
        starts = [int(step * (i + i * GOLDEN % 1)) for i in range(SAMPLES)]
        samples = [text[start : start + SAMPLE] for start in starts]
        sizes = [size(sample) for sample in samples]
        counts = [_failsafe.attempt(self._encode, sample) for sample in samples]
        if None in counts:
            return _guess(total)
        rates = [len(ranks) / length for ranks, length in zip(counts, sizes, strict=True)]
        mean = sum(map(len, counts)) / sum(sizes)
        spread = max(max(rates) - mean, mean - min(rates)) / 2 + 2 * SAMPLES / sum(sizes)
        tokens = min(max(round(mean * total), math.ceil(total / LONGEST_TOKEN)), total)
        bound = max(total - tokens, tokens - total // LONGEST_TOKEN)
        return tokens, max(1, min(math.ceil(spread * total), bound))

    def _pieces(
        self, text: str, borders: tuple[int, ...], budget_s: float | None
    ) -> tuple[Pieces, dict[int, list[int]]]:
        """Return a long text's pieces, and the ranks of those just encoded that hold a border."""
        found = pieces.recall(self.name, text)
        if found is not None and found.firm == len(found.ends):
            return found, {}
        made = Pieces("", [], [], [])
        kin = found or pieces.kin(self.name, text)
        ranks = self._measure(text, made, kin, borders, budget_s)
        made.sum = (sum(made.tokens), sum(made.errors))
        pieces.remember(self.name, text, made)
        return made, ranks

    def _measure(
        self,
        text: str,
        made: Pieces,
        kin: Pieces | None,
        borders: tuple[int, ...],
        budget_s: float | None,
    ) -> dict[int, list[int]]:
        """Fill ``made`` with the text's pieces: the changed middle is encoded, the rest ``kin``'s."""
        deadline = math.inf if budget_s is None else time.thread_time() + budget_s
        start, end, behind = take_over(text, made, kin)
        held: dict[int, list[int]] = {}
        near = borders if len(borders) * FAR < len(text) else ()
        for stop in split(text, start, end, near):
            if time.thread_time() > deadline and len(text) - start > SHORT:
                made.firm = len(made.ends)
                made.add(len(text), *self._sampled(text[start:]))
                return held
            tokens, error, ranks = self._piece(text[start:stop])
            made.add(stop, tokens, error)
            if ranks is not None and _holds(borders, start, stop):
                held[stop] = ranks
            start = stop
        if kin is not None and behind < len(kin.ends):
            shift = len(text) - kin.ends[-1]
            made.ends += [stop + shift for stop in kin.ends[behind:]]
            made.tokens += kin.tokens[behind:]
            made.errors += kin.errors[behind:]
        made.firm = len(made.ends)
        return held

    def _short_shares(self, text: str, borders: tuple[int, ...]) -> tuple[list[int], int]:
        key = (self.name, text, borders)
        found: tuple[list[int], int] | None = STORE.get(key)
        if found is None:
            tokens, error, ranks = self._piece(text)
            STORE.put((self.name, text), (tokens, error), sys.getsizeof(text))
            shares = [0] * (len(borders) + 1)
            self._split(text, tokens, ranks, borders, shares)
            found = (shares, error)
            STORE.put(key, found, sys.getsizeof(text) + 72 * len(borders))
        return found[0].copy(), found[1]

    def _lay(
        self, text: str, found: Pieces, borders: tuple[int, ...], held: dict[int, list[int]]
    ) -> list[int]:
        """Return the shares of the segments; only pieces that hold a border are looked into."""
        shares = [0] * (len(borders) + 1)
        start = 0
        for stop, tokens, error in zip(found.ends, found.tokens, found.errors, strict=True):
            first = bisect_right(borders, start)
            last = bisect_left(borders, stop)
            if first >= last:
                shares[first] += tokens
            else:
                give_way()
                piece = text[start:stop]
                ranks = None if error else held.get(stop) or self._piece(piece)[2]
                inside = [border - start for border in borders[first:last]]
                part = [0] * (len(inside) + 1)
                self._split(piece, tokens, ranks, inside, part)
                shares[first : last + 1] = map(
                    sum, zip(shares[first : last + 1], part, strict=True)
                )
            start = stop
        return shares

    def _split(
        self,
        text: str,
        tokens: int,
        ranks: list[int] | None,
        borders: Sequence[int],
        shares: list[int],
    ) -> None:
        """Add a piece's tokens to ``shares``: by their first bytes, or by size where estimated."""
        offsets = byte_offsets(text, borders)
        if ranks is None:
            below = _in_proportion(tokens, offsets, size(text))
        else:
            ends = list(accumulate(map(self._lengths.__getitem__, ranks)))
            below = [
                min(tokens, 1 + bisect_left(ends, offset)) if offset > 0 else 0
                for offset in offsets
            ]
        _differences(below, tokens, shares)


class ByteRuler:
    """Estimates from the number of bytes, where a vocabulary cannot be loaded."""

    __slots__ = ()
    name = "bytes"

    def tokens(self, text: str, budget_s: float | None = None) -> tuple[int, int]:  # noqa: ARG002
        """Return the text's tokens, about, and their error, see `Ruler`."""
        return _guess(size(text))

    def each(self, texts: Sequence[str], budget_s: float | None = None) -> Counts:
        """Return the tokens of each text, about, and their error, see `Ruler`."""
        return [self.tokens(text, budget_s) for text in texts]

    def shares(
        self,
        text: str,
        borders: Sequence[int],
        budget_s: float | None = None,  # noqa: ARG002
    ) -> tuple[list[int], int]:
        """Return each segment's tokens in proportion to its bytes, see `Ruler`."""
        tokens, error = _guess(size(text))
        return in_proportion(tokens, text, borders), error

    def known(self, text: str) -> bool:  # noqa: ARG002
        """Whether a short text was counted before: an estimate costs nothing."""
        return True


_rulers: dict[str, Ruler] = {}
_BYTES = ByteRuler()


def ruler(name: str) -> Ruler:
    """Return the ruler of a vocabulary, loading it if need be; never raises.

    A vocabulary that cannot be loaded is reported once, and texts are then estimated by bytes.
    """
    found = _rulers.get(name)
    if found is not None:
        return found
    if name == _BYTES.name:
        return _BYTES
    try:
        made: Ruler = TokenRuler(vocab.load(name))
    except vocab.VocabularyError as error:
        _failsafe.warn_once(f"vocabulary:{name}", "%s; tokens are estimated from bytes", error)
        made = _BYTES
    if name in vocab.TABLES:
        _rulers[name] = made
    return made


def in_proportion(tokens: int, text: str, borders: Sequence[int]) -> list[int]:
    """Return ``tokens`` shared among the segments of ``text`` by their bytes."""
    shares = [0] * (len(borders) + 1)
    below = _in_proportion(tokens, byte_offsets(text, borders), size(text))
    _differences(below, tokens, shares)
    return shares


def size(text: str) -> int:
    """Return the text's bytes in UTF-8, lone surrogates as U+FFFD."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        # tiktoken joins two halves into one character: four bytes, not twice three.
        return len(text.encode("utf-8", "surrogatepass")) - 2 * len(_PAIR.findall(text))


def byte_offsets(text: str, borders: Iterable[int]) -> list[int]:
    """Return the positions in bytes of sorted positions in characters."""
    if text.isascii():
        return [min(max(border, 0), len(text)) for border in borders]
    offsets = []
    before = below = 0
    try:
        for border in borders:
            below += len(text[before : max(border, before)].encode())
            before = max(border, before)
            offsets.append(below)
    except UnicodeEncodeError:
        # Halves of a pair join into one character, so lengths do not add up: from the start.
        return [size(text[: max(border, 0)]) for border in borders]
    return offsets


def _guess(total: int) -> tuple[int, int]:
    """Return the tokens that ``total`` bytes may have, and the error up to a token a byte."""
    tokens = math.ceil(total * TYPICAL)
    return tokens, max(1, total - tokens) if total else 0


def _in_proportion(tokens: int, offsets: Sequence[int], total: int) -> list[int]:
    """Return how many of ``tokens`` lie below each offset of ``total`` bytes."""
    return [tokens * min(offset, total) // total if total else 0 for offset in offsets]


def _differences(below: Sequence[int], tokens: int, shares: list[int]) -> None:
    """Add the tokens between neighbouring borders to ``shares``."""
    before = 0
    for place, now in enumerate(below):
        shares[place] += now - before
        before = now
    shares[-1] += tokens - before


def _holds(borders: Sequence[int], start: int, stop: int) -> bool:
    """Whether a border lies inside a piece."""
    return bisect_right(borders, start) < bisect_left(borders, stop)
