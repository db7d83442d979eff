"""The guard under stress, at every hook row: generated over the surfaces of all SDKs."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import tokentrace
from hostile.cases import (
    COLOURS,
    check_case,
    errors_in,
    expect_traced,
    instrumented,
    listening,
    perform,
    shop,
)
from hostile.surfaces import SURFACES, TEXT
from hostile.test_every_hook import SOCKETS, generated, marked
from hostile.test_exporter_hostile import TELEMETRY
from instrument.forms import SDKS, items, maybe
from instrument.loopback import Server
from instrument.sdks.table import MANY
from tokentrace import Guard, TokenLimitExceeded, TokenLimitWarning, testing

pytestmark = [
    *SOCKETS,
    pytest.mark.filterwarnings("ignore::tokentrace.errors.TokenLimitWarning"),
]

LONG = f"{TEXT} " * MANY
LEAVING = ["plain", "stream", "early exit", "raw", "raw stream"]
EVERY = [marked(surface, name, name=name) for name, surface in SURFACES.items()]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run one server for all."""
    with Server() as running:
        yield running


def refusing(limit: int) -> Guard:
    return Guard(limit=limit, on_exceed="raise")


# ── the refusal ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "shape", "limit"), generated(LEAVING, [0, 10]))
def test_a_refusal_arrives_as_itself(server, name, shape, limit):
    """GU1, GU3, GU4: never swallowed, never sent, never doubled, whatever is done with the call."""
    surface = SURFACES[name]
    where = surface.place(server, shape)
    with expect_traced(guard=refusing(limit)) as seen:
        result = perform(surface.case(shape, LONG), where, surface.answer(shape))
    assert (result.error[0], result.sent) == ("TokenLimitExceeded", [])
    assert (seen.call.decision, seen.call.usage.input) == ("refuse", None)
    assert seen.call.error_type == "tokentrace.TokenLimitExceeded"
    assert sum(len(span.events) for span in seen.spans) == 1


@pytest.mark.parametrize(("name", "shape", "how"), generated(["plain"], TELEMETRY))
def test_a_refusal_needs_no_telemetry(server, name, shape, how):
    """GU5: with telemetry off, dropped, shut down or broken the guard refuses all the same."""
    surface = SURFACES[name]
    where, settings = surface.place(server, shape), TELEMETRY[how]()
    with listening() as logs, instrumented(guard=refusing(10), **settings):
        result = perform(surface.case(shape, LONG), where, surface.answer(shape))
    assert (result.error[0], result.sent) == ("TokenLimitExceeded", [])
    assert not errors_in(logs)


@pytest.mark.parametrize("name", EVERY)
def test_a_refusal_needs_no_opentelemetry(server, name, monkeypatch):
    """GU5, CF2: ``OTEL_SDK_DISABLED`` leaves the guard, and no span."""
    surface = SURFACES[name]
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with expect_traced(calls=0, guard=refusing(10)):
        result = perform(
            surface.case("plain", LONG), surface.place(server, "plain"), surface.answer("plain")
        )
    assert (result.error[0], result.sent) == ("TokenLimitExceeded", [])


# ── where the limit lies ─────────────────────────────────────────────────────────────────────────


def counted(surface, where):
    """Return what a call counts and how sure that is; it fails, so that nothing is learned of it."""
    with expect_traced() as seen:
        perform(surface.case("plain", LONG), where, surface.answers["refused"])
    return seen.call.tokens, seen.call.error


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, False), (-1, True)])
@pytest.mark.parametrize("name", EVERY)
def test_at_the_limit(server, name, more, refused):
    """GU3: what surely lies above the limit is refused; at the limit, or within the bound, it leaves."""
    surface = SURFACES[name]
    where = surface.place(server, "plain")
    tokens, error = counted(surface, where)
    with expect_traced(guard=refusing(tokens - error + more)) as seen:
        result = perform(surface.case("plain", LONG), where, surface.answers["plain"])
    assert (bool(result.error), bool(result.sent)) == (refused, not refused)
    assert (seen.call.decision == "refuse") is refused


def nothing(_model):
    return None


@pytest.mark.parametrize(
    "limit",
    [None, nothing, {"no-such-model": 1}, lambda _model: -1, lambda _model: "10"],
    ids=["none", "callable", "mapping", "negative", "text"],
)
@pytest.mark.parametrize("name", EVERY)
def test_an_unknown_limit_refuses_nothing(server, name, limit):
    """GU3: where no limit is known the call goes as without us."""
    surface = SURFACES[name]
    where = surface.place(server, "plain")
    guard = Guard(limit=limit, on_exceed="raise")
    check_case(surface.case("plain"), where, surface.answers["plain"], guard=guard)


# ── callbacks ────────────────────────────────────────────────────────────────────────────────────


def raises(*_args):
    raise LookupError("the application's own")


def shorter(body, _report):
    """Return a body of `LONG` with half an emoji for a text."""
    return told(body)


def told(value):
    if isinstance(value, dict):
        return {key: told(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [told(item) for item in value]
    return value.replace(LONG, "\ud83d") if isinstance(value, str) else value


BROKEN = {
    "compress raises": ({"compress": raises}, {"LookupError"}),
    "compress gives a text": ({"compress": lambda *_: "shorter"}, {"TypeError"}),
    "on_exceed raises": ({"on_exceed": raises}, {"LookupError"}),
    "limit raises": ({"limit": raises}, {"LookupError"}),
}


@pytest.mark.parametrize(("name", "shape", "how"), generated(["plain", "stream"], BROKEN))
def test_a_broken_callback_is_counted(server, name, shape, how):
    """GU2: a guard that only warns changes nothing, whatever its callbacks do."""
    surface = SURFACES[name]
    where = surface.place(server, shape)
    given, errors = BROKEN[how]
    guard = Guard(**{"limit": 10, **given})
    check_case(surface.case(shape, LONG), where, surface.answer(shape), errors=errors, guard=guard)


@pytest.mark.parametrize("name", EVERY)
def test_what_a_callback_leaves_is_sent_or_fails_as_its_sdk_does(server, name):
    """GU4, IN4: half an emoji in a shortened body is no way past the guard, and no error of ours."""
    surface = SURFACES[name]
    where = surface.place(server, "plain")
    with listening() as logged:
        bare = perform(surface.case("plain", "\ud83d"), where, surface.answers["plain"])
    guard = Guard(limit=200, on_exceed="raise", compress=shorter)
    with expect_traced(logged=logged, guard=guard) as seen:
        result = perform(surface.case("plain", LONG), where, surface.answers["plain"])
    assert (result.error, result.value, result.sent) == (bare.error, bare.value, bare.sent)
    assert seen.call.decision == "compress"


# ── at once ──────────────────────────────────────────────────────────────────────────────────────

AT_ONCE = 12
# its driver closes the session that all its clients share
ONE_AT_A_TIME = {"huggingface_hub"}


@pytest.mark.parametrize("name", EVERY)
def test_sessions_at_once_never_mix(server, name):
    """GU3, GU4, CO1: of calls at once, each in a session with a guard of its own, those are refused that must be."""
    surface = SURFACES[name]
    where = surface.place(server, "plain")

    async def one(number):
        refused = number % 2
        with tokentrace.session(f"s{number}", guard=refusing(10 if refused else 10_000)):
            try:
                await surface.case("plain", LONG)(where)
            except TokenLimitExceeded:
                return True, bool(refused)
            return False, bool(refused)

    async def together():
        return await asyncio.gather(*map(one, range(AT_ONCE)))

    where.wire.set(surface.answers["plain"])
    with expect_traced(calls=AT_ONCE) as seen:
        if surface.colour == "async":
            results = asyncio.run(together())
        else:
            with ThreadPoolExecutor(1 if surface.sdk in ONE_AT_A_TIME else 4) as pool:
                results = list(pool.map(lambda number: asyncio.run(one(number)), range(AT_ONCE)))
    assert all(was == must for was, must in results)
    assert len(where.wire.requests) == AT_ONCE // 2
    decisions = sorted(call.decision for call in seen.calls)
    assert decisions == ["ok"] * (AT_ONCE // 2) + ["refuse"] * (AT_ONCE // 2)
    by_session = {call.session: call.decision for call in seen.calls}
    assert len(by_session) == AT_ONCE


# ── tries of the SDK's own ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_call_that_is_tried_again_is_one_call(sdk, colour, stream, status):
    """GU2, GU4: the SDK's own tries are one call, counted once and warned of once."""
    where = shop(sdk, colour)
    busy = testing.Reply({"error": {"message": "busy"}}, status, {"retry-after-ms": "1"})
    known = SDKS[sdk].stream if stream else SDKS[sdk].plain
    where.wire.set((busy, busy, known))
    asked = {**SDKS[sdk].request, "messages": [{"role": "user", "content": LONG}]}

    async def run():
        create = where.resource(where.make(max_retries=3)).create
        result = await maybe(create(**asked, **({"stream": True} if stream else {})))
        return await items(result) if stream else result

    with (
        warnings.catch_warnings(record=True) as caught,
        expect_traced(guard=Guard(limit=10)) as seen,
    ):
        warnings.simplefilter("always")
        asyncio.run(run())
    assert len(where.wire.requests) == 3
    assert len({sent.content for sent in where.wire.requests}) == 1
    assert [one.category for one in caught].count(TokenLimitWarning) == 1
    assert seen.call.usage.input == SDKS[sdk].reported
    assert len(seen.spans[0].events) == 1
