"""``Guard(verify="near-limit")``: the providers' own count calls, through the real SDKs over loopback."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import tokentrace
from instrument.loopback import Answer, Server, events, whole
from tokentrace import _failsafe
from tokentrace.instrument import asking
from tokentrace.instrument.places import google as google_place
from tokentrace.instrument.places import stainless as stainless_place
from tokentrace.testing import Clock, anthropic_message, capture

anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed")
openai = pytest.importorskip("openai", reason="openai is not installed")
# others put things into the package `google`: without the SDK its import fails in the middle
bedrock, google = (
    pytest.importorskip(
        f"instrument.sdks.{name}", reason=f"{sdk} is not installed", exc_type=ImportError
    )
    for name, sdk in (("bedrock", "boto3"), ("google", "google-genai"))
)

# What these tests provoke: prompts near their limit, and what SDKs say of themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
TEXT = "Why does the pod restart after the rollout? " * 120
COUNTED = ("input_tokens", "count_tokens", "countTokens", "count-tokens")


class Provider(Server):
    """Answers calls, and count calls with what is in ``count``.

    Attributes:
        gate: count calls wait for it.
        arrived: one of them has come.
        asked: count calls that arrived.
        sent: all others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = whole({})
        self.gate, self.arrived = threading.Event(), threading.Event()
        self.gate.set()

    def answer_to(self, sent: Any) -> Answer:
        if not self.counts(sent):
            return self.answer
        self.arrived.set()
        self.gate.wait(60)
        return self.count

    @staticmethod
    def counts(sent: Any) -> bool:
        return sent.path.partition("?")[0].endswith(COUNTED)

    @property
    def asked(self) -> list[Any]:
        return [sent for sent in self.requests if self.counts(sent)]

    @property
    def sent(self) -> list[Any]:
        return [sent for sent in self.requests if not self.counts(sent)]


@pytest.fixture
def server() -> Iterator[Provider]:
    """Run a provider; whatever it holds back goes on at the end."""
    with Provider() as running:
        yield running
        running.gate.set()


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Give count calls a minute: on a machine that is busy with other work none is late."""
    for module in (asking, google_place, stainless_place):
        monkeypatch.setattr(module, "SECONDS", 60.0)


@dataclass(frozen=True)
class Kind:
    """One api of one SDK.

    Attributes:
        body: as it goes onto the wire, for our own count.
        call: makes a call: plain or streamed, in either colour.
        answer: to the call, by whether it is streamed.
        tokens: the field of the count call's answer.
        asked: what of the count call's body must be there.
    """

    name: str
    api: str
    provider: str
    body: dict[str, Any]
    call: Any
    answer: dict[bool, Answer]
    tokens: str
    asked: Any
    colours: tuple[bool, ...] = (False, True)
    streams: tuple[bool, ...] = field(default=(False, True))

    def bounds(self) -> tuple[int, int]:
        """Return our own count of the request and its bound."""
        counted = tokentrace.count(self.body, api=self.api, provider=self.provider)
        assert counted.error > 0, "an exact count is never asked for"
        return counted.total, counted.error


# ── the SDKs ─────────────────────────────────────────────────────────────────────────────────────

RESPONDED = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-4o",
             "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
             "usage": {"input_tokens": 900, "output_tokens": 3, "total_tokens": 903,
                       "input_tokens_details": {"cached_tokens": 0},
                       "output_tokens_details": {"reasoning_tokens": 0}}}  # fmt: skip
MESSAGE = anthropic_message("Because.", input_tokens=900).body
RESPONSES_BODY = {"model": "gpt-4o", "input": TEXT, "instructions": "Be brief."}
MESSAGES_BODY = {"model": "claude-sonnet-4-6", "max_tokens": 9, "system": "Be brief.",
                 "messages": [{"role": "user", "content": TEXT}]}  # fmt: skip
GEMINI_BODY = {"model": google.MODEL, "contents": [{"role": "user", "parts": [{"text": TEXT}]}],
               "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]}}  # fmt: skip
CONVERSE_BODY = {"modelId": bedrock.MODEL, "system": [{"text": "Be brief."}],
                 "messages": [{"role": "user", "content": [{"text": TEXT}]}],
                 "inferenceConfig": {"maxTokens": 9}}  # fmt: skip
INVOKE_BODY = {"modelId": bedrock.MODEL, "anthropic_version": "bedrock-2023-05-31", "max_tokens": 9,
               "messages": [{"role": "user", "content": TEXT}]}  # fmt: skip


def stainless(make, resource, body):
    """Return what calls a client of openai or anthropic."""

    async def awaited(client, stream):
        async with client:
            answer = await getattr(client, resource).create(**body, stream=stream)
            return [item async for item in answer] if stream else answer

    def call(url, *, stream, asynchronous):
        client = make(url, asynchronous)
        if asynchronous:
            return awaited(client, stream)
        with client:
            answer = getattr(client, resource).create(**body, stream=stream)
            return list(answer) if stream else answer

    return call


def openai_client(url, asynchronous):
    kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    return kind(api_key="secret", base_url=f"{url}/v1", max_retries=2)


def anthropic_client(url, asynchronous):
    kind = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
    return kind(api_key="secret", base_url=url, max_retries=2)


def gemini(opened):
    request = {
        "model": google.MODEL,
        "contents": TEXT,
        "config": {"system_instruction": "Be brief."},
    }

    async def awaited(url, stream):
        with opened(url) as client:
            if not stream:
                return await client.aio.models.generate_content(**request)
            chunks = await client.aio.models.generate_content_stream(**request)
            return [chunk async for chunk in chunks]

    def call(url, *, stream, asynchronous):
        if asynchronous:
            return awaited(url, stream)
        with opened(url) as client:
            if stream:
                return list(client.models.generate_content_stream(**request))
            return client.models.generate_content(**request)

    return call


def converse(url, *, stream, asynchronous):
    del asynchronous
    client = bedrock.client(url)
    if stream:
        return list(client.converse_stream(**CONVERSE_BODY)["stream"])
    return client.converse(**CONVERSE_BODY)


def invoke(url, *, stream, asynchronous):
    del stream, asynchronous
    inside = {key: value for key, value in INVOKE_BODY.items() if key != "modelId"}
    given = bedrock.body_of({"modelId": bedrock.MODEL, "body": inside})
    return bedrock.client(url).invoke_model(**given)["body"].read()


EVENTS = {
    "responses": events({"type": "response.completed", "sequence_number": 0, "response": RESPONDED}),
    "messages": events({"type": "message_start", "message": MESSAGE}, {"type": "message_stop"}, done=False),
}  # fmt: skip
KINDS = (
    Kind("openai responses", "openai.responses", "", RESPONSES_BODY,
         stainless(openai_client, "responses", RESPONSES_BODY),
         {False: whole(RESPONDED), True: EVENTS["responses"]}, "input_tokens", ("input", "instructions")),
    Kind("anthropic", "anthropic.messages", "anthropic", MESSAGES_BODY,
         stainless(anthropic_client, "messages", MESSAGES_BODY),
         {False: whole(MESSAGE), True: EVENTS["messages"]}, "input_tokens", ("messages", "system")),
    Kind("gemini", "gemini.generateContent", "gemini", GEMINI_BODY, gemini(google.gemini),
         {False: google.PLAIN, True: google.STREAM}, "totalTokens", ("generateContentRequest",)),
    Kind("vertex", "gemini.generateContent", "vertex", GEMINI_BODY, gemini(google.vertex),
         {False: google.PLAIN, True: google.STREAM}, "totalTokens", ("contents", "systemInstruction")),
    Kind("bedrock converse", "bedrock.converse", "bedrock", CONVERSE_BODY, converse,
         {False: bedrock.CONVERSED, True: bedrock.STREAM}, "inputTokens", ("input",), (False,)),
    Kind("bedrock invoke", "bedrock.invoke", "bedrock", INVOKE_BODY, invoke,
         {False: bedrock.INVOKED}, "inputTokens", ("input",), (False,), (False,)),
)  # fmt: skip
RESPONDS = hasattr(openai.OpenAI(api_key="test"), "responses")  # not in the oldest SDKs
COUNTS = hasattr(bedrock.client("http://127.0.0.1:9"), "count_tokens")
KINDS = tuple(
    kind
    for kind in KINDS
    if (RESPONDS or kind.api != "openai.responses") and (COUNTS or kind.provider != "bedrock")
)
WITH_COUNTS = pytest.mark.skipif(not COUNTS, reason="this boto3 has no CountTokens")
FORMS = [
    pytest.param(kind, stream, asynchronous, id=f"{kind.name}{' stream' * stream}{' async' * asynchronous}")
    for kind in KINDS
    for stream in kind.streams
    for asynchronous in kind.colours
]  # fmt: skip
MESSAGES = next(kind for kind in KINDS if kind.name == "anthropic")
GEMINI = next(kind for kind in KINDS if kind.name == "gemini")


def made(kind, url, *, stream=False, asynchronous=False):
    """Make a call to its end."""
    result = kind.call(url, stream=stream, asynchronous=asynchronous)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def near(limit, **more):
    """Return a guard that asks."""
    return tokentrace.Guard(limit=limit, on_exceed="raise", verify="near-limit", **more)


# ── what the number does ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "stream", "asynchronous"), FORMS)
def test_a_number_above_the_limit_refuses_before_anything_is_sent(
    server, kind, stream, asynchronous
):
    """The provider's own count decides; it is the only request that leaves, and no LLM call."""
    total, _ = kind.bounds()
    server.answer, server.count = kind.answer[stream], whole({kind.tokens: total + 11})
    with capture(guard=near(total + 10)) as captured:
        with pytest.raises(tokentrace.TokenLimitExceeded) as refused:
            made(kind, server.url, stream=stream, asynchronous=asynchronous)
    count = refused.value.report.count
    assert (count.total, count.method, count.error) == (total + 11, "provider", 0)
    assert sum(count.components.values()) == count.total
    assert (len(server.asked), server.sent) == (1, [])
    assert [call.method for call in captured.calls] == ["provider"]
    assert set(kind.asked) <= server.asked[0].body.keys()


@pytest.mark.parametrize(("kind", "stream", "asynchronous"), FORMS)
def test_a_number_below_the_limit_lets_the_call_go(server, kind, stream, asynchronous):
    """One count call, then the call itself, once; its span tells the provider's number."""
    total, _ = kind.bounds()
    server.answer, server.count = kind.answer[stream], whole({kind.tokens: total - 1})
    with capture(guard=near(total + 10)) as captured:
        made(kind, server.url, stream=stream, asynchronous=asynchronous)
    assert [server.counts(sent) for sent in server.requests] == [True, False]
    (call,) = captured.calls
    assert (call.tokens, call.method, call.error) == (total - 1, "provider", 0)
    assert _failsafe.failures == {}


@pytest.mark.parametrize(("kind", "stream", "asynchronous"), FORMS)
def test_nothing_is_asked_where_the_bound_hides_nothing(server, kind, stream, asynchronous):
    """Far below every threshold, and far above the limit, no request is added."""
    total, error = kind.bounds()
    server.answer, server.count = kind.answer[stream], whole({kind.tokens: 1})
    with capture(guard=near(3 * (total + error))):
        made(kind, server.url, stream=stream, asynchronous=asynchronous)
    with capture(guard=near((total - error) // 2)), pytest.raises(tokentrace.TokenLimitExceeded):
        made(kind, server.url, stream=stream, asynchronous=asynchronous)
    assert (len(server.asked), len(server.sent)) == (0, 1)


def test_the_count_call_goes_the_way_of_the_call(server):
    """Same secret, same headers of the caller's own; what belongs to the answer's form stays behind."""
    total, _ = MESSAGES.bounds()
    server.answer, server.count = whole(MESSAGE), whole({"input_tokens": total})
    with capture(guard=near(total)), anthropic_client(server.url, False) as client:
        own = {"x-tenant": "t1", "anthropic-beta": "mcp-client-2025-04-04"}
        client.messages.with_raw_response.create(**MESSAGES_BODY, extra_headers=own)
    asked, sent = ({k.lower(): v for k, v in one.headers.items()} for one in server.requests)
    assert asked.get("authorization") or asked.get("x-api-key")
    for name in ("authorization", "x-api-key", *own):
        assert asked.get(name) == sent.get(name)
    assert "x-stainless-raw-response" not in asked
    assert "max_tokens" not in server.asked[0].body


@WITH_COUNTS
def test_bedrock_is_asked_for_the_model_behind_a_profile(server):
    """The count call knows models, not inference profiles."""
    kind = next(kind for kind in KINDS if kind.api == "bedrock.converse")
    total, _ = kind.bounds()
    server.answer, server.count = bedrock.CONVERSED, whole({"inputTokens": total})
    with capture(guard=near(total)):
        made(kind, server.url)
    assert bedrock.MODEL.startswith("us.")
    assert "/model/anthropic.claude" in server.asked[0].path
    assert "/model/us.anthropic.claude" in server.sent[0].path


@pytest.mark.skipif(not RESPONDS, reason="this openai has no Responses API")
def test_what_the_provider_keeps_is_told_by_its_own_count(server):
    """A conversation that began elsewhere: the difference is no more of the user's than before."""
    alone = tokentrace.count(RESPONSES_BODY, api="openai.responses")
    server.count = whole({"input_tokens": alone.total + 5_000})
    with capture(guard=near(alone.total + 4_000)), openai_client(server.url, False) as client:
        with pytest.raises(tokentrace.TokenLimitExceeded) as refused:
            client.responses.create(**RESPONSES_BODY, previous_response_id="resp_elsewhere")
    count = refused.value.report.count
    assert count.components == {**alone.components, "server_context": 5_000}
    assert server.asked[0].body["previous_response_id"] == "resp_elsewhere"
    assert server.sent == []


@pytest.mark.skipif(not RESPONDS, reason="this openai has no Responses API")
def test_a_context_that_nobody_knows_is_asked_for_once(server):
    """Its size can be anything; from the second call of the chain on it is known."""
    server.answer, server.count = whole(RESPONDED), whole({"input_tokens": 90_000})
    with capture(guard=near(100_000)) as captured, openai_client(server.url, False) as client:
        for previous in ("resp_elsewhere", RESPONDED["id"]):
            client.responses.create(**RESPONSES_BODY, previous_response_id=previous)
    assert (len(server.asked), len(server.sent)) == (1, 2)
    assert captured.calls[0].decision == "warn"
    with capture(guard=near(80_000)), openai_client(server.url, False) as client:
        with pytest.raises(tokentrace.TokenLimitExceeded):
            client.responses.create(**RESPONSES_BODY, previous_response_id="resp_of_others")


@pytest.mark.skipif(not RESPONDS, reason="this openai has no Responses API")
def test_less_than_the_body_itself_is_not_believed(server):
    """However much the provider keeps: a proxy that answers a call with one token is no count."""
    server.answer, server.count = whole(RESPONDED), whole({"input_tokens": 1})
    with capture(guard=near(100_000)), openai_client(server.url, False) as client:
        for previous in ("resp_elsewhere", "resp_of_others"):
            client.responses.create(**RESPONSES_BODY, previous_response_id=previous)
    assert (len(server.asked), len(server.sent)) == (1, 2)


@pytest.mark.skipif(not RESPONDS, reason="this openai has no Responses API")
def test_a_stored_prompt_is_not_asked_for(server):
    """OpenAI's count call does not know them, so its number would be too small."""
    body = {**RESPONSES_BODY, "prompt": {"id": "pmpt_1"}}
    server.answer, server.count = whole(RESPONDED), whole({"input_tokens": 7})
    with capture(guard=near(1_000)), openai_client(server.url, False) as client:
        client.responses.create(**body)
    assert (server.asked, len(server.sent)) == ([], 1)


def test_chat_completions_and_embeddings_have_no_count_call(server):
    """There is nothing to ask: the guard decides on the count as it is."""
    server.answer = whole({"object": "list", "model": "m", "data": [], "choices": []})
    body = {"model": "somebody-elses", "messages": [{"role": "user", "content": TEXT}]}
    counted = tokentrace.count(body, api="openai.chat")
    with capture(guard=near(counted.total)), openai_client(server.url, False) as client:
        client.chat.completions.create(**body)
        client.embeddings.create(model="somebody-elses", input=TEXT, encoding_format="float")
    assert (server.asked, len(server.sent)) == ([], 2)


def test_a_compressed_body_is_asked_for_again(server):
    """The callback's body is counted, and asked for, like any other."""
    total, _ = MESSAGES.bounds()
    server.answer = whole(MESSAGE)
    server.count = whole({"input_tokens": total + 20})

    def shorten(body, report):
        assert report.count.method == "provider"
        server.count = whole({"input_tokens": total})
        return {**body, "system": "Brief."}

    with capture(guard=near(total + 10, thresholds=(1.0,), compress=shorten)) as captured:
        made(MESSAGES, server.url)
    assert (len(server.asked), len(server.sent)) == (2, 1)
    assert server.sent[0].body["system"] == "Brief."
    assert (captured.calls[0].tokens, captured.calls[0].decision) == (total, "compress")


# ── what may go wrong ────────────────────────────────────────────────────────────────────────────

RUBBISH = {
    "no json": Answer((b"<html>busy</html>",), "text/html"),
    "an empty body": Answer((b"",)),
    "another object": whole({"tokens": 3}),
    "a list": whole([1, 2]),
    "a text": whole({"input_tokens": "many", "totalTokens": "many", "inputTokens": 1.5}),
    "a switch": whole({"input_tokens": True, "totalTokens": True, "inputTokens": True}),
    "nothing": whole({"input_tokens": 0, "totalTokens": 0, "inputTokens": 0}),
    "a negative number": whole({"input_tokens": -5, "totalTokens": -5, "inputTokens": -5}),
    "a number nobody believes": whole(dict.fromkeys(("input_tokens", "totalTokens"), 10**12)),
    "not found": whole({"error": {"message": "no such route"}}, status=404),
    "a rate limit": whole({"error": {"message": "slow down"}}, status=429),
    "a broken server": whole({"error": {"message": TEXT}}, status=500),
    "a dropped connection": Answer((b"{", b'"input_tokens"'), breaks=True),
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH)
@pytest.mark.parametrize(
    ("kind", "asynchronous"), [(MESSAGES, False), (GEMINI, True)], ids=["sync", "async"]
)
def test_a_count_call_that_gives_nothing_changes_nothing(
    server, caplog, kind, rubbish, asynchronous
):
    """The call goes on as it was counted; one warning names the mend and no word of the answer."""
    total, error = kind.bounds()
    server.answer, server.count = kind.answer[False], rubbish
    with (
        caplog.at_level(logging.WARNING, "tokentrace"),
        capture(guard=near(total + 10)) as captured,
    ):
        for _ in range(2):
            made(kind, server.url, asynchronous=asynchronous)
    assert (len(server.asked), len(server.sent)) == (1, 2)  # the second one is not asked for
    assert (captured.calls[0].tokens, captured.calls[0].error) == (total, error)
    told = [r.getMessage() for r in caplog.records if "count call" in r.getMessage()]
    assert len(told) == 1
    assert "verify=a callable" in told[0]
    assert "pod restart" not in told[0]
    assert _failsafe.failures == {}


@WITH_COUNTS
def test_bedrock_that_gives_nothing_changes_nothing(server, caplog):
    """The same for boto3, whose errors are its own."""
    kind = next(kind for kind in KINDS if kind.api == "bedrock.converse")
    total, error = kind.bounds()
    denied = whole(
        {"message": "no"}, status=403, headers={"x-amzn-errortype": "AccessDeniedException"}
    )
    server.answer, server.count = bedrock.CONVERSED, denied
    with (
        caplog.at_level(logging.WARNING, "tokentrace"),
        capture(guard=near(total + 10)) as captured,
    ):
        made(kind, server.url)
    assert (captured.calls[0].tokens, captured.calls[0].error) == (total, error)
    assert "AccessDenied" in caplog.text


@pytest.mark.parametrize(
    ("kind", "asynchronous"),
    [
        pytest.param(kind, colour, id=f"{kind.name}{' async' * colour}")
        for kind in KINDS
        for colour in kind.colours
    ],
)
def test_a_count_call_that_hangs_is_let_go(server, caplog, monkeypatch, kind, asynchronous):
    """After its time the call goes on, while the count call still hangs."""
    monkeypatch.setattr(asking, "SECONDS", 0.3)
    total, _ = kind.bounds()
    server.answer, server.count = kind.answer[False], whole({kind.tokens: total + 11})
    server.gate.clear()
    with (
        caplog.at_level(logging.WARNING, "tokentrace"),
        capture(guard=near(total + 10)) as captured,
    ):
        made(kind, server.url, asynchronous=asynchronous)
    assert not server.gate.is_set()
    assert (len(server.asked), len(server.sent)) == (1, 1)
    assert captured.calls[0].method != "provider"
    assert "Timeout" in caplog.text


def test_where_no_thread_can_be_started_nothing_is_asked(server, monkeypatch):
    """At the process's limit of threads a call goes on as it was counted, and no slot is lost."""

    class Thread(threading.Thread):
        def start(self):
            if self.name == asking.THREAD:
                raise RuntimeError("can't start new thread")
            super().start()

    total, error = MESSAGES.bounds()
    server.answer, server.count = whole(MESSAGE), whole({"input_tokens": total})
    with capture(guard=near(total + 10)) as captured:
        monkeypatch.setattr(threading, "Thread", Thread)
        made(MESSAGES, server.url)
        ends = [asking.DESK.slot() for _ in range(asking.MOST_AT_ONCE)]
    assert None not in ends
    for end in ends:
        end()
    assert (server.asked, len(server.sent)) == ([], 1)
    assert (captured.calls[0].tokens, captured.calls[0].error) == (total, error)
    assert _failsafe.failures == {}


async def test_a_cancelled_call_is_cancelled_while_it_asks(server):
    """The host's own cancellation goes through; the call is never made."""
    total, _ = MESSAGES.bounds()
    server.answer, server.count = whole(MESSAGE), whole({"input_tokens": total})
    server.gate.clear()
    with capture(guard=near(total)):
        task = asyncio.ensure_future(MESSAGES.call(server.url, stream=False, asynchronous=True))
        await asyncio.to_thread(server.arrived.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.sent == []


# ── how often ────────────────────────────────────────────────────────────────────────────────────


def test_so_many_are_asked_a_minute():
    """Each place has a number of its own, and a minute later it begins anew."""
    clock = Clock()
    desk = asking.Desk(clock)
    one, other = ("anthropic", "a.example", "m"), ("anthropic", "b.example", "m")
    assert [desk.admits(one) for _ in range(asking.MOST_A_MINUTE + 2)].count(True) == 20
    assert desk.admits(other)
    clock.tick(30)
    assert not desk.admits(one)
    clock.tick(31)
    assert desk.admits(one)


def test_a_place_that_failed_is_left_alone_for_a_while():
    """Five minutes later it is asked again."""
    clock = Clock()
    desk, place = asking.Desk(clock), ("", "a.example", "m")
    desk.pause(place)
    assert not desk.admits(place)
    clock.tick(299)
    assert not desk.admits(place)
    clock.tick(1)
    assert desk.admits(place)


def test_at_most_so_many_are_under_way():
    """A fifth one does without, until one is over."""
    desk = asking.Desk()
    ends = [desk.slot() for _ in range(asking.MOST_AT_ONCE)]
    assert None not in ends
    assert desk.slot() is None
    ends[0]()
    assert desk.slot() is not None


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "tasks"])
def test_calls_at_once_are_all_made_and_few_are_asked_for(server, asynchronous):
    """Many uncertain calls at once: each is made once, with or without the provider's number."""
    total, _ = MESSAGES.bounds()
    server.answer, server.count = whole(MESSAGE), whole({"input_tokens": total - 1})
    many = 12

    async def together():
        calls = (MESSAGES.call(server.url, stream=False, asynchronous=True) for _ in range(many))
        return await asyncio.gather(*calls)

    with capture(guard=near(total + 10)) as captured:
        if asynchronous:
            asyncio.run(together())
        else:
            threads = [
                threading.Thread(target=made, args=(MESSAGES, server.url)) for _ in range(many)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(server.sent) == many
    assert 1 <= len(server.asked) <= many
    methods = [call.method for call in captured.calls]
    assert methods.count("provider") == len(server.asked)
    assert _failsafe.failures == {}
