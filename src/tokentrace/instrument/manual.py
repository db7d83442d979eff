"""`llm_call`: LLM calls that go through no hooked SDK, with the same life, guard and span."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

from tokentrace import _deliver, _failsafe, _scope, _shapes
from tokentrace._failsafe import attempt
from tokentrace.instrument import answers, state
from tokentrace.instrument.calls import Call, inside
from tokentrace.instrument.hooks import SILENT
from tokentrace.instrument.requests import Request
from tokentrace.instrument.waiting import prepared
from tokentrace.prompt import LimitReport

F = TypeVar("F", bound=Callable[..., Any])
Args = tuple[Any, ...]
Kwargs = dict[str, Any]

BODY = "body"
MODEL = "model"

_blocks: ContextVar[tuple[Any, ...]] = ContextVar("tokentrace_llm_calls", default=())


class Under(_scope.Stay):
    """A call that is under way, as ``with llm_call(...) as call`` gives it.

    Attributes:
        body: what is to be sent: the body given, or the shorter one of the guard's callback.
        report: what the guard saw and decided; None where the call is not counted.
    """

    stack = _blocks

    def __init__(self, body: Any, *, block: bool = False) -> None:
        super().__init__(object())  # itself would be a cycle, and its end late
        self.body = body
        self.report: LimitReport | None = None
        self._given = body
        self._call: Call | None = None
        self._block = block
        self._streaming = self._followed = False

    # ── for the caller ───────────────────────────────────────────────────────────────────────────

    def response(self, value: Any) -> Any:
        """Tell what came back, and return it.

        Args:
            value: the response as parsed JSON, as JSON text, as an SDK's object or stream, or as a
                response of httpx, requests or aiohttp whose body was read.
        """
        attempt(self.value, value)
        return value

    def stream(self, chunks: Any) -> Any:
        """Return an iterator over ``chunks`` that sees what passes; it gives the same items.

        Args:
            chunks: an iterable, or an async one, of parsed events or of pieces of the body as text
                or bytes (server-sent events, one JSON a line). An SDK's own stream comes back as
                it is.
        """
        if self._call is None or hasattr(type(chunks), "__stream__"):
            return self.response(chunks)
        self._streaming = True
        attempt(self._call.leave)  # between two chunks the caller's own code runs
        source = _awaiting(chunks) if hasattr(type(chunks), "__aiter__") else _each(chunks)
        return _deliver.deliver(source, self)

    # ── its life ─────────────────────────────────────────────────────────────────────────────────

    def begin(self, call: Call) -> None:
        """Take the call whose life this is."""
        self._call = call

    def send(self, body: Kwargs) -> None:
        """Take another body to be sent; the model comes with it only where it came with the first."""
        alone = MODEL in self._given
        self.body = body if alone else {key: body[key] for key in body if key != MODEL}

    def before(self, can_wait: bool) -> Awaitable[Any] | None:
        """Count and guard; the rest of it is returned where a callback must be awaited."""
        if self._call is None:
            return None
        waiting = prepared(self._call.begin(lambda: can_wait), lambda: can_wait)
        self.report = self._call.report
        return None if waiting is None else self._after(self._call, waiting)

    async def _after(self, call: Call, waiting: Awaitable[Any]) -> None:
        await waiting
        self.report = call.report

    def arguments(self, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
        """Return a decorated function's arguments with the body that is to be sent."""
        if self.body is self._given:
            return args, kwargs
        return _swapped(self._given, self.body, args, kwargs)

    def enter(self) -> None:
        """The code that makes the call runs."""
        super().enter()
        if self._call is not None:
            self._call.enter()

    def leave(self) -> None:
        """It is over, or hands something on."""
        super().leave()
        if self._call is not None:
            self._call.leave()

    def chunk(self, item: Any) -> None:
        """A piece of the answer passes."""
        if self._call is not None:
            self._call.chunk(item)

    def value(self, value: Any) -> None:
        """The answer is there."""
        if self._call is None or value is None:
            return
        kind = type(value)
        if hasattr(kind, "__stream__") or hasattr(kind, "http_request"):
            self._followed = True
            _shapes.deliver(value, self._call)
            return
        answer = answers.read(value)
        if answer.error:
            self._call.refused(answer)
        else:
            self._call.end(answer.body)

    def close(self, error: BaseException | None) -> None:
        """It is over. A stream that was made in a block, and an SDK's, may go on and end it then."""
        block, self._block = self._block, False
        if self._call is None:
            return
        if error is not None:
            self._call.fail(error)
        elif not (self._followed or (block and self._streaming)):
            self._call.abandon()


def _each(chunks: Iterable[Any]) -> Iterator[Any]:
    yield from chunks


async def _awaiting(chunks: AsyncIterable[Any]) -> AsyncIterator[Any]:
    async for chunk in chunks:
        yield chunk


# ── a decorated function's arguments ─────────────────────────────────────────────────────────────


def _swapped(
    old: Mapping[str, Any], new: Mapping[str, Any], args: Args, kwargs: Kwargs
) -> tuple[Args, Kwargs]:
    """Return the arguments with ``new`` for ``old``, or with the values of ``new`` for those of ``old``."""
    swap = {id(value): new.get(key) for key, value in old.items() if value is not new.get(key)}
    swap[id(old)] = new
    names = {key: swap.get(id(value), value) for key, value in kwargs.items()}
    return tuple(swap.get(id(value), value) for value in args), names


def _holds(body: Mapping[str, Any], args: Args, kwargs: Kwargs) -> bool:
    """Whether another body could be put into the arguments: they hold it, or its lists and objects."""
    given = {id(value) for value in (*args, *kwargs.values())}
    parts = [id(value) for value in body.values() if isinstance(value, list | dict)]
    return id(body) in given or (bool(parts) and given.issuperset(parts))


# ── the public function ──────────────────────────────────────────────────────────────────────────


class LLMCall(_scope.Scope):
    """See `llm_call`."""

    def __init__(
        self, body: Any, api: str, provider: str, base_url: str, model: str | None
    ) -> None:
        super().__init__()
        self._body, self._api, self._provider = body, api, provider
        self._base_url, self._model = base_url, model

    def __call__(self, fn: F) -> F:
        """Return ``fn`` with each run of it an LLM call."""
        signature = _deliver.signature_of(fn)
        if not callable(self._body) and (
            signature is None or self._name not in signature.parameters
        ):
            mend = "name the argument that holds the body, or give a callable that makes it"
            raise TypeError(f"llm_call(body=…): {fn!r:.80} has no argument {self._name!r}; {mend}")

        def visit(args: Args, kwargs: Kwargs) -> Under:
            body = self._found(signature, args, kwargs)
            keeps = not _is_body(body) or _holds(body, args, kwargs)
            return self._begun(Under(body), keeps=keeps)

        return _deliver.around(fn, visit)

    @property
    def _name(self) -> str:
        return self._body if isinstance(self._body, str) else BODY

    def _found(self, signature: Any, args: Args, kwargs: Kwargs) -> Any:
        """Return the body among a decorated function's arguments."""
        if callable(self._body):
            return _deliver.call_with(self._body, signature, args, kwargs)
        return (_deliver.bound(signature, args, kwargs) or {}).get(self._name)

    def _begun(self, under: Under, *, keeps: bool = True) -> Under:
        """Give a life to the call of a body, unless it is none of ours.

        Args:
            under: with the body as it is about to be sent.
            keeps: another body can be sent in its place.
        """
        body = under.body
        if inside() or self._api in SILENT or not _instrumented():
            return under
        if not _is_body(body):
            _failsafe.record(TypeError("no mapping"), "llm_call body")
            return under
        counted = body if self._model is None else {**body, MODEL: self._model}
        stream = body.get("stream") is True
        request = Request(
            "", self._api, counted, self._provider, self._base_url, stream, under.send
        )
        call = attempt(Call, request)
        if call is not None:
            call.flies = False  # its report is there for whoever reads it
            if not keeps and call.guard is not None and call.guard.compress is not None:
                call.guard = replace(call.guard, compress=None)
                _failsafe.warn_once("llm_call:compress", NO_WAY)
            under.begin(call)
        return under

    # ── with ─────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Under:
        under = self._entered()
        attempt(under.before, False)
        self.go(under)
        return under

    async def __aenter__(self) -> Under:
        under = self._entered()
        waiting = attempt(under.before, True)
        if waiting is not None:
            await waiting
        self.go(under)
        return under

    def _entered(self) -> Under:
        if not _is_body(self._body):
            raise TypeError("llm_call(body, api=…) needs the request's body, a mapping, for `with`")
        return self._begun(Under(self._body, block=True))


NO_WAY = (
    "a shorter body has no way into the arguments of a function decorated with llm_call, so the "
    "guard's compress callback is not asked; pass the body, or its messages, as an argument"
)


def _is_body(body: Any) -> bool:
    return isinstance(body, Mapping)


def _instrumented() -> bool:
    if state.settings is None:
        _failsafe.warn_once("llm_call", "llm_call does nothing before tokentrace.instrument()")
    return state.settings is not None


def llm_call(
    body: Mapping[str, Any] | Callable[..., Any] | str | None = None,
    *,
    api: str,
    provider: str = "",
    base_url: str = "",
    model: str | None = None,
) -> LLMCall:
    """Count, guard and trace an LLM call that goes through no hooked SDK.

        with tokentrace.llm_call(body, api="openai.chat") as call:
            call.response(requests.post(url, json=call.body))

        async with tokentrace.llm_call(body, api="openai.chat") as call:
            async for line in call.stream(response.aiter_lines()): ...

        @tokentrace.llm_call(api="openai.chat", body=lambda model, messages: {...})
        async def complete(model, messages): ...

    What the decorated function returns, or yields piece by piece, is the answer. A call that a hooked
    SDK makes inside is the same call, not one more.

    Args:
        body: the request's body as on the wire. For a decorator: a callable that gets the function's
            arguments by name and returns it, or the name of the argument that holds it (``body``).
        api: one of the api names, e.g. ``openai.chat``.
        provider: who serves it, e.g. ``azure``.
        base_url: where it is sent; tells hosts that speak somebody else's dialect.
        model: the model, where the body does not name it.

    Raises:
        TypeError: an argument is of no use, at construction.
        TokenLimitExceeded: the guard refused, on entering the block or calling the function.
    """
    if not isinstance(api, str) or not api:
        raise TypeError("llm_call(api=…) takes one of the api names, e.g. 'openai.chat'")
    if not (body is None or isinstance(body, str | Mapping) or callable(body)):
        raise TypeError(f"llm_call(body=…) takes a mapping, a callable or a name, not {body!r:.80}")
    return LLMCall(body, api, provider, base_url, model)
