"""Colours of the page: text that can be read, components that can be told apart."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

from tokentrace.report import html
from tokentrace.report.html.colours import SLOTS

CSS = (Path(html.__file__).parent / "page.css").read_text("utf-8")
THEMES = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", CSS)
}
PALETTE = dict(re.findall(r"--c(\d+): (#\w{6});", CSS))
TEXTS = [
    *((text, ground) for text in ("ink", "dim", "link") for ground in ("page", "panel", "mark")),
    *((text, "panel") for text in ("good", "near", "poor", "bad", "limit")),
    *((text, f"{text}-back") for text in ("good", "near", "poor", "bad")),
]

# How a colour is seen: rows of matrices on linear RGB, from Machado, Oliveira and Fernandes (2009).
SEEN = {
    "by most": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "without red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "without green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
}


def linear(colour):
    """Return red, green and blue as linear light."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]


def brightness(colour):
    return sum(
        part * share for part, share in zip(linear(colour), (0.2126, 0.7152, 0.0722), strict=True)
    )


def contrast(one, other):
    """Return the contrast of two colours as WCAG 2 defines it."""
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


def perceived(colour, eyes):
    """Return lightness and two hues (OKLab) of a colour."""
    light = linear(colour)
    red, green, blue = (
        min(1.0, max(0.0, sum(a * b for a, b in zip(row, light, strict=True))))
        for row in SEEN[eyes]
    )
    long = (0.4122 * red + 0.5363 * green + 0.0514 * blue) ** (1 / 3)
    middle = (0.2119 * red + 0.6807 * green + 0.1074 * blue) ** (1 / 3)
    short = (0.0883 * red + 0.2817 * green + 0.6300 * blue) ** (1 / 3)
    return (
        0.2105 * long + 0.7936 * middle - 0.0041 * short,
        1.9780 * long - 2.4286 * middle + 0.4506 * short,
        0.0259 * long + 0.7828 * middle - 0.8087 * short,
    )


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXTS)
def test_text_stands_out(text, ground, theme):
    """Every colour of text has the contrast that WCAG AA asks of small text."""
    assert contrast(THEMES[text][theme], THEMES[ground][theme]) >= 4.5


@pytest.mark.parametrize("eyes", SEEN)
def test_components_can_be_told_apart(eyes):
    """No two colours of the palette come close to one another, for colour-blind readers neither."""
    assert len(PALETTE) == SLOTS
    for one, other in combinations(PALETTE.values(), 2):
        pairs = zip(perceived(one, eyes), perceived(other, eyes), strict=True)
        assert sum((a - b) ** 2 for a, b in pairs) ** 0.5 > 0.08, (one, other)


def test_every_slot_has_its_classes():
    """Each colour can be used by pictures and by boxes, the grey of what is summed up too."""
    for slot in range(SLOTS + 1):
        assert f".f{slot} {{ fill: var(--c{slot}); }}" in CSS
        assert f".b{slot} {{ background: var(--c{slot}); }}" in CSS
