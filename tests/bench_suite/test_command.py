"""One command runs what was asked, and goes on where a part cannot run."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import zipfile
from pathlib import Path

import environments
import pytest
from environments import Environments, Unmade
from rich.console import Console

PLACE = Path(environments.__file__).with_name("__main__.py")
SPEC = importlib.util.spec_from_file_location("bench_command", PLACE)
command = importlib.util.module_from_spec(SPEC)
sys.modules["bench_command"] = command
SPEC.loader.exec_module(command)


@pytest.fixture
def bench(tmp_path):
    made = Environments(tmp_path, None)
    return command.Bench(made, Console(file=io.StringIO()), here=True, quick=True)


def titles(words, *, peers=True):
    return [part.title for part in command.chosen(command.PARTS, words, peers=peers)]


def test_parts_are_chosen_by_words():
    """A word picks the parts, the peers or the environments that bear it; no word picks all."""
    assert titles(["litellm"]) == ["turns litellm"]
    assert titles(["held", "lag"]) == ["lag", "held"]
    assert len(titles([])) == len(command.PARTS)
    assert not any("logfire" in title for title in titles([], peers=False))


def test_every_part_is_a_file_or_said_to_be_missing(bench):
    """A part whose file is not there is left out, with a word about it."""
    bench.run([command.Part("no_such_part", "ours", 1, 1)])
    assert bench.missing == {"no_such_part": "there is no such part yet"}


def test_a_part_runs_in_a_process_of_its_own(bench, tmp_path, monkeypatch):
    """What a part prints last becomes rows; figures of one row come together."""
    (tmp_path / "part.py").write_text("print('noise'); print('{\"row\": {\"b\": 2}}')", "utf-8")
    (tmp_path / "some.py").touch()
    monkeypatch.setattr(command, "HERE", tmp_path)
    bench.rows = {"row": {"a": 1}}
    bench.run([command.Part("some", "ours", 1, 1)])
    assert bench.rows == {"row": {"a": 1, "b": 2}}
    assert bench.missing == {}


def test_a_part_that_fails_is_said_and_the_rest_runs(bench, tmp_path, monkeypatch):
    """The last line of the error stands among what is missing."""
    (tmp_path / "part.py").write_text("raise SystemExit('no openai here')", "utf-8")
    (tmp_path / "some.py").touch()
    monkeypatch.setattr(command, "HERE", tmp_path)
    bench.run([command.Part("some", "ours", 1, 1), command.Part("other", "ours", 1, 1)])
    assert bench.missing == {"some": "no openai here", "other": "there is no such part yet"}


def test_figures_are_kept_after_every_part(bench, tmp_path, monkeypatch):
    """What was measured before an interruption is not lost."""
    (tmp_path / "part.py").write_text(
        "import json, sys; print(json.dumps({sys.argv[3]: {'x': 1}}))", "utf-8"
    )
    (tmp_path / "some.py").touch()
    monkeypatch.setattr(command, "HERE", tmp_path)
    parts = [command.Part("some", "ours", 1, 1, (name,)) for name in ("one", "two")]
    seen = []
    bench.run(parts, lambda: seen.append(sorted(bench.rows)))
    assert seen == [["one"], ["one", "two"]]


def test_an_environment_that_cannot_be_made_costs_its_parts_alone(bench, monkeypatch):
    """Without an index the message says how to mend it, and the parts of ours still run."""

    def unmade(*_command):
        raise Unmade(f"not found\n{environments.MEND}")

    monkeypatch.setattr(environments, "ran", unmade)
    bench.run([command.Part("turns", "litellm", 1, 1, ("litellm",))])
    assert bench.missing["turns litellm"] == "no environment litellm"
    assert "UV_DEFAULT_INDEX" in bench.missing["litellm"]


def test_the_wheel_is_weighed(bench, tmp_path):
    """A vocabulary's size is what it takes inside the wheel, compressed."""
    wheel = tmp_path / "one.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as file:
        file.writestr("tokentrace/counting/data/o200k_base.zlib", b"x" * 1_000_000)
        file.writestr("tokentrace/py.typed", "")
    bench._weigh(wheel)
    assert bench.rows == {"vocabulary, o200k_base": {"wheel_mb": 1.0}}


def test_a_run_of_some_rows_keeps_the_others(bench, tmp_path):
    """With --rows what was measured before stays, in figures and versions."""
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"rows": {"old": {"x": 1}}, "versions": {"openai": "1"}}), "utf-8")
    bench.rows, bench.versions = {"new": {"x": 2}}, {"ours": {"tiktoken": "2"}}
    found = command.document(bench, command.kept(file, wanted=True), quick=True)
    assert found["rows"] == {"old": {"x": 1}, "new": {"x": 2}}
    assert found["versions"] == {"openai": "1", "tiktoken": "2"}
    assert command.kept(file, wanted=False) == {}


def test_a_row_of_two_parts_keeps_what_the_other_measured():
    """What is not measured again stays in its row."""
    before = {"vocabulary": {"load_ms": 260, "wheel_mb": 1.1}, "import": {"added_ms": 9}}
    joined = command.joined(before, {"vocabulary": {"wheel_mb": 1.0}, "other": {"ms": 1}})
    assert joined == {
        "vocabulary": {"load_ms": 260, "wheel_mb": 1.0},
        "import": {"added_ms": 9},
        "other": {"ms": 1},
    }
    assert before["vocabulary"] == {"load_ms": 260, "wheel_mb": 1.1}


def test_vocabularies_are_written_as_tiktoken_reads_them(tmp_path, monkeypatch):
    """Counters of peers take the packaged vocabulary from tiktoken's cache, without a network."""
    import tiktoken.registry

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(environments.vocabularies(tmp_path)))
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    assert tiktoken.get_encoding("cl100k_base").encode("a word") == [64, 3492]
