"""`llm_call`: as a context manager and as a decorator, in every colour, with the life of a hooked call."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

import tokentrace
from instrument.forms import ANTHROPIC, OPENAI, Shop
from tokentrace import _failsafe, schema
from tokentrace.instrument import answers
from tokentrace.testing import Wire, capture, http_library

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # anthropic's, of models

BODY = OPENAI.request
ANSWER = OPENAI.plain.body
CHUNKS = [data for _, data in OPENAI.stream.events]
LINES = [f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS] + ["data: [DONE]\n\n"]
API = "openai.chat"
LONG = {**BODY, "messages": [{"role": "user", "content": "word " * 200}]}
REFUSES = tokentrace.Guard(limit=10, on_exceed="raise")
OVER = (
    "This model's maximum context length is 5 tokens. However, your messages resulted in 13 tokens."
)


def shorten(body, report):
    """Return the newest message, cut."""
    return {**body, "messages": [{"role": "user", "content": "word"}]}


async def shorten_later(body, report):
    await asyncio.sleep(0)
    return shorten(body, report)


def only(captured):
    """Return the one call, counted and reported."""
    (call,) = captured.calls
    assert sum(call.components.values()) == call.tokens
    return call


# ── with ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_in_a_block_has_the_life_of_a_hooked_one():
    """Body, count, report, usage and span are those of the same call through the SDK."""
    with capture() as captured:
        with tokentrace.session("one"):
            Shop(OPENAI, asynchronous=False, wire=Wire(OPENAI.plain)).resource().create(**BODY)
        with tokentrace.session("another"):
            with tokentrace.llm_call(BODY, api=API, base_url="http://wire.test/") as call:
                assert call.body is BODY
                assert call.report.count.total == OPENAI.tokens
                assert call.response(ANSWER) is ANSWER
    hooked, manual = captured.calls
    for name in ("operation", "api", "model", "tokens", "method", "components", "usage", "limit"):
        assert getattr(manual, name) == getattr(hooked, name), name
    assert manual.server_address == "wire.test"


async def test_the_same_with_await():
    """``async with`` is the same block."""
    with capture() as captured:
        async with tokentrace.llm_call(BODY, api=API, provider="openai") as call:
            call.response(ANSWER)
    assert only(captured).usage.input == OPENAI.reported


def http(body, status=200, **more):
    return SimpleNamespace(status_code=status, _content=json.dumps(body).encode(), **more)


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        json.dumps(ANSWER),
        json.dumps(ANSWER).encode(),
        http(ANSWER),
        SimpleNamespace(status=200, _body=json.dumps(ANSWER).encode()),
    ],
    ids=["parsed", "text", "bytes", "httpx or requests", "aiohttp"],
)
def test_an_answer_in_any_shape_tells_the_usage(answer):
    """Parsed JSON, its text, and responses of HTTP libraries whose body was read."""
    with capture() as captured:
        with tokentrace.llm_call(BODY, api=API) as call:
            assert call.response(answer) is answer
    assert only(captured).usage.input == OPENAI.reported


@pytest.mark.parametrize("answer", ["no JSON", b"\xff", 7, None, http("x"), [], {"usage": 7}])
def test_an_answer_that_tells_nothing_is_passed_through(answer):
    """Odd answers cost the usage, not the call."""
    with capture() as captured:
        with tokentrace.llm_call(BODY, api=API) as call:
            assert call.response(answer) is answer
    assert only(captured).usage.input is None
    assert not only(captured).error_type


def test_real_http_responses_are_read():
    """A response of the HTTP library itself: read where the caller read it, and only there."""
    pytest.importorskip("openai")
    library = http_library("openai")
    reply = library.Response(200, json=ANSWER)
    unread = library.Response(200, stream=library.ByteStream(json.dumps(ANSWER).encode()))
    with capture() as captured:
        for response in (reply, unread):
            with tokentrace.llm_call(BODY, api=API) as call:
                call.response(response)
    assert [call.usage.input for call in captured.calls] == [OPENAI.reported, None]
    assert not unread.is_stream_consumed


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}}, "bad"),
        ({"error": {"message": "no", "type": "overloaded_error"}}, "overloaded_error"),
        ({"error": "the prompt was: secret"}, "_OTHER"),
        (http({"error": {"code": "the text of a prompt"}}, 400), "400"),
        (http("gone", 503), "503"),
    ],
)
def test_a_refusal_of_the_provider_is_an_error_of_the_span(answer, kind):
    """Its code or status is the error's type; its text goes nowhere."""
    with capture() as captured:
        with tokentrace.llm_call(BODY, api=API) as call:
            call.response(answer)
    (span,) = captured.spans
    assert span.attributes[schema.ERROR_TYPE] == kind
    assert not span.status.is_ok
    assert "secret" not in repr(dict(span.attributes))


def test_a_context_length_error_teaches_the_limit():
    """Two that agree make a limit, whatever way they came in, and each is told as an event."""
    over = {"error": {"message": OVER, "code": "context_length_exceeded"}}
    model = {**BODY, "model": "acme-1"}
    with capture(guard=False) as captured:
        for _ in range(2):
            with tokentrace.llm_call(model, api=API) as call:
                call.response(http(over, 400))
        with tokentrace.llm_call(model, api=API) as call:
            assert (call.report.count.limit, call.report.count.limit_source) == (5, "learned")
    events = [event.name for span in captured.spans for event in span.events]
    assert events.count(schema.LIMIT_EXCEEDED) >= 2
    assert captured.calls[-1].limit_source == "learned"


def test_an_error_in_the_block_is_the_callers_own():
    """It passes, and ends the span."""
    with capture() as captured:
        with pytest.raises(KeyError):
            with tokentrace.llm_call(BODY, api=API):
                raise KeyError
    assert only(captured).error_type == "KeyError"


def test_a_block_without_an_answer_ends_the_span():
    """Nothing told is a span without usage."""
    with capture() as captured:
        with tokentrace.llm_call(BODY, api=API):
            pass
    assert only(captured).usage.input is None


def test_the_guard_refuses_before_the_block():
    """A refused call raises on entering, and nothing in the block runs."""
    with capture(guard=REFUSES) as captured:
        with pytest.raises(tokentrace.TokenLimitExceeded):
            with tokentrace.llm_call(BODY, api=API):
                raise AssertionError
        with pytest.raises(tokentrace.TokenLimitExceeded):
            with tokentrace.llm_call(BODY, api=API):
                raise AssertionError
    assert [call.decision for call in captured.calls] == ["refuse", "refuse"]


@pytest.mark.parametrize("compress", [shorten, shorten_later])
async def test_a_shorter_body_is_handed_over(compress):
    """What the compress callback returns, now or later, is the body to be sent."""
    guard = tokentrace.Guard(limit=100, compress=compress)
    with capture(guard=guard) as captured:
        async with tokentrace.llm_call(LONG, api=API) as call:
            assert call.body["messages"] == [{"role": "user", "content": "word"}]
            assert call.report.decision == "compress"
    assert only(captured).compressed_tokens > 100


def test_an_async_callback_needs_an_async_block():
    """In a plain block it is told so and counted, and the body stays."""
    _failsafe.reset()
    guard = tokentrace.Guard(limit=100, compress=shorten_later)
    with capture(guard=guard), pytest.warns(tokentrace.TokenLimitWarning):
        with tokentrace.llm_call(LONG, api=API) as call:
            assert call.body is LONG
    assert sum(_failsafe.failures.values()) == 1


def test_the_model_may_stand_outside_the_body():
    """A model in the URL counts and is not put into the body, not even into a shorter one."""
    body = {key: value for key, value in LONG.items() if key != "model"}
    guard = tokentrace.Guard(limit=100, compress=shorten)
    with capture(guard=guard) as captured:
        with tokentrace.llm_call(body, api=API, model="gpt-4o") as call:
            assert "model" not in call.body
            assert call.body is not body
    assert only(captured).model == "gpt-4o"


def test_sdk_calls_inside_are_the_same_call():
    """A hooked SDK under the block makes no span of its own; its result tells the usage."""
    with capture() as captured:
        with tokentrace.llm_call(BODY, api=API) as call:
            shop = Shop(OPENAI, asynchronous=False, wire=Wire(OPENAI.plain))
            call.response(shop.resource().create(**call.body))
    assert only(captured).usage.input == OPENAI.reported


def test_an_sdk_stream_is_followed_in_place():
    """An SDK's stream that was made inside ends the call when it is read, after the block."""
    shop = Shop(OPENAI, asynchronous=False, wire=Wire(OPENAI.stream))
    with capture() as captured:
        with tokentrace.llm_call(BODY, api=API) as call:
            stream = call.stream(shop.resource().create(stream=True, **call.body))
        assert captured.calls == []
        assert len(list(stream)) == len(CHUNKS)
    assert only(captured).usage.input == OPENAI.reported


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


def pieces(size):
    """Return the streamed body in pieces that break lines anywhere."""
    whole = "".join(LINES).encode()
    return [whole[i : i + size] for i in range(0, len(whole), size)]


STREAMS = {
    "events": CHUNKS,
    "lines": [line for text in LINES for line in text.split("\n")],
    "bytes lines": [line.encode() for line in LINES],
    "pieces": pieces(37),
    "one piece": pieces(10**6),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_passes_unchanged_and_tells_the_usage(name):
    """Parsed events, lines, and pieces that break anywhere: the caller gets the same ones."""
    with capture() as captured:
        with tokentrace.llm_call({**BODY, "stream": True}, api=API) as call:
            assert list(call.stream(STREAMS[name])) == STREAMS[name]
    assert only(captured).usage.input == OPENAI.reported
    assert only(captured).settings["stream"] is True


async def slowly(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("name", STREAMS)
async def test_an_async_stream_does_too(name):
    """The same with ``async for``."""
    with capture() as captured:
        async with tokentrace.llm_call(BODY, api=API) as call:
            seen = [item async for item in call.stream(slowly(STREAMS[name]))]
    assert seen == STREAMS[name]
    assert only(captured).usage.input == OPENAI.reported


def test_anthropic_events_are_folded():
    """Usage that comes in several events is put together."""
    lines = [
        f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in ANTHROPIC.stream.events
    ]
    with capture() as captured:
        with tokentrace.llm_call(ANTHROPIC.request, api="anthropic.messages") as call:
            list(call.stream(lines))
    usage = only(captured).usage
    assert (usage.input, usage.output) == (ANTHROPIC.reported, 2)


def test_json_lines_are_read():
    """One JSON object a line, as local servers stream, is read as well."""
    lines = [json.dumps({"model": "llama3.2", "done": False}) + "\n",
             json.dumps({"done": True, "prompt_eval_count": 26, "eval_count": 3}) + "\n"]  # fmt: skip
    body = {"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}]}
    with capture() as captured:
        with tokentrace.llm_call(body, api="ollama.chat") as call:
            list(call.stream(lines))
    assert only(captured).usage.input == 26


def test_between_two_chunks_the_caller_is_outside():
    """A call that the consumer of a stream makes is a call of its own, with no parent of ours."""

    def answer():
        with tokentrace.llm_call(BODY, api=API) as call:
            yield from call.stream(CHUNKS)

    with capture() as captured:
        for index, _ in enumerate(answer()):
            if index == 0:
                Shop(OPENAI, asynchronous=False, wire=Wire(OPENAI.plain)).resource().create(**BODY)
    inner, outer = captured.spans
    assert inner.parent is None
    assert outer.parent is None
    assert [call.usage.input for call in captured.calls] == [OPENAI.reported] * 2


def test_a_stream_may_outlive_its_block():
    """Returned from the block and read later, it ends the call with its last chunk."""

    def opened():
        with tokentrace.llm_call(BODY, api=API) as call:
            return call.stream(CHUNKS)

    with capture() as captured:
        stream = opened()
        assert captured.calls == []
        list(stream)
    assert only(captured).usage.input == OPENAI.reported


def test_a_stream_that_is_left_early_or_dropped_ends_the_call():
    """``break``, and a stream that nobody reads."""
    with capture() as captured:
        with tokentrace.llm_call(BODY, api=API) as call:
            for _ in call.stream(CHUNKS):
                break
        with tokentrace.llm_call(BODY, api=API) as call:
            call.stream(CHUNKS)
    assert len(captured.calls) == 2


def test_an_error_in_a_stream_ends_the_call_with_it():
    """The source's own error reaches the caller."""

    def broken():
        yield CHUNKS[0]
        raise ConnectionError

    with capture() as captured:
        with pytest.raises(ConnectionError):
            with tokentrace.llm_call(BODY, api=API) as call:
                list(call.stream(broken()))
    assert only(captured).error_type == "ConnectionError"


def test_a_line_without_end_is_given_up():
    """Pieces of a line that never ends are not kept for ever."""
    lines = answers.Lines()
    for _ in range(20):
        list(lines.items(b"x" * 2**20))
    assert len(lines._rest) <= answers.LONGEST_LINE


# ── as a decorator ───────────────────────────────────────────────────────────────────────────────


@tokentrace.llm_call(api=API)
def plain(body):
    assert body
    return ANSWER


@tokentrace.llm_call(api=API, body="payload")
async def awaited(url, payload):
    await asyncio.sleep(0)
    return ANSWER


@tokentrace.llm_call(api=API, body=lambda **named: named)
def generated(model, messages):
    yield from CHUNKS


@tokentrace.llm_call(
    api=API, body=lambda model, messages, **_: {"model": model, "messages": messages}
)
async def awaited_chunks(model, *, messages, retries=3):
    for chunk in CHUNKS:
        yield chunk


async def run(function, *args, **kwargs):
    """Run a decorated function of any kind to its end."""
    result = function(*args, **kwargs)
    if hasattr(result, "__aiter__"):
        return [item async for item in result]
    if hasattr(result, "__await__"):
        return await result
    return list(result) if hasattr(result, "__next__") else result


KINDS = [
    (plain, (BODY,), {}, ANSWER),
    (awaited, ("http://x", BODY), {}, ANSWER),
    (generated, (BODY["model"], BODY["messages"]), {}, CHUNKS),
    (awaited_chunks, (BODY["model"],), {"messages": BODY["messages"]}, CHUNKS),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "expected"), KINDS)
async def test_a_decorated_function_of_any_kind_is_a_call(function, args, kwargs, expected):
    """Plain, async, generator, async generator: what they give tells the usage."""
    with capture() as captured:
        assert await run(function, *args, **kwargs) == expected
    assert only(captured).tokens == OPENAI.tokens
    assert only(captured).usage.input == OPENAI.reported


@pytest.mark.parametrize(("function", "args", "kwargs", "expected"), KINDS)
async def test_a_decorated_function_is_guarded(function, args, kwargs, expected):
    """A refused call raises before any of the function's code runs."""
    with capture(guard=REFUSES), pytest.raises(tokentrace.TokenLimitExceeded):
        await run(function, *args, **kwargs)


@pytest.mark.parametrize("compress", [shorten, shorten_later])
@pytest.mark.parametrize("by", ["body", "parts"])
async def test_a_shorter_body_reaches_the_decorated_function(by, compress):
    """The argument that holds the body, or those that hold its parts, are replaced."""
    seen = []

    @tokentrace.llm_call(api=API)
    async def whole(body):
        seen.append(body["messages"])

    @tokentrace.llm_call(api=API, body=lambda **named: named)
    async def parts(model, messages, **rest):
        seen.append(messages)

    with capture(guard=tokentrace.Guard(limit=100, compress=compress)) as captured:
        await (whole(LONG) if by == "body" else parts(**LONG))
    assert seen == [[{"role": "user", "content": "word"}]]
    assert only(captured).decision == "compress"


def test_where_a_shorter_body_has_no_way_in_the_callback_is_not_asked(caplog):
    """A body that a function makes itself cannot be replaced: one line says so, the guard warns."""
    asked = []

    @tokentrace.llm_call(api=API, body=lambda text: {**BODY, "messages": [
        {"role": "user", "content": text}]})  # fmt: skip
    def ask(text):
        return ANSWER

    guard = tokentrace.Guard(limit=100, compress=lambda *a: asked.append(a))
    with capture(guard=guard) as captured, pytest.warns(tokentrace.TokenLimitWarning):
        ask("word " * 200)
    assert asked == []
    assert only(captured).decision == "warn"
    assert caplog.text.count("compress callback is not asked") == 1


def test_a_decorated_function_keeps_its_name_and_kind():
    """Decorating changes neither signature nor kind."""
    assert awaited.__name__ == "awaited"
    assert asyncio.iscoroutinefunction(awaited)
    assert list(awaited.__wrapped__.__annotations__) == []


def test_a_method_can_be_decorated():
    """``self`` is no part of the body."""

    class Gateway:
        @tokentrace.llm_call(api=API)
        def post(self, body):
            return ANSWER

    with capture() as captured:
        assert Gateway().post(BODY) is ANSWER
        assert Gateway().post(body=BODY) is ANSWER
    assert len(captured.calls) == 2


# ── wrong use, and no use ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "arguments", [{"api": ""}, {"api": None}, {"api": API, "body": 7}, {"api": API, "body": []}]
)
def test_arguments_of_no_use_are_told_at_once(arguments):
    """A wrong api or body is an error where it is written."""
    with pytest.raises(TypeError, match="llm_call"):
        tokentrace.llm_call(arguments.get("body"), api=arguments["api"])


def test_a_function_without_the_argument_is_told_with_the_mend():
    """Decorating a function that has no such argument names it."""
    with pytest.raises(TypeError, match="no argument 'body'"):

        @tokentrace.llm_call(api=API)
        def ask(text):
            raise AssertionError


def test_a_block_without_a_body_is_told():
    """``with`` needs the body itself."""
    with pytest.raises(TypeError, match="for `with`"):
        with tokentrace.llm_call(api=API):
            raise AssertionError


def test_a_body_that_is_none_leaves_the_function_alone():
    """What the callable returns may be odd: the function runs, uncounted, and the error is counted."""
    _failsafe.reset()

    @tokentrace.llm_call(api=API, body=lambda text: text)
    def ask(text):
        return text

    with capture() as captured:
        assert ask("hi") == "hi"
    assert captured.calls == []
    assert sum(_failsafe.failures.values()) == 1


def test_without_instrument_it_does_nothing_and_says_so_once(caplog):
    """The block and the function run; one line tells what is missing."""
    with tokentrace.llm_call(BODY, api=API) as call:
        assert call.body is BODY
        assert call.response(ANSWER) is ANSWER
        assert list(call.stream(CHUNKS)) == CHUNKS
    assert plain(BODY) is ANSWER
    assert caplog.text.count("before tokentrace.instrument()") == 1


def test_an_unknown_api_is_an_estimate():
    """A wire format that nobody knows is counted as well as it can be."""
    with capture() as captured:
        with tokentrace.llm_call({"prompt": "hello"}, api="acme.talk", model="acme-1") as call:
            call.response({"usage": {"input_tokens": 3}})
    assert only(captured).method == "estimated"


def test_counting_calls_are_no_llm_calls():
    """The provider's count call generates nothing: no span."""
    with capture() as captured:
        with tokentrace.llm_call(BODY, api="openai.responses.input_tokens") as call:
            call.response({"input_tokens": 3})
    assert captured.calls == []


async def test_fifty_at_a_time_do_not_mix():
    """Concurrent blocks of one object keep their own answers."""
    shared = tokentrace.llm_call(BODY, api=API)

    async def one(tokens):
        async with shared as call:
            await asyncio.sleep(0)
            call.response({**ANSWER, "usage": {"prompt_tokens": tokens}})

    with capture() as captured:
        await asyncio.gather(*(one(n) for n in range(1, 51)))
    assert sorted(call.usage.input for call in captured.calls) == list(range(1, 51))
