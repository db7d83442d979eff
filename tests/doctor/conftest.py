"""What is planted: packages on the path, trace folders that processes left behind."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap

import pytest

from tokentrace import doctor
from tokentrace.doctor.versions import Range, numbers


class Site:
    """A folder on the path of this process and of its children, and what can be installed there."""

    def __init__(self, folder):
        self.folder = folder
        self.index = {}

    def offer(self, name, version, files, entry_points=""):
        """Have a distribution that `pip` may choose."""
        self.index.setdefault(name, {})[version] = (files, entry_points)

    def install(self, name, version):
        """Unpack a distribution in place of the one that is here."""
        self.uninstall(name)
        files, entry_points = self.index[name][version]
        stem = name.replace("-", "_")
        metadata = {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
                    "entry_points.txt": entry_points, "RECORD": ""}  # fmt: skip
        files = files | {
            f"{stem}-{version}.dist-info/{key}": text for key, text in metadata.items()
        }
        for path, text in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def uninstall(self, name):
        """Remove a distribution and its top folders."""
        for files, _ in self.index[name].values():
            for top in {path.split("/")[0] for path in files}:
                shutil.rmtree(self.folder / top, ignore_errors=True)
        for place in self.folder.glob(f"{name.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(place)

    def pip(self, mend):
        """Do what a mend's `pip install` says: the newest version that fits."""
        words = shlex.split(mend[mend.index("pip install") :].partition(", or ")[0])
        (need,) = [word for word in words[2:] if not word.startswith("-")]
        name, least, below = re.fullmatch(r"([\w-]+)(?:>=([\d.]+))?(?:,<([\d.]+))?", need).groups()
        fitting = [
            version for version in self.index[name] if version in Range(least or "0", below or "")
        ]
        self.install(name, max(fitting, key=numbers))


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return Site(folder)


@pytest.fixture
def look():
    """Return what a check finds that is not fine, on this machine as it is now."""

    def look(code, *sdks):
        found = doctor.examine(code, doctor.Machine(sdks or None))
        assert found
        assert {one.code for one in found} == {code}
        return [one for one in found if one.state != "ok"]

    return look


@pytest.fixture
def process(tmp_path):
    """Run Python of its own, as an agent would that writes to this test's trace folder."""

    def process(body, **environment):
        clean = {name: text for name, text in os.environ.items() if name != "TOKENTRACE_STRICT"}
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(body)],
            env={**clean, **environment}, cwd=tmp_path, capture_output=True, text=True, timeout=120,
            check=True,
        )  # fmt: skip

    return process
