"""`tokentrace demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from tokentrace.cli import showing
from tokentrace.errors import InputError

EXTRA = "the demo needs the openai SDK: pip install 'tokentrace[demo]'"
EXAMPLES = (
    "[bold]Then[/bold]\n\n"
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
        code = run(showing.Output(), exporter=exporter, directory=directory)
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise InputError(EXTRA) from None
    raise typer.Exit(code)
