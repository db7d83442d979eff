"""What the commands show with: the console, and what is seen while one waits."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

PATIENCE = 1.0  # seconds before a progress bar shows
POLITE = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Output(Console):
    """A console that leaves a closed pipe to the command."""

    def on_broken_pipe(self) -> None:
        """Raise what rich would turn into exit code 1, a bad verdict."""
        raise BrokenPipeError


def hush() -> None:
    """Have what is still to be written go nowhere: nobody reads standard output any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def bar(paths: Sequence[str], *, wanted: bool) -> Iterator[Any]:
    """Give a function that takes bytes read; after a second a bar shows them on stderr."""
    from tokentrace.readers import lines

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with _progress(columns, lines.size(paths) or None, wanted=wanted) as seen:
        yield seen


@contextmanager
def counting(what: str, total: int, *, wanted: bool) -> Iterator[Any]:
    """Give a function that takes how many more are done; after a second a bar shows them on stderr."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _progress(columns, total, wanted=wanted) as done:
        yield done


@contextmanager
def _progress(
    columns: Sequence[ProgressColumn], total: int | None, *, wanted: bool
) -> Iterator[Any]:
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True)
    shown = wanted and console.is_terminal
    task = bar.add_task("", total=total)
    begun = time.monotonic()

    def done(size: int) -> None:
        bar.advance(task, size)
        if shown and not bar.live.is_started and time.monotonic() - begun > PATIENCE:
            bar.start()

    try:
        yield done
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def spinner(what: str, *, wanted: bool) -> Iterator[None]:
    """Show on stderr, after a second, that something is going on."""
    console = Console(stderr=True)
    status = console.status(what)
    timer = threading.Timer(PATIENCE, status.start)
    timer.daemon = True
    if wanted and console.is_terminal:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()


@contextmanager
def terminable() -> Iterator[None]:
    """Take a polite end, or a closed terminal, as a Ctrl-C: what was begun ends in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    wanted = [one for one in POLITE if signal.getsignal(one) is not signal.SIG_IGN]  # nohup
    before = {one: signal.signal(one, interrupt) for one in wanted}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler or signal.SIG_DFL)
