"""`tokentrace run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tokentrace import _config, boot
from tokentrace.boot import programs
from tokentrace.errors import InputError

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace run -- python agent.py                          then: tokentrace report\n\n"
    "tokentrace run --session conv-42 -- python agent.py        one turn of a conversation\n\n"
    "tokentrace run --exporter otlp -- ./start.sh               every Python that it starts"
)
# Words come with an end: what follows the program is the program's.
SETTINGS: dict[str, Any] = {"allow_interspersed_args": False}

MISSING, UNUSABLE = 127, 126  # as shells and env(1) have it
CHOICES = {"--exporter": ("auto", "local", "otlp", "none"), "--on-exceed": ("warn", "raise")}
IGNORED = ("SIGPIPE", "SIGXFSZ", "SIGXFZ")  # by Python, and then by what it becomes


Program = Annotated[
    list[str],
    typer.Argument(
        metavar="PROGRAM",
        help="What to run, and then its own arguments and options.",
        show_default=False,
    ),
]


def option(metavar: str, text: str, **more: Any) -> Any:
    """Return an option; without it the environment holds."""
    return typer.Option(metavar=metavar, help=text, **more)


def run(
    program: Program,
    *,
    session: Annotated[
        str | None, option("ID", "The conversation; one process is one turn.")
    ] = None,
    turn: Annotated[int | None, option("N", "Number of the turn.", min=1)] = None,
    folder: Annotated[
        str | None, typer.Option("--dir", metavar="DIR", help="Trace folder.")
    ] = None,
    exporter: Annotated[str | None, option("NAME", "auto, local, otlp or none.")] = None,
    limit: Annotated[int | None, option("N", "Input limit in tokens.", min=1)] = None,
    on_exceed: Annotated[str | None, option("WHAT", "At the limit: warn or raise.")] = None,
    service_name: Annotated[str | None, option("NAME", "Of the service on the spans.")] = None,
) -> None:
    """Run a program and trace every Python in it, without a change to its code."""
    if not program[0]:
        raise InputError("an empty word is no program", source="run")
    _check({"--exporter": exporter, "--on-exceed": on_exceed})
    given = {
        "TOKENTRACE_SESSION": session,
        "TOKENTRACE_TURN": turn,
        "TOKENTRACE_DIR": str(Path(folder or _config.folder()).absolute()),
        "TOKENTRACE_EXPORTER": exporter,
        "TOKENTRACE_LIMIT": limit,
        "TOKENTRACE_ON_EXCEED": on_exceed,
        "OTEL_SERVICE_NAME": service_name,
    }
    told = {name: str(value) for name, value in given.items() if value is not None}
    text, mend = programs.untraced(program[0])
    if text:  # which is run all the same
        _say(text, mend)
    _become(program, _config.handed_down(told, boot.FOLDER))


def _check(given: Mapping[str, str | None]) -> None:
    for option, value in given.items():
        known = CHOICES[option]
        if value is not None and value not in known:
            raise InputError(f"no {value!r}", source=option, mend=", ".join(known))


def _become(words: list[str], variables: Mapping[str, str]) -> NoReturn:
    """Replace this process with the program, or say why that cannot be."""
    for name in IGNORED:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(words[0], words, variables)  # noqa: S606 - running it is our subject
    except OSError as error:
        _say(f"{words[0]}: {os.strerror(error.errno or 0)}", programs.mend(words[0], error))
        missing = isinstance(error, FileNotFoundError)
        raise typer.Exit(MISSING if missing else UNUSABLE) from None


def _say(text: str, mend: str) -> None:
    from tokentrace.report import safe

    sys.stderr.write(f"tokentrace: {safe(text, most=500)} ({safe(mend, most=500)})\n")
