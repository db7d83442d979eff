"""`tokentrace run`."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tokentrace import _config, boot
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
    _look(program[0])
    _become(program, _config.handed_down(told, boot.FOLDER))


def _check(given: Mapping[str, str | None]) -> None:
    for option, value in given.items():
        known = CHOICES[option]
        if value is not None and value not in known:
            raise InputError(f"no {value!r}", source=option, mend=", ".join(known))


def _look(program: str) -> None:
    """Say so where the program is a Python without tokentrace, which is run all the same."""
    found = shutil.which(program) or ""
    elsewhere = os.path.dirname(found) != os.path.dirname(sys.executable)  # noqa: PTH120 - links stay
    if not (Path(found).name.startswith("python") and elsewhere):
        return
    asked = subprocess.run(  # noqa: S603 - the user's own program
        [found, "-c", "import tokentrace.boot"], check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    if asked.returncode:
        _say(f"{found} has no tokentrace: it is not traced", f"{found} -m pip install tokentrace")


def _become(words: list[str], variables: Mapping[str, str]) -> NoReturn:
    """Replace this process with the program, or say why that cannot be."""
    for name in IGNORED:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(words[0], words, variables)  # noqa: S606 - running it is our subject
    except OSError as error:
        _say(f"{words[0]}: {os.strerror(error.errno or 0)}", _mend(words[0], error))
        missing = isinstance(error, FileNotFoundError)
        raise typer.Exit(MISSING if missing else UNUSABLE) from None


def _mend(program: str, error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return "put its interpreter before it, or a #! line into it"
    if Path(program).is_dir():
        return "it is a folder"
    if not isinstance(error, FileNotFoundError):
        return f"make it executable: chmod +x {program}, or put its interpreter before it"
    if shutil.which(program):
        return "the interpreter in its #! line is missing"
    if " " in program:
        return "give program and arguments as words, without quotes around all of them"
    return "check the path" if os.sep in program else "install it, or give its path"


def _say(text: str, mend: str) -> None:
    from tokentrace.report import safe

    sys.stderr.write(f"tokentrace: {safe(text, most=500)} ({safe(mend, most=500)})\n")
