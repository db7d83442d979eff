"""Threads, tasks, interrupts, and host code that comes back into us."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

import tokentrace
from hostile.cases import (
    COLOURS,
    SDKS,
    Shop,
    check_case,
    creating,
    expect_traced,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from instrument.forms import items, maybe
from tokentrace import _failsafe, testing
from tokentrace.testing import Wire, openai_chat

LONG = [{"role": "user", "content": "far above any bound of its count " * 50}]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("sdk", SDKS)
def test_eight_threads(sdk):
    """CO1: 8 threads of 12 calls are 96 spans, and each call gets its own answer."""
    where = shop(sdk, "sync")
    where.wire.set(plain_reply(sdk))
    resource = where.resource()

    def work(n):
        kwargs = request(sdk, messages=[{"role": "user", "content": f"call {n} " * (n + 1)}])
        return [resource.create(**kwargs).id for _ in range(12)]

    with expect_traced(calls=96) as seen, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(work, range(8)))
    assert sum(map(len, answers)) == 96
    own = {call.tokens for call in seen.calls if call.method != "anchored"}
    assert len(own) == 8  # the others go on from the one number that the wire always reports


@pytest.mark.parametrize("sdk", SDKS)
def test_fifty_tasks(sdk):
    """CO1: a gather of 50, half of them streams, is 50 spans with the parent of each task."""
    where = shop(sdk, "async")
    where.wire.set(lambda sent: stream_reply(sdk) if sent.body.get("stream") else plain_reply(sdk))

    async def one(n):
        kwargs = request(sdk, **({"stream": True} if n % 2 else {}))
        result = await where.resource().create(**kwargs)
        return await items(result) if n % 2 else result

    async def run():
        return await asyncio.gather(*(one(n) for n in range(50)))

    with expect_traced(calls=50) as seen:
        assert len(asyncio.run(run())) == 50
    assert {call.usage.input for call in seen.calls} == {13}
    assert len({call.parent_id for call in seen.calls}) == 1


class Slow(Wire):
    """A wire of an async client that never answers."""

    def client(self, sdk, *, asynchronous=False):
        async def wait(request):
            self.requests.append(request)
            await asyncio.sleep(30)

        library = testing.http_library(sdk)
        return library.AsyncClient(transport=library.MockTransport(wait))


async def by_cancel(call):
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0.02)
    task.cancel()
    await task


async def by_timeout(call):
    async with asyncio.timeout(0.02):
        await call


async def by_wait_for(call):
    await asyncio.wait_for(call, 0.02)


async def by_gather(call):
    async def fails():
        await asyncio.sleep(0.02)
        raise LookupError("the other one")

    task = asyncio.ensure_future(call)
    try:
        await asyncio.gather(fails(), task)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def by_group(call):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(call)
        await asyncio.sleep(0.02)
        task.cancel()


@pytest.mark.parametrize("how", [by_cancel, by_timeout, by_wait_for, by_gather, by_group])
@pytest.mark.parametrize("sdk", SDKS)
def test_cancelled_in_create(sdk, how):
    """CO2: every way to cancel keeps its meaning; the span ends with the type."""
    where = Shop(SDKS[sdk], asynchronous=True, wire=Slow(plain_reply(sdk)))

    async def run():
        await how(where.resource().create(**request(sdk)))

    def outcome():
        try:
            asyncio.run(run())
        except BaseException as error:
            return type(error)

    bare = outcome()
    with expect_traced() as seen:
        result = outcome()
    assert result is bare
    assert seen.call.error_type == "asyncio.CancelledError"


@pytest.mark.parametrize("sdk", SDKS)
def test_a_coroutine_that_is_never_awaited(sdk):
    """CO2: no call is made, no span lies open."""
    where = shop(sdk, "async")

    async def run():
        where.resource().create(**request(sdk)).close()

    with expect_traced(calls=None):
        asyncio.run(run())


@pytest.mark.parametrize("sdk", SDKS)
def test_messages_mutated_during_the_call(sdk):
    """CO3: another thread edits the caller's list all the while; only the SDK's own errors come."""
    where = shop(sdk, "sync")
    where.wire.set(plain_reply(sdk))
    messages = [{"role": "user", "content": f"message {n}"} for n in range(50)]
    stop = threading.Event()

    def edit():
        n = 0
        while not stop.is_set():
            n += 1
            messages[n % 50 : n % 50 + 1] = [{"role": "user", "content": f"edited {n}"}] * (n % 3)
            if len(messages) < 50:
                messages.extend({"role": "user", "content": "more"} for _ in range(50))
            messages[0]["content"] = "x" * (n % 100)
            del messages[200:]
            time.sleep(0.0001)

    editor = threading.Thread(target=edit)
    with expect_traced(calls=40) as seen:
        editor.start()
        try:
            for _ in range(40):
                where.resource().create(**request(sdk, messages=messages))
        finally:
            stop.set()
            editor.join()
    assert all(call.tokens > 0 for call in seen.calls)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("form", ["create", "stream"])
@pytest.mark.parametrize("sdk", SDKS)
def test_interrupts_pass(sdk, form, kind):
    """CO4: what the interpreter or the user throws goes through, and the span ends with it."""
    where = shop(sdk, "sync")

    def answer(_sent):
        if form == "create":
            raise kind("stop")
        return Interrupted(kind, stream_reply(sdk))

    where.wire.set(answer)
    stream = {"stream": True} if form == "stream" else {}
    with expect_traced() as seen, pytest.raises(kind):
        list(where.resource().create(**request(sdk, **stream)))
    assert seen.call.error_type.endswith(kind.__name__)


class Interrupted:
    """A stream in which the interpreter throws after two events."""

    def __init__(self, kind, reply):
        self.kind, self.reply = kind, reply
        self.status, self.headers, self.events = 200, {}, reply.events

    def chunks(self):
        for n, piece in enumerate(self.reply.chunks()):
            if n == 2:
                raise self.kind("stop")
            yield piece


class Recursive(logging.Handler):
    """A handler that asks the model about every log record, as some alerting does."""

    def __init__(self, where, fails=False):
        super().__init__(logging.WARNING)
        self.where, self.fails, self.calls = where, fails, 0

    def emit(self, record):
        self.calls += 1
        assert self.calls < 50
        self.where.resource().create(**request(self.where.sdk.name, model="unknown-to-all"))
        if self.fails:
            raise RuntimeError("the host's own handler failed")


@pytest.mark.filterwarnings("ignore::tokentrace.errors.TokenLimitWarning")
@pytest.mark.parametrize("sdk", SDKS)
def test_a_log_handler_that_calls_the_model(sdk):
    """CO5: our own log line leads to a call that leads to a log line: it ends."""
    where = shop(sdk, "sync")
    where.wire.set(plain_reply(sdk))
    handler = Recursive(where)
    _failsafe.LOG.addHandler(handler)
    try:
        with expect_traced(calls=None, guard=tokentrace.Guard(limit=1)) as seen:
            where.resource().create(**request(sdk, model="unknown-too"))
    finally:
        _failsafe.LOG.removeHandler(handler)
    assert handler.calls >= 1
    assert len(seen.calls) == handler.calls + 1


@pytest.mark.filterwarnings("ignore::tokentrace.errors.TokenLimitWarning")
@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("sdk", SDKS)
def test_a_log_handler_that_fails(sdk, limit):
    """CO5: a handler of the host that raises costs a record, never the call."""
    where = shop(sdk, "sync")
    where.wire.set(plain_reply(sdk))

    class Broken(logging.Handler):
        def emit(self, record):
            raise RuntimeError("the host's own handler failed")

    handler = Broken()
    _failsafe.LOG.addHandler(handler)
    try:
        with expect_traced(
            errors={"ZeroDivisionError", "log handler"}, guard=tokentrace.Guard(limit=limit)
        ) as seen:
            answer = where.resource().create(**request(sdk, model="unknown-to-all", messages=LONG))
            assert _failsafe.attempt(lambda: 1 // 0, default=5) == 5
            _failsafe.warn_once("a key", "a warning")
    finally:
        _failsafe.LOG.removeHandler(handler)
    assert answer.id
    assert seen.call.error_type == ""
    assert seen.call.usage.input == 13


@pytest.mark.parametrize("sdk", SDKS)
def test_showwarning_that_fails(sdk, monkeypatch):
    """CO5: a host that replaced ``warnings.showwarning`` badly still gets its answer."""
    where = shop(sdk, "sync")

    def broken(*_args, **_kwargs):
        raise RuntimeError("the host's own showwarning failed")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's own, of the model
        monkeypatch.setattr(warnings, "showwarning", broken)
        check_case(
            creating(lambda kind: request(kind, messages=LONG)),
            where,
            plain_reply(sdk),
            errors={"RuntimeError"},
            guard=tokentrace.Guard(limit=1),
        )


@pytest.mark.parametrize("colour", COLOURS)
def test_uninstrument_while_calls_run(colour):
    """LI1: hooks come and go under running calls; every call gets its answer."""
    where = shop("openai", colour)
    where.wire.set(plain_reply("openai"))
    stop = threading.Event()

    def toggle():
        while not stop.is_set():
            tokentrace.instrument(exporter="none")
            tokentrace.uninstrument()

    toggler = threading.Thread(target=toggle)
    before = dict(_failsafe.failures)
    toggler.start()

    async def run():
        return [(await maybe(where.resource().create(**request("openai")))).id for _ in range(60)]

    try:
        answers = asyncio.run(run())
    finally:
        stop.set()
        toggler.join()
        tokentrace.uninstrument()
    assert answers == ["chatcmpl-1"] * 60
    assert dict(_failsafe.failures) == before


def test_what_was_sent_under_concurrency_is_what_was_counted():
    """CO1: counts of concurrent conversations never mix."""
    where = shop("openai", "sync")
    where.wire.set(
        lambda sent: openai_chat(
            "ok", prompt_tokens=tokentrace.count(sent.body, api="openai.chat").total
        )
    )

    def talk(n):
        messages, sizes = [], []
        for turn in range(6):
            messages.append({"role": "user", "content": f"{'word ' * n} turn {turn}"})
            where.resource().create(**request("openai", messages=list(messages)))
            body = {"model": "gpt-4o", "messages": list(messages)}
            sizes.append(json.dumps(body))
        return sizes

    with expect_traced(calls=48) as seen, ThreadPoolExecutor(8) as pool:
        bodies = [json.loads(body) for sizes in pool.map(talk, range(1, 9)) for body in sizes]
    expected = sorted(tokentrace.count(body, api="openai.chat").total for body in bodies)
    assert sorted(call.tokens for call in seen.calls) == expected
