"""Blocks by which a text is known again; indented JSON and base64 in text."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentrace.counting import blocks

RANDOM = Random(7)
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


def line():
    """Return a line of prose of about sixty characters."""
    return " ".join(RANDOM.choice(WORDS) + str(RANDOM.randrange(99)) for _ in range(8))


DOCUMENT = "\n".join(line() for _ in range(200))


def again(first, second):
    """Return the share of the first text's characters that stand in the second."""
    known = {mark for mark, _, _ in blocks.blocks(second)}
    held = [(start, end) for mark, start, end in blocks.blocks(first) if mark in known]
    return sum(end - start for start, end in held) / len(first)


def test_a_copy_is_known_wherever_it_stands():
    """Behind another beginning, before another end, and indented."""
    indented = "\n".join(f"    {one}" for one in DOCUMENT.split("\n"))
    assert again(DOCUMENT, f"Here it is:\n\n{DOCUMENT}\n\nbye") > 0.95
    assert again(DOCUMENT, f"See {line()}\n{DOCUMENT}\n{line()}") > 0.7
    assert again(DOCUMENT, indented) > 0.95


def test_a_copy_inside_json_is_known():
    """A file that a tool returns as a string of JSON is the file."""
    quoted = 'she said "no"\tand C:\\temp\n' + DOCUMENT + "\nGr\u00fc\u00dfe \u2713 " + line()
    for ascii_only in (True, False):
        wrapped = json.dumps({"path": "/a", "content": quoted}, ensure_ascii=ascii_only)
        assert again(wrapped, quoted) > 0.7


def test_an_edit_costs_its_own_block():
    """One changed line in two hundred leaves most of the copy known."""
    lines = DOCUMENT.split("\n")
    edited = "\n".join([*lines[:90], line(), *lines[91:]])
    assert 0.7 < again(edited, DOCUMENT) < 1


def test_other_text_is_not_known():
    """Neither other prose nor short lines that stand in every manifest."""
    assert again(DOCUMENT, "\n".join(line() for _ in range(40))) == 0
    assert blocks.blocks("}\n{\n  name: a\n---\n" * 3) == ()
    assert blocks.blocks("yes") == ()


def test_one_long_line_has_blocks_too():
    """A paragraph is cut at its sentences, compact JSON at its objects."""
    prose = ". ".join(line() for _ in range(100))
    assert again(prose, f"He wrote this. {prose}. And that was it.") > 0.7
    records = json.dumps([{"name": line(), "n": n} for n in range(100)], separators=(",", ":"))
    assert again(records, '{"items":' + records + "}") > 0.7


@given(st.text(alphabet='ab \n\\"nu{},.0', max_size=2_000))
@settings(deadline=None)
def test_blocks_lie_inside_the_text_in_order(text):
    """Whatever the text: stretches have a start, an end and no overlap."""
    at = 0
    for _, start, end in blocks.blocks(text):
        assert at <= start < end <= len(text)
        at = end


def test_joined_blocks_are_one_stretch():
    """Blocks with a line's end between them follow one another."""
    assert blocks.joined([(1, 0, 10), (2, 11, 20), (3, 40, 50)]) == [(0, 20), (40, 50)]


def test_indented_json_is_written_compactly():
    """Alone, inside prose, and with what is no JSON around it."""
    data = {"a": [1, 2.5, {"b": "x y"}], "c": None}
    pretty, compact = json.dumps(data, indent=2), json.dumps(data, separators=(",", ":"))
    assert blocks.compacted(pretty) == compact
    assert (
        blocks.compacted(f"go() {{\n  x\n}}\n{pretty}\nend") == f"go() {{\n  x\n}}\n{compact}\nend"
    )


def test_only_white_space_of_json_goes():
    """Keys that come twice, numbers and escapes stay as they were written."""
    raw = '{\n  "k": 1.50,\n  "k": "\\u00e9 é \\/",\n  "n": 1e400\n}'
    assert blocks.compacted(raw) == '{"k":1.50,"k":"\\u00e9 é \\/","n":1e400}'
    for odd in ('{\n  "a": NaN\n}', '{\n  "a": "\ud800"\n}'):
        assert blocks.compacted(odd) is None


def test_what_is_no_indented_json_stays():
    """Compact JSON, code and broken JSON are left alone."""
    for text in ('{"a": 1}', "f(x) {\n  return\n}", '{\n "a": 1', "prose", "[\n" * 2_000):
        assert blocks.compacted(text) is None


def test_runs_that_are_a_little_too_short_are_none():
    """Rows of 255 characters, three lines, and a run behind them that is long enough."""
    payload = base64.b64encode(RANDOM.randbytes(600)).decode()
    rows = " ".join(payload[:255] for _ in range(200))
    three = "-\n".join((payload[:76] + "\n") * 3 for _ in range(50))
    assert blocks.encoded(rows) == blocks.encoded(three) == []
    assert blocks.encoded(f"{rows} {payload}") == [(len(rows) + 1, len(rows) + 1 + len(payload))]


def test_base64_is_found_and_other_runs_are_not():
    """A payload in one run or in lines; no hexadecimal, no path, no row of signs, no prose."""
    payload = base64.b64encode(RANDOM.randbytes(600)).decode()
    ((start, end),) = blocks.encoded(f"data: {payload} end")
    assert (start, end) == (6, 6 + len(payload))
    lines = "\n".join(payload[at : at + 76] for at in range(0, len(payload), 76))
    assert len(blocks.encoded(f"cert\n{lines}\n")) == 1
    for other in (RANDOM.randbytes(300).hex(), "=" * 900, "a/b" * 200, DOCUMENT, "x" * 999):
        assert blocks.encoded(other) == []
    for rows in (lines, lines.replace("\n", "\\n")):
        behind = blocks.encoded(f"{'-' * 300}\n\\n{rows}\\n {payload}")
        assert [end - start for start, end in behind] == [len(rows), len(payload)]


NAMES = [
    "Reads",
    "the",
    "Kubernetes",
    "manifest",
    "of",
    "a",
    "Service",
    "and",
    "tells",
    "Ports2",
    "and",
    "Selectors",
    "from",
    "it",
]


@pytest.mark.parametrize("run", [
    "/".join(NAMES * 5),  # a path
    "_".join(NAMES * 5),
    "".join(name.title() for name in NAMES * 6),  # a name of a class
    "_ZNSt8_Rb_treeINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESt4pairIKS5_N4core3fmt" * 4,
])  # fmt: skip
def test_long_names_are_no_base64(run):
    """Paths, identifiers and mangled names have letters of both cases and digits, too."""
    assert len(run) >= blocks.SHORTEST_RUN
    assert blocks.encoded(f"at {run} in line 3") == []


@pytest.mark.parametrize("plain", [
    RANDOM.randbytes(900),
    DOCUMENT.encode()[:900],
    json.dumps([{"id": n, "name": "pod"} for n in range(60)]).encode(),
    b"".join(n.to_bytes(2, "little") for n in range(0, 30_000, 71)),
])  # fmt: skip
def test_whatever_is_encoded_is_base64(plain):
    """Bytes, a text, JSON, samples of sound: in either alphabet."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        run = encode(plain).decode()
        assert blocks.encoded(f"see {run} there") == [(4, 4 + len(run))]


@given(
    st.lists(
        st.sampled_from(
            ["a word. ", "\n", "\\n", '\\"', "  ", "{", "}, {", "x" * 70, "Zeile ", "\t"]
        ),
        max_size=120,
    ).map("".join)
)
def test_stretches_change_no_block(text):
    """A text that is read stretch by stretch, few rows at a time, has the blocks that it has in one go."""
    whole = blocks.blocks(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "WINDOW", 16)
        patch.setattr(blocks, "ROWS", 2)
        assert blocks.blocks(text) == whole


@given(st.lists(st.sampled_from(["a", " ", "q" * 100, "\n", "z" * 255]), max_size=12).map("".join))
def test_dense_runs_are_seen_whatever_the_stretch(text):
    """Whether a probe stands in a text does not depend on how much of it is looked at in one go."""
    probes = (text[at : at + blocks.PROBE] for at in range(0, len(text), blocks.SHORTEST_RUN // 2))
    there = any(" " not in probe and len(probe) == blocks.PROBE for probe in probes)
    assert blocks._dense(text) is there
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "WINDOW", blocks.SHORTEST_RUN)
        assert blocks._dense(text) is there


def test_a_text_is_cut_alike_in_each_process():
    """What a report says of copies does not hang on the salt of a process."""
    code = (
        "from tokentrace.counting.blocks import blocks\n"
        "lines = [f'- step {n}: service {n * 7919 % 997} waits for its database' for n in range(90)]\n"
        "print([place for _, *place in blocks('\\n'.join(lines))])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    (places,) = told
    assert places.count("[") > 10
