"""What is to hold of the figures, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one figure of one row.

    Attributes:
        work: what is measured, as in the table.
        row: the row's name.
        figure: its figure's name.
        bound: the largest value that meets it; the least where ``least`` is set.
        unit: behind both values.
        beside: other figures of the row to show, by what they are called in the table.
        least: the bound is one from below.
    """

    work: str
    row: str
    figure: str
    bound: float
    unit: str
    beside: tuple[tuple[str, str], ...] = ()
    least: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal beside what was measured.

    Attributes:
        goal: the goal.
        value: the figure; None where it was not measured.
        beside: what is shown with it.
    """

    goal: Goal
    value: float | None
    beside: str

    @property
    def met(self) -> bool:
        """Whether it holds; not of what was not measured."""
        if self.value is None:
            return False
        return self.value >= self.goal.bound if self.goal.least else self.value <= self.goal.bound

    @property
    def verdict(self) -> str:
        """``met``, by how much it is missed, or that it was not measured."""
        if self.value is None:
            return "not measured"
        if self.met:
            return "met"
        goal = self.goal
        if goal.least:
            return f"missed: {plain(self.value / goal.bound)} of it"
        times = f" ({plain(self.value / goal.bound)} ×)" if self.value > 1.05 * goal.bound else ""
        return f"missed by {plain(self.value - goal.bound)} {goal.unit}{times}"

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Work, measured, goal, verdict."""
        goal = self.goal
        said = "–" if self.value is None else f"{plain(self.value)} {goal.unit}"
        bound = f"{'≥' if goal.least else '≤'} {plain(goal.bound)} {goal.unit}"
        return goal.work, f"{said}{self.beside}", bound, self.verdict


def plain(value: float) -> str:
    """Return a figure with three digits, whole from a hundred on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def judged(rows: Rows, goals: tuple[Goal, ...]) -> list[Judged]:
    """Return every goal beside what was measured of it."""
    found = []
    for goal in goals:
        row = rows.get(goal.row, {})
        shown = [f"{name} {plain(row[key])}" for name, key in goal.beside if key in row]
        beside = f" ({', '.join(shown)})" if shown else ""
        found.append(Judged(goal, row.get(goal.figure), beside))
    return found


TIMES = "× official"
CALL = (("ours", "ours_ms"), ("official", "official_ms"), ("floor", "floor_ms"))
LAG = (("CPU without a break, largest", "stretch_ms"), ("longest gap, medians", "gap_ms"))
TURNS = (("ours", "ms"), ("once", "once_ms"))


def calls() -> tuple[Goal, ...]:
    """Return the goals of a call's cost."""
    bounds = ((0, 10, 1.0), (0, 100, 1.0), (0, 1_000, 1.0), (0, 5_000, 1.5))
    bounds += ((2, 10, 1.3), (2, 100, 1.3), (2, 1_000, 1.3))
    return tuple(
        Goal(
            f"call, {size:,} messages, {new or 'nothing'} new; ms of the thread",
            f"call, {size} messages, {new or 'nothing'} new",
            "ratio", bound, TIMES, CALL,
        )
        for new, size, bound in bounds
    )  # fmt: skip


def counting() -> tuple[Goal, ...]:
    """Return the goals of counting a conversation that grows, and of long texts."""
    turns = tuple(
        goal
        for label in ("200K", "1M")
        for goal in (
            Goal(
                f"25 turns to {label} tokens, counting all; ms",
                f"25 turns to {label} tokens, tokentrace",
                "ratio", 1.15, "× encoding once", TURNS,
            ),
            Goal(
                f"25 turns to {label} tokens, litellm over tokentrace",
                f"25 turns to {label} tokens, litellm over tokentrace",
                "ratio", 15, "×", least=True,
            ),
        )
    )  # fmt: skip
    steps = (("unchanged", 0.5, 0.5, 15), ("append", 1, 4, 15), ("middle", 1.5, 5, 15))
    words = {"unchanged": "unchanged", "append": "appended to", "middle": "edited in the middle"}
    texts = tuple(
        Goal(
            f"a text of 4 MB, {kind}, {words[step]}",
            f"4 MB, {kind}", f"{step}_ms", bounds[place], "ms",
        )
        for place, kind in enumerate(("ASCII", "Chinese", "emoji mix"))
        for step, *bounds in steps
    )  # fmt: skip
    tags = tuple(
        Goal(
            f"50 tags over 1 MB, {form}, {kind}",
            f"50 tags, {form}, {kind}", "ratio", 1.3, "× encoding",
        )
        for kind in ("ASCII", "half Chinese")
        for form in ("plain", "nested", "escaped")
    )  # fmt: skip
    return (*turns, *texts, *tags)


GOALS = (
    *calls(),
    *counting(),
    *(
        Goal(
            f"longest wait of a loop that {size} of new text adds, worst kind of text",
            f"loop lag, {size}", "max_ms", 5, "ms", LAG,
        )
        for size in ("1 MB", "4 MB")
    ),
    Goal("1,000 sessions × 25 turns, growth", "1000 sessions of 25 turns", "grown_mb", 50, "MB"),
    Goal(
        "1,000 sessions × 25 turns, a call of the last",
        "1000 sessions of 25 turns", "ratio", 1.1, "× the first",
        (("first ms", "first_ms"), ("last ms", "last_ms")),
    ),
    *(
        Goal(
            f"values on a span, {size:,} messages",
            f"a kept span, {size} messages, tokentrace", "attributes_bytes", 1_000, "bytes",
        )
        for size in (10, 1_000, 5_000)
    ),
    *(
        Goal(
            f"a kept span over an empty one, {size:,} messages",
            f"a kept span, {size} messages, tokentrace", "over_empty_bytes", 1_000, "bytes",
            (("all told", "held_bytes"),),
        )
        for size in (10, 1_000, 5_000)
    ),
    Goal("`import tokentrace`, CPU", "import tokentrace", "added_ms", 30, "ms"),
    Goal("`import tokentrace`, resident", "import tokentrace", "added_mb", 8, "MB"),
    Goal("o200k_base in the wheel", "vocabulary, o200k_base", "wheel_mb", 1.1, "MB"),
    Goal("o200k_base, loading", "vocabulary, o200k_base", "load_ms", 300, "ms"),
)  # fmt: skip


def derived(rows: Rows) -> dict[str, Mapping[str, Any]]:
    """Return the rows with those that follow from rows of different processes."""
    found = dict(rows)
    for label in ("200K", "1M"):
        ours, litellm = (
            rows.get(f"25 turns to {label} tokens, {name}") for name in ("tokentrace", "litellm")
        )
        if ours and litellm:
            ratio = round(litellm["ratio"] / ours["ratio"], 1)
            found[f"25 turns to {label} tokens, litellm over tokentrace"] = {"ratio": ratio}
    for size in ("1 MB", "4 MB"):
        kinds = [row for name, row in rows.items() if name.startswith(f"{size} of ")]
        if kinds:
            stretch = max(row["added_max_ms"] for row in kinds)
            gap = round(max(row["gap_with_ms"] - row["gap_bare_ms"] for row in kinds), 2)
            found[f"loop lag, {size}"] = {
                "max_ms": max(stretch, gap),
                "stretch_ms": stretch,
                "gap_ms": gap,
            }
    return found
