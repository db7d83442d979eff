"""Whatever is remembered of a conversation, no number differs from a process that starts anew."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tokentrace import turns
from tokentrace.counting import made, memory, tekken, vocab, waste
from tokentrace.counting.claims import Lens
from tokentrace.counting.counter import measure
from tokentrace.counting.memory import Walker
from tokentrace.counting.store import STORE
from tokentrace.counting.tags import Tag
from tokentrace.dialects import openai_chat
from tokentrace.guard import Guard, limit_of

TOOLS = [
    {"type": "function", "function": {"name": name, "description": f"Reads {name} of a pod."}}
    for name in ("logs", "events")
]
LINES = tuple(f"- pod checkout-{n} restarts since the rollout of shard {n * 7}\n" for n in range(9))
WORDS = st.sampled_from(
    (
        "", "ok", "Why does the pod restart?", "Warum? \U0001f468‍\U0001f469‍\U0001f467 天气 don't",
        "".join(LINES), "".join(LINES[3:]) * 2, '{\n  "a": 1,\n  "b": [1, 2, 3]\n}\n' * 9,
        "<memory>\n" + "".join(LINES[:4]) + "</memory>\nand more of it", "QUJD" * 200,
    )
)  # fmt: skip
ROLES = st.sampled_from(("user", "assistant", "system", "tool"))
REQUESTS = st.sampled_from(
    (
        {"model": "gpt-4o"},
        {"model": "gpt-4o", "temperature": 1},
        {"model": "gpt-4o", "tools": TOOLS},
        {"model": "gpt-4o", "tools": TOOLS[::-1]},
        {"model": "gpt-3.5-turbo", "tools": TOOLS, "tool_choice": "required"},
        {"model": "llama-3.3-70b"},
        {"model": "claude-sonnet-4-20250514", "max_tokens": 100},
    )
)
CHANGES = (
    "append",
    "edit",
    "nested",
    "remove",
    "insert",
    "move",
    "cut",
    "again",
    "request",
    "other",
)
STEPS = st.lists(
    st.tuples(st.sampled_from(CHANGES), st.integers(0, 50), ROLES, WORDS, REQUESTS),
    min_size=2,
    max_size=12,
)
# The same conversation goes on with a model whose vocabulary stands in for its own.
OTHER_MODEL = [
    ("append", 0, "user", '{\n  "a": 1,\n  "b": [1, 2, 3]\n}\n' * 9, {"model": "gpt-4o"}),
    ("request", 0, "user", "", {"model": "claude-sonnet-4-20250514", "max_tokens": 100}),
]
LENS = Lens((Tag("memory", LINES[5]),), sections=True)


@pytest.fixture(autouse=True)
def alone():
    """Each test begins and ends with nothing remembered."""
    STORE.clear()
    turns.reset()
    yield
    STORE.clear()
    STORE.limit_bytes = 2**25


def message(role, text):
    """Return a message; a tool's result is one of a call that stands ahead of it, or of none."""
    if role == "tool":
        return {"role": role, "tool_call_id": "c1", "content": text}
    return {"role": role, "content": [{"type": "text", "text": text}] if len(text) > 60 else text}


def changed(talk, change, place, role, text):
    """Change a conversation in place, as an agent does."""
    at = place % len(talk)
    if change == "append":
        talk += [message(role, text), message("user", f"{place}")]
    elif change == "edit":
        talk[at]["content"] = text
    elif change == "nested" and isinstance(talk[at]["content"], list):
        talk[at]["content"][0]["text"] = text
    elif change == "remove" and len(talk) > 1:
        del talk[at]
    elif change == "insert":
        talk.insert(at, message(role, text))
    elif change == "move":
        talk.append(talk.pop(at))
    elif change == "cut":
        del talk[at + 1 :]


def told(body, lens=LENS):
    """Return all that a call is told of a prompt before it leaves."""
    limit = lambda prompt: limit_of(Guard(), "", "", prompt)  # noqa: E731
    prompt, count = measure(body, api="openai.chat", lens=lens, limit=limit, wasteful=True)
    facts = (
        prompt.model,
        prompt.tool_choice,
        prompt.settings,
        [tool.data for tool in prompt.tools],
    )
    seen = prompt.memo["waste"]
    return count, facts, [(one.role, [p.text for p in one.parts]) for one in prompt.messages], seen


def told_anew(body):
    """Return the same from a process that knows nothing; what is known now is known afterwards."""
    kept = dict(STORE._entries), STORE.used_bytes
    STORE.clear()
    try:
        return told(copy.deepcopy(body))
    finally:
        STORE.clear()
        STORE._entries.update(kept[0])
        STORE.used_bytes = kept[1]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, room=st.sampled_from((2**25, 60_000, 3_000)))
@example(steps=OTHER_MODEL, room=2**25)
def test_no_number_differs_from_a_fresh_one(steps, room):
    """Appended to, edited in place, cut, moved, with other tools: each prompt is told as if new.

    Two conversations go on side by side, and the store may be too small for either.
    """
    STORE.limit_bytes = room
    talks = [[message("user", "Why?")], [message("system", "Be brief."), message("user", "Who?")]]
    request, now = {"model": "gpt-4o"}, 0
    for change, place, role, text, other in steps:
        if change == "request":
            request = other
        now = 1 - now if change == "other" else now
        changed(talks[now], change, place, role, text)
        body = {**copy.deepcopy(request), "messages": talks[now]}
        assert told(body) == told_anew(body)
        assert told(copy.deepcopy(body)) == told_anew(body)


def test_the_same_prompt_is_the_same_objects():
    """Nothing is read or summed again where nothing has changed."""
    body = {"model": "gpt-4o", "tools": TOOLS, "messages": [message("user", LINES[0] * 9)]}
    first, then = (measure(copy.deepcopy(body), api="openai.chat", wasteful=True) for _ in range(2))
    assert then[0] is first[0]
    assert then[1] is first[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"default": 1}, {"default": True}),
        ({"default": 1}, {"default": 1.0}),
        ({"enum": ["a"], "type": "string"}, {"type": "string", "enum": ["a"]}),
    ],
)
def test_what_python_calls_equal_may_be_other_json(before, after):
    """True, 1 and 1.0, and the order of keys: definitions are told apart as they are sent."""
    bodies = []
    for schema in (before, after):
        parameters = {"type": "object", "properties": {"n": schema}}
        tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        bodies.append({"model": "gpt-4o", "tools": [tool], "messages": [message("user", "Hi")]})
    told(bodies[0])
    assert told(bodies[1]) == told_anew(bodies[1])


def test_a_callers_own_definitions_are_not_kept():
    """A tool that its owner changes in place, and back in another object, is counted as it is."""
    tool = copy.deepcopy(TOOLS[0])
    body = {"model": "gpt-4o", "tools": [tool], "stop": ["x"], "messages": [message("user", "Hi")]}
    first = told(body)
    tool["function"]["description"] = "Something else entirely, and longer than it was before."
    body["stop"].append("y")
    told(body)
    again = {**body, "tools": [copy.deepcopy(TOOLS[0])], "stop": ["x"]}
    assert told(again) == first == told_anew(again)


def test_the_limit_is_that_of_now():
    """A count that was made before bears the limit of its own call."""
    body = {"model": "gpt-4o", "messages": [message("user", "Hi")]}
    counts = [
        measure(body, api="openai.chat", limit=lambda p, g=guard: limit_of(g, "", "", p))[1]
        for guard in (Guard(), Guard(limit=10), Guard(), Guard(limit=20))
    ]
    assert [one.limit for one in counts] == [128_000, 10, 128_000, 20]
    assert len({one.total for one in counts}) == 1


def test_what_was_left_for_a_later_call_is_counted_there():
    """A count that ran out of time is not kept for the next call."""
    talk = [message("user", f"{n} " + LINES[n % 9] * 4) for n in range(40)]
    body = {"model": "gpt-4o", "messages": talk}
    late = measure(body, api="openai.chat", budget_s=0.0, wasteful=True)[1]
    assert late.error
    assert measure(body, api="openai.chat", wasteful=True)[1] == told_anew_plain(body)


def told_anew_plain(body):
    """Return the count of a process that knows nothing, without tags."""
    STORE.clear()
    return measure(copy.deepcopy(body), api="openai.chat", wasteful=True)[1]


@pytest.mark.parametrize(
    "api", ["anthropic.messages", "openai.responses", "gemini.generateContent"]
)
def test_other_wire_formats_are_known_again_too(api):
    """The list of messages that a dialect puts more ahead of is compared as it stands in the body."""
    body = {
        "anthropic.messages": {
            "model": "claude-sonnet-4-20250514",
            "system": "Be brief.",
            "messages": [message("user", "Why?"), message("assistant", "So.")],
        },
        "openai.responses": {
            "model": "gpt-4o",
            "instructions": "Be brief.",
            "input": [message("user", "Why?")],
        },
        "gemini.generateContent": {
            "model": "gemini-2.5-pro",
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "Why?"}]}],
        },
    }[api]
    first = measure(body, api=api)
    again = measure(copy.deepcopy(body), api=api)
    assert again[1] is first[1]
    longer = copy.deepcopy(body)
    key = next(key for key in made.LISTS if key in body)
    longer[key].append(copy.deepcopy(longer[key][0]))
    now = measure(longer, api=api)[1]
    STORE.clear()
    assert now == measure(copy.deepcopy(longer), api=api)[1]
    assert now.total > first[1].total


def test_a_prompt_that_changes_completely_costs_one_conversation():
    """Nothing piles up where every call is another conversation of the same opening."""
    for number in range(60):
        talk = [message("user", "Why?"), message("assistant", "So.")]
        talk += [message("user", f"{number} {LINES[n]}") for n in range(9)]
        told({"model": "gpt-4o", "messages": talk})
    kept = [key for key in STORE._entries if isinstance(key, tuple) and key[0] == "messages"]
    assert len(kept) == 1
    snapshot = STORE.get(kept[0])
    assert len(snapshot.made) <= made.MOST
    assert len(snapshot.messages) == 11


def test_the_store_weighs_what_is_kept():
    """What counting and looking for waste leave with the messages is in the store's size."""
    import gc
    import tracemalloc

    def talk(seed):
        rows = [
            f"- row {seed} {n} of {n * seed} lies at {n * 31}: it waits for a lease\n"
            for n in range(900)
        ]
        return [
            message("user" if at % 2 else "assistant", "".join(rows[at * 12 : at * 12 + 12]))
            for at in range(75)
        ]

    told({"model": "gpt-4o", "messages": talk(10**6)})  # imports and tables
    STORE.clear()
    bodies = [{"model": "gpt-4o", "messages": talk(seed)} for seed in range(2, 8)]
    gc.collect()
    tracemalloc.start()
    for body in bodies:
        told(body)
    gc.collect()
    used, texts = tracemalloc.get_traced_memory()[0], 6 * 75 * 12 * 60
    tracemalloc.stop()
    weighed = STORE.used_bytes
    assert used < 1.1 * weighed
    assert weighed < 3 * (used + texts)


def test_marks_beyond_their_number_are_counted(monkeypatch):
    """A block that there is no room to remember is told in the status."""
    monkeypatch.setattr(waste, "MOST_MARKS", 3)
    before = waste.status()["blocks_not_kept"]
    text = "".join(
        f"row {n} of the table of leases, each of them a line of its own\n" for n in range(99)
    )
    told({"model": "gpt-4o", "messages": [message("user", text)]})
    assert waste.status()["blocks_not_kept"] > before


def test_what_came_before_is_found_in_the_body_again():
    """The copies of a conversation's messages are told, and how many of them came again."""
    talk = [message("user", "Why?"), message("assistant", "So."), message("user", LINES[0] * 3)]
    told({"model": "gpt-4o", "messages": talk})
    copies, same = memory.recalled("openai.chat", copy.deepcopy(talk))
    assert (copies, same) == (talk, 3)
    assert all(kept is not own for kept, own in zip(copies, talk, strict=True))
    edited = [*copy.deepcopy(talk[:2]), message("user", "Something else"), message("user", "more")]
    assert memory.recalled("openai.chat", edited)[1] == 2
    assert memory.recalled("openai.responses", talk) == ([], 0)


def test_a_walker_alone_keeps_no_request():
    """Messages that were read and not counted stand for no list of a body."""
    talk = [message("user", "Why?")]
    Walker("openai.chat")(talk, openai_chat.message)
    assert memory.recalled("openai.chat", talk) == ([], 0)


class Kind(str):
    """A text of a class of its own, as some SDKs have in their definitions."""

    __slots__ = ()


def test_definitions_that_are_no_plain_data_are_read_each_time():
    """A copy of them would not be what was sent, so nothing made of them is kept."""
    bodies = [
        {
            "model": "gpt-4o",
            "tools": [{"type": "function", "function": {"name": "f", "description": Kind(text)}}],
            "messages": [message("user", "Hi")],
        }
        for text in ("It reads.", "It writes, and at length.", "It reads.")
    ]
    for body in bodies:
        assert told(body)[0] == told_anew(body)[0]
        prompt = measure(body, api="openai.chat", lens=LENS)[0]
        assert prompt.tools[0].data is body["tools"][0]


def test_what_was_handed_out_is_of_its_own_conversation():
    """Another call may ask in between: each finds what was made of its own, and nothing is held then."""
    talks = [[message("user", f"Why does pod {n} restart?")] for n in range(2)]
    first = [measure({"model": "gpt-4o", "messages": one}, api="openai.chat")[0] for one in talks]
    wires = [memory.recalled("openai.chat", one)[0] for one in talks]
    assert [one == talk and one is not talk for one, talk in zip(wires, talks, strict=True)] == [
        True
    ] * 2
    for wire, prompt in zip(wires, first, strict=True):
        body = {"model": "gpt-4o", "messages": wire}
        assert measure(body, api="openai.chat")[0] is prompt
    assert memory._recalled is None
    memory.recalled("openai.chat", talks[1])
    body = {"model": "gpt-4o", "messages": wires[0]}
    assert measure(body, api="openai.chat")[0] is first[0]


@pytest.mark.parametrize("api", ["mistral.chat", "gemini.generateContent"])
def test_a_model_that_its_host_measures_otherwise_is_known_again(api, caplog):
    """With OpenAI's name at another maker's api the ruler is the maker's: nothing is warned of."""
    if api == "mistral.chat" and tekken.load() is None:
        pytest.skip("mistral-common is not installed")
    body = {"model": "gpt-4o", "messages": [message("user", "Why?")]}
    if api == "gemini.generateContent":
        body = {"model": "gpt-4o", "contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}
    first, again = measure(body, api=api), measure(copy.deepcopy(body), api=api)
    assert first[1].tokenizer not in vocab.TABLES
    assert again[0] is first[0]
    assert again[1] is first[1]
    assert not caplog.records
