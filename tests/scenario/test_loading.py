"""Scenario files: what they become, and what is said of those that are none."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from tokentrace.analysis import Thresholds
from tokentrace.errors import InputError
from tokentrace.scenario import format as shape
from tokentrace.scenario import loading
from tokentrace.scenario.plan import Expected

GOOD = "name: x\nphases:\n  - name: a\n    turns:\n      - hello\n"
FULL = """\
name: full
description: everything
timeout: 10
concurrency: 2
stop_after: 5
essential: [system]
thresholds: {high: 0.7, long: 4}
expect: {max_total: 100, component_present: user}
phases:
  - name: a
    timeout: 20
    expect: {max_utilization: 0.5}
    turns:
      - one
      - prompt: two
        timeout: 30
        expect: {response_contains: [yes, "no"], max_total: 200, max_component: {history: 7}}
  - name: b
    turns: [three]
"""


def refusal(path, content):
    """Return what is said of a file."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        loading.load(str(path))
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(str(path))


def test_turns_get_what_is_nearest_to_them(tmp_path):
    """Expectations and time-outs of a turn win over its phase's, and those over the file's."""
    path = tmp_path / "full.yaml"
    path.write_text(FULL.replace("[yes", "['yes'"))
    found = loading.load(str(path))
    assert [(step.number, step.phase, step.prompt, step.timeout) for step in found.steps] == [
        (1, "a", "one", 20.0), (2, "a", "two", 30.0), (3, "b", "three", 10.0),
    ]  # fmt: skip
    assert [step.expected for step in found.steps] == [
        Expected(components=("user",), total=100, utilization=0.5),
        Expected(("yes", "no"), ("user",), 200, 0.5, {"history": 7}),
        Expected(components=("user",), total=100),
    ]
    assert (found.concurrency, found.stop_after) == (2, 5)
    assert found.thresholds == Thresholds(high=0.7, long=4, essential=("system",))
    assert found.phases == {"a": (1, 2), "b": (3, 3)}


@pytest.mark.parametrize(("name", "phases"), [
    ("k8s-long-conversation", [(1, 5), (6, 12), (13, 20), (21, 25)]),
    ("quick", [(1, 2), (3, 5), (6, 8), (9, 10)]),
])  # fmt: skip
def test_shipped_scenarios_have_their_phases(name, phases):
    """25 and 10 turns, and no prompt twice."""
    found = loading.load(name)
    assert found.name == name
    assert list(found.phases) == ["baseline", "accumulation", "high load", "stress"]
    assert list(found.phases.values()) == phases
    assert len({step.prompt for step in found.steps}) == phases[-1][1]


def test_the_schema_is_one_and_fits():
    """It is a valid JSON schema, takes what is shipped and what uses every key, and no other key."""
    schema = json.loads(shape.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    fits = jsonschema.Draft202012Validator(schema)
    texts = [loading.find(name)[0] for name in loading.shipped()]
    for text in (*texts, FULL.replace("[yes", "['yes'"), GOOD):
        fits.validate(yaml.safe_load(text))
    for text in (GOOD.replace("turns", "turn"), f"{GOOD}timeout: 0\n", GOOD.replace("x", "../x")):
        assert not fits.is_valid(yaml.safe_load(text)), text


FAULTS = {
    "empty": ("", ": is empty"),
    "nothing but a comment": ("# x\n", ": is empty"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00", ":1: no UTF-8 text"),
    "another encoding": (GOOD.encode() + b"description: \xe4\n", ":6: no UTF-8 text"),
    "a control character": (f"{GOOD}a: \x01\n", ":6: holds a character"),
    "a character that no program can be told": (
        GOOD.replace("hello", '"a\\0b"'), ":5: holds a character that no text may hold",
    ),
    "half a character": (GOOD.replace("hello", '"a\\ud800b"'), ":5: holds a character"),
    "no YAML": (f"{GOOD}a: [1", "no YAML: expected"),
    "an alias bomb": (f"{GOOD}a: &a [x]\nb: &b [*a, *a]\n", ":7: an alias, *a"),
    "two documents": (f"{GOOD}---\na: 1\n", ":6: no YAML: but found another document"),
    "an object": (f"{GOOD}essential: !!python/object/apply:os.system [ls]\n", ":6: tag:yaml.org"),
    "a tag of one's own": (f"{GOOD}description: !x y\n", ":6: a value that cannot be read"),
    "a set": (f"{GOOD}description: !!set {{a}}\n", ":6: tag:yaml.org,2002:set is no plain data"),
    "too deep": ("[" * 5_000, ":1: nested more than 12 deep"),
    "too many": ("- x\n" * 30_000, "more than 20,000 things"),
    "too large": ("#" * (2**20 + 1), ": more than 1,048,576 bytes"),
    "a list": ("- a\n", ":1: expected `object`, got `array`"),
    "no phases": ("name: x\n", ":1: object missing required field `phases`"),
    "an unknown key": (f"{GOOD}promts: 1\n", ":6: unknown key 'promts' (did you mean 'prompt'?)"),
    "an unknown key inside": (GOOD.replace("- hello", "- {promt: hello}"), ":5: unknown key 'promt'"),
    "a key like none": (f"{GOOD}zzzz: 1\n", ":6: unknown key 'zzzz' (see `tokentrace scenario schema`)"),
    "a key twice": (f"{GOOD}timeout: 1\ntimeout: 2\n", ":7: 'timeout' stands there twice"),
    "a key that is no word": (f"{GOOD}1: 2\n", ":6: a key that is no word"),
    "a number as prompt": (GOOD.replace("hello", "42"), ":5: turns: expected `str | object`"),
    "an empty prompt": (GOOD.replace("hello", "''"), ":5: turns: expected `str` of length >= 1"),
    "a time-out of nothing": (f"{GOOD}timeout: 0\n", ":6: timeout: expected `float` > 0.0"),
    "a time-out that never ends": (f"{GOOD}timeout: .inf\n", ":6: timeout: expected `float` <="),
    "a time-out that is no number": (f"{GOOD}timeout: .nan\n", ":6: timeout: expected `float`"),
    "a switch as a number": (f"{GOOD}concurrency: true\n", ":6: concurrency: expected `int`, got `bool`"),
    "half a token": (f"{GOOD}expect: {{max_total: 1.5}}\n", ":6: max_total: expected `int`"),
    "tokens below none": (f"{GOOD}expect: {{max_component: {{a: -1}}}}\n", ":6: max_component: expected `int`"),
    "nothing as a number": (f"{GOOD}stop_after:\n", ":6: stop_after: expected `int`, got `null`"),
    "a date that is none": (f"{GOOD}description: 2024-13-45\n", ":6: a value that cannot be read"),
    "a path as name": (GOOD.replace("name: x", "name: ../x"), ":1: name: expected `str` matching"),
    "a phase twice": (f"{GOOD}  - name: a\n    turns: [b]\n", ":6: two phases are 'a'"),
    "a threshold that is none": (f"{GOOD}thresholds:\n  hihg: 1\n", ":7: no threshold 'hihg'"),
    "a threshold out of range": (f"{GOOD}thresholds:\n  long: 0.5\n", ":7: long must be"),
    "thresholds in no order": (f"{GOOD}thresholds: {{low: 0.9}}\n", ":6: low, high and near"),
    "too many turns": (f"{GOOD}  - name: b\n    turns: [{'x, ' * 1000}]\n", ":2: more than 1,000 turns"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_with_its_place(fault, tmp_path):
    """File, line, and what is wrong."""
    content, expected = FAULTS[fault]
    assert expected in refusal(tmp_path / "bad.yaml", content)


@pytest.mark.parametrize(("wanted", "expected"), [
    ("quik", "no scenario 'quik' (there are: quick; or a file)"),
    ("zzz", "there are: k8s-long-conversation, quick"),
    ("no/such.yaml", "no/such.yaml: no such file"),
    ("such.yaml", "such.yaml: no such file"),
    (".", ".: "),
    ("a\0b.yaml", "invalid argument"),
])  # fmt: skip
def test_what_is_not_there(wanted, expected):
    """A name that is none says which there are, a path that it leads nowhere."""
    with pytest.raises(InputError) as caught:
        loading.load(wanted)
    assert expected in str(caught.value)


def test_a_file_wins_over_a_name(here):
    """Where a file is called as a scenario of the package, the file is meant."""
    (here / "quick").write_text(GOOD)
    assert loading.load("quick").name == "x"


def test_a_key_that_looks_like_a_place_is_one_line(tmp_path):
    """A long key of the words with which places are told costs no time, and is told as unknown."""
    path = tmp_path / "odd.yaml"
    key = " - at `$" * 100_000
    path.write_text(f"{GOOD}? '{key}'\n: x\n")
    with pytest.raises(InputError, match="unknown"):
        loading.load(str(path))
