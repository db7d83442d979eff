"""Each rule: a conversation that it speaks of, with the evidence, and one that it is silent about."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokentrace import analysis, schema
from tokentrace.analysis import CODES, VERDICTS, Phase, Session, Thresholds, Turn
from tokentrace.analysis.case import case
from tokentrace.analysis.findings import gravity
from tokentrace.errors import InputError
from tokentrace.prompt import CallRecord, Event, Usage
from tokentrace.report.verdicts import figure

ZIGZAG = [4_000, 5_000, 4_500, 5_200, 4_300, 5_100, 4_400, 5_000, 4_600, 5_100, 4_500, 5_000]
RISING = [1_000 + 500 * n for n in range(12)]


def codes(session, **options):
    """Return the codes and levels that a session gets."""
    return {one.code: one.level for one in analysis.judge(session, **options).findings}


def one(session, code, **options):
    """Return the one finding of a code."""
    (found,) = [x for x in analysis.judge(session, **options).findings if x.code == code]
    return found


def test_a_conversation_that_stays_bounded_is_healthy(made):
    """Twelve turns up and down at half the limit get no finding at all."""
    assert analysis.judge(made.talk(ZIGZAG)) == analysis.Judgement("healthy", ())


def test_nothing_is_healthy():
    """A session without turns, or whose turns have no call, is judged too."""
    empty = (Session("s"), Session("s", turns=(Turn(1), Turn(2))))
    assert [analysis.judge(session).verdict for session in empty] == ["healthy", "healthy"]


# ── limits ───────────────────────────────────────────────────────────────────────────────────────


def test_a_prompt_over_the_limit_is_critical(made):
    """What was sent above the limit is named with its turns and the farthest size."""
    session = made.talk([4_000, 10_001, 5_000, 10_400, 5_000])
    found = one(session, "limit.exceeded")
    assert (found.level, found.turns) == ("critical", (2, 4))
    assert found.numbers == {"tokens": 10_400, "limit": 10_000, "count": 2}
    assert "10,400 tokens of 10,000" in found.message
    assert analysis.judge(session).verdict == "critical"


@pytest.mark.parametrize("changes", [
    {"error": 401, "method": "estimated"},
    {"decision": "refuse"},
    {"limit": None},
    {"limit": 10_400},
    {"limit": 83_200, "operation": "embeddings"},
])  # fmt: skip
def test_what_is_not_over_the_limit_for_certain_is_not_exceeded(made, changes):
    """A bound that reaches below the limit, a refused call, a batch and the limit itself are fine."""
    assert "limit.exceeded" not in codes(made.talk([10_400], **changes))


def test_a_prompt_that_the_provider_refuses_for_its_length_is_exceeded(made):
    """Its context-length error says more than what we counted and believed."""
    told = (Event(schema.LIMIT_EXCEEDED, {"tokens": 9_000}),)
    session = made.talk([9_000], error_type="openai.BadRequestError", events=None)
    (turn,) = session.turns
    refused = made.turn(1, 9_000, error_type="openai.BadRequestError")
    call = CallRecord(**{**_fields(refused.main), "events": told})
    session = Session("s", turns=(Turn(1, (call,), main=call),))
    assert turn.main is not None
    assert one(session, "limit.exceeded").turns == (1,)


def _fields(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_an_agent_that_says_it_exceeded_is_believed(made):
    """A log may tell of it without a limit or a size."""
    session = made.talk([500, 600], events={2: [made.event("exceeded")]})
    assert one(session, "limit.exceeded").turns == (2,)


def test_what_the_guard_refused_is_no_excess(made):
    """A refusal without an answer fails; one that another call made good only degrades."""
    lost = made.talk([4_000, 12_000], decision="refuse", events={
        2: [made.event("refused", tokens=12_000, limit=10_000)]})  # fmt: skip
    assert codes(lost)["limit.refused"] == "failing"
    found = one(lost, "limit.refused")
    assert found.numbers == {"refusals": 1, "tokens": 12_000, "limit": 10_000}
    assert found.turns == (2,)
    steps = CallRecord(tokens=4_000, start=1)
    last = CallRecord(tokens=12_000, start=2, decision="refuse")
    event = made.event("refused", tokens=12_000)
    half = Session("s", turns=(Turn(1, (steps, last), main=steps, events=(event,)),))
    assert codes(half)["limit.refused"] == "failing"
    served = made.talk([4_000, 5_000], events={2: [made.event("refused", tokens=12_000)]})
    assert codes(served) == {"limit.refused": "degraded"}


def test_a_finding_of_many_turns_stays_a_sentence(made):
    """Every second turn of a thousand is over the limit: the turns are listed, the message is short."""
    found = one(made.talk([4_000, 10_400] * 500), "limit.exceeded")
    assert len(found.turns) == 500
    assert found.message.startswith("turns 2, 4, 6, 8, 10, 12, 14, … 1000 (500 in all) went over")


def test_a_refusal_inside_a_sub_agent_is_not_the_turns(made):
    """Its caller went on and answered, also where that call had begun before."""
    main = CallRecord(tokens=4_000, start=1, end=9)
    aside = CallRecord(tokens=12_000, start=2, end=2, agent="helper", decision="refuse")
    event = made.event("refused", tokens=12_000)
    session = Session("s", turns=(Turn(1, (main, aside), main=main, events=(event,)),))
    assert codes(session) == {"limit.refused": "degraded"}


def test_coming_near_the_limit_without_doing_anything_fails(made):
    """From high use to the limit nothing was left out, shortened or made smaller."""
    found = one(made.talk([7_000, 8_100, 9_000, 9_600]), "limit.approached")
    assert (found.level, found.turns) == ("failing", (2, 3, 4))
    assert found.numbers == {"utilization": 0.96, "threshold": 0.95}
    assert "turn 4 reached 96.0%" in found.message


@pytest.mark.parametrize("totals", [[7_000, 8_100, 9_400], [7_000, 8_100, 8_000, 9_600], [9_600]])
def test_staying_below_or_going_back_is_no_approach(made, totals):
    """What never came near, fell back on the way, or began there is left alone."""
    assert "limit.approached" not in codes(made.talk(totals))


@pytest.mark.parametrize("kind", ["excluded", "compressed"])
def test_optimisation_on_the_way_is_no_approach(made, kind):
    """An agent that acts has seen it coming."""
    session = made.talk([7_000, 8_100, 9_000, 9_600], events={3: [made.event(kind)]})
    assert "limit.approached" not in codes(session)


def test_high_use_degrades(made):
    """Turns at 80 percent and above are counted, the highest named."""
    found = one(made.talk([7_999, 8_000, 8_500, 5_000]), "utilization.high")
    assert (found.level, found.turns) == ("degraded", (2, 3))
    assert found.numbers == {"utilization": 0.85, "threshold": 0.8}
    assert "2 of 4 turns" in found.message
    assert "85.0% in turn 3" in found.message


def test_low_use_of_a_long_conversation_is_a_note(made):
    """It does not change the verdict; a short one is not even noted."""
    judged = analysis.judge(made.talk([total // 10 for total in ZIGZAG]))
    assert (judged.verdict, [x.code for x in judged.findings]) == ("healthy", ["utilization.low"])
    assert judged.findings[0].numbers["utilization"] == 0.052
    assert codes(made.talk([100, 200])) == {}


def test_low_use_with_exclusions_degrades(made):
    """To leave something out where there is room is a budget that is too small."""
    events = {2: [made.event("low_utilization"), made.event("excluded", "code", 700)]}
    found = one(made.talk([500, 600], events=events), "utilization.low")
    assert (found.level, found.turns) == ("degraded", (2,))
    assert found.numbers["excluded_tokens"] == 700


def test_a_phase_has_expectations(made):
    """Turns of a phase above its share or its total are failing, those of others are not meant."""
    phases = [
        Phase("late", 3, 4, max_total=6_000),
        Phase("early", 1, 2, max_utilization=0.4, max_total=9_000),
    ]
    found = [x for x in analysis.judge(made.talk([3_000, 5_000, 7_000, 6_000]), phases=phases).findings
             if x.code == "phase.exceeded"]  # fmt: skip
    assert [(x.turns, x.numbers) for x in found] == [
        ((2,), {"utilization": 0.5, "expected_utilization": 0.4}), ((3,), {"reached": 7_000, "expected": 6_000})]  # fmt: skip
    assert "phase early" in found[0].message


def test_shares_of_a_phase_are_shown_as_shares(made):
    """The evidence of a share is a percentage, that of tokens a number."""
    phases = [Phase("late", 1, 2, max_utilization=0.9, max_total=9_050)]
    (share, tokens) = (
        x for x in analysis.judge(made.talk([3_000, 9_100]), phases=phases).findings
        if x.code == "phase.exceeded"
    )  # fmt: skip
    assert {name: figure(name, value) for name, value in share.numbers.items()} == {
        "utilization": "91.0%", "expected_utilization": "90.0%"}  # fmt: skip
    assert {name: figure(name, value) for name, value in tokens.numbers.items()} == {
        "reached": "9,100", "expected": "9,050"}  # fmt: skip


def test_the_peak_is_of_what_was_sent_as_the_rules_see_it(made):
    """A refused turn is no peak of a session in which others were sent; alone it is what there is."""
    refused = made.turn(3, 12_000, decision="refuse", error_type="tokentrace.TokenLimitExceeded")
    sent = made.talk([3_000, 9_100, 1])
    mixed = made.joined(sent, t3=refused)
    total = analysis.summary([mixed])
    assert (total.peak, total.peak_turn, total.utilization) == (9_100, 2, 0.91)
    assert total.utilization == case(mixed, analysis.Thresholds()).peak
    alone = analysis.summary([analysis.Session("t", turns=(refused,)), sent])
    assert (alone.peak, alone.peak_turn, alone.utilization) == (12_000, 3, 1.2)


# ── growth ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("limit", "level"), [
    (None, "degraded"), (7_000, "failing"), (10_000, "degraded"), (100_000, "healthy")])  # fmt: skip
def test_a_prompt_that_never_shrinks(made, limit, level):
    """How grave that is depends on how much of the limit is used."""
    found = one(made.talk(RISING, limit=limit), "growth.monotonic")
    assert (found.level, found.turns) == (level, tuple(range(1, 13)))
    assert (found.numbers["first"], found.numbers["last"]) == (1_000, 6_500)
    assert "1,000 to 6,500 tokens" in found.message


@pytest.mark.parametrize("totals", [RISING[:9], [*RISING, 6_400], [500] * 12, RISING[:2]])
def test_short_shrinking_and_level_conversations_are_not_monotonic(made, totals):
    """Nine turns are not long, one step back is one, and what stays level does not grow."""
    assert "growth.monotonic" not in codes(made.talk(totals))


@pytest.mark.parametrize(("limit", "level", "left"), [
    (None, "degraded", None), (8_000, "failing", 3), (6_000, "failing", 0), (20_000, "degraded", 27),
    (90_000, "healthy", 167)])  # fmt: skip
def test_growth_without_bound(made, limit, level, left):
    """It is told with its pace, who grows, and how far the limit is."""
    found = one(made.talk(RISING, limit=limit), "growth.unbounded")
    assert (found.level, found.component) == (level, "history")
    assert found.numbers.get("turns_left") == left
    assert found.numbers["per_turn"] == 500
    assert found.turns == (7, 8, 9, 10, 11, 12)
    assert "history (+2,500)" in found.message


@pytest.mark.parametrize("totals", [
    ZIGZAG, RISING[:9], [*RISING[:8], 3_000, 3_500, 4_000, 4_500],
    [*RISING[:6], *(3_500 + 10 * n for n in range(6))]])  # fmt: skip
def test_growth_with_a_bound(made, totals):
    """Up and down, a short conversation, a compaction and a slow creep are bounded."""
    assert "growth.unbounded" not in codes(made.talk(totals))


def test_phases_say_where_the_build_up_ends(made):
    """Growth that belongs to the build-up is none afterwards."""
    totals = [*RISING, *[6_500, 6_400, 6_600, 6_500]]
    assert "growth.unbounded" not in codes(made.talk(totals), phases={"a": (1, 12), "b": (13, 16)})
    late = codes(made.talk(totals[:12]), phases={"a": (1, 2), "b": (3, 12)})
    assert "growth.unbounded" in late


def test_a_conversation_that_does_not_settle(made):
    """It falls back at times, and still ends far above where the build-up ended."""
    totals = [1_000, 1_500, 2_000, 2_500, 2_900, 3_000, 3_100, 3_000, 4_500, 3_900, 5_000, 5_200]
    found = one(made.talk(totals), "growth.unsettled")
    assert (found.level, found.turns) == ("degraded", (11, 12))
    assert found.numbers == {"before": 3_050, "after": 5_100}
    assert "67.2% more" in found.message


@pytest.mark.parametrize(
    "totals", [ZIGZAG, [*RISING[:6], 3_500, 3_400, 3_600, 3_500, 3_700, 3_600]]
)
def test_a_conversation_that_settles(made, totals):
    """Level after the build-up is what is wanted."""
    assert "growth.unsettled" not in codes(made.talk(totals))


# ── relief ───────────────────────────────────────────────────────────────────────────────────────


def test_high_use_without_compression(made):
    """Three turns of high use are enough for it."""
    found = one(made.talk([5_000, 8_200, 8_100, 8_300]), "compression.missing")
    assert (found.level, found.turns, found.numbers) == ("degraded", (2, 3, 4), {"count": 3})


def test_high_use_with_compression_or_for_a_moment(made):
    """A compression since then, or only two turns, and nothing is missing."""
    totals = [5_000, 8_200, 8_100, 8_300]
    assert "compression.missing" not in codes(made.talk(totals[:3]))
    helped = made.talk(totals, events={4: [made.event("compressed")]})
    assert "compression.missing" not in codes(helped)


def test_compressions_that_save_nothing(made):
    """Two that save a fiftieth are not worth their while."""
    events = {n: [made.event("compressed", "history", 20, before=1_000, after=980)] for n in (2, 3)}
    found = one(made.talk([500] * 4, events=events), "compression.ineffective")
    assert (found.level, found.turns) == ("degraded", (2, 3))
    assert found.numbers == {"before": 2_000, "after": 1_960}
    assert "saved 40 of 2,000" in found.message


@pytest.mark.parametrize(("after", "times", "reason"), [
    (980, 1, ""), (500, 2, ""), (980, 2, schema.BY_GUARD)])  # fmt: skip
def test_compressions_that_help_or_are_few(made, after, times, reason):
    """One is no pattern, half is much, and a callback's pieces are in what the guard tells."""
    event = made.event("compressed", "history", before=1_000, after=after, reason=reason)
    session = made.talk([500] * 4, events={n + 1: [event] for n in range(times)})
    assert "compression.ineffective" not in codes(session)


def test_exclusions_without_relief(made):
    """Left out in three turns of five, and the prompt is as large as before."""
    out = [made.event("excluded", "code", 300)]
    session = made.talk([5_000, 5_100, 5_200, 5_150, 5_300, 5_000], events={2: out, 3: out, 5: out})
    found = one(session, "exclusions.frequent")
    assert (found.level, found.turns) == ("degraded", (2, 3, 5))
    assert found.numbers == {
        "exclusions": 3, "excluded_tokens": 900, "before": 5_000, "after": 5_300}  # fmt: skip


def test_exclusions_that_hold_a_prompt_where_use_is_high(made):
    """Level is not enough there, nor where no limit is known."""
    events = dict.fromkeys((2, 3, 4), (made.event("excluded", "code", 300),))
    for limit in (6_000, None):
        found = one(made.talk([5_000] * 6, events=events, limit=limit), "exclusions.frequent")
        assert found.turns == (2, 3, 4)


@pytest.mark.parametrize(("totals", "where"), [
    ([5_000, 5_100, 4_500, 4_300, 4_000, 4_000], (2, 3, 4)),
    ([5_000] * 6, (2, 3)),
    ([5_000, 5_200, 4_900, 5_100, 5_200, 5_000], (2, 3, 4, 5)),
    ([5_000] * 9, (2, 5, 8)),
    ([500] * 6, (2, 3, 4))])  # fmt: skip
def test_exclusions_that_help_or_are_rare(made, totals, where):
    """A smaller prompt is what they are for; far between or where use is low they say nothing."""
    out = [made.event("excluded", "code", 300)]
    session = made.talk(totals, events=dict.fromkeys(where, out))
    assert "exclusions.frequent" not in codes(session)


# ── content ──────────────────────────────────────────────────────────────────────────────────────


def held(history, **others):
    return {"system": 400, "history": history, "user": 30, **others}


def test_a_context_stripped_to_nothing(made):
    """Late turns in which only instructions and the question are left are failing."""
    session = made.mixed(*[held(900)] * 10, held(20), held(0))
    found = one(session, "context.stripped")
    assert (found.level, found.turns) == ("failing", (11, 12))
    assert found.numbers == {"peak": 900, "least": 0}


@pytest.mark.parametrize("sizes", [
    [900] * 10 + [20, 800], [900] * 10 + [90, 100], [100] * 10 + [0, 0], [900] * 5 + [0, 0]])  # fmt: skip
def test_a_context_that_is_kept(made, sizes):
    """One odd turn, a good summary, a context that never was one, and a short talk are fine."""
    assert "context.stripped" not in codes(made.mixed(*map(held, sizes)))


def test_a_context_stripped_early_and_for_good(made):
    """It need not wait for the second half of the turns; what is held by the provider is not gone."""
    kept = [*[held(900)] * 4, *[held(0)] * 8]
    assert one(made.mixed(*kept), "context.stripped").turns == (7, 8, 9, 10, 11, 12)
    there = {"previous_response.id": "set"}
    assert "context.stripped" not in codes(made.mixed(*kept, settings=there))
    odd = {
        f"t{n}": made.turn(n, 50, components={"user": 50}, operation="embeddings") for n in (11, 12)
    }
    assert "context.stripped" not in codes(made.joined(made.mixed(*[held(900)] * 12), **odd))


@pytest.mark.parametrize("own", ["tool_results", "snippets"])
def test_what_single_turns_look_up_is_no_carried_context(made, own):
    """An agent without a memory looks something up in some turns and not in others."""
    looked_up = [held(0, **{own: 900 if n in {2, 3, 5, 9} else 0}) for n in range(1, 15)]
    assert "context.stripped" not in codes(made.mixed(*looked_up))


@pytest.mark.parametrize("name", ["core_goal", "section.core_goal"])
def test_an_essential_component_that_is_gone(made, name):
    """The goal was there and is missing twice in a row, whatever it was found by."""
    session = made.mixed(held(1, **{name: 60}), held(2, **{name: 60}), held(3), held(4))
    found = one(session, "essential.gone")
    assert (found.level, found.turns, found.component) == ("failing", (3, 4), "core_goal")
    assert found.numbers == {"before": 60, "after": 0}


def test_an_essential_component_that_shrank(made):
    """Less than half of the instructions for two turns is worth a look."""
    parts = [held(1), held(2), {**held(3), "system": 190}, {**held(4), "system": 150}]
    found = one(made.mixed(*parts), "essential.shrunk")
    assert (found.level, found.turns, found.component) == ("degraded", (3, 4), "system")
    assert found.numbers == {"before": 400, "after": 150}
    assert "(37.5%)" in found.message


def test_what_is_not_essential_may_go(made):
    """Neither a component of the agent's own, nor a goal that never was, is missed."""
    session = made.mixed(held(1, memory=500), held(2, memory=500), held(3), held(4))
    assert codes(session) == {}
    judged = codes(session, thresholds=Thresholds(essential=("memory",)))
    assert judged == {"essential.gone": "failing"}


def test_one_call_of_another_shape_is_no_loss(made):
    """A single turn without it, and a turn whose other call has it, lose nothing."""
    goal = held(1, core_goal=60)
    assert codes(made.mixed(goal, goal, held(9), goal)) == {}
    session = made.mixed(goal, *[held(900)] * 3)
    helper = CallRecord(tokens=491, components=goal)
    both = {f"t{n}": Turn(n, (session.turns[n - 1].main, helper), main=session.turns[n - 1].main)
            for n in (2, 3, 4)}  # fmt: skip
    assert codes(made.joined(session, **both)) == {}


@pytest.mark.parametrize("changes", [
    {"operation": "embeddings"}, {"api": "openai.responses"}, {"agent": "summariser"},
    {"settings": {"previous_response.id": "resp_1"}}])  # fmt: skip
def test_turns_of_another_shape_lose_nothing(made, changes):
    """What most turns are decides; others, and prompts that the provider holds, are not measured."""
    goal = held(1, core_goal=60)
    odd = {f"t{n}": made.turn(n, 500, components={"user": 500}, **changes) for n in (3, 4)}
    assert "essential.gone" not in codes(made.joined(made.mixed(*[goal] * 6), **odd))
    same = {f"t{n}": made.turn(n, 500, components={"user": 500}) for n in (3, 4)}
    gone = [
        found.component
        for found in analysis.judge(made.joined(made.mixed(*[goal] * 6), **same)).findings
    ]
    assert {"system", "core_goal"} <= set(gone)


def test_short_questions_are_no_loss(made):
    """The user's input is of any size; only its absence counts."""
    parts = [{**held(1), "user": size} for size in (900, 10, 10, 10)]
    assert codes(made.mixed(*parts)) == {}
    gone = [{**held(1), "user": size} for size in (900, 10, 0, 0)]
    assert one(made.mixed(*gone), "essential.gone").component == "user"


def test_text_that_was_given_a_name_is_no_loss(made):
    """Once sections have names, what was one component is several."""
    parts = [held(1), {**held(1), "system": 50, "section.core_goal": 350}]
    assert codes(made.mixed(parts[0], *[parts[1]] * 3)) == {}


@pytest.mark.parametrize(("total", "level"), [(5_000, "degraded"), (8_500, "failing")])
def test_a_failed_turn(made, total, level):
    """Under pressure a failure is graver than elsewhere, and time-outs are counted."""
    broken = made.turn(3, total, error_type="openai.APITimeoutError")
    found = one(made.joined(made.talk([5_000] * 3), t3=broken), "turn.failed")
    assert (found.level, found.turns) == (level, (3,))
    assert found.numbers == {"count": 1, "under_pressure": int(total > 8_000), "timeouts": 1}


def test_a_call_that_was_tried_again_failed_no_turn(made):
    """The turn got its answer from the next call."""
    broken = CallRecord(tokens=10, error_type="openai.APIConnectionError", start=1)
    turn = made.turn(2, 500)
    session = Session("s", turns=(Turn(2, (broken, turn.main), main=turn.main),))
    assert codes(session) == {}


def test_figures_that_disagree(made):
    """The two figures stand in the finding, the farthest apart, one finding a figure."""
    pair = [made.event("disagreement", "utilization", before=n, after=n + n // 10, reason="total used")
            for n in (100, 200)]  # fmt: skip
    found = one(made.talk([500, 600], events={1: pair[:1], 2: pair[1:]}), "figures.disagree")
    assert (found.level, found.turns, found.component) == ("degraded", (1, 2), "utilization")
    assert found.numbers == {"first": 200, "second": 220}


def test_records_can_say_that_figures_disagree():
    """The event that a reader of logs gives becomes what the rule looks for."""
    told = Event(schema.FIGURES_DISAGREE, {"name": "limit", "before": 5, "after": 7, "reason": "x"})
    (session,) = analysis.sessions([CallRecord(span_id="1", session="s", events=(told,))])
    (event,) = session.turns[0].events
    assert (event.kind, event.name, event.before, event.after) == ("disagreement", "limit", 5, 7)
    assert "figures.disagree" in codes(session)


# ── near misses ──────────────────────────────────────────────────────────────────────────────────

SMALLER = [800, 800, 800, 400, 790, 800]  # half of it stays, and one turn alone is less
NEAR_MISSES = {
    "limit.refused": lambda made: made.talk([4_000, 9_900], decision="compress"),
    "utilization.high": lambda made: made.talk([7_999, 7_999, 7_000]),
    "essential.shrunk": lambda made: made.mixed(*[{"system": size, "history": 900} for size in SMALLER]),
    "essential.gone": lambda made: made.mixed(*[{"system": size, "history": 900} for size in SMALLER]),
    "turn.failed": lambda made: made.talk([5_000] * 3, decision="refuse", error_type="x.Refused"),
    "figures.disagree": lambda made: made.talk([500, 600], events={2: [made.event("warning", "total", 600)]}),
    "phase.exceeded": lambda made: made.talk([4_000, 5_000, 9_000]),
}  # fmt: skip


@pytest.mark.parametrize("code", NEAR_MISSES)
def test_what_is_only_near_is_not_told(made, code):
    """A prompt made smaller, one token below, half a component, a refusal, a warning, all that is expected."""
    phases = [Phase("all", 1, 2, max_utilization=0.5, max_total=5_000)]
    assert code not in codes(NEAR_MISSES[code](made), phases=phases)


# ── verdicts ─────────────────────────────────────────────────────────────────────────────────────


def test_the_gravest_finding_comes_first_and_is_the_verdict(made):
    """Eleven turns of growth over the limit get several findings."""
    judged = analysis.judge(made.talk([1_000 * n for n in range(1, 13)]))
    levels = [gravity(x.level) for x in judged.findings]
    assert levels == sorted(levels, reverse=True)
    assert judged.verdict == judged.findings[0].level == "critical"
    assert {"limit.exceeded", "growth.unbounded", "growth.monotonic"} <= {
        x.code for x in judged.findings}  # fmt: skip


SIZES = st.integers(0, 2**62)
NAMES = st.sampled_from(["system", "user", "history", "section.core_goal", "core_goal", "", "µ"])
CALLS = st.builds(
    CallRecord,
    span_id=st.uuids().map(str),
    session=st.just("s"),
    agent=st.sampled_from(["", "a"]),
    lineage=st.sampled_from(["x", "y"]),
    operation=st.sampled_from(["chat", "embeddings"]),
    turn=st.none() | st.integers(-3, 40),
    start=SIZES,
    tokens=SIZES,
    error=st.integers(0, 2**40),
    limit=st.none() | SIZES,
    components=st.dictionaries(NAMES, SIZES, max_size=4),
    decision=st.sampled_from(["", "ok", "warn", "compress", "refuse"]),
    error_type=st.sampled_from(["", "TimeoutError"]),
    usage=st.builds(Usage, input=st.none() | SIZES),
    events=st.lists(
        st.builds(
            Event,
            st.sampled_from(sorted(schema.EVENTS)),
            st.dictionaries(
                st.sampled_from(["tokens", "before", "after", "limit", "error", "name"]), SIZES
            ),
        ),
        max_size=3,
    ).map(tuple),
)
LIMITS = st.builds(
    Thresholds,
    long=st.integers(1, 12),
    persistent=st.integers(1, 4),
    exclusions=st.integers(1, 4),
    growth=st.floats(0, 5),
    shrunk=st.floats(0, 1),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CALLS, max_size=25), LIMITS, st.booleans())
def test_whatever_was_recorded_gets_a_verdict(calls, thresholds, phased):
    """Nothing raises; the verdict is the worst level; codes and turns are known."""
    phases = {"a": (1, 4), "b": (5, 40)} if phased else ()
    for session in analysis.sessions(calls):
        judged = analysis.judge(session, thresholds, phases)
        levels = [found.level for found in judged.findings]
        assert judged.verdict == max(levels, key=VERDICTS.index, default="healthy")
        numbers = {turn.number for turn in session.turns}
        for found in judged.findings:
            assert found.level in CODES[found.code].levels
            assert set(found.turns) <= numbers
            assert found.remedy
            words = found.message.replace(found.component, "") if found.component else found.message
            assert not re.search(r"[0-9]{4}", words)


# ── thresholds ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("long", [1, 2])
def test_a_conversation_of_two_turns_may_be_called_long(made, long):
    """It does not crash, and two turns still prove no growth."""
    assert codes(made.talk([100, 200]), thresholds=Thresholds(long=long)) == {}


@pytest.mark.parametrize("given", [
    {"long": 0}, {"long": 2.5}, {"long": True}, {"high": -0.1}, {"high": float("nan")}, {"low": "much"},
    {"essential": ["", "x"]}, {"essential": 3}, {"long": 10**9}, {"long": 10**400}, {"high": 10**400}, {"nothing": 1}, {"low": 0.9}])  # fmt: skip
def test_nonsense_is_one_clear_error(given):
    """The name, the source and what would be right are in one line."""
    with pytest.raises(InputError) as caught:
        analysis.thresholds(given, "pyproject.toml")
    text = str(caught.value)
    assert text.startswith("pyproject.toml: ")
    assert "\n" not in text
    assert next(iter(given)) in text


def test_thresholds_are_read_from_texts_and_tables():
    """The command line gives texts, TOML gives numbers and lists."""
    given = {"long": "5", "high": ".7", "near": 1, "essential": "goal, system"}
    known = analysis.thresholds(given)
    assert known == Thresholds(long=5, high=0.7, near=1, essential=("goal", "system"))
    assert analysis.thresholds({"essential": ["goal"]}).essential == ("goal",)
