"""`tokentrace count`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tokentrace.cli import options, showing
from tokentrace.errors import InputError

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
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
    api: options.Api = "",
    model: options.Model = "",
    provider: options.Provider = "",
    as_json: options.AsJson = False,
) -> None:
    """Count the input tokens of a request body or a text, component by component."""
    from tokentrace.counting.counter import count as counted
    from tokentrace.report import count as form

    source, body = _request(file, text)
    assumed = ""
    if isinstance(body, str):
        _text_only(source, api, model)
    elif not api:
        api, assumed = guessed(body)
    with showing.spinner("counting", wanted=not as_json):
        found = counted(body, api=api or None, model=model or None, provider=provider)
    if as_json:
        typer.echo(form.document(found, assumed), nl=False)
    else:
        form.render(found, showing.Output(), source, assumed)


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


def guessed(body: Any) -> tuple[str, str]:
    """Return the api that a body is taken for, and a line that says so."""
    from tokentrace.readers import request

    api, reason = request.guess(body)
    return api, f"assumed --api {api}: {reason}"
