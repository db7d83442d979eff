"""Rows of figures, printed: a table whose columns stand below each other, or JSON."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping

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


def command(description: str, measure: Callable[[int], Mapping[str, Figures]]) -> None:
    """Be the command line of a measurement: run all of its rounds, and print the table."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=41, help="measurements a row (41)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENTRACE_DIR"] = folder
        table = measure(options.rounds)
    show(table, as_json=options.json, cell="8.3f")
