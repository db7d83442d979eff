"""`tokentrace scenario`: prompts in phases for an agent, and a verdict on what it recorded."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tokentrace import _config
from tokentrace.cli import options, showing
from tokentrace.cli.judging import judging
from tokentrace.errors import InputError

if TYPE_CHECKING:
    from tokentrace.scenario.driving import Make
    from tokentrace.scenario.journal import Journal
    from tokentrace.scenario.plan import Scenario
    from tokentrace.scenario.running import Run, Told

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace scenario run quick --command './prompt.sh {prompt}'    a process for each turn\n\n"
    "tokentrace scenario run quick --target my_agent:answer            a callable, sync or async\n\n"
    "tokentrace scenario show quick > mine.yaml                        to begin one of your own"
)
INTERRUPTED = 130
Wanted = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help="A YAML file, or a name that `list` shows.")
]
Command = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="The agent's program and its words; {prompt}, {turn}, {session} and {phase} are filled in. No shell.",
    ),
]
Stdin = Annotated[
    bool, typer.Option("--stdin", help="The prompt goes to the program's standard input.")
]
Target = Annotated[
    str, typer.Option(metavar="MODULE:CALLABLE", help="The agent as a callable, sync or async.")
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, max=64, metavar="N", help="Sessions at the same time.")
]
Timeout = Annotated[float | None, typer.Option(min=0.01, metavar="SECONDS", help="For each turn.")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Input limit of the agent in tokens.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the newest interrupted run.")]
Folder = Annotated[
    str | None, typer.Option("--dir", metavar="DIR", help="Trace folder; runs lie below it.")
]
Junit = Annotated[str, typer.Option(metavar="FILE", help="Write the result as JUnit XML.")]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Drive an agent through prompts in phases, and judge what it recorded.",
)


@app.command(name="list")
def list_() -> None:
    """List the scenarios that come with tokentrace."""
    from tokentrace.scenario import loading

    for name in loading.shipped():
        known = loading.load(name)
        typer.echo(f"{name:<24}{known.description}")


@app.command()
def show(wanted: Wanted) -> None:
    """Print a scenario as it is written."""
    from tokentrace.scenario import loading

    typer.echo(loading.find(wanted)[0], nl=False)


@app.command()
def check(wanted: Wanted) -> None:
    """Check a scenario: say what is in it, or what is wrong with it and in which line."""
    from tokentrace.report import safe
    from tokentrace.scenario import loading

    known = loading.load(wanted)
    phases = ", ".join(f"{safe(name)} {a}-{b}" for name, (a, b) in known.phases.items())
    typer.echo(f"{known.name}: {len(known.steps)} turns: {phases}")


@app.command()
def schema() -> None:
    """Print the JSON schema of scenario files."""
    from tokentrace.scenario import format as shape

    typer.echo(shape.schema(), nl=False)


@app.command(epilog=EXAMPLES)
def run(
    wanted: Wanted,
    *,
    command: Command = "",
    stdin: Stdin = False,
    target: Target = "",
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    limit: Limit = None,
    resume: Resume = False,
    folder: Folder = None,
    junit: Junit = "",
    as_json: options.AsJson = False,
    fail_on: options.FailOn = "",
) -> None:
    """Drive an agent through a scenario, turn by turn, and judge what it recorded."""
    from tokentrace.scenario import loading, results

    code = judging((), (), fail_on).code
    make = _agent(command, target, stdin=stdin)
    _writable(junit)
    known = _changed(loading.load(wanted), timeout, concurrency)
    journal = _journal(known, folder or _config.folder(), resume=resume)
    given = {} if limit is None else {"TOKENTRACE_LIMIT": str(limit)}
    console = Console(stderr=True) if as_json else showing.Output()
    done = _driven(known, journal, make, given, console)
    if junit:
        _write(junit, results.junit(done))
    if as_json:
        typer.echo(results.document(done), nl=False)
    else:
        _verdict(done, console)
    raise typer.Exit(code(done.verdict))


def _agent(command: str, target: str, *, stdin: bool) -> Make:
    """Return what makes the agent's drivers."""
    from tokentrace.boot import programs
    from tokentrace.scenario import driving

    if bool(command) == bool(target):
        mend = "one of: --command './prompt.sh {prompt}', --target package.module:callable"
        raise InputError("which agent?", source="scenario run", mend=mend)
    if target:
        if stdin:
            raise InputError("a callable gets its prompt as an argument", source="--stdin")
        return driving.target(target)
    make = driving.command(command, stdin=stdin)
    text, mend = programs.untraced(shlex.split(command)[0])
    if text:
        typer.echo(f"tokentrace: {text} ({mend})", err=True)
    return make


def _write(path: str, content: bytes) -> None:
    from tokentrace.report import writing

    try:
        writing.write(Path(path), content)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InputError(f"cannot be written: {reason}", source=path) from None


def _writable(path: str) -> None:
    """Refuse a file that could not be written when all is done."""
    if path and (not Path(path).absolute().parent.is_dir() or Path(path).is_dir()):
        raise InputError(
            "cannot be written", source=path, mend="give a file in a folder that is there"
        )


def _changed(known: Scenario, timeout: float | None, concurrency: int | None) -> Scenario:
    """Return a scenario as the options change it."""
    if timeout is not None:
        steps = tuple(replace(step, timeout=timeout) for step in known.steps)
        known = replace(known, steps=steps)
    return known if concurrency is None else replace(known, concurrency=concurrency)


def _journal(known: Scenario, home: str, *, resume: bool) -> Journal:
    from tokentrace.scenario import journal

    return journal.resume(known, home) if resume else journal.begin(known, home, known.concurrency)


def _driven(
    known: Scenario, journal: Journal, make: Make, given: dict[str, str], console: Console
) -> Run:
    """Run it, and leave no process behind however this ends."""
    from tokentrace.scenario import running

    try:
        with showing.terminable(), _progress(known, journal, console) as told:
            return running.run(known, journal, make, told, given)
    except (KeyboardInterrupt, BrokenPipeError) as error:  # neither leaves a verdict
        if isinstance(error, BrokenPipeError):
            showing.hush()
        done = sum(map(len, journal.pages.sessions.values()))
        text = f"interrupted after {done} of {len(known.steps) * len(journal.pages.sessions)} turns"
        typer.echo(f"tokentrace: {text} (the same command with --resume goes on)", err=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _progress(
    known: Scenario, journal: Journal, console: Console
) -> Iterator[Callable[[Told], None]]:
    """Give a function that shows a turn; where there is a terminal a bar stands below."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from tokentrace.scenario import showing as lines

    sessions = tuple(journal.pages.sessions)
    done = sum(len(entries) for entries in journal.pages.sessions.values())
    look = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*look, console=console, transient=True, disable=not console.is_terminal) as bar:
        whole = len(known.steps) * len(sessions)
        task = bar.add_task(known.name, total=whole, completed=done)

        def told(turn: Told) -> None:
            place = sessions.index(turn.session) + 1 if len(sessions) > 1 else 0
            for line in lines.turn(turn, place):
                console.print(line, soft_wrap=True)
            bar.advance(task)

        yield told


def _verdict(done: Run, console: Console) -> None:
    """Print what was found in each session, and where its traces are."""
    from tokentrace.report import safe, verdicts

    for judged in done.sessions:
        console.print()
        console.print(safe(judged.id), style="bold", markup=False, highlight=False)
        verdicts.render(judged.judgement, console)
    inside = "/*/" if len(done.sessions) > 1 else ""
    line = f"The traces are in {done.folder}{inside}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
