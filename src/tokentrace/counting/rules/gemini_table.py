"""Gemini's numbers: which models count alike, what media cost, and what nobody can know.

``scripts/learn_gemini.py`` shows how families and bounds fit recorded requests with reported usage
(499 requests, 2024-03 to 2026-11; last looked at 2026-11-25). Rates of media up to 2.5 are those of
Google's page "Understand and count tokens" (as noted 2026-11-22; resolutions as remembered), and the
recordings agree: 258 for a small image or a page. Those of 3 are as users report them and as the
recordings show them: 520 to 532 a page, 1,080 to 1,088 an image, 64 to 70 a second of film, and sound
at three quarters of what 2.5 takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from tokentrace import providers

LEARNED = "2026-11-25"
VERTEX = "vertex"


@dataclass(frozen=True, slots=True)
class Media:
    """What media cost a family.

    Attributes:
        image: tokens of a tile or of a whole image, by resolution; ``""`` where none is asked for.
        page: tokens of a page of a PDF.
        audio, video: tokens of a second.
        tiles: large images are cut into tiles.
    """

    image: dict[str, int]
    page: int
    audio: int
    video: int
    tiles: bool = False


EARLIER = Media({"": 258, "low": 64, "medium": 256, "high": 258}, 258, 32, 263, tiles=True)
THREE = Media(
    {"": 1_085, "low": 280, "medium": 560, "high": 1_120, "ultra_high": 2_240}, 530, 25, 66
)


@dataclass(frozen=True, slots=True)
class Family:
    """Models that count alike.

    Attributes:
        match: globs over plain model names.
        form: how tools, calls and results count, see `gemini_forms`.
        turn: tokens of each message, the system's included.
        schema: whether a response schema counts.
        signed: the share of a thought signature that counts; what it may be off by.
        pieces: only signatures in several pieces count, as streams send them.
        keeps: whether signatures of earlier turns count.
        media: rates.
        sure: whether enough was seen to call it learned.
    """

    match: tuple[str, ...]
    form: str
    turn: int = 1
    schema: bool = False
    signed: tuple[float, float] = (1.0, 0.35)
    pieces: bool = False
    keeps: bool = False
    media: Media = EARLIER
    sure: bool = True


HALF = (0.5, 0.6)
NEVER = (0.0, 0.0)
STREAMED = (0.8, 0.3)
# Through the Gemini API, and hosts that nobody knows.
FAMILIES = (
    Family(("gemini-2.0-flash-thinking*",), "python", signed=STREAMED, pieces=True, sure=False),
    Family(
        ("gemini-1.*", "gemini-2.0*", "gemini-pro", "gemini-pro-vision"), "strings", 0, True, NEVER
    ),
    Family(("gemini-2.5*",), "python", signed=STREAMED, pieces=True),
    Family(("gemini-3-*", "gemini-3.0*", "gemini-3.1*"), "tagged", media=THREE),
    Family(("gemini-[3-9]*", "gemini-*latest"), "tagged", keeps=True, media=THREE),
    Family(("gemma-*",), "tagged", sure=False),
    Family(("gemini*",), "tagged", keeps=True, media=THREE, sure=False),
    Family(("*",), "tagged", media=THREE, sure=False),
)
# Vertex AI counts the strings of a request alone, whatever the model.
ON_VERTEX = (
    Family(("gemini-2.5*",), "strings", 0, True, HALF, keeps=True),
    Family(("gemini-3*", "gemini-*latest"), "strings", 0, True, NEVER, media=THREE),
    Family(("gemini-*",), "strings", 0, True, NEVER),
    Family(("*",), "strings", 0, True, NEVER, sure=False),
)

# Gateways pass requests on to Vertex AI as a rule, and to the Gemini API where a model is not there or
# busy: of 22 recorded requests with tools and no call to 2.0, 2.5 and 3 through two gateways 20 were
# counted there, and 3 of 3 to 3.1 by the Gemini API (2026-11-29). No body shows it, so definitions are
# counted in the other form too, and the difference is part of the bound.
GATEWAYS = frozenset({"openrouter", "vercel-gateway"})
DIRECT = frozenset({"", "gemini"})
# What a gateway adds to a call and to a result, ids among them: half of 3 to 50 tokens for a pair.
PASSED, ROUTED = 5, 25
ON_GATEWAYS = (
    Family(
        ("gemini-3.[1-9]*", "gemini-[4-9]*", "gemini-*latest"), "tagged", keeps=True, media=THREE
    ),
    *ON_VERTEX,
)

# A thought signature seals the thoughts themselves: bytes of it that are none, and tokens a byte.
SEAL, SEALED, SEAL_ERROR = 100, 0.28, 12


@dataclass(frozen=True, slots=True)
class Served:
    """What the provider adds.

    Attributes:
        tokens: of its hidden prompt, from Gemini 3 on; before, it is not part of the prompt's count.
        error: ± tokens of what its runs bring in.
        again: the prompt is read again for each run.
    """

    tokens: int
    error: int
    again: bool = True


SERVED = {
    "google_search": Served(0, 150),
    "google_search_retrieval": Served(0, 150),
    "enterprise_web_search": Served(0, 150),
    "google_maps": Served(0, 1_000),
    "code_execution": Served(60, 1_500),
    "url_context": Served(105, 2_500),
    "file_search": Served(420, 2_500),
    "computer_use": Served(0, 3_000),
    # Text that is stored with the provider fills up to a whole window.
    "cached_content": Served(0, 2**20, again=False),
    "previous_interaction_id": Served(0, 2**20, again=False),
}
UNKNOWN = Served(0, 5_000)

# Media of which the body does not tell enough: tokens, and what the truth may be off by.
UNSEEN = {"image": (0, 2_400), "audio": (400, 2_000), "video": (1_500, 18_000), "file": (0, 20_000)}
BYTES_A_PAGE = 40_000
BYTES_A_SECOND = {"audio": 16_000, "video": 250_000}
BYTES_A_TOKEN = 4
TILE = (256, 768)
WHOLE = 384


@lru_cache(maxsize=256)
def family(model: str, provider: str = "") -> Family:
    """Return the family of a model through a provider; a careful guess where nobody knows it."""
    name = providers.plain(model)
    rows: tuple[Family, ...] = ON_VERTEX if VERTEX in provider else FAMILIES
    rows = ON_GATEWAYS if provider in GATEWAYS else rows
    return next(row for row in rows if any(fnmatchcase(name, glob) for glob in row.match))


def elsewhere(model: str, provider: str) -> Family | None:
    """Return the family as which a request that is passed on may be counted too; None for Google."""
    if provider in DIRECT or VERTEX in provider:
        return None
    return family(model, VERTEX if family(model, provider).form != "strings" else "")


def image(width: int, height: int, rates: Media, detail: str = "") -> int:
    """Return the tokens of an image.

    Up to 2.5 one of at most 384 by 384 pixels is one tile; a larger one is cut into squares of two
    thirds of its shorter side, of at least 256 and at most 768 pixels. From 3 on its resolution
    alone decides.
    """
    one = rates.image.get(detail, rates.image[""])
    if not rates.tiles or detail or max(width, height) <= WHOLE:
        return one
    side = min(max(min(width, height) * 2 // 3, TILE[0]), TILE[1])
    return one * math.ceil(width / side) * math.ceil(height / side)


def sealed(size: int) -> int:
    """Return the tokens of the thoughts that a signature of ``size`` bytes seals."""
    return max(0, round((size - SEAL) * SEALED))


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Bound:
    """± ``fixed`` tokens and ``share`` of the total, for one kind of prompt."""

    kind: str
    fixed: int
    share: float


PLAIN = Bound("plain", 1, 0.08)
TOOLS = Bound("tools", 2, 0.07)
LOOP = Bound("loop", 4, 0.09)
NESTED = Bound("nested", 15, 0.30)
# Another maker's model, or one that nobody has seen.
UNSURE = Bound("unsure", 20, 0.30)
