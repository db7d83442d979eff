"""Context managers, sync and async, that are decorators too, and say where the code is.

What is entered lies in a contextvar as a tuple. Leaving takes the own item out of whatever stands
there, so leaving in another task, late, or out of order changes nothing of anybody else's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from tokentrace import _deliver
from tokentrace._failsafe import attempt

F = TypeVar("F", bound=Callable[..., Any])


class Stay(_deliver.Visit):
    """One stay somewhere: entered and left as often as its code is resumed, closed once.

    Attributes:
        stack: where stays of its kind are kept; set by each subclass.
        item: what lies there while it lasts.
        around: the OpenTelemetry context to run in, or None for the caller's.
    """

    stack: ClassVar[ContextVar[tuple[Any, ...]]]

    def __init__(self, item: Any, around: Any = None) -> None:
        self.item = item
        self.around = around
        self._outside: list[Any] = []

    @property
    def here(self) -> bool:
        """Whether the caller's context is in it."""
        return any(item is self.item for item in self.stack.get())

    def enter(self) -> None:
        """Go there."""
        self.stack.set((*self.stack.get(), self.item))
        if self.around is not None:
            from opentelemetry import context

            self._outside.append(context.get_current())
            context.attach(self.around)

    def leave(self) -> None:
        """Go back, as far as this context is still there."""
        self.stack.set(_without(self.stack.get(), self.item))
        if self._outside:
            from opentelemetry import context

            outside = self._outside.pop()
            if context.get_current() is self.around:
                context.attach(outside)


def _without(items: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
    """Return ``items`` without the last one that is ``item``."""
    for index in range(len(items) - 1, -1, -1):
        if items[index] is item:
            return items[:index] + items[index + 1 :]
    return items


class Scope:
    """A context manager, sync and async, and a decorator. May be entered any number of times."""

    def __init__(self) -> None:
        self._stays: list[Stay] = []

    def stay(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Stay:
        """Return a new stay; ``args`` and ``kwargs`` are those of the decorated function."""
        raise NotImplementedError

    def fallback(self) -> Stay:
        """Return a stay for when our own code could not make one."""
        raise NotImplementedError

    def __call__(self, fn: F) -> F:
        """Return ``fn`` with a stay around each run of it."""
        return _deliver.around(fn, self.stay)

    def __enter__(self) -> Any:
        return self.go(attempt(self.stay, (), {}) or self.fallback())

    def go(self, stay: Stay) -> Any:
        """Begin a stay, which the end of the block will end; return what it is at."""
        self._stays.append(stay)
        attempt(stay.enter)
        return stay.item

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stay = self._innermost()
        attempt(stay.leave)
        attempt(stay.close, error)

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _innermost(self) -> Stay:
        """Return the stay to end: the last one that this context is in."""
        stay = next((stay for stay in reversed(self._stays) if stay.here), self._stays[-1])
        self._stays.remove(stay)
        return stay
