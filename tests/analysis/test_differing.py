"""What changed between two prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace.analysis import differing
from tokentrace.analysis.differing import Moved, Piece, Side, differ, state
from tokentrace.prompt import CallRecord, Count, Detail


def side(components=None, details=(), messages=()):
    components = components or {}
    return Side("x", sum(components.values()), components=components, details=details, messages=messages)  # fmt: skip


def talk(*said):
    """Return messages from their texts, user and assistant in turn."""
    roles = ("user", "assistant")
    return [Piece(roles[place % 2], len(text), text) for place, text in enumerate(said)]


def test_components_are_told_by_what_became_of_them():
    """Each component stands with a state, the largest change first, and adds up to the delta."""
    found = differ(
        side({"system": 10, "history": 5, "tools": 9, "memory": 4}),
        side({"system": 10, "history": 25, "tools": 2, "user": 3}),
    )
    assert [(one.name, state(one)) for one in found.components] == [
        ("history", "grew"), ("tools", "shrank"), ("memory", "gone"), ("user", "new"),
        ("system", "same"),
    ]  # fmt: skip
    assert found.delta == 12


def test_details_that_stayed_are_left_out():
    """Inside of components only what changed is told; the same name in two components is two."""
    before = side(details=[Detail("tools", "a", 3), Detail("tools", "b", 4), Detail("x", "a", 1)])
    after = side(details=[Detail("tools", "a", 3), Detail("tools", "c", 9), Detail("x", "a", 2)])
    found = [(name, one.name, state(one)) for name, one in differ(before, after).details]
    assert found == [("tools", "c", "new"), ("tools", "b", "gone"), ("x", "a", "grew")]


@pytest.mark.parametrize(("before", "after", "moved"), [
    ("a b", "a b", []),
    ("a b", "a b c d", [Moved("new", 3, "user", None, 1), Moved("new", 4, "assistant", None, 1)]),
    ("a b c", "a b xyz", [Moved("changed", 3, "user", 1, 3)]),
    ("a b c d e", "c d e", [Moved("gone", 1, "user", 1), Moved("gone", 2, "assistant", 1)]),
    ("", "a", [Moved("new", 1, "user", None, 1)]),
])  # fmt: skip
def test_messages_are_told_by_place_and_role(before, after, moved):
    """What stands in both is kept; the rest is new, gone or changed, and never shown as text."""
    found = differ(side(messages=talk(*before.split())), side(messages=talk(*after.split())))
    assert list(found.messages) == moved
    assert found.kept == len(after.split()) - sum(one.state != "gone" for one in moved)


@given(st.lists(st.sampled_from("ab")), st.lists(st.sampled_from("ab")))
def test_messages_balance(before, after):
    """What was there, less what is gone, and what is new, is what is there."""
    found = differ(side(messages=talk(*before)), side(messages=talk(*after)))
    states = [one.state for one in found.messages]
    assert len(before) - states.count("gone") + states.count("new") == len(after)
    assert found.kept + states.count("changed") + states.count("new") == len(after)


def test_long_lists_that_differ_wholly_are_told_by_place(monkeypatch):
    """Where matches would take for ever, messages are compared place by place."""
    monkeypatch.setattr(differing, "LONGEST", 2)
    found = differ(side(messages=talk("a", "b", "c")), side(messages=talk("x", "a", "b", "c")))
    assert {one.state for one in found.messages} == {"changed", "new"}


def test_sides_of_counts_and_of_spans():
    """A count is known wholly, of a span the largest details only."""
    count = Count(3, {"user": 3}, method="exact", model="m", api="openai.chat", limit=9)
    call = CallRecord(tokens=3, components={"user": 3}, model="m", error=1, method="estimated")
    counted, recorded = differing.counted("a", count), differing.recorded("b", call)
    assert (counted.total, counted.limit, counted.partial) == (3, 9, False)
    assert (recorded.total, recorded.error, recorded.partial) == (3, 1, True)
