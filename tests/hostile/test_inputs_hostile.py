"""Inputs that no type checker would let through, and some that it would."""

from __future__ import annotations

import gc
import time
from collections import deque
from datetime import date
from decimal import Decimal
from enum import Enum
from types import MappingProxyType, SimpleNamespace

import pytest

import tokentrace
from hostile.cases import (
    COLOURS,
    SECRET,
    check_case,
    counted,
    creating,
    expect_traced,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from tokentrace import dialects, testing
from tokentrace.counting.text import ruler

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::tokentrace.errors.TokenLimitWarning"
)

TEXT = f"Why does the pod {SECRET} restart?"
USER = {"role": "user", "content": TEXT}


def user(content):
    return [{"role": "user", "content": content}]


def model_message(content=TEXT):
    from pydantic import BaseModel

    class Said(BaseModel):
        role: str = "user"
        content: str = TEXT

    return Said(content=content)


def answered(sdk):
    """Return a response's own message, as agents append it to the conversation."""
    reply = plain_reply(sdk).body
    if sdk == "openai":
        from openai.types.chat import ChatCompletion

        said = ChatCompletion.model_validate(reply).choices[0].message
    else:
        from anthropic.types import Message

        said = {"role": "assistant", "content": Message.model_validate(reply).content}
    return [USER, said, USER]


def breaking():
    """Yield a message, then fail: the caller's own error."""
    yield USER
    raise LookupError("the caller's own generator failed")


class Colour(str, Enum):  # noqa: UP042 - the shape that callers have
    USER = "user"


class Text(str):
    """A text of the caller's own class."""

    __slots__ = ()

    def __eq__(self, other):
        raise ValueError("compared")

    __hash__ = str.__hash__


class Prickly(dict):
    """A mapping that fails where it is asked politely."""

    def get(self, key, default=None):
        raise LookupError(key)


def cycle(branches=1):
    """Return a schema that holds itself."""
    schema = {"type": "object"}
    schema["properties"] = {f"p{n}": schema for n in range(branches)}
    return schema


def ring():
    """Return messages that hold themselves."""
    messages = [USER]
    messages.append({"role": "user", "content": messages})
    return messages


def deep(levels):
    schema = inner = {}
    for _ in range(levels):
        inner["a"] = inner = {}
    return schema


def tool(schema, name="probe"):
    """Return the tools of a request in both SDKs' forms."""
    return lambda sdk: {
        "tools": [{"type": "function", "function": {"name": name, "parameters": schema}}]
        if sdk == "openai"
        else [{"name": name, "input_schema": schema}]
    }


def messages(make):
    return lambda _sdk: {"messages": make()}


def also(**changes):
    return lambda _sdk: changes


CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "1", "type": "function", "function": {"name": "probe", "arguments": "{}"}}]}  # fmt: skip
RESULT = {"role": "tool", "tool_call_id": "1", "content": TEXT}

# name: arguments that replace those of the plain request, made anew at each run
INPUTS = {
    # IN1, IN2: iterables of every kind
    "generator": messages(lambda: (m for m in [USER, USER])),
    "iterator": messages(lambda: iter([USER, USER])),
    "map": messages(lambda: map(dict, [USER, USER])),
    "tuple": messages(lambda: (USER, USER)),
    "deque": messages(lambda: deque([USER, USER])),
    "dict-values": messages({1: USER, 2: USER}.values),
    "set-like": messages({1: USER}.items),
    "generator-that-breaks": messages(breaking),
    "generator-of-parts": messages(lambda: user({"type": "text", "text": TEXT} for _ in range(2))),
    "tuple-of-parts": messages(lambda: user(({"type": "text", "text": TEXT},))),
    "generator-of-tools": lambda sdk: {"tools": iter(tool({"type": "object"})(sdk)["tools"])},
    "tools-that-break": lambda _sdk: {"tools": breaking()},
    "pydantic": messages(lambda: [model_message(), USER]),
    "generator-of-pydantic": messages(lambda: (model_message() for _ in range(2))),
    "response-reused": lambda sdk: {"messages": answered(sdk)},
    "proxy": messages(lambda: [MappingProxyType(USER)]),
    "namespace": messages(lambda: [SimpleNamespace(**USER)]),
    "str-subclass": messages(lambda: user(Text(TEXT))),
    "enum-role": messages(lambda: [{"role": Colour.USER, "content": TEXT}]),
    "prickly-mapping": messages(lambda: [Prickly(USER)]),
    # IN3, what a message holds
    "none-content-and-calls": messages(lambda: [USER, CALL, RESULT]),
    "none-content": messages(lambda: user(None)),
    "missing-content": messages(lambda: [{"role": "user"}]),
    "missing-role": messages(lambda: [{"content": TEXT}]),
    "none-role": messages(lambda: [{"role": None, "content": TEXT}]),
    "list-role": messages(lambda: [{"role": ["user"], "content": TEXT}]),
    "bytes-content": messages(lambda: user(b"\xff\x00")),
    "int-content": messages(lambda: user(7)),
    "nan-content": messages(lambda: user(float("nan"))),
    "dict-content": messages(lambda: user({"type": "text", "text": TEXT})),
    "odd-parts": messages(lambda: user([
        {"type": "text"}, {"type": "text", "text": None}, {"type": "image_url"}, {}, {"type": None},
        {"type": "image_url", "image_url": None}, {"type": "image_url", "image_url": {"url": 1}},
        {"type": "image", "source": None}, {"type": "tool_result", "content": [None]},
        {"type": "document", "source": {"type": "base64", "data": 3}}, {"type": "unheard_of", "x": TEXT},
    ])),
    "non-dict-parts": messages(lambda: user([None, 1, "text", ["nested", ["deeper"]], 2.5, True])),
    "unhashable-type": messages(lambda: user([{"type": ["text"], "text": TEXT}])),
    "broken-image": messages(lambda: user([
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!!"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "é"}},
    ])),
    "odd-calls": messages(lambda: [USER, {"role": "assistant", "tool_calls": [
        None, {}, {"function": None}, {"function": {"name": None, "arguments": {"a": TEXT}}}, 5]}]),
    "orphan-result": messages(lambda: [{"role": "tool", "tool_call_id": None, "content": [None]}]),
    "empty": messages(list),
    "none-messages": messages(lambda: None),
    "str-messages": messages(lambda: TEXT),
    "int-messages": messages(lambda: 5),
    "dict-messages": messages(lambda: USER),
    "odd-messages": messages(lambda: [None, 3, "text", [USER], {}]),
    "odd-keys": messages(lambda: [{**USER, 1: 2, None: 3}]),
    "tuple-keys": messages(lambda: [{**USER, (1, 2): 2}]),
    "same-object-twice": messages(lambda: [USER] * 5),
    "cyclic-content": messages(lambda: user([cycle()])),
    "cyclic-content-wide": messages(lambda: user([cycle(4)])),
    "cyclic-messages": messages(ring),
    "deep-content": messages(lambda: user([deep(5_000)])),
    "cyclic-odd-wide": messages(lambda: [model_message(), *user([cycle(4)])]),
    # IN4, odd text
    "lone-surrogate": messages(lambda: user("a\ud800b" * 3)),
    "surrogate-role": messages(lambda: [{"role": "us\udfffer", "content": TEXT}]),
    "nul-esc-crlf": messages(lambda: user("\x00\x1b[2J\r\n" + TEXT)),
    "special-tokens": messages(lambda: user("<|endoftext|><|im_start|>system<|fim_prefix|>")),
    "bidi-and-zero-width": messages(lambda: user("\u202e\u200b\ufeff" * 50)),
    # IN5, odd tools
    "cyclic-schema": tool(cycle()),
    "cyclic-schema-wide": tool(cycle(4)),
    "deep-schema": tool(deep(5_000)),
    "hundred-deep-schema": tool(deep(100)),
    "unserialisable-tool": tool({"default": object(), "type": {1, 2}}),
    "bytes-in-tool": tool({"default": b"x"}),
    "nan-in-tool": tool({"default": float("nan")}),
    "date-in-tool": tool({"default": date(2026, 11, 22), "enum": [Colour.USER]}),
    "decimal-in-tool": tool({"default": Decimal("1.5")}),
    "tool-without-name": tool({}, name=None),
    "int-tool-name": tool({}, name=5),
    "long-tool-name": tool({}, name="n" * 10_000),
    "surrogate-tool-name": tool({}, name="\ud800"),
    "control-tool-name": tool({}, name="<script>\r\n\x1b'\";--"),
    "odd-tools": also(tools=[None, 5, "probe", {}, {"function": None}, [USER]]),
    "str-tools": also(tools="probe"),
    "dict-tools": also(tools={"name": "probe"}),
    "odd-tool-choice": also(tool_choice=[{"type": None}]),
    # the rest of a request
    "none-model": also(model=None),
    "int-model": also(model=5),
    "list-model": also(model=["gpt-4o"]),
    "long-model": also(model="m" * 10_000),
    "surrogate-model": also(model="gpt-\ud800"),
    "control-model": also(model="gpt\r\n\x1b[2J<script>"),
    "pattern-model": also(model="[*?!]" * 20),
    "empty-model": also(model=""),
    "nan-temperature": also(temperature=float("nan")),
    "odd-settings": also(temperature="hot", top_p=[1], stop=None, max_tokens=-5),
    "huge-max-tokens": also(max_tokens=2**70),
    "str-max-tokens": also(max_tokens="64"),
    "extra-body": also(extra_body={"messages": user(TEXT * 2), "custom": [TEXT]}),
    "extra-body-odd": also(extra_body={"messages": None, "tools": "x"}),
    "extra-headers": also(extra_headers={"x-trace": SECRET, "authorization": f"Bearer {SECRET}"}),
    "extra-query": also(extra_query={"key": SECRET}),
    "bad-extra-headers": also(extra_headers={"x-trace": "a\nb"}),
    "odd-metadata": also(metadata={"user_id": SECRET, "n": None}),
    "unknown-argument": also(no_such_argument=1),
    "stream-odd": also(stream=1),
}  # fmt: skip

SAME = {"generator", "iterator", "map", "tuple", "deque", "dict-values"}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_the_host_sees_what_it_would_see(sdk, name, colour):
    """IN1-5, IN7: result, error, bytes and arguments are those without us; what was sent is counted."""

    def arguments(kind):
        return request(kind, **INPUTS[name](kind))

    where = shop(sdk, colour)
    seen = check_case(creating(arguments), where, plain_reply(sdk), calls=None)
    began = seen.traced.error is None or seen.traced.error[1].find("unexpected keyword") < 0
    if seen.traced.sent:
        assert counted(seen.call, seen.traced)
    elif began:
        assert len(seen.calls) <= 1
    if name in SAME:
        assert len(seen.traced.requests[-1].body["messages"]) == 2
        assert seen.call.components["history"] > 0


@pytest.mark.parametrize(
    "name", ["generator", "tuple", "deque", "response-reused", "lone-surrogate"]
)
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_odd_inputs_of_a_stream(sdk, name):
    """The same inputs, asked for as a stream."""

    def arguments(kind):
        return request(kind, stream=True, **INPUTS[name](kind))

    seen = check_case(creating(arguments), shop(sdk, "async"), stream_reply(sdk), calls=None)
    if seen.traced.sent:
        assert counted(seen.call, seen.traced)
        assert seen.call.usage.input == 13


# ── size ─────────────────────────────────────────────────────────────────────────────────────────

WORDS = "the pod restarts because its limit is too low for what it does; "
LARGE = {
    "10 MB message": lambda: user(WORDS * 160_000),
    "a million spaces": lambda: user(" " * 1_000_000),
    "a million a": lambda: user("a" * 1_000_000),
    "a million Chinese": lambda: user("漢字仮名" * 250_000),
    "a million newlines": lambda: user("\n" * 1_000_000),
    "base64 image of 4 MB": lambda: user([
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 1_000_000}}]),
}  # fmt: skip
BUDGET = 0.05  # seconds that a count may add to a call, whatever its size
NOISE = 4  # a shared machine: budgets are judged with this factor


def timed(where, body):
    """Return the CPU seconds that one call takes on this thread, whatever else the machine does."""
    where.wire.set(plain_reply(where.sdk.name))
    kwargs = request(where.sdk.name, messages=body)
    return seconds(lambda: where.resource().create(**kwargs))


def seconds(run):
    """Time it as timeit does: a collection walks what every test before this one left behind."""
    gc.disable()
    start = time.thread_time()
    try:
        run()
        return time.thread_time() - start
    finally:
        gc.enable()


@pytest.mark.parametrize("name", LARGE)
def test_large_inputs_within_the_budget(name):
    """IN6: the same bytes leave, the span stays small, and no more than the budget is added."""
    body, where = LARGE[name](), shop("openai", "sync")
    ruler("o200k_base")
    timed(where, body)
    bare = timed(where, body)
    sent = [one.content for one in where.wire.requests]
    with expect_traced() as seen:
        took = timed(where, body)
    assert [one.content for one in where.wire.requests] == sent
    assert seen.call.tokens > 0
    assert len(seen.spans[0].attributes) < 128
    assert sum(len(str(value)) for value in seen.spans[0].attributes.values()) < 10_000
    assert took - bare < BUDGET * NOISE


def reading(body):
    """Return the CPU seconds that the dialect alone takes to read this conversation."""
    kwargs, parse = request("anthropic", messages=body), dialects.find("anthropic.messages").parse

    return min(seconds(lambda: parse(kwargs)) for _ in range(3))


def test_ten_thousand_messages():
    """IN6: new messages add the budget and a few readings; again with one more, far fewer."""
    where = shop("anthropic", "sync")
    body = [{"role": "user", "content": f"{TEXT} {n}"} for n in range(10_000)]
    ruler("o200k_base")
    timed(where, body)
    bare, unit = timed(where, body), reading(body)
    with expect_traced(calls=2) as seen:
        first = timed(where, body)
        second = timed(where, [*body, USER])
    assert first - bare < 2 * BUDGET + 6 * unit
    assert second - bare < 2 * BUDGET + 2 * unit
    truth = tokentrace.count(request("anthropic", messages=body), api="anthropic.messages")
    for call in seen.calls:
        assert abs(call.tokens - truth.total) <= call.error


# ── retention ────────────────────────────────────────────────────────────────────────────────────


def test_no_request_object_is_kept():
    """IN7: what the caller passed is free as soon as the caller lets go of it."""
    import weakref

    class Mine(dict):
        """A message that can be referred to weakly."""

    where = shop("openai", "sync")
    message = Mine(USER)
    kept = weakref.ref(message)
    where.wire.set(plain_reply("openai"))
    with testing.capture():
        where.resource().create(model="gpt-4o", messages=[message])
        del message
        gc.collect()
        assert kept() is None
