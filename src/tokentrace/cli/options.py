"""The options of `tokentrace report`, as typer reads them."""

from __future__ import annotations

from typing import Annotated

import typer

from tokentrace.cli.judging import FAIL_ON

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="OTLP-JSON files, folders of them, logs of agents, jaeger:URL, tempo:URL, or - for "
        "standard input. "
        "Default: the local trace folder.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AsPage = Annotated[
    str, typer.Option("--html", metavar="FILE", help="Write one HTML page to FILE, - for stdout.")
]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a comment.")]
Against = Annotated[
    list[str] | None,
    typer.Option(metavar="BASE", help="Say what changed since this run. May be repeated."),
]
Chosen = Annotated[
    str,
    typer.Option(metavar="ID", help="Only the session with this id, or those whose ids begin so."),
]
Last = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Only the last N turns of each session.")
]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Say what findings mean, what cuts context, how large it is."),
]
Cost = Annotated[
    bool, typer.Option("--cost", help="Say what it cost: by component, turn, session and tool.")
]
Tools = Annotated[
    bool, typer.Option("--tools", help="Say what tools carry, and how often they are called.")
]
FailOn = Annotated[
    str, typer.Option(metavar="VERDICT", help=f"Exit code 1 from it on: {', '.join(FAIL_ON)}.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Judge by another threshold. May be repeated."),
]
Spans = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FIRST-LAST", help="Turns of a phase. May be repeated."),
]
LogFormat = Annotated[
    str,
    typer.Option(
        metavar="FILE", help="A TOML file that describes the lines of another agent's log."
    ),
]
Api = Annotated[
    str, typer.Option(metavar="API", help="What a body is for, e.g. openai.chat; else guessed.")
]
Model = Annotated[
    str, typer.Option(metavar="MODEL", help="The model, where the body does not name it.")
]
Provider = Annotated[
    str, typer.Option(metavar="NAME", help="Who serves it, e.g. azure or bedrock.")
]
AsSchema = Annotated[
    bool, typer.Option("--schema", help="Print the JSON schema of --json and leave.")
]
