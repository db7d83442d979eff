"""`tokentrace watch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live

from tokentrace import _config
from tokentrace.cli import options, showing
from tokentrace.errors import InputError

if TYPE_CHECKING:
    from tokentrace.analysis import Session
    from tokentrace.readers import Problems
    from tokentrace.watch import Board

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace watch                          the local trace folder, while agents write to it\n\n"
    "tokentrace watch agent.log                the log of an agent that nobody instrumented\n\n"
    "tokentrace watch --otlp                   what agents send to http://127.0.0.1:4318\n\n"
    "tokentrace watch --lines | tee turns.txt  a line for each change of a turn"
)
LISTEN = "127.0.0.1:4318"
SHARE = 4  # looking takes at most a fifth of the time


def watch(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A trace folder, a trace file, or an agent's log. Default: the local trace folder.",
            show_default=False,
        ),
    ] = "",
    *,
    otlp: Annotated[
        bool, typer.Option("--otlp", help="Open an OTLP/HTTP endpoint, and watch what arrives.")
    ] = False,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to open it; port 0 takes a free one.")
    ] = LISTEN,
    session: Annotated[
        str, typer.Option(metavar="ID", help="Only sessions whose ids begin so.")
    ] = "",
    log_format: options.LogFormat = "",
    interval: Annotated[
        float, typer.Option(min=0.1, max=60.0, metavar="SECONDS", help="Time between two looks.")
    ] = 0.5,
    lines: Annotated[
        bool,
        typer.Option("--lines", help="Print a line for each change; so it is without a terminal."),
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Look once and leave.")] = False,
) -> None:
    """Watch sessions live: turns, components against the limit, trend and events."""
    if path and otlp:
        raise InputError("give a path or --otlp, not both", source="watch")
    with ExitStack() as stack:
        watched = _watched(path, listen if otlp else "", log_format, stack)
        out = showing.Output()
        plain = lines or not out.is_terminal
        show = _printing(out, watched) if plain else _drawing(out, watched, stack, once=once)
        _look(lambda: show(watched.begin(session)), 0.0 if once else interval)


@dataclass(frozen=True, slots=True)
class Watched:
    """A source in words, what brings its news, and where they go."""

    source: str
    look: Callable[[], None]
    board: Board
    problems: Problems

    def begin(self, wanted: str) -> list[Session]:
        """Look, and return the sessions whose ids begin with ``wanted``."""
        self.look()
        return [one for one in self.board.sessions() if one.id.startswith(wanted)]


def _look(show: Callable[[], None], interval: float) -> None:
    """Show again and again, until somebody has seen enough."""
    with suppress(KeyboardInterrupt), showing.terminable():
        while True:
            begun = time.monotonic()
            show()
            if not interval:
                return
            time.sleep(max(interval, SHARE * (time.monotonic() - begun)))


def _watched(path: str, listen: str, log_format: str, stack: ExitStack) -> Watched:
    from tokentrace.readers import Problems, agent_log
    from tokentrace.watch import Board, Files

    problems, board = Problems(), Board()
    if listen:
        from tokentrace.watch.receiving import receiving

        url = stack.enter_context(receiving(*_address(listen), board.take))
        typer.echo(f"OTEL_EXPORTER_OTLP_ENDPOINT={url} sends traces here", err=True)
        return Watched(f"OTLP at {url}", lambda: None, board, problems)
    place = path or _config.folder()
    forms = (agent_log.load(log_format),) if log_format else agent_log.shipped()
    files = Files(place, problems, forms)
    stack.callback(files.close)

    def look() -> None:
        board.take(files.records())
        board.hold(files.open())

    return Watched(place, look, board, problems)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InputError(f"{listen!r} is no HOST:PORT", source="--listen", mend=f"e.g. {LISTEN}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _printing(console: showing.Output, watched: Watched) -> Callable[[list[Session]], None]:
    from tokentrace.report import safe

    told: dict[tuple[str, int], str] = {}
    said: set[str] = set()

    def show(sessions: Sequence[Session]) -> None:
        for text in _changes(sessions, told):
            console.print(text, soft_wrap=True, highlight=False, markup=False)
        for text in _remarks(sessions, watched):
            if text not in said:
                said.add(text)
                typer.echo(f"tokentrace: {safe(text, most=500)}", err=True)

    return show


def _remarks(sessions: Sequence[Session], watched: Watched) -> list[str]:
    """Return what is told beside the turns: what was skipped, or that there is nothing yet."""
    skipped = [str(one) for one in watched.problems.kept]
    return skipped if skipped or sessions else [f"{watched.source}: nothing yet"]


def _changes(sessions: Sequence[Session], told: dict[tuple[str, int], str]) -> Iterator[str]:
    """Yield a line for each turn that is new or another than it was ``told``."""
    from tokentrace.report import live

    now = {
        (one.id, turn.number): live.line(one, turn)
        for one in sessions
        for turn in one.turns
        if turn.main
    }
    yield from (text for place, text in now.items() if told.get(place) != text)
    told.clear()
    told.update(now)


def _drawing(
    console: showing.Output, watched: Watched, stack: ExitStack, *, once: bool
) -> Callable[[list[Session]], None]:
    from tokentrace.report import live

    def drawn(sessions: list[Session]) -> Any:
        said = [str(one) for one in watched.problems.kept]
        view = live.View(sessions, watched.source, watched.board.left_out, said)
        return live.screen(view, console.width, console.height - once)

    if once:
        return lambda sessions: console.print(drawn(sessions))
    screen = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
    return lambda sessions: screen.update(drawn(sessions), refresh=True)
