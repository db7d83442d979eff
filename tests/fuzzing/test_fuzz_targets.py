"""The properties that are fuzzed hold for the seeds, for what is kept, and for random edits of both."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokentrace
from fuzzing import checks, kept, mutating, targets
from tokentrace import dialects
from tokentrace.counting import sections, summing
from tokentrace.prompt import Usage
from tokentrace.providers import overflow
from tokentrace.readers import otlp_json

NAMES = tuple(targets.TARGETS)


@pytest.fixture(autouse=True)
def ready(tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "FOLDER", tmp_path)
    targets.ready()
    yield
    tokentrace.uninstrument()
    targets.EXPORTER.clear()


def inputs(name):
    return [*targets.TARGETS[name].seeds(), *kept.inputs(name)]


@pytest.mark.parametrize("name", NAMES)
def test_the_property_holds_for_what_is_known(name):
    """Seeds, what earlier runs reached, and what was found once; a finding would raise."""
    every = inputs(name)
    for data in every:
        assert checks.bounded(targets.TARGETS[name].run, data) is None


def flip(data, size):
    return bytes(byte ^ 1 for byte in data[:size])


@pytest.mark.parametrize("name", NAMES)
def test_the_property_holds_for_edits(name):
    """Edits in the structure, words put in, bytes flipped."""
    target = targets.TARGETS[name]
    every = inputs(name)
    edit = mutating.edited if target.json else mutating.worded

    @given(st.integers(0, len(every) - 1), st.lists(st.integers(0, 2**32), min_size=1, max_size=5))
    @settings(max_examples=20)
    def holds(place, seeds):
        data = every[place]
        for seed in seeds:
            data = edit(data, target.longest, seed, target.words, flip)
        assert len(data) <= max(target.longest, len(every[place]))
        checks.bounded(target.run, data)

    holds()
    assert every


PLANTS = {
    "parse": (dialects.find("openai.chat"), "parse", lambda body, *_: body["no such key"]),
    "stream": (dialects.find("openai.chat"), "fold", lambda *_: Usage(input=-1)),
    "count": (summing, "_newest", lambda summed, *_: summed.copy() and None),
    "section": (sections, "likely", lambda text: text["odd"]),
    "refusal": (overflow, "_sane", lambda number: 4711),
    "otlp": (otlp_json.made, "_whole", lambda call: targets.schema.EMPTY),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(name, monkeypatch):
    """The properties can be broken: a fault in the code under test raises with the seeds alone."""
    monkeypatch.setattr(*PLANTS[name])
    every = inputs(name)
    with pytest.raises((checks.FindingError, TypeError, KeyError, AttributeError, AssertionError)):
        any(checks.bounded(targets.TARGETS[name].run, data) for data in every)


def test_a_slow_input_is_found(monkeypatch):
    """An input that takes more than its share of CPU time three times is a finding."""
    monkeypatch.setattr(checks, "FREE_S", 0.0)
    monkeypatch.setattr(checks, "BYTE_S", 0.0)
    with pytest.raises(checks.FindingError, match="s of CPU for 2 bytes"):
        checks.bounded(lambda _: sum(range(10_000)), b"{}")


def test_text_in_a_log_line_is_found():
    """A line of the log that holds a text of the input is a finding."""
    checks.TOLD.lines.append("cannot read 'the text of somebody'")
    with pytest.raises(checks.FindingError, match="log line"):
        checks.TOLD.silent_on(iter(["the text of somebody"]))


def test_what_is_kept_is_small_and_named():
    """Each target has a file of inputs, and together they stay below 300 kB."""
    files = sorted(kept.CORPUS.glob("*"))
    assert {path.name for path in files} == {f"{name}.jsonl" for name in NAMES}
    assert sum(path.stat().st_size for path in files) < 300_000


def test_the_driver_is_not_needed_here():
    """The engine is no dependency: the targets run without it."""
    assert "atheris" not in sys.modules
    assert (Path(targets.__file__).parent / "driver.py").is_file()
