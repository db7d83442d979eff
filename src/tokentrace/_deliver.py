"""Run a function of any kind with somebody looking on: plain, async, generator, async generator.

The decorated function stays of its kind, and what it returns stays the host's own object; only
coroutines, generators and async generators are handed on through one of ours. Nothing stays set
between two items of a generator: the visitor enters and leaves around each of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from tokentrace._failsafe import Stretch, attempt

F = TypeVar("F", bound=Callable[..., Any])

ENDS = (StopIteration, StopAsyncIteration, GeneratorExit)
CACHE_METHODS = ("cache_info", "cache_clear", "cache_parameters")


class Visit:
    """What happens around one run of a function. Subclasses do it; this does nothing."""

    def before(self, can_wait: bool) -> Awaitable[Any] | None:  # noqa: ARG002 - for subclasses
        """Something must be done first; what has to be awaited is returned where the caller can."""
        return None

    def arguments(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments to run with."""
        return args, kwargs

    def enter(self) -> None:
        """The function's code begins to run, or goes on after an item."""

    def leave(self) -> None:
        """It hands an item to its caller, or is over."""

    def chunk(self, item: Any) -> None:
        """A generator gave an item."""

    def value(self, value: Any) -> None:
        """The function returned, or its coroutine did."""

    def close(self, error: BaseException | None) -> None:
        """It is over. May come twice."""


Begin = Callable[[tuple[Any, ...], dict[str, Any]], Visit]


def is_function(value: Any) -> bool:
    """Whether `around` can take it: a decorator without parentheses was given one."""
    return callable(value) or isinstance(value, classmethod)


def opens(fn: Callable[..., Any]) -> bool:
    """Whether a callable gives an async context manager."""
    return inspect.isasyncgenfunction(inspect.unwrap(fn)) and not inspect.isasyncgenfunction(fn)


def around(fn: F, begin: Begin) -> F:
    """Return ``fn`` with ``begin(args, kwargs)`` visiting each run of it.

    Raises:
        TypeError: ``fn`` is no function or method, at decoration.
    """
    if isinstance(fn, staticmethod | classmethod):
        return type(fn)(around(fn.__func__, begin))
    if not callable(fn) or isinstance(fn, type):
        raise TypeError(f"a function is needed here, not {fn!r:.80}")
    wrapper = functools.wraps(fn)(_wrapper(fn, begin))
    for name in CACHE_METHODS:
        if hasattr(fn, name):
            setattr(wrapper, name, getattr(fn, name))
    return wrapper  # type: ignore[return-value]


def _wrapper(fn: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """Return a function of the kind of ``fn``."""
    if inspect.iscoroutinefunction(fn):
        return _coroutine(fn, begin)
    if inspect.isasyncgenfunction(fn):
        return _async_generator(fn, begin)
    if inspect.isgeneratorfunction(fn):
        return _generator(fn, begin)
    return _function(fn, begin)


def _coroutine(fn: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        visit = _begun(begin, args, kwargs)
        await _ready(visit)
        args, kwargs = _arguments(visit, args, kwargs)
        return await _awaited(fn(*args, **kwargs), visit)

    return coroutine


def _async_generator(fn: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def chunks(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        visit = _begun(begin, args, kwargs)
        await _ready(visit)
        args, kwargs = _arguments(visit, args, kwargs)
        steps = AsyncChunks(fn(*args, **kwargs), visit)
        relay = Relay(steps)
        try:
            while True:
                item = await relay.resume()
                with relay:
                    relay.sent = yield item
        except StopAsyncIteration:
            return
        finally:
            await steps.aclose()

    return chunks


def _generator(fn: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        visit, args, kwargs = _at_once(begin, args, kwargs)
        return (yield from Chunks(fn(*args, **kwargs), visit))

    return generator


def _function(fn: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        visit, args, kwargs = _at_once(begin, args, kwargs)
        with step(visit):
            result = fn(*args, **kwargs)
        return deliver(result, visit)

    return function


def _at_once(
    begin: Begin, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Visit, tuple[Any, ...], dict[str, Any]]:
    """Return the visit, begun where nothing can be awaited, and the arguments to run with."""
    visit = _begun(begin, args, kwargs)
    attempt(visit.before, False)
    return visit, *_arguments(visit, args, kwargs)


async def _ready(visit: Visit) -> None:
    """Await what a visit needs first."""
    waiting = attempt(visit.before, True)
    if waiting is not None:
        await waiting


def _arguments(
    visit: Visit, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    known: tuple[tuple[Any, ...], dict[str, Any]]
    known = attempt(visit.arguments, args, kwargs, default=(args, kwargs))
    return known


def _begun(begin: Begin, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visit:
    return attempt(begin, args, kwargs) or Visit()


def deliver(result: Any, visit: Visit) -> Any:
    """Return the host's ``result``; ``visit`` sees its value or its items, and its end."""
    if inspect.isgenerator(result):
        return Chunks(result, visit)
    if inspect.isasyncgen(result):
        return AsyncChunks(result, visit)
    if callable(getattr(result, "add_done_callback", None)) and inspect.isawaitable(result):
        attempt(_follow, result, visit)
        return result
    if inspect.iscoroutine(result) or _only_awaitable(result):
        return _awaited(result, visit)
    attempt(visit.value, result)
    attempt(visit.close, None)
    return result


def _only_awaitable(result: Any) -> bool:
    """Whether a coroutine can stand in for ``result``: it can be awaited, and nothing else."""
    kind = type(result)
    return hasattr(kind, "__await__") and not (
        hasattr(kind, "__aiter__") or hasattr(kind, "__aenter__")
    )


async def _awaited(awaitable: Any, visit: Visit) -> Any:
    with step(visit):
        result = await awaitable
    return deliver(result, visit)


def _follow(future: Any, visit: Visit) -> None:
    """See a future's result before those who wait for it, without reading its error for them."""
    if future.done():
        _done(future, visit)
    else:
        future.add_done_callback(lambda done: attempt(_done, done, visit))


def _done(future: Any, visit: Visit) -> None:
    error = None
    if not future.cancelled():
        error = getattr(future, "_exception", None)
        if error is None:
            visit.value(future.result())
    visit.close(error)


def step(visit: Visit) -> Stretch:
    """Return one stretch of the host's code for ``with``; the end of an iteration is no error."""

    def failed(error: BaseException) -> None:
        visit.close(None if isinstance(error, ENDS) else error)

    return Stretch(visit.enter, visit.leave, failed)


class Chunks(Generator[Any, Any, Any]):
    """A generator that is followed item by item."""

    def __init__(self, inner: Generator[Any, Any, Any], visit: Visit) -> None:
        self._inner = inner
        self._visit = visit

    def send(self, value: Any) -> Any:
        """Go on with ``value``."""
        with step(self._visit):
            item = self._inner.send(value)
            attempt(self._visit.chunk, item)
        return item

    def throw(self, *error: Any) -> Any:
        """Go on with an error."""
        with step(self._visit):
            item = self._inner.throw(*error)
            attempt(self._visit.chunk, item)
        return item

    def close(self) -> None:
        """End it early."""
        with step(self._visit):
            self._inner.close()
        attempt(self._visit.close, None)

    def __del__(self) -> None:
        attempt(self._visit.close, None)


class AsyncChunks(AsyncGenerator[Any, Any]):
    """An async generator that is followed item by item."""

    def __init__(self, inner: AsyncGenerator[Any, Any], visit: Visit) -> None:
        self._inner = inner
        self._visit = visit

    async def asend(self, value: Any) -> Any:
        """Go on with ``value``."""
        with step(self._visit):
            item = await self._inner.asend(value)
            attempt(self._visit.chunk, item)
        return item

    async def athrow(self, *error: Any) -> Any:
        """Go on with an error."""
        with step(self._visit):
            item = await self._inner.athrow(*error)
            attempt(self._visit.chunk, item)
        return item

    async def aclose(self) -> None:
        """End it early."""
        with step(self._visit):
            await self._inner.aclose()
        attempt(self._visit.close, None)

    def __del__(self) -> None:
        attempt(self._visit.close, None)


class Relay:
    """Hands what a caller sends or throws into one async generator on to another."""

    __slots__ = ("_error", "_steps", "sent")

    def __init__(self, steps: AsyncChunks) -> None:
        self._steps = steps
        self._error: BaseException | None = None
        self.sent: Any = None

    async def resume(self) -> Any:
        """Return the next item."""
        error, sent = self._error, self.sent
        self._error = self.sent = None
        return await (self._steps.asend(sent) if error is None else self._steps.athrow(error))

    def __enter__(self) -> None:
        """Wait for the caller."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, GeneratorExit):
            return False
        self._error = error
        return True


# ── arguments ────────────────────────────────────────────────────────────────────────────────────


def signature_of(fn: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(getattr(fn, "__func__", fn))
    except (TypeError, ValueError):
        return None


def call_with(
    name: Callable[..., Any],
    signature: inspect.Signature | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call ``name`` with the arguments of a call of the decorated function.

    By name where it knows them, so that it need not care how the function was called; as they came
    where it names other parameters. None when the arguments do not fit the function.
    """
    wanted = signature_of(name)
    if signature is None or wanted is None:
        return name(*args, **kwargs)
    named = bound(signature, args, kwargs)
    if named is None:
        return None
    parameters = wanted.parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        known = named
    else:
        known = {key: value for key, value in named.items() if key in wanted.parameters}
    if _fits(parameters, known):
        return name(**known)
    return name(*args, **kwargs)


def bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """Return arguments by their names; None when they do not fit, which the host will hear."""
    try:
        found = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    found.apply_defaults()
    named = dict(found.arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            named.update(named.pop(parameter.name, {}))
    return named


def _fits(parameters: Iterable[inspect.Parameter], known: Mapping[str, Any]) -> bool:
    """Whether each parameter that needs a value can get it by name."""
    return not any(
        p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)
        or (p.kind is not p.VAR_KEYWORD and p.default is p.empty and p.name not in known)
        for p in parameters
    )
