"""Mistral's tokenizer Tekken, from the data of the package mistral-common where it is installed.

Only the data file is read, the package is never imported. Loading takes about 0.5 s, 0.12 s of it
with the GIL held (2 cores, 2026-11), so nobody's call waits for it: `load_in_background` starts it,
and until it is done texts are counted in another vocabulary. The vocabulary is the same in both
files that mistral-common ships from 1.7 on (1.7.0, 1.8.5 and 1.13.1 looked at, 2026-11-25).
"""

from __future__ import annotations

from base64 import b64decode
from functools import cache
from pathlib import Path

from tokentrace import _failsafe
from tokentrace.counting.loading import Loads
from tokentrace.counting.text import Ruler, TokenRuler
from tokentrace.counting.vocab import Vocabulary

NAME = "tekken"
PACKAGE = "mistral_common"
FILES = ("tekken_240911.json", "tekken_240718.json")
# Of the file's tokens the first ones are used: the vocabulary less the special tokens.
SIZE = 131_072 - 1_000
LARGEST_FILE = 2**26
LONGEST_TOKEN = 255

_rulers: dict[str, Ruler | None] = {}
_loads: Loads[str] = Loads("tokentrace-tekken")


@cache
def found() -> Path | None:
    """Return the data file, or None where the package is not installed."""
    from importlib.util import find_spec

    try:
        spec = find_spec(PACKAGE)
    except (ImportError, ValueError):  # a half-loaded or hand-made module of that name
        return None
    folders = spec.submodule_search_locations if spec is not None else None
    paths = [Path(folder) / "data" / name for folder in folders or () for name in FILES]
    return next((path for path in paths if path.is_file()), None)


def ruler() -> Ruler | None:
    """Return the ruler where it is loaded, else None, at once."""
    return _rulers.get(NAME)


def load() -> Ruler | None:
    """Return the ruler, loaded if need be; None where it cannot be, which is reported once."""
    path = found()
    if path is None or NAME in _rulers:
        return _rulers.get(NAME)
    with _loads.lock:
        if NAME not in _rulers:
            _rulers[NAME] = _made(path)
    return _rulers[NAME]


def _made(path: Path) -> Ruler | None:
    try:
        return TokenRuler(_read(path))
    except (OSError, ValueError, ImportError) as error:
        _failsafe.warn_once(f"vocabulary:{NAME}", "%s cannot be used: %s", path.name, error)
        return None


def load_in_background() -> None:
    """Start loading on a thread, unless it is loaded or on its way; never raises."""
    if NAME not in _rulers and found() is not None:
        _loads.begin(NAME, lambda _name: load())


def _read(path: Path) -> Vocabulary:
    """Build the encoder of a file.

    Raises:
        OSError, ValueError, ImportError: the file cannot be read, or is none of Tekken's.
    """
    from tiktoken import Encoding

    if path.stat().st_size > LARGEST_FILE:
        raise ValueError("the file is too large")
    pattern, tokens = _tokens(path.read_text(encoding="utf-8"))
    ranks = dict(zip(tokens, range(SIZE), strict=True))
    encoding = Encoding(NAME, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    lengths = bytes(min(len(token), LONGEST_TOKEN) for token in tokens)
    return Vocabulary(NAME, encoding.encode_ordinary, lengths)


def _tokens(text: str) -> tuple[str, list[bytes]]:
    """Return the pattern and the tokens by rank.

    The tokens are cut out one by one, not parsed as one piece of JSON: that would keep all other
    threads waiting for 0.3 s.
    """
    from json import loads
    from re import finditer

    head, _, rest = text.partition('"vocab"')
    pattern = loads(head[head.index('"config"') :].partition(":")[2].rstrip().rstrip(","))[
        "pattern"
    ]
    matches = finditer(r'"token_bytes":\s*"([A-Za-z0-9+/=]*)"', rest)
    tokens = [b64decode(match[1]) for match, _ in zip(matches, range(SIZE), strict=False)]
    if len(tokens) != SIZE or not isinstance(pattern, str):
        raise ValueError("it holds no such vocabulary")
    return pattern, tokens
