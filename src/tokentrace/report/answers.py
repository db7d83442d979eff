"""Rows that were asked for, as JSON, CSV, or a table in a terminal."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from rich.console import Console
from rich.text import Text

from tokentrace.report import cells, safe

SHOWN = 200  # rows in a terminal
WIDEST = 60  # cells of a column
NUMBERS = (int, float, Decimal)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a text begins that spreadsheets calculate


def as_json(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield one list of objects, a row a line."""
    before = "[\n"
    for row in rows:
        held = dict(zip(names, map(_plain, row), strict=True))
        yield f"{before}  {json.dumps(held, ensure_ascii=True, allow_nan=False)}"
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def as_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield lines of CSV, the names of the columns first; what is not known is empty.

    A text that a spreadsheet would take for a formula has a quote before it.
    """
    yield _line([_cell(name) for name in names])
    for row in rows:
        yield _line([_cell(value) for value in row])


def _cell(value: Any) -> str:
    told = _text(value)
    if not isinstance(value, str):
        return told
    told = safe(told, most=len(told))
    return f"'{told}" if value.startswith(FORMULA) or told.startswith(FORMULA) else told


def _line(values: Sequence[Any]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow(values)
    return file.getvalue()


def render(names: Sequence[str], rows: Iterable[Sequence[Any]], console: Console) -> None:
    """Print the first 200 rows as a table, and say where there are more."""
    found = iter(rows)
    shown = list(islice(found, SHOWN))
    more = next(found, None) is not None
    columns = []
    for place, name in enumerate(names):
        values = [row[place] for row in shown]
        left = any(value is not None and not isinstance(value, NUMBERS) for value in values)
        texts = [Text(cells.cut(safe(_shown(value)), WIDEST)) for value in values]
        columns.append(cells.Column(cells.cut(safe(name), WIDEST), texts, left=left))
    console.print(cells.table(columns))
    told = f"the first {len(shown):,} rows; --csv and --json print all" if more else cells.many(len(shown), "row")  # fmt: skip
    console.print(Text(told, "dim"))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, (float, Decimal)):
        return f"{float(value):,.6g}" if abs(float(value)) < 1e6 else f"{float(value):,.1f}"
    return _text(value)


def _text(value: Any) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return json.dumps(plain) if isinstance(plain, (list, dict)) else str(plain)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: times in ISO 8601, what is no number as nothing."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    kind = next((kind for kind in WRITTEN if isinstance(value, kind)), None)
    return str(value) if kind is None else WRITTEN[kind](value)


def _finite(value: float | Decimal) -> float | None:
    return float(value) if math.isfinite(value) else None


WRITTEN: dict[type, Callable[[Any], Any]] = {
    float: _finite,
    Decimal: _finite,
    date: lambda one: one.isoformat(),
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    bytes: bytes.hex,
}
