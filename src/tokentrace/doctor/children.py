"""Child processes: started, waited for, and what they said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

CODE = "from tokentrace.doctor.probe import main; main()"
LONGEST = 300  # characters of an error


def run(
    words: Iterable[str], environ: Mapping[str, str], patience: float
) -> tuple[list[dict[str, Any]], str]:
    """Run a probe; return what it said, and its error or an empty text.

    Args:
        words: the probe's name and its arguments.
        environ: its variables.
        patience: seconds after which it is killed.
    """
    line = [sys.executable, "-c", CODE, *words]
    try:
        ran = subprocess.run(  # noqa: S603 - our own interpreter and our own code
            line,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return _said(late.stdout or b""), f"did not end within {patience:g} seconds"
    except OSError as error:
        return [], f"no child process can be started: {error.strerror}"
    return _said(ran.stdout), _error(ran)


def _said(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.splitlines() if line.endswith(b"}")]


def _error(ran: subprocess.CompletedProcess[bytes]) -> str:
    if not ran.returncode:
        return ""
    if ran.returncode < 0:
        return f"killed by signal {-ran.returncode}"
    lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
    told = lines[-1] if lines else f"ended with code {ran.returncode}"
    return told[:LONGEST]


def imports(names: Iterable[str], environ: Mapping[str, str], patience: float) -> dict[str, str]:
    """Import modules in children; return each one's error, empty where it can be imported."""
    left = list(names)
    found: dict[str, str] = {}
    while left:
        said, error = run(["imports", *left], environ, patience)
        found |= {known["name"]: "" for known in said}
        left = left[len(said) :]
        if left:
            found[left.pop(0)] = error or "ended without a word"
    return found
