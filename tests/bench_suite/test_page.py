"""Tables and charts come from the figures alone."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import charts
import page
import pytest
from charts import Axis, Chart, Line, decades, spread

FOUND = {
    "date": "2026-11-30",
    "python": "3.11.7",
    "cores": 2,
    "load": "1.0",
    "quick": True,
    "versions": {"openai": "3.57.0"},
    "missing": {},
    "rows": {
        "call, 10 messages, nothing new": {"ratio": 0.9, "ours_ms": 0.1},
        "a call with tokentrace": {
            "10": 0.1, "100": 0.2, "1000": 0.3, "5000": 0.4, "later": 0.11,
        },
        "a call with OpenLLMetry": {"10": 0.8, "100": 1.5, "1000": 6.6, "5000": 37.6},
        "25 turns to 1M tokens, tokentrace": {
            "ms": 25, "ratio": 1.1,
            "by_turn_ms": [float(n) for n in range(1, 26)],
            "once_by_turn_ms": [n / 2 for n in range(1, 26)],
        },
    },
}  # fmt: skip


def test_a_page_keeps_what_stands_outside_of_the_markers():
    """Only the text between the markers changes."""
    old = "before\n<!-- cost: begin -->\nold\n<!-- cost: end -->\nafter\n"
    new = page.between(old, "cost", "new")
    assert new == "before\n<!-- cost: begin -->\n\nnew\n\n<!-- cost: end -->\nafter\n"
    with pytest.raises(SystemExit, match="other: begin"):
        page.between(old, "other", "new")


def test_the_docs_have_every_goal_and_row():
    """The block holds the goals, met, missed or not measured, and the rows that there are."""
    made = page.block(FOUND)
    assert (
        "| call, 10 messages, nothing new; ms of the thread | 0.9 × official (ours 0.1) |" in made
    )
    assert made.count("| not measured |") == len(page.GOALS) - 1 - 1
    assert "| OpenLLMetry | yes | 0.8 | 1.5 | 6.6 | 37.6 | – |" in made
    assert "| tokentrace | no | 0.1 | 0.2 | 0.3 | 0.4 | 0.11 |" in made
    assert "logfire" not in made


def test_the_shipped_page_has_the_markers():
    """The command finds its place in the page."""
    assert page.between(page.PAGE.read_text(encoding="utf-8"), "cost", "x")


@pytest.mark.parametrize("draw", [page.call_chart, page.count_chart])
def test_a_chart_names_every_line(draw):
    """A chart is well-formed, every line has points inside the picture, and a name."""
    root = ET.fromstring(draw(FOUND))
    lines = [node.get("points") for node in root.iter() if node.tag.endswith("polyline")]
    words = {"".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")}
    assert len(lines) == 2
    assert "tokentrace" in words
    for pair in (pair for points in lines for pair in points.split()):
        x, y = map(float, pair.split(","))
        assert charts.LEFT <= x <= charts.WIDTH - charts.RIGHT
        assert charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM


def test_names_do_not_overlap():
    """Places lie apart, in their order, within the picture; those that fit stay where they are."""
    assert spread([100, 10, 50], 0, 200, 15) == [100, 10, 50]
    close = spread([100, 99, 101], 0, 105, 15)
    assert sorted(close) == [75, 90, 105]
    assert close[1] < close[0] < close[2]


def test_axes_are_logarithmic_where_asked():
    """A decade takes the same length anywhere; a plain axis takes its values as they are."""
    axis = decades("ms", [0.3, 42])
    assert (axis.low, axis.high, axis.ticks) == (0.1, 100, (0.1, 1, 10, 100))
    assert axis.place(1) == pytest.approx(1 / 3)
    assert Axis("turn", 1, 25, (1, 25), log=False).place(13) == 0.5


def test_words_are_escaped():
    """A name with signs of XML stays a name."""
    line = Line("a < b & c", ((1, 1), (10, 10)))
    axis = decades("x", [1, 10])
    root = ET.fromstring(Chart("t", axis, axis, [line]).svg())
    assert "a < b & c" in {node.text for node in root.iter()}
