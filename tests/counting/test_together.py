"""New messages are counted together, which costs less and changes no number."""

from __future__ import annotations

import copy
import random

import pytest

from odd_texts import hostile, prose
from tokentrace import _failsafe, dialects
from tokentrace.counting import hurry, text, vocab
from tokentrace.counting.anchoring import SIZES, measured
from tokentrace.counting.claims import Lens
from tokentrace.counting.counter import measure
from tokentrace.counting.files import FileRuler
from tokentrace.counting.hurry import Hurried
from tokentrace.counting.memory import Walker, weigh
from tokentrace.counting.memory import copy as copied
from tokentrace.counting.rules import Scope, openai
from tokentrace.counting.running import UNSURE, Sizes
from tokentrace.counting.store import STORE
from tokentrace.counting.tags import Tag
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import SHORT, ByteRuler, ruler
from tokentrace.prompt import Message, Part

APIS = {
    "openai.chat": "messages",
    "openai.responses": "input",
    "anthropic.messages": "messages",
    "openai.embeddings": "input",
}
MODELS = ("gpt-4o", "gpt-5", "gpt-3.5-turbo", "unheard-of-1b", "claude-sonnet-4-5")
DIVIDED = '# Rules\nBe brief.\n\n<memory>She likes tea.</memory>\n{"plan": "see it", "why": "so"}\n'
TAGGED = "the customer of the north has eleven open orders"


@pytest.fixture(autouse=True)
def empty_store():
    """Start each test with nothing remembered."""
    STORE.clear()


def said(rng):
    """Return a text of some kind: short, long, odd, divided, tagged or empty."""
    kind = rng.randrange(8)
    if kind < 3:
        return prose(rng, rng.randint(1, 400))
    if kind == 3:
        return hostile(rng, rng.randint(1, 60))
    if kind == 4:
        return DIVIDED + prose(rng, 20)
    if kind == 5:
        return f"{prose(rng, 20)} {TAGGED} {prose(rng, 20)}"
    return rng.choice(["", "ok", "ok", " ", prose(rng, SHORT + 50)])


def message(rng, number):
    """Return one message, or the messages of a call and its result."""
    kind = rng.randrange(9)
    if kind == 0:
        function = {"name": "look", "arguments": '{"a": 1}'}
        calls = [{"id": f"c{number}", "type": "function", "function": function}]
        result = {"role": "tool", "tool_call_id": f"c{number}", "content": said(rng)}
        return [{"role": "assistant", "content": None, "tool_calls": calls}, result]
    if kind == 1:
        parts = [{"type": "text", "text": said(rng)} for _ in range(rng.randint(0, 3))]
        return [{"role": "user", "content": parts}]
    one = {"role": rng.choice(["system", "user", "assistant", "critic"]), "content": said(rng)}
    if kind == 2:
        one["name"] = rng.choice(["ann", one["role"]])
    return [one]


def talk(rng, api):
    """Return a conversation, or a list of inputs."""
    if api == "openai.embeddings":
        return [said(rng) for _ in range(rng.randint(1, 9))]
    return [one for number in range(rng.randint(1, 12)) for one in message(rng, number)]


def edited(rng, raw, api):
    """Return the conversation of the next turn: longer, changed in the middle, or shorter."""
    raw = [*copy.deepcopy(raw), *talk(rng, api)]
    place = rng.randrange(len(raw))
    if rng.random() < 0.3:
        raw[place] = talk(rng, api)[0]
    elif rng.random() < 0.2:
        del raw[place]
    return raw


def told(body, api, lens, **more):
    """Return all that counting says of a body, and leaves with its messages."""
    prompt, count = measure(body, api=api, lens=lens, **more)
    left = [
        (one.memo.get("runs"), one.memo["tally"][1].components if "tally" in one.memo else None)
        for one in prompt.messages
    ]
    return count, [*count.components], left, [*prompt.memo.get(SIZES, ())]


def turns(seed, api):
    """Yield the body of each turn of a conversation, and what looks at it."""
    rng = random.Random(f"{seed} {api}")
    model, raw = rng.choice(MODELS), talk(rng, api)
    tags = (Tag("customer", TAGGED),) if rng.random() < 0.5 else ()
    lens = Lens(tags, sections=rng.choice([True, True, False, ["memory"]]))
    for _ in range(4):
        yield {"model": model, APIS[api]: raw}, lens
        raw = edited(rng, raw, api)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("seed", range(12))
def test_counting_together_is_counting_one_by_one(seed, api, monkeypatch):
    """Turn by turn, whatever was edited: as without the shorter way, and as from scratch."""
    together = [told(body, api, lens) for body, lens in turns(seed, api)]
    afresh = []
    for body, lens in turns(seed, api):
        STORE.clear()
        afresh.append(told(body, api, lens))
    STORE.clear()
    monkeypatch.delattr(openai, "plain")
    alone = [told(body, api, lens) for body, lens in turns(seed, api)]
    assert together == alone == afresh


@pytest.mark.parametrize("seed", range(30))
def test_a_plain_message_is_counted_as_the_rule_says(seed):
    """What is one text in which nothing is looked for has the tally that the rule makes of it alone."""
    rng = random.Random(seed)
    model, tags = rng.choice(MODELS), (Tag("customer", TAGGED),) if seed % 2 else ()
    prompt = dialects.find("openai.chat").parse({"model": model, "messages": talk(rng, "")})
    scope = Scope(ruler("o200k_base"), Lens(tags), model, "openai.chat", "openai")
    together = openai.plain(prompt.messages, scope)
    for place, one in enumerate(prompt.messages):
        found = together.get(place)
        alone = openai.message(one, prompt.messages[:place], scope)
        if found is None:
            words = "".join(part.text for part in one.parts)
            closed = one.role not in {"system", "user"} and len(words) < len(TAGGED)
            assert not closed or not words or [part.kind for part in one.parts] != ["text"]
        else:
            assert (found.components, found.runs) == (alone.components, alone.runs)
            assert (found.details, found.error) == (alone.details, alone.error)


@pytest.mark.parametrize("seed", range(20))
def test_texts_together_are_texts_one_by_one(seed):
    """Long and short, known and new, twice the same: as `tokens` says of each."""
    rng = random.Random(seed)
    texts = [said(rng) for _ in range(20)]
    by_file = FileRuler("file:quarters", lambda value: [*range(0, len(value.encode()), 4)])
    portions = hurry.Portions(ruler("o200k_base"), bool)
    for one in (ruler("o200k_base"), ByteRuler(), portions, by_file):
        STORE.clear()
        alone = [one.tokens(value) for value in texts]
        STORE.clear()
        for value in rng.sample(texts, 6):
            one.tokens(value)
        assert one.each(texts) == alone
        assert one.each([]) == []


def test_a_text_that_stands_there_twice_is_encoded_once():
    """What is new is told apart before it is encoded."""
    seen = []
    known = vocab.load("o200k_base")

    def encode(value):
        seen.append(value)
        return known.encode(value)

    one = text.TokenRuler(vocab.Vocabulary("seen", encode, known.lengths))
    assert one.each(["a b", "c", "a b"]) == [(2, 0), (1, 0), (2, 0)]
    assert seen == ["a b", "c"]
    assert one.known("a b")


class PanicException(BaseException):
    """Stands for pyo3's, which is no Exception either."""


def test_a_panic_costs_its_own_text_alone(monkeypatch):
    """Of texts that are encoded together, those around the one that fails are exact."""
    monkeypatch.delenv("TOKENTRACE_STRICT")
    known = vocab.load("o200k_base")

    def encode(value):
        if "panic" in value:
            raise PanicException
        return known.encode(value)

    one = text.TokenRuler(vocab.Vocabulary("panicking", encode, known.lengths))
    before, failed, after = one.each(["fine words", "panic here", "and more"])
    assert before == ruler("o200k_base").tokens("fine words")
    assert after == ruler("o200k_base").tokens("and more")
    assert failed == one.tokens("panic here")
    assert failed[1] > 0
    assert sum(_failsafe.failures.values()) == 1


def test_an_interrupt_ends_all_texts():
    """What the user sends goes through, whichever text it meets."""

    def encode(_value):
        raise KeyboardInterrupt

    one = text.TokenRuler(vocab.Vocabulary("interrupted", encode, b""))
    with pytest.raises(KeyboardInterrupt):
        one.each(["a", "b"])
    assert not _failsafe.failures


def test_in_time_texts_are_counted_as_the_ruler_does():
    """With time left, numbers are the ruler's; a hurried one learns its rate from them."""
    texts = [said(random.Random(seed)) for seed in range(30)]
    together, alone = (Hurried(ruler("o200k_base"), 60.0) for _ in range(2))
    assert together.each(texts) == [alone.tokens(value) for value in texts]
    assert together.skipped is alone.skipped
    assert together._guess("x" * 999) == alone._guess("x" * 999)


def test_when_time_is_up_texts_are_left():
    """There are as many answers as texts, and none for those that come too late."""
    late = Hurried(ruler("o200k_base"), 0.0)
    assert late.each(["one", "two"]) == [None, None]
    assert not late.skipped


def test_a_look_at_the_clock_comes_before_every_few_characters(monkeypatch):
    """Time that runs out amid many texts leaves those behind; what was counted stays exact."""
    ticks = iter(range(99))
    monkeypatch.setattr(hurry.time, "thread_time", lambda: next(ticks))
    texts = [f"{number} " * (SHORT // 6) for number in range(9)]
    found = Hurried(ruler("o200k_base"), 2.5).each(texts)
    exact = [ruler("o200k_base").tokens(value) for value in texts]
    counted = sum(one is not None for one in found)
    assert 0 < counted < len(texts)
    assert found == exact[:counted] + [None] * (len(texts) - counted)


def test_calls_out_of_time_leave_no_estimate_for_a_count(monkeypatch):
    """A count that ran out of time says so, and the next one finishes it."""
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": f"{n} x" * 900} for n in range(9)],
    }
    _, full = measure(body, api="openai.chat")
    STORE.clear()
    with monkeypatch.context() as patch:
        ticks = iter(range(999))
        patch.setattr(hurry.time, "thread_time", lambda: next(ticks))
        _, some = measure(body, api="openai.chat", budget_s=3)
    assert some.error > 0
    assert abs(some.total - full.total) <= some.error
    _, rest = measure(body, api="openai.chat", budget_s=60)
    assert (rest.total, rest.error, rest.components) == (full.total, full.error, full.components)


@pytest.mark.parametrize("seed", range(10))
def test_tallies_add_up_alike_one_by_one_and_at_once(seed):
    """Components, details, errors and runs, and the order in which components come."""
    rng = random.Random(seed)
    tallies = [
        Tally(
            {name: rng.randrange(9) for name in rng.sample("abcde", 3)},
            {("a", name): rng.randrange(9) for name in rng.sample("xyz", rng.randrange(3))},
            rng.randrange(3),
            (("a", rng.randrange(99), 1),) * rng.randrange(2),
        )
        for _ in range(9)
    ]
    once, each = Tally(), Tally()
    once.add(*tallies)
    for one in tallies:
        each.add(one)
    assert [*once.components.items()] == [*each.components.items()]
    assert (once.details, once.error, once.runs) == (each.details, each.error, each.runs)


@pytest.mark.parametrize("seed", range(10))
def test_sizes_are_running_sums(seed):
    """Up to each message: the tokens of its tally, and how many cannot be measured from here."""
    rng = random.Random(seed)
    kinds = ["text", "image", "other", "call"]
    messages = [Message("user", (Part("text", "x"), Part(rng.choice(kinds)))) for _ in range(20)]
    for one in rng.sample(messages, 15):
        one.memo["tally"] = ("key", Tally({"user": rng.randrange(9), "framing": 4}))
    prompt = dialects.find("openai.chat").parse({"model": "gpt-4o"})
    prompt.messages = messages
    measured(prompt, "key")
    assert [list(row) for row in prompt.memo[SIZES]] == running(messages)


def running(messages):
    """Return both rows of running sums, the plain way."""
    tokens, unsure = [0], [0]
    for one in messages:
        kept = one.memo.get("tally")
        tokens.append(tokens[-1] + (kept[1].total if kept else 0))
        unsure.append(unsure[-1] + (not kept or any(part.kind in UNSURE for part in one.parts)))
    return [tokens, unsure]


@pytest.mark.parametrize("asked", [True, False])
def test_sizes_are_those_of_the_count_whenever_they_are_asked_for(asked):
    """Added up now or later, and whoever goes on from them: by the tallies that messages had then."""
    messages = [Message("user", (Part("text", "x"),)) for _ in range(9)]
    for number, one in enumerate(messages):
        one.memo["tally"] = ("key", Tally({"user": number}))
    some = Sizes().further(messages[:4])
    if asked:
        assert [list(row) for row in some] == running(messages[:4])
    more, others = some.further(messages[4:]), some.further(messages[:2])
    expected = [running(one) for one in (messages[:4], messages, messages[:4] + messages[:2])]
    for one in messages:
        one.memo["tally"] = ("other", Tally({"user": 99}))
    for _ in range(2):
        found = [[list(row) for row in one] for one in (some, more, others)]
        assert found == expected
    assert more[0][9] == sum(range(9))


@pytest.mark.parametrize("seed", range(10))
def test_messages_are_copied_and_weighed_as_any_value(seed):
    """Messages of texts alone take a shorter way to the same copy and weight."""
    rng = random.Random(seed)
    raw = [*talk(rng, ""), {}, "text", {"role": "user", "content": 3}, {"role": "user", "n": None}]
    walker = Walker("openai.chat")
    walker(raw, lambda _: Message("user"))
    assert walker.snapshot.raw == raw == [*map(copied, raw)]
    assert not any(
        one is kept for one, kept in zip(raw, walker.snapshot.raw, strict=True) if type(one) is dict
    )
    assert walker.snapshot.size == sum(map(weigh, map(copied, raw)))


def test_what_an_event_loop_may_ask_for_is_added_up_where_it_was_counted():
    """A count that looks for waste may be made on a worker: nothing is left for who asks next."""
    said = [{"role": role, "content": "Why?"} for role in ("user", "assistant", "user")]
    prompt, count = measure(
        {"model": "gpt-4o", "messages": said[:2]}, api="openai.chat", wasteful=True
    )
    assert prompt.memo[SIZES]._state[1] == ()
    assert prompt.memo[SIZES][0][2] == count.total - 3  # the reply's opening is of no message
    longer, _ = measure({"model": "gpt-4o", "messages": said}, api="openai.chat")
    assert len(longer.memo[SIZES]._state[1]) == 1
