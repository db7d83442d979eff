"""Rows of figures, printed: a table whose columns stand below each other, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

Figures = Mapping[str, float]


def show(rows: Mapping[str, Figures], *, as_json: bool, cell: str) -> None:
    """Print rows by their names.

    Args:
        rows: figures by their own names, the same of every row.
        as_json: print one document.
        cell: the format of a figure.
    """
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    first = max(map(len, rows), default=0) + 2
    keys = max((len(key) for row in rows.values() for key in row), default=0) + 2
    for name, row in rows.items():
        figures = "".join(f"{key:>{keys}} {value:{cell}}" for key, value in row.items())
        print(f"{name:{first}}{figures}")
