"""What must not be in the code, and what must be in the build."""

from __future__ import annotations

import ast
import json
import os
import tomllib
from pathlib import Path

import pytest

from tokentrace.errors import InputError
from tokentrace.readers import Problems, backends, quiet
from tokentrace.readers.backends import addresses, tempo
from tokentrace.readers.backends.web import Answer, Ask
from tokentrace.telemetry.local import LocalExporter

TOP = Path(__file__).parents[2]
SRC = TOP / "src" / "tokentrace"
EXECUTING = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.loads", "pickle.load", "yaml.load", "marshal.loads"}  # fmt: skip
# boot runs the user's own sitecustomize, which it stands in front of
MAY = {("boot/sitecustomize.py", "exec")}


def calls(source: str) -> set[str]:
    """Return what a source does that executes: calls by name, and ``shell=`` that is not False."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found |= {ast.unparse(node.func)} & EXECUTING
            found |= {"shell" for one in node.keywords if one.arg == "shell" and ast.unparse(one.value) != "False"}  # fmt: skip
    return found


def test_no_shell_and_nothing_executed():
    """No file of the package starts a shell, executes text or loads pickles."""
    found = {
        (path.relative_to(SRC).as_posix(), name)
        for path in SRC.rglob("*.py")
        for name in calls(path.read_text("utf-8"))
    }
    assert found <= MAY, found - MAY


@pytest.mark.parametrize(
    "planted", ["eval(x)", "run(a, shell=True)", "os.system('ls')", "pickle.loads(b)"]
)
def test_a_planted_call_is_seen(planted):
    """The check above can fail."""
    assert calls(planted)


class Told(Ask):
    """A back end that answers every question alike."""

    asked: tuple[str, ...] = ()

    def _asked(self, target):
        self.asked = (*self.asked, target)
        return Answer(200, json.dumps({"traces": [{"traceID": self.wanted.session}]}).encode())


@pytest.mark.parametrize(
    "odd", ["../../admin", "1?x=1", "\u202e", "1\r\nHost: x", "", "1" * 33, "a/b"]
)
def test_an_id_of_a_back_end_does_not_lead_elsewhere(odd):
    """An id becomes a part of the next path: what is no id is told, and nothing is asked with it."""
    ask = Told(addresses.place("tempo:http://127.0.0.1:1"), backends.Wanted(0, backends.SECOND, session=odd), quiet)  # fmt: skip
    with pytest.raises(InputError, match="an id that is none"):
        list(tempo.read(ask, ask.wanted, Problems()))
    assert len(ask.asked) == 1


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_traces_are_not_written_through_a_link(tmp_path, monkeypatch):
    """A link that waits under the name of the next file is passed over; its target stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "traces"
    exporter = LocalExporter(str(folder))
    monkeypatch.setattr("tokentrace.telemetry.local.time.strftime", lambda *_: "now")
    folder.mkdir(mode=0o700)
    (folder / f"tokentrace-now-{os.getpid()}.jsonl").symlink_to(victim)
    exporter._write(b"{}\n")
    exporter.close()
    assert victim.read_text() == "mine"
    assert exporter.path.endswith("-1.jsonl")


def test_the_build_is_pinned():
    """One version of the build tool makes the wheel, so that it is the same tomorrow."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))
    (need,) = project["build-system"]["requires"]
    assert need.startswith("hatchling==")
