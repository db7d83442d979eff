"""The SDKs that are hooked: there, of a known version, importable, and hooked when it matters."""

from __future__ import annotations

from collections.abc import Iterator

from tokentrace.doctor.findings import Finding, fault, note, ok, warn
from tokentrace.doctor.machine import Machine, Probe
from tokentrace.doctor.versions import Range, numbers
from tokentrace.instrument.hooks import SDKS, Sdk


def _range(sdk: Sdk) -> Range:
    """Return the versions from the oldest that was run up to the next generation."""
    least = ".".join(map(str, numbers(sdk.run[0])))
    return Range(least, str(numbers(sdk.run[-1])[0] + 1))


RANGES = {sdk.name: _range(sdk) for sdk in SDKS}

# SDKs of providers whose calls pass no hook (2026-11).
UNHOOKED = ("cerebras-cloud-sdk", "fireworks-ai", "replicate", "xai-sdk", "zhipuai")
BY_HAND = "wrap them with tokentrace.llm_call()"
REPORT = "report it with the SDK's version"


def wanted(sdk: str) -> str:
    """Return the command that installs a version of an SDK that is known to work."""
    return f"pip install -U '{sdk}{RANGES.get(sdk, '')}'"


def there(machine: Machine) -> Iterator[Finding]:
    """Say which SDKs are installed."""
    found = {sdk: machine.version(sdk) for sdk in machine.sdks}
    for sdk, version in found.items():
        if version:
            yield ok(f"{sdk} {version}", sdk=sdk, version=version)
    missing = [sdk for sdk, version in found.items() if not version]
    if len(missing) == len(found):
        what = "no SDK that tokentrace hooks is installed: nothing will be recorded"
        mend = f"run doctor with the agent's own Python, or {wanted(missing[0])}"
        yield fault(what, mend, sdks=missing)
    elif missing:
        yield note(f"not installed: {', '.join(missing)}", sdks=missing)


def versions(machine: Machine) -> Iterator[Finding]:
    """Compare installed SDKs with the versions that are tested."""
    for sdk in machine.installed:
        version, known = machine.version(sdk), RANGES.get(sdk)
        if known is not None and version not in known:
            what = f"{sdk} {version} is outside of what is tested: {known}"
            yield warn(what, wanted(sdk), sdk=sdk, version=version, range=str(known))


def shadows(machine: Machine) -> Iterator[Finding]:
    """Find files that are imported in an SDK's place; they are not run."""
    for sdk, probe in _probes(machine):
        if probe.facts.get("shadowed"):
            origin = probe.facts["origin"] or "a folder without code"
            what = f"`import {sdk}` finds {origin}, not the SDK"
            mend = "rename that file or folder, or take its place off PYTHONPATH"
            yield fault(what, mend, sdk=sdk, found=origin, expected=probe.facts["expected"])


def imports(machine: Machine) -> Iterator[Finding]:
    """Find SDKs whose import raises, crashes or does not end."""
    for sdk, probe in _probes(machine):
        if probe.error:
            what = f"{sdk} cannot be imported: {probe.error}"
            mend = f"pip install --force-reinstall '{sdk}{RANGES.get(sdk, '')}'"
            yield fault(what, mend, sdk=sdk, error=probe.error)


def places(machine: Machine) -> Iterator[Finding]:
    """Find hooks whose place in the SDK is not there."""
    for sdk, probe in _probes(machine):
        gone = [place for place, state in _hooks(probe).items() if state == "missing"]
        if gone:
            what = f"{sdk} has no {' and no '.join(gone)}: its calls are not recorded"
            yield fault(what, f"{wanted(sdk)}, or {REPORT}", sdk=sdk, places=gone)


def hooks(machine: Machine) -> Iterator[Finding]:
    """Say whether each SDK is hooked once instrument() was called and the SDK imported."""
    for sdk, probe in _probes(machine):
        states = _hooks(probe)
        seconds = probe.facts.get("seconds", 0.0)
        others = {place: state for place, state in states.items() if state != "hooked"}
        if states and not others:
            what = f"{sdk} is hooked in {len(states)} places (its import took {seconds:.1f} s)"
            yield ok(what, sdk=sdk, hooks=states, seconds=seconds)
        elif told := {place: state for place, state in others.items() if state != "missing"}:
            named = ", ".join(f"{place} is {state}" for place, state in told.items())
            errors = ", ".join(probe.facts.get("errors", {}))
            what = f"{sdk} is not hooked: {named}{f' ({errors})' if errors else ''}"
            yield fault(what, f"{wanted(sdk)}, or {REPORT}", sdk=sdk, hooks=states)


def strangers(machine: Machine) -> Iterator[Finding]:
    """Name SDKs whose calls nobody sees."""
    found = [name for name in UNHOOKED if name not in machine.sdks and machine.version(name)]
    if found:
        yield note(f"calls of {', '.join(found)} are not recorded", BY_HAND, sdks=found)


def _probes(machine: Machine) -> Iterator[tuple[str, Probe]]:
    for sdk in machine.installed:
        yield sdk, machine.probe(sdk)


def _hooks(probe: Probe) -> dict[str, str]:
    return dict(probe.facts.get("hooks", {}))
