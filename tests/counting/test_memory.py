"""What came again is neither read nor counted again, and never changes a number."""

from __future__ import annotations

import copy
import random
from collections import deque

import pytest

import tokentrace
from tokentrace.counting.counter import measure
from tokentrace.counting.memory import Odd, Walker, weigh
from tokentrace.counting.memory import copy as copied
from tokentrace.counting.store import STORE
from tokentrace.prompt import Message, Part


@pytest.fixture(autouse=True)
def empty_store():
    STORE.clear()
    yield
    STORE.clear()


class Reader:
    """Reads messages and remembers which."""

    def __init__(self):
        self.read = []

    def __call__(self, raw):
        self.read.append(raw)
        return Message(raw["role"], (Part("text", str(raw["content"])),))


def talk(number):
    """Return a conversation of so many messages."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": f"message {i}"} for i in range(number)]


def walk(raw):
    """Walk once; return the messages and what was read."""
    reader = Reader()
    return list(Walker("openai.chat")(raw, reader)), reader.read


def test_a_new_conversation_is_read_whole():
    """Every message of a first request is read."""
    _, read = walk(talk(5))
    assert read == talk(5)


def test_the_same_messages_in_fresh_objects_are_not_read_again():
    """Equal messages are recognised by content, not by identity."""
    before, _ = walk(talk(5))
    after, read = walk(copy.deepcopy(talk(5)))
    assert read == []
    assert all(a is b for a, b in zip(before, after, strict=True))


def test_only_a_new_tail_is_read():
    """Two new messages cost two readings."""
    walk(talk(5))
    _, read = walk(talk(7))
    assert read == talk(7)[5:]


def test_only_a_changed_middle_is_read():
    """An edit in the middle leaves both sides as they were."""
    walk(talk(9))
    changed = talk(9)
    changed[4] = {"role": "user", "content": "another"}
    _, read = walk(changed)
    assert read == [changed[4]]


def test_a_shortened_middle_is_recognised():
    """A compaction leaves the kept messages unread."""
    walk(talk(9))
    shorter = [*talk(9)[:3], {"role": "user", "content": "summary"}, *talk(9)[7:]]
    messages, read = walk(shorter)
    assert read == [shorter[3]]
    assert [m.parts[0].text for m in messages] == [m["content"] for m in shorter]


def test_an_edit_in_place_is_seen():
    """The caller may change his own message between two calls."""
    raw = talk(3)
    walk(raw)
    raw[2]["content"] = "edited in place"
    messages, read = walk(raw)
    assert read == [raw[2]]
    assert messages[2].parts[0].text == "edited in place"


def test_a_nested_edit_in_place_is_seen():
    """Copies are deep: a part of a content list is compared too."""
    raw = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    walk(raw)
    raw[0]["content"][0]["text"] = "b"
    _, read = walk(raw)
    assert read == raw


def test_what_is_no_json_is_always_read_again():
    """An object that could compare as anything is never taken for the one before."""
    raw = [{"role": "user", "content": deque(["x"])}, *talk(2)]
    walk(raw)
    _, read = walk(raw)
    assert raw[0] in read


def test_a_copy_is_equal_and_apart():
    """Copying JSON keeps it equal, shares strings and shares no container."""
    raw = {"a": [1, "x", None, True, {"b": (1.5,)}]}
    twin = copied(raw)
    assert twin == raw
    assert twin["a"] is not raw["a"]
    assert copied({"a": {1, 2}}) != copied({"a": {1, 2}})
    assert isinstance(copied(object()), Odd)


@pytest.mark.parametrize(
    "value",
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None, "n": 3, "share": 0.5, "last": True},
        {},
        {"role": "user", "content": ["Hello", {"text": "du"}]},
        {"role": "user", "content": object},
        {"role": Odd, "content": "Hello"},
    ],
)
def test_a_flat_message_is_copied_and_weighed_like_a_nested_one(value):
    """What holds texts and numbers alone takes a shorter way to the same copy and weight."""
    nested = copied([value])[0]
    flat = copied(value)
    assert list(flat) == list(nested)
    assert [type(one) for one in flat.values()] == [type(one) for one in nested.values()]
    assert flat is not value
    assert weigh(flat) == 600 + sum(map(weigh, flat.values()))


def test_a_deep_value_ends():
    """Beyond the depth limit a value counts as odd instead of recursing on."""
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert weigh(copied(deep)) < 10_000


def test_a_conversation_too_large_for_the_store_is_not_kept():
    """Ten megabytes of messages do not push everything else out."""
    raw = [{"role": "user", "content": "x" * 10_000_000}]
    walk(raw)
    _, read = walk(raw)
    assert read == raw


@pytest.mark.parametrize("seed", range(20))
def test_counts_after_random_edits_equal_counts_from_scratch(seed):
    """Whatever is appended, edited, dropped or moved: remembered counts equal fresh ones."""
    rng = random.Random(seed)
    body = {"model": "gpt-4o", "messages": _rich_talk(rng)}
    for _ in range(8):
        remembered = tokentrace.count(body, api="openai.chat")
        STORE.clear()
        fresh = tokentrace.count(copy.deepcopy(body), api="openai.chat")
        assert (remembered.total, remembered.components) == (fresh.total, fresh.components)
        assert sum(fresh.components.values()) == fresh.total
        tokentrace.count(body, api="openai.chat")
        _edit(rng, body["messages"])


def _rich_talk(rng):
    turns = [{"role": "system", "content": "You are an SRE."}]
    for index in range(rng.randint(1, 6)):
        turns += [
            {"role": "user", "content": f"question {index} " + "why " * rng.randint(0, 9)},
            _call(index, rng.choice(["get_logs", "get_pods"])),
            {"role": "tool", "tool_call_id": f"c{index}", "content": f"result {index}"},
            {"role": "assistant", "content": [{"type": "text", "text": f"answer {index}"}]},
        ]
    return turns


def _call(index, name):
    function = {"name": name, "arguments": '{"n": 1}'}
    call = {"id": f"c{index}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _edit(rng, messages):
    place = rng.randrange(len(messages))
    kind = rng.choice(["append", "drop", "edit", "swap", "rename"])
    if kind == "append":
        messages.append({"role": "user", "content": f"more {rng.random()}"})
    elif kind == "drop" and len(messages) > 2:
        del messages[place]
    elif kind == "edit" and messages[place].get("content"):
        messages[place]["content"] = f"edited {rng.random()}"
    elif kind == "swap":
        messages[0], messages[place] = messages[place], messages[0]
    else:
        for message in messages:
            for call in message.get("tool_calls") or ():
                call["function"]["name"] = "renamed_tool"


def test_another_reader_of_the_same_api_begins_afresh():
    """Bedrock's bodies are read in several forms: what one reader made is nothing to another."""
    said = {"role": "user", "content": "Be brief."}
    typed = {"model": "m", "messages": [said, "x", {"role": "user", "content": ["fine", "-7"]}]}
    plain = {**typed, "messages": typed["messages"][:-1]}
    STORE.clear()
    _, fresh = measure(typed, api="bedrock.invoke")
    STORE.clear()
    measure(plain, api="bedrock.invoke")
    assert measure(typed, api="bedrock.invoke")[1] == fresh
