"""Two runs side by side: who is compared with whom, and what changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokentrace import analysis
from tokentrace.analysis import Phase, Session


def judged(*sessions):
    return [(session, analysis.judge(session)) for session in sessions]


def named(name, *, given=True):
    return Session(name, named=given)


@pytest.mark.parametrize(("before", "after", "pairs", "lost", "new"), [
    (["a", "b"], ["b", "a"], [("b", "b"), ("a", "a")], [], []),
    (["run-1"], ["run-2"], [("run-1", "run-2")], [], []),
    (["x", "run-1", "y"], ["run-2", "y", "run-3"], [("x", "run-2"), ("y", "y"), ("run-1", "run-3")], [], []),
    (["a", "b"], ["a"], [("a", "a")], ["b"], []),
    (["a"], ["a", "c"], [("a", "a")], [], ["c"]),
    ([], ["c"], [], [], ["c"]),
    ([], [], [], [], []),
])  # fmt: skip
def test_sessions_are_paired_by_name_and_then_in_order(before, after, pairs, lost, new):
    """Each run of a scenario has a name of its own, and what has no partner is told."""
    found = analysis.compare(judged(*map(named, before)), judged(*map(named, after)))
    assert [(pair.base.id, pair.session.id) for pair in found.pairs] == pairs
    assert [session.id for session in found.only_before] == lost
    assert [session.id for session in found.only_after] == new


def test_a_lineage_is_no_name():
    """An unnamed session is no namesake of a named one."""
    found = analysis.compare(
        judged(named("x"), named("y")), judged(named("x", given=False), named("x"))
    )
    assert [(pair.base.id, pair.session.named) for pair in found.pairs] == [
        ("y", False),
        ("x", True),
    ]


def by_name(changes):
    return {one.name: (one.before, one.after) for one in changes}


def test_what_changed_is_told_by_figure_component_and_phase(made):
    """Means and peaks before and after, by hand."""
    old = made.mixed({"system": 100, "history": 300}, {"system": 100, "history": 500}, limit=1_000)
    new = made.mixed({"system": 100, "history": 900}, {"system": 100, "memory": 60}, limit=1_000)
    phases = [Phase("late", 2, 2), Phase("early", 1, 1), Phase("never", 9, 9)]
    (pair,) = analysis.compare(judged(old), judged(new), phases).pairs
    totals = by_name(pair.totals)
    assert totals["mean"] == (500, 580)
    assert totals["peak"] == (600, 1_000)
    assert totals["utilization"] == (0.6, 1.0)
    assert totals["turns"] == (2, 2)
    assert by_name(pair.components) == {
        "history": (400, 450), "system": (100, 100), "memory": (0, 30)}  # fmt: skip
    assert by_name(pair.peaks) == {"history": (500, 900), "system": (100, 100), "memory": (0, 60)}
    assert [one.name for one in pair.components] == ["history", "system", "memory"]
    assert [(one.name, one.before, one.after, one.delta) for one in pair.phases] == [
        ("early", 400, 1_000, 600), ("late", 600, 160, -440), ("never", None, None, None)]  # fmt: skip


def test_the_verdict_and_what_stands_behind_it(made):
    """Findings of one run only, by code and component; the change in a word."""
    old, new = made.talk([8_500, 7_000]), made.talk([8_500, 12_000])
    (pair,) = analysis.compare(judged(old), judged(new)).pairs
    assert (pair.before.verdict, pair.after.verdict, pair.verdict) == (
        "degraded", "critical", "worse")  # fmt: skip
    assert [found.code for found in pair.new] == ["limit.exceeded"]
    assert pair.gone == ()
    (back,) = analysis.compare(judged(new), judged(old)).pairs
    assert (back.verdict, [found.code for found in back.gone]) == ("better", ["limit.exceeded"])
    (same,) = analysis.compare(judged(old), judged(replace(old, id="t"))).pairs
    assert (same.verdict, same.new, same.gone) == ("same", (), ())
    assert {one.delta for one in same.totals} == {0}
