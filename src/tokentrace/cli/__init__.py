"""The command line: parsing and printing only.

Exit codes: 0 fine, 1 a bad verdict or an unknown model, 2 usage or input, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tokentrace import __version__
from tokentrace.cli import (
    counting,
    demo,
    differing,
    doctor,
    models,
    query,
    reporting,
    run,
    scenario,
    showing,
    watching,
)
from tokentrace.errors import TokentraceError


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
            showing.hush()
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


def _complain(text: str) -> None:
    """Print one line on stderr, whatever the text holds."""
    from tokentrace.report import safe

    sys.stderr.write(f"tokentrace: {safe(text, most=1000)}\n")


for command, examples in (
    (reporting.report, reporting.EXAMPLES),
    (watching.watch, watching.EXAMPLES),
    (query.query, query.EXAMPLES),
    (counting.count, counting.EXAMPLES),
    (differing.diff, differing.EXAMPLES),
    (models.models, models.EXAMPLES),
    (run.run, run.EXAMPLES),
    (demo.demo, demo.EXAMPLES),
    (doctor.doctor, doctor.EXAMPLES),
):
    settings = run.SETTINGS if command is run.run else {}
    app.command(epilog=examples, context_settings=settings)(command)

app.add_typer(scenario.app, name="scenario", epilog=scenario.EXAMPLES)
