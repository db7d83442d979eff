"""Which models are counted with a file of the user's: ``TOKENTRACE_TOKENIZERS``.

A JSON object of model patterns and paths; in place of a path ``{"file": path, "pattern": regex}``
for a table of tiktoken's. ``*`` stands for anything, large and small letters are the same, and the
first that matches holds. A file is loaded on a thread, at `load_in_background` or when a model is
first seen, so that no call waits; until then, and where it cannot be used, counting goes on without.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from tokentrace import _config, _failsafe, providers
from tokentrace.counting import files
from tokentrace.counting.loading import Loads
from tokentrace.counting.text import Ruler

VARIABLE = "TOKENTRACE_TOKENIZERS"
MOST = 64
LIKE = '{"qwen*": "/models/qwen/tokenizer.json"}'
MEND = "its models are counted without it"


@dataclass(frozen=True, slots=True)
class Given:
    """One entry: models by a glob, the file, and how a table's text is split."""

    match: str
    file: str
    pattern: str = ""


_rulers: dict[Given, Ruler | None] = {}
_loads: Loads[Given] = Loads("tokentrace-tokenizer")


def find(model: str) -> Given | None:
    """Return the entry for a model, None where there is none."""
    raw = _config.text(VARIABLE)
    return _matching(raw, model) if raw else None


def ruler(model: str) -> Ruler | None:
    """Return the ruler of a model's file where it is loaded; else None, and loading begins aside."""
    found = find(model)
    if found is None:
        return None
    if found not in _rulers:
        _loads.begin(found, _load)
    return _rulers.get(found)


def load(model: str) -> Ruler | None:
    """Return the ruler of a model's file, loaded if need be: not for the host's call."""
    found = find(model)
    return None if found is None else _load(found)


def load_in_background() -> None:
    """Start loading every file; never raises."""
    raw = _config.text(VARIABLE)
    for given in _entries(raw) if raw else ():
        if given not in _rulers:
            _loads.begin(given, _load)


def check(raw: str) -> None:
    """Raise ValueError where a setting cannot be used, or names a file that is not there."""
    told = _config.mapping(raw)
    given = [value.get("file") if isinstance(value, dict) else value for value in told.values()]
    for file in given:
        if not isinstance(file, str) or not Path(file).expanduser().is_file():
            raise ValueError(raw)


@lru_cache(maxsize=512)
def _matching(raw: str, model: str) -> Given | None:
    names = (model.lower(), providers.plain(model))
    for given in _entries(raw):
        if any(fnmatchcase(name, given.match.lower()) for name in names):
            return given
    return None


@lru_cache(maxsize=8)
def _entries(raw: str) -> tuple[Given, ...]:
    """Return the entries that can be used; one warning for each other one."""
    try:
        told = _config.mapping(raw)
    except ValueError:
        _failsafe.warn_once(
            VARIABLE, "%s is no JSON object like %s; it is not used", VARIABLE, LIKE
        )
        return ()
    found = []
    for match, value in list(told.items())[:MOST]:
        given = value if isinstance(value, dict) else {"file": value}
        file, pattern = given.get("file"), given.get("pattern", "")
        if isinstance(file, str) and file and isinstance(pattern, str):
            found.append(Given(match, file, pattern))
        else:
            _failsafe.warn_once(f"{VARIABLE}:{match:.80}", "%s: %.80s has no path", VARIABLE, match)
    return tuple(found)


def _load(given: Given) -> Ruler | None:
    with _loads.lock:
        if given not in _rulers:
            try:
                _rulers[given] = files.load(Path(given.file).expanduser(), given.pattern)
            except (files.TokenizerFileError, RuntimeError) as error:  # no home folder
                _rulers[given] = None
                key = f"{VARIABLE}:{given.file}"
                _failsafe.warn_once(key, "%s: %s; %s", VARIABLE, error, MEND)
    return _rulers[given]
