"""A provider's own count call, for ``Guard(verify="near-limit")``.

It is asked where an error bound hides a decision of the guard, through the host's own client: same
address, secrets and transport. Whatever happens to it, the host's call goes on: it has a few seconds,
a bounded number of them is asked a minute and at once, and a place where it failed is left alone for
a while.
"""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from tokentrace import _failsafe
from tokentrace._shapes.text import decoded
from tokentrace.counting.keeping import Keeping
from tokentrace.dialects._reading import get
from tokentrace.guard.deciding import LARGEST
from tokentrace.guard.learned import Key, key_of
from tokentrace.instrument.requests import Request

SECONDS = 3.0  # that a count call may take, in all
MOST_A_MINUTE = 20  # at one place
MOST_AT_ONCE = 4  # in this process
PAUSE = 300.0  # seconds in which a place is not asked again after a count call that failed
MOST_PLACES = 256
MINUTE = 60.0
THREAD = "tokentrace count"

Send = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class CountCall:
    """The count call for the requests of one api.

    Attributes:
        at: its path, method or operation.
        tokens: the field of its answer.
        fields: of the request's body that it takes; all where none are named.
        blind: fields whose content it does not count; a body with one of them is not asked for.
    """

    at: str
    tokens: str
    fields: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()


# As the SDKs of openai 3.57, anthropic 2.14, google-genai 3.6 and botocore 1.44 make them (2026-11-29).
# Chat completions, embeddings and the other makers' apis have none that counts a whole request.
COUNT_CALLS = {
    "openai.responses": CountCall(
        "/responses/input_tokens",
        "input_tokens",
        (
            "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text",
            "reasoning", "previous_response_id", "conversation", "truncation", "personality",
        ),
        ("prompt",),
    ),
    "anthropic.messages": CountCall(
        "/v1/messages/count_tokens",
        "input_tokens",
        (
            "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config",
            "output_format", "cache_control", "context_management", "compaction", "mcp_servers", "speed",
        ),
        ("container", "thread"),
    ),
    "gemini.generateContent": CountCall("countTokens", "totalTokens"),
    "bedrock.converse": CountCall(
        "CountTokens",
        "inputTokens",
        ("messages", "system", "toolConfig", "additionalModelRequestFields"),
        ("promptVariables",),
    ),
    "bedrock.invoke": CountCall("CountTokens", "inputTokens"),
}  # fmt: skip


def taken(api: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an api's count call takes of a body."""
    fields = COUNT_CALLS[api].fields
    return {key: body[key] for key in fields or body if body.get(key) is not None}


# ── who may ask ──────────────────────────────────────────────────────────────────────────────────


class Desk:
    """Says who may ask, and when. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: Keeping[Key, tuple[float, ...]] = Keeping(MOST_PLACES, MINUTE, clock)
        self._paused: Keeping[Key, bool] = Keeping(MOST_PLACES, PAUSE, clock)
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)

    def admits(self, key: Key) -> bool:
        """Whether a place may be asked now; it counts as asked then."""
        if self._paused.find(key):
            return False
        now, admitted = self._clock(), []

        def counted(before: tuple[float, ...] | None) -> tuple[float, ...] | None:
            recent = [then for then in before or () if then > now - MINUTE]
            if len(recent) >= MOST_A_MINUTE:
                return before
            admitted.append(now)
            return (*recent, now)

        self._recent.change(key, counted)
        return bool(admitted)

    def slot(self) -> Callable[[], None] | None:
        """Return what ends a count call that begins now; None where too many are under way."""
        free = self._free
        return free.release if free.acquire(blocking=False) else None

    def pause(self, key: Key) -> None:
        """Leave a place alone for a while."""
        self._paused.put(key, value=True)

    def clear(self) -> None:
        """Forget who asked (tests, and the child after a fork)."""
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._recent.clear()
        self._paused.clear()


DESK = Desk()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=DESK.clear)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────


class Question:
    """What a guard asks for one call: give it a body, it gives tokens or None, maybe to be awaited.

    Args:
        request: the call's own.
        believes: says whether a number can be that of the prompt counted last.
    """

    def __init__(self, request: Request, believes: Callable[[int], bool]) -> None:
        self._request = request
        self._believes = believes
        self._call = COUNT_CALLS.get(request.api)
        self._key = key_of(request.provider or request.sdk, request.base_url, request.api)

    def __call__(self, body: Mapping[str, Any]) -> Any:
        """Ask, where this is possible now."""
        call, send = self._call, self._request.ask
        if call is None or send is None or any(body.get(field) for field in call.blind):
            return None
        if not DESK.admits(self._key):
            return None
        value, error = _soon(send, taken(self._request.api, body))
        return self._awaited(value) if inspect.isawaitable(value) else self._read(value, error)

    async def _awaited(self, answer: Any) -> int | None:
        value, error = await _failsafe.outcome(_within(answer))
        return self._read(value, error)

    def _read(self, value: Any, error: BaseException | None) -> int | None:
        """Return the tokens of an answer; what is none is told once, and the place left alone."""
        if isinstance(error, Busy):
            return None
        body = decoded(get(value, "body", value))
        tokens = None if self._call is None else get(body, self._call.tokens)
        if type(tokens) is int and 0 < tokens < LARGEST and self._believes(tokens):
            return tokens
        DESK.pause(self._key)
        _tell(self._request, error)
        return None


class Busy(Exception):  # noqa: N818 - nothing is wrong
    """So many count calls are under way that another one has to do without."""


def _soon(send: Send, body: Mapping[str, Any]) -> tuple[Any, BaseException | None]:
    """Return what a count call gives within its time, or why it gives nothing.

    No SDK ends a call for sure after some time (theirs are for single steps, and retries follow), so
    it runs in a thread of its own. An async client gives what is to be awaited, by the host.
    """
    done, told = DESK.slot(), SimpleQueue[tuple[Any, BaseException | None]]()
    if done is None:
        return None, Busy()

    def work() -> None:
        try:
            told.put(_failsafe.outcome_of(send, body))
        finally:
            done()

    context = copy_context()
    thread = threading.Thread(target=context.run, args=(work,), daemon=True, name=THREAD)
    try:
        thread.start()
    except RuntimeError:  # no more threads, or the interpreter is shutting down
        done()
        return None, Busy()
    try:
        return told.get(timeout=SECONDS)
    except Empty:
        return None, TimeoutError()


async def _within(answer: Any) -> Any:
    """Await an answer as long as it may take; on another loop than asyncio's the SDK's own time holds."""
    done = DESK.slot()
    if done is None:
        if inspect.iscoroutine(answer):
            answer.close()
        raise Busy
    try:
        if not _on_asyncio():
            return await answer
        import asyncio

        async with asyncio.timeout(SECONDS):
            return await answer
    finally:
        done()


def _on_asyncio() -> bool:
    import asyncio

    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _tell(request: Request, error: BaseException | None) -> None:
    """Say once a process what is wrong, without a word of the answer."""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    what = "an answer without a believable number" if error is None else type(error).__name__
    if isinstance(status, int):
        what = f"{what}, status {status}"
    _failsafe.warn_once("verify", HELPLESS, request.api, what, int(PAUSE // 60))


HELPLESS = (
    "Guard(verify='near-limit'): the count call for %s gave nothing (%s). Such calls are decided by the "
    "count as it is, and it is asked again in %d minutes. If the host has no such call, give "
    "verify=a callable that counts, or None"
)
