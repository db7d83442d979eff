"""The command line: parsing and printing only.

Exit codes: 0 fine, 1 a bad verdict, 2 usage or input, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from tokentrace import __version__, _config
from tokentrace.analysis import Report, Session
from tokentrace.errors import InputError, TokentraceError

PATIENCE = 1.0  # seconds before a progress bar shows
DEMO_EXTRA = "the demo needs the openai SDK: pip install 'tokentrace[demo]'"


class Output(Console):
    """A console that leaves a closed pipe to the command."""

    def on_broken_pipe(self) -> None:
        """Raise what rich would turn into exit code 1, a bad verdict."""
        raise BrokenPipeError


class Commands(TyperGroup):
    """The commands: an error of ours is one line and exit code 2, a closed pipe is no error."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except TokentraceError as error:
            _complain(str(error))
            raise typer.Exit(2) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        return result


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="tokentrace")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tokentrace {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Start with:  [bold]tokentrace demo[/bold]  and then  [bold]tokentrace report[/bold]"
)
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """See where every input token of an LLM agent goes, turn by turn."""


# ── report ───────────────────────────────────────────────────────────────────────────────────────


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "tokentrace report                            what agents recorded in this folder\n\n"
    "tokentrace report run.jsonl.gz --last 5      the end of a conversation\n\n"
    "tokentrace report --json | jq .summary       for scripts"
)
def report(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="OTLP-JSON files, folders of them, or - for standard input. "
            "Default: the local trace folder.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    session: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Only the session with this id, or those whose ids begin so."
        ),
    ] = "",
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the last N turns of each session.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of --json and leave.")
    ] = False,
) -> None:
    """Show turns: components, total, limit, delta, trend, guard and events."""
    from tokentrace.report import json, text

    if schema:
        typer.echo(json.schema(), nl=False)
        return
    found = _read(paths or [_home()], progress=not as_json)
    shown = Report(_chosen(found.sessions, session, last), found.problems)
    if as_json:
        typer.echo(json.render(shown), nl=False)
    else:
        text.render(shown, Output())


def _read(paths: Sequence[str], *, progress: bool) -> Report:
    from tokentrace import analysis, readers

    problems = readers.Problems()
    with _bar(paths, wanted=progress) as seen:
        found = analysis.sessions(readers.read(paths, problems, seen))
    return Report(found, problems)


def _home() -> str:
    """Return the local trace folder; say what to do when there is none."""
    folder = _config.folder()
    if not Path(folder).exists():
        mend = "run an agent with tokentrace.instrument(), or `tokentrace demo`, or give a file"
        raise InputError("nothing is recorded here yet", source=folder, mend=mend)
    return folder


def _chosen(found: tuple[Session, ...], wanted: str, last: int | None) -> tuple[Session, ...]:
    """Return the sessions to show."""
    if wanted:
        exact = [one for one in found if one.id == wanted]
        begins = [one for one in found if one.id.startswith(wanted)]
        if not begins:
            mend = _near(wanted, found)
            raise InputError(f"no session {wanted!r}", source="--session", mend=mend)
        found = tuple(exact or begins)
    return found if last is None else tuple(one.last(last) for one in found)


def _near(wanted: str, found: Sequence[Session]) -> str:
    """Return what ids there are, those like ``wanted`` first."""
    from difflib import get_close_matches

    from tokentrace.report import safe

    ids = [one.id for one in found]
    near = get_close_matches(wanted, ids, n=3, cutoff=0.4) or ids[-3:]
    return f"there are {len(ids)}, e.g. {', '.join(safe(name) for name in near)}"


# ── count ────────────────────────────────────────────────────────────────────────────────────────


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "tokentrace count request.json                   a request body; its api is guessed\n\n"
    "tokentrace count prompt.md --model gpt-4o       a text\n\n"
    "tokentrace count --text 'hello' --model gpt-4o  the same, given here\n\n"
    "cat request.json | tokentrace count - --api anthropic.messages --json"
)
def count(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="A request body as JSON, or a text; - for standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Count this text.")] = None,
    api: Annotated[
        str, typer.Option(metavar="API", help="What the body is for, e.g. openai.chat.")
    ] = "",
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The model, where the body does not name it.")
    ] = "",
    provider: Annotated[
        str, typer.Option(metavar="NAME", help="Who serves it, e.g. azure or bedrock.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Count the input tokens of a request body or a text, component by component."""
    from tokentrace.counting.counter import count as counted
    from tokentrace.report import count as form

    source, body = _request(file, text)
    assumed = ""
    if isinstance(body, str):
        _text_only(source, api, model)
    elif not api:
        api, assumed = _guessed(body)
    with _spinner("counting", wanted=not as_json):
        found = counted(body, api=api or None, model=model or None, provider=provider)
    if as_json:
        typer.echo(form.document(found, assumed), nl=False)
    else:
        form.render(found, Output(), source, assumed)


def _request(file: str | None, text: str | None) -> tuple[str, Any]:
    """Return what is to be counted and what to call it."""
    from tokentrace.readers import request

    if (file is None) == (text is None):
        mend = "give a FILE, - for standard input, or --text TEXT"
        raise InputError("one thing to count is needed", mend=mend)
    if file is None:
        return "", text
    return "standard input" if file == "-" else file, request.read(file)


def _text_only(source: str, api: str, model: str) -> None:
    """Refuse a text that comes without a model, or as a body."""
    if api:
        mend = "give a JSON object, or leave --api out"
        raise InputError("a text, not a request body", source=source or "--text", mend=mend)
    if not model:
        mend = "name one with --model, e.g. --model gpt-4o"
        raise InputError(
            "a text needs a model to be counted for", source=source or "--text", mend=mend
        )


def _guessed(body: Any) -> tuple[str, str]:
    from tokentrace.readers import request

    api, reason = request.guess(body)
    return api, f"assumed --api {api}: {reason}"


# ── demo ─────────────────────────────────────────────────────────────────────────────────────────


@app.command(
    epilog="[bold]Then[/bold]\n\n"
    "tokentrace report               the same turns again, read from the trace folder\n\n"
    "tokentrace report --json        for scripts"
)
def demo(
    *,
    exporter: Annotated[
        str, typer.Option(metavar="NAME", help="Where spans go: local, otlp or none.")
    ] = "local",
    directory: Annotated[
        str | None,
        typer.Option("--dir", metavar="DIR", help="Trace folder. Default: the usual one."),
    ] = None,
) -> None:
    """Run a 25-turn DevOps conversation against a small local server, and report it."""
    if exporter not in ("local", "otlp", "none"):
        raise InputError(f"no exporter {exporter!r}", source="--exporter", mend="local, otlp, none")
    from tokentrace.demo import run

    try:
        code = run(Output(), exporter=exporter, directory=directory)
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise InputError(DEMO_EXTRA) from None
    raise typer.Exit(code)


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _bar(paths: Sequence[str], *, wanted: bool) -> Iterator[Any]:
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
def _spinner(what: str, *, wanted: bool) -> Iterator[None]:
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


def _complain(text: str) -> None:
    """Print one line on stderr, whatever the text holds."""
    from tokentrace.report import safe

    sys.stderr.write(f"tokentrace: {safe(text, most=1000)}\n")
