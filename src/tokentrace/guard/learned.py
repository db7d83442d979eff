"""Limits that providers' refusals teach, kept for an hour.

A context-length error that names its limit is a lesson. It counts where it does not contradict
itself, or what we counted. One lesson only warns; two in a row that agree refuse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tokentrace.counting.keeping import Keeping
from tokentrace.prompt import Count, Limit, Prompt

if TYPE_CHECKING:
    from tokentrace.providers.overflow import Overflow

LEARNED = "learned"
MOST_KEYS = 256
LIFE_SECONDS = 3_600.0
ENOUGH = 2
LONGEST = 300
MOST_SHOWN = 100

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What refusals have said about one model at one place.

    Attributes:
        limit: tokens.
        told: refusals in a row that named this limit.
        sums: how many of them counted the requested output against it.
    """

    limit: int
    told: int
    sums: int

    @property
    def confirmed(self) -> bool:
        """Whether enough refusals agree to refuse by it."""
        return self.told >= ENOUGH

    @property
    def shared(self) -> bool:
        """Whether the requested output counts too, by as many refusals as the limit rests on."""
        return self.sums >= min(self.told, ENOUGH)


class Learned:
    """Lessons by provider, place and model. Thread-safe; at most ``most``, the oldest go first.

    Attributes:
        kept: the table.
    """

    def __init__(self, most: int = MOST_KEYS, life: float = LIFE_SECONDS) -> None:
        self.kept: Keeping[Key, Lesson] = Keeping(most, life)

    def __len__(self) -> int:
        return len(self.kept)

    def note(self, key: Key, overflow: Overflow, counted: Count | None, output: int = 0) -> None:
        """Learn from a refusal, where its numbers can be true.

        Args:
            key: from `key_of`.
            overflow: what the refusal said.
            counted: our own count of the refused prompt, None where there is none.
            output: tokens of output that were requested.
        """
        limit = overflow.limit
        if limit is None or not _plausible(overflow, counted, output):
            return

        def told(before: Lesson | None) -> Lesson:
            if before is None or before.limit != limit:
                before = Lesson(limit, 0, 0)
            return Lesson(limit, before.told + 1, before.sums + overflow.shared)

        self.kept.change(key, told)

    def find(self, key: Key, output: int = 0, *, summed: bool = False) -> Limit | None:
        """Return the learned limit of an input; None where there is none, or not any more.

        Args:
            key: from `key_of`.
            output: tokens of output that are requested and to be reserved.
            summed: the provider is known to refuse input + output over the limit.
        """
        lesson = self.kept.find(key)
        if lesson is None:
            return None
        taken = output if summed or lesson.shared else 0
        return Limit(max(0, lesson.limit - taken), LEARNED, hard=lesson.confirmed)

    def disprove(self, key: Key, reported: int, output: int = 0) -> None:
        """Forget a limit above which a call was answered."""

        def held(lesson: Lesson | None) -> Lesson | None:
            if lesson is None or reported + (output if lesson.shared else 0) > lesson.limit:
                return None
            return lesson

        self.kept.change(key, held)

    def known(self) -> dict[Key, Lesson]:
        """Return what is not forgotten."""
        return self.kept.items()

    def clear(self) -> None:
        """Forget everything (tests)."""
        self.kept.clear()


def _plausible(overflow: Overflow, counted: Count | None, output: int) -> bool:
    """Whether a refusal's numbers agree with each other, and its limit with our own count."""
    limit = overflow.limit or 0
    if overflow.tokens is not None and overflow.tokens <= limit:
        return False
    if counted is None:
        return overflow.tokens is not None
    return counted.total + counted.error + output > limit


LESSONS = Learned()


@lru_cache(maxsize=512)
def key_of(provider: str, base_url: str, model: str) -> Key:
    """Return what a limit is learned for; of the URL host, port and path, nothing secret.

    On Azure the model's name in the body is the deployment's.
    """
    rest = re.split(r"[?#]", base_url.partition("://")[2] or base_url, maxsplit=1)[0]
    authority, _, path = rest.partition("/")
    place = f"{authority.rpartition('@')[2].lower()}/{path.strip('/')}"
    return provider[:LONGEST], place[:LONGEST], model[:LONGEST]


def shown(key: Key) -> str:
    """Return how a key is told: its model and host."""
    from tokentrace import providers

    provider, place, model = key
    where = providers.host_of(place) or provider
    return " at ".join(filter(None, (model[:MOST_SHOWN], where[:MOST_SHOWN])))


def learn(
    provider: str, base_url: str, prompt: Prompt, count: Count | None, error: object
) -> Overflow | None:
    """Learn from the error that a call ended with; return what it says of a prompt too long.

    Args:
        provider: as given, see `providers.find`.
        base_url: of the client.
        prompt: as read.
        count: its count, None where there is none.
        error: as the SDK raised it, or anything else with a ``status_code`` and a ``body``.
    """
    from tokentrace.providers import overflow

    found = overflow.of_error(error)
    if found is not None:
        key = key_of(provider, base_url, prompt.model)
        LESSONS.note(key, found, count, prompt.max_output or 0)
    return found


def confirm(provider: str, base_url: str, prompt: Prompt, reported_input: int | None) -> None:
    """Hear that a call was answered; a learned limit below its reported input was wrong."""
    if not LESSONS or reported_input is None:
        return
    from tokentrace.counting.counter import EMBEDDINGS

    if prompt.api == EMBEDDINGS and len(prompt.messages) > 1:
        return  # each input has the limit to itself, and the sum is all that is reported
    key = key_of(provider, base_url, prompt.model)
    LESSONS.disprove(key, reported_input, prompt.max_output or 0)


def learned_limits() -> dict[str, dict[str, Any]]:
    """Return what is learned now, by model and host: ``tokens``, and whether it is ``confirmed``.

    Of two deployments on one host the one with the smaller limit stands here.
    """
    told = {}
    for key, lesson in sorted(LESSONS.known().items(), key=lambda item: -item[1].limit):
        told[shown(key)] = {"tokens": lesson.limit, "confirmed": lesson.confirmed}
    return told
