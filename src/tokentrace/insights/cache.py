"""What of a prompt was read from the provider's cache, and which component broke the cached prefix.

Pure functions over pieces of a prompt (component, salted hash, tokens) in the order in which they
are cached, and over what the provider reported. Only what the numbers support is claimed: a break
is confirmed where the tokens read fell to about the place of the first difference, and a drop that
no difference explains is no component's fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tokentrace.providers import Caching

CHANGED, MOVED, INSERTED, REMOVED = "changed", "moved", "inserted", "removed"
BELOW, EXPIRED, MISSED = "below_minimum", "expired", "missed"
MODEL, SWITCHED = "model_switched", "switched"

# What has to be the same and unread behind a difference, in tokens, to speak of a break where
# nothing had been read before.
WORTH = 256
# ± tokens of a place in a prompt: framing that stands elsewhere than where it is counted.
NEAR = 24
# What is said in a conversation, not what an agent says of itself.
SAID = frozenset({"user", "history", "tool_results", "media", "reasoning"})


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a prompt: whose it is, a salted hash of what it says, and its tokens."""

    component: str
    mark: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two prompts first differ.

    Attributes:
        component: whose piece it is; empty where it is no text.
        reason: ``changed``, ``moved``, ``inserted``, ``removed``, or what was switched.
        start, end: tokens ahead of it, at least and at most.
        again: tokens behind it that the earlier prompt had, too.
        index: of the piece, in what was compared.
    """

    component: str
    reason: str
    start: int = 0
    end: int = 0
    again: int = 0
    index: int = 0

    def behind(self, tokens: int) -> Difference:
        """Return the difference with so many tokens more ahead of it."""
        return replace(self, start=self.start + tokens, end=self.end + tokens)

    def scaled(self, factor: float) -> Difference:
        """Return the difference in other tokens."""
        places = (self.start, self.end, self.again)
        start, end, again = (round(factor * tokens) for tokens in places)
        return replace(self, start=start, end=end, again=again)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a provider reported for a call.

    Attributes:
        input, read, written: tokens; ``read`` and ``written`` are parts of ``input``.
        at: seconds, of any clock that does not go back.
    """

    input: int
    read: int = 0
    written: int = 0
    at: float = 0.0


# ── what differs ─────────────────────────────────────────────────────────────────────────────────


def difference(
    before: Sequence[Piece], now: Sequence[Piece], *, grows: bool = False
) -> Difference | None:
    """Return where ``now`` first differs from ``before``, None where it does not.

    Args:
        before: pieces of the earlier prompt.
        now: those of the later one.
        grows: the end of both is the end of the prompt: what is appended there, or cut off, is no
            difference.
    """
    at = _common(before, now)
    if at == len(before) or at == len(now):
        if grows or len(before) == len(now):
            return None
        extra, reason = (now[at], INSERTED) if len(now) > at else (before[at], REMOVED)
        ahead = _tokens(now[:at])
        return Difference(extra.component, reason, ahead, ahead, 0, at)
    old, new = before[at], now[at]
    ahead, same = _tokens(now[:at]), {piece.mark for piece in before[at:]}
    again = sum(piece.tokens for piece in now[at:] if piece.mark in same)
    culprit, reason = _named(before[at:], now[at:])
    end = ahead + min(old.tokens, new.tokens)
    return Difference(culprit.component, reason, ahead, end, again, at)


def _named(before: Sequence[Piece], now: Sequence[Piece]) -> tuple[Piece, str]:
    """Return the piece that two rows which differ from their first piece on differ by, and how."""
    old, new = before[0], now[0]
    stays = any(piece.mark == old.mark for piece in now[1:])
    stood = any(piece.mark == new.mark for piece in before[1:])
    if stays and stood:
        left = len(before) > 1 and before[1].mark == new.mark
        return (old if left else new), MOVED
    if stays:
        return new, INSERTED
    return (old, REMOVED) if stood else (new, CHANGED)


def _common(before: Sequence[Piece], now: Sequence[Piece]) -> int:
    pairs = enumerate(zip(before, now, strict=False))
    first = (index for index, (old, new) in pairs if old.mark != new.mark)
    return next(first, min(len(before), len(now)))


def _tokens(pieces: Iterable[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


# ── what broke the prefix ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Case:
    """Two calls that follow one another, as far as the cache goes.

    Attributes:
        rule: how the provider keeps prefixes.
        before, now: what was reported for both.
        found: where the prompts first differ, in the provider's tokens; None where they do not.
        shared: tokens of ``now`` that stood in ``before`` from the start.
        marks: where prefixes are known to end that were kept, in tokens, and can be found.
        slack: the share by which a place in the prompt may be off.
        life: seconds for which the provider keeps a prefix, None where nobody knows.
        doubted: nothing has been read so far, not even where nothing had changed.
    """

    rule: Caching
    before: Reading
    now: Reading
    found: Difference | None = None
    shared: int = 0
    marks: tuple[int, ...] = ()
    slack: float = 0.0
    life: float | None = None
    doubted: bool = False

    def near(self, tokens: int) -> int:
        """Return ± tokens of a place in the prompt."""
        return round(NEAR + self.slack * tokens) + (self.rule.step if self.rule.step > 1 else 0)

    def fell(self, held: int) -> bool:
        """Whether less was read than the provider held; both are its own numbers."""
        return self.now.read + self.rule.step + NEAR < held

    def surely(self, tokens: int) -> int:
        """Return how many tokens a place in the prompt has ahead of it at least."""
        return max(0, tokens - self.near(tokens))

    @property
    def doubts(self) -> bool:
        """Whether it has to be doubted after this call that the provider keeps anything.

        Two calls in a row read nothing, and the second prompt goes on from the first.
        """
        if max(self.before.read, self.now.read) >= WORTH:
            return False
        lost = self.found is None and not self.expired and self.fell(self.kept)
        return self.doubted or lost

    @property
    def expired(self) -> bool:
        """Whether more time has passed than the provider keeps a prefix."""
        return self.life is not None and self.now.at - self.before.at > self.life

    @property
    def small(self) -> bool:
        """Whether the prompt is too short to be kept."""
        minimum = self.rule.minimum
        return minimum is not None and self.now.input < minimum <= self.before.input

    @property
    def kept(self) -> int:
        """Tokens of the earlier prompt that the provider can have kept, as far as is known."""
        told = self.before.read + self.before.written
        minimum = self.rule.minimum
        if self.rule.exact or minimum is None or self.before.input < minimum:
            return told
        return max(told, self.before.input // self.rule.step * self.rule.step)


def judged(case: Case) -> tuple[str, str]:
    """Return the component that broke the cached prefix, and the reason; empty where nothing did.

    A reason without a component is no component's fault: ``expired``, ``below_minimum``,
    ``missed`` (nothing differed, and it was not found), or something switched that is no text.
    """
    if case.now.read > case.now.input or case.before.read > case.before.input:
        return "", ""
    found = case.found
    return _unread(case) if found is None else _broken(case, found)


def _unread(case: Case) -> tuple[str, str]:
    """Say why a prefix in which nothing differs was not read."""
    held = case.before.read + (case.before.written if case.rule.exact else 0)
    if not held or not case.fell(min(held, case.surely(case.shared))):
        return "", ""
    return "", _reason(case)


def _reason(case: Case) -> str:
    if case.small:
        return BELOW
    return EXPIRED if case.expired else MISSED


def _broken(case: Case, found: Difference) -> tuple[str, str]:
    """Confirm a break, or say what the numbers say instead."""
    if case.now.read > found.end + case.near(found.end):
        return "", ""  # more was read than stands ahead of the difference: it is none
    lost = case.now.read + case.near(found.start) < _floor(case, found)  # what stands ahead of it
    if not _shrank(case, found) and not _wasted(case, found):
        return "", _reason(case) if lost and case.fell(case.before.read) else ""
    late = case.expired and not case.now.read  # it would not have been read as it was
    if case.small or late or lost:
        return "", _reason(case)
    return found.component, found.reason


def _shrank(case: Case, found: Difference) -> bool:
    """Whether less was read than before.

    A conversation of which nothing is said again is another one, or begins anew: it lost nothing.
    """
    return case.fell(case.before.read) and (found.again > 0 or found.component not in SAID)


def _wasted(case: Case, found: Difference) -> bool:
    """Whether what stands behind the difference was sent again, and can have been kept, and was not read."""
    if found.again < WORTH or (case.doubted and case.now.read < WORTH):
        return False
    return case.fell(min(case.kept, case.surely(found.end + found.again)))


def _floor(case: Case, found: Difference) -> int:
    """Return how many tokens must have been read if nothing but the difference was in the way."""
    if case.rule.exact:
        ahead = case.surely(found.start)
        return max((mark for mark in case.marks if mark <= ahead), default=0)
    least = case.rule.minimum or 0
    known = case.rule.minimum is not None or case.before.read >= found.start
    held = min(found.start, max(case.kept, case.before.read))
    return held if known and held >= least + case.near(found.start) else 0


# ── what was read ────────────────────────────────────────────────────────────────────────────────


def apportioned(
    read: int, sizes: Mapping[str, int], walked: Mapping[str, float], reported: int
) -> dict[str, int]:
    """Return the tokens of each component that were read from cache, whole numbers.

    They add up to ``read``, as far as the components explain what was reported: of tokens that
    belong to no component the same share is taken to be cached as of all.

    Args:
        read: tokens read, as reported.
        sizes: tokens of the components as counted.
        walked: how much of each stands in the cached prefix, as a share from 0 to 1.
        reported: input tokens as reported.
    """
    counted = sum(sizes.values())
    if read <= 0 or reported < read or counted <= 0:
        return {}
    goal = min(read, round(read * counted / reported), counted)
    shares = {name: walked.get(name, 0.0) * tokens for name, tokens in sizes.items() if tokens > 0}
    total = sum(shares.values())
    if total <= 0:
        return {}
    if goal <= total:
        shares = {name: share * goal / total for name, share in shares.items()}
    return _rounded(shares, sizes, goal)


def _rounded(shares: Mapping[str, float], sizes: Mapping[str, int], goal: int) -> dict[str, int]:
    """Return whole numbers that add up to ``goal``, none above its component."""
    whole = {name: min(int(share), sizes[name]) for name, share in shares.items()}
    ranked = sorted(shares, key=lambda name: whole[name] - shares[name])
    left = goal - sum(whole.values())
    while left > 0:
        free = [name for name in ranked if whole[name] < sizes[name] and shares[name] > 0]
        if not free:
            break
        for name in free[:left]:
            more = 1 if left <= len(free) else min(sizes[name] - whole[name], left // len(free))
            whole[name] += more
        left = goal - sum(whole.values())
    return {name: tokens for name, tokens in whole.items() if tokens}
