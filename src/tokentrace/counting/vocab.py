"""The vocabularies that travel inside the package, and tiktoken encoders built from them.

Each vocabulary is one packed table under ``data/`` (see ``scripts/pack_vocab.py``), checked against
its pinned SHA-256 at every load. Nothing here touches the network, nor any cache folder of
tiktoken's. Building an encoder costs about 0.25 s CPU for o200k_base, of which 0.15 s hold the
GIL; it happens once a process.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from types import MappingProxyType
from typing import TYPE_CHECKING

from tokentrace.counting.loading import Loads
from tokentrace.errors import TokentraceError

if TYPE_CHECKING:
    from tiktoken import Encoding

LONGEST_TABLE = 2**23


class VocabularyError(TokentraceError):
    """A vocabulary is unknown, missing or damaged, or tiktoken cannot build it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A packed vocabulary.

    Attributes:
        size: number of tokens; ranks are 0 to size - 1.
        sha256: of the packed file, as hexadecimal digits.
        pattern: how the text is split before tokens are merged, in Rust's regex syntax, as in
            ``tiktoken_ext.openai_public`` of tiktoken 0.14.0 (2026-11-22).
    """

    size: int
    sha256: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A loaded vocabulary.

    Attributes:
        name: e.g. ``o200k_base``.
        encode: ranks of a text's tokens; special tokens are ordinary text, lone surrogates count
            as U+FFFD. Releases the GIL while it works. Panics (a BaseException) on white space
            runs of about a million characters: go through `tokentrace.counting.text`.
        lengths: bytes of each token, by rank.
    """

    name: str
    encode: Callable[[str], list[int]] = field(repr=False)
    lengths: bytes = field(repr=False)


TABLES = MappingProxyType(
    {
        "o200k_base": Table(
            199_998,
            "815ad0c59958aa18ac2136a9d9ac315c38394f2584aefdc5e2aa426fb96722c4",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        "cl100k_base": Table(
            100_256,
            "b65cdaaedbfd77b3b19f247b231a5461f9fc4f51209606d33d523f78cc07288b",
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
            r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        ),
    }
)

_loaded: dict[str, Vocabulary] = {}
_loads: Loads[str] = Loads("tokentrace-vocabulary")


def load(name: str) -> Vocabulary:
    """Return the vocabulary ``name``, built at its first use in this process.

    Raises:
        VocabularyError: unknown name, missing or damaged table, or tiktoken is not importable.
    """
    found = _loaded.get(name)
    if found is not None:
        return found
    maker = _maker()  # ahead of the lock: no import waits for it, and it for no import
    with _loads.lock:
        if name not in _loaded:
            _loaded[name] = _build(name, maker)
        return _loaded[name]


def loaded(name: str) -> bool:
    """Whether `load` would return at once."""
    return name in _loaded


def load_in_background(name: str) -> None:
    """Start loading ``name`` on a thread, unless it is loaded or on its way; never raises."""
    if name not in _loaded and name in TABLES:
        _loads.begin(name, _load_quietly)


def unpack(name: str) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the byte lengths and the tokens of ``name``, both by rank.

    Raises:
        VocabularyError: unknown name, missing or damaged table.
    """
    from hashlib import sha256

    table = TABLES.get(name)
    if table is None:
        raise VocabularyError(f"vocabulary {name!r} is not one of {', '.join(TABLES)}")
    packed = _read(name)
    if sha256(packed).hexdigest() != table.sha256:
        raise VocabularyError(f"the table of {name} is damaged; install tokentrace again")
    plain = zlib.decompressobj().decompress(packed, LONGEST_TABLE)
    lengths = plain[: table.size]
    # One C call cuts all tokens; `struct.unpack` would keep this huge format in its cache.
    cutter = Struct("".join(map("{}s".format, lengths)))
    return lengths, cutter.unpack_from(plain, table.size)


def _read(name: str) -> bytes:
    """Return the packed table's bytes, from a folder or a zipped package."""
    from pkgutil import get_data

    try:
        packed = get_data(__package__, f"data/{name}.zlib")
    except OSError as error:
        raise VocabularyError(
            f"the table of {name} is missing; install tokentrace again"
        ) from error
    return packed or b""


def _maker() -> type[Encoding]:
    try:
        from tiktoken import Encoding
    except (ImportError, RuntimeError) as error:  # RuntimeError: the interpreter is shutting down
        raise VocabularyError(f"tiktoken cannot be imported: {error}") from error
    return Encoding


def _build(name: str, maker: type[Encoding]) -> Vocabulary:
    lengths, tokens = unpack(name)
    ranks = dict(zip(tokens, range(len(tokens)), strict=True))
    encoding = maker(name, pat_str=TABLES[name].pattern, mergeable_ranks=ranks, special_tokens={})
    # The encoder has its own copy; ours would hold 20 MB that only decoding by name looks at.
    ranks.clear()
    return Vocabulary(name, encoding.encode_ordinary, lengths)


def _load_quietly(name: str) -> None:
    """Load ``name``; whoever needs it next meets the same error and reports it."""
    try:
        load(name)
    except VocabularyError:
        return
