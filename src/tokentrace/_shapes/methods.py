"""Methods of one object, followed in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tokentrace._failsafe import OnError, attempt


def on_close(http: Any, closed: Callable[[], Any]) -> None:
    """Have ``closed()`` called when a response was closed, in either colour."""
    for name in ("close", "aclose"):
        around(http, name, nothing, lambda _: closed())


def nothing() -> None:
    """Do nothing before."""


def around(owner: Any, name: str, before: Callable[[], Any], after: Callable[[Any], Any]) -> None:
    """Have ``after(result)`` called when a method of this one object is done."""
    method = getattr(owner, name, None)
    if method is not None:
        setattr(owner, name, Followed(owner, name, method, before, after))


class Followed:
    """A method of one object, followed. A copy of that object, pickled or not, has its own again."""

    def __init__(
        self,
        owner: Any,
        name: str,
        method: Callable[..., Any],
        before: Callable[[], Any],
        after: Callable[[Any], Any],
    ) -> None:
        self._owner, self._name, self._method = owner, name, method
        self._before, self._after = before, after

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        attempt(self._before)
        with OnError(lambda _error: self._after(None)):
            result = self._method(*args, **kwargs)
        if inspect.iscoroutine(result):
            return _then(result, self._after)
        attempt(self._after, result)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._owner, self._name)


class Replaced(Followed):
    """A method of one object, for whose results something of ours stands in."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._method(*args, **kwargs)
        return attempt(self._after, result, default=result)


async def _then(awaitable: Any, after: Callable[[Any], Any]) -> Any:
    with OnError(lambda _error: after(None)):
        result = await awaitable
    attempt(after, result)
    return result
