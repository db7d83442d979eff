"""Python, tokentrace itself, the libraries it needs, and its vocabularies."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import tokentrace
from tokentrace.doctor.findings import Finding, fault, ok, warn
from tokentrace.doctor.machine import Machine
from tokentrace.doctor.versions import Range, required

AGAIN = "pip install --force-reinstall --no-deps tokentrace"

# What is imported of a library, where that is not its own name. Exporters are looked at with the
# settings that choose one.
MODULES = {
    "opentelemetry-api": "opentelemetry.trace",
    "opentelemetry-exporter-otlp": "",
    "opentelemetry-instrumentation": "opentelemetry.instrumentation.utils",
    "opentelemetry-sdk": "opentelemetry.sdk.trace",
    "pyyaml": "yaml",
}


def python(_machine: Machine) -> Iterator[Finding]:
    """Say which Python this is: the agent's own is the one to ask."""
    version = platform.python_version()
    yield ok(f"Python {version}, {sys.executable}", version=version, executable=sys.executable)


def itself(machine: Machine) -> Iterator[Finding]:
    """Say which tokentrace this is, and whether pip knows it."""
    version, place = tokentrace.__version__, str(Path(str(tokentrace.__file__)).parent)
    known = machine.version("tokentrace")
    if known == version:
        yield ok(f"tokentrace {version}, {place}", version=version, place=place)
        return
    told = f"pip knows {known}" if known else "pip does not know it"
    what = f"tokentrace {version} is imported from {place}, but {told}"
    mend = f"remove that copy, then {AGAIN}" if known else "pip install tokentrace"
    yield warn(what, mend, version=version, installed=known, place=place)


def libraries(machine: Machine) -> Iterator[Finding]:
    """Look at each library that tokentrace requires: there, new enough, importable."""
    ranges = dict(_required())
    modules = {name: MODULES.get(name, name) for name in ranges}
    errors = machine.imports(module for module in modules.values() if module)
    fine = {}
    for name, known in ranges.items():
        version = machine.version(name)
        mend = f"pip install -U '{name}{known}'"
        facts = {"library": name, "version": version, "range": str(known)}
        if not version:
            yield fault(f"{name} is not installed", mend, **facts)
        elif version not in known:
            yield fault(f"{name} {version} is too old: {known} is needed", mend, **facts)
        elif error := errors.get(modules[name], ""):
            again = f"pip install --force-reinstall '{name}{known}'"
            yield fault(f"{name} {version} cannot be imported: {error}", again, **facts)
        else:
            fine[name] = version
    if fine:
        yield ok(", ".join(f"{name} {version}" for name, version in fine.items()), **fine)


def _required() -> Iterator[tuple[str, Range]]:
    try:
        lines = requires("tokentrace") or ()
    except PackageNotFoundError:
        return
    yield from filter(None, map(required, lines))


def vocabularies(_machine: Machine) -> Iterator[Finding]:
    """Load each vocabulary that travels in the package, its hash checked."""
    from tokentrace.counting import vocab

    fine = []
    for name in vocab.TABLES:
        try:
            vocab.unpack(name)  # a vocabulary that is loaded already says nothing of its file
            vocab.load(name)
        except vocab.VocabularyError as error:
            text = str(error).partition(";")[0]
            yield fault(f"{text}; counts fall back to estimates", AGAIN, vocabulary=name)
        else:
            fine.append(name)
    if fine:
        yield ok(f"{', '.join(fine)} can be loaded", vocabularies=fine)
