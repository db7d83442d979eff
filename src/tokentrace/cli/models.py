"""`tokentrace models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tokentrace.cli import showing
from tokentrace.errors import InputError

if TYPE_CHECKING:
    from tokentrace.report.models import Entry

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace models                          every row\n\n"
    "tokentrace models gpt-4o-2024-08-06        what is known of this one\n\n"
    "tokentrace models gpt-4 --max-output 1000  and the input that is left\n\n"
    "tokentrace models --provider anthropic --json"
)
NEAREST = 3


def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Models as in requests, with whatever prefix or date.",
            show_default=False,
        ),
    ] = None,
    *,
    provider: Annotated[
        str, typer.Option(metavar="NAME", help="Only its rows; with a NAME: who serves it.")
    ] = "",
    max_output: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Requested output in tokens: say what is left."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what is known of models: limits, tokenizer, how they are counted, and from where."""
    from tokentrace.report import models as form

    if max_output is not None and not names:
        raise InputError("asks about one model", source="--max-output", mend="give a NAME")
    found = {name: _named(name, provider) for name in names or ()}
    unknown = {name: _nearest(name) for name, entry in found.items() if entry is None}
    known = [entry for entry in found.values() if entry] if names else _rows(provider)
    if as_json:
        typer.echo(form.document(known, unknown, max_output), nl=False)
    elif names:
        form.each(known, showing.Output(), max_output)
    else:
        form.table(known, showing.Output())
    for name, near in unknown.items():
        _complain(name, near)
    if unknown:
        raise typer.Exit(1)


def _rows(provider: str) -> list[Entry]:
    """Return the rows of all providers, or of one."""
    from tokentrace import providers
    from tokentrace.counting.methods import surest
    from tokentrace.report.models import Entry

    having = [one for one in providers.PROVIDERS.values() if one.models]
    chosen = [one for one in having if provider in ("", one.name, one.otel_name)]
    if not chosen:
        mend = f"there are: {', '.join(one.name for one in having)}; others serve those models"
        raise InputError(f"no rows of {provider!r}", source="--provider", mend=mend)
    return [
        Entry(maker, row, surest(row, _plain(row.match)[0], maker.name))
        for maker in chosen
        for row in maker.models
    ]


def _named(name: str, provider: str) -> Entry | None:
    """Return the row that a name finds; None where nobody knows it."""
    from tokentrace import providers
    from tokentrace.counting.methods import surest
    from tokentrace.report.models import Entry

    server, row = providers.find(name, provider)
    if row is None:
        return None
    held = (one for one in providers.PROVIDERS.values() if any(row is own for own in one.models))
    return Entry(next(held), row, surest(row, name, server.name), name, server.name)


def _plain(match: str) -> list[str]:
    """Return the names that a row's glob stands for, without what may follow them."""
    head, opened, rest = match.partition("[")
    if opened:
        letters, _, tail = rest.partition("]")
        return [name for letter in letters for name in _plain(f"{head}{letter}{tail}")]
    return [match.rstrip("*").rstrip("-")]


def _nearest(name: str) -> list[str]:
    """Return names of rows that look like ``name``; the row's glob where its stem is no model."""
    from difflib import get_close_matches

    from tokentrace import providers

    rows = (row.match for one in providers.PROVIDERS.values() for row in one.models)
    known = {plain: glob for glob in rows for plain in _plain(glob) if "*" not in plain}
    near = get_close_matches(providers.plain(name[:100]), known, n=NEAREST)
    return [plain if providers.find(plain)[1] else known[plain] for plain in near]


def _complain(name: str, near: list[str]) -> None:
    """Print one line on stderr."""
    from tokentrace.report import safe

    mend = f"near it: {', '.join(near)}" if near else "tokentrace models lists those there are"
    typer.echo(f"tokentrace: no model {safe(name)!r} is known ({mend})", err=True)
