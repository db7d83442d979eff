"""One target under the fuzzer, in a process of its own: ``driver.py TARGET FOLDER [libFuzzer's options]``."""

from __future__ import annotations

import logging
import os
import pkgutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import atheris

os.environ["TOKENTRACE_STRICT"] = "1"
os.environ["TOKENTRACE_DIR"] = os.devnull
with atheris.instrument_imports(include=["tokentrace"]):
    from fuzzing import checks, kept, mutating, targets

    for room in (
        "analysis",
        "counting",
        "dialects",
        "guard",
        "insights",
        "providers",
        "readers",
        "report",
    ):
        package = import_module(f"tokentrace.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(found.name)


def main() -> None:
    """Fuzz until the options say so; an input that breaks a property ends it."""
    logging.getLogger("tokentrace").propagate = False  # the properties hear it; nobody else has to
    name, seeds, *options = sys.argv[1:]
    target = targets.TARGETS[name]
    targets.FOLDER = Path(
        tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )
    targets.ready()
    for at, seed in enumerate([*target.seeds(), *kept.inputs(name)]):
        (Path(seeds) / f"seed-{at:03}").write_bytes(seed)

    def change(data: bytes, size: int, seed: int) -> bytes:
        edit = mutating.edited if target.json else mutating.worded
        return edit(data, size, seed, target.words, atheris.Mutate)

    def run(data: bytes) -> None:
        checks.bounded(target.run, data)

    atheris.Setup([sys.argv[0], f"-max_len={target.longest}", *options], run, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
