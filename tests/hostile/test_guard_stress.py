"""The guard under stress, over the real SDKs: limits, many at once, tries of the SDK's own, broken telemetry.

`test_every_guard` asks the same of every surface; here the tables are wider and the surfaces those of
openai and anthropic. What becomes of the refusal on its way is in `test_refusal_hostile`.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

import tokentrace
from hostile.cases import (
    APIS,
    COLOURS,
    SDKS,
    SECRET,
    check_case,
    expect_traced,
    instrumented,
    perform,
    request,
    shop,
)
from hostile.surfaces import SURFACES, TEXT
from hostile.test_every_guard import nothing, refusing
from hostile.test_every_hook import generated
from hostile.test_exporter_hostile import TELEMETRY
from instrument import forms
from instrument.forms import items, maybe
from tokentrace import Guard, TokenLimitExceeded, TokenLimitWarning, testing

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::tokentrace.errors.TokenLimitWarning"),
]

LONG = f"{TEXT} " * 200
LEAVING = ["plain", "stream", "early exit", "raw", "raw stream"]


TALKING = ("openai chat", "openai responses", "anthropic messages")


def cells(shapes, kinds):
    """Return the cases of the apis of openai and anthropic that talk."""
    return [cell for cell in generated(shapes, kinds) if cell.values[0].startswith(TALKING)]


def done(name, shape, text=LONG, **changes):
    """Make the call of a surface's shape; return what its caller sees."""
    surface = SURFACES[name]

    async def case(where):
        arguments = {**surface.arguments(text), **changes}
        return await maybe(surface.does[shape](where, arguments))

    return perform(case, surface.place(None, shape), surface.answer(shape))


# ── where the limit lies ─────────────────────────────────────────────────────────────────────────

# tokens above what is certain of a prompt, whether it is refused then
NEAR = {"at the limit": (0, False), "one under": (1, False), "one over": (-1, True)}


@pytest.mark.parametrize(("name", "shape", "where"), cells(LEAVING[1:], NEAR))
def test_at_the_limit_in_every_shape(name, shape, where):
    """GU3, GU4: the same verdict at the same number, however the call is made."""
    more, refused = NEAR[where]
    with expect_traced() as seen:
        done(name, "plain")
    with expect_traced(guard=refusing(seen.call.tokens - seen.call.error + more)) as judged:
        result = done(name, shape)
    assert (bool(result.error), bool(result.sent)) == (refused, not refused)
    assert (judged.call.decision == "refuse") is refused


# limits of a guard that refuses what it does not know: whether the call leaves, with a model of nobody's
UNKNOWN = {
    "none": (None, False),
    "callable": (nothing, False),
    "no match": ({"gpt*": 10**6, "claude*": 10**6}, False),
    "negative": (lambda _model: -1, False),
    "raises": (dict.__getitem__, False),
    "known": ({"nobodys-*": 10**6}, True),
}


@pytest.mark.parametrize(("name", "shape", "limit"), cells(["plain", "stream"], UNKNOWN))
def test_an_unknown_limit_may_be_refused(name, shape, limit):
    """GU3: ``on_unknown="raise"`` refuses a model whose limit nobody knows, and no other."""
    given, leaves = UNKNOWN[limit]
    guard = Guard(limit=given, on_unknown="raise")
    errors = {"TypeError"} if limit == "raises" else None
    with expect_traced(errors=errors, guard=guard) as seen:
        result = done(name, shape, TEXT, model="nobodys-model")
    assert bool(result.sent) is leaves
    assert seen.call.decision == ("ok" if leaves else "refuse")
    if not leaves:
        assert result.error[0] == "TokenLimitExceeded"
        assert "no limit is known" in result.error[1]


@pytest.mark.parametrize("limit", [-1, 2**53, "10", {"gpt*": -1}])
def test_a_negative_limit_never_reaches_a_call(limit):
    """GU3: an odd limit is told where it is given, for a session as for a process."""
    with pytest.raises((TypeError, ValueError), match="limit"):
        tokentrace.session("s", guard=Guard(limit=limit))


# ── many at once ─────────────────────────────────────────────────────────────────────────────────

AT_ONCE = 32


def refuses(report):
    raise TokenLimitExceeded(report)


def cut(body, _report):
    """Return the body with a text that says whose it was."""
    content = body["messages"][0]["content"]
    return {**body, "messages": [{"role": "user", "content": content.partition(" ")[0]}]}


# the guard of one session of many, by its number; what becomes of its call
GUARDS = {
    "far under": (lambda n: refusing(100_000 + n), "ok"),
    "over": (lambda n: refusing(10 + n), "refuse"),
    "zero": (lambda _n: refusing(0), "refuse"),
    "warns": (lambda n: Guard(limit=10 + n), "warn"),
    "a callable that refuses": (lambda n: Guard(limit=10 + n, on_exceed=refuses), "refused by it"),
    "cut": (lambda n: Guard(limit=60 + n, on_exceed="raise", compress=cut), "compress"),
    "off": (lambda _n: False, "off"),
    "by component": (lambda n: Guard(on_exceed="raise", components={"user": n}), "refuse"),
}
REFUSED = {"refuse", "refused by it"}


class Crowd:
    """Sessions that make a call each, at once, over one client.

    Args:
        name: of the session of each number.
    """

    def __init__(self, sdk, colour, stream, name):
        self.where, self.stream, self.name = shop(sdk, colour), stream, name
        self.where.wire.set(self.answer)
        self.begin = threading.Barrier(8)

    def answer(self, sent):
        """Return a provider's answer that reports what was sent, as we count it."""
        sdk = self.where.sdk.name
        tokens = tokentrace.count(sent.body, api=APIS[sdk]).total
        if sdk == "openai":
            make = testing.openai_chat_stream if self.stream else testing.openai_chat
            return make("Because.", prompt_tokens=tokens)
        make = testing.anthropic_stream if self.stream else testing.anthropic_message
        return make("Because.", input_tokens=tokens)

    def text(self, number):
        return f"w{number} " + "word " * (300 + number)

    def make(self, number):
        messages = [{"role": "user", "content": self.text(number)}]
        more = {"stream": True} if self.stream else {}
        return self.where.resource().create(
            **request(self.where.sdk.name, messages=messages, **more)
        )

    async def task(self, number):
        with self.session(number):
            await asyncio.sleep(0)
            try:
                opened = await maybe(self.make(number))
                await asyncio.sleep(0)
                return await items(opened) if self.stream else opened
            except TokenLimitExceeded as error:
                return error

    def session(self, number):
        guard, _ = list(GUARDS.values())[number % len(GUARDS)]
        return tokentrace.session(self.name(number), guard=guard(number))

    def thread(self, number):
        if number < self.begin.parties:
            self.begin.wait(60)
        return asyncio.run(self.task(number))

    def run(self, asynchronous):
        async def together():
            return await asyncio.gather(*map(self.task, range(AT_ONCE)))

        if asynchronous:
            return asyncio.run(together())
        with ThreadPoolExecutor(self.begin.parties) as pool:
            return list(pool.map(self.thread, range(AT_ONCE)))


def expected(number):
    return list(GUARDS.values())[number % len(GUARDS)][1]


def first_words(requests):
    texts = (sent.body["messages"][0]["content"] for sent in requests)
    return Counter(text.partition(" ")[0] for text in texts)


@pytest.mark.parametrize("name", [lambda n: f"s{n}", lambda _n: "one"],
                         ids=["sessions", "one session"])  # fmt: skip
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_each_of_many_meets_its_own_guard(sdk, colour, stream, name):
    """GU3, GU4, CO1: of calls at once each has the verdict, the limit and the numbers of its own guard."""
    crowd = Crowd(sdk, colour, stream, name)
    with expect_traced(calls=AT_ONCE) as seen:
        results = crowd.run(COLOURS[colour])
    refused = [n for n in range(AT_ONCE) if expected(n) in REFUSED]
    errors = {n: one for n, one in enumerate(results) if isinstance(one, TokenLimitExceeded)}
    assert list(errors) == refused
    assert len({id(error) for error in errors.values()}) == len(refused)
    for number, error in errors.items():
        guard = list(GUARDS.values())[number % len(GUARDS)][0](number)
        body = request(sdk, messages=[{"role": "user", "content": crowd.text(number)}])
        assert error.report.count.components["user"] == counted_user(body, sdk)
        if guard.limit is not None:
            assert error.report.count.limit == guard.limit
    sent = first_words(crowd.where.wire.requests)
    assert sent == Counter(f"w{n}" for n in range(AT_ONCE) if n not in refused)
    decisions = Counter(call.decision for call in seen.calls)
    told = Counter(
        "warn" if one == "refused by it" else one for one in map(expected, range(AT_ONCE))
    )
    assert decisions == told


def counted_user(body, sdk):
    return tokentrace.count(body, api=APIS[sdk]).components["user"]


# ── tries of the SDK's own ───────────────────────────────────────────────────────────────────────

BUSY = testing.Reply({"error": {"message": "busy"}}, 429, {"retry-after-ms": "1"})
FAILED = testing.Reply({"error": {"message": "failed"}}, 500, {"retry-after-ms": "1"})
# what is answered, by try, and how many tries there are
TRIES = {"429 and 500": ((BUSY, FAILED), 3), "429 for ever": ((BUSY,) * 9, 4), "at once": ((), 1)}


async def trying(where, shape):
    """Call through a client that tries again."""
    client = where.make(max_retries=3)
    resource = where.resource(client)
    asked = {**where.sdk.request, "messages": [{"role": "user", "content": LONG}]}
    create = resource.with_raw_response.create if shape == "raw" else resource.create
    result = await maybe(create(**asked, **({"stream": True} if shape == "stream" else {})))
    return await items(result) if shape == "stream" else result


class Asked(Counter):
    """A guard whose callbacks count how often they are asked."""

    def guard(self):
        return Guard(
            limit=lambda _model: self.told("limit", 10),
            on_exceed=lambda _report: self.told("on_exceed"),
            compress=lambda *_: self.told("compress"),
        )

    def told(self, what, answer=None):
        self[what] += 1
        return answer


@pytest.mark.parametrize("shape", ["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", forms.SDKS)
def test_the_guard_judges_a_request_once(sdk, colour, shape):
    """GU2, GU4: however often an SDK tries, the guard asks its callbacks as for one try."""
    where, found = shop(sdk, colour), {}
    known = where.sdk.stream if shape == "stream" else where.sdk.plain
    for name, (answers, tries) in TRIES.items():
        asked = Asked()
        with expect_traced(guard=False) as seen, tokentrace.session(name, guard=asked.guard()):
            perform(lambda where: trying(where, shape), where, (*answers, known))
        assert len(where.wire.requests) == tries
        assert (seen.call.decision, len(seen.spans[0].events)) == ("warn", 1)
        found[name] = asked
    assert found["429 and 500"] == found["429 for ever"] == found["at once"]
    assert (found["at once"]["compress"], found["at once"]["on_exceed"]) == (1, 1)


@pytest.mark.parametrize("shape", ["plain", "stream", "raw"])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", forms.SDKS)
def test_a_refusal_is_never_tried_again(sdk, colour, shape):
    """GU1: nothing is sent by a client that tries again, and the client is as good as before."""
    where, asked = shop(sdk, colour), Counter()

    def limit(_model):
        asked["limit"] += 1
        return 10

    with expect_traced(guard=Guard(limit=limit, on_exceed="raise")) as seen:
        result = perform(lambda where: trying(where, shape), where, FAILED)
    assert (result.error[0], result.sent) == ("TokenLimitExceeded", [])
    assert seen.call.decision == "refuse"
    once = Counter(asked)
    with expect_traced(guard=Guard(limit=limit, on_exceed="raise")):
        perform(lambda where: trying(where, "plain"), where, where.sdk.plain)
    assert asked["limit"] == 2 * once["limit"]
    with expect_traced(guard=refusing(100_000)):
        again = perform(lambda where: trying(where, shape), where, FAILED)
    assert len(again.sent) == 4


# ── telemetry that is off or broken ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "shape", "how"), cells(["stream", "raw stream"], TELEMETRY))
def test_a_refusal_needs_no_telemetry_in_any_shape(name, shape, how):
    """GU5: with telemetry off, dropped, shut down or broken the guard refuses all the same."""
    with instrumented(guard=refusing(10), **TELEMETRY[how]()):
        result = done(name, shape)
    assert (result.error[0], result.sent) == ("TokenLimitExceeded", [])


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("how", TELEMETRY)
def test_all_of_the_guard_needs_no_telemetry(how, sdk, colour):
    """GU2, GU5: without telemetry it shortens, calls, and warns, where warnings are errors too."""
    name = next(one for one in SURFACES if one.startswith(f"{sdk} ") and one.endswith(colour))
    heard: list = []
    guards = {
        "shortens": Guard(limit=60, on_exceed="raise", compress=cut),
        "calls": Guard(limit=60, on_exceed=heard.append),
        "warns": Guard(limit=60),
    }
    found = {}
    with instrumented(guard=False, **TELEMETRY[how]()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for what, guard in guards.items():
            if what == "warns":
                warnings.simplefilter("error", TokenLimitWarning)
            with tokentrace.session(what, guard=guard):
                found[what] = done(name, "plain", f"short {LONG}")
    (shortened,) = found["shortens"].requests
    assert shortened.body["messages"][0]["content"] == "short"
    assert (found["calls"].error, [report.decision for report in heard]) == (None, ["warn"])
    assert (found["warns"].error[0], found["warns"].sent) == ("TokenLimitWarning", [])


# ── prompts that cannot be counted ───────────────────────────────────────────────────────────────

CYCLE: list = []
CYCLE.append(CYCLE)
# messages that are none; whether anything of them can be counted
UNCOUNTED = {
    "nothing": None,
    "a number": 7,
    "a text": SECRET,
    "bytes": b"\xff\xfe",
    "numbers": [1, 2.5, None],
    "lists": [[[]], [{}]],
    "not a number": [{"role": "user", "content": float("nan")}],
    "objects": [object()],
    "content of objects": [{"role": "user", "content": [object(), {"type": object()}]}],
    "no texts for keys": [{1: 2, None: b"3"}],
    "holding itself": CYCLE,
    "a class": dict,
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", UNCOUNTED)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_prompt_that_cannot_be_counted_is_the_sdks_business(sdk, kind, colour, stream):
    """GU3, IN3: nothing of it is above the limit for certain: it leaves, or fails, as without us."""
    more = {"stream": True} if stream else {}

    async def case(where):
        with_messages = request(where.sdk.name, messages=UNCOUNTED[kind], **more)
        result = await maybe(where.resource().create(**with_messages))
        return await items(result) if stream else result

    where = shop(sdk, colour)
    reply = where.sdk.stream if stream else where.sdk.plain
    check_case(case, where, reply, calls=None, guard=refusing(300_000))


class OurOwnError(Exception):
    """A mistake of ours."""


@pytest.mark.parametrize("step", ["read", "counted"])
@pytest.mark.parametrize(
    ("name", "shape", "kind"), cells(["plain", "stream"], ["raise", "unknown"])
)
def test_our_own_failure_refuses_nothing(name, shape, kind, step, monkeypatch):
    """GU4: where our own counting fails the call goes as without us, and the failure is counted."""
    from tokentrace.counting import counter

    def fails(*_args, **_kwargs):
        raise OurOwnError

    monkeypatch.setattr(counter, step, fails)
    guard = Guard(on_unknown="raise") if kind == "unknown" else refusing(10)
    surface = SURFACES[name]
    seen = check_case(
        surface.case(shape, LONG), surface.place(None, shape), surface.answer(shape),
        calls=None, errors={"OurOwnError"}, guard=guard,
    )  # fmt: skip
    assert sum(seen.errors.values()) == 1
