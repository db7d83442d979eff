"""The demo: 25 turns of an agent against a server of its own on loopback, through the real openai SDK.

No key, no account and no network are needed: the server answers for api.openai.com. What the agent does is real: it builds prompts, calls
tools, streams, leaves out, shortens, and meets its limit. What the model says is a recording.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tokentrace
from tokentrace import _config
from tokentrace.demo.script import TURNS

if TYPE_CHECKING:
    from rich.console import Console

    from tokentrace.demo.server import Server

AGENT = "devops"
OPENAI = "http://api.openai.com/v1"


def run(console: Console, *, exporter: Any = "local", directory: str | None = None) -> int:
    """Run the demo and print its report; return an exit code.

    Args:
        console: where to print.
        exporter: ``local`` writes a trace file and reports on it; ``otlp``, ``none`` or a
            ``SpanExporter`` sends the same spans elsewhere.
        directory: folder of the trace file; None is the configured one.

    Returns:
        0, or 2 where no trace file could be written.

    Raises:
        ModuleNotFoundError: the openai SDK is not installed; the extra ``demo`` brings it.
    """
    import openai

    from tokentrace.telemetry.local import LocalExporter

    with _quiet(), _progress(console) as told:
        if exporter != "local":
            name = converse(openai, exporter, told)
            console.print(f"{name}: {len(TURNS)} turns went through the exporter.", markup=False)
            return 0
        folder = directory or _config.folder()
        sink = LocalExporter(folder)
        name = converse(openai, sink, told)
    if not sink.path:
        console.print(f"No trace could be written to {sink.folder}; is it writable?", markup=False)
        return 2
    _report(sink.path, name, console)
    return 0


def converse(openai: Any, exporter: Any, told: Callable[[int], None]) -> str:
    """Hold the conversation, traced through ``exporter``; return the session's name.

    Args:
        openai: the SDK's module.
        exporter: as for `tokentrace.instrument`.
        told: called with the number of each turn before it begins.
    """
    from tokentrace.demo import agent, recorded
    from tokentrace.demo.server import Server

    name = f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    guard = tokentrace.Guard(limit=agent.LIMIT, on_exceed="raise", compress=agent.compress)
    tokentrace.instrument(guard=guard, service_name="tokentrace-demo", exporter=exporter)
    try:
        with (
            Server(recorded.reply) as server,
            _client(openai, server) as client,
            tokentrace.session(name, agent=AGENT),
        ):
            served = agent.Agent(client)
            for number in range(1, len(TURNS) + 1):
                told(number)
                served.serve(number)
    finally:
        tokentrace.uninstrument()
    return name


def _client(openai: Any, server: Server) -> Any:
    """Return a client that believes it talks to OpenAI, while all it sends goes to ``server``.

    The server is its HTTP proxy: no name is looked up, and nothing can leave this machine.
    """
    http = openai.DefaultHttpxClient(proxy=server.origin, trust_env=False)
    return openai.OpenAI(base_url=OPENAI, api_key="demo", max_retries=0, http_client=http)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int], None]]:
    """Show a bar of turns where there is a terminal, and a line for each phase anywhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    look = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*look, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(TURNS))

        def told(number: int) -> None:
            phase = TURNS[number - 1].phase
            same = [place for place, turn in enumerate(TURNS, 1) if turn.phase == phase]
            if number == same[0]:
                line = f"turns {same[0]:>2} to {same[-1]:>2}  {phase}"
                console.print(line, markup=False, highlight=False)
            bar.update(task, completed=number - 1, description=phase)

        yield told


def _report(path: str, name: str, console: Console) -> None:
    """Print what the trace file tells about one session."""
    from tokentrace import analysis, readers
    from tokentrace.report import text

    problems = readers.Problems()
    found = analysis.sessions(readers.read([path], problems))
    mine = tuple(session for session in found if session.id == name)
    console.print()
    text.render(analysis.Report(mine, problems), console)
    calls = [call for session in mine for turn in session.turns for call in turn.calls]
    saved = sum(call.tokens + call.compressed_tokens > (call.limit or 0) for call in calls)
    told = f"{saved} requests were over the limit; the guard's callback shortened them instead of a refusal."
    for line in (told, f"The trace is in {path}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave the terminal to the demo: what is warned and logged stands in its report."""
    handler = logging.NullHandler()
    log = logging.getLogger("tokentrace")
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tokentrace.TokenLimitWarning)
            yield
    finally:
        log.removeHandler(handler)
