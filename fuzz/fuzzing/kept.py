"""Inputs that are kept in the repository: a file for each target, an input a line, bytes as Latin-1 in JSON."""

from __future__ import annotations

import json
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "corpus"
MOST_BYTES = 20_000  # of each file
LONGEST = 1_000  # of an input that is kept
NAMES = tuple(sorted(path.stem for path in CORPUS.glob("*.jsonl")))


def inputs(name: str) -> list[bytes]:
    """Return what is kept of a target; what was found in it once stands first."""
    lines = (CORPUS / f"{name}.jsonl").read_text("ascii").splitlines()
    return [json.loads(line).encode("latin-1") for line in lines]


def keep(name: str, folder: Path) -> None:
    """Add what a run reached: the smallest inputs, as long as there is room."""
    held = inputs(name)
    files = (path.read_bytes() for path in folder.iterdir()) if folder.is_dir() else iter(())
    reached = sorted(
        {data for data in files if 0 < len(data) <= LONGEST} - set(held),
        key=lambda one: (len(one), one),
    )
    lines = [line(one) for one in held]
    for one in reached:
        lines.append(line(one))
        if sum(map(len, lines)) + len(lines) > MOST_BYTES:
            lines.pop()
            break
    (CORPUS / f"{name}.jsonl").write_text("".join(f"{one}\n" for one in lines), "ascii")


def line(data: bytes) -> str:
    """Return an input as a line."""
    return json.dumps(data.decode("latin-1"))
