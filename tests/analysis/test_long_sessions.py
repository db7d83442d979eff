"""Sessions of 25 turns stay whole: compaction, interleaving, one process a turn, and all of it at once."""

from __future__ import annotations

import random

import pytest

from tokentrace import analysis, schema
from tokentrace.prompt import CallRecord, ContextRecord, Event

SECOND = 10**9
TURNS = 25
SIZES = [1_000 + 300 * (n % 9) for n in range(1, TURNS + 1)]  # falls back every nine turns


def call(turn, size, /, *, name="s", step=0, at=None, **changes):
    """Return a call of a turn; each turn begins a minute after the one before."""
    start = (turn * 60 + step) * SECOND if at is None else at
    plain = {
        "span_id": f"{name}-{turn}-{step}",
        "trace_id": f"trace-{name}-{turn}",
        "parent_id": f"turn-{name}-{turn}",
        "start": start,
        "end": start + SECOND,
        "session": name,
        "agent": "devops",
        "turn": turn,
        "lineage": f"line-{name}",
        "tokens": size,
        "method": "exact",
        "components": {"system": 100, "history": size - 100},
        "limit": 5_000,
    }
    return CallRecord(**{**plain, **changes})


def room(turn, /, *, name="s", **changes):
    """Return the assembly of a turn, a second before its call, with an exclusion."""
    start = (turn * 60 - 1) * SECOND
    left_out = Event(schema.COMPONENT_EXCLUDED, {"name": "code", "tokens": turn}, start)
    plain = {
        "span_id": f"{name}-{turn}-room",
        "trace_id": f"trace-{name}-{turn}",
        "parent_id": f"turn-{name}-{turn}",
        "start": start,
        "end": start + 1,
        "session": name,
        "agent": "devops",
        "turn": turn,
        "events": (left_out,),
    }
    return ContextRecord(**{**plain, **changes})


def alone(records):
    """Return the one session of shuffled records."""
    (session,) = analysis.sessions(random.Random(3).sample(records, len(records)))
    return session


def whole(session):
    """Whether a session has all turns in order, each with its size, and its own exclusion if any."""
    told = [(turn.number, turn.total) for turn in session.turns]
    own = all(
        event.tokens == turn.number for turn in session.turns for event in turn.of("excluded")
    )
    return told == list(enumerate(SIZES, 1)) and own


def talk(name="s", **changes):
    return [call(turn, size, name=name, **changes) for turn, size in enumerate(SIZES, 1)]


def rooms(name="s", **changes):
    return [room(turn, name=name, **changes) for turn in range(1, TURNS + 1)]


def compacted(turn, name="s"):
    """Return the lineage of a turn in a conversation that is compacted every nine turns."""
    return f"line-{name}-{turn // 9}"


@pytest.mark.parametrize("numbered", [True, False])
def test_compaction_keeps_a_session_whole(numbered):
    """Each compaction begins a new lineage; turns go on, and growth is told across it."""
    records = [
        call(turn, size, lineage=compacted(turn), turn=turn if numbered else None)
        for turn, size in enumerate(SIZES, 1)
    ]
    session = alone(records)
    assert whole(session)
    assert [turn.delta for turn in session.turns[7:10]] == [300, -2_400, 300]
    assert session.turns[8].trend == "decrease"


def test_the_summary_of_a_compaction_is_no_turn():
    """The call that summarises has a lineage of its own, and a larger prompt than its turn."""
    summaries = [
        call(turn, 4_900, step=-2, lineage=f"sum-{turn}", turn=turn, components={"user": 4_900})
        for turn in (9, 18)
    ]
    session = alone(talk() + summaries)
    assert whole(session)
    assert [len(session.turns[n].calls) for n in (7, 8, 17)] == [1, 2, 2]


@pytest.mark.parametrize("numbered", [True, False])
def test_interleaved_sessions_stay_apart(numbered):
    """Three conversations of one process, turn by turn in turns, with their assemblies."""
    changes = {} if numbered else {"turn": None}
    names = ("a", "b", "c")
    records = [one for name in names for one in talk(name, **changes) + rooms(name, **changes)]
    found = analysis.sessions(random.Random(5).sample(records, len(records)))
    assert sorted(session.id for session in found) == list(names)
    assert all(map(whole, found))
    assert all(len(turn.contexts) == 1 for session in found for turn in session.turns)


def test_interleaved_sessions_in_one_trace_stay_apart():
    """One root span over all of them, as a batch has; assemblies know their session."""
    records = [one for name in ("a", "b") for one in
               talk(name, trace_id="batch") + rooms(name, trace_id="batch")]  # fmt: skip
    found = analysis.sessions(records)
    assert [session.id for session in found] == ["a", "b"]
    assert all(map(whole, found))


def test_an_assembly_without_a_session_goes_to_the_call_that_it_was_built_for():
    """In a trace of several sessions it is the next call's under the same span."""
    calls = [one for name in ("a", "b") for one in talk(name, trace_id="batch")]
    built = [one for name in ("a", "b") for one in
             rooms(name, trace_id="batch", session="", turn=None)]  # fmt: skip
    found = analysis.sessions(random.Random(7).sample(calls + built, 100))
    assert [session.id for session in found] == ["a", "b"]
    assert [len(turn.contexts) for session in found for turn in session.turns] == [1] * 50
    assert all(map(whole, found))


def process(turn, /, **changes):
    """Return what a process of one turn knows: its own lineage, and that it counts from 1."""
    return {"lineage": f"process-{turn}", "turn": 1} | changes


def test_one_process_a_turn_is_one_session():
    """Each process counts from 1; their order in time is that of the turns."""
    records = [call(turn, size, **process(turn)) for turn, size in enumerate(SIZES, 1)]
    records += [room(turn, turn=1) for turn in range(1, TURNS + 1)]
    session = alone(records)
    assert whole(session)
    assert [len(turn.contexts) for turn in session.turns] == [1] * TURNS


def test_one_process_a_turn_that_is_told_its_number():
    """What the caller hands down counts, in one trace as in several."""
    for shared in (True, False):
        records = []
        for turn, size in enumerate(SIZES, 1):
            trace = {"trace_id": "root"} if shared else {}
            records.append(call(turn, size, **process(turn, turn=turn), **trace))
            records.append(room(turn, **trace))
        assert whole(alone(records))


def test_one_process_a_turn_with_tool_loops_and_sub_agents():
    """Three calls of the agent and one of a helper in each process are still one turn."""
    records = []
    for turn, size in enumerate(SIZES, 1):
        mine = process(turn)
        records += [call(turn, size - 200 + 100 * step, step=step, **mine) for step in (0, 1, 2)]
        helper = {"agent": "search", "lineage": f"helper-{turn}", "turn": 1}
        records.append(call(turn, 4_800, step=3, components={"user": 4_800}, **helper))
    session = alone(records)
    assert whole(session)
    assert {len(turn.calls) for turn in session.turns} == {4}


def test_a_process_that_died_before_its_call_leaves_a_gap_and_no_shift():
    """Told numbers stay what they are."""
    records = [one for one in talk() if one.turn not in {7, 8}] + rooms()
    session = alone(records)
    assert [turn.number for turn in session.turns] == list(range(1, TURNS + 1))
    assert [turn.number for turn in session.turns if turn.main is None] == [7, 8]
    assert [turn.total for turn in session.turns if turn.main] == [
        size for turn, size in enumerate(SIZES, 1) if turn not in {7, 8}]  # fmt: skip


def test_processes_of_interleaved_sessions_with_compaction():
    """All of it at once: two sessions, a process a turn, compaction, no numbers."""
    records = [
        call(turn, size, name=name, lineage=f"{compacted(turn, name)}-{turn}", turn=None)
        for name in ("a", "b")
        for turn, size in enumerate(SIZES, 1)
    ] + [one for name in ("a", "b") for one in rooms(name, turn=None)]
    found = analysis.sessions(random.Random(9).sample(records, len(records)))
    assert [session.id for session in found] == ["a", "b"]
    assert all(map(whole, found))


def test_a_refused_prompt_that_is_built_again_is_one_turn():
    """The guard stopped the first try; what was sent is the turn's size."""
    tries = [call(turn, 5_900, step=-2, decision="refuse", error_type="tokentrace.TokenLimitExceeded")
             for turn in (9, 20)]  # fmt: skip
    session = alone(talk() + tries)
    assert whole(session)
    assert [turn.number for turn in session.turns if turn.of("refused")] == [9, 20]


def test_unnamed_conversations_of_one_trace_each_have_their_lineage():
    """Without names two conversations of a process are told apart, their assemblies too."""
    records = [one for name in ("a", "b") for one in talk(name, session="", turn=None)]
    records += [one for name in ("a", "b") for one in rooms(name, session="", turn=None)]
    found = analysis.sessions(random.Random(2).sample(records, len(records)))
    assert [(session.id, session.named) for session in found] == [
        ("line-a", False), ("line-b", False)]  # fmt: skip
    assert all(map(whole, found))
