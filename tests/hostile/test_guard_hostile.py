"""Guards whose callbacks fail, whose limits are borderline, and errors that travel."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import traceback
import warnings

import pytest

import tokentrace
from hostile.cases import (
    COLOURS,
    SDKS,
    SECRET,
    check_case,
    creating,
    expect_traced,
    perform,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from tokentrace import Guard, TokenLimitExceeded, TokenLimitWarning

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::tokentrace.errors.TokenLimitWarning"
)

LONG = [{"role": "user", "content": f"{SECRET} far above any bound of its count " * 50}]
SHORT = [{"role": "user", "content": "short"}]
LIMIT = 100
OPENAI = "https://api.openai.com/v1/"  # counts are exact at the maker's own; nothing goes there


def asking(**changes):
    return creating(lambda kind: request(kind, messages=LONG, **changes))


def exactly():
    return tokentrace.count(request("openai"), api="openai.chat").total


# ── GU1, GU3 ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, False), (-1, True)])
def test_at_the_limit(more, refused):
    """GU3: exactly at the limit leaves; one token above does not, and no byte of it."""
    guard = Guard(limit=exactly() + more, on_exceed="raise")
    with expect_traced(guard=guard) as seen:
        result = perform(creating(request), shop("openai", "sync", OPENAI), plain_reply("openai"))
    assert (result.error is not None, bool(result.sent)) == (refused, not refused)
    assert seen.call.decision == ("refuse" if refused else "warn")


@pytest.mark.parametrize("limit", [0, 1])
def test_the_smallest_limits(limit):
    """GU3: a limit of nothing refuses everything."""
    with expect_traced(guard=Guard(limit=limit, on_exceed="raise")):
        assert perform(asking(), shop("openai", "async"), plain_reply("openai")).sent == []


@pytest.mark.parametrize(
    "limit", [-1, 1.5, "100", True, float("nan"), 2**53, {"*": -1}, {"*": "1"}, {1: 1}, []]
)
def test_odd_limits_are_refused_at_construction(limit):
    """GU3: a limit that is none is the caller's error, at once, before any call."""
    with pytest.raises((TypeError, ValueError)):
        Guard(limit=limit)


def test_a_refusal_tells_no_content():
    """GU1, SE1: error, report, traceback and span hold numbers and known names only."""
    with (
        expect_traced(guard=Guard(limit=LIMIT, on_exceed="raise")) as seen,
        pytest.raises(TokenLimitExceeded) as caught,
    ):
        shop("openai", "sync").resource().create(**request("openai", messages=LONG))
    error = caught.value
    assert SECRET not in str(error)
    assert SECRET not in repr(error.report)
    assert SECRET not in "".join(traceback.format_exception_only(error))
    import openai

    assert not isinstance(error, openai.OpenAIError)
    assert error.report.count.limit == LIMIT
    assert seen.call.error_type == "tokentrace.TokenLimitExceeded"


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_refusal_travels(how):
    """GU1: across processes and copies the refusal keeps its report."""
    with (
        expect_traced(guard=Guard(limit=LIMIT, on_exceed="raise")),
        pytest.raises(TokenLimitExceeded) as caught,
    ):
        shop("openai", "sync").resource().create(**request("openai", messages=LONG))
    twin = how(caught.value)
    assert type(twin) is TokenLimitExceeded
    assert (str(twin), twin.report.count) == (str(caught.value), caught.value.report.count)


@pytest.mark.parametrize("gathered", [True, False])
@pytest.mark.parametrize("sdk", SDKS)
def test_a_refusal_among_tasks(sdk, gathered):
    """GU4: one refused task of five: it alone fails, or it brings its group down as any error."""
    where = shop(sdk, "async")
    where.wire.set(plain_reply(sdk))

    async def run():
        create = where.resource().create
        calls = [create(**request(sdk, messages=LONG if n == 2 else SHORT)) for n in range(5)]
        return await asyncio.gather(*calls, return_exceptions=gathered)

    with expect_traced(calls=5, guard=Guard(limit=LIMIT, on_exceed="raise")):
        if gathered:
            results = asyncio.run(run())
            assert [type(r) is TokenLimitExceeded for r in results] == [
                False,
                False,
                True,
                False,
                False,
            ]
        else:
            with pytest.raises(TokenLimitExceeded):
                asyncio.run(settle(run))


async def settle(run):
    try:
        return await run()
    finally:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


def test_a_refused_call_is_not_retried():
    """GU1: the SDK's own retries do not see the refusal."""
    where = shop("openai", "sync")
    where.wire.set(plain_reply("openai"))
    client = where.make(max_retries=5)
    with (
        expect_traced(guard=Guard(limit=LIMIT, on_exceed="raise")),
        pytest.raises(TokenLimitExceeded),
    ):
        where.resource(client).create(**request("openai", messages=LONG))
    assert where.wire.requests == []


# ── GU2 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_warning_comes_once(sdk, colour):
    """GU2: a conversation that stays above its limit is warned of once, and every call goes on."""
    where = shop(sdk, colour)
    with (
        warnings.catch_warnings(record=True) as caught,
        expect_traced(calls=4, guard=Guard(limit=LIMIT)),
    ):
        warnings.simplefilter("always")
        for _ in range(4):
            assert perform(asking(), where, plain_reply(sdk)).error is None
    assert len([one for one in caught if issubclass(one.category, TokenLimitWarning)]) == 1


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_warning_that_is_an_error(sdk, colour):
    """GU2: under ``-W error`` the warning reaches the caller before any byte is sent; the span ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", TokenLimitWarning)
        with expect_traced(guard=Guard(limit=LIMIT)) as seen:
            result = perform(asking(), shop(sdk, colour), plain_reply(sdk))
    assert result.error[0] == "TokenLimitWarning"
    assert result.sent == []
    assert seen.call.error_type.endswith("TokenLimitWarning")


# ── callbacks ────────────────────────────────────────────────────────────────────────────────────


def raises(*_args):
    raise LookupError(f"the application's own callback: {SECRET}")


def mutates(body, _report):
    body.clear()


def empties(body, _report):
    body["messages"].clear()


def cuts(body, _report):
    return {**body, "messages": body["messages"][-1:] and SHORT}


def doubles(body, _report):
    return {**body, "messages": body["messages"] * 2}


async def doubles_later(body, report):
    await asyncio.sleep(0)
    return doubles(body, report)


async def cuts_later(body, _report):
    await asyncio.sleep(0)
    return {**body, "messages": SHORT}


async def raises_later(*_args):
    await asyncio.sleep(0)
    raise LookupError("the application's own callback")


def recurses(body, _report):
    where = shop("openai", "sync")
    kept, requests = where.wire._replies, where.wire.requests
    where.wire.set(plain_reply("openai"))
    where.resource().create(**request("openai", messages=LONG))
    where.wire._replies, where.wire.requests = kept, requests
    return {**body, "messages": SHORT}


# name: compress, whether the shortened body leaves, internal errors, calls traced
COMPRESS = {
    "raises": (raises, False, {"LookupError"}),
    "returns None": (lambda *_: None, False, None),
    "returns a list": (lambda *_: [1], False, {"TypeError"}),
    "returns a text": (lambda *_: "shorter", False, {"TypeError"}),
    "returns the same": (lambda body, _: body, False, None),
    "returns an empty body": (lambda *_: {}, None, None),
    "takes other arguments": (dict, False, {"TypeError"}),
    "is a class": (dict, None, {"TypeError"}),
    "empties its copy": (mutates, False, None),
    "empties the messages of its copy": (empties, False, None),
    "cuts": (cuts, True, None),
    "gives more": (doubles, False, {"ValueError"}),
    "gives more, later": (doubles_later, False, {"ValueError"}),
    "is async": (cuts_later, True, None),
    "is async and raises": (raises_later, False, {"LookupError"}),
}


@pytest.mark.parametrize("on_exceed", ["warn", "raise"])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("sdk", SDKS)
def test_compress_of_any_kind(sdk, name, colour, on_exceed):
    """GU4: a compress that fails is counted and on_exceed applies; one that works is what leaves."""
    compress, cut, errors = COMPRESS[name]
    if inspect.iscoroutinefunction(compress) and colour == "sync":
        cut, errors = False, {"TypeError"}
    where = shop(sdk, colour)
    bare = perform(asking(), where, plain_reply(sdk))
    with expect_traced(
        errors=errors, guard=Guard(limit=LIMIT, compress=compress, on_exceed=on_exceed)
    ) as seen:
        result = perform(asking(), where, plain_reply(sdk))
    if cut is None:
        return
    if cut:
        assert result.requests[0].body["messages"] == SHORT
        assert seen.call.decision == "compress"
        assert seen.call.compressed_tokens > 0
    elif on_exceed == "raise":
        assert (result.error[0], result.sent) == ("TokenLimitExceeded", [])
    else:
        assert (result.error, result.value, result.sent) == (bare.error, bare.value, bare.sent)


def test_compress_that_calls_the_model():
    """GU4: an LLM call inside compress is traced and not guarded; the outer one goes on."""
    where = shop("openai", "sync")
    with expect_traced(
        calls=2, guard=Guard(limit=LIMIT, compress=recurses, on_exceed="raise")
    ) as seen:
        assert perform(asking(), where, plain_reply("openai")).error is None
    assert sorted(call.decision for call in seen.calls) == ["compress", "off"]


@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, TokenLimitExceeded]
)
def test_what_passes_through_a_callback(kind):
    """CO4: interrupts and refusals out of compress reach the caller, before anything is sent."""
    where = shop("openai", "sync")
    where.wire.set(plain_reply("openai"))

    def compress(_body, report):
        raise kind(report) if kind is TokenLimitExceeded else kind()

    with (
        expect_traced(calls=None, guard=Guard(limit=LIMIT, compress=compress)),
        pytest.raises(kind),
    ):
        where.resource().create(**request("openai", messages=LONG))
    assert where.wire.requests == []


def test_cancelled_in_an_async_compress():
    """CO2: cancellation while compress is awaited passes, and nothing is sent."""
    where = shop("openai", "async")
    where.wire.set(plain_reply("openai"))

    async def compress(_body, _report):
        await asyncio.sleep(30)

    async def run():
        async with asyncio.timeout(0.02):
            await where.resource().create(**request("openai", messages=LONG))

    with (
        expect_traced(calls=None, guard=Guard(limit=LIMIT, compress=compress)),
        pytest.raises(TimeoutError),
    ):
        asyncio.run(run())
    assert where.wire.requests == []


async def later(_report):
    return None


# name: arguments of the guard, internal errors
CALLBACKS = {
    "on_exceed raises": ({"limit": LIMIT, "on_exceed": raises}, {"LookupError"}),
    "on_exceed returns": ({"limit": LIMIT, "on_exceed": lambda _report: SECRET}, None),
    "on_exceed is async": ({"limit": LIMIT, "on_exceed": later}, {"TypeError"}),
    "on_exceed takes nothing": ({"limit": LIMIT, "on_exceed": lambda: None}, {"TypeError"}),
    "limit raises": ({"limit": raises}, {"LookupError"}),
    "limit returns None": ({"limit": lambda _model: None}, None),
    "limit returns a text": ({"limit": lambda _model: "100"}, None),
    "limit returns NaN": ({"limit": lambda _model: float("nan")}, None),
    "limit returns -1": ({"limit": lambda _model: -1}, None),
    "limits match nothing": ({"limit": {"no-such-*": 1}}, None),
    "limits are odd patterns": ({"limit": {"[": 1, "": 2, "**[!": 3}}, None),
    "components": ({"components": {"user": 1, "nothing": 0, "\ud800": 1}}, None),
    "no thresholds": ({"thresholds": (), "limit": LIMIT}, None),
    "verify unasked": ({"verify": raises}, None),
}


@pytest.mark.parametrize("form", ["create", "stream"])
@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("sdk", SDKS)
def test_callbacks_of_any_kind(sdk, name, form):
    """GU2: whatever a callback does, a guard that only warns changes nothing for the host."""
    arguments, errors = CALLBACKS[name]
    stream = {"stream": True} if form == "stream" else {}
    reply = stream_reply(sdk) if stream else plain_reply(sdk)
    seen = check_case(
        asking(**stream), shop(sdk, "sync"), reply, errors=errors, guard=Guard(**arguments)
    )
    assert seen.call.usage.input == 13


@pytest.mark.parametrize(
    ("verify", "errors"),
    [
        (raises, {"LookupError"}),
        (lambda _body: None, None),
        (lambda _body: "5", None),
        (lambda _body: -5, None),
    ],
)
def test_verify_of_any_kind(verify, errors):
    """GU3: a verify callback that does not help leaves an uncertain call alone."""
    counted = tokentrace.count(request("anthropic", messages=LONG), api="anthropic.messages")
    guard = Guard(limit=counted.total, verify=verify, on_exceed="raise")
    seen = check_case(
        asking(), shop("anthropic", "sync"), plain_reply("anthropic"), errors=errors, guard=guard
    )
    assert seen.call.decision == "warn"
