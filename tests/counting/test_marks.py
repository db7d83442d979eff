"""What other tokenizers cut otherwise: found late, and as a look at every character finds it."""

from __future__ import annotations

import random
import string

import pytest

from odd_texts import hostile, prose
from tokentrace.counting import anchoring, marks
from tokentrace.counting.counter import measure
from tokentrace.counting.digests import LONGEST, digests_of, hashes_of
from tokentrace.counting.rules import openai_marks
from tokentrace.counting.store import STORE
from tokentrace.prompt import Message, Part, Prompt


@pytest.fixture(autouse=True)
def empty_store():
    STORE.clear()
    yield
    STORE.clear()


def looked_at(texts):
    """Return fives of letters, digits and line breaks, character by character."""
    letters, digits, breaks = (
        sum(sign in signs for text in texts for sign in text)
        for signs in (string.ascii_letters, string.digits, "\n")
    )
    return letters // 5, digits, breaks


@pytest.mark.parametrize("seed", range(60))
def test_one_look_finds_what_every_character_says(seed):
    """Letters, digits and line breaks of a message, whatever else its parts hold."""
    rng = random.Random(seed)
    texts = [
        rng.choice((hostile, prose))(rng, rng.randint(0, 60)) for _ in range(rng.randint(0, 3))
    ]
    message = Message("user", tuple(Part("text", text) for text in texts))
    assert marks.unpacked(marks.of_message(message)) == looked_at(texts)
    assert marks.unpacked(marks.of_message(message)) == looked_at(texts)


def talk(rng, length):
    """Return messages of a few words each."""
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": prose(rng, 6)} for at in range(length)]


@pytest.mark.parametrize("seed", range(20))
def test_who_asks_late_hears_what_he_had_heard_all_along(seed):
    """Marks and digests of a growing, edited conversation are those of its messages read alone."""
    rng = random.Random(seed)
    messages = talk(rng, 3)
    for _ in range(12):
        messages = [*messages, *talk(rng, rng.randint(1, 3))]
        if rng.random() < 0.2:
            place = rng.randrange(1, len(messages))
            messages[place] = {**messages[place], "content": prose(rng, 5)}
        prompt, count = measure({"model": "gpt-4o", "messages": messages}, api="openai.chat")
        if rng.random() < 0.4:
            continue
        alone = [Message(m["role"], (Part("text", m["content"]),)) for m in messages]
        assert hashes_of(prompt) == digests_of(alone)
        assert anchoring.footprint(prompt, count).marks == marks.unpacked(
            sum(map(marks.of_message, alone))
        )


def test_digests_end_with_the_longest_conversation():
    """However it grew, a prompt has the digests of its first 4,096 messages."""
    messages = talk(random.Random(1), LONGEST - 1)
    for _ in range(3):
        prompt, _ = measure({"model": "gpt-4o", "messages": messages}, api="openai.chat")
        assert hashes_of(prompt) == digests_of(prompt.messages)
        messages = [*messages, *talk(random.Random(2), 2)]


def test_a_prompt_that_was_not_counted_has_no_marks():
    """Nobody knows them before all of its messages were counted."""
    prompt = Prompt("openai.chat", messages=[Message("user", (Part("text", "Hello"),))])
    assert marks.of_prompt(prompt) is None
    marks.counted(prompt)
    assert marks.of_prompt(prompt) == (1, 0, 0)


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "critic"])
@pytest.mark.parametrize("name", ["", "Ann"])
@pytest.mark.parametrize("kind", ["", "refusal"])
def test_a_message_of_one_text_has_the_marks_of_any_other(role, name, kind):
    """What the evidence is told of a text follows from its message's role and names."""
    message = Message(role, (Part("text", "Hello", name=kind),), name)
    assert openai_marks.of_message(message) == frozenset(openai_marks._of_message(message))
