"""Limits that somebody gave: the guard's own, else those of ``TOKENTRACE_LIMITS``.

A mapping of limits has keys of three kinds: a model (``gpt-4o*``), a provider and a model
(``azure/my-deployment``, ``groq/*``), and a base URL (``http://localhost:8000/*``). ``*`` stands for
anything, large and small letters are the same. The key that names the model itself holds, else the
first that matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokentrace import _config, _failsafe
from tokentrace.guard.acting import Callback
from tokentrace.guard.deciding import LARGEST

if TYPE_CHECKING:
    from tokentrace.guard import Guard

VARIABLE = "TOKENTRACE_LIMITS"
LONGEST_FILE = 2**20
MOST_LIMITS = 1_000
SHOWN = 80


def configured(guard: Guard | None, provider: str, base_url: str, model: str) -> int | None:
    """Return the limit that somebody gave for a call, None where nobody did."""
    own = None if guard is None else guard.limit
    if isinstance(own, Mapping):
        own = _matching(own, provider, base_url, model)
    elif callable(own):
        own = _called(own, model)
    if own is not None:
        return own
    told = given()
    return _matching(told, provider, base_url, model) if told else None


def _called(limit: Any, model: str) -> int | None:
    with Callback("limit"):
        tokens = limit(model)
        if isinstance(tokens, int) and 0 <= tokens < LARGEST:
            return int(tokens)
    return None


# ── which key holds ──────────────────────────────────────────────────────────────────────────────


def _matching(limits: Mapping[str, int], provider: str, base_url: str, model: str) -> int | None:
    """Return the tokens of the key that names the model itself, else of the first that matches."""
    names = tuple(_names(provider, base_url, model))
    for name in names:
        if name in limits:
            return limits[name]
    names, places = tuple(name.lower() for name in names), _places(base_url)
    for key, tokens in limits.items():
        glob, held = key.lower(), names
        if "://" in glob:
            glob, held = glob.replace("[", "[[]"), places  # a bracket there is an address's
        if any(fnmatchcase(name, glob) for name in held):
            return tokens
    return None


def _names(provider: str, base_url: str, model: str) -> Iterator[str]:
    """Yield what a key may call the model: as requested, and behind who serves it."""
    from tokentrace import providers

    yield model
    server = providers.find(model, provider, base_url)[0]
    for name in dict.fromkeys((provider, server.name, server.otel_name)):
        if name:
            yield f"{name}/{model}"


@lru_cache(maxsize=512)
def _places(base_url: str) -> tuple[str, ...]:
    """Return a base URL as keys may match it: no user, query or fragment, with a slash and without."""
    scheme, _, rest = re.split(r"[?#]", base_url.lower(), maxsplit=1)[0].partition("://")
    authority, _, path = rest.partition("/")
    if not authority:
        return ()
    place = f"{scheme}://{authority.rpartition('@')[2]}/{path}".rstrip("/")
    return place, f"{place}/"


# ── the environment's ────────────────────────────────────────────────────────────────────────────


def given() -> Mapping[str, int]:
    """Return the limits of ``TOKENTRACE_LIMITS``; a file is read once a process."""
    raw = _config.text(VARIABLE)
    return _usable(raw) if raw else {}


@lru_cache(maxsize=8)
def _usable(raw: str) -> Mapping[str, int]:
    """Return what can be used, and warn of each entry that cannot."""
    try:
        told = read(raw)
    except ValueError as error:
        _failsafe.warn_once(f"config:{VARIABLE}", "%s: %s; it is not used", VARIABLE, error)
        return {}
    good = {}
    for key, tokens in told.items():
        if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < LARGEST:
            good[key] = tokens
        else:
            entry, form = f"{key[:SHOWN]!r}: {tokens!r:.{SHOWN}}", "%s: %s is no number of tokens"
            _failsafe.warn_once(f"config:{VARIABLE}:{key[:SHOWN]}", form, VARIABLE, entry)
    return good


def read(raw: str) -> dict[str, Any]:
    """Return the entries of a JSON object, or of the file of a path, whatever their values.

    Raises:
        ValueError: there are none, or too many.
    """
    told = _json(raw) if raw.startswith("{") else contents(raw)
    inner = told.get("limits")
    told = inner if isinstance(inner, dict) else told
    if len(told) > MOST_LIMITS:
        raise ValueError(f"more than {MOST_LIMITS:,} entries")
    return told


def _json(raw: str) -> dict[str, Any]:
    try:
        return _config.mapping(raw)
    except ValueError:
        raise ValueError("no JSON object") from None


def contents(raw: str) -> dict[str, Any]:
    """Return what the file of a path holds: a JSON object, or a TOML file's tables.

    Raises:
        ValueError: it is no such file, or larger than a megabyte.
    """
    try:
        path = Path(raw).expanduser()
        if not path.is_file() or path.stat().st_size > LONGEST_FILE:
            raise ValueError("neither a JSON object nor the path of a file of at most a megabyte")
        content = path.read_text(encoding="utf-8")
    except (OSError, RuntimeError) as error:
        raise ValueError(f"the file cannot be read ({type(error).__name__})") from None
    return _toml(content) if path.suffix.lower() == ".toml" else _json(content)


def _toml(content: str) -> dict[str, Any]:
    from tomllib import TOMLDecodeError, loads

    try:
        return loads(content)
    except (TOMLDecodeError, RecursionError):
        raise ValueError("no TOML") from None
