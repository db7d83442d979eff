"""`tokentrace doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from tokentrace.cli import showing

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace doctor                  in the agent's folder, with the agent's Python\n\n"
    "tokentrace doctor --json | jq '.checks[] | select(.state == \"fault\")'\n\n"
    "Exit code 1 says that there is a fault; notes and warnings are fine."
)


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    patience: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long an import may take.")
    ] = 60.0,
) -> None:
    """Find out why nothing, too little or something wrong is recorded, and say the mend."""
    from tokentrace import doctor as clinic
    from tokentrace.doctor import showing as form

    machine = clinic.Machine(patience=patience)
    with showing.spinner("looking", wanted=not as_json):
        found = list(clinic.diagnose(machine))
    if as_json:
        typer.echo(form.document(found), nl=False)
    else:
        form.render(found, showing.Output())
    if any(one.state == clinic.FAULT for one in found):
        raise typer.Exit(1)
