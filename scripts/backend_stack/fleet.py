"""The Collector that deploy/fleet is checked with: that of the tests, and what fleets need besides."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import yaml

from backend_stack import building

WHICH = "newest"


def manifest() -> dict[str, Any]:
    """Return the builder's manifest: that of the tests' Collector, its lists made longer."""
    unstable, stable = building.COLLECTORS[WHICH]
    text = (building.HERE / "fleet.yaml").read_text(encoding="utf-8")
    more = yaml.safe_load(string.Template(text).substitute(unstable=unstable, stable=stable))
    known = yaml.safe_load(building.manifest(WHICH))
    return known | {key: [*known.get(key, ()), *added] for key, added in more.items()}


def module(components: dict[str, Any]) -> str:
    """Return the go.mod for a manifest, as `building.module` does."""
    unstable = building.COLLECTORS[WHICH][0]
    lists = [known for key, known in components.items() if key not in ("dist", "replaces")]
    wanted = [one["gomod"] for known in lists for one in known]
    require = "".join(f"\t{one}\n" for one in [*wanted, f"{building.LIBRARY} v{unstable}"])
    replace = "".join(f"replace {one}\n" for one in components["replaces"])
    return f"module tokentrace.invalid/otelcol\n\ngo 1.25.0\n\nrequire (\n{require})\n\n{replace}"


def place() -> Path:
    """Return the folder in which it is, or will be."""
    components = manifest()
    return building.place("otelcol-fleet", yaml.safe_dump(components), module(components))


def collector() -> str:
    """Return the path of it, built where it was not.

    Raises:
        StackError: it cannot be built.
    """
    version = building.COLLECTORS[WHICH][0]

    def make(half: Path, log: Path) -> None:
        components = manifest()
        (half / "manifest.yaml").write_text(yaml.safe_dump(components), encoding="utf-8")
        (half / "go.mod").write_text(module(components), encoding="utf-8")
        write = [
            *("run", f"{building.BUILDER}@v{version}", "--config", "manifest.yaml"),
            *building.SOURCES_ONLY,
        ]
        building.with_go(f"writing the fleet's Collector {version}", write, half, log)
        compiling = ["build", "-mod=mod", *building.FLAGS, "-o", "otelcol", "."]
        building.with_go(f"building the fleet's Collector {version}", compiling, half, log)

    return building.made(place(), "otelcol", make)
