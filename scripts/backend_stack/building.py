"""Where the programs come from: versions, builds from Go modules, Debian's packages."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import string
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend_stack.processes import StackError, say, work

HERE = Path(__file__).resolve().parent

# Versions of the Collector's modules: those below 1.0, and the stable ones of the same release. All
# modules of one build are of one release. The oldest and the newest that the module proxy served
# whole on 2026-11-30.
COLLECTORS = {
    "pinned": ("0.155.0", "1.61.0"),
    "newest": ("0.161.0", "1.67.0"),
}
# Jaeger 2.13.0: the last release whose tag Go takes for a version. It also stands in jaeger/go.mod.
JAEGER = "1.76.0"
JAEGER_PACKAGE = "github.com/jaegertracing/jaeger/cmd/jaeger"
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
SOURCES_ONLY = ("--skip-get-modules", "--skip-compilation")
LIBRARY = "go.opentelemetry.io/collector/otelcol"
DEBIAN = ("prometheus", "promtool")  # both are in the package of the first name

FLAGS = ("-trimpath", "-ldflags", "-s -w")


@dataclass(frozen=True)
class Found:
    """Paths of the programs; the Collector's by the rows of `COLLECTORS`."""

    collectors: dict[str, str]
    jaeger: str
    prometheus: str
    promtool: str


def cache() -> Path:
    """Return the folder of what was built."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TOKENTRACE_BACKENDS_CACHE") or Path(home, "tokentrace", "backends"))


def go() -> str:
    """Return the path of Go.

    Raises:
        StackError: there is none.
    """
    found = shutil.which("go")
    if found is None:
        raise StackError("no Go here", "install Go 1.26 or later and put it on PATH")
    return found


def environment() -> dict[str, str]:
    """Return what Go is run with: no other toolchain is fetched, nothing is linked to C."""
    return os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}


def polite(command: Sequence[str]) -> list[str]:
    """Return the command with a lower priority: a build takes minutes of every core."""
    return ["nice", *command] if shutil.which("nice") else list(command)


# ── what is built stays ──────────────────────────────────────────────────────────────────────────


def place(name: str, *parts: str) -> Path:
    """Return the folder of a build, named by a hash of ``parts`` and of the Go that builds it."""
    version = subprocess.run([go(), "version"], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256("\0".join((version, *FLAGS, *parts)).encode()).hexdigest()
    return cache() / f"{name}-{digest[:12]}"


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold a lock of the cache: nobody else makes ``name`` meanwhile."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made(folder: Path, program: str, make: Callable[[Path, Path], None]) -> str:
    """Return ``program`` in ``folder``, made first where it is not there.

    Args:
        folder: where it belongs; it appears whole or not at all.
        program: a file's name.
        make: is given a folder to leave the program in, and a log.
    """
    with alone(folder.name):
        if not (folder / program).exists():
            log = Path(f"{folder}.log")
            log.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(dir=cache(), prefix="making-") as scratch:
                half = Path(scratch, "made")
                half.mkdir()
                make(half, log)
                shutil.rmtree(folder, ignore_errors=True)
                half.rename(folder)
    say(f"here is {folder / program}")
    return str(folder / program)


def with_go(title: str, arguments: Sequence[str], folder: Path, log: Path) -> None:
    """Run Go in a folder."""
    work(title, polite([go(), *arguments]), log, cwd=folder, env=environment())


# ── the programs ─────────────────────────────────────────────────────────────────────────────────


def manifest(which: str) -> str:
    """Return the builder's manifest of one row of `COLLECTORS`."""
    unstable, stable = COLLECTORS[which]
    text = (HERE / "collector.yaml").read_text(encoding="utf-8")
    return string.Template(text).substitute(unstable=unstable, stable=stable)


def module(which: str) -> str:
    """Return the go.mod of what the builder writes.

    The builder's own also asks for modules that only the tests of its components need, and some of
    those are not to be had.
    """
    wanted = re.findall(r"gomod: (\S+ \S+)", manifest(which))
    lines = "".join(f"\t{one}\n" for one in [*wanted, f"{LIBRARY} v{COLLECTORS[which][0]}"])
    return f"module tokentrace.invalid/otelcol\n\ngo 1.25.0\n\nrequire (\n{lines})\n"


def collector(which: str) -> str:
    """Return the path of the Collector of one row of `COLLECTORS`."""
    version = COLLECTORS[which][0]

    def make(half: Path, log: Path) -> None:
        (half / "manifest.yaml").write_text(manifest(which), encoding="utf-8")
        (half / "go.mod").write_text(module(which), encoding="utf-8")
        write = ["run", f"{BUILDER}@v{version}", "--config", "manifest.yaml", *SOURCES_ONLY]
        with_go(f"writing the Collector {version}", write, half, log)
        compiling = ["build", "-mod=mod", *FLAGS, "-o", "otelcol", "."]
        with_go(f"building the Collector {version}", compiling, half, log)

    return made(place(f"otelcol-{version}", manifest(which), module(which)), "otelcol", make)


def jaeger() -> str:
    """Return the path of Jaeger: a tool of a module of our own, since its go.mod replaces others."""
    sources = [HERE / "jaeger" / name for name in ("go.mod", "go.sum")]

    def make(half: Path, log: Path) -> None:
        for source in sources:
            shutil.copy(source, half)
        compiling = ["build", "-mod=readonly", *FLAGS, "-o", "jaeger", JAEGER_PACKAGE]
        with_go(f"building Jaeger {JAEGER}", compiling, half, log)

    texts = [source.read_text(encoding="utf-8") for source in sources]
    return made(place(f"jaeger-{JAEGER}", *texts), "jaeger", make)


def prometheus() -> tuple[str, str]:
    """Return the paths of Prometheus and promtool, out of Debian's package where they are not here.

    The package is unpacked, not installed: installed it would start a server on a port of its own.

    Raises:
        StackError: they are not here, and this is no Debian.
    """
    server, tool = map(shutil.which, DEBIAN)
    if server and tool:
        return server, tool
    if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        raise StackError("no Prometheus here", "put prometheus and promtool on PATH")

    def make(half: Path, log: Path) -> None:
        if os.geteuid() == 0:  # what can be had is known to root alone on a new machine
            work("apt-get update", ["apt-get", "-qq", "update"], log)
        work("fetching Prometheus", ["apt-get", "-qq", "download", DEBIAN[0]], log, cwd=half)
        (package,) = half.glob("*.deb")
        work("unpacking it", ["dpkg-deb", "-x", str(package), str(half)], log)
        package.unlink()

    server = made(cache() / "debian-prometheus", f"usr/bin/{DEBIAN[0]}", make)
    return server, str(Path(server).with_name(DEBIAN[1]))


def everything() -> Found:
    """Return where all programs are, built or installed where they were not.

    Raises:
        StackError: one of them cannot be had.
    """
    server, tool = prometheus()
    return Found({which: collector(which) for which in COLLECTORS}, jaeger(), server, tool)
