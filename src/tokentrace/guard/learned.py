"""Limits that providers' refusals teach, kept for an hour.

A context-length error that names its limit is a lesson. It counts where it does not contradict
itself, or what we counted. One lesson only warns; two in a row that agree refuse.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
        until: when it is forgotten, by the table's clock.
    """

    limit: int
    told: int
    sums: int
    until: float

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
        clock: gives seconds.
    """

    def __init__(
        self,
        most: int = MOST_KEYS,
        life: float = LIFE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._most = most
        self._life = life
        self._lessons: OrderedDict[Key, Lesson] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._lessons)

    def note(self, key: Key, overflow: Overflow, counted: Count | None, output: int = 0) -> None:
        """Learn from a refusal, where its numbers can be true.

        Args:
            key: from `key_of`.
            overflow: what the refusal said.
            counted: our own count of the refused prompt, None where there is none.
            output: tokens of output that were requested.
        """
        if overflow.limit is None or not _plausible(overflow, counted, output):
            return
        with self._lock:
            before = self._fresh(key)
            if before is None or before.limit != overflow.limit:
                before = Lesson(overflow.limit, 0, 0, 0.0)
            told, sums = before.told + 1, before.sums + overflow.shared
            self._lessons[key] = Lesson(overflow.limit, told, sums, self.clock() + self._life)
            self._lessons.move_to_end(key)
            if len(self._lessons) > self._most:
                self._lessons.popitem(last=False)

    def find(self, key: Key, output: int = 0, *, summed: bool = False) -> Limit | None:
        """Return the learned limit of an input; None where there is none, or not any more.

        Args:
            key: from `key_of`.
            output: tokens of output that are requested and to be reserved.
            summed: the provider is known to refuse input + output over the limit.
        """
        with self._lock:
            lesson = self._fresh(key)
        if lesson is None:
            return None
        taken = output if summed or lesson.shared else 0
        return Limit(max(0, lesson.limit - taken), LEARNED, hard=lesson.confirmed)

    def disprove(self, key: Key, reported: int, output: int = 0) -> None:
        """Forget a limit above which a call was answered."""
        with self._lock:
            lesson = self._fresh(key)
            if lesson is None:
                return
            if reported + (output if lesson.shared else 0) > lesson.limit:
                del self._lessons[key]

    def known(self) -> dict[Key, Lesson]:
        """Return what is not forgotten."""
        with self._lock:
            return {key: lesson for key in tuple(self._lessons) if (lesson := self._fresh(key))}

    def clear(self) -> None:
        """Forget everything (tests)."""
        with self._lock:
            self._lessons.clear()

    def renew(self) -> None:
        """Replace a lock that another thread may have held at a fork."""
        self._lock = threading.Lock()

    def _fresh(self, key: Key) -> Lesson | None:
        """Return a lesson; one whose time is over is dropped."""
        lesson = self._lessons.get(key)
        if lesson is not None and self.clock() >= lesson.until:
            del self._lessons[key]
            return None
        return lesson


def _plausible(overflow: Overflow, counted: Count | None, output: int) -> bool:
    """Whether a refusal's numbers agree with each other, and its limit with our own count."""
    limit = overflow.limit or 0
    if overflow.tokens is not None and overflow.tokens <= limit:
        return False
    if counted is None:
        return overflow.tokens is not None
    return counted.total + counted.error + output > limit


LESSONS = Learned()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=LESSONS.renew)


def key_of(provider: str, base_url: str, model: str) -> Key:
    """Return what a limit is learned for; of the URL host, port and path, nothing secret.

    On Azure the model's name in the body is the deployment's.
    """
    rest = re.split(r"[?#]", base_url.partition("://")[2] or base_url, maxsplit=1)[0]
    authority, _, path = rest.partition("/")
    place = f"{authority.rpartition('@')[2].lower()}/{path.strip('/')}"
    return provider[:LONGEST], place[:LONGEST], model[:LONGEST]


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
    from tokentrace import providers

    told = {}
    for key, lesson in sorted(LESSONS.known().items(), key=lambda item: -item[1].limit):
        provider, place, model = key
        where = providers.host_of(place) or provider
        name = " at ".join(filter(None, (model[:MOST_SHOWN], where[:MOST_SHOWN])))
        told[name] = {"tokens": lesson.limit, "confirmed": lesson.confirmed}
    return told
