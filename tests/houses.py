"""Real SDKs whose requests a provider of `caches` answers, and sessions that are driven through them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import caches
import tokentrace
from caches import Talk
from tokentrace import telemetry
from tokentrace.instrument import caching, counts
from tokentrace.prompt import CallRecord
from tokentrace.testing import Clock, Reply, Wire, capture

NOTHING = ("", "")


@contextmanager
def own_time():
    """Give the clock by which prefixes are kept, here and there, and all the time there is to count."""
    made = Clock()
    with patch.object(caching, "clock", made), patch.object(counts, "BUDGET", 60.0):
        yield made


def wire(provider):
    """Return a wire on which a provider answers."""

    def answer(sent):
        told = provider.reply(sent)
        return Reply(events=told, done=True) if isinstance(told, list) else Reply(told)

    return Wire(answer)


def chat(provider):
    """Return a call of OpenAI's chat; one with ``stream`` is read to its end."""
    import openai

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
    import openai

    client = openai.OpenAI(api_key="test", http_client=wire(provider).client("openai"))
    if not hasattr(client, "responses"):
        raise ImportError("this openai has no Responses API")
    return lambda talk, **_: client.responses.create(**provider.request(talk))


def messages(provider):
    """Return a call of Anthropic's Messages API; one with ``stream`` is read to its end."""
    import anthropic

    client = anthropic.Anthropic(api_key="test", http_client=wire(provider).client("anthropic"))

    def call(talk, *, stream=False, **more):
        answer = client.messages.create(**provider.request(talk, stream=stream, **more))
        if stream:
            list(answer)

    return call


def gemini(provider):
    """Return a call of Gemini."""
    from google import genai

    if "httpx_client" not in genai.types.HttpOptions.model_fields:
        raise ImportError("this google-genai takes no HTTP client")
    options = genai.types.HttpOptions(httpx_client=wire(provider).client("google-genai"))
    client = genai.Client(api_key="test", http_options=options)
    return lambda talk, **_: client.models.generate_content(**provider.request(talk))


def bedrock(provider):
    """Return a call of Bedrock, answered before it is sent."""
    from botocore.session import get_session

    session = get_session()
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
    """Give a provider, a call of it, and a list of what calls turned out to be.

    Raises ImportError where the SDK is not there, or cannot be answered in this process.
    """
    made, caller = HOUSES[name]
    provider = made(clock)
    call = caller(provider)
    with capture() as seen:
        yield provider, call, seen


def lose(how, provider, clock):
    """Let a provider lose what it has kept: one of `LOSSES`."""
    if how == "evicted":
        provider.cache.evict()
    elif how == "expired":
        clock.tick(provider.cache.life + 1)
    provider.miss = how == "routed elsewhere"


LOSSES = ("evicted", "routed elsewhere", "expired")


def told(seen):
    """Return the breaker and the reason of the last call."""
    records = map(telemetry.record_of, reversed(seen.spans))
    last = next(record for record in records if isinstance(record, CallRecord))
    return last.cache_broken_by, last.cache_reason


def session(seed, call, seen, clock, meddle, *, turns=2):
    """Drive one session; return what was told of the call that was meddled with, and of the others."""
    talk, others, mine = Talk.start(seed, turns), [], None
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
