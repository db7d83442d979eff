"""`tokentrace report --html FILE`: the page, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from tokentrace.analysis import Comparison, Report
from tokentrace.cli import showing
from tokentrace.errors import InputError


def page(
    report: Report, target: str, compared: Comparison | None = None, *, priced: bool = False
) -> None:
    """Write the page to ``target``, ``-`` for standard output, and say on stderr where it is.

    With ``priced`` prices are looked up even where they are switched off.

    Raises:
        InputError: it cannot be written there.
    """
    from tokentrace.analysis import spending
    from tokentrace.report import html

    made(lambda: html.render(report, compared, priced=spending.listed(priced)), target)


def made(render: Callable[[], str], target: str) -> None:
    """Write what ``render`` returns to ``target``, see `page`.

    Raises:
        InputError: it cannot be written there.
    """
    from tokentrace.report import writing

    with showing.spinner("writing the page", wanted=target != "-"):
        text = render().encode()
    if target == "-":
        typer.echo(text, nl=False)
        return
    try:
        writing.write(Path(target), text)
    except OSError as error:
        mend = "give --html a file in a folder that can be written to"
        raise InputError(error.strerror or "cannot be written", source=target, mend=mend) from None
    typer.echo(f"The page is in {target} ({len(text) / 1000:,.0f} kB).", err=True)
