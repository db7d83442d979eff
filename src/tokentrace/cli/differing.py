"""`tokentrace diff`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tokentrace.analysis import Session
from tokentrace.analysis.differing import Difference, Piece, Side
from tokentrace.cli import backends, options, reporting, showing
from tokentrace.cli.counting import guessed
from tokentrace.errors import InputError
from tokentrace.prompt import Message
from tokentrace.readers.backends import Wanted

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "tokentrace diff before.json after.json          two request bodies\n\n"
    "tokentrace diff --session conv-42 --turns 3 4   two turns of what was recorded here\n\n"
    "tokentrace diff run.jsonl --turns 3 4 --json    the same of a file, for scripts\n\n"
    "tokentrace diff a.json b.json --at-most 500     exit code 1 where it grew by more"
)
TWO = "give two request bodies, or --turns FIRST SECOND of a recorded session"


Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="BEFORE AFTER | [PATH]...",
        help="Two request bodies as JSON; or with --turns where they were recorded.",
        show_default=False,
    ),
]
Turns = Annotated[
    tuple[int, int] | None,
    typer.Option(metavar="FIRST SECOND", help="Two turns of a session, by their numbers."),
]
AtMost = Annotated[
    int | None,
    typer.Option(min=0, metavar="TOKENS", help="Exit code 1 where the prompt grew by more."),
]


@backends.asking
def diff(
    paths: Paths = None,
    *,
    turns: Turns = None,
    session: options.Chosen = "",
    api: options.Api = "",
    model: options.Model = "",
    provider: options.Provider = "",
    at_most: AtMost = None,
    log_format: options.LogFormat = "",
    as_json: options.AsJson = False,
    wanted: Wanted | None = None,
) -> None:
    """Say what changed between two prompts: what grew, what is new, what was dropped, in tokens."""
    from tokentrace.report import differing as form

    given = paths or []
    with showing.spinner("counting", wanted=not as_json):
        if turns is None:
            found = _bodies(given, session, wanted, (api, model, provider))
        else:
            found = _turns(given, turns, session, (log_format, wanted))
    if as_json:
        typer.echo(form.document(found), nl=False)
    else:
        form.render(found, showing.Output())
    raise typer.Exit(int(at_most is not None and found.delta > at_most))


# ── two bodies ───────────────────────────────────────────────────────────────────────────────────


def _bodies(
    paths: Sequence[str], session: str, wanted: Wanted | None, names: tuple[str, str, str]
) -> Difference:
    from tokentrace.analysis.differing import differ

    if len(paths) != 2 or session or wanted:
        raise InputError("two prompts are needed", mend=TWO)
    before, after = (_side(path, *names) for path in paths)
    return differ(before, after)


def _side(path: str, api: str, model: str, provider: str) -> Side:
    """Return a body, counted; no text of it is kept beyond the comparison."""
    from tokentrace.analysis.differing import counted
    from tokentrace.counting.counter import measure
    from tokentrace.readers import request

    body = request.read(path)
    if isinstance(body, str):
        mend = "give a JSON object; `tokentrace count` counts texts"
        raise InputError("a text, not a request body", source=path, mend=mend)
    api = api or guessed(body)[0]
    prompt, count = measure({**body, "model": model} if model else body, api=api, provider=provider)
    return counted(path, count, [_piece(one) for one in prompt.messages])


def _piece(message: Message) -> Piece:
    """Return a message; its tokens stand with it where the rules count messages one by one."""
    tally = message.memo.get("tally")
    content = tuple(
        (part.kind, part.text, part.name, part.id, repr(part.data)) for part in message.parts
    )
    tokens = tally[1].total if tally else None
    return Piece(message.role, tokens, (message.name, content))


# ── two turns ────────────────────────────────────────────────────────────────────────────────────


def _turns(
    paths: Sequence[str], turns: tuple[int, int], session: str, how: tuple[str, Wanted | None]
) -> Difference:
    from tokentrace import analysis, readers
    from tokentrace.analysis.differing import differ

    log_format, wanted = how
    read = list(paths) or [reporting.home()]
    asked = backends.question(read, wanted, session)
    problems = readers.Problems()
    records = readers.read(read, problems, log_format=log_format, wanted=asked)
    found = reporting.chosen(analysis.sessions(records), session)
    if len(found) > 1:
        names = ", ".join(one.id for one in found[-3:])
        mend = f"name one with --session: there are {len(found)}, e.g. {names}"
        raise InputError("more than one session", source="--turns", mend=mend)
    before, after = (_turn(found[0], number) for number in turns)
    return differ(before, after)


def _turn(session: Session, number: int) -> Side:
    from tokentrace.analysis.differing import recorded

    main: Any = next((one.main for one in session.turns if one.number == number), None)
    if main is None:
        held = [one.number for one in session.turns if one.main]
        mend = f"it has turns {held[0]} to {held[-1]}" if held else "it has none"
        raise InputError(f"no turn {number} in session {session.id!r}", source="--turns", mend=mend)
    return recorded(f"turn {number} of {session.id}", main)
