"""What counts as a section of a prompt, and what does not."""

from __future__ import annotations

import json
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentrace.counting import sections
from tokentrace.counting.sections import find

CONTEXT = {
    "core_goal": "keep the cluster healthy",
    "phase": {"name": "analysis", "odd": 'a "}" and a \\ in a string'},
    "files": ["a.py", {"core_goal": "not at the top"}],
}


def pieces(text, wanted=None):
    """Return name and text of each section."""
    return [(s.name, text[s.start : s.end]) for s in find(text, wanted)]


def names_of(text, wanted=None):
    return [s.name for s in find(text, wanted)]


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "prefix", ["", "SYSTEM CONTEXT (JSON): ", "CONTEXT =\n", "State:\n```json\n"]
)
@pytest.mark.parametrize("suffix", ["", "\n", "\n```\nUse this context.", " and now answer"])
def test_json_block_is_split_by_top_level_keys(indent, prefix, suffix):
    """A block, compact or pretty, alone or inside text, is split by its top-level keys only."""
    text = prefix + json.dumps(CONTEXT, indent=indent) + suffix
    assert names_of(text) == ["core_goal", "phase", "files"]


def test_json_keys_span_from_their_quote_to_the_next_key():
    """Keys, values and separators belong to the section; prefix and braces to none."""
    text = 'SYSTEM CONTEXT (JSON): { "a": [1, 2],\n "b" : {"c": 1} } end'
    assert pieces(text) == [("a", '"a": [1, 2],\n '), ("b", '"b" : {"c": 1} ')]
    assert {s.form for s in find(text)} == {"json"}


def test_several_blocks_in_one_text():
    """Each block of a text is split, also where they share a key."""
    text = 'A: {"x": 1, "y": 2}\ntext\nB: {"x": 3, "z": 4}'
    assert names_of(text) == ["x", "y", "x", "z"]


def test_keys_are_read_as_json_reads_them():
    """An escaped key has its real name, and an empty or repeated key is a key."""
    assert names_of('{"caf\\u00e9": 1, "": 2, "caf\\u00e9": 3}') == ["café", "", "café"]


def test_raw_line_ends_in_strings_are_fine():
    """A block from a hand-made template, with a raw line end in a string, is still a block."""
    assert names_of('{"a": "one\ntwo", "b": 1}') == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        'Call it with {"path": "x", "mode": "r"} please.',
        '{"a": 1}',
        "{}",
        "Set {x, y} and f-string {name} and {'a': 1, 'b': 2}",
        'Here: {"a": 1, "b": 2',
        'Here: {"a": 1, "b": }',
        'Here: {"a": 1 "b": 2}',
        'Here: {"a" 1, "b": 2}',
        'Here: {"a": 1, b: 2}',
        'Here: {"a": 1, "b": 2]',
        '[{"a": 1, "b": 2}, {"a": 3, "b": 4}]',
        '[\n  {"a": 1, "b": 2},\n  {"a": 3, "b": 4}\n]',
        '```python\nx = {"a": 1, "b": 2}\n```',
        '{"t": 1, "m": 2}\n{"t": 3, "m": 4}\n{"t": 5, "m": 6}',
    ],
)
def test_what_is_no_json_block(text):
    """Small or broken objects, braces in running text, arrays, foreign code and records are not."""
    assert find(text) == ()


def test_json_block_in_running_text_must_be_large():
    """In running text an object of two keys is a block from 200 characters on."""
    block = json.dumps({"goal": "x" * 200, "phase": "y"})
    assert names_of(f"The state is {block} now.") == ["goal", "phase"]


def test_one_key_makes_a_block_from_forty_characters_on():
    """A single key is a block where the object is long enough to matter."""
    assert names_of('Context: {"core_goal": "ship the release by Friday"}') == ["core_goal"]


def test_block_behind_foreign_fences_is_found():
    """Code is passed over, fence by fence; a block inside a fence of JSON and behind are found."""
    code = '```python\nx = {"a": 1, "b": 2}\n```\n'
    text = code + '```json\n{"x": 1, "y": 2}\n```\n' + code * 2 + 'C: {"z": 1, "q": 2}'
    assert names_of(text) == ["x", "y", "z", "q"]


def test_block_behind_a_broken_one_is_found():
    """Reading goes on where a broken object stopped to be JSON."""
    assert names_of('A: {"a": 1, oops}\nB: {"x": 1, "y": 2}') == ["x", "y"]


def test_json_depth_is_bounded():
    """An object deeper than the interpreter goes is no block, and no error."""
    deep = '{"a": ' + "[" * 50_000 + "]" * 50_000 + ', "b": 1}'
    assert find(deep) == ()


def test_json_numbers_cost_nothing():
    """A number of a million digits is read as text."""
    assert names_of('{"n": ' + "9" * 1_000_000 + ', "b": -1.5e9, "c": NaN}') == ["n", "b", "c"]


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────


def test_tags_span_from_bracket_to_bracket():
    """An element reaches from its opening to its closing tag, attributes and all."""
    text = 'See <docs lang="en">one\n</docs> and <rules>two</rules >.'
    assert pieces(text) == [
        ("docs", '<docs lang="en">one\n</docs>'),
        ("rules", "<rules>two</rules >"),
    ]
    assert {s.form for s in find(text)} == {"xml"}


def test_outermost_tags_only():
    """Elements inside an element are part of it, also those of the same name."""
    text = "<a1><b1>x</b1><a1>y</a1></a1><c1>z</c1>"
    assert pieces(text) == [("a1", "<a1><b1>x</b1><a1>y</a1></a1>"), ("c1", "<c1>z</c1>")]


@pytest.mark.parametrize(
    "text",
    [
        "a <T> that never closes",
        "closed only </T>",
        "<T/> </T>",
        "some <b>bold</b> <i>words</i> <div>and</div> <H1>boxes</H1>",
        "wrap it in `<answer>` and `</answer>`",
        "```\n<html1>x</html1>\n```",
        "a < b and c > d </",
        'Here: {"a": "<x1>y</x1>", "b": "no </x1>"}',
    ],
)
def test_what_is_no_element(text):
    """Open tags, formatting, tags in back quotes, in code and in JSON are not."""
    assert not [s for s in find(text) if s.form == "xml"]


def test_unclosed_tags_inside_do_not_matter():
    """An element closes over tags inside it that never do."""
    assert names_of("<list1>a <T> b</list1> <more>c</more>") == ["list1", "more"]


# ── headings ─────────────────────────────────────────────────────────────────────────────────────


def test_headings_nest_and_end_at_the_same_or_a_higher_level():
    """A heading's section holds the deeper ones and ends where one of its level starts."""
    text = "intro\n# One\na\n## Two ##\nb\n### Three\nc\n## Four\nd\n# Five\ne"
    assert pieces(text) == [
        ("One", "# One\na\n## Two ##\nb\n### Three\nc\n## Four\nd\n"),
        ("Two", "## Two ##\nb\n### Three\nc\n"),
        ("Three", "### Three\nc\n"),
        ("Four", "## Four\nd\n"),
        ("Five", "# Five\ne"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh # x",
        "#include <x> # y",
        "issue #12 and # in a line",
        "####### seven # levels",
        "    # code # by indent",
        "```sh\n# comment\n```",
        "~~~\n# comment",
        "````\n```\n# comment\n````",
        "<doc1>\n# inside an element\n</doc1>",
        '{"a": "x\n# in JSON", "b": 1}',
        "# ",
        "# #",
    ],
)
def test_what_is_no_heading(text):
    """Comments, code, elements and JSON hold no headings, and an empty one has no name."""
    assert not [s for s in find(text) if s.form == "markdown"]


def test_headings_go_on_behind_a_fence():
    """A closed fence hides only what is in it."""
    assert names_of("# A\n```\n# no\n```\n# B\n") == ["A", "B"]


def test_windows_line_ends():
    """A carriage return is no part of a heading's name."""
    assert names_of("# A\r\ntext\r\n## B\r\n") == ["A", "B"]


# ── all of them ──────────────────────────────────────────────────────────────────────────────────


def test_sections_of_different_forms_nest():
    """A heading holds an element, an element a block, and each is found."""
    text = '# Input\n<context>{"goal": "ship", "items": [1]}</context>\n# Output\nx'
    assert names_of(text) == ["Input", "context", "goal", "items", "Output"]


def test_wanted_names_only():
    """With names asked for, only these are found, an element also inside another."""
    text = '# A\n<all1><memory>x</memory></all1>\n# B\n{"goal": 1, "files": 2}'
    assert names_of(text, {"memory", "goal", "B"}.__contains__) == ["memory", "B", "goal"]


def test_at_most_64_sections():
    """The first 64 are found; the rest of the text is nobody's."""
    text = "".join(f"<t{i}>x</t{i}>" for i in range(100))
    assert names_of(text) == [f"t{i}" for i in range(64)]
    block = json.dumps({f"k{i}": i for i in range(100)})
    assert names_of(block) == [f"k{i}" for i in range(64)]


def test_too_long_a_text_has_no_sections(monkeypatch):
    """Beyond the bound nothing is scanned."""
    monkeypatch.setattr(sections, "LONGEST_TEXT", 10)
    assert find("# A\ntext and more") == ()


def test_ordinary_text_has_none():
    """Plain chat is told from structured text without scanning."""
    assert not sections.likely("How do I restart the pod? It's number #3, 5 < 6.")
    assert find("") == ()


def crosses(a, b):
    return a.start < b.start < a.end < b.end


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                *('{"a": ', '"b": 1', "{", "}", "[", "]", ",", ":", '"', "\\", "\n", " ", "# H"),
                *("## ", "<x1>", "</x1>", "<y1 z>", "</y1>", "<", ">", "```", "~~~", "json"),
                *("é", "\ud800", "🙂"),
            ]
        ),
        max_size=60,
    ).map("".join)
)
def test_any_text_gives_sections_that_nest(text):
    """Whatever the text: no error, sorted, inside the text, and no two sections cross."""
    found = find(text)
    assert list(found) == sorted(found, key=lambda s: (s.start, -s.end))
    assert all(0 <= s.start < s.end <= len(text) for s in found)
    assert not [(a, b) for a in found for b in found if crosses(a, b)]


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.none() | st.floats() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=3),
        max_size=6,
    ),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
)
def test_any_object_of_two_keys_is_split_by_its_keys(data, indent, ascii_only):
    """Whatever json writes is found again, key by key."""
    text = "CONTEXT: " + json.dumps(data, indent=indent, ensure_ascii=ascii_only) + "\n"
    if len(data) > 1:
        assert names_of(text) == list(data)


N = 100_000
HOSTILE = {
    "braces": "{" * N,
    "tags": "<a" * (N // 2) + "</",
    "quotes": '"' * N + "{",
    "hashes": "#" * N + "# ",
    "heads": "\n#" * (N // 2) + "# ",
    "headings": "\n# a" * (N // 4),
    "closing": "</ab>" * (N // 5),
    "elements": "<ab></ab>" * (N // 9),
    "nested elements": "".join(f"<a{i}>" for i in range(9_000)) + "</a0>",
    "open objects": '{"' * (N // 2),
    "nested objects": '{"a":' * (N // 5),
    "broken objects": '\n{"a":1,' * (N // 8),
    "small objects": '\n{"a":{},"b":1}' * (N // 15),
    "arrays": '{"a":' + "[" * N,
    "escapes": '\n{"a\\' * (N // 5) + '"',
    "escaped quotes": '{"' + '\\"{' * (N // 3),
    "spaces in objects": "{" + " " * N + '"',
    "spaces before objects": (" " * 250 + '{"') * (N // 252),
    "tags with spaces": "<a " * (N // 3) + "</",
    "fences": "\n```" * (N // 4) + "# ",
    "back quotes": "\n" + "`" * N + "# ",
    "indented": ("\n" + " " * 50 + "`") * (N // 52) + "```# ",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_takes_linear_time(kind):
    """100 kB of near-matches take at most 50 ms of CPU, the best of three."""
    times = []
    for _ in range(3):
        start = time.thread_time()
        find(HOSTILE[kind])
        times.append(time.thread_time() - start)
    traced = sys.gettrace() is not None  # line tracing costs about ten times the work
    assert min(times) <= (0.5 if traced else 0.05)
