"""What runs in a child process: importing what may be broken, slow, or somebody else's.

Each line on the child's standard output is one JSON object; what the imported code prints goes to
standard error. An exception is left to end the child: its last line there is what is told.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the probe that the arguments name."""
    out = os.dup(1)
    os.dup2(2, 1)

    def say(**known: Any) -> None:
        os.write(out, json.dumps(known).encode() + b"\n")

    kind, *names = sys.argv[1:]
    PROBES[kind](names, say)


def imports(names: list[str], say: Any) -> None:
    """Import modules one after the other; say the name of each that can be."""
    for name in names:
        import_module(name)
        say(name=name)


def sdk(names: list[str], say: Any) -> None:
    """Instrument one SDK as an agent would, import it, and say what became of its hooks."""
    from tokentrace import instrument, status
    from tokentrace.instrument.hooks import HOOKS

    (name,) = names
    rows = [hook for hook in HOOKS if hook.sdk == name]
    top = rows[0].module.partition(".")[0]
    spec = find_spec(top)
    origin = (spec.origin or "") if spec is not None else ""
    wanted = _installed(name, top)
    shadowed = bool(wanted) and not _same(origin, wanted)
    say(origin=origin, expected=wanted, shadowed=shadowed)
    if shadowed:
        return
    instrument(exporter="none", sdks=[name])
    begun = time.perf_counter()
    import_module(top)
    here = [hook for hook in rows if _found(hook.module)]  # the others are of other generations
    for module in {hook.module for hook in here}:
        import_module(module)
    say(seconds=round(time.perf_counter() - begun, 2))
    seen = status()
    places = [f"{hook.module}:{hook.attr}" for hook in here or rows]
    hooks = {place: seen["hooks"][place] if here else "missing" for place in places}
    say(hooks=hooks, errors=seen["errors"])


def _found(module: str) -> bool:
    """Whether there is a module, the packages that it lies in imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            return False
        raise


def _installed(name: str, top: str) -> str:
    """Return where a distribution's own module lies; empty where that is not to be known."""
    try:
        place = Path(str(distribution(name).locate_file(f"{top}/__init__.py")))
    except PackageNotFoundError:
        return ""
    return str(place) if place.exists() else ""


def _same(one: str, other: str) -> bool:
    return bool(one) and Path(one).resolve() == Path(other).resolve()


PROBES = {"imports": imports, "sdk": sdk}
