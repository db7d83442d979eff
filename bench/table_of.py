"""Rows of figures, printed: a table whose columns stand below each other, or JSON."""

from __future__ import annotations

import argparse
import json
import logging
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


def command(
    description: str,
    measure: Callable[[int], Mapping[str, Figures]],
    asked: tuple[str, int, str] = ("--rounds", 41, "measurements a row"),
    cell: str = "8.3f",
) -> None:
    """Be the command line of a measurement: measure, and print the table.

    Args:
        description: of the help.
        measure: is given the number that was asked for.
        asked: the option of that number, its default, and what it counts.
        cell: see `show`.
    """
    option, default, counts = asked
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        option, dest="number", type=int, default=default, help=f"{counts} ({default})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENTRACE_DIR"] = folder
        table = measure(options.number)
    show(table, as_json=options.json, cell=cell)
