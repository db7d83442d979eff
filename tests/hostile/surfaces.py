"""Every way into a provider that a hook stands on, as one table for all SDKs.

A `Surface` is one api of one SDK in one colour, with what a caller does in each *shape* of a call. The
SDKs that take an HTTP client are asked over a `Switch`, the others over a server on loopback: to a case
both are a place with a ``wire`` that is told what to answer and keeps what arrived.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hostile.cases import SECRET, Switch, shop
from instrument import forms
from instrument.forms import Sdk, maybe
from instrument.loopback import Answer, Sent, Server, events, whole
from instrument.sdks.table import TEXT
from instrument.test_sdks import ROWS
from tokentrace import testing

# the shape of a call: the forms of its function, by colour; what is answered
SHAPES = {
    "plain": (("plain", "async"), "plain"),
    "stream": (("stream", "async stream"), "stream"),
    "early exit": (("early exit", "async early exit"), "stream"),
    "raw": (("raw", "async raw"), "plain"),
    "raw stream": (("raw stream", "async raw stream"), "stream"),
    "error": (("plain", "async"), "refused"),
    "error of a stream": (("stream", "async stream"), "refused"),
    "broken stream": (("stream", "async stream"), "broken"),
    "cancel": (("plain", "async"), "waits"),
    "cancel in a stream": (("stream", "async stream"), "waits midway"),
}
WAITING = {"waits": "plain", "waits midway": "stream"}
STREAMED = {"stream", "early exit", "raw stream", "error of a stream", "broken stream", "cancel in a stream"}  # fmt: skip
ASYNC_ONLY = {"aiobotocore"}
COLOURS = ("sync", "async")


@dataclass(frozen=True)
class Surface:
    """One api of one SDK in one colour.

    Attributes:
        name: of the api.
        sdk: the distribution's name.
        colour: of the client.
        request: the arguments of its function, which hold `TEXT` once.
        does: by shape, what a caller does with a place and the arguments.
        answers: ``plain``, ``stream``, ``refused`` and ``broken``.
        place: makes the place over a running server.
    """

    name: str
    sdk: str
    colour: str
    request: Mapping[str, Any]
    does: Mapping[str, Callable[[Any, Mapping[str, Any]], Any]]
    answers: Mapping[str, Answer]
    place: Callable[[Server, str], Any]

    def answer(self, shape: str) -> Any:
        """Return what the provider answers in a shape."""
        kind = SHAPES[shape][1]
        if kind in WAITING:
            return Waiting(self.answers[WAITING[kind]], midway=kind != "waits")
        return self.answers[kind]

    def arguments(self, text: str = f"{TEXT} {SECRET}") -> dict[str, Any]:
        """Return fresh arguments of a call, about ``text``."""
        return told(copy.deepcopy(dict(self.request)), text)

    def case(self, shape: str, text: str | None = None) -> Callable[[Any], Any]:
        """Return the case of a shape: it also demands that the arguments stay as they are."""
        do = self.does[shape]

        async def case(where: Any) -> Any:
            request = self.arguments() if text is None else self.arguments(text)
            before = copy.deepcopy(request)
            try:
                return await maybe(do(where, request))
            finally:
                assert request == before

        return stopped(case, self.colour) if shape.startswith("cancel") else case


def told(value: Any, text: str) -> Any:
    """Return a copy of a request with another text."""
    if isinstance(value, Mapping):
        return {key: told(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [told(item, text) for item in value]
    return value.replace(TEXT, text) if isinstance(value, str) else value


# ── places ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class OverServer:
    """A server on loopback as a place."""

    server: Server

    @property
    def wire(self) -> OverServer:
        return self

    @property
    def requests(self) -> list[Sent]:
        return self.server.requests

    def set(self, answer: Any) -> None:
        self.server.answer, self.server.requests = answer, []


@dataclass(frozen=True)
class OverSocket(OverServer):
    """The same for an SDK that takes an HTTP client: it gets a real one."""

    shop: forms.Shop


class Sockets(testing.Wire):
    """No wire of ours: the HTTP library's own."""

    def client(self, sdk: str, *, asynchronous: bool = False) -> Any:
        library = testing.http_library(sdk)
        return (library.AsyncClient if asynchronous else library.Client)()


@dataclass
class Served(forms.Shop):
    """A shop whose clients ask a server."""

    url: str = ""

    def make(self, **options: Any) -> Any:
        return super().make(**{"base_url": self.url, **options})


class AsReply:
    """An `Answer` as a `Switch` sends it."""

    def __init__(self, answer: Answer) -> None:
        self.status, self.headers = answer.status, {"content-type": answer.kind, **answer.headers}
        self.events, self.answer = answer.pieces, answer

    def chunks(self) -> Any:
        yield from self.answer.pieces
        if self.answer.breaks:
            raise ConnectionResetError("the test dropped the connection")


@dataclass
class OverWire:
    """The shared shop of an SDK as a place."""

    shop: forms.Shop

    @property
    def wire(self) -> OverWire:
        return self

    @property
    def requests(self) -> list[Any]:
        return self.shop.wire.requests

    def set(self, answer: Any) -> None:
        wire: Switch = self.shop.wire

        def reply(sent: Any) -> AsReply:
            return AsReply(answer(sent) if callable(answer) else answer)

        wire.set(reply)


# ── callers who stop ─────────────────────────────────────────────────────────────────────────────


class StoppedError(Exception):
    """A thread was interrupted, as from a keyboard."""


class Waiting:
    """A provider that has the caller stopped while it thinks, or in the midst of its stream.

    A task is cancelled; a thread that waits is interrupted by a signal. The provider says when, so the
    moment is the same in each run.
    """

    stop: Callable[[], Any]
    over: threading.Event

    def __init__(self, answer: Answer, *, midway: bool) -> None:
        self.answer, self.midway = answer, midway

    def __call__(self, _sent: Any) -> Answer:
        if not self.midway:
            self._wait()
            return self.answer
        return replace(self.answer, pieces=Midway(self.answer.pieces, self._wait))

    @staticmethod
    def _wait() -> None:
        Waiting.stop()
        Waiting.over.wait(20)


class Midway:
    """Pieces, between the first two of which something happens."""

    def __init__(self, pieces: tuple[bytes, ...], happens: Callable[[], None]) -> None:
        self.pieces, self.happens = pieces, happens

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[bytes]:
        yield self.pieces[0]
        self.happens()
        yield from self.pieces[1:]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def stopped(case: Callable[[Any], Any], colour: str) -> Callable[[Any], Any]:
    """Return the case of a caller who is stopped by a `Waiting` provider."""

    async def cancelled(where: Any) -> Any:
        task, loop = asyncio.ensure_future(case(where)), asyncio.get_running_loop()
        Waiting.stop = functools.partial(loop.call_soon_threadsafe, task.cancel)
        return await task

    async def interrupted(where: Any) -> Any:
        before = signal.signal(signal.SIGUSR1, interrupt)
        here = threading.get_ident()
        Waiting.stop = functools.partial(signal.pthread_kill, here, signal.SIGUSR1)
        try:
            return await case(where)
        except KeyboardInterrupt:
            raise StoppedError from None
        finally:
            signal.signal(signal.SIGUSR1, before)

    async def run(where: Any) -> Any:
        Waiting.over = threading.Event()
        try:
            return await (cancelled if colour == "async" else interrupted)(where)
        finally:
            Waiting.over.set()

    return run


# ── SDKs that bring their own HTTP ───────────────────────────────────────────────────────────────


def of_row(row: Any, colour: str) -> Surface:
    """Return the surface of a row of `instrument.sdks` in a colour."""
    at, shapes = COLOURS.index(colour), {}
    for shape, (names, _) in SHAPES.items():
        name = names[0] if row.sdk in ASYNC_ONLY and colour == "async" else names[at]
        form = None if row.sdk in ASYNC_ONLY and colour == "sync" else row.forms.get(name)
        if form is not None:
            shapes[shape] = over_server(form.do)
    return Surface(
        row.name, row.sdk, colour, row.request, shapes, answers_of(row), lambda server, _shape: OverServer(server)
    )  # fmt: skip


def over_server(do: Callable[[str, Any], Any]) -> Callable[[OverServer, Any], Any]:
    return lambda where, request: do(where.server.url, request)


def answers_of(row: Any) -> dict[str, Answer]:
    """Return what a row's provider answers in each way; what it has no form of, made of the others."""
    by_form = {name: form.answer for name, form in row.forms.items()}
    known = {"plain": by_form["plain"], "refused": by_form.get("refused", DENIED)}
    if "stream" in by_form:
        known["stream"] = by_form["stream"]
        half = by_form["stream"].pieces[: -(-len(by_form["stream"].pieces) // 2)]
        known["broken"] = by_form.get(
            "broken stream", replace(by_form["stream"], pieces=half, breaks=True)
        )
    return known


DENIED = whole({"message": "no"}, status=400)


# ── SDKs that take an HTTP client ────────────────────────────────────────────────────────────────

FORMS = {
    "plain": forms.plain,
    "stream": forms.stream,
    "early exit": forms.early_exit,
    "raw": forms.raw,
    "raw stream": forms.raw_stream,
    "error": forms.plain,
    "error of a stream": forms.stream,
    "broken stream": forms.stream,
    "cancel": forms.plain,
    "cancel in a stream": forms.stream,
}


def answer_of(reply: testing.Reply, **more: Any) -> Answer:
    """Return a reply of `tokentrace.testing` as an answer."""
    kind = "text/event-stream" if reply.events else "application/json"
    whole_reply = replace(reply, breaks_after=None)
    return Answer(tuple(whole_reply.chunks()), kind, reply.status, reply.headers, **more)


def broken_of(stream: Answer) -> Answer:
    return replace(stream, pieces=stream.pieces[:2], breaks=True)


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_780_000_000,
    "model": "gpt-4o",
    "status": "completed",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Because.", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 13,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    },
}
EVENTS = [
    ("response.created", {"response": {**RESPONSE, "status": "in_progress", "usage": None}}),
    (
        "response.output_text.delta",
        {"delta": "Be", "item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []},
    ),
    ("response.completed", {"response": RESPONSE}),
]
RESPONSES = testing.Reply(
    events=[
        (kind, {"type": kind, "sequence_number": at, **body})
        for at, (kind, body) in enumerate(EVENTS)
    ]
)
EMBEDDED = {
    "object": "list",
    "model": "m",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
    "usage": {"prompt_tokens": 6, "total_tokens": 6},
}
COMPLETED = {
    "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "text": "Because.", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 6, "completion_tokens": 2, "total_tokens": 8},
}  # fmt: skip


@dataclass(frozen=True)
class Api:
    """One api of an SDK that takes an HTTP client."""

    name: str
    sdk: Sdk
    request: Mapping[str, Any]
    plain: Answer
    stream: Answer | None = None
    without: tuple[str, ...] = field(default=())


def apis() -> list[Api]:
    """Return the apis of the SDKs that are installed."""
    found = [
        Api(
            f"{sdk.name} {sdk.create}",
            sdk,
            sdk.request,
            answer_of(sdk.plain),
            answer_of(sdk.stream),
        )
        for sdk in forms.SDKS.values()
    ]
    if "openai" in forms.SDKS:
        openai = forms.SDKS["openai"]
        found += [
            Api(
                "openai responses",
                replace(openai, create="responses"),
                {"model": "gpt-4o", "input": TEXT},
                whole(RESPONSE),
                answer_of(RESPONSES),
            ),
            Api(
                "openai embeddings",
                replace(openai, create="embeddings"),
                # the format is given: without it the SDK decodes what it asked for in base64
                {"model": "m", "input": TEXT, "encoding_format": "float"},
                whole(EMBEDDED),
            ),
            Api(
                "openai completions",
                replace(openai, create="completions"),
                {"model": "m", "prompt": TEXT},
                whole(COMPLETED),
                events(COMPLETED, COMPLETED),
            ),
        ]
    return found


def of_api(api: Api, colour: str) -> Surface:
    """Return the surface of an api in a colour."""
    answers = {"plain": api.plain, "refused": answer_of(api.sdk.refused)}
    if api.stream is not None:
        answers |= {"stream": api.stream, "broken": broken_of(api.stream)}
    shapes = {
        shape: over_wire(form, api.sdk)
        for shape, form in FORMS.items()
        if (api.stream is not None or shape not in STREAMED) and shape not in api.without
    }
    return Surface(
        api.name,
        api.sdk.name,
        colour,
        api.request,
        shapes,
        answers,
        functools.partial(place_of, api.sdk, colour),
    )


def place_of(sdk: Sdk, colour: str, server: Server, shape: str) -> Any:
    """Return the place of an SDK that takes an HTTP client; who is to be stopped needs a socket to wait at."""
    if shape.startswith("cancel"):
        return OverSocket(server, Served(sdk, colour == "async", Sockets(), server.url))
    return OverWire(shop_of(sdk.name, colour))


def over_wire(form: Callable[[forms.Shop], Any], sdk: Sdk) -> Callable[[Any, Any], Any]:
    def do(where: OverWire | OverSocket, request: Any) -> Any:
        return form(replace(where.shop, sdk=replace(sdk, request=request)))

    return do


def shop_of(sdk: str, colour: str) -> forms.Shop:
    """Return the shared shop with its client made."""
    found = shop(sdk, colour)
    found.make()
    return found


SURFACES = {
    f"{one.name}, {one.colour}": one
    for colour in COLOURS
    for one in (
        *(of_api(api, colour) for api in apis()),
        *(of_row(row, colour) for row in ROWS.values()),
    )
    if one.does
}


# ── where each stands ────────────────────────────────────────────────────────────────────────────

# the callable of the table of hooks that a surface passes: of a plain call, of a stream
STAINLESS = {
    (sdk, colour): (f"{kind}.request",) * 2
    for sdk in ("openai", "anthropic", "groq", "together")
    for colour, kind in zip(COLOURS, ("SyncAPIClient", "AsyncAPIClient"), strict=True)
}
PLACES = {
    **STAINLESS,
    ("ollama", "sync"): ("Client._request",) * 2,
    ("ollama", "async"): ("AsyncClient._request",) * 2,
    ("boto3", "sync"): ("BaseClient._make_api_call",) * 2,
    ("aiobotocore", "async"): ("AioBaseClient._make_api_call",) * 2,
    ("huggingface_hub", "sync"): ("InferenceClient._inner_post",) * 2,
    ("huggingface_hub", "async"): ("AsyncInferenceClient._inner_post",) * 2,
    ("litellm", "sync"): ("completion.__wrapped__",) * 2,
    ("litellm", "async"): ("acompletion.__wrapped__",) * 2,
    ("dashscope", "sync"): ("BaseApi.call",) * 2,
    ("dashscope", "async"): ("BaseAioApi.call",) * 2,
    ("google-genai", "sync"): ("BaseApiClient.request", "BaseApiClient.request_streamed"),
    ("google-genai", "async"): (
        "BaseApiClient.async_request",
        "BaseApiClient.async_request_streamed",
    ),
    ("interactions", "sync"): ("BaseSDK.do_request",) * 2,
    ("interactions", "async"): ("AsyncBaseSDK.do_request_async",) * 2,
    ("mistralai", "sync"): ("BaseSDK.do_request",) * 2,
    ("mistralai", "async"): ("BaseSDK.do_request_async",) * 2,
    ("cohere", "sync"): ("HttpClient.request", "HttpClient.stream"),
    ("cohere", "async"): ("AsyncHttpClient.request", "AsyncHttpClient.stream"),
}


def place_in_table(surface: Surface, shape: str) -> str:
    """Return the callable of the table of hooks that a shape of a surface passes."""
    kind = surface.name if surface.name == "interactions" else surface.sdk
    return PLACES[kind, surface.colour][shape in STREAMED]


# rows of the table that no call of its own passes
NO_CALLS = {
    "CustomStreamWrapper.__next__": "the items of litellm's streams, which the cells of litellm read",
    "CustomStreamWrapper.__anext__": "the items of litellm's streams, which the cells of litellm read",
    "TracingHook.before_request": "where mistralai's own span is kept from starting, in each of its cells",
    "embedding.__wrapped__": "litellm's decorator, as of completion; tests/instrument/test_litellm.py",
    "aembedding.__wrapped__": "litellm's decorator, as of acompletion",
}
NO_RAW = "hands out no response of its HTTP library"
NO_STREAM = "the api has no stream, or another row of the same SDK has it"
# the shapes that a surface cannot have, by the name of the surface or of its SDK
WITHOUT = {
    **{(sdk, "raw"): NO_RAW for sdk in ("ollama", "boto3", "aiobotocore", "huggingface_hub", "litellm", "dashscope", "mistralai", "interactions")},
    **{(sdk, "raw stream"): NO_RAW for sdk in ("ollama", "boto3", "aiobotocore", "huggingface_hub", "litellm", "dashscope", "mistralai", "interactions", "google-genai")},
    **{
        (name, shape): NO_STREAM
        for name in ("openai embeddings", "bedrock.invoke nova", "dashscope prompt", "aiobotocore invoke")
        for shape in STREAMED
    },
    ("litellm anthropic", "early exit"): "litellm's streams close alike: the cells over its openai have it",
}  # fmt: skip


def missing() -> dict[str, str]:
    """Return each cell that an SDK cannot have, with the reason; empty where nobody gave one."""
    return {
        f"{name}-{shape}": WITHOUT.get((one.name, shape), WITHOUT.get((one.sdk, shape), ""))
        for name, one in SURFACES.items()
        for shape in SHAPES
        if shape not in one.does
    }
