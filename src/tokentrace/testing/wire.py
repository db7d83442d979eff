"""Answers to an SDK's requests in this process, and bodies as providers send them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that arrived on the wire."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON that was sent."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: JSON, or server-sent events when ``events`` is given.

    Attributes:
        body: the JSON body; ``bytes`` go out as they are.
        events: JSON bodies of server-sent events, each with its event name or an empty string.
        done: end the events as OpenAI does.
        breaks_after: drop the connection after so many events.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[tuple[str, Any]] = ()
    done: bool = False
    breaks_after: int | None = None

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it goes over the wire."""
        if not self.events:
            yield self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
            return
        for index, (name, data) in enumerate(self.events):
            if index == self.breaks_after:
                raise ConnectionResetError("the test dropped the connection")
            head = f"event: {name}\n" if name else ""
            yield f"{head}data: {json.dumps(data)}\n\n".encode()
        if self.done:
            yield b"data: [DONE]\n\n"


class Wire:
    """Answers an SDK's requests in this process, in order; the last reply repeats.

        wire = Wire(openai_chat("hello", prompt_tokens=12))
        client = openai.OpenAI(api_key="test", http_client=wire.client("openai"))

    Attributes:
        requests: what arrived, in order.
    """

    def __init__(self, *replies: Reply | Callable[[Sent], Reply]) -> None:
        self._replies = replies
        self.requests: list[Sent] = []

    def client(self, sdk: str, *, asynchronous: bool = False) -> Any:
        """Return an HTTP client for ``sdk``'s ``http_client=``, of the library that it is built on."""
        library = http_library(sdk)
        transport = self.transport(sdk, asynchronous=asynchronous)
        return (library.AsyncClient if asynchronous else library.Client)(transport=transport)

    def transport(self, sdk: str, *, asynchronous: bool = False) -> Any:
        """Return a transport of that library, for an SDK that makes its HTTP client itself."""
        library = http_library(sdk)
        return library.MockTransport(
            self._awaiting(library) if asynchronous else self._call(library)
        )

    def answer(self, sent: Sent) -> Reply:
        """Return the reply to ``sent`` and keep the request."""
        self.requests.append(sent)
        reply = self._replies[min(len(self.requests), len(self._replies)) - 1]
        return reply(sent) if callable(reply) else reply

    def _call(self, library: Any) -> Callable[[Any], Any]:
        def handle(request: Any) -> Any:
            return _response(library, self.answer(_sent(request)), request)

        return handle

    def _awaiting(self, library: Any) -> Callable[[Any], Any]:
        answer = self._call(library)

        async def awaited(request: Any) -> Any:
            return answer(request)

        return awaited


def http_library(sdk: str) -> Any:
    """Return the HTTP library that an installed SDK is built on: httpx2 since 2026, else httpx."""
    from tokentrace.instrument.hooks import HOOKS

    for module in dict.fromkeys(hook.module for hook in HOOKS if hook.sdk == sdk):
        with suppress(ModuleNotFoundError):
            base = importlib.import_module(module)
            return getattr(base, "httpx2", None) or base.httpx
    raise ModuleNotFoundError(f"no version of {sdk} that tokentrace hooks is installed")


def _sent(request: Any) -> Sent:
    return Sent(request.method, request.url.path, dict(request.headers), request.read())


def _response(library: Any, reply: Reply, request: Any) -> Any:
    kind = "text/event-stream" if reply.events else "application/json"
    headers = {"content-type": kind, **reply.headers}
    stream = _stream_class(library)(reply.chunks())
    return library.Response(reply.status, headers=headers, stream=stream, request=request)


def _stream_class(library: Any) -> Any:
    class Body(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        """A body that is read by either colour of client."""

        def __init__(self, chunks: Iterator[bytes]) -> None:
            self._chunks = chunks

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self._chunks
            except ConnectionResetError as error:
                raise library.ReadError(str(error)) from error

        async def __aiter__(self) -> Any:
            for chunk in self:
                yield chunk

    return Body


# ── replies ──────────────────────────────────────────────────────────────────────────────────────


def openai_chat(
    text: str, *, prompt_tokens: int, completion_tokens: int = 5, **changes: Any
) -> Reply:
    """Return a chat completion as OpenAI sends it."""
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    message = {"role": "assistant", "content": text, "refusal": None}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": usage,
    }
    return Reply({**body, **changes})


def openai_chat_stream(*texts: str, prompt_tokens: int | None = None, **reply: Any) -> Reply:
    """Return a streamed chat completion, with a usage chunk where ``prompt_tokens`` is given."""
    base = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_750_000_000,
        "model": "gpt-4o-2024-08-06",
    }
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": {"content": text}, "finish_reason": None} for text in texts
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [("", {**base, "choices": [choice]}) for choice in choices]
    if prompt_tokens is not None:
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(texts), "total_tokens": 0}
        events.append(("", {**base, "choices": [], "usage": usage}))
    return Reply(events=events, done=True, **reply)


def anthropic_message(
    text: str, *, input_tokens: int, output_tokens: int = 5, **usage: Any
) -> Reply:
    """Return a message as Anthropic sends it; ``usage`` holds its cache fields."""
    return Reply(_message([{"type": "text", "text": text}], input_tokens, output_tokens, usage))


def anthropic_stream(*texts: str, input_tokens: int, **reply: Any) -> Reply:
    """Return a streamed message."""
    start = _message([], input_tokens, 1, {})
    start["stop_reason"] = None
    block = {"type": "text", "text": ""}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        for text in texts
    ]
    bodies: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": len(texts)},
        },
        {"type": "message_stop"},
    ]
    return Reply(events=[(str(body["type"]), body) for body in bodies], **reply)


def _message(
    content: list[Any], input_tokens: int, output_tokens: int, usage: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens, **usage},
    }
