"""What `tokentrace run` puts into each Python of a program; its folder is first on PYTHONPATH."""

from __future__ import annotations

from pathlib import Path

FOLDER = str(Path(__file__).parent)


def begin() -> None:
    """Trace this process, as far as that works."""
    from tokentrace._failsafe import attempt

    attempt(_instrument)


def _instrument() -> None:
    import tokentrace

    tokentrace.instrument()
