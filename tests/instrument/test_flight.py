"""Large new text in an event loop: counted in flight or awaited, exact at the span's end, and nothing waits."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tokentrace
from tokentrace import Guard, readers, schema
from tokentrace.counting.counter import counted, read
from tokentrace.counting.store import STORE
from tokentrace.guard import decide
from tokentrace.instrument import aside, flight
from tokentrace.instrument.aside import BENCH, Work
from tokentrace.prompt import CallRecord
from tokentrace.readers import Problems
from tokentrace.telemetry import exporting, losses, sources
from tokentrace.testing import Reply, Wire, capture, openai_chat, openai_chat_stream

openai = pytest.importorskip("openai", reason="openai is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning")
MODEL = "gpt-4.1"
PATIENCE = 60.0


def prose(seed: int, words: int = 6_000) -> str:
    """Return text that nobody has counted, some 40 kB of it."""
    rng = random.Random(seed)
    return " ".join(f"{rng.choice('abcdefghij')}{rng.randrange(10**5)}" for _ in range(words))


def body(seed: int, words: int = 6_000, **more):
    """Return a request of one large text."""
    return {"model": MODEL, "messages": [{"role": "user", "content": prose(seed, words)}], **more}


def client(*replies, asynchronous: bool = True):
    """Return a client and its wire."""
    wire = Wire(*(replies or (openai_chat("ok", prompt_tokens=11),)))
    kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    http = wire.client("openai", asynchronous=asynchronous)
    return kind(api_key="test", http_client=http, max_retries=0), wire


@pytest.fixture
def gate(monkeypatch):
    """Hold the thread that counts until the test opens the gate."""
    opened, run = threading.Event(), Work.run

    def held(self):
        opened.wait(PATIENCE)
        run(self)

    monkeypatch.setattr(Work, "run", held)
    yield opened
    opened.set()
    BENCH.settle(PATIENCE)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Wait for counts as long as it takes, on however slow a machine."""
    monkeypatch.setattr(aside, "PATIENCE", PATIENCE)
    monkeypatch.setattr(flight, "LONGEST", PATIENCE)


def exact(request):
    """Return the count of a body, all of it counted."""
    return tokentrace.count(request, api="openai.chat")


def check_exact(call, request):
    """Hold a call's record to the count of its body."""
    truth = exact(request)
    assert (call.tokens, call.method, call.error) == (truth.total, "exact", 0)
    assert dict(call.components) == dict(truth.components)
    assert sum(call.components.values()) == call.tokens


# ── in flight ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("guard", [False, None], ids=["off", "on"])
def test_the_answer_comes_before_the_count(gate, guard):
    """The caller has his answer while the text is still uncounted; the span ends with the exact count."""
    sdk, _ = client()
    request = body(1, 3_000)

    async def call():
        return await sdk.chat.completions.create(**request)

    with capture(guard=guard) as seen:
        answer = asyncio.run(call())
        assert answer.choices[0].message.content == "ok"
        assert not seen._spans()
        gate.set()
        (one,) = seen.calls
    check_exact(one, request)
    assert one.usage.input == 11
    assert one.decision == ("off" if guard is False else "ok")


def test_a_count_begins_when_the_loop_goes_on(monkeypatch):
    """What makes the call leave has the interpreter to itself, but not for long where the loop stands still."""
    monkeypatch.setattr(flight, "PATIENCE", 0.01)
    begun, still = [], threading.Event()

    async def turn():
        turned = flight._turned()
        before = turned.is_set()
        await asyncio.sleep(0)
        return before, turned.is_set()

    assert asyncio.run(turn()) == (False, True)
    assert flight._turned().is_set()
    flight._in_turn(still, lambda: begun.append(still.is_set()))
    assert begun == [False]


def test_the_span_has_the_times_of_the_call(gate):
    """However late the count is: the span ends when the call did."""
    sdk, _ = client()
    with capture(guard=False) as seen:
        before = sources.settings().wall()
        asyncio.run(_made(sdk, body(2)))
        after = sources.settings().wall()
        gate.set()
        (one,) = seen.calls
    assert before <= one.start <= one.end <= after


async def _made(sdk, request):
    return await sdk.chat.completions.create(**request)


def test_a_stream_ends_with_what_it_told():
    """A stream is followed to its end, with the usage of its last chunk and the exact count."""
    sdk, _ = client(openai_chat_stream("a", "b", prompt_tokens=12))
    request = body(3)

    async def call():
        got = []
        async for chunk in await sdk.chat.completions.create(
            **request, stream=True, stream_options={"include_usage": True}
        ):
            got += [choice.delta.content for choice in chunk.choices]
        return got

    with capture(guard=False) as seen:
        assert "a" in asyncio.run(call())
        (one,) = seen.calls
    check_exact(one, request)
    assert one.usage.input == 12


def test_a_raw_response_is_the_same_call():
    """A raw response is read by the caller, and told all the same."""
    sdk, _ = client()
    request = body(4)

    async def call():
        raw = await sdk.chat.completions.with_raw_response.create(**request)
        return raw.parse()

    with capture(guard=False) as seen:
        assert asyncio.run(call()).usage.prompt_tokens == 11
        (one,) = seen.calls
    check_exact(one, request)


@pytest.mark.parametrize("status", [400, 500])
def test_a_failed_call_has_its_error_and_its_count(gate, status):
    """The provider's error reaches the caller at once; the span has it beside the exact count."""
    sdk, _ = client(Reply({"error": {"message": "no"}}, status=status))
    request = body(5)
    with capture(guard=False) as seen:
        with pytest.raises(openai.APIStatusError):
            asyncio.run(_made(sdk, request))
        gate.set()
        (one,) = seen.calls
    check_exact(one, request)
    assert one.error_type


def test_a_cancelled_call_ends():
    """A call that is cancelled on its way has a span, with its count."""
    began = asyncio.Event()
    request = body(6)

    async def case():
        async def hang(_request):
            began.set()
            await asyncio.sleep(PATIENCE)

        http = httpx.AsyncClient(transport=httpx.MockTransport(hang))
        sdk = openai.AsyncOpenAI(api_key="test", http_client=http)
        task = asyncio.create_task(_made(sdk, request))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with capture(guard=False) as seen:
        asyncio.run(case())
        (one,) = seen.calls
    check_exact(one, request)
    assert one.error_type


def test_an_abandoned_stream_ends():
    """A stream that nobody reads to its end has a span, with its count."""
    sdk, _ = client(openai_chat_stream("a", "b", prompt_tokens=12))
    request = body(7)

    async def call():
        stream = await sdk.chat.completions.create(**request, stream=True)
        await anext(aiter(stream))
        await stream.close()

    with capture(guard=False) as seen:
        asyncio.run(call())
        (one,) = seen.calls
    check_exact(one, request)


def test_calls_of_one_lineage_stay_in_order(gate):
    """A call that comes while the one before is counted waits for it: turn, growth and trend are right."""
    sdk, _ = client()
    first = body(8)
    talk = [*first["messages"], {"role": "assistant", "content": "ok"}]
    second = {**first, "messages": [*talk, {"role": "user", "content": "And now?"}]}

    async def case():
        await _made(sdk, first)
        later = asyncio.create_task(_made(sdk, second))
        await asyncio.sleep(0)
        gate.set()
        await later

    with capture(guard=False) as seen, tokentrace.session("s"):
        asyncio.run(case())
        one, two = seen.calls
    check_exact(one, first)
    check_exact(two, second)
    assert one.lineage == two.lineage
    assert (one.turn, two.turn) == (1, 2)
    assert two.delta == two.tokens - one.tokens
    assert two.trend == "increase"


def test_many_at_once_are_all_exact():
    """Calls that run side by side do not mix."""
    sdk, _ = client()
    requests = [body(100 + n, 3_000 + 100 * n) for n in range(8)]

    async def case():
        await asyncio.gather(*(_made(sdk, one) for one in requests))

    with capture(guard=False) as seen:
        asyncio.run(case())
        found = sorted(call.tokens for call in seen.calls)
    assert found == sorted(exact(one).total for one in requests)


# ── awaited ──────────────────────────────────────────────────────────────────────────────────────


def test_a_verdict_that_hangs_on_the_count_is_awaited(gate):
    """While the count is awaited the loop goes on, and nothing has left."""
    sdk, wire = client()
    request = body(9)
    limit = exact(request).total * 2

    async def case():
        task = asyncio.create_task(_made(sdk, request))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not wire.requests
        gate.set()
        await task

    STORE.clear()
    with capture(guard=Guard(limit=limit)) as seen:
        asyncio.run(case())
        (one,) = seen.calls
    check_exact(one, request)
    assert len(wire.requests) == 1


def test_a_refusal_is_certain():
    """What is above the limit is refused on an exact count, before a byte is sent."""
    sdk, wire = client()
    request = body(10)
    with capture(guard=Guard(limit=10_000, on_exceed="raise")) as seen:
        with pytest.raises(tokentrace.TokenLimitExceeded) as refused:
            asyncio.run(_made(sdk, request))
        (one,) = seen.calls
    assert not wire.requests
    assert refused.value.report.count.total == exact(request).total
    check_exact(one, request)


def test_llm_call_has_its_report_at_once():
    """A report that the caller may read is a counted one."""
    request = body(11)

    async def case():
        async with tokentrace.llm_call(request, api="openai.chat") as call:
            return call.report.count

    with capture(guard=False):
        count = asyncio.run(case())
    assert (count.total, count.method) == (exact(request).total, "exact")


# ── the verdict is the same ──────────────────────────────────────────────────────────────────────

APIS = {
    "openai.chat": ("gpt-4.1", "gpt-4o", "gpt-3.5-turbo", "llama-3.1-70b"),
    "anthropic.messages": ("claude-sonnet-4-5", "claude-3-haiku-20240307"),
}
PIECES = ("word ", "a1", "漢字", "🙂", '"\\n{', "\n", "x" * 40, "é")


@settings(max_examples=150)
@given(
    st.sampled_from([(api, model) for api, models in APIS.items() for model in models]),
    st.lists(st.tuples(st.sampled_from(PIECES), st.integers(1, 3_000)), min_size=1, max_size=4),
    st.floats(0.02, 12.0),
    st.sampled_from([(0.8, 0.95), (0.1,), ()]),
)
def test_verdict_without_a_count_is_that_of_the_count(where, pieces, share, thresholds):
    """Wherever the limit lies around the bound: a call that may leave uncounted would have left anyway."""
    api, model = where
    text = "".join(piece * times for piece, times in pieces)
    request = {"model": model, "messages": [{"role": "user", "content": text}]}
    STORE.clear()  # what was counted before needs no bound
    found = read(request, api=api)
    count = counted(found, None)
    high = flight.highest(found.most)
    assert count.total + count.error <= high
    limit = max(1, round(share * found.most))
    count = replace(count, limit=limit, limit_source="configured", limit_hard=True)
    guard = Guard(limit=limit, thresholds=thresholds, on_exceed="raise")
    without = decide(guard, replace(count, total=high, error=0, components={}))
    assert without.decision != "ok" or decide(guard, count).decision == "ok"
    least = found.bounded(high)
    assert least.total - least.error <= count.total <= least.total + least.error


# ── the bench ────────────────────────────────────────────────────────────────────────────────────


def test_too_much_work_is_estimated_and_counted(gate, monkeypatch):
    """Where there is no room the call leaves with an estimate and its bound; the status says so."""
    monkeypatch.setattr(aside, "MOST_WAITING", 1)
    sdk, _ = client()
    requests = [body(200 + n) for n in range(4)]

    async def case():
        for one in requests:
            await _made(sdk, one)

    with capture(guard=False) as seen:
        before = BENCH.counts["full"]
        asyncio.run(case())
        full = tokentrace.status()["aside"]["full"] - before
        gate.set()
        calls = seen.calls
    assert full >= 2
    truths = {exact(one).total for one in requests}
    estimates = [call for call in calls if call.method == "estimated"]
    assert len(estimates) == full
    for call in estimates:
        assert any(abs(call.tokens - truth) <= call.error for truth in truths)


def test_without_a_thread_the_call_goes_on(monkeypatch):
    """A machine that has no more threads costs exactness, not the call."""
    start = threading.Thread.start

    def none(self):
        if self.name == "tokentrace-count":
            raise RuntimeError("can't start new thread")
        start(self)

    sdk, _ = client()
    with capture(guard=False) as seen, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        assert asyncio.run(_made(sdk, body(12))).usage.prompt_tokens == 11
        (one,) = seen.calls
        assert tokentrace.status()["aside"]["no thread"]
    assert one.method == "estimated"


def test_the_thread_ends_when_there_is_nothing_to_do():
    """No thread of ours stays behind."""
    sdk, _ = client()
    with capture(guard=False) as seen:
        asyncio.run(_made(sdk, body(13)))
        assert seen.calls
    assert BENCH.idle
    assert not [one for one in threading.enumerate() if one.name == "tokentrace-count"]


def test_no_text_stays_behind():
    """What was counted is not held by the work that counted it."""
    done = []
    work = Work(lambda: done.append(1), 5)
    assert BENCH.put(work)
    work.join(PATIENCE)
    assert done
    assert work._do is None


def test_uninstrument_waits_for_counts_on_their_way():
    """The spans of calls that are still counted are there when hooks are out."""
    sdk, _ = client()
    exporter = InMemorySpanExporter()
    tokentrace.instrument(guard=False, tracer_provider=exporting.in_memory(exporter))
    request = body(14, 60_000)
    asyncio.run(_made(sdk, request))
    tokentrace.uninstrument()
    (span,) = exporter.get_finished_spans()
    assert span.attributes[schema.TOKENS] == exact(request).total


def test_who_waits_too_long_gets_estimates(monkeypatch):
    """When the time to flush is over, what is not counted is estimated, with its bound."""
    monkeypatch.setattr(aside, "PATIENCE", 0.0)
    monkeypatch.setattr(aside, "GRACE", PATIENCE)
    sdk, _ = client()
    request = body(15, 200_000)
    with capture(guard=False) as seen:
        asyncio.run(_made(sdk, request))
        (one,) = seen.calls
    assert abs(one.tokens - exact(request).total) <= one.error


CHILD = """
import asyncio, os, sys
import openai, tokentrace
from tokentrace.testing import Wire, openai_chat

def made(seed):
    text = " ".join(f"{seed}{n * 7919 % 100003}" for n in range(WORDS))
    wire = Wire(openai_chat("ok", prompt_tokens=11))
    sdk = openai.AsyncOpenAI(api_key="t", http_client=wire.client("openai", asynchronous=True))
    return sdk.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": text}])

tokentrace.instrument(guard=False, exporter="local")
"""


def run(code, words=60_000):
    """Run a program to its end."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD.replace("WORDS", str(words)) + code],
        check=True,
        timeout=300,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert "Traceback" not in done.stderr, done.stderr


def test_exit_waits_for_what_is_on_its_way():
    """A program that ends right after its call has its span, with a count or an estimate."""
    run("asyncio.run(made('a'))")
    (call,) = left()
    assert call.tokens > 0
    assert call.usage.input == 11


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_with_work_on_its_way_leaves_one_span():
    """What the parent began is the parent's; the child makes calls of its own."""
    run(
        """
asyncio.run(made('a'))  # a loop that runs at a fork is torn down in the parent by the child
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    asyncio.run(made('b'))
""",
        words=30_000,
    )
    assert len(left()) == 2


def left():
    """Return the calls in the trace folder."""
    found = readers.read([os.environ["TOKENTRACE_DIR"]], Problems())
    return [one for one in found if isinstance(one, CallRecord)]


def test_a_thread_that_is_none_is_not_used(monkeypatch):
    """Where threads are patched (gevent), counting stays with the caller, within the budget."""
    monkeypatch.setattr(aside, "patched", lambda: True)
    sdk, _ = client()
    with capture(guard=Guard(limit=20_000)) as seen:
        asyncio.run(_made(sdk, body(16)))
        (one,) = seen.calls
    assert one.tokens > 0
    assert losses.estimates or one.method == "exact"
