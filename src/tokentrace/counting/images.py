"""Tokens of an image by its size, as OpenAI publishes them and as recorded requests correct them.

Constants from OpenAI's page "Images and vision" (read 2026-11-22). Recorded requests (2026-11-25):
all 11 of tile models with the image in the body are exact, among them gpt-4o, gpt-4o-mini, gpt-4.1
and gpt-5. The multipliers of the gpt-5 family's patch models contradict the page, see `MODELS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SIDE = 32
TILE = 512
LONGEST = 2048
SHORTEST = 768
DEFAULT = (1024, 1024)


@dataclass(frozen=True, slots=True)
class Tiles:
    """``base`` tokens and ``tile`` for each 512-pixel tile after fitting into 2048 by 768."""

    base: int
    tile: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        """Return the tokens of one image."""
        if detail == "low":
            return self.base
        scale = min(1.0, LONGEST / max(width, height))
        wide, high = width * scale, height * scale
        scale = min(1.0, SHORTEST / min(wide, high))
        across, down = math.ceil(wide * scale / TILE), math.ceil(high * scale / TILE)
        return self.base + self.tile * across * down


@dataclass(frozen=True, slots=True)
class Patches:
    """``factor`` tokens for each 32-pixel patch, after fitting into ``budget`` patches."""

    factor: float
    budget: int = 1536

    def tokens(self, width: int, height: int, detail: str) -> int:
        """Return the tokens of one image."""
        if detail == "low":
            scale = min(1.0, TILE / max(width, height))
            width, height = math.ceil(width * scale), math.ceil(height * scale)
        return math.ceil(self.patches(width, height) * self.factor)

    def patches(self, width: int, height: int) -> int:
        """Return the patches of an image that is shrunk until the budget holds it."""
        count = math.ceil(width / SIDE) * math.ceil(height / SIDE)
        if count <= self.budget:
            return count
        scale = math.sqrt(SIDE * SIDE * self.budget / (width * height))
        across, down = width * scale / SIDE, height * scale / SIDE
        scale *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
        fitted = math.ceil(width * scale / SIDE) * math.ceil(height * scale / SIDE)
        return min(self.budget, fitted)


# The page says 1.62 for gpt-5-mini, 2.46 for the nano models and 1 for gpt-5.4. Recorded are 1.2 for
# gpt-5-mini (3 requests, one picture) and gpt-5.4 (2 requests), 1.5 for gpt-5-nano (2 requests, one
# picture) and gpt-5.4-nano (1); gpt-5.4-mini follows its siblings. In most the picture is a
# well-known one by URL. 1.72 and gpt-4.1-nano's 2.46 fit one request each.
MODELS: tuple[tuple[str, Tiles | Patches], ...] = (
    ("gpt-4o-mini", Tiles(2833, 5667)),
    ("gpt-4.1-mini", Patches(1.62)),
    ("gpt-4.1-nano", Patches(2.46)),
    ("o4-mini", Patches(1.72)),
    ("gpt-5-mini", Patches(1.2)),
    ("gpt-5-nano", Patches(1.5)),
    ("gpt-5.4-mini", Patches(1.2)),
    ("gpt-5.4-nano", Patches(1.5)),
    ("gpt-5.5", Patches(1.2, 10_000)),
    ("gpt-5.6", Patches(1.2, 10**6)),
    ("gpt-5.", Patches(1.2, 2500)),
    ("gpt-5", Tiles(70, 140)),
    ("computer-use", Tiles(65, 129)),
    ("o1", Tiles(75, 150)),
    ("o3", Tiles(75, 150)),
    ("", Tiles(85, 170)),
)


def tokens(model: str, width: int, height: int, detail: str) -> int:
    """Return the tokens of an image; an unknown size (0) is taken for 1024 by 1024."""
    if width <= 0 or height <= 0:
        width, height = DEFAULT
    return _rule(model).tokens(width, height, detail)


def patched(model: str) -> bool:
    """Whether a model sees patches rather than tiles."""
    return isinstance(_rule(model), Patches)


def _rule(model: str) -> Tiles | Patches:
    return next(rule for prefix, rule in MODELS if model.startswith(prefix))
