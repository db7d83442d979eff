"""The refusal on its way to the caller: never swallowed, never sent, never doubled; and what a guard asks that fails."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections import Counter

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import tokentrace
from hostile.cases import APIS, COLOURS, SDKS, SECRET, expect_traced, perform, request, shop
from hostile.surfaces import TEXT
from hostile.test_every_guard import refusing
from instrument.forms import items, maybe
from instrument.test_verify import FORMS as COUNT_CALLS
from instrument.test_verify import RUBBISH, made, near, patient, server
from tokentrace import Guard, TokenLimitExceeded, schema, testing
from tokentrace.instrument import asking

__all__ = ["patient", "server"]  # fixtures
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::tokentrace.errors.TokenLimitWarning"),
]

LONG = f"{TEXT} " * 200
SHAPES = ["plain", "stream", "raw", "streamed response"]


def asked(where, text=LONG):
    return request(where.sdk.name, messages=[{"role": "user", "content": text}])


def calling(shape, text=LONG):
    """Return what makes a call of a shape, in a place's colour."""

    async def call(where):
        create, body = where.resource().create, asked(where, text)
        if shape == "stream":
            return await items(await maybe(create(stream=True, **body)))
        if shape == "raw":
            return await maybe(where.resource().with_raw_response.create(**body))
        if shape == "streamed response":
            manager = where.resource().with_streaming_response.create(**body)
            if hasattr(manager, "__aenter__"):
                async with manager as response:
                    return await response.parse()
            with manager as response:
                return response.parse()
        return await maybe(create(**body))

    return call


def leaves(error):
    """Return the errors in a group, or the error."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def raised(case, where):
    """Do what a caller does; return what was raised, and demand that nothing was sent."""
    where.wire.set(where.sdk.plain)
    with pytest.raises(Exception) as caught:
        asyncio.run(case(where))
    assert where.wire.requests == []
    return leaves(caught.value)


# ── never swallowed ──────────────────────────────────────────────────────────────────────────────


async def in_a_group(call, where):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(30))
        group.create_task(call(where))


async def shielded(call, where):
    await asyncio.shield(call(where))


async def within(call, where):
    async with asyncio.timeout(60):
        await asyncio.wait_for(call(where), 60)


async def gathered(call, where):
    (error,) = await asyncio.gather(call(where), return_exceptions=True)
    raise error


async def as_completed(call, where):
    for done in asyncio.as_completed([call(where)]):
        await done


async def watched(call, where):
    task, told = asyncio.ensure_future(call(where)), []
    task.add_done_callback(lambda task: told.append(type(task.exception())))
    await asyncio.wait([task])
    assert told == [TokenLimitExceeded]
    await task


async def in_a_thread(call, where):
    await asyncio.to_thread(asyncio.run, call(where))


async def in_a_pool(call, where):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, call(where)).result()


async def on_another_loop(call, where):
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(call(where), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def out_of_a_generator(call, where):
    async def told():
        yield await call(where)

    async for _ in told():
        raise AssertionError


async def through_a_stack(call, where):
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(lambda *_: asyncio.sleep(0))
        await call(where)


async def past_who_catches_the_sdks_own(call, where):
    module = __import__(where.sdk.name)
    with contextlib.suppress(getattr(module, f"{where.sdk.client}Error"), module.APIError, OSError):
        await call(where)


async def while_another_is_handled(call, where):
    try:
        {}["nothing"]
    except LookupError:
        await call(where)


WAYS = {
    way.__name__: way
    for way in (
        in_a_group, shielded, within, gathered, as_completed, watched, in_a_thread, in_a_pool, on_another_loop,
        out_of_a_generator, through_a_stack, past_who_catches_the_sdks_own, while_another_is_handled,
    )
}  # fmt: skip


@pytest.mark.parametrize("shape", ["plain", "stream"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_refusal_arrives_whichever_way_it_takes(sdk, colour, way, shape):
    """GU1, GU4: one error, of our own type; one span with one event; no byte."""
    with expect_traced(guard=refusing(10)) as seen:
        (error,) = raised(lambda where: WAYS[way](calling(shape), where), shop(sdk, colour))
    assert type(error) is TokenLimitExceeded
    assert error.report.decision == seen.call.decision == "refuse"
    (span,) = seen.spans
    assert [event.name for event in span.events] == [schema.LIMIT_EXCEEDED]
    assert span.status.status_code is trace.StatusCode.ERROR


def tool_of(anthropic):
    """Return a tool that says more than fits."""

    @anthropic.beta_tool
    def read_log() -> str:
        """Read the log."""
        return LONG

    return read_log


def test_an_sdk_that_loops_over_tools_hands_a_refusal_on():
    """GU1: the second request of anthropic's own loop is refused: it ends there, and the first was sent."""
    anthropic = pytest.importorskip("anthropic")
    if not hasattr(anthropic, "beta_tool"):
        pytest.skip("this anthropic has no loop over tools")
    use = {"type": "tool_use", "id": "t1", "name": "read_log", "input": {}}
    answer = testing.anthropic_message("", input_tokens=40)
    answer.body.update(content=[use], stop_reason="tool_use")
    where = shop("anthropic", "sync")
    where.wire.set(answer)
    more = {"tools": [tool_of(anthropic)], **asked(where, "Why?")}
    with expect_traced(calls=2, guard=refusing(1_000)) as seen:
        runner = where.make().beta.messages.tool_runner(**more)
        with pytest.raises(TokenLimitExceeded):
            runner.until_done()
        del runner
    assert len(where.wire.requests) == 1
    assert [call.decision for call in seen.calls] == ["ok", "refuse"]


# ── never doubled ────────────────────────────────────────────────────────────────────────────────


async def in_a_block(call, where):
    with tokentrace.llm_call(asked(where), api=APIS[where.sdk.name]):
        await call(where)


async def in_an_async_block(call, where):
    async with tokentrace.llm_call(asked(where), api=APIS[where.sdk.name]):
        await call(where)


async def in_two_blocks(call, where):
    with tokentrace.llm_call(asked(where), api=APIS[where.sdk.name]):
        await in_a_block(call, where)


async def in_a_decorated_function(call, where):
    @tokentrace.llm_call(api=APIS[where.sdk.name])
    async def gateway(body):
        return await call(where)

    await gateway(asked(where))


async def in_a_decorated_generator(call, where):
    @tokentrace.llm_call(api=APIS[where.sdk.name])
    async def gateway(body):
        yield await call(where)

    async for _ in gateway(asked(where)):
        raise AssertionError


async def in_a_turn(call, where):
    with tokentrace.session("s", guard=refusing(20)), tokentrace.turn():
        await call(where)


async def of_a_derived_client(_call, where):
    client = where.make().with_options(timeout=5).copy()
    await maybe(where.resource(client).create(**asked(where)))


NESTED = {
    way.__name__: way
    for way in (
        in_a_block, in_an_async_block, in_two_blocks, in_a_decorated_function, in_a_decorated_generator, in_a_turn,
        of_a_derived_client,
    )
}  # fmt: skip


def decisions(reader):
    """Return what the metric of decisions counts."""
    found = Counter()
    for resource in reader.get_metrics_data().resource_metrics:
        metrics = [metric for scope in resource.scope_metrics for metric in scope.metrics]
        for point in next(m for m in metrics if m.name == schema.DECISIONS).data.data_points:
            found[point.attributes[schema.DECISION]] += point.value
    return found


@pytest.mark.parametrize("shape", ["plain", "raw"])
@pytest.mark.parametrize("way", NESTED)
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_call_inside_another_is_refused_once(sdk, colour, way, shape):
    """GU1: one error, one span, one event and one of the metric, however many hooks a call passes."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    with expect_traced(guard=refusing(10), meter_provider=meters) as seen:
        (error,) = raised(lambda where: NESTED[way](calling(shape), where), shop(sdk, colour))
        assert decisions(reader) == {"refuse": 1}
    meters.shutdown()
    assert type(error) is TokenLimitExceeded
    assert (error.__cause__, error.__context__) == (None, None)
    assert seen.call.decision == "refuse"
    told = [event.name for span in seen.spans for event in span.events]
    assert told == [schema.LIMIT_EXCEEDED]


# ── a callback that calls ────────────────────────────────────────────────────────────────────────


def shortened(body):
    return {**body, "messages": [{"role": "user", "content": "short"}]}


def asks(where, shape):
    """Return a ``compress`` that asks the same client about the same text, in its colour."""

    def compress(body, _report):
        calling_now = calling(shape)(where)
        with pytest.raises(StopIteration):
            calling_now.send(None)  # nothing in it waits
        return shortened(body)

    async def compress_later(body, _report):
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(calling(shape)(where))
        return shortened(body)

    return compress_later if where.asynchronous else compress


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_compress_that_calls_over_its_own_client(sdk, colour, shape):
    """GU4, CO5: calls inside compress are traced and not judged, also in tasks; the outer one is, once."""
    where = shop(sdk, colour)
    inner = 2 if where.asynchronous else 1
    guard = Guard(limit=100, on_exceed="raise", compress=asks(where, shape))

    def answer(sent):
        return where.sdk.stream if sent.body.get("stream") else where.sdk.plain

    with expect_traced(calls=inner + 1, guard=guard) as seen:
        result = perform(calling(shape), where, answer)
    assert result.error is None
    texts = [sent.body["messages"][0]["content"] for sent in result.requests]
    assert texts == [LONG] * inner + ["short"]
    assert Counter(call.decision for call in seen.calls) == {"off": inner, "compress": 1}


# ── what is asked and fails ──────────────────────────────────────────────────────────────────────


class OddError(BaseException):
    """As the panic of a library in Rust."""


def raises(_body):
    raise LookupError(SECRET)


def panics(_body):
    raise OddError


async def raises_later(body):
    await asyncio.sleep(0)
    raises(body)


async def nothing_later(_body):
    await asyncio.sleep(0)


# a callable for ``verify``, and the internal errors it means
VERIFY = {
    "raises": (raises, {"LookupError"}),
    "panics": (panics, {"OddError"}),
    "raises later": (raises_later, {"LookupError"}),
    "gives nothing later": (nothing_later, None),
    "takes nothing": (lambda: 5, {"TypeError"}),
    "changes its copy": (dict.clear, None),
    "gives a text": (lambda _body: "5", None),
    "gives a negative number": (lambda _body: -5, None),
    "gives a fraction": (lambda _body: 5.5, None),
    "gives no number": (lambda _body: float("nan"), None),
    "gives a switch": (lambda _body: True, None),
    "gives a body": (dict, None),
}


@pytest.mark.parametrize("shape", ["plain", "stream"])
@pytest.mark.parametrize("kind", VERIFY)
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_verify_that_fails_leaves_the_verdict_to_the_count(sdk, colour, kind, shape):
    """GU3: near the limit the call leaves, with one warning; surely above it, it is refused unasked."""
    where = shop(sdk, colour)
    verify, errors = VERIFY[kind]
    if "later" in kind and not where.asynchronous:
        errors = {"TypeError"}
    reply = where.sdk.stream if shape == "stream" else where.sdk.plain
    total = tokentrace.count(asked(where), api=APIS[sdk], provider="x").total
    with expect_traced(
        errors=errors, guard=Guard(limit=total, verify=verify, on_exceed="raise")
    ) as seen:
        result = perform(calling(shape), where, reply)
    assert (result.error, len(result.sent), seen.call.decision) == (None, 1, "warn")
    assert seen.call.method != "provider"
    with expect_traced(guard=Guard(limit=10, verify=verify, on_exceed="raise")):
        assert perform(calling(shape), where, reply).sent == []


FAILING = ["a broken server", "a text"]


@pytest.mark.parametrize("rubbish", FAILING)
@pytest.mark.parametrize(("kind", "stream", "asynchronous"), COUNT_CALLS)
def test_a_providers_count_that_fails(server, kind, stream, asynchronous, rubbish):
    """GU3: in every form of a call: asked once, not tried again, and sent as it was counted."""
    total, error = kind.bounds()
    server.answer, server.count = kind.answer[stream], RUBBISH[rubbish]
    with testing.capture(guard=near(total + 10)) as captured:
        made(kind, server.url, stream=stream, asynchronous=asynchronous)
    assert (len(server.asked), len(server.sent)) == (1, 1)
    (call,) = captured.calls
    assert (call.tokens, call.error, call.decision) == (total, error, "warn")


@pytest.mark.parametrize(("kind", "stream", "asynchronous"), COUNT_CALLS)
def test_a_providers_count_that_hangs(server, monkeypatch, kind, stream, asynchronous):
    """GU3: in every form of a call: after its time the call is sent, while the count still hangs."""
    monkeypatch.setattr(asking, "SECONDS", 0.2)
    total, error = kind.bounds()
    server.answer = kind.answer[stream]
    server.gate.clear()
    with testing.capture(guard=near(total + 10)) as captured:
        made(kind, server.url, stream=stream, asynchronous=asynchronous)
    assert not server.gate.is_set()
    (call,) = captured.calls
    assert (len(server.sent), call.tokens, call.error, call.decision) == (1, total, error, "warn")
