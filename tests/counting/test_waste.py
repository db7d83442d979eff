"""What a prompt could do without: measured once, by counting, told in tokens."""

from __future__ import annotations

import base64
import json
from itertools import accumulate, chain
from random import Random

import pytest

from tokentrace.counting import blocks, vocab, waste
from tokentrace.counting.claims import Lens
from tokentrace.counting.counter import measure
from tokentrace.counting.store import STORE
from tokentrace.counting.tags import Tag
from tokentrace.counting.text import ruler
from tokentrace.outlook import Waste

RANDOM = Random(3)
WORDS = [
    "pod",
    "node",
    "limit",
    "cache",
    "replica",
    "canary",
    "rollout",
    "budget",
    "probe",
    "region",
    "shard",
    "queue",
]


def prose(lines=40):
    """Return lines that no other call returns."""
    return "\n".join(
        " ".join(f"{RANDOM.choice(WORDS)}{RANDOM.randrange(10**4)}" for _ in range(7))
        for _ in range(lines)
    )


def tokens(text):
    """Return the tokens of a text."""
    return ruler("o200k_base").tokens(text)[0]


def begin_in(text, start, end):
    """Return how many tokens of an ASCII text begin in a stretch of it."""
    vocabulary = vocab.load("o200k_base")
    ends = accumulate(vocabulary.lengths[rank] for rank in vocabulary.encode(text))
    return sum(start <= begin < end for begin in chain((0,), ends))


def called(name, content, number=1):
    """Return a call of a tool and its result."""
    use = {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": "{}"}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [use]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": content},
    ]


def seen(*messages, model="gpt-4.1", api="openai.chat", lens=None, **options):
    """Return what is seen in a prompt of these messages."""
    body = {"model": model, "messages": [*messages]}
    prompt, _ = measure(body, api=api, lens=lens or Lens(), wasteful=True, **options)
    return prompt.memo["waste"]


def told(found):
    """Return waste as a table."""
    return {(one.kind, one.component): one.tokens for one in found.waste}


def user(text):
    """Return a user's message."""
    return {"role": "user", "content": text}


# ── kinds ────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_that_stands_twice_is_a_duplicate():
    """The second copy is counted, as tokens of the component that it lies in."""
    text = prose()
    found = told(seen(user("read this"), *called("read", text), user(f"It says:\n\n{text}\n\nso?")))
    assert found == {("duplicate", "user"): pytest.approx(tokens(text), rel=0.1)}


def test_a_copy_inside_json_is_a_duplicate_too():
    """Its own, escaped tokens are what it wastes."""
    text = prose(100)
    wrapped = json.dumps({"path": "a.txt", "content": text})
    found = told(seen(user(f"Look:\n\n{text}"), *called("read", wrapped)))
    assert found["duplicate", "tool_results"] > 0.6 * tokens(wrapped)


def test_a_file_that_was_written_and_read_again_is_a_duplicate():
    """What a call's arguments hold was in the prompt, too: a copy there, and one in the result."""
    text = prose()
    wrote = called("write", "done")
    wrote[0]["tool_calls"][0]["function"]["arguments"] = json.dumps({"path": "/a", "content": text})
    again = told(seen(user("go"), *wrote, *called("read", text, 2)))
    assert set(again) == {("duplicate", "tool_results")}
    assert again["duplicate", "tool_results"] == pytest.approx(tokens(text), rel=0.15)
    assert set(told(seen(user(text), *wrote))) == {("duplicate", "history")}
    assert told(seen(user("go"), *wrote, *called("read", prose(), 2))) == {}


def test_waste_is_told_in_the_tokens_of_its_component():
    """A model's own tokenizer has more tokens than the vocabulary in which the text is measured."""
    text, other = prose(), prose()
    pretty = json.dumps([{"name": n, "tier": "x"} for n in range(60)], indent=2)
    use = [{"type": "tool_use", "id": str(n), "name": "read", "input": {}} for n in (1, 2)]
    result = [
        {"type": "tool_result", "tool_use_id": "1", "content": f"{text}\n\n{other}"},
        {"type": "tool_result", "tool_use_id": "2", "content": pretty},
    ]
    talk = [
        user(f"{text}\n\n{other}"),
        {"role": "assistant", "content": use},
        {"role": "user", "content": result},
    ]
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": talk}
    prompt, count = measure(body, api="anthropic.messages", wasteful=True)
    found = told(prompt.memo["waste"])
    own = count.components["tool_results"] / (tokens(f"{text}\n\n{other}") + tokens(pretty))
    assert own > 1.05
    saved = tokens(pretty) - tokens(json.dumps(json.loads(pretty), separators=(",", ":")))
    assert found["json", "tool_results"] == pytest.approx(own * saved, rel=0.01)
    assert found["duplicate", "tool_results"] == pytest.approx(
        own * tokens(f"{text}\n\n{other}"), rel=0.02
    )


def test_waste_of_a_prompt_that_was_larger_grows_with_it():
    """What was reported for the conversation stretches components, and what is wasted in them."""
    found = (Waste("duplicate", "history", 100), Waste("carried", "tool_results", 50, 6))
    assert waste.stretched(found, 1_000, 1_200) == (
        Waste("duplicate", "history", 120),
        Waste("carried", "tool_results", 60, 6),
    )
    assert waste.stretched(found, 0, 0)[0].tokens == 0


def test_copies_in_older_questions_are_history():
    """Only the newest user text is the user's."""
    text = prose()
    talk = [user(f"a\n\n{text}"), user(f"b\n\n{text}")]
    assert set(told(seen(*talk))) == {("duplicate", "user")}
    assert set(told(seen(*talk, user("c")))) == {("duplicate", "history")}


def test_different_texts_are_no_duplicates():
    """Nor are short answers that come again, nor one text alone."""
    assert told(seen(user(prose()), *called("read", prose()), user("ok"), user("ok"))) == {}


def test_indented_json_wastes_what_compact_json_saves():
    """The difference of two counts, not a guess."""
    data = [{"name": f"pod-{n}", "labels": {"app": "x", "tier": "y"}} for n in range(20)]
    pretty = json.dumps(data, indent=2)
    saved = tokens(pretty) - tokens(json.dumps(data, separators=(",", ":")))
    assert told(seen(user("list"), *called("pods", pretty))) == {("json", "tool_results"): saved}
    assert told(seen(user("list"), *called("pods", json.dumps(data)))) == {}


def test_white_space_of_json_is_the_sections_that_holds_most_of_it():
    """Not that of a bracket which stands behind it, nor of the tag around a longer list."""
    pretty = json.dumps({"pods": [{"name": n} for n in range(40)]}, indent=2)
    ((name, saved),) = told(seen(user(f"<config>\n{pretty}\n</config>\nsee [1]"))).items()
    assert name == ("json", "section.pods")
    assert saved == pytest.approx(
        tokens(pretty) - tokens(json.dumps(json.loads(pretty), separators=(",", ":"))), abs=2
    )
    items = json.dumps(list(range(60)), indent=2)
    assert list(told(seen(user(f"<config>\n{items}\n</config>\nsee [1]")))) == [
        ("json", "section.config")
    ]


def test_base64_in_text_is_counted():
    """The tokens that begin in it, as the component's that it lies in; of two runs those of both."""
    payload, other = (base64.b64encode(RANDOM.randbytes(900)).decode() for _ in range(2))
    text = f"data:application/pdf;base64,{payload} and {other} end"
    found = told(seen(user("see"), *called("read", text)))
    taken = sum(
        begin_in(text, text.index(run), text.index(run) + len(run)) for run in (payload, other)
    )
    assert found == {("base64", "tool_results"): taken}
    assert abs(taken - tokens(payload) - tokens(other)) <= 2


def test_results_are_carried_from_five_turns_on():
    """Those that five questions came after, with the age of the oldest."""
    text = prose()
    talk = [user("q0"), *called("read", text)]
    for number in range(1, 5):
        talk.append(user(f"q{number}"))
        assert told(seen(*talk)) == {}
    talk += [*called("read", prose(), 2), user("q5")]
    (found,) = seen(*talk).waste
    assert (found.kind, found.component, found.turns) == ("carried", "tool_results", 5)
    assert found.tokens == pytest.approx(tokens(text), abs=1)


def test_waste_belongs_to_the_component_that_was_tagged():
    """A copy inside tagged text is the tag's."""
    text = prose()
    lens = Lens([Tag("memory", f"MEMORY\n\n{text}")])
    found = told(
        seen(user(text), {"role": "user", "content": f"MEMORY\n\n{text}\n\nnow"}, lens=lens)
    )
    assert set(found) == {("duplicate", "memory")}


def test_contents_tell_whether_a_component_changed():
    """The mark of a section is the same for the same text, whatever stands around it."""

    def system(rules, now):
        return {"role": "system", "content": f"<rules>\n{rules}\n</rules>\n<now>{now}</now>"}

    rules = prose(5)
    one, two = (seen(system(rules, now), user("q")).contents for now in ("monday", "tuesday"))
    assert one["section.rules"] == two["section.rules"]
    assert one["section.now"] != two["section.now"]
    assert "system" not in one


def test_embeddings_are_not_looked_at():
    """A batch of texts is no prompt."""
    body = {"model": "text-embedding-3-small", "input": [prose()] * 2}
    prompt, _ = measure(body, api="openai.embeddings", wasteful=True)
    assert prompt.memo["waste"] == waste.UNSEEN


# ── cost ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def looks(monkeypatch):
    """Return the texts that are looked at."""
    texts = []
    real = blocks.blocks
    monkeypatch.setattr(blocks, "blocks", lambda text: texts.append(text) or real(text))
    return texts


def test_each_text_is_looked_at_once(looks):
    """A prompt that comes again costs a look-up, one that goes on costs what is new."""
    talk = [user(prose()), *called("read", prose())]
    first = seen(*talk)
    assert len(looks) == 2
    assert seen(*json.loads(json.dumps(talk))) is first
    assert len(looks) == 2
    seen(*talk, user(prose()))
    assert len(looks) == 3


def test_a_conversation_told_in_one_or_in_steps_is_the_same():
    """What was added up on the way is what the whole shows."""
    text = prose()
    talk = [{"role": "system", "content": f"# A\n{text}\n# B\nb"}]
    for number in range(8):
        talk += [user(f"q{number}\n\n{text if number % 3 == 0 else prose(3)}")]
        talk += called("read", json.dumps([{"n": number, "of": "x" * 20}] * 9, indent=1), number)
        stepwise = seen(*talk)
    STORE.clear()
    assert seen(*talk) == stepwise
    assert {one.kind for one in stepwise.waste} == {"duplicate", "json", "carried"}


def test_a_changed_middle_is_added_up_anew():
    """An edit of an old message takes its copy away."""
    text = prose()
    talk = [user("a"), *called("read", text), user(f"b\n\n{text}")]
    assert told(seen(*talk))
    edited = [talk[0], talk[1], {**talk[2], "content": "gone"}, talk[3]]
    assert told(seen(*edited)) == {}
    assert told(seen(*talk))


def test_without_time_nothing_is_told():
    """Where the counter ran out of time the next call goes on."""
    text = prose(400)
    talk = [user(text), user(f"again\n\n{text}")]
    assert seen(*talk, budget_s=0.0) == waste.UNSEEN
    assert told(seen(*talk))


def test_marks_of_a_conversation_are_bounded(monkeypatch):
    """Beyond the bound text is not known again; what was known stays so."""
    monkeypatch.setattr(waste, "MOST_MARKS", 3)
    text = prose(200)
    found = told(seen(user(f"a\n\n{text}"), user(f"b\n\n{text}")))
    assert 0 < found["duplicate", "user"] < 0.2 * tokens(text)
