"""Tables kept as Parquet beside what they were made of, as long as that stays what it was."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokentrace.errors import InputError
from tokentrace.query import engine
from tokentrace.query.tables import TABLES, VERSION
from tokentrace.readers import lines

ABOUT = "made.json"
INSIDE = "tokentrace.parquet"  # of a folder
BESIDE = ".parquet"  # behind a file's name


def place(paths: Sequence[str]) -> Path:
    """Return the folder in which the tables of ``paths`` are kept: beside the first of them.

    Raises:
        InputError: one of them is standard input.
    """
    if lines.STDIN in paths:
        raise InputError("standard input leaves nothing to come back to", source="--parquet")
    first = Path(paths[0])
    return first / INSIDE if first.is_dir() else first.with_name(f"{first.name}{BESIDE}")


def facts(paths: Sequence[str], judged_by: object) -> dict[str, Any]:
    """Return what tables depend on: versions, each file with its size and time, and thresholds."""
    from tokentrace import __version__

    files = [file for path in paths for file in lines.files(path)]
    told = [
        (str(file.resolve()), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files
    ]
    return {
        "version": VERSION,
        "tokentrace": __version__,
        "judged_by": repr(judged_by),
        "files": [list(one) for one in told],
    }


def skipped(folder: Path, known: dict[str, Any]) -> int | None:
    """Return how much was skipped when the tables in ``folder`` were made; None where they are stale."""
    try:
        held = json.loads((folder / ABOUT).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(held, dict) and all((folder / f"{one}.parquet").is_file() for one in TABLES)
    count = held.pop("skipped", 0) if whole else 0
    return count if whole and held == known and isinstance(count, int) else None


def keep(file: Path, folder: Path, known: dict[str, Any], count: int) -> None:
    """Write the tables of a database into ``folder``, in place of those that are there.

    Args:
        file: the database.
        folder: where; made where it is not there.
        known: what they depend on.
        count: how much was skipped.

    Raises:
        InputError: they cannot be written.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir(mode=0o700)
        engine.export(file, beside)
        (beside / ABOUT).write_text(json.dumps({**known, "skipped": count}), encoding="utf-8")
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / ABOUT).unlink(missing_ok=True)
        for name in (*(f"{table}.parquet" for table in TABLES), ABOUT):  # what vouches for all last
            (beside / name).replace(folder / name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot be written: {reason}", source=str(folder)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
