"""Cutting with a mark: texts, lists, JSON that stays JSON; weights."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokentrace import fitting, schema
from tokentrace.prompt import CallRecord, Detail
from tokentrace.values import identity, text, within

TEXTS = st.text(max_size=3_000)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=30), inner),
    max_leaves=60,
)


def bytes_of(value):
    return len(value.encode("utf-8", "replace"))


@given(TEXTS, st.integers(min_value=64, max_value=2_000))
@example("€" * 900, 2_000)
@example("\ud800" * 900, 256)
def test_a_cut_text_says_how_much_of_it_is_there(value, most):
    """A text over the bound ends with its mark, whose numbers are right; a shorter one stays itself."""
    known = fitting.cut(value, most)
    total = bytes_of(value)
    if total <= most:
        assert known == value
    else:
        kept, end = known.rsplit("…[cut: ", 1)
        assert end == f"{bytes_of(kept)} of {total} bytes]"
        assert bytes_of(known) <= most
        assert fitting.cut(known, most) == known


@given(TREES, st.integers(min_value=64, max_value=2_000))
@example([{"role": "user", "content": "\x00" * 5_000}] * 40, 2_000)
@example({"messages": [{"content": "x" * 900}] * 500}, 256)
@example({str(n): "x" * 90 for n in range(500)}, 256)
@example({"0" * 19 + "\x1f\x1fࠀࠀ": {"": None, "0": None}, "": None}, 64)
def test_json_that_was_cut_is_json_within_its_bound(tree, most):
    """Whatever is cut, what is left can be parsed and is no longer than asked; what fits is whole."""
    whole = fitting.dumped(tree)
    known = fitting.dumped(tree, most)
    json.loads(known)
    assert bytes_of(known) <= most
    if bytes_of(whole) <= most:
        assert known == whole


def test_the_newest_messages_stay_and_the_others_are_counted():
    """Of a long conversation the last messages are there, and a first entry says how many are not."""
    messages = [{"role": "user", "content": f"message {n} " + "x" * 300} for n in range(50)]
    body = {"system": "Be short.", "messages": messages}
    known = json.loads(fitting.dumped(body, 2_000))
    first, *kept = known["messages"]
    assert known["system"] == "Be short."
    assert first == f"+{50 - len(kept)}"
    assert [one["content"].split()[1] for one in kept] == [
        str(n) for n in range(50 - len(kept), 50)
    ]
    assert all("…[cut: " in one["content"] for one in kept)


def test_fields_that_have_no_room_are_counted():
    """An object of many fields keeps the first, and tells how many it lost."""
    known = json.loads(fitting.dumped({f"key{n:03}": "v" * 90 for n in range(200)}, 1_000))
    assert int(known[fitting.GONE].removeprefix("+")) == 200 - (len(known) - 1)


def test_objects_that_json_does_not_know_are_told_by_their_type():
    """A body may hold what only its SDK can serialise: nothing raises, and nothing of it is shown."""
    assert fitting.dumped({"messages": [object()]}) == '{"messages":["<object>"]}'


@given(st.lists(st.text(max_size=300), max_size=64), st.integers(min_value=64, max_value=2_000))
def test_lists_lose_their_last_entries(entries, most):
    """A list of texts stays within its bound, and says how many entries it lost."""
    known = fitting.cut_entries(entries, most)
    if sum(map(bytes_of, entries)) <= most:
        assert known == tuple(entries)
    else:
        *kept, gone = known
        assert kept == entries[: len(kept)]
        assert gone == f"+{len(entries) - len(kept)}"
        assert sum(map(bytes_of, known)) <= most


def test_texts_on_spans_are_found_by_back_ends_that_keep_256_characters():
    """A longer text has 256 characters with its mark; cleaned again it is the same."""
    known = text("ä" * 300)
    assert len(known) == 256
    assert known.endswith("of 600 bytes]")
    assert text(known) == known


def test_long_ids_stay_apart():
    """Two sessions whose names begin alike for 256 characters are two sessions on spans."""
    first, second = identity("s" * 300 + "1"), identity("s" * 300 + "2")
    assert first != second
    assert identity(first) == first
    assert max(len(first), len(second)) <= 256
    assert identity("conv-42") == "conv-42"


def test_details_are_cut_by_entries():
    """A smaller bound leaves fewer details, as JSON that says how many are gone."""
    details = tuple(Detail("tools", f"tool_number_{n}", 500 - n) for n in range(60))
    written = schema.bounded(schema.dump(CallRecord(details=details)), 300)
    entries = json.loads(written[schema.DETAILS])
    assert bytes_of(written[schema.DETAILS]) <= 300
    assert entries[0] == ["tools", "tool_number_0", 500]
    assert entries[-1] == f"+{60 - len(entries) + 1}"


@pytest.mark.parametrize("key", [schema.DETAILS, f"{schema.PREFIX}of_tomorrow"])
def test_lists_of_ours_in_json_are_cut_by_entries(key):
    """Whatever list of ours is too long stays a list; what it had lost before is counted again."""
    entries = [["carried", f"component_{n}", 10_000 - n] for n in range(90)]
    long = json.dumps([*entries, "+4"])
    written = schema.bounded({key: long}, 500)[key]
    *kept, gone = json.loads(written)
    assert bytes_of(written) <= 500
    assert kept == entries[: len(kept)]
    assert gone == f"+{94 - len(kept)}"
    assert schema.bounded({key: written}, 500)[key] == written


@pytest.mark.parametrize("text", ["[" * 900, "[1, " + "x" * 900, "[" + "9" * 900])
def test_what_looks_like_a_list_and_is_none_is_cut_as_a_text(text):
    """A text of somebody's that begins like a list is cut, with the mark of texts."""
    known = fitting.cut_list(text, 256)
    assert bytes_of(known) <= 256
    assert known.endswith(f"of {len(text)} bytes]")


def test_numbers_are_never_cut():
    """Only texts and lists of texts have a bound."""
    assert within(123_456, 64) == 123_456
    assert within(0.5, 64) == 0.5


@pytest.mark.parametrize(
    ("sizes", "room", "given"),
    [([10, 100, 100], 90, [10, 40, 40]), ([5, 5], 90, [5, 5]), ([100], 60, [60])],
)
def test_the_short_get_all_and_the_long_share(sizes, room, given):
    """Room is given to the small first."""
    assert fitting.shares(sizes, room) == given
