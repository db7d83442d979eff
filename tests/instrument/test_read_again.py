"""A call that is the one before once more: what was read of it, and what it costs, is not worked out anew."""

from __future__ import annotations

import random

import pytest

import tokentrace
from tokentrace import schema, testing, turns
from tokentrace.counting.factors import FACTORS
from tokentrace.counting.store import STORE
from tokentrace.instrument import caching, records
from tokentrace.providers import prices

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
pytest.importorskip("genai_prices")

OWN = (schema.LINEAGE, schema.TURN_ID)  # made anew in each run
RULES = "\n".join(f"{n}. Say what was seen, and where the log of it lies." for n in range(130))
TALK = [
    {"role": "user", "content": f"<rules>\n{RULES}\n</rules>\nWhy does the pod restart?"},
    {"role": "assistant", "content": "It ran out of memory, by its last log."},
    {"role": "user", "content": "And since when?"},
]
SIZE = 2_000  # as the provider has it
READ = (None, 0, 1_024, 1_024, 1_280, 3_000, -1)
WRITTEN = (0, 0, 0, 300)


def of_openai(size, read, _written, output=5):
    """Return a reply of OpenAI's that tells, or does not tell, what was read."""
    usage = {"prompt_tokens": size, "completion_tokens": output, "total_tokens": size + output}
    if read is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": read}
    return testing.openai_chat("ok", prompt_tokens=size, model="gpt-4.1", usage=usage)


def of_anthropic(size, read, written, output=5):
    """Return a reply of Anthropic's, whose input is told less what was read and written."""
    read = read or 0
    return testing.anthropic_message(
        "ok",
        input_tokens=max(1, size - read - written),
        output_tokens=output,
        cache_read_input_tokens=read,
        cache_creation_input_tokens=written,
    )


def chat(wire):
    """Return how to call OpenAI."""
    create = openai.OpenAI(api_key="x", http_client=wire.client("openai")).chat.completions.create
    return lambda talk: create(model="gpt-4.1", messages=talk)


def message(wire):
    """Return how to call Anthropic."""
    client = anthropic.Anthropic(api_key="x", http_client=wire.client("anthropic"))
    return lambda talk: client.messages.create(
        model="claude-sonnet-4-5", max_tokens=9, messages=talk
    )


@pytest.fixture(autouse=True)
def costs_are_on(monkeypatch):
    """Put costs onto spans, from the first call on."""
    monkeypatch.setenv("TOKENTRACE_COSTS", "1")
    prices.load()


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self):
        """Return the seconds."""
        return self.now


def told(seed, call, reply, monkeypatch):
    """Return the spans' attributes, in their order, of a script of calls that meets an empty process."""
    for forget in (turns.reset, STORE.clear, FACTORS.clear):
        forget()
    pick, clock = random.Random(seed), Clock()
    monkeypatch.setattr(caching, "clock", clock)
    usage = [SIZE, 1_024, 0]
    ask = call(testing.Wire(lambda _sent: reply(*usage, pick.choice((5, 9)))))
    with testing.capture() as captured:
        for number in range(120):
            if pick.random() < 0.15:
                usage[:] = SIZE + pick.choice((0, 7)), pick.choice(READ), pick.choice(WRITTEN)
            clock.now += pick.choice((1, 1, 1, 400, 5_000))
            ahead = "Now: " if pick.random() < 0.03 else ""
            talk = [{"role": "user", "content": ahead + TALK[0]["content"]}, *TALK[1:]]
            if pick.random() < 0.03:
                talk.append({"role": "user", "content": f"Once more, {number}."})
            with tokentrace.session(pick.choice("aaab")):
                ask(talk)
    return [
        [(key, value) for key, value in span.attributes.items() if key not in OWN]
        for span in captured.spans
    ]


@pytest.mark.parametrize(("call", "reply"), [(chat, of_openai), (message, of_anthropic)])
def test_no_attribute_differs_from_one_that_was_worked_out_anew(call, reply, monkeypatch):
    """What is read, written and said, the prompt and the time that passes change between the calls."""
    known, later = [], caching._later
    monkeypatch.setattr(caching, "_later", lambda *args: known.append(1) or later(*args))
    found = [told(seed, call, reply, monkeypatch) for seed in range(6)]
    monkeypatch.setattr(caching.Past, "repeats", lambda *_: False)
    monkeypatch.setattr(records.cost, "basis", lambda *_: (object(),))
    anew = [told(seed, call, reply, monkeypatch) for seed in range(6)]
    assert len(known) > 20
    assert found == anew
    assert all(len(spans) == 120 for spans in found)
    assert any(schema.CACHE_REASON in dict(one) for spans in found for one in spans)


def test_what_is_read_again_is_kept_from_then_on(monkeypatch):
    """A prefix that was read a moment ago has not expired, however long ago it was read first."""
    clock = Clock()
    monkeypatch.setattr(caching, "clock", clock)
    usage = [SIZE, 1_280, 0]
    ask = message(testing.Wire(lambda _sent: of_anthropic(*usage)))
    with testing.capture() as captured, tokentrace.session("a"):
        for _ in range(25):  # more than the hour that a prefix is kept at most
            ask(TALK)
            clock.now += 200
        usage[1] = 0
        ask([*TALK[:2], {"role": "user", "content": "And where?"}])
    last = captured.spans[-1].attributes
    assert last[schema.CACHE_REASON] == "missed"
    assert schema.CACHE_BROKEN_BY not in last


def test_the_same_prompt_is_priced_once(monkeypatch):
    """From the second call on its components are not priced again; what was written is."""
    seen, spent = [], records.cost._spent
    monkeypatch.setattr(records.cost, "_spent", lambda *args: seen.append(1) or spent(*args))
    written = iter((5, 5, 9, 9))
    ask = chat(testing.Wire(lambda _sent: of_openai(SIZE, 1_024, 0, next(written))))
    with testing.capture() as captured, tokentrace.session("a"):
        for _ in range(4):
            ask(TALK)
    assert len(seen) == 1
    first, second, third, _ = [span.attributes[schema.COST] for span in captured.spans]
    assert first == second
    assert third - second == pytest.approx(4 * 8e-6)  # gpt-4.1 writes for $8 a million
