"""Hooks that come twice, late, under others' wrappers; processes that fork, end and are interrupted."""

from __future__ import annotations

import asyncio
import copy
import importlib
import inspect
import subprocess
import sys
from unittest import mock

import pytest

import tokentrace
from hostile.cases import (
    COLOURS,
    PROVIDER,
    SDKS,
    expect_traced,
    perform,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from instrument.forms import maybe
from tokentrace import testing

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
KINDS = ("SyncAPIClient", "AsyncAPIClient")


async def one(where):
    return await maybe(where.resource().create(**request(where.sdk.name)))


def base(sdk, kind):
    return getattr(importlib.import_module(f"{sdk}._base_client"), kind)


def spans_of(where, times, *, between=lambda: None):
    with expect_traced(calls=None) as seen:
        between()
        for _ in range(times):
            perform(one, where, plain_reply(where.sdk.name))
    return len(seen.calls)


# ── LI1 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sdk", SDKS)
def test_the_original_comes_back(sdk, kind):
    """LI1: after uninstrument the very function of before is there again."""
    owner = base(sdk, kind)
    before = vars(owner)["request"]
    for _ in range(3):
        tokentrace.instrument(exporter="none")
        assert vars(owner)["request"] is not before
        tokentrace.instrument(exporter="none")
        tokentrace.uninstrument()
        assert vars(owner)["request"] is before
    tokentrace.uninstrument()
    assert vars(owner)["request"] is before


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_instrumented_twice_counts_once(sdk, colour):
    """LI1: two calls of instrument are one hook, and uninstrument ends both."""
    where = shop(sdk, colour)
    again = lambda: tokentrace.instrument(exporter="none", tracer_provider=PROVIDER)  # noqa: E731
    assert spans_of(where, 2) == 2
    assert spans_of(where, 2, between=again) == 2
    tokentrace.uninstrument()
    assert perform(one, where, plain_reply(sdk)).error is None


class Other:
    """Another library's wrapper around the same place."""

    def __init__(self, owner):
        self.owner, self.before, self.calls = owner, vars(owner)["request"], 0

    def on(self):
        before, other = self.before, self
        if inspect.iscoroutinefunction(getattr(before, "__wrapped__", before)):

            async def request(client, *args, **kwargs):
                other.calls += 1
                return await before.__get__(client, type(client))(*args, **kwargs)
        else:

            def request(client, *args, **kwargs):
                other.calls += 1
                return before.__get__(client, type(client))(*args, **kwargs)

        self.owner.request = self.mine = request

    def off(self):
        self.owner.request = self.before


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_another_wrapper_below_ours(sdk, colour):
    """LI1: a wrapper that was there first keeps working, with us and after us."""
    where = shop(sdk, colour)
    other = Other(base(sdk, KINDS[COLOURS[colour]]))
    other.on()
    try:
        assert spans_of(where, 1) == 1
        assert vars(other.owner)["request"] is other.mine
        assert other.calls == 1
    finally:
        other.off()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_another_wrapper_above_ours(sdk, colour):
    """LI1: a wrapper that came later stays when we go, and ours sleeps below it."""
    where = shop(sdk, colour)
    owner = base(sdk, KINDS[COLOURS[colour]])
    original = vars(owner)["request"]
    try:
        with expect_traced(calls=1) as seen:
            other = Other(owner)
            other.on()
            perform(one, where, plain_reply(sdk))
        assert len(seen.calls) == other.calls == 1
        assert vars(owner)["request"] is other.mine
        assert perform(one, where, plain_reply(sdk)).error is None
        assert spans_of(where, 1) == 1
        assert other.calls == 3
    finally:
        owner.request = original


# ── LI2, LI4 ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_what_was_taken_before_works_after(sdk, colour):
    """LI2: a bound method taken while hooked or before works in every state."""
    where = shop(sdk, colour)
    create = where.resource().create
    bound = where.make().request
    with expect_traced(calls=1):
        where.wire.set(plain_reply(sdk))
        asyncio.run(await_it(create(**request(sdk))))
        hooked = where.resource().create
    where.wire.set(plain_reply(sdk))
    asyncio.run(await_it(hooked(**request(sdk))))
    assert callable(bound)


async def await_it(value):
    return await maybe(value)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_the_hooked_method_looks_as_it_was(sdk, colour):
    """LI4: signature, colour, name, module and doc are the original's."""
    owner = base(sdk, KINDS[COLOURS[colour]])
    client = shop(sdk, colour).make()

    def looks():
        method = owner.request
        bound = client.request
        return (
            str(inspect.signature(method)),
            str(inspect.signature(bound)),
            inspect.iscoroutinefunction(method),
            inspect.iscoroutinefunction(bound),
            asyncio.iscoroutinefunction(bound),
            method.__name__,
            method.__qualname__,
            method.__module__,
            method.__doc__,
            inspect.isfunction(method),
            inspect.ismethod(bound),
            inspect.getsourcefile(method),
        )

    bare = looks()
    with expect_traced(calls=None):
        assert looks() == bare


@pytest.mark.parametrize(
    "how", [copy.copy, lambda client: client.copy(), lambda c: c.with_options(timeout=3)]
)
@pytest.mark.parametrize("sdk", SDKS)
def test_copied_clients(sdk, how):
    """LI4: copies of a client are traced, once each."""
    where = shop(sdk, "sync")
    where.wire.set(plain_reply(sdk))
    with expect_traced(calls=2):
        twin = how(where.make())
        where.resource(twin).create(**request(sdk))
        where.resource().create(**request(sdk))


@pytest.mark.parametrize("sdk", SDKS)
def test_a_subclass_that_overrides_request(sdk):
    """LI4: a client whose ``request`` calls the base's is one call."""
    kind = getattr(__import__(sdk), SDKS[sdk].client)
    seen = []

    class Mine(kind):
        def request(self, *args, **kwargs):
            seen.append(1)
            return super().request(*args, **kwargs)

    where = shop(sdk, "sync")
    where.wire.set(plain_reply(sdk))
    client = Mine(
        api_key="x", base_url="http://wire.test", http_client=where.wire.client(sdk), max_retries=0
    )
    with expect_traced(calls=1):
        where.resource(client).create(**request(sdk))
    assert seen == [1]


@pytest.mark.parametrize("sdk", SDKS)
def test_mocked_clients(sdk):
    """LI4: mocks of a hooked client, specified after it, are no calls."""
    with expect_traced(calls=0):
        client = mock.create_autospec(shop(sdk, "sync").make(), instance=True)
        client.request.return_value = 5
        assert client.request(dict, mock.Mock()) == 5
    shop(sdk, "sync").wire.set(plain_reply(sdk))
    with (
        expect_traced(calls=0),
        mock.patch.object(base(sdk, "SyncAPIClient"), "request", return_value=7),
    ):
        assert shop(sdk, "sync").resource().create(**request(sdk)) == 7


ODD_OPTIONS = [None, 5, "text", {}, mock.Mock(), mock.Mock(url=5), object()]


@pytest.mark.parametrize("options", ODD_OPTIONS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_request_method_called_by_hand(sdk, options):
    """LI4: whatever is passed to the hooked method fails as it would."""
    client = shop(sdk, "sync").make()

    def outcome():
        try:
            return type(client.request(dict, options))
        except Exception as error:
            return type(error), str(error)[:60].partition(" at 0x")[0]

    bare = outcome()
    with expect_traced(calls=None):
        assert outcome() == bare


@pytest.mark.parametrize(
    "settings",
    [
        {"sdks": ["no-such-sdk"]},
        {"sdks": []},
        {"exporter": "no-such-exporter"},
        {"sections": ["a", "b"]},
        {"service_name": "\ud800"},
        {"guard": True},
        {"guard": False},
    ],
    ids=str,
)
def test_odd_settings_never_raise(settings):
    """LI1, CF1: instrument takes what it is given, and the host's call works."""
    where = shop("openai", "sync")
    try:
        tokentrace.instrument(**{"exporter": "none", **settings})
        assert perform(one, where, plain_reply("openai")).error is None
    finally:
        tokentrace.uninstrument()


def test_openai_is_not_loaded_by_us():
    """LI5: instrument() alone imports no SDK and waits for it."""
    script = (
        "import sys, tokentrace; tokentrace.instrument(exporter='none'); "
        "assert not {'openai', 'anthropic'} & set(sys.modules); "
        "print(tokentrace.status()['hooks']['openai._base_client:SyncAPIClient.request'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("waiting", "")


def test_a_stream_ends_after_uninstrument():
    """LI1: a stream opened while hooked is read to its end when the hooks are gone."""
    where = shop("openai", "sync")
    with testing.capture():
        where.wire.set(stream_reply("openai"))
        stream = where.resource().create(stream=True, **request("openai"))
        next(stream)
    assert len(list(stream)) == 4
