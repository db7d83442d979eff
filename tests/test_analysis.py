"""Records into sessions and turns: whom a call belongs to, what a turn adds up to."""

from __future__ import annotations

import dataclasses
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace import analysis, schema
from tokentrace.analysis import Happening
from tokentrace.prompt import CallRecord, ContextRecord, Event, Usage


def call(start, tokens=100, **changes):
    """Return a call of the session ``s`` that began at ``start``."""
    plain = {
        "span_id": f"{start:016x}",
        "trace_id": f"{start:032x}",
        "start": start,
        "end": start + 1,
        "session": "s",
        "lineage": "main",
        "tokens": tokens,
        "method": "exact",
    }
    return CallRecord(**{**plain, **changes})


def context(start, **changes):
    plain = {"span_id": f"{start:015x}c", "start": start, "end": start + 1, "session": "s"}
    return ContextRecord(**{**plain, **changes})


def only(records):
    """Return the one session of ``records``."""
    (session,) = analysis.sessions(records)
    return session


def numbers(records):
    """Return turn numbers with the starts of their calls."""
    return [(turn.number, [one.start for one in turn.calls]) for turn in only(records).turns]


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


def test_sessions_are_told_apart_by_their_ids_and_come_oldest_first():
    """Two interleaved conversations stay two."""
    found = analysis.sessions([call(1, session="b"), call(2, session="a"), call(3, session="b")])
    assert [(one.id, len(one.calls)) for one in found] == [("b", 2), ("a", 1)]


def test_calls_without_a_session_are_grouped_by_lineage():
    """Unnamed conversations have their lineage, then their trace, then only themselves."""
    records = [
        call(1, session="", lineage="x"),
        call(2, session="", lineage="x"),
        call(3, session="", lineage="", trace_id="t"),
        call(4, session="", lineage="", trace_id="t"),
        call(5, session="", lineage="", trace_id=""),
    ]
    found = analysis.sessions(records)
    assert [(one.id, one.named, len(one.calls)) for one in found] == [
        ("x", False, 2), ("t", False, 2), ("0000000000000005", False, 1)]  # fmt: skip


def test_a_name_and_a_lineage_that_are_equal_stay_two():
    """A conversation called like somebody's lineage does not swallow it."""
    assert len(analysis.sessions([call(1, session="x"), call(2, session="", lineage="x")])) == 2


def test_a_span_read_twice_counts_once():
    """The same file given twice, or a file and its folder, changes nothing."""
    records = [call(1), call(2), context(3)]
    assert analysis.sessions(records * 2) == analysis.sessions(records)


def test_order_of_records_does_not_matter():
    """Exporters and back ends give spans in any order."""
    records = [call(n, turn=n // 3, tokens=n) for n in range(30)] + [context(n) for n in (4, 9)]
    shuffled = random.Random(1).sample(records, len(records))
    assert analysis.sessions(shuffled) == analysis.sessions(records)


def test_agent_and_service_are_those_of_the_main_calls():
    """A session is the main agent's, whichever sub-agent spoke first."""
    records = [
        call(1, turn=1, agent="search", lineage="sub", service="x", trace_id="t"),
        call(2, turn=1, agent="devops", service="y", trace_id="t"),
        call(3, turn=2, agent="devops", service="y"),
    ]
    assert (only(records).agent, only(records).service) == ("devops", "y")


def test_nothing_is_no_session():
    """No records, no sessions, a summary of zeros."""
    assert analysis.sessions([]) == ()
    assert analysis.summary([]) == analysis.Summary()


# ── turns ────────────────────────────────────────────────────────────────────────────────────────


def test_numbers_of_the_agent_are_kept():
    """Turn numbers on spans count, gaps and all."""
    assert numbers([call(1, turn=7), call(2, turn=9), call(3, turn=9)]) == [(7, [1]), (9, [2, 3])]


def test_a_call_outside_any_turn_belongs_to_the_one_before():
    """Where an agent numbers its turns, a call without a number joins the turn going on."""
    records = [call(1, turn=None), call(2, turn=4), call(3), call(4, turn=5)]
    assert numbers(records) == [(4, [1, 2, 3]), (5, [4])]


def test_unnumbered_calls_of_a_lineage_are_turns_in_order():
    """Without numbers each call of the main lineage is a turn."""
    assert numbers([call(5), call(9), call(7)]) == [(1, [5]), (2, [7]), (3, [9])]


def test_a_tool_loop_is_one_turn():
    """A call that goes on with more tool results for the same user text is the same turn."""

    def step(start, user, results):
        return call(start, components={"user": user, "tool_results": results})

    records = [step(1, 9, 0), step(2, 9, 50), step(3, 9, 90), step(4, 9, 90), step(5, 3, 120)]
    assert numbers(records) == [(1, [1, 2, 3]), (2, [4]), (3, [5])]


def test_calls_of_a_sub_agent_belong_to_the_turn_they_happen_in():
    """A lineage inside the main one's time opens no turns."""
    records = [call(1), call(2, lineage="sub", tokens=999), call(3, lineage="sub"), call(4)]
    assert numbers(records) == [(1, [1, 2, 3]), (2, [4])]
    assert [turn.total for turn in only(records).turns] == [100, 100]


def test_turns_go_on_after_compaction_and_in_new_processes():
    """A lineage that begins when the last one has ended carries the numbering on."""
    records = [call(n, lineage=f"process-{n}") for n in range(1, 6)]
    assert [number for number, _ in numbers(records)] == [1, 2, 3, 4, 5]


def process(name, first, *turns, span="", **changes):
    """Return the calls of a process that counts for itself, one for each number of ``turns``."""
    mine = {"lineage": name, "trace_id": span or name, "parent_id": span} | changes
    return [call(first + step, turn=number, **mine) for step, number in enumerate(turns)]


def test_processes_that_each_count_from_1_follow_one_another():
    """Each goes on where the last one ended, with a tool loop or several turns in it."""
    records = process("a", 1, 1, 1) + process("b", 10, 1, 2, 2) + process("c", 20, 1)
    assert numbers(records) == [(1, [1, 2]), (2, [10]), (3, [11, 12]), (4, [20])]


def test_processes_at_the_same_time_have_turns_of_their_own():
    """Spans set them apart; turns are in the order of their beginning."""
    records = process("a", 1, 1, span="p") + process("b", 2, 1, 1, 2, span="q")
    records += process("a", 6, 1, 2, span="p")
    assert numbers(records) == [(1, [1, 6]), (2, [2, 3]), (3, [4]), (4, [7])]


def test_processes_in_one_trace_are_one_turn():
    """A caller that hands down its trace, and no number, says that they belong together."""
    records = process("a", 1, 1, trace_id="t") + process("b", 5, 1, trace_id="t")
    assert numbers(records) == [(1, [1, 5])]


def test_numbers_that_cannot_be_counted_are_the_agents():
    """Two processes that were told turn 1, and then 2, are in those turns."""
    records = process("a", 1, 1) + process("b", 5, 1) + process("c", 9, 2) + process("d", 12, 7)
    assert numbers(records) == [(1, [1, 5]), (2, [9]), (7, [12])]
    assert numbers(records[:2] + records[3:]) == [(1, [1]), (2, [5]), (7, [12])]


def test_a_lineage_on_the_side_counts_for_nothing():
    """Under one span the conversation says in which turn a summary helps."""
    talk = process("talk", 2, 1, 1, span="p", components={"history": 9})
    talk += process("talk", 5, 2, span="p")
    side = process("side", 1, 1, span="p") + process("side", 4, 2, span="p")
    side += process("side", 6, 3, span="p")
    records = [*talk, *side, *process("later", 30, 1)]
    assert numbers(records) == [(1, [1, 2, 3, 4]), (2, [5, 6]), (3, [30])]


def test_agents_that_take_turns_in_a_frameworks_run_are_one_turn():
    """An agent that takes over in a run, without a span around both, serves the same turn."""
    taking_over = [
        call(start, agent=agent, lineage=agent, turn=turn, turn_id=f"r{turn}")
        for start, agent, turn in ((0, "a", 1), (10, "b", 1), (20, "b", 2), (30, "a", 2))
    ]
    assert numbers(taking_over) == [(1, [0, 10]), (2, [20, 30])]
    apart = [dataclasses.replace(one, turn_id="") for one in taking_over[:2]]
    assert numbers(apart) == [(1, [0]), (2, [10])]


def test_agents_of_one_run_are_one_conversation_without_a_name():
    """Lineages that serve the same runs are grouped where nobody named the session."""
    plain = {"session": "", "components": {"history": 1}}
    found = [
        call(0, **plain, agent="a", lineage="l1", turn=1, turn_id="r1"),
        call(10, **plain, agent="b", lineage="l2", turn=1, turn_id="r1"),
        call(20, **plain, agent="a", lineage="l1", turn=2, turn_id="r2"),
        call(30, **plain, agent="c", lineage="l3", turn=1, turn_id="r2"),
        call(40, **plain, agent="d", lineage="l4", turn=1, turn_id="r3"),
        call(50, **plain, agent="e", lineage="l5", turn=1),
    ]
    first, *others = analysis.sessions(found)
    assert (first.id, first.named, first.agent) == ("l1", False, "a")
    assert [[one.agent for one in turn.calls] for turn in first.turns] == [["a", "b"], ["a", "c"]]
    assert [one.id for one in others] == ["l4", "l5"]


def test_an_assembly_follows_its_process():
    """Its number is counted like that of the calls in its trace."""
    records = process("a", 1, 1) + process("b", 5, 1) + [context(4, turn=1, trace_id="b")]
    assert [len(turn.contexts) for turn in only(records).turns] == [0, 1]


def test_total_is_the_largest_input_of_the_main_lineage():
    """Neither a smaller call nor a larger one of a sub-agent makes the total."""
    records = [
        call(1, 500, turn=1),
        call(2, 900, turn=1),
        call(3, 5_000, turn=1, lineage="sub"),
        call(4, 700, turn=2),
    ]
    assert [turn.total for turn in only(records).turns] == [900, 700]


def test_a_refused_prompt_is_no_input():
    """A turn that was shortened and sent has the size that was sent; one never sent its own."""
    refused = call(1, 9_000, turn=1, decision="refuse")
    assert only([refused, call(2, 800, turn=1)]).turns[0].total == 800
    assert only([refused]).turns[0].total == 9_000


def test_delta_and_trend_are_derived_where_the_span_has_none():
    """What one process cannot know is known when all turns are read."""
    turns = only([call(n, size) for n, size in enumerate((10, 25, 25, 5), 1)]).turns
    assert [(turn.delta, turn.trend) for turn in turns] == [
        (None, ""), (15, "increase"), (0, "stable"), (-20, "decrease")]  # fmt: skip


def test_delta_of_the_span_is_taken():
    """The process that knew its previous turn is believed, its unknown words are not."""
    turn = only([call(1, 10), call(2, 90, delta=-4, trend="sideways")]).turns[1]
    assert (turn.delta, turn.trend) == (-4, "decrease")


def test_a_search_before_each_turn_is_not_the_turn():
    """Embeddings have one lineage in all turns, and a compacted conversation has several."""
    found = {"operation": "embeddings", "lineage": "search"}
    talk = [call(10 * n, 900, turn=n, lineage=f"talk {n // 2}") for n in (1, 2, 3)]
    search = [call(10 * n - 5, 20, turn=n, **found) for n in (1, 2, 3)]
    assert [turn.total for turn in only([*talk, *search]).turns] == [900, 900, 900]
    assert [turn.total for turn in only(search).turns] == [20, 20, 20]


def test_numbers_of_a_turn_are_those_of_its_main_call():
    """Limit, share, headroom, components, drift and method come from one call."""
    main = call(1, 80, limit=100, components={"user": 80}, usage=Usage(input=83), method="anchored")
    turn = only([main]).turns[0]
    assert (turn.limit, turn.utilization, turn.headroom) == (100, 0.8, 20)
    assert (turn.reported, turn.drift, turn.components) == (83, 3, {"user": 80})
    assert not turn.exact


@pytest.mark.parametrize(
    ("decisions", "gravest"),
    [(["ok", "warn"], "warn"), (["refuse", "compress"], "refuse"), (["", "off"], "off"),
     (["strange", "ok"], "ok"), ([""], "")],
)  # fmt: skip
def test_decision_is_the_gravest(decisions, gravest):
    """One refused call makes a turn refused, whatever else was sent."""
    records = [call(n, turn=1, decision=decision) for n, decision in enumerate(decisions, 1)]
    assert only(records).turns[0].decision == gravest


# ── assemblies and events ────────────────────────────────────────────────────────────────────────


def test_an_assembly_joins_the_call_it_was_made_for():
    """By its number, by its trace, by time: in this order; after the last call, the last turn."""
    calls = [call(10, turn=1), call(20, turn=2, trace_id="t"), call(30, turn=3)]
    rooms = [context(31, turn=1), context(5, trace_id="t"), context(12), context(40)]
    turns = only([*calls, *rooms]).turns
    assert [[one.start for one in turn.contexts] for turn in turns] == [[31], [5, 12], [40]]


def test_an_assembly_without_a_session_follows_its_trace():
    """An agent that names its session late still has its assembly in it."""
    session = only([call(10, turn=1, trace_id="t"), context(9, session="", trace_id="t")])
    assert len(session.turns[0].contexts) == 1


def test_an_assembly_whose_call_never_came_is_a_turn():
    """What was built and never sent is still shown, with nothing made up."""
    turn = only([call(1, turn=1), context(2, turn=2)]).turns[1]
    assert (turn.main, turn.total, turn.delta, turn.decision) == (None, 0, None, "")


def test_events_are_read_in_order_with_their_numbers():
    """Exclusions, compressions and warnings of a turn, sorted by time."""
    left = {"name": "code", "tokens": 40, "reason": "exceeds available budget"}
    short = {"name": "history", "before": 90, "after": 30}
    high = {"tokens": 85, "error": 2, "limit": 100, "grew": ("history +20", "code +3")}
    room = context(1, turn=1, events=(
        Event(schema.CONTEXT_COMPRESSED, short, 3), Event(schema.COMPONENT_EXCLUDED, left, 2),
        Event("exception", {}, 1)))  # fmt: skip
    main = call(5, turn=1, decision="warn", events=(Event(schema.LIMIT_WARNING, high, 6),))
    assert only([room, main]).turns[0].events == (
        Happening("excluded", "code", 40, reason="exceeds available budget", time=2),
        Happening("compressed", "history", 60, before=90, after=30, time=3),
        Happening("warning", "", 85, 2, limit=100, reason="grew: history +20, code +3", time=6),
    )


def test_what_attributes_say_is_an_event_even_without_one():
    """Sampled or cut-off events: the decision on the span still tells the story."""

    def kinds(**changes):
        record = call(1, **{"limit": 110, **changes})
        return [event.kind for event in only([record]).turns[0].events]

    assert kinds(decision="refuse", error_type="TokenLimitExceeded") == ["refused"]
    assert kinds(decision="warn") == []
    assert kinds(decision="compress", compressed_tokens=10) == ["compressed"]
    assert kinds(error_type="Timeout") == ["failed"]
    assert kinds(decision="ok") == []
    assert kinds(limit=99) == kinds(limit=90, error=9) == ["exceeded"]
    assert kinds(limit=90, operation="embeddings") == ["exceeded"]
    assert kinds(limit=90, error=10) == []


def test_each_call_over_the_limit_is_counted_once():
    """The guard tells of it at the first one only; a turn with its event has no second."""
    event = (Event(schema.LIMIT_EXCEEDED, {"tokens": 100, "limit": 90}),)
    records = [call(1, limit=90, decision="warn", events=event), call(2, limit=90, decision="warn")]
    assert analysis.summary([only(records)]).exceeded == 2


def test_exceeding_is_a_refusal_only_when_it_was_refused():
    """The same event of the guard means two things, told by its decision."""
    event = (Event(schema.LIMIT_EXCEEDED, {"tokens": 100, "limit": 90}),)
    kinds = [
        [one.kind for one in only([call(1, decision=decision, events=event)]).turns[0].events]
        for decision in ("refuse", "warn")
    ]
    assert kinds == [["refused"], ["exceeded"]]


# ── sums ─────────────────────────────────────────────────────────────────────────────────────────


def test_summary_adds_up():
    """Every figure of a summary, by hand."""
    left = Event(schema.COMPONENT_EXCLUDED, {"name": "code", "tokens": 40})
    short = Event(schema.CONTEXT_COMPRESSED, {"name": "history", "before": 90, "after": 30})
    high = Event(schema.LIMIT_WARNING, {"tokens": 90, "limit": 100})
    records = [
        call(1, 50, turn=1, limit=100, usage=Usage(input=52, output=5)),
        call(2, 90, turn=2, limit=100, events=(high,), usage=Usage(input=89, output=6)),
        call(3, 300, turn=3, limit=100, decision="refuse"),
        call(4, 60, turn=3, limit=100, error_type="Timeout"),
        context(2, turn=2, events=(left, left, short)),
    ]
    assert analysis.summary([only(records)]) == analysis.Summary(
        turns=3, calls=4, peak=90, peak_turn=2, utilization=0.9, tokens=200, reported=141,
        output=11, drift=1, increases=1, decreases=1, warnings=1, refusals=1, failures=1,
        exclusions=2, excluded_tokens=80, compressions=1, saved_tokens=60,
    )  # fmt: skip


def test_the_last_turns_of_a_session():
    """Cutting a session keeps its name and its newest turns."""
    session = only([call(n) for n in range(1, 6)])
    assert [turn.number for turn in session.last(2).turns] == [4, 5]
    assert session.last(99) == session


def grouping(turns):
    """Return the CPU seconds of grouping so many turns, processes and assemblies of one session."""
    calls = [call(3 * n, lineage=f"p{n}") for n in range(turns)]
    contexts = [context(3 * n + 1) for n in range(turns)]
    begun = time.thread_time()
    session = only([*calls, *contexts])
    spent = time.thread_time() - begun
    assert len(session.turns) == turns
    return spent


def test_long_sessions_take_linear_time():
    """Eight times as many turns take about eight times as long to group, in one run; not 64 times."""
    assert min(grouping(16_000) / grouping(2_000) for _ in range(3)) < 24


CALLS = st.builds(
    call,
    st.integers(0, 50),
    st.integers(0, 9_999),
    session=st.sampled_from(["", "a", "b"]),
    lineage=st.sampled_from(["", "x", "y"]),
    agent=st.sampled_from(["", "p"]),
    turn=st.none() | st.integers(0, 4),
    decision=st.sampled_from(["ok", "refuse"]),
)


@given(st.lists(CALLS, max_size=20))
def test_every_call_is_in_one_turn_and_every_turn_has_a_main_call(calls):
    """Grouping loses nothing, doubles nothing, and keeps turns in order."""
    found = analysis.sessions(calls)
    inside = sorted(one.span_id for session in found for one in session.calls)
    assert inside == sorted({one.span_id for one in calls})
    for session in found:
        order = [turn.number for turn in session.turns]
        assert order == sorted(set(order))
        assert all(turn.main in turn.calls for turn in session.turns)
