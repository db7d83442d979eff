"""Streams that nobody reads properly: dropped, closed twice, handed to other threads and tasks."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
import weakref

import pytest
from opentelemetry import context, trace

from hostile.cases import (
    COLOURS,
    SDKS,
    check_case,
    expect_traced,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from instrument.forms import close, first, items, maybe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def opened(where):
    return await maybe(where.resource().create(stream=True, **request(where.sdk.name)))


# ── what a caller may do with a stream; each returns what it saw ─────────────────────────────────


async def reads_all(where):
    return await items(await opened(where))


async def breaks_off(where):
    stream = await opened(where)
    seen = []
    if where.asynchronous:
        async for item in stream:
            seen.append(item)
            break
    else:
        for item in stream:
            seen.append(item)
            break
    del stream
    gc.collect()
    return seen


async def never_reads(where):
    stream = await opened(where)
    kind = type(stream)
    del stream
    gc.collect()
    return kind.__name__


async def closes_twice(where):
    stream = await opened(where)
    item = await first(stream)
    await close(stream)
    await close(stream)
    return item, stream.response.is_closed


async def closes_at_once(where):
    stream = await opened(where)
    await close(stream)
    return await items(stream)


async def closes_at_the_end(where):
    stream = await opened(where)
    seen = await items(stream)
    await close(stream)
    return seen


async def reads_after_close(where):
    stream = await opened(where)
    item = await first(stream)
    await close(stream)
    return item, await items(stream)


async def reads_twice(where):
    stream = await opened(where)
    return await items(stream), await items(stream)


async def reads_past_the_end(where):
    stream = await opened(where)
    await items(stream)
    return await first(stream)


async def fails_in_with(where):
    stream = await opened(where)
    if where.asynchronous:
        async with stream:
            await first(stream)
            raise LookupError("the caller's own")
    with stream:
        await first(stream)
        raise LookupError("the caller's own")


async def fails_in_loop(where):
    stream = await opened(where)
    if where.asynchronous:
        async for _ in stream:
            raise LookupError("the caller's own")
    for _ in stream:
        raise LookupError("the caller's own")


async def looks_at_it(where):
    """Types and attributes are the SDK's."""
    stream = await opened(where)
    seen = [
        type(stream).__mro__[0].__name__,
        stream.response.status_code,
        stream.response.headers["content-type"],
        sorted(name for name in dir(stream) if not name.startswith("__")),
        hasattr(stream, "__len__"),
        isinstance(stream, type(stream)),
    ]
    await close(stream)
    return seen


async def copies_it(where):
    stream = await opened(where)
    twin = copy.copy(stream)
    return await items(twin)


async def pickles_it(where):
    return pickle.dumps(await opened(where))


async def pickles_a_read_response(where):
    """A response that was streamed and read can be pickled for a cache."""
    manager = where.resource().with_streaming_response.create(**request(where.sdk.name))
    if where.asynchronous:
        async with manager as response:
            await response.read()
            return len(pickle.loads(pickle.dumps(response.http_response)).content)
    with manager as response:
        response.read()
        return len(pickle.loads(pickle.dumps(response.http_response)).content)


async def takes_the_iterator(where):
    stream = await opened(where)
    iterator = stream.__aiter__() if where.asynchronous else iter(stream)
    del stream
    gc.collect()
    return await items(iterator)


async def closes_the_iterator(where):
    stream = await opened(where)
    iterator = stream.__aiter__() if where.asynchronous else iter(stream)
    item = await first(iterator)
    await maybe(iterator.aclose() if where.asynchronous else iterator.close())
    del stream, iterator
    gc.collect()
    return item


async def raw_lines(where):
    manager = where.resource().with_streaming_response.create(
        stream=True, **request(where.sdk.name)
    )
    if where.asynchronous:
        async with manager as response:
            return [line async for line in response.iter_lines()]
    with manager as response:
        return list(response.iter_lines())


async def raw_bytes_broken_off(where):
    manager = where.resource().with_streaming_response.create(
        stream=True, **request(where.sdk.name)
    )
    if where.asynchronous:
        async with manager as response:
            async for piece in response.iter_bytes():
                return piece
    with manager as response:
        for piece in response.iter_bytes():
            return piece
    return None


async def parses_twice(where):
    raw = await maybe(
        where.resource().with_raw_response.create(stream=True, **request(where.sdk.name))
    )
    stream = await maybe(raw.parse())
    again = await maybe(raw.parse())
    return stream is again, await items(again)


async def never_parses(where):
    raw = await maybe(
        where.resource().with_raw_response.create(stream=True, **request(where.sdk.name))
    )
    status = raw.status_code
    del raw
    gc.collect()
    return status


async def manager_never_entered(where):
    manager = where.resource().stream(**request(where.sdk.name))
    close_it = getattr(manager, "_api_request", None) or getattr(
        manager, "_MessageStreamManager__api_request", None
    )
    if hasattr(close_it, "close"):
        close_it.close()
    kind = type(manager).__name__
    del manager, close_it
    gc.collect()
    return kind


ACTS = {
    act.__name__: act
    for act in (
        reads_all, breaks_off, never_reads, closes_twice, closes_at_once, closes_at_the_end,
        reads_after_close, reads_twice, reads_past_the_end, fails_in_with, fails_in_loop, looks_at_it,
        copies_it, pickles_it, pickles_a_read_response, takes_the_iterator, closes_the_iterator, raw_lines,
        raw_bytes_broken_off, parses_twice, never_parses,
    )
}  # fmt: skip


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("sdk", SDKS)
def test_whatever_is_done_with_a_stream(sdk, act, colour):
    """ST1-5: one span, ended once; the host sees what it would see."""
    reply = plain_reply(sdk) if act == "pickles_a_read_response" else stream_reply(sdk)
    seen = check_case(ACTS[act], shop(sdk, colour), reply)
    assert seen.call.end >= seen.call.start


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_manager_that_is_never_entered(sdk, colour):
    """ST1: what was never sent is no call, and nothing lies open."""
    check_case(manager_never_entered, shop(sdk, colour), stream_reply(sdk), calls=None)


@pytest.mark.parametrize("sdk", SDKS)
def test_usage_of_a_stream_that_was_read(sdk):
    """A fully read stream reports as a plain call does; a broken one what it knew."""
    whole = check_case(reads_all, shop(sdk, "sync"), stream_reply(sdk))
    part = check_case(breaks_off, shop(sdk, "sync"), stream_reply(sdk))
    assert whole.call.usage.input == 13
    assert part.call.usage.input == (13 if sdk == "anthropic" else None)
    assert (whole.call.error_type, part.call.error_type) == ("", "")


@pytest.mark.parametrize("colour", COLOURS)
def test_abandoned_streams_leave_nothing(colour):
    """ST1, RB2: a hundred streams in every state of neglect: a hundred spans, no stream alive."""
    where = shop("openai", colour)
    alive = weakref.WeakSet()

    async def neglect():
        for n in range(100):
            stream = await opened(where)
            alive.add(stream)
            for _ in range(n % 3):
                await first(stream)
            if n % 5 == 0:
                await close(stream)
            del stream
        gc.collect()

    with expect_traced(calls=100):
        where.wire.set(stream_reply("openai"))
        asyncio.run(neglect())
        gc.collect()
        assert not len(alive)


# ── threads and tasks ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sdk", SDKS)
def test_a_stream_read_in_another_thread(sdk):
    """ST4: opened here, read there."""

    async def case(where):
        stream, seen = await opened(where), []
        reader = threading.Thread(target=lambda: seen.extend(stream))
        reader.start()
        reader.join()
        return seen

    check_case(case, shop(sdk, "sync"), stream_reply(sdk))


@pytest.mark.parametrize("sdk", SDKS)
def test_a_stream_closed_in_another_thread(sdk):
    """ST4: half read here, closed there."""

    async def case(where):
        stream = await opened(where)
        item = next(stream)
        closer = threading.Thread(target=stream.close)
        closer.start()
        closer.join()
        return item

    check_case(case, shop(sdk, "sync"), stream_reply(sdk))


@pytest.mark.parametrize("sdk", SDKS)
def test_a_stream_read_and_closed_by_three_tasks(sdk):
    """ST4: opened in one task, read in a second, closed in a third."""

    async def case(where):
        stream = await asyncio.create_task(opened(where))
        item = await asyncio.create_task(first(stream))
        await asyncio.create_task(close(stream))
        return item

    check_case(case, shop(sdk, "async"), stream_reply(sdk))


@pytest.mark.parametrize("sdk", SDKS)
def test_a_stream_that_outlives_its_loop(sdk):
    """ST4: the loop is gone before the stream is."""
    where = shop(sdk, "async")

    async def half():
        stream = await opened(where)
        await first(stream)
        return stream

    where.wire.set(stream_reply(sdk))
    with expect_traced():
        left = asyncio.run(half())
        del left
        gc.collect()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_the_current_span_while_reading(sdk, colour):
    """ST6: between opening and end the host's own span and context stay current."""
    where = shop(sdk, colour)
    where.wire.set(stream_reply(sdk))

    async def case():
        span, inside = trace.get_current_span(), context.get_current()
        stream = await opened(where)
        for _ in range(3):
            assert trace.get_current_span() is span
            assert context.get_current() is inside
            await first(stream)
        await items(stream)
        assert trace.get_current_span() is span

    with expect_traced():
        asyncio.run(case())


@pytest.mark.parametrize("sdk", SDKS)
def test_cancelled_inside_a_stream(sdk):
    """CO2: cancellation while an item is awaited passes and ends the span with its type."""

    async def case(where):
        stream = await opened(where)
        await first(stream)
        source = stream._iterator

        async def stuck():
            await asyncio.sleep(30)

        async def read():
            await asyncio.wait_for(stuck(), 0.01)
            return source

        try:
            await read()
        finally:
            await close(stream)

    seen = check_case(case, shop(sdk, "async"), stream_reply(sdk))
    assert seen.bare.error[0] == "TimeoutError"
