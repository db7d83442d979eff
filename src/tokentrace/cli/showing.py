"""What the commands show with: the console, and what is seen while one waits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE = 1.0  # seconds before a progress bar shows


class Output(Console):
    """A console that leaves a closed pipe to the command."""

    def on_broken_pipe(self) -> None:
        """Raise what rich would turn into exit code 1, a bad verdict."""
        raise BrokenPipeError


@contextmanager
def bar(paths: Sequence[str], *, wanted: bool) -> Iterator[Any]:
    """Give a function that takes bytes read; after a second a bar shows them on stderr."""
    from tokentrace.readers import lines

    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    shown = wanted and console.is_terminal
    task = bar.add_task("reading", total=lines.size(paths) or None)
    begun = time.monotonic()

    def seen(size: int) -> None:
        bar.advance(task, size)
        if shown and not bar.live.is_started and time.monotonic() - begun > PATIENCE:
            bar.start()

    try:
        yield seen
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def spinner(what: str, *, wanted: bool) -> Iterator[None]:
    """Show on stderr, after a second, that something is going on."""
    console = Console(stderr=True)
    status = console.status(what)
    timer = Timer(PATIENCE, status.start)
    timer.daemon = True
    if wanted and console.is_terminal:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()
