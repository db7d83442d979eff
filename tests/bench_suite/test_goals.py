"""The bench says of every goal whether it holds, and by how much it does not."""

from __future__ import annotations

import itertools

import pytest
from goals import GOALS, Goal, derived, judged, plain

BELOW = Goal("a call", "row", "ratio", 1.0, "× official", (("ours", "ours_ms"),))
ABOVE = Goal("less than a peer", "row", "ratio", 15, "×", least=True)


def verdict(goal, **row):
    return judged({"row": row}, (goal,))[0].verdict


@pytest.mark.parametrize(
    ("goal", "value", "said"),
    [
        (BELOW, 1.0, "met"),
        (BELOW, 1.04, "missed by 0.04 × official"),
        (BELOW, 4.2, "missed by 3.2 × official (4.2 ×)"),
        (ABOVE, 15, "met"),
        (ABOVE, 12, "missed: 0.8 of it"),
    ],
)
def test_a_goal_is_met_or_missed_by_so_much(goal, value, said):
    """The bound itself meets a goal; beyond it the distance is said."""
    assert verdict(goal, ratio=value) == said


def test_what_was_not_measured_is_not_met():
    """A missing row, or one without the figure, is said to be missing."""
    assert judged({}, (BELOW,))[0].verdict == "not measured"
    assert verdict(BELOW, ours_ms=1) == "not measured"
    assert not judged({}, (ABOVE,))[0].met


def test_a_goal_shows_what_it_is_made_of():
    """Figures beside a ratio stand in brackets, those that are there."""
    (one,) = judged({"row": {"ratio": 0.5, "ours_ms": 0.1234}}, (BELOW,))
    assert one.cells == ("a call", "0.5 × official (ours 0.123)", "≤ 1 × official", "met")


def test_peers_of_other_processes_are_compared_by_the_yardstick():
    """How much less than litellm is a ratio of two ratios, each of its own process."""
    rows = {
        "25 turns to 1M tokens, tokentrace": {"ms": 120, "ratio": 1.2},
        "25 turns to 1M tokens, litellm": {"ms": 9_999, "ratio": 24},
    }
    assert derived(rows)["25 turns to 1M tokens, litellm over tokentrace"] == {"ratio": 20}
    assert "25 turns to 200K tokens, litellm over tokentrace" not in derived(rows)


def test_the_worst_kind_of_text_counts_for_the_loop():
    """The longest stretch of ours or what the longest gap grows by, of the text where that is most."""
    rows = {
        "1 MB of prose": {"added_max_ms": 4.5, "gap_bare_ms": 30.0, "gap_with_ms": 32.5},
        "1 MB of base64": {"added_max_ms": 2.0, "gap_bare_ms": 9.0, "gap_with_ms": 15.0},
    }
    lag = {"max_ms": 6.0, "stretch_ms": 4.5, "gap_ms": 6.0}
    assert derived(rows)["loop lag, 1 MB"] == lag
    rows["1 MB of base64"]["added_max_ms"] = 7.0
    assert derived(rows)["loop lag, 1 MB"]["max_ms"] == 7.0
    assert "loop lag, 4 MB" not in derived(rows)


def test_goals_are_named_once():
    """No two goals are of the same work."""
    works = sorted(goal.work for goal in GOALS)
    assert all(one != other for one, other in itertools.pairwise(works))


def test_figures_have_three_digits():
    """Small figures keep three digits, large ones are whole."""
    assert [plain(value) for value in (0.12345, 4.5678, 1234.6)] == ["0.123", "4.57", "1,235"]
