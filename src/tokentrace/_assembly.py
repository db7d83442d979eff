"""The run of an assembly: what it included, left out and shortened, for its span."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from tokentrace import _scope, turns
from tokentrace._failsafe import attempt
from tokentrace._tags import Tag
from tokentrace.prompt import ContextRecord

F = TypeVar("F", bound=Callable[..., Any])

DEPTH = 64
NODES = 10_000
MOST_TAGS = 1_000
MOST_PENDING = 32
VOCABULARY = "o200k_base"

counts: Counter[str] = Counter()


class Building:
    """One run of an assembly, shared by the tasks in it.

    Attributes:
        name, budget: as given; ``budget`` in tokens or None.
        excluded: tokens left out so far.
        compressed: tokens saved so far.
        lost: tags made in it that no call inside it held; None before the first call.
        handle: its span, see `telemetry.open_assembly`, as long as it is open.
        closed: it is over; a task that it started may go on.
    """

    def __init__(self, name: str, budget: int | None) -> None:
        self.name = name
        self.budget = budget
        self.excluded = 0
        self.compressed = 0
        self.lost: int | None = None
        self.place = turns.current()
        self.handle: Any = None
        self.closed = False
        self._result: Any = None
        self._tags: dict[Tag, None] = {}
        self._lock = threading.Lock()
        self._start = time.time_ns()
        self._clock = time.perf_counter_ns()

    def add(self, made: Tag) -> None:
        """Hear of a tag made inside."""
        if len(self._tags) < MOST_TAGS:
            self._tags[made] = None

    def spend(self, excluded: int = 0, compressed: int = 0) -> None:
        """Add to the sums."""
        with self._lock:
            self.excluded += excluded
            self.compressed += compressed

    def missing(self, found: Collection[int]) -> int:
        """Return how many of its tags are not among the hashes ``found``."""
        return sum(hash(one) not in found for one in tuple(self._tags))

    def returned(self, value: Any) -> None:
        """Hear what the decorated function returned."""
        self._result = value

    def included(self) -> int:
        """Return the tokens of what came out of it: its result's text, else that of its tags."""
        from tokentrace import telemetry

        if not telemetry.enabled():
            return 0
        if isinstance(self._result, str | list | tuple | dict):
            return measured(self._result)
        return sum(map(measured, _outermost([one.text for one in tuple(self._tags)])))

    def record(self) -> ContextRecord:
        """Return what its span shall say."""
        return ContextRecord(
            start=self._start,
            end=self._start + time.perf_counter_ns() - self._clock,
            name=self.name,
            session=self.place.session,
            agent=self.place.agent,
            turn=self.place.turn_number,
            included=self.included(),
            excluded=self.excluded,
            compressed=self.compressed,
            budget=self.budget,
            lost=self.lost or 0,
        )


buildings: ContextVar[tuple[Building, ...]] = ContextVar("tokentrace_assemblies", default=())


def handle() -> Any:
    """Return the span handle of the innermost open assembly, or None."""
    open_ones = buildings.get()
    return open_ones[-1].handle if open_ones else None


class AssemblyStay(_scope.Stay):
    """A stay in an assembly, which has a span that ends once."""

    stack = buildings

    def value(self, value: Any) -> None:
        """See the result."""
        self.item.returned(value)

    def close(self, error: BaseException | None) -> None:
        """End the span; without a call inside, wait for the one that follows."""
        building: Building = self.item
        if building.closed:
            return
        building.closed = True
        if building.lost is None:
            waiting = building.place.registry.assemblies
            waiting.append(building)
            del waiting[:-MOST_PENDING]
        else:
            counts["lost"] += building.lost
        handle, building.handle = building.handle, None
        if handle is not None:
            handle.close(attempt(building.record, default=None), error)


class Assembly(_scope.Scope):
    """See `assembly`."""

    def __init__(self, name: str, budget: int | None) -> None:
        super().__init__()
        self._name = name
        self._budget = budget

    def __call__(self, fn: F) -> F:
        """Return ``fn`` as an assembly that bears its name where none was given."""
        self._name = self._name or getattr(fn, "__name__", "")
        return super().__call__(fn)

    def stay(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AssemblyStay:  # noqa: ARG002 - as declared
        """Begin an assembly."""
        building = Building(self._name or "context", self._budget)
        building.handle = attempt(_open, building)
        return AssemblyStay(building, getattr(building.handle, "context", None))

    def fallback(self) -> AssemblyStay:
        """Assemble without telemetry."""
        return AssemblyStay(Building(self._name, self._budget))

    def __enter__(self) -> Building:
        building: Building = super().__enter__()
        return building

    async def __aenter__(self) -> Building:
        return self.__enter__()


def _open(building: Building) -> Any:
    from tokentrace import telemetry

    return telemetry.open_assembly(building.name, building.place)


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────


def measured(size: Any) -> int:
    """Return a size in tokens: a number as it is, the texts of anything else counted."""
    if isinstance(size, int | float):
        return max(0, int(size))
    from tokentrace.counting.text import ruler

    return sum(ruler(VOCABULARY).tokens(text)[0] for text in leaves(size))


def _outermost(texts: list[str]) -> list[str]:
    """Return the texts that do not lie inside another one."""
    kept: list[str] = []
    for text in sorted(texts, key=len, reverse=True):
        if not any(text in other for other in kept):
            kept.append(text)
    return kept


def leaves(value: Any) -> Iterator[str]:
    """Yield the texts in a value: itself, or those inside lists, tuples and dicts, in order.

    At most 64 deep and 10,000 nodes; a container's own methods are not asked.
    """
    waiting = [(value, 0)]
    for _ in range(NODES):
        if not waiting:
            return
        node, depth = waiting.pop()
        if isinstance(node, str):
            yield str.__str__(node)
        elif depth < DEPTH:
            waiting.extend((child, depth + 1) for child in _children(node))
    if waiting:
        counts["truncated"] += 1


def _children(node: Any) -> list[Any]:
    """Return the children of a container, last first, at most as many as are looked at."""
    if isinstance(node, list):
        found = list.__getitem__(node, slice(NODES))
    elif isinstance(node, tuple):
        found = list(tuple.__getitem__(node, slice(NODES)))
    elif isinstance(node, dict):
        found = list(itertools.islice(dict.values(node), NODES))
    else:
        return []
    return found[::-1]
