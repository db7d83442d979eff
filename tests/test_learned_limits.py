"""Limits that refusals teach: what is learned, when it holds, and how it is forgotten."""

from __future__ import annotations

import os
import threading
from functools import partial

import pytest

import tokentrace
from instrument import forms
from instrument.forms import SDKS, Shop
from tokentrace import guard, testing
from tokentrace.counting.counter import measure
from tokentrace.guard import Guard, decide, limit_of, soft_limit_of
from tokentrace.guard.learned import LESSONS, Learned, key_of
from tokentrace.prompt import Count, Limit, Message, Prompt
from tokentrace.providers.overflow import Overflow
from tokentrace.testing import Clock, Reply, Wire

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

KEY = ("", "api.example/v1", "mine")
URL = "https://api.example/v1/"
PROMPT = Prompt("openai.chat", "mine")
KNOWN = Prompt("openai.chat", "gpt-4o")


def counted(total=10_000, error=0):
    return Count(total, {"history": total}, error=error)


def refused(limit=None, tokens=None, *, shared=False):
    """Return an exception as an SDK would raise it; its words say these numbers."""
    if shared:
        text = f"input length and `max_tokens` exceed context limit: {tokens - 1} + 1 > {limit}"
    elif tokens:
        text = f"prompt is too long: {tokens} tokens > {limit} maximum"
    else:
        text = f"maximum context length is {limit} tokens"
    error = Exception("x")
    error.status_code, error.body = 400, {"error": {"message": text}}
    return error


def taught(*limits, prompt=PROMPT, url=URL, count=None, **how):
    """Let refusals of these limits happen, one after the other."""
    for limit in limits:
        error = refused(limit, limit + 10, **how)
        found = guard.learn("", url, prompt, count or counted(limit + 1_000), error)
        assert found == Overflow(limit, limit + 10, how.get("shared", False))


def found(prompt=PROMPT, url=URL, ours=None):
    """Return the limit of a call: tokens, source, hard."""
    limit = limit_of(ours, "", url, prompt)
    return limit.tokens, limit.source, limit.hard


@pytest.fixture
def clock(monkeypatch):
    """The clock of what is learned, standing still."""
    still = Clock()
    monkeypatch.setattr(LESSONS.kept, "clock", still)
    return still


# ── agreement ────────────────────────────────────────────────────────────────────────────────────


def test_one_refusal_warns_and_two_that_agree_refuse():
    """A first lesson is a soft limit; a second of the same number makes it hard."""
    assert found() == (None, "unknown", True)
    taught(8_000)
    assert found() == (8_000, "learned", False)
    taught(8_000)
    assert found() == (8_000, "learned", True)
    taught(8_000)
    assert found() == (8_000, "learned", True)


def test_another_number_starts_again():
    """A limit that disagrees with the last one is the first of its own."""
    taught(8_000, 8_000, 9_000)
    assert found() == (9_000, "learned", False)
    taught(8_000)
    assert found() == (8_000, "learned", False)
    taught(8_000)
    assert found() == (8_000, "learned", True)


def test_a_refusal_without_a_number_teaches_nothing():
    """What kind of error it was is told; the limit stays unknown, and the agreement as it was."""
    error = Exception("x")
    error.status_code, error.body = 400, {"message": "Input is too long for requested model."}
    assert guard.learn("", URL, PROMPT, counted(), error) == Overflow()
    assert found() == (None, "unknown", True)
    taught(8_000)
    guard.learn("", URL, PROMPT, counted(), error)
    taught(8_000)
    assert found() == (8_000, "learned", True)


def test_other_errors_teach_nothing():
    """A rate limit that names numbers, a lost connection, an interrupt."""
    limited = refused(8_000, 9_000)
    limited.status_code = 429
    minute = Exception("x")
    minute.status_code = 400
    minute.body = {"message": "prompt is too long: 9000 tokens > 8000 maximum per minute"}
    for error in (limited, minute, ConnectionError("reset"), KeyboardInterrupt()):
        assert guard.learn("", URL, PROMPT, counted(), error) is None
    assert guard.learned_limits() == {}


@pytest.mark.parametrize(
    ("overflow", "count", "output", "learns"),
    [
        (Overflow(8_000, 9_000), counted(9_000), 0, True),
        (Overflow(8_000, 8_001), counted(8_001), 0, True),
        (Overflow(8_000, 8_000), counted(9_000), 0, False),
        (Overflow(8_000, 10), counted(9_000), 0, False),
        (Overflow(8_000, 9_000), counted(8_000), 0, False),
        (Overflow(8_000, 9_000), counted(7_000, error=1_001), 0, True),
        (Overflow(8_000, 9_000), counted(7_000, error=1_000), 0, False),
        (Overflow(8_000, 9_000, shared=True), counted(7_000), 1_001, True),
        (Overflow(8_000, 9_000, shared=True), counted(7_000), 1_000, False),
        (Overflow(8_000), counted(9_000), 0, True),
        (Overflow(8_000), counted(7_000), 0, False),
        (Overflow(8_000, 9_000), None, 0, True),
        (Overflow(8_000), None, 0, False),
        (Overflow(None, 9_000), counted(9_000), 0, False),
    ],
)
def test_only_what_can_be_true_is_learned(overflow, count, output, learns):
    """Numbers that contradict each other, or our own count, are an odd server's."""
    table = Learned()
    table.note(KEY, overflow, count, output)
    assert (table.find(KEY) is not None) is learns


def test_a_false_lesson_does_not_disturb_a_true_one():
    """An implausible refusal neither counts as agreement nor resets it."""
    taught(8_000)
    guard.learn("", URL, PROMPT, counted(100), refused(8_000, 9_000))
    assert found()[2] is False
    guard.learn("", URL, PROMPT, counted(100), refused(500, 600))
    taught(8_000)
    assert found() == (8_000, "learned", True)


# ── the window ───────────────────────────────────────────────────────────────────────────────────


def test_requested_output_is_taken_off_as_surely_as_the_limit_is_known():
    """Where refusals count the output the window is shared; one that does not is no proof of it."""
    wide = Prompt("openai.chat", "mine", max_output=1_000)
    taught(8_000, shared=True, prompt=wide)
    assert found(wide) == (7_000, "learned", False)
    assert found(wide, ours=Guard(reserve_output=False)) == (8_000, "learned", False)
    assert found(PROMPT) == (8_000, "learned", False)
    taught(8_000, prompt=wide)
    assert found(wide) == (8_000, "learned", True)
    taught(8_000, shared=True, prompt=wide)
    assert found(wide) == (7_000, "learned", True)


def test_more_output_than_window_leaves_nothing():
    """The limit is never below zero."""
    taught(8_000, 8_000, shared=True)
    assert found(Prompt("openai.chat", "mine", max_output=9_000)) == (0, "learned", True)


def test_what_the_registry_knows_of_the_sum_stays_known():
    """A refusal of the input alone does not make a provider forget that it refuses the sum."""
    wide = Prompt("openai.chat", "gpt-4o", max_output=1_000)
    taught(64_000, 64_000, prompt=wide)
    assert found(wide) == (63_000, "learned", True)


# ── the order ────────────────────────────────────────────────────────────────────────────────────


def test_a_configured_limit_comes_first():
    """What the guard was told holds, whatever refusals say."""
    taught(8_000, 8_000)
    assert found(ours=Guard(limit=9_000)) == (9_000, "configured", True)
    assert found(ours=Guard(limit={"other": 9_000})) == (8_000, "learned", True)


def test_a_smaller_limit_than_the_registrys():
    """A deployment with less room: warned of at once, refused after two."""
    taught(64_000, prompt=KNOWN)
    assert found(KNOWN) == (64_000, "learned", False)
    taught(64_000, prompt=KNOWN)
    assert found(KNOWN) == (64_000, "learned", True)


def test_a_larger_limit_than_the_registrys():
    """A deployment with more room: the registry holds until two refusals agree."""
    taught(200_000, prompt=KNOWN)
    assert found(KNOWN) == (128_000, "registry", True)
    taught(200_000, prompt=KNOWN)
    assert found(KNOWN) == (200_000, "learned", True)


def test_the_same_limit_as_the_registrys():
    """Where both agree the registry's row stands, which knows more."""
    taught(128_000, 128_000, prompt=KNOWN)
    assert found(KNOWN) == (128_000, "registry", True)


def test_a_learned_limit_replaces_the_soft_one():
    """The registry's window says nothing about the output beside a limit that was learned."""
    wide = Prompt("anthropic.messages", "claude-sonnet-4-5", max_output=8_000)
    soft = partial(soft_limit_of, Guard(), "", URL, wide)
    assert soft() == 192_000
    taught(200_000, 200_000, prompt=wide)
    assert soft() == 192_000
    taught(1_000_000, 1_000_000, prompt=wide)
    assert found(wide) == (1_000_000, "learned", True)
    assert soft() is None


# ── forgetting ───────────────────────────────────────────────────────────────────────────────────


def test_an_hour_later_it_is_forgotten(clock):
    """A lesson lasts an hour from the last refusal that told it."""
    taught(8_000)
    clock.tick(3_599)
    taught(8_000)
    clock.tick(3_599)
    assert found() == (8_000, "learned", True)
    clock.tick(1)
    assert found() == (None, "unknown", True)
    assert len(LESSONS) == 0
    taught(8_000)
    assert found() == (8_000, "learned", False)


def test_an_expired_lesson_confirms_nothing(clock):
    """Two refusals that are more than an hour apart do not agree."""
    taught(8_000)
    clock.tick(3_600)
    taught(8_000)
    assert found() == (8_000, "learned", False)


def test_an_answer_above_the_limit_disproves_it():
    """What the provider answers it does not refuse; at or below the limit nothing is disproved."""
    taught(8_000, 8_000)
    for reported in (None, 0, 7_000, 8_000):
        guard.confirm("", URL, PROMPT, reported)
    guard.confirm("", "https://other.example/", PROMPT, 9_000)
    guard.confirm("", URL, KNOWN, 9_000)
    assert found() == (8_000, "learned", True)
    guard.confirm("", URL, PROMPT, 8_001)
    assert found() == (None, "unknown", True)


def test_an_answer_to_more_than_the_window_in_sum_disproves_it():
    """Where the output was said to count, an answered request for more than fits shows otherwise."""
    wide = Prompt("openai.chat", "mine", max_output=1_000)
    taught(8_000, shared=True)
    guard.confirm("", URL, wide, 7_000)
    assert found() == (8_000, "learned", False)
    guard.confirm("", URL, wide, 7_001)
    assert found() == (None, "unknown", True)


def test_a_batch_of_embeddings_disproves_nothing():
    """Each input has the limit to itself, and only their sum is reported."""
    batch = Prompt("openai.embeddings", "mine", [Message("user")] * 3)
    taught(8_000)
    guard.confirm("", URL, batch, 20_000)
    assert found() == (8_000, "learned", False)
    guard.confirm("", URL, Prompt("openai.embeddings", "mine", [Message("user")]), 20_000)
    assert found() == (None, "unknown", True)


def test_nothing_learned_costs_nothing(monkeypatch):
    """While nothing is learned no lock is taken and no clock asked, call by call."""
    wide = Prompt("", "claude-sonnet-4-5", max_output=1)
    with monkeypatch.context() as patched:
        patched.setattr(LESSONS.kept, "clock", None)
        patched.setattr(LESSONS.kept, "_lock", None)
        guard.confirm("", URL, PROMPT, 9_000)
        assert found() == (None, "unknown", True)
        assert soft_limit_of(Guard(), "", URL, wide) == 199_999


def test_the_table_is_bounded():
    """The keys taught longest ago go first."""
    table = Learned(most=3)
    for number in (0, 1, 2, 0, 3):
        table.note(("", "", str(number)), Overflow(8_000, 9_000), counted())
    assert [key[2] for key in table.known()] == ["2", "0", "3"]
    assert LESSONS.kept._most == 256


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


def test_places_and_models_are_kept_apart():
    """Another provider, host, port, path or model has learned nothing."""
    taught(8_000, 8_000, url="http://127.0.0.1:8000/v1")
    assert found(url="http://127.0.0.1:8000/v1/")[0] == 8_000
    assert found(url="HTTP://u:p@127.0.0.1:8000/v1?key=x#y")[0] == 8_000
    for url in ("http://127.0.0.1:8001/v1", "http://127.0.0.1:8000/v2", "http://localhost:8000/v1"):
        assert found(url=url)[0] is None
    assert found(Prompt("openai.chat", "other"), "http://127.0.0.1:8000/v1")[0] is None
    assert limit_of(None, "azure", "http://127.0.0.1:8000/v1", PROMPT) == Limit()


def test_no_secret_is_kept_or_told():
    """Neither user info nor a query gets into the table; only the host is told."""
    url = "https://user:secret@api.example:8443/secret-path/v1?api-key=secret&x=1#secret"
    taught(8_000, url=url)
    taught(9_000, 9_000, url="https://user:secret@other.example", prompt=KNOWN)
    assert guard.learned_limits() == {
        "mine at api.example": {"tokens": 8_000, "confirmed": False},
        "gpt-4o at other.example": {"tokens": 9_000, "confirmed": True},
    }
    keys = [part for key in LESSONS.known() for part in key]
    assert [part for part in keys if "user" in part or "api-key" in part or "#" in part] == []


@pytest.mark.parametrize("url", ["", "?", "://", "http://[", "@@@", "x" * 9_999, "http://:p@/"])
def test_odd_urls_are_keys_too(url):
    """Whatever a client's base URL is, it has a bounded key and nothing raises."""
    assert all(len(part) <= 300 for part in key_of("x" * 999, url, "y" * 999))
    taught(8_000, url=url)
    assert found(url=url) == (8_000, "learned", False)
    (name,) = guard.learned_limits()
    assert name.startswith("mine")


def test_without_a_url_the_provider_is_told():
    """A call without a client's URL is known by who serves it; of two deployments the smaller."""
    guard.learn("bedrock", "", PROMPT, counted(), refused(8_000, 9_000))
    taught(9_000, 8_500, url="https://a.example/one")
    taught(7_000, url="https://a.example/two")
    assert guard.learned_limits() == {
        "mine at bedrock": {"tokens": 8_000, "confirmed": False},
        "mine at a.example": {"tokens": 7_000, "confirmed": False},
    }


# ── threads and forks ────────────────────────────────────────────────────────────────────────────


def test_threads_teach_and_forget_at_once():
    """Many threads on few keys: no error, no lost table, and what is left is one of the truths."""
    table = Learned(most=4)
    failures = []

    def work(number):
        try:
            for step in range(300):
                key = ("", "", str((number + step) % 6))
                table.note(key, Overflow(8_000, 9_000), counted())
                limit = table.find(key)
                assert limit is None or limit.tokens == 8_000
                table.disprove(key, 8_001 if step % 3 == 0 else 1)
                table.known()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(table) <= 4


def test_no_refusal_is_lost_between_threads():
    """Each of many refusals at once counts once."""
    table = Learned()
    barrier = threading.Barrier(8)

    def work():
        barrier.wait(10)
        for _ in range(100):
            table.note(KEY, Overflow(8_000, 9_000), counted())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.known()[KEY].told == 800


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_while_the_lock_is_held():
    """A child forked while another thread holds the lock knows what was learned, and learns on."""
    taught(8_000)
    held, done = threading.Event(), threading.Event()

    def hold():
        with LESSONS.kept._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        taught(8_000)
        os._exit(0 if found() == (8_000, "learned", True) else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


# ── real SDKs ────────────────────────────────────────────────────────────────────────────────────

OPENAI_SAYS = "This model's maximum context length is 40 tokens. However, your messages resulted in 61 tokens."
ANTHROPIC_SAYS = "prompt is too long: 61 tokens > 40 maximum"


def openai_error(message, code="context_length_exceeded"):
    return {"message": message, "type": "invalid_request_error", "param": "messages", "code": code}


def anthropic_error(message, kind="invalid_request_error"):
    return {"type": "error", "error": {"type": kind, "message": message}}


ANSWERS = {
    "openai": ("openai", Reply({"error": openai_error(OPENAI_SAYS)}, status=400), False),
    "openai text": ("openai", Reply(OPENAI_SAYS.encode(), status=400), False),
    "openai stream": ("openai", Reply(events=[("", {"error": openai_error(OPENAI_SAYS)})]), True),
    "anthropic": ("anthropic", Reply(anthropic_error(ANTHROPIC_SAYS), status=400), False),
    "anthropic stream": (
        "anthropic",
        Reply(events=[("error", anthropic_error(ANTHROPIC_SAYS))]),
        True,
    ),
}


async def raised(sdk, reply, *, stream, asynchronous=False):
    """Return the exception that the real SDK raises over a wire that answers so."""
    shop = Shop(SDKS[sdk], asynchronous, Wire(reply))
    form = forms.stream if stream else forms.plain
    module = __import__(sdk)
    with pytest.raises(module.APIError) as caught:
        await form(shop)
    return caught.value


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("sdk", "reply", "stream"), ANSWERS.values(), ids=ANSWERS)
async def test_exceptions_of_real_sdks_teach(sdk, reply, stream, asynchronous):
    """What openai and anthropic raise over the wire is read, twice, and then refused before."""
    error = await raised(sdk, reply, stream=stream, asynchronous=asynchronous)
    body = {**SDKS[sdk].request, "messages": [{"role": "user", "content": "why " * 100}]}
    api = "openai.chat" if sdk == "openai" else "anthropic.messages"
    ours = Guard(on_exceed="raise")

    def decision():
        limit = partial(limit_of, ours, "", URL)
        prompt, count = measure(body, api=api, base_url=URL, limit=limit)
        return decide(ours, count).decision, prompt, count

    told, prompt, count = decision()
    assert told == "ok"
    for expected in ("warn", "refuse"):
        assert guard.learn("", URL, prompt, count, error) == Overflow(40, 61)
        assert decision()[0] == expected
    assert decision()[2].limit_source == "learned"


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
async def test_rate_limits_of_real_sdks_teach_nothing(sdk):
    """A real 429 that names numbers, even in the words of a context-length error."""
    body = {"error": openai_error(OPENAI_SAYS, "rate_limit_exceeded")}
    if sdk == "anthropic":
        body = anthropic_error(ANTHROPIC_SAYS, "rate_limit_error")
    error = await raised(sdk, Reply(body, status=429), stream=False)
    assert guard.learn("", URL, PROMPT, counted(), error) is None
    assert guard.learned_limits() == {}


async def test_azure_learns_by_deployment():
    """The model of an Azure body is the deployment's name; each learns for itself."""
    openai = pytest.importorskip("openai")
    wire = Wire(Reply({"error": openai_error(OPENAI_SAYS)}, status=400))
    client = openai.AzureOpenAI(
        api_key="test", api_version="2024-10-21", azure_endpoint="https://acme.openai.azure.com",
        http_client=wire.client("openai"), max_retries=0,
    )  # fmt: skip
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="ours", messages=[{"role": "user", "content": "x"}])
    ours, theirs = Prompt("openai.chat", "ours"), Prompt("openai.chat", "theirs")
    url = str(client.base_url)
    assert guard.learn("azure", url, ours, counted(), caught.value) == Overflow(40, 61)
    assert limit_of(None, "azure", url, ours) == Limit(40, "learned", hard=False)
    assert limit_of(None, "azure", url, theirs) == Limit()
    assert list(guard.learned_limits()) == ["ours at acme.openai.azure.com"]


@pytest.mark.filterwarnings("ignore::tokentrace.errors.TokenLimitWarning")
def test_a_traced_client_is_refused_by_what_its_provider_said():
    """Two refusals over the wire, and the third prompt never leaves; an answer takes that back."""
    openai = pytest.importorskip("openai")
    no = Reply({"error": openai_error(OPENAI_SAYS)}, status=400)
    wire = Wire(no, no, testing.openai_chat("Yes.", prompt_tokens=90))
    url = "http://user:secret@wire.test/v1?key=secret"
    client = openai.OpenAI(api_key="test", base_url=url, http_client=wire.client("openai"))

    def ask(times):
        talk = [{"role": "user", "content": "why " * times}]
        return client.chat.completions.create(model="gpt-4o", messages=talk)

    with testing.capture(guard=Guard(on_exceed="raise")) as captured:
        for _ in range(2):
            with pytest.raises(openai.BadRequestError):
                ask(100)
        told = tokentrace.status()["learned"]
        with pytest.raises(tokentrace.TokenLimitExceeded):
            ask(100)
        ask(10)
    assert told == {"gpt-4o at wire.test": {"tokens": 40, "confirmed": True}}
    assert len(wire.requests) == 3
    limits = [(call.limit, call.limit_source, call.decision) for call in captured.calls]
    learned = [(40, "learned", "warn"), (40, "learned", "refuse"), (40, "learned", "ok")]
    assert limits == [(128_000, "registry", "ok"), *learned]
    assert tokentrace.status()["learned"] == {}
