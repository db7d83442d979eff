"""`tokentrace models`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from tokentrace.cli import showing
from tokentrace.errors import InputError

if TYPE_CHECKING:
    from tokentrace.report.models import Entry

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace models                          the rows of those who make models\n\n"
    "tokentrace models --provider bedrock       those of a host\n\n"
    "tokentrace models gpt-4o-2024-08-06        what is known of this one\n\n"
    "tokentrace models gpt-4 --max-output 1000  and the input that is left\n\n"
    "tokentrace models claude-sonnet-4-5 --ask  what its provider's endpoint says\n\n"
    "tokentrace models --all --json"
)
NEAREST = 3
# Whose rows the table shows of itself, besides those written by hand: who makes models and serves them.
MAKING = frozenset(
    {"gemini", "mistral", "cohere", "deepseek", "xai", "moonshot", "zai", "perplexity", "dashscope"}
)


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
    every: Annotated[
        bool, typer.Option("--all", help="Every row: of hosts and retired names too.")
    ] = False,
    max_output: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Requested output in tokens: say what is left."),
    ] = None,
    asked: Annotated[
        bool,
        typer.Option("--ask", help="Ask the provider's model endpoint; needs network and its key."),
    ] = False,
    base_url: Annotated[
        str, typer.Option(metavar="URL", help="With a NAME: of the client; decides who serves it.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what is known of models: limits, tokenizer, how they are counted, and from where."""
    about_one = {"--max-output": max_output is not None, "--ask": asked, "--base-url": base_url}
    alone = [option for option, given in about_one.items() if given and not names]
    if alone:
        raise InputError("asks about one model", source=alone[0], mend="give a NAME")
    if asked:
        _ask(names or [], provider, base_url, as_json=as_json)
    elif names:
        _each(names, provider, base_url, max_output, as_json=as_json)
    else:
        _table(_rows(provider, every=every), as_json=as_json)


def _table(known: list[Entry], *, as_json: bool) -> None:
    """Print rows."""
    from tokentrace.report import models as form

    if as_json:
        typer.echo(form.document(known, {}), nl=False)
    else:
        form.table(known, showing.Output(), _others(known))


def _each(
    names: list[str], provider: str, base_url: str, max_output: int | None, *, as_json: bool
) -> None:
    """Print what each name finds, and complain of those that find nothing."""
    from tokentrace.report import models as form

    found = {name: _named(name, provider, base_url) for name in names}
    unknown = {name: _nearest(name) for name, entry in found.items() if entry is None}
    known = [entry for entry in found.values() if entry]
    if as_json:
        typer.echo(form.document(known, unknown, max_output), nl=False)
    else:
        form.each(known, showing.Output(), max_output)
    for name, near in unknown.items():
        _complain(name, near)
    if unknown:
        raise typer.Exit(1)


def _ask(names: list[str], provider: str, base_url: str, *, as_json: bool) -> None:
    """Print what the providers' own endpoints say."""
    from tokentrace.cli import asking
    from tokentrace.report import models as form

    answers = [asking.ask(name, provider, base_url) for name in names]
    if as_json:
        typer.echo(form.told(answers), nl=False)
    else:
        form.answers(answers, showing.Output())


def _rows(provider: str, *, every: bool) -> list[Entry]:
    """Return the rows of a provider, of all of them, or of those who make models."""
    from tokentrace import providers
    from tokentrace.providers import generated

    blocks = generated.load().blocks
    makers = [maker for maker in generated.MAKERS if maker in MAKING and maker in blocks]
    owners = [*(maker.name for maker in providers.MAKERS), *makers]
    if every or provider:
        owners = list(dict.fromkeys([*owners, *blocks]))
    known = providers.PROVIDERS
    if provider:
        owners = [
            name
            for name in owners
            if provider in {name, getattr(known.get(name), "otel_name", name)}
        ]
    if not owners:
        there = ", ".join(
            sorted({maker.name for maker in providers.MAKERS} | blocks.keys() - {"*"})
        )
        raise InputError(
            f"no rows of {provider!r}", source="--provider", mend=f"there are: {there}"
        )
    return [entry for name in owners for entry in _entries(name, retired=every or bool(provider))]


def _entries(owner: str, *, retired: bool) -> Iterator[Entry]:
    """Yield the rows of one provider: those written by hand, then the generated ones."""
    from tokentrace import providers
    from tokentrace.counting.methods import surest
    from tokentrace.providers import generated
    from tokentrace.report.models import Entry

    maker = providers.PROVIDERS.get(owner, providers.UNKNOWN)
    for row in maker.models:
        yield Entry(maker, row, surest(row, _plain(row.match)[0], owner))
    for row in generated.rows(owner, retired=retired):
        held = providers.holder(owner, row.match)
        yield Entry(held, row, surest(row, row.match, owner))


def _others(shown: list[Entry]) -> list[tuple[str, int]]:
    """Return whose rows the table leaves out, and how many there are; none where one was asked for."""
    from tokentrace.providers import generated

    seen = {entry.maker.name for entry in shown}
    if len(seen) == 1:
        return []
    blocks = generated.load().blocks.items()
    return sorted((name, len(block)) for name, block in blocks if name not in {*seen, "*"})


def _named(name: str, provider: str, base_url: str) -> Entry | None:
    """Return the row that a name finds; None where nobody knows it."""
    from tokentrace import providers
    from tokentrace.counting.methods import surest
    from tokentrace.report.models import Entry

    found = providers.look_up(name, provider, base_url)
    if found.row is None:
        return None
    method = surest(found.row, name, found.server.name or found.holder.name)
    return Entry(found.holder, found.row, method, name, found.server.name)


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
    from tokentrace.providers import generated

    rows = (row.match for one in providers.PROVIDERS.values() for row in one.models)
    known = {plain: glob for glob in rows for plain in _plain(glob) if "*" not in plain}
    asked = providers.plain(name[:100])
    near = get_close_matches(asked, known, n=NEAREST)
    told = [plain if providers.find(plain)[1] else known[plain] for plain in near]
    if len(told) < NEAREST:
        others = {name for block in generated.load().blocks.values() for name in block}
        told += get_close_matches(asked, sorted(others), n=NEAREST - len(told))
    return told


def _complain(name: str, near: list[str]) -> None:
    """Print one line on stderr."""
    from tokentrace.report import safe

    mend = f"near it: {', '.join(near)}" if near else "tokentrace models lists those there are"
    typer.echo(f"tokentrace: no model {safe(name)!r} is known ({mend})", err=True)
