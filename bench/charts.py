"""Line charts as SVG, from figures alone: logarithmic axes, every line named at its end.

Grey text and grid of a middle tone are readable on a light page and on a dark one; no background is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 900, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 280, 46, 50
GREY = "#7d8590"
INK = ("#2f81f7", "#db6d28", "#3fb950", "#a371f7", "#e5534b", "#c69026", "#1b9e9e", "#bf4b8a")
LEADING = 15  # px between two names


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart.

    Attributes:
        name: at its end.
        points: x and y, both above 0.
        ours: drawn thicker.
        dashed: drawn in dashes, e.g. what keeps no content.
        ink: a number of the colour.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    ours: bool = False
    dashed: bool = False
    ink: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes:
        title: with its unit.
        low: its first value.
        high: its last.
        ticks: the values that are written.
        log: logarithmic.
    """

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = True

    def place(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        scale: Callable[[float], float] = math.log10 if self.log else float
        return (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))


def decades(title: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic axis of whole decades that holds the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = tuple(10.0**power for power in range(low, high + 1))
    return Axis(title, ticks[0], ticks[-1], ticks)


def spread(wanted: Sequence[float], low: float, high: float, apart: float) -> list[float]:
    """Return places that lie ``apart`` of each other, in the same order, near those wanted."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    places: list[float] = []
    for index in order:
        at = max(wanted[index], low)
        places.append(max(at, places[-1] + apart) if places else at)
    last = high
    for number in range(len(places) - 1, -1, -1):
        places[number] = min(places[number], last)
        last = places[number] - apart
    found = [0.0] * len(wanted)
    for index, place in zip(order, places, strict=True):
        found[index] = place
    return found


def text(x: float, y: float, words: str, anchor: str = "middle", **more: str) -> str:
    """Return a text."""
    others = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
    fill = "" if "fill" in more else f' fill="{GREY}"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{fill}{others}>{escape(words)}</text>'
    )


def number(value: float) -> str:
    """Return a tick's label."""
    if value >= 1_000_000:
        return f"{value / 1e6:g}M"
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


class Chart:
    """One chart.

    Args:
        title: above it.
        x: the axis below.
        y: the axis at the left.
        lines: what is drawn.
    """

    def __init__(self, title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> None:
        self._title, self._x, self._y, self._lines = title, x, y, lines

    def svg(self) -> str:
        """Return the file's text."""
        body = "\n".join([*self._frame(), *map(self._line, self._lines), *self._names()])
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="12">\n'
            f"<title>{escape(self._title)}</title>\n{body}\n</svg>\n"
        )

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + self._x.place(x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - self._y.place(y) * (HEIGHT - TOP - BOTTOM),
        )

    def _frame(self) -> Iterator[str]:
        left, bottom = self._at(self._x.low, self._y.low)
        right, top = self._at(self._x.high, self._y.high)
        yield text(left, 20, self._title, "start", font_size="15", font_weight="600")
        yield text((left + right) / 2, HEIGHT - 12, self._x.title)
        turned = f"rotate(-90 16 {(top + bottom) / 2:.0f})"
        yield text(16, (top + bottom) / 2, self._y.title, transform=turned)
        grid = f'stroke="{GREY}" stroke-opacity="0.25"'
        for value in self._y.ticks:
            _, y = self._at(self._x.low, value)
            yield f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" {grid}/>'
            yield text(left - 8, y + 4, number(value), "end")
        for value in self._x.ticks:
            x, _ = self._at(value, self._y.low)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" {grid}/>'
            yield text(x, bottom + 18, number(value))

    def _line(self, line: Line) -> str:
        points = " ".join("{:.1f},{:.1f}".format(*self._at(*point)) for point in line.points)
        width = 3.2 if line.ours else 1.7
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        ink = INK[line.ink % len(INK)]
        return f'<polyline points="{points}" fill="none" stroke="{ink}" stroke-width="{width}"{dashes}/>'

    def _names(self) -> Iterator[str]:
        ends = [self._at(*line.points[-1]) for line in self._lines]
        places = spread([y for _, y in ends], TOP, HEIGHT - BOTTOM, LEADING)
        for line, (x, y), place in zip(self._lines, ends, places, strict=True):
            ink = INK[line.ink % len(INK)]
            yield (
                f'<path d="M{x + 3:.1f} {y:.1f} L{x + 16:.1f} {place:.1f} h4" fill="none" '
                f'stroke="{ink}" stroke-opacity="0.6"/>'
            )
            weight = "700" if line.ours else "400"
            yield text(x + 24, place + 4, line.name, "start", fill=ink, font_weight=weight)
