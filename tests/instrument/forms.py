"""Every way to make a call with an SDK, as a table: what the caller does, and what must be seen.

A form is a coroutine function that takes a `Shop` (clients of one SDK over one `Wire`) and does
what a caller would. The forms of an async client await; those of a sync one just do not.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import pytest

from tokentrace import testing
from tokentrace.testing import Reply, Wire

TEXT = "Why does the pod restart?"


@dataclass(frozen=True)
class Sdk:
    """One SDK: its clients, its one request, and what a fake provider answers."""

    name: str
    client: str
    request: dict[str, Any]
    plain: Reply
    stream: Reply
    broken: Reply
    refused: Reply
    create: str
    reported: int
    tokens: int | None


OPENAI = Sdk(
    name="openai",
    client="OpenAI",
    request={"model": "gpt-4o", "messages": [{"role": "user", "content": TEXT}]},
    plain=testing.openai_chat("Because.", prompt_tokens=13),
    stream=testing.openai_chat_stream("Be", "cause", prompt_tokens=13),
    broken=testing.openai_chat_stream("Be", "cause", prompt_tokens=13, breaks_after=1),
    refused=Reply({"error": {"message": "no", "type": "invalid_request_error"}}, status=400),
    create="chat.completions",
    reported=13,
    tokens=13,
)

ANTHROPIC = Sdk(
    name="anthropic",
    client="Anthropic",
    request={
        "model": "claude-sonnet-4-6",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": TEXT}],
    },
    plain=testing.anthropic_message("Because.", input_tokens=14),
    stream=testing.anthropic_stream("Be", "cause", input_tokens=14),
    broken=testing.anthropic_stream("Be", "cause", input_tokens=14, breaks_after=3),
    refused=Reply({"type": "error", "error": {"type": "x", "message": "no"}}, status=400),
    create="messages",
    reported=14,
    tokens=14,
)

GROQ = replace(
    OPENAI,
    name="groq",
    client="Groq",
    request={**OPENAI.request, "model": "openai/gpt-oss-20b"},
    tokens=None,
)
TOGETHER = replace(GROQ, name="together", client="Together")

MAIN = {sdk.name: sdk for sdk in (OPENAI, ANTHROPIC)}
SDKS = {sdk.name: sdk for sdk in (*MAIN.values(), GROQ, TOGETHER) if find_spec(sdk.name)}


@dataclass
class Shop:
    """Clients of one SDK and colour over one wire."""

    sdk: Sdk
    asynchronous: bool
    wire: Wire = field(default_factory=Wire)

    def make(self, **options: Any) -> Any:
        """Return a client; the test is skipped where the SDK is not installed."""
        module = pytest.importorskip(self.sdk.name)
        kind = ("Async" if self.asynchronous else "") + self.sdk.client
        http = self.wire.client(self.sdk.name, asynchronous=self.asynchronous)
        options = {"api_key": "test", "base_url": "http://wire.test/", "max_retries": 0, **options}
        return getattr(module, kind)(http_client=http, **options)

    def resource(self, client: Any = None) -> Any:
        """Return the resource that creates."""
        resource = client or self.make()
        for step in self.sdk.create.split("."):
            resource = getattr(resource, step)
        return resource


def beta_of(client: Any) -> Any:
    """Return the client's beta resources where they talk, else None."""
    beta = getattr(client, "beta", None)
    return beta if hasattr(beta, "chat") or hasattr(beta, "messages") else None


class MissingFormError(LookupError):
    """This version of the SDK has no such method anywhere."""


def method(shop: Shop, name: str) -> Any:
    """Return a method of the resource, or of its beta namesake in older SDKs."""
    client = shop.make()
    for home in (client, beta_of(client)):
        found = getattr(home and shop.resource(home), name, None)
        if found is not None:
            return found
    raise MissingFormError(f"{shop.sdk.name} has no {name} here")


async def maybe(value: Any) -> Any:
    """Await what an async client gave; pass on what a sync one gave."""
    return await value if inspect.isawaitable(value) else value


async def items(stream: Any) -> list[Any]:
    """Read a stream to its end, in its own colour."""
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


async def first(stream: Any) -> Any:
    """Take one item."""
    return await anext(stream) if hasattr(stream, "__anext__") else next(stream)


async def close(thing: Any) -> None:
    """Close what has a ``close`` of either colour."""
    await maybe(thing.close())


class Opened:
    """``with`` for a manager of either colour."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def __aenter__(self) -> Any:
        if hasattr(self._manager, "__aenter__"):
            return await self._manager.__aenter__()
        return self._manager.__enter__()

    async def __aexit__(self, *error: object) -> Any:
        if hasattr(self._manager, "__aexit__"):
            return await self._manager.__aexit__(*error)
        return self._manager.__exit__(*error)


# ── the forms ────────────────────────────────────────────────────────────────────────────────────


async def plain(shop: Shop) -> Any:
    return await maybe(shop.resource().create(**shop.sdk.request))


async def stream(shop: Shop) -> Any:
    return await items(await maybe(shop.resource().create(stream=True, **shop.sdk.request)))


async def early_exit(shop: Shop) -> Any:
    opened = await maybe(shop.resource().create(stream=True, **shop.sdk.request))
    item = await first(opened)
    await close(opened)
    return item


async def early_exit_of_with(shop: Shop) -> Any:
    async with Opened(
        await maybe(shop.resource().create(stream=True, **shop.sdk.request))
    ) as opened:
        return await first(opened)


async def dropped(shop: Shop) -> Any:
    opened = await maybe(shop.resource().create(stream=True, **shop.sdk.request))
    item = await first(opened)
    del opened
    gc.collect()
    return item


async def never_read(shop: Shop) -> Any:
    opened = await maybe(shop.resource().create(stream=True, **shop.sdk.request))
    kind = type(opened).__name__
    del opened
    gc.collect()
    return kind


async def raw(shop: Shop) -> Any:
    response = await maybe(shop.resource().with_raw_response.create(**shop.sdk.request))
    return response.status_code, await maybe(response.parse())


async def raw_stream(shop: Shop) -> Any:
    response = await maybe(
        shop.resource().with_raw_response.create(stream=True, **shop.sdk.request)
    )
    return await items(await maybe(response.parse()))


async def streamed_response(shop: Shop) -> Any:
    manager = shop.resource().with_streaming_response.create(**shop.sdk.request)
    async with Opened(manager) as response:
        return await maybe(response.parse())


async def streamed_response_unread(shop: Shop) -> Any:
    manager = shop.resource().with_streaming_response.create(**shop.sdk.request)
    async with Opened(manager) as response:
        return response.status_code


async def streamed_response_stream(shop: Shop) -> Any:
    manager = shop.resource().with_streaming_response.create(stream=True, **shop.sdk.request)
    async with Opened(manager) as response:
        return await items(await maybe(response.parse()))


async def manager(shop: Shop) -> Any:
    async with Opened(method(shop, "stream")(**shop.sdk.request)) as events:
        return len(await items(events))


async def manager_early(shop: Shop) -> Any:
    async with Opened(method(shop, "stream")(**shop.sdk.request)) as events:
        await first(events.__aiter__() if hasattr(events, "__aiter__") else iter(events))
        return 1


async def parse(shop: Shop) -> Any:
    from pydantic import BaseModel

    class Answer(BaseModel):
        because: str

    key = "response_format" if shop.sdk.name == "openai" else "output_format"
    return await maybe(method(shop, "parse")(**{key: Answer}, **shop.sdk.request))


async def beta(shop: Shop) -> Any:
    home = beta_of(shop.make())
    resource = home and shop.resource(home)
    if not hasattr(resource, "create"):
        raise MissingFormError(f"{shop.sdk.name} has no beta create here")
    return await maybe(resource.create(**shop.sdk.request))


async def with_options(shop: Shop) -> Any:
    client = shop.make().with_options(timeout=5)
    return await maybe(shop.resource(client).create(**shop.sdk.request))


async def error(shop: Shop) -> Any:
    return await maybe(shop.resource().create(**shop.sdk.request))


async def broken_stream(shop: Shop) -> Any:
    return await items(await maybe(shop.resource().create(stream=True, **shop.sdk.request)))


async def cancel(shop: Shop) -> Any:
    """The task is cancelled while the provider thinks (async clients only)."""
    task = asyncio.ensure_future(shop.resource().create(**shop.sdk.request))
    for _ in range(20):
        await asyncio.sleep(0.001)
    task.cancel()
    return await task
