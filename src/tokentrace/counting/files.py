"""A tokenizer that the user has as a file: Hugging Face's, SentencePiece's, or a table of tiktoken's.

What a file is, its content tells. The libraries are extras (``tokentrace[tokenizers]``,
``tokentrace[sentencepiece]``) and hold the GIL while they work, about a second a megabyte, so they
are given one piece of a text at a time. The cuts between pieces are proven for OpenAI's patterns only:
here each may cost a token more or less (`SEAM`).
"""

from __future__ import annotations

import itertools
import re
from base64 import b64decode
from bisect import bisect_left
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokentrace import _failsafe
from tokentrace.counting.text import SHORT, Ruler, TokenRuler, in_proportion
from tokentrace.counting.vocab import TABLES, Vocabulary
from tokentrace.errors import TokentraceError

PREFIX = "file:"
SEAM = 2
LARGEST_FILE = 2**26  # bytes
MOST_TOKENS = 2**22
LONGEST_TOKEN = 255
# Characters without a cut that are encoded at once; a longer run is estimated from samples.
LONGEST_RUN = 2**14
LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n")
SURROGATE = re.compile("[\ud800-\udfff]")
# How text is split before a table's tokens are merged, by a part of the file's name: as in Qwen's
# repository ``tokenization_qwen.py``, and in Llama 3's ``tokenizer.py`` (as remembered, 2026-11-29).
PATTERNS = (
    ("o200k", TABLES["o200k_base"].pattern),
    ("cl100k", TABLES["cl100k_base"].pattern),
    (
        "qwen",
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    ),
    (
        "",
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    ),
)


class TokenizerFileError(TokentraceError):
    """A file cannot be used as a tokenizer; the message says why, and how that is mended."""


class FileRuler(TokenRuler):
    """Counts with a library that tells in which character each token begins."""

    __slots__ = ()

    def __init__(self, name: str, starts: Callable[[str], list[int]]) -> None:
        self.name = name
        self._encode = starts
        self._lengths = b""

    def _counts(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Return the tokens and the error of short texts."""
        return [self._piece(text)[:2] for text in texts]

    def _piece(self, text: str) -> tuple[int, int, list[int] | None]:
        """Return the tokens of a piece, their error, and where they begin where it was encoded."""
        if len(text) > LONGEST_RUN:
            return (*self._sampled(text), None)
        return super()._piece(text if text.isascii() else SURROGATE.sub("\ufffd", text))

    def _split(
        self,
        text: str,
        tokens: int,
        ranks: list[int] | None,
        borders: Sequence[int],
        shares: list[int],
    ) -> None:
        """Add a piece's tokens to ``shares``: by the characters in which they begin."""
        if ranks is None:
            found = in_proportion(tokens, text, borders)
        else:
            below = [0, *(bisect_left(ranks, border) for border in borders), tokens]
            found = [stop - start for start, stop in itertools.pairwise(below)]
        shares[:] = map(sum, zip(shares, found, strict=True))


def of_file(name: str) -> bool:
    """Whether a ruler of that name counts with a file of the user's."""
    return name.startswith(PREFIX)


def seams(text: str) -> int:
    """Return how far the count of a text may be off for its being cut, ± tokens."""
    return 0 if len(text) <= SHORT else SEAM * (len(text) // SHORT + 1)


def load(path: Path, pattern: str = "") -> Ruler:
    """Return the ruler of a file.

    Args:
        path: of a ``tokenizer.json``, a SentencePiece model, or lines of base64 and rank.
        pattern: how a table's text is split, in Rust's regex syntax; by default by the file's name.

    Raises:
        TokenizerFileError: it is missing, too large, damaged or of another kind, or its library is
            not installed.
    """
    data = _read(path)
    name = f"{PREFIX}{path.name}:{sha256(data).hexdigest()[:8]}"
    make: Callable[[bytes, str, str], Ruler] = _sentencepiece
    if data.lstrip()[:1] == b"{":
        make = _huggingface
    elif LINE.match(data):
        make = _table
    elif data[:1] not in {b"\n", b"\x08"}:  # how a message of protobuf's begins that holds a model
        raise TokenizerFileError(f"{path.name} is no tokenizer that is known here")
    made, error = _failsafe.outcome_of(make, data, name, pattern or _pattern(path.name))
    if isinstance(error, TokentraceError):
        raise error
    if error is not None or made is None:
        why = f"{type(error).__name__}: {error!s:.200}"
        raise TokenizerFileError(f"{path.name} is damaged or of another kind ({why})") from error
    return made


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise TokenizerFileError(f"there is no file {path.name}")
        if path.stat().st_size > LARGEST_FILE:
            raise TokenizerFileError(f"{path.name} is larger than {LARGEST_FILE >> 20} MiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise TokenizerFileError(f"{path.name} cannot be read ({type(error).__name__})") from error


def _pattern(name: str) -> str:
    return next(pattern for part, pattern in PATTERNS if part in name.lower())


def _missing(extra: str) -> TokenizerFileError:
    return TokenizerFileError(
        f"its library is missing or too old: pip install 'tokentrace[{extra}]'"
    )


def _huggingface(data: bytes, name: str, _pattern: str) -> Ruler:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise _missing("tokenizers") from None
    tokenizer: Any = Tokenizer.from_str(data.decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # in a prompt their names are ordinary text

    def starts(text: str) -> list[int]:
        return [start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets]

    starts("ready")
    return FileRuler(name, starts)


def _sentencepiece(data: bytes, name: str, _pattern: str) -> Ruler:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise _missing("sentencepiece") from None
    processor: Any = SentencePieceProcessor(model_proto=data)

    def starts(text: str) -> list[int]:
        pieces = processor.encode(text, return_type="proto").pieces
        return _characters(text, [piece.begin for piece in pieces])

    try:
        starts("ready")
    except (TypeError, ImportError):  # without this argument, or without protobuf
        raise _missing("sentencepiece") from None
    return FileRuler(name, starts)


def _characters(text: str, offsets: list[int]) -> list[int]:
    """Return rising positions in bytes as positions in characters."""
    if text.isascii():
        return offsets
    raw, found, before, place = text.encode(), [], 0, 0
    for offset in offsets:
        place += len(raw[before:offset].decode("utf-8", "ignore"))
        before = max(before, offset)
        found.append(place)
    return found


def _table(data: bytes, name: str, pattern: str) -> Ruler:
    """Build the encoder of a table: a token in base64 and its rank, a line each."""
    from tiktoken import Encoding

    pairs = (line.split() for line in data.splitlines() if line)
    ranks = {b64decode(token, validate=True): int(rank) for token, rank in pairs}
    most = max(ranks.values())
    if most >= MOST_TOKENS or any(bytes([one]) not in ranks for one in range(256)):
        raise ValueError("bytes without a token, or too many tokens")
    lengths = bytearray(most + 1)
    for token, rank in ranks.items():
        lengths[rank] = min(len(token), LONGEST_TOKEN)
    encoding = Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return TokenRuler(Vocabulary(name, encoding.encode_ordinary, bytes(lengths)))
