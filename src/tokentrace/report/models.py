"""What is known of models, shown: a table, one of them, what a provider says, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from shlex import quote
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokentrace import providers
from tokentrace.prompt import EXACT
from tokentrace.providers import Model, Provider
from tokentrace.report import cells, safe

WIDE = 100  # terminal cells from which on nothing is shortened
LEGEND = (
    "shared: input and output share the window; refused: and more than it in sum is refused. "
    "counting: the surest label that a request can get."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the registry.

    Attributes:
        maker: whose row it is, with its date and source.
        model: the row.
        method: the surest that a count of its requests can have.
        name: as it was asked for, empty in the table.
        server: who serves it by that name.
    """

    maker: Provider
    model: Model
    method: str
    name: str = ""
    server: str = ""


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def document(
    entries: Sequence[Entry],
    unknown: Mapping[str, Sequence[str]],
    max_output: int | None = None,
) -> str:
    """Return one JSON document with stable names; ``unknown`` are names and what is near them."""
    known: dict[str, Any] = {
        "version": 1,
        "max_output": max_output,
        "models": [_row(entry, max_output) for entry in entries],
        "unknown": [{"name": name, "nearest": list(near)} for name, near in unknown.items()],
    }
    return json.dumps(known, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _row(entry: Entry, max_output: int | None) -> dict[str, Any]:
    model = entry.model
    row = {
        "match": model.match,
        "provider": entry.maker.name,
        "input": model.input,
        "output": model.output,
        "window": model.window,
        "shared": _shared(model),
        "refuses_sum": model.refuses_sum,
        "tokenizer": model.tokenizer or None,
        "method": entry.method,
        "source": entry.maker.source,
        "dated": entry.maker.dated,
        "limit": providers.limit(model).tokens,
    }
    if not entry.name:
        return row
    asked = {"name": entry.name, "served_by": entry.server}
    if max_output is None:
        return asked | row
    left = providers.soft_limit(model, max_output)
    return asked | row | {"left": left.tokens, "left_hard": left.hard}


def _shared(model: Model) -> bool:
    """Whether input and output share a window, and nothing else limits the input."""
    return model.window is not None and model.input is None


# ── the table ────────────────────────────────────────────────────────────────────────────────────


def table(
    entries: Sequence[Entry], console: Console, others: Sequence[tuple[str, int]] = ()
) -> None:
    """Print the rows, grouped by provider; ``others`` are left out, with how many rows they have."""
    for maker, rows in groupby(entries, key=lambda entry: entry.maker):
        found = list(rows)
        head = f"{maker.name} · {cells.many(len(found), 'row')} · read {maker.dated}"
        console.print(Text(head, "bold"))
        console.print(Text(maker.source, "dim"))
        console.print()
        console.print(_rows(found, wide=console.width >= WIDE))
        console.print()
    console.print(Text(LEGEND, "dim"))
    if others:
        told = ", ".join(f"{name} ({count})" for name, count in others)
        console.print(Text(f"not shown: {told}. --provider NAME shows one, --all all.", "dim"))


def _rows(entries: Sequence[Entry], *, wide: bool) -> Table:
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), pad_edge=False)
    table.add_column("model", no_wrap=wide, overflow="fold", header_style="bold")
    for heading in ("input", "output", "window"):
        table.add_column(heading, justify="right", no_wrap=True, header_style="bold")
    for heading in ("shared", "tokenizer" if wide else "vocab", "counting"):
        table.add_column(heading, no_wrap=True, header_style="bold")
    for entry in entries:
        model = entry.model
        sizes = (providers.limit(model).tokens, model.output, model.window)
        table.add_row(
            Text(model.match),
            *(_number(tokens) for tokens in sizes),
            _sharing(model),
            Text(
                (model.tokenizer if wide else model.tokenizer.removesuffix("_base")) or "-", "dim"
            ),
            Text(entry.method, "green" if entry.method == EXACT else ""),
        )
    return table


def _sharing(model: Model) -> Text:
    if not _shared(model):
        return Text("no" if model.window or model.output else "-", "dim")
    return Text("refused", "yellow") if model.refuses_sum else Text("yes")


def _number(tokens: int | None) -> Text:
    return Text("-", "dim") if tokens is None else Text(f"{tokens:,}")


# ── what a provider says ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model endpoint said.

    Attributes:
        name: of the model, without who serves it.
        server: who was asked, empty where nobody knows the host.
        place: the host that was asked.
        input, output: tokens; the output None where it was not told.
    """

    name: str
    server: str
    place: str
    input: int
    output: int | None

    @property
    def setting(self) -> str:
        """The value of TOKENTRACE_LIMITS that makes this the limit."""
        key = f"{self.server}/{self.name}" if self.server else self.name
        return json.dumps({key: self.input})


def told(answers: Sequence[Answer]) -> str:
    """Return one JSON document with stable names."""
    rows = [
        {
            "name": one.name, "served_by": one.server, "place": one.place, "input": one.input,
            "output": one.output, "limits": one.setting,
        }
        for one in answers
    ]  # fmt: skip
    known = {"version": 1, "asked": rows}
    return json.dumps(known, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def answers(answers: Sequence[Answer], console: Console) -> None:
    """Print what was said, and what makes it the limit."""
    for one in answers:
        console.print(Text(f"{safe(one.name)} at {safe(one.place)}", "bold"), soft_wrap=True)
        console.print(Text("input   ").append(_number(one.input)))
        if one.output is not None:
            console.print(Text("output  ").append(_number(one.output)))
        line = f"set     TOKENTRACE_LIMITS={quote(one.setting)}"
        console.print(Text(safe(line, most=1000)), soft_wrap=True)


# ── one model ────────────────────────────────────────────────────────────────────────────────────


def each(entries: Sequence[Entry], console: Console, max_output: int | None = None) -> None:
    """Print what models' names mean: the row that each finds, and what a call may hold."""
    for index, entry in enumerate(entries):
        if index:
            console.print()
        _one(entry, console, max_output)


def _one(entry: Entry, console: Console, max_output: int | None) -> None:
    model, maker = entry.model, entry.maker
    console.print(Text(safe(entry.name), "bold"), overflow="ellipsis", no_wrap=True)
    served = "" if entry.server in {"", maker.name} else f", served by {entry.server}"
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("row", Text(f"{model.match} of {maker.name}{safe(served)}"))
    table.add_row("input", _number(providers.limit(model).tokens))
    if model.output is not None:
        table.add_row("output", _number(model.output))
    if model.window is not None:
        table.add_row("window", _number(model.window).append(f", {_told(model)}"))
    if max_output is not None:
        table.add_row("left", _left(model, max_output))
    table.add_row("tokenizer", model.tokenizer or "-")
    table.add_row("counting", entry.method)
    table.add_row("source", Text(f"{maker.source}; read {maker.dated}", "dim"))
    console.print(table)


def _told(model: Model) -> str:
    if not _shared(model):
        return "of which input and output each have their own share"
    if model.refuses_sum:
        return "shared; input + requested output above it is refused"
    return "shared; no refusal of input + requested output is known"


def _left(model: Model, max_output: int) -> Text:
    """Say what a call may hold beside the requested output."""
    left = providers.soft_limit(model, max_output)
    if left.tokens is None:
        return Text("-")
    said = Text(f"{left.tokens:,}", "bold").append(f" of input beside {max_output:,} of output")
    if not left.hard:
        said.append("; above it the output may be cut, no refusal is known")
    if model.output is not None and max_output > model.output:
        said.append(f"; the largest output is {model.output:,}", "yellow")
    return said
