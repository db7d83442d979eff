"""``[tool.tokentrace]`` of the nearest pyproject.toml: for the command line only."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokentrace.errors import InputError

NAME = "pyproject.toml"


def settings() -> tuple[Mapping[str, Any], str]:
    """Return the table and the path of its file; an empty one where there is none.

    The file is that of this folder, or of the nearest one above it that has one.

    Raises:
        InputError: the file cannot be read, is no TOML, or holds something else there.
    """
    try:
        here = Path.cwd()
    except OSError:  # somebody removed the folder that we are in
        return {}, NAME
    place = next((f for one in (here, *here.parents) if (f := one / NAME).is_file()), None)
    if place is None:
        return {}, NAME
    try:
        tool = tomllib.loads(place.read_text("utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", source=str(place)) from None
    return table(tool, "tokentrace", str(place), of="tool"), str(place)


def table(held: Any, name: str, source: str, of: str = "tool.tokentrace") -> Mapping[str, Any]:
    """Return the table ``name`` in ``held``, an empty one where there is none.

    Raises:
        InputError: what stands there is no table.
    """
    found = held.get(name, {}) if isinstance(held, Mapping) else held
    if not isinstance(found, Mapping):
        raise InputError(f"[{of}.{name}] is no table", source=source)
    return found
