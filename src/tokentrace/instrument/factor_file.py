"""``TOKENTRACE_FACTORS``: a file from which learned factors are read, and into which they are written.

It is read once, at the start, and written at the end of the process, as a whole or not at all. What
is no such file is told once and left as it is.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokentrace import _config, _failsafe
from tokentrace._failsafe import attempt
from tokentrace.counting import factors
from tokentrace.counting.factors import FACTORS, MOST, REMEMBERED, Factor
from tokentrace.guard.configured import contents
from tokentrace.guard.learned import LONGEST, Key

VARIABLE = "TOKENTRACE_FACTORS"
VERSION = 1
LARGEST = 2**40
NAMES = ("provider", "place", "model", "ruler")

_read: dict[str, dict[Key, Factor]] = {}  # by the path that was given


def load() -> None:
    """Read the file, where one is named and it was not read yet, and write it at the end."""
    raw = _config.text(VARIABLE)
    if not raw or raw in _read:
        return
    known = _known(raw)
    _read[raw] = known or {}
    for key, factor in (known or {}).items():
        FACTORS.put(key, factor)
    if known is not None:
        atexit.register(_end, raw)


def _end(raw: str) -> None:
    attempt(save, raw)


def _path(raw: str) -> Path:
    path = Path(raw)
    return path.expanduser() if raw.startswith("~") else path


def save(raw: str) -> None:
    """Write what is known now; what the file holds besides stays in it."""
    learned, path = FACTORS.items(), _path(raw)
    if learned == _read.get(raw):
        return
    rows = [_row(key, factor) for key, factor in {**(_known(raw) or {}), **learned}.items()]
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(_text(rows[-MOST:]), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        what = "%s: the file cannot be written (%s); what was learned is lost"
        _failsafe.warn_once(f"write:{VARIABLE}", what, VARIABLE, type(error).__name__)
        new.unlink(missing_ok=True)


def reset() -> None:
    """Forget which files were read, and write none (tests)."""
    atexit.unregister(_end)
    _read.clear()


def _text(rows: list[dict[str, Any]]) -> str:
    from json import dumps

    from tokentrace import __version__

    held = {"version": VERSION, "release": __version__, "factors": rows}
    return dumps(held, indent=1) + "\n"


def _row(key: Key, factor: Factor) -> dict[str, Any]:
    provider, place, model = key
    named = {"provider": provider, "place": place, "model": model, "ruler": factor.ruler[:LONGEST]}
    return {**named, "factor": round(factor.value, 4), "calls": [list(one) for one in factor.calls]}


def _known(raw: str) -> dict[Key, Factor] | None:
    """Return what a file holds, None and one warning where it is something else."""
    try:
        return read(raw)
    except ValueError as error:
        _failsafe.warn_once(f"config:{VARIABLE}", "%s: %s; it is not used", VARIABLE, error)
        return None


def read(raw: str) -> dict[Key, Factor]:
    """Return what the file of a path holds; nothing where there is none yet, or another release's.

    Other rules count otherwise, so that factors on top of theirs are none for ours.

    Raises:
        ValueError: it is something else.
    """
    try:
        there = _path(raw).exists()
    except OSError as error:
        raise ValueError(f"the file cannot be read ({type(error).__name__})") from None
    if not there:
        return {}
    from tokentrace import __version__

    held = contents(raw)
    found = dict(_factors(held))
    return found if held.get("release") == __version__ else {}


def _factors(held: Mapping[str, Any]) -> Iterator[tuple[Key, Factor]]:
    """Yield keys and factors.

    Raises:
        ValueError: it is no file of factors.
    """
    rows = held.get("factors")
    if held.get("version") != VERSION or not isinstance(rows, list) or len(rows) > MOST:
        raise ValueError("no file of factors that this version has written")
    for row in rows:
        names = [row.get(name) for name in NAMES] if _is(row) else []
        calls = row.get("calls") if _is(row) else None
        if not all(isinstance(name, str) and len(name) <= LONGEST for name in names) or not names:
            raise ValueError("an entry without a provider, a place, a model and a ruler")
        if not isinstance(calls, list) or not 0 < len(calls) <= REMEMBERED:
            raise ValueError("an entry without calls")
        provider, place, model, ruler = names
        yield (provider, place, model), factors.of_calls(tuple(map(_call, calls)), ruler)


def _is(row: Any) -> bool:
    return isinstance(row, Mapping)


def _call(raw: Any) -> factors.Call:
    if isinstance(raw, list) and len(raw) == 3 and all(type(one) is int for one in raw):
        own, reported, letters = raw
        known = 0 <= letters < LARGEST and factors.LEAST_TOKENS <= own < LARGEST
        if known and own / 4 <= reported <= 4 * own + 4_000:
            return own, reported, letters
    raise ValueError("a call that cannot be: give our count, the reported one and fives of letters")
