"""Who broke the cached prefix, as a provider with a cache of its own lets it be known."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

import caches
import tokentrace
from caches import BREAKS, Talk
from tokentrace.instrument import caching
from tokentrace.testing import Clock, Reply, Wire, capture

pytestmark = pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning")
NOTHING = ("", "")


@pytest.fixture
def clock(monkeypatch):
    """Return the clock by which prefixes are kept, here and there."""
    made = Clock()
    monkeypatch.setattr(caching, "clock", made)
    return made


def wire(provider):
    """Return a wire on which a provider answers."""

    def answer(sent):
        told = provider.reply(sent)
        return Reply(events=told, done=True) if isinstance(told, list) else Reply(told)

    return Wire(answer)


def chat(provider):
    """Return a call of OpenAI's chat, of which every other is a stream."""
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(api_key="test", http_client=wire(provider).client("openai"))

    def call(talk, *, stream=False, **more):
        if stream:
            more |= {"stream": True, "stream_options": {"include_usage": True}}
        answer = client.chat.completions.create(**provider.request(talk, **more))
        if stream:
            list(answer)

    return call


def responses(provider):
    """Return a call of OpenAI's Responses API."""
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(api_key="test", http_client=wire(provider).client("openai"))
    if not hasattr(client, "responses"):
        pytest.skip("this openai has no Responses API")
    return lambda talk, **_: client.responses.create(**provider.request(talk))


def messages(provider):
    """Return a call of Anthropic's Messages API, of which every other is a stream."""
    anthropic = pytest.importorskip("anthropic")
    client = anthropic.Anthropic(api_key="test", http_client=wire(provider).client("anthropic"))

    def call(talk, *, stream=False, **more):
        answer = client.messages.create(**provider.request(talk, stream=stream, **more))
        if stream:
            list(answer)

    return call


def gemini(provider):
    """Return a call of Gemini."""
    genai = pytest.importorskip("google.genai")
    if "httpx_client" not in genai.types.HttpOptions.model_fields:
        pytest.skip("this google-genai takes no HTTP client")
    options = genai.types.HttpOptions(httpx_client=wire(provider).client("google-genai"))
    client = genai.Client(api_key="test", http_options=options)
    return lambda talk, **_: client.models.generate_content(**provider.request(talk))


def bedrock(provider):
    """Return a call of Bedrock, answered before it is sent."""
    session = pytest.importorskip("botocore.session").get_session()
    session.set_credentials("test", "test")
    client = session.create_client("bedrock-runtime", region_name="us-east-1")

    def answered(request, **_):
        from botocore.awsrequest import AWSResponse

        told = json.dumps(provider.reply(SimpleNamespace(body=json.loads(request.body)))).encode()
        raw = SimpleNamespace(stream=lambda **_: iter([told]))
        return AWSResponse(request.url, 200, {"content-type": "application/json"}, raw)

    client.meta.events.register("before-send.bedrock-runtime", answered)
    return lambda talk, **_: client.converse(**provider.request(talk))


HOUSES = {
    "openai": (caches.OpenAI, chat),
    "openai from 5.6": (caches.Marked, chat),
    "responses": (caches.Responses, responses),
    "anthropic": (caches.Anthropic, messages),
    "gemini": (caches.Gemini, gemini),
    "bedrock": (caches.Bedrock, bedrock),
}


@contextmanager
def house(name, clock):
    """Give a provider, a call of it, and a list of what calls turned out to be."""
    made, caller = HOUSES[name]
    provider = made(clock)
    with capture() as seen:
        yield provider, caller(provider), seen


def told(seen):
    """Return the breaker and the reason of the last call."""
    last = seen.calls[-1]
    return last.cache_broken_by, last.cache_reason


def session(seed, call, seen, clock, meddle, size=1):
    """Drive one session; return what was told of the call that was meddled with, and of the others."""
    talk, others, mine = Talk.start(seed, size), [], None
    turn = talk.rng.randint(2, 5)
    with tokentrace.session(f"s{seed}"):
        for number in range(7):
            truth = meddle(talk) if number == turn else None
            talk.ask()
            call(talk, stream=(seed + number) % 3 == 0)
            talk.answer()
            clock.tick(20)
            if truth:
                mine = (truth, told(seen))
            else:
                others.append(told(seen))
    return mine, others


@pytest.mark.parametrize("name", HOUSES)
def test_the_component_that_broke_the_prefix_is_named(name, clock):
    """In at least 99 of 100 sessions, and no call that continues the last one is blamed."""
    wrong, sessions = [], 0
    with house(name, clock) as (provider, call, seen):
        for seed in range(2 * len(BREAKS)):
            break_ = BREAKS[seed % len(BREAKS)]
            mine, others = session(
                *(seed, call, seen, clock),
                lambda talk, how=break_: getattr(talk, how)(),
                provider.size,
            )
            sessions += 1
            wrong += [(break_, *mine)] if mine[0] != mine[1] else []
            wrong += [(break_, seed, one) for one in others if one != NOTHING]
    assert len(wrong) <= sessions // 100, wrong
