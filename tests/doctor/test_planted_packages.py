"""Faults of packages: each is planted as files on the path, found, mended as told, and gone."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import tokentrace
from tokentrace import doctor
from tokentrace.counting import vocab
from tokentrace.doctor import children, environment, installed, others, probe, sdks
from tokentrace.instrument.hooks import HOOKS

BASE_CLIENT = """
class SyncAPIClient:
    def request(self): ...
class AsyncAPIClient:
    async def request(self): ...
"""
WHOLE = {"openai/__init__.py": "", "openai/_base_client.py": BASE_CLIENT}
VOCABULARY = """
from tokentrace import doctor
for one in doctor.examine("vocabulary", doctor.Machine()):
    print(one.state, "|", one.what, "|", one.mend)
"""


@pytest.fixture
def openai(site):
    """A site that has a whole openai SDK to offer."""
    site.offer("openai", "3.9.0", WHOLE)
    return site


def test_an_old_sdk(openai, look):
    """A version from before the hooks is told with the command for one that is tested."""
    openai.offer("openai", "1.40.0", WHOLE)
    openai.install("openai", "1.40.0")
    (found,) = look("sdk.version", "openai")
    assert (found.state, found.mend) == ("warn", "pip install -U 'openai>=1.60,<4'")
    openai.pip(found.mend)
    assert look("sdk.version", "openai") == []


def test_an_sdk_that_cannot_be_imported(openai, look):
    """What an SDK's import raises is told, and hurts neither doctor nor other checks."""
    broken = {"openai/__init__.py": "print('hello')\nimport a_module_that_is_not_there\n"}
    openai.offer("openai", "3.1.0", broken)
    openai.install("openai", "3.1.0")
    (found,) = look("sdk.import", "openai")
    assert found.state == "fault"
    assert "No module named 'a_module_that_is_not_there'" in found.what
    assert look("sdk.hook", "openai") == []
    openai.pip(found.mend)
    assert look("sdk.import", "openai") == []
    (hooked,) = doctor.examine("sdk.hook", doctor.Machine(["openai"]))
    assert (hooked.state, set(hooked.facts["hooks"].values())) == ("ok", {"hooked"})


@pytest.mark.parametrize(("code", "told"), [
    ("import os\nos.kill(os.getpid(), 9)\n", "killed by signal 9"),
    ("raise SystemExit(3)\n", "ended with code 3"),
])  # fmt: skip
def test_an_sdk_that_ends_the_process(openai, look, code, told):
    """A crash while an SDK is imported ends the child only."""
    openai.offer("openai", "3.1.0", {"openai/__init__.py": code})
    openai.install("openai", "3.1.0")
    (found,) = look("sdk.import", "openai")
    assert told in found.what


def test_an_sdk_that_hangs(openai):
    """An import that does not end is given up, and told."""
    openai.offer(
        "openai", "3.1.0", {"openai/__init__.py": "import threading\nthreading.Event().wait()\n"}
    )
    openai.install("openai", "3.1.0")
    (found,) = doctor.examine("sdk.import", doctor.Machine(["openai"], patience=2))
    assert "did not end within 2 seconds" in found.what
    openai.pip(found.mend)
    (found,) = doctor.examine("sdk.import", doctor.Machine(["openai"]))
    assert found.state == "ok"


@pytest.mark.parametrize(("files", "gone"), [
    ({"openai/_base_client.py": BASE_CLIENT.partition("class Async")[0]}, "AsyncAPIClient.request"),
    ({"openai/_client.py": BASE_CLIENT}, "SyncAPIClient.request"),
])  # fmt: skip
def test_a_place_to_stand_that_is_gone(openai, look, files, gone):
    """A class or a module that an SDK no longer has is told by name."""
    openai.offer("openai", "3.1.0", {"openai/__init__.py": "", **files})
    openai.install("openai", "3.1.0")
    (found,) = look("sdk.place", "openai")
    assert (found.state, gone in found.what) == ("fault", True)
    assert "report it" in found.mend
    openai.pip(found.mend)
    assert look("sdk.place", "openai") == []


def test_a_file_in_the_sdks_way(openai, look, tmp_path, monkeypatch):
    """A script called openai.py in the agent's folder is found, and never run."""
    openai.install("openai", "3.9.0")
    ran = tmp_path / "ran"
    script = tmp_path / "openai.py"
    script.write_text(f"open({str(ran)!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    (found,) = look("sdk.shadowed", "openai")
    assert (found.state, str(script) in found.what) == ("fault", True)
    assert "rename that file" in found.mend
    assert look("sdk.import", "openai") == []
    assert not ran.exists()
    script.rename(tmp_path / "ask_openai.py")
    assert look("sdk.shadowed", "openai") == []


def test_no_sdk_at_all(openai, look):
    """Where none is installed nothing can be recorded, which is a fault; one that is missing is not."""
    openai.offer("absent-sdk", "1.0", {"absent_sdk/__init__.py": ""})
    (found,) = look("sdk", "absent-sdk")
    assert (found.state, "pip install -U 'absent-sdk'" in found.mend) == ("fault", True)
    openai.pip(found.mend)
    assert look("sdk", "absent-sdk") == []
    (found,) = look("sdk", "absent-sdk", "another-sdk")
    assert (found.state, found.what) == ("note", "not installed: another-sdk")


def test_the_real_sdks_are_hooked():
    """Every SDK that is installed here is hooked in all its places."""
    machine = doctor.Machine()
    found = doctor.examine("sdk.hook", machine)
    assert [one.facts["sdk"] for one in found] == [*machine.installed]
    assert {one.state for one in found} == {"ok"}


def test_ranges_are_those_of_hooked_sdks():
    """The table of versions holds the SDKs whose generations are tested, and none without a hook."""
    assert {"openai", "anthropic"} <= set(sdks.RANGES) <= {hook.sdk for hook in HOOKS}


def test_an_sdk_that_nobody_hooks(site, look, monkeypatch):
    """An SDK without a hook is named: its calls are not recorded; one that got its hook is not."""
    monkeypatch.setattr(sdks, "UNHOOKED", ("planted-sdk", "openai"))
    assert look("sdk.unhooked") == []
    site.offer("planted-sdk", "2.0", {"planted_sdk/__init__.py": ""})
    site.install("planted-sdk", "2.0")
    (found,) = look("sdk.unhooked")
    assert (found.what, "llm_call" in found.mend) == ("calls of planted-sdk are not recorded", True)


# ── libraries and vocabularies ───────────────────────────────────────────────────────────────────


def test_an_old_library(site, look):
    """A library below its range is told with the command that brings it up to date."""
    site.offer("wrapt", "1.2", {"wrapt_planted/__init__.py": ""})
    site.offer("wrapt", "1.17.2", {"wrapt_planted/__init__.py": ""})
    site.install("wrapt", "1.2")
    (found,) = look("library")
    assert (found.state, found.mend) == ("fault", "pip install -U 'wrapt>=1.17'")
    site.pip(found.mend)
    assert look("library") == []


def test_a_library_that_cannot_be_imported(site, look):
    """A broken library is told with what its import raised, others beside it are fine."""
    site.offer("tiktoken", "0.9", {"tiktoken/__init__.py": "raise ImportError('wrong ELF class')"})
    site.offer("tiktoken", "0.10", {"tiktoken/__init__.py": ""})
    site.install("tiktoken", "0.9")
    found, *more = look("library")
    assert (found.state, "wrong ELF class" in found.what, more) == ("fault", True, [])
    site.pip(found.mend)
    assert look("library") == []


def test_a_library_that_is_missing(look, monkeypatch):
    """What the package needs and pip does not have is a fault."""
    monkeypatch.setattr(
        installed, "requires", lambda _: ["wrapt>=1.17", "a-missing-one>=2; python_version>'3'"]
    )
    (found,) = look("library")
    assert found.what == "a-missing-one is not installed"
    assert found.mend == "pip install -U 'a-missing-one>=2'"


def test_two_copies_of_tokentrace(site, look):
    """A copy that pip does not know of, or knows under another version, is told."""
    site.offer("tokentrace", "0.0.1", {"tokentrace_planted/__init__.py": ""})
    site.install("tokentrace", "0.0.1")
    (found,) = look("tokentrace")
    assert (found.state, "pip knows 0.0.1" in found.what) == ("warn", True)
    site.uninstall("tokentrace")
    assert look("tokentrace") == []


def test_what_is_here_is_told(monkeypatch):
    """Python, tokentrace, vocabularies: versions and places, and a vocabulary that fails is a fault."""
    for code in ("python", "tokentrace", "vocabulary"):
        (found,) = doctor.examine(code, doctor.Machine())
        assert (found.state, bool(found.facts)) == ("ok", True)
    table = vocab.Table(1, "0" * 64, "")
    monkeypatch.setattr(vocab, "TABLES", {"o200k_base": table})
    (found,) = doctor.examine("vocabulary", doctor.Machine())
    assert (found.state, found.mend) == ("fault", installed.AGAIN)


@pytest.mark.parametrize(("damage", "told"), [
    (lambda file: file.write_bytes(file.read_bytes()[:-1]), "is damaged"),
    (Path.unlink, "is missing"),
])  # fmt: skip
def test_a_damaged_vocabulary(tmp_path, process, damage, told):
    """A vocabulary file that is cut short or gone is a fault; installing again mends it."""
    source = Path(tokentrace.__file__).parent
    copy = tmp_path / "site" / "tokentrace"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = str(copy.parent)
    assert "fault" not in process(VOCABULARY, PYTHONPATH=path).stdout
    file = copy / "counting" / "data" / "o200k_base.zlib"
    damage(file)
    state, what, mend = process(VOCABULARY, PYTHONPATH=path).stdout.splitlines()[0].split(" | ")
    assert (state, told in what, "o200k_base" in what) == ("fault", True, True)
    assert mend == "pip install --force-reinstall --no-deps tokentrace"
    shutil.copy(source / "counting" / "data" / file.name, file)
    assert "fault" not in process(VOCABULARY, PYTHONPATH=path).stdout


# ── other instrumentations ───────────────────────────────────────────────────────────────────────

ENTRY = "[opentelemetry_instrumentor]\nopenai = x:y\n"


def offer_others(site):
    """Offer the instrumentations of OpenLLMetry and OpenInference, the latter broken and whole."""
    module = "openinference/instrumentation/openai/__init__.py"
    site.offer("opentelemetry-instrumentation-openai", "0.62", {"planted/__init__.py": ""}, ENTRY)
    site.offer("openinference-instrumentation-openai", "0.1", {module: "import not_there"}, ENTRY)
    site.offer("openinference-instrumentation-openai", "0.2", {module: ""}, ENTRY)


def test_two_instrumentations_of_one_sdk(openai, look, monkeypatch):
    """One other instrumentation is a note, two are a warning until one goes or is left out."""
    offer_others(openai)
    openai.install("openai", "3.9.0")
    openai.install("openinference-instrumentation-openai", "0.2")
    (found,) = look("others", "openai")
    assert (found.state, "openinference" in found.what) == ("note", True)
    openai.install("opentelemetry-instrumentation-openai", "0.62")
    (found,) = look("others", "openai")
    assert (found.state, "two spans a call" in found.what) == ("warn", True)
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in found.mend
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "openai")
    assert look("others", "openai") == []
    monkeypatch.delenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS")
    openai.uninstall("opentelemetry-instrumentation-openai")
    (found,) = look("others", "openai")
    assert found.state == "note"


def test_an_instrumentation_that_is_broken(openai, look):
    """One that cannot be imported is told; a newer version of it is fine."""
    offer_others(openai)
    openai.install("openai", "3.9.0")
    openai.install("openinference-instrumentation-openai", "0.1")
    (found,) = look("others.import", "openai")
    assert (found.state, "not_there" in found.what) == ("warn", True)
    openai.pip(found.mend)
    assert look("others.import", "openai") == []


def test_all_known_instrumentations_are_named():
    """The table makes the names under which the packages are published."""
    names = {row.name.format(sdk="openai") for row in others.OTHERS}
    assert names >= {
        "opentelemetry-instrumentation-openai", "opentelemetry-instrumentation-openai-v2",
        "opentelemetry-instrumentation-genai-openai", "openinference-instrumentation-openai", "logfire",
    }  # fmt: skip


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def test_the_table_of_variables_is_that_of_the_code():
    """Every TOKENTRACE_* variable that the configuration names has its row, and no other."""
    from tokentrace import _config

    assert set(environment.VARIABLES) == {
        line.split()[0]
        for line in (_config.__doc__ or "").splitlines()
        if line.startswith("TOKENTRACE_")
    }


def test_doctor_starts_where_opentelemetry_cannot(process):
    """The command line and its checks run in a process that cannot import OpenTelemetry's SDK."""
    ran = process(
        "import sys, json\n"
        "sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from tokentrace import doctor\n"
        "codes = ('python', 'sdk', 'env.value', 'folder', 'folder.size', 'records', 'lost.spans')\n"
        "print(json.dumps([[one.code for one in doctor.examine(code, doctor.Machine())] for code in codes]))"
    )
    assert '["folder.size"]' in ran.stdout


# ── what runs in the child, here ─────────────────────────────────────────────────────────────────


def test_the_probe_says_what_a_child_would(monkeypatch, capfd):
    """The child's own code, run in this process: modules that can be imported, and an SDK's hooks."""
    named = []
    probe.imports(["json", "csv"], lambda **known: named.append(known))
    assert named == [{"name": "json"}, {"name": "csv"}]
    kept = os.dup(1)
    try:
        monkeypatch.setattr(sys, "argv", ["-c", "sdk", "openai"])
        probe.main()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    known = {key: value for one in said for key, value in one.items()}
    assert known["shadowed"] is False
    assert set(known["hooks"].values()) == {"hooked"}
    assert known["errors"] == {}


def test_the_probe_runs_nothing_that_shadows_an_sdk(openai, tmp_path, monkeypatch):
    """What stands in an SDK's way is named and left alone."""
    openai.install("openai", "3.9.0")
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "openai.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(tmp_path / "cwd"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "openai"]:
        monkeypatch.delitem(sys.modules, name)
    said = []
    probe.sdk(["openai"], lambda **known: said.append(known))
    assert [one["shadowed"] for one in said] == [True]


def test_a_probe_of_a_module_that_moved(openai, monkeypatch):
    """A hook whose module is gone is missing, and the rest of the SDK is looked at all the same."""
    openai.offer("openai", "3.1.0", {"openai/__init__.py": ""})
    openai.install("openai", "3.1.0")
    for name in [name for name in sys.modules if name.partition(".")[0] == "openai"]:
        monkeypatch.delitem(sys.modules, name)
    said = {}
    probe.sdk(["openai"], lambda **known: said.update(known))
    assert set(said["hooks"].values()) == {"missing"}
    for name in [name for name in sys.modules if name.partition(".")[0] == "openai"]:
        monkeypatch.delitem(sys.modules, name)


def test_children_that_cannot_be_started(monkeypatch):
    """Where no process can be made, that is the error."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    said, error = children.run(["imports", "json"], {}, 5)
    assert (said, "no child process can be started" in error) == ([], True)
