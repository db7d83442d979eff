"""Other instrumentations of the same SDKs: each makes a span of its own for every call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from tokentrace.doctor.exporter import DISABLED, GROUP, off
from tokentrace.doctor.findings import Finding, note, warn
from tokentrace.doctor.machine import Machine


@dataclass(frozen=True, slots=True)
class Other:
    """A package that instruments SDKs.

    Attributes:
        name: of the distribution, ``{sdk}`` where there is one for each.
        module: that is imported, likewise.
    """

    name: str
    module: str


# OpenLLMetry, OpenTelemetry (two generations), OpenInference; then those of more than one SDK.
OTHERS = (
    Other("opentelemetry-instrumentation-{sdk}", "opentelemetry.instrumentation.{sdk}"),
    Other("opentelemetry-instrumentation-{sdk}-v2", "opentelemetry.instrumentation.{sdk}_v2"),
    Other("opentelemetry-instrumentation-genai-{sdk}", "opentelemetry.instrumentation.genai.{sdk}"),
    Other("openinference-instrumentation-{sdk}", "openinference.instrumentation.{sdk}"),
    Other("logfire", "logfire"),
    Other("openlit", "openlit"),
)


def found(machine: Machine, sdk: str) -> dict[str, str]:
    """Return the instrumentations of an SDK that are installed: distributions and modules."""
    rows = {row.name.format(sdk=sdk): row.module.format(sdk=sdk) for row in OTHERS}
    return {name: module for name, module in rows.items() if machine.version(name)}


def present(machine: Machine) -> Iterator[Finding]:
    """Name the other instrumentations of each SDK, those left out by a variable aside."""
    for sdk in machine.installed:
        active = [name for name in found(machine, sdk) if not _off(machine, name)]
        if len(active) > 1:
            what = f"{' and '.join(active)} each record the calls of {sdk}: two spans a call"
            mend = f"pip uninstall all but one, or name them in {DISABLED}"
            yield warn(what, mend, sdk=sdk, packages=active)
        elif active:
            what = f"{active[0]} records the calls of {sdk} too"
            yield note(what, sdk=sdk, packages=active)


def broken(machine: Machine) -> Iterator[Finding]:
    """Find other instrumentations that cannot be imported."""
    rows: dict[str, str] = {}
    for sdk in machine.installed:
        rows |= found(machine, sdk)
    errors = machine.imports(rows.values()) if rows else {}
    for name, module in rows.items():
        if errors[module]:
            what = f"{name} cannot be imported: {errors[module]}"
            mend = f"pip install -U {name}, or pip uninstall {name}"
            yield warn(what, mend, package=name, error=errors[module])


def _off(machine: Machine, name: str) -> bool:
    """Whether `opentelemetry-instrument` leaves a package out; one without entry is never."""
    try:
        points = distribution(name).entry_points.select(group=GROUP)
    except PackageNotFoundError:
        return False
    out = off(machine)
    names = {point.name for point in points}
    return bool(names) and ("*" in out or names <= out)
