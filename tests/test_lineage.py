"""Lineages: which calls continue one another, and what they say about growth."""

from __future__ import annotations

import time

import pytest

from tokentrace.counting.digests import digest, digests_of
from tokentrace.lineage import Lineages
from tokentrace.lineage.offers import Offers
from tokentrace.prompt import Count, Media, Message, Part, Prompt


def said(role, text, kind="text"):
    return Message(role, (Part(kind, text),))


def chat(*pairs, model="m", tools=()):
    """A prompt from (role, text) pairs."""
    messages = [said(role, text) for role, text in pairs]
    return Prompt("openai.chat", model, messages, tuple(Part("tool", name=name) for name in tools))


SYSTEM = ("system", "You are a helpful assistant that answers briefly.")


def counted(total, limit=None, **components):
    return Count(total, components or {"history": total}, limit=limit)


def test_appended_conversation_is_one_lineage():
    """A prompt that continues another one belongs to its lineage."""
    lineages = Lineages(named=False)
    first = lineages.follow(chat(SYSTEM, ("user", "one")))
    second = lineages.follow(chat(SYSTEM, ("user", "one"), ("assistant", "1"), ("user", "two")))
    assert second is first
    assert len(lineages) == 1


def test_unnamed_conversations_share_more_than_the_system():
    """Two conversations with the same system messages and other users are two lineages."""
    lineages = Lineages(named=False)
    one = lineages.follow(chat(SYSTEM, ("user", "alpha")))
    other = lineages.follow(chat(SYSTEM, ("user", "beta")))
    assert one.id != other.id
    assert lineages.follow(chat(SYSTEM, ("user", "alpha"), ("assistant", "a"))) is one


def test_unnamed_compaction_begins_a_new_lineage():
    """Without a name nothing ties a summary to the messages it replaced."""
    lineages = Lineages(named=False)
    one = lineages.follow(chat(SYSTEM, ("user", "alpha"), ("assistant", "a"), ("user", "beta")))
    assert lineages.follow(chat(SYSTEM, ("user", "summary of it all"))) is not one


def test_clock_in_the_system_prompt_keeps_an_unnamed_lineage():
    """A system prompt that changes with every call does not tear a conversation apart."""
    lineages = Lineages(named=False)
    one = lineages.follow(chat(("system", "now 10:00"), ("user", "u"), ("assistant", "a")))
    again = chat(("system", "now 10:01"), ("user", "u"), ("assistant", "a"), ("user", "v"))
    assert lineages.follow(again) is one


def test_edited_tail_stays_in_its_lineage():
    """A conversation whose last message is asked again in other words goes on."""
    lineages = Lineages(named=False)
    start = [SYSTEM, ("user", "u"), ("assistant", "a")]
    one = lineages.follow(chat(*start, ("user", "left"), ("assistant", "l")))
    lineages.follow(chat(SYSTEM, ("user", "other")))
    assert lineages.follow(chat(*start, ("user", "right"))) is one


def test_longest_prefix_wins():
    """Of two agents' lineages in a session the one that shares more is continued."""
    lineages = Lineages(named=True)
    one = lineages.follow(chat(SYSTEM, ("user", "u"), ("assistant", "a")), turn=1)
    other = lineages.follow(chat(("system", "Check it."), ("user", "u")), turn=1)
    longer = [("system", "Check it."), ("user", "u"), ("assistant", "no")]
    assert lineages.follow(chat(*longer), turn=1) is other
    assert lineages.follow(chat(SYSTEM, ("user", "u"), ("assistant", "a"), ("user", "v"))) is one


@pytest.mark.parametrize(
    "after",
    [
        chat(SYSTEM, ("user", "summary of what was said")),
        chat(("system", "You are a helpful assistant that knows more now."), ("user", "u")),
    ],
    ids=["compacted", "edited-system"],
)
def test_session_survives_compaction_and_edits(after):
    """In a session the same agent, model and tools go on where the messages do not."""
    lineages = Lineages(named=True)
    one = lineages.follow(chat(SYSTEM, ("user", "u"), ("assistant", "a"), ("user", "v")))
    assert lineages.follow(after) is one


@pytest.mark.parametrize("other", [{"agent": "critic"}, {"tools": ("search",)}, {"model": "n"}])
def test_sub_agent_has_its_own_lineage(other):
    """Another agent, model or set of tools in the same session is another lineage."""
    lineages = Lineages(named=True)
    one = lineages.follow(chat(SYSTEM, ("user", "u")), agent="main")
    agent = other.pop("agent", "main")
    two = lineages.follow(chat(SYSTEM, ("user", "check this"), **other), agent=agent)
    assert two is not one


def test_side_call_of_the_same_turn_is_not_the_main_lineage():
    """A summary asked for in the middle of a turn opens otherwise and is another lineage."""
    lineages = Lineages(named=True)
    main = lineages.follow(chat(SYSTEM, ("user", "u")), turn=1)
    side = lineages.follow(chat(("system", "Summarise the following text."), ("user", "x")), turn=1)
    assert side is not main
    assert lineages.follow(chat(SYSTEM, ("user", "u"), ("assistant", "a")), turn=2) is main


def test_turn_total_is_the_largest_call():
    """Delta and trend compare with the largest call of the turn before."""
    line = Lineages(named=True).follow(chat(SYSTEM, ("user", "u")))
    line.note(counted(100), 1)
    line.note(counted(300), 1)
    line.note(counted(200), 1)
    assert line.standing(counted(350), 2).delta == 50
    assert line.standing(counted(350), 2).trend == "increase"
    assert line.standing(counted(250), 2).trend == "decrease"
    assert line.standing(counted(300), 2).trend == "stable"
    assert line.standing(counted(350), 1).delta is None


def test_first_turn_has_no_trend():
    """Where the previous turn is unknown, delta, trend and forecast are unknown too."""
    line = Lineages(named=True).follow(chat(SYSTEM, ("user", "u")))
    standing = line.standing(counted(100, limit=1000))
    assert (standing.delta, standing.trend, standing.forecast) == (None, "", None)


def test_previous_components_are_the_turn_before():
    """Growth is told against the previous turn's largest call, not against this turn's first."""
    line = Lineages(named=True).follow(chat(SYSTEM, ("user", "u")))
    line.note(counted(10, history=10), 1)
    line.note(counted(20, history=20), 2)
    assert line.standing(counted(30), 2).previous == {"history": 10}
    assert line.standing(counted(30), 3).previous == {"history": 20}


def test_forecast_follows_steady_growth():
    """A hundred tokens a turn and three hundred left are three turns."""
    line = Lineages(named=True).follow(chat(SYSTEM, ("user", "u")))
    for number, total in enumerate((500, 600), start=1):
        line.note(counted(total), number)
    assert line.standing(counted(700, limit=1000), 3).forecast == pytest.approx(3.0)


def test_forecast_ignores_what_was_before_a_compaction():
    """After a drop only the growth since then counts, and one step of it is not enough."""
    line = Lineages(named=True).follow(chat(SYSTEM, ("user", "u")))
    for number, total in enumerate((100, 500, 900, 200), start=1):
        line.note(counted(total), number)
    assert line.standing(counted(220, limit=1000), 5).forecast is None
    line.note(counted(220), 5)
    assert line.standing(counted(240, limit=1000), 6).forecast == pytest.approx(38.0)


def test_forecast_needs_growth_and_a_limit():
    """No growth or no limit is no forecast; at the limit it is zero turns."""
    line = Lineages(named=True).follow(chat(SYSTEM, ("user", "u")))
    for number in (1, 2, 3):
        line.note(counted(100 * number), number)
    assert line.standing(counted(400), 4).forecast is None
    assert line.standing(counted(1000, limit=900), 4).forecast == 0.0
    line.note(counted(50), 4)
    line.note(counted(50), 5)
    assert line.standing(counted(50, limit=900), 6).forecast is None


def test_turns_without_numbers_begin_with_a_user_text():
    """A tool's result continues a turn, a new user text begins one, the same call twice does not."""
    lineages = Lineages(named=False)
    first = [SYSTEM, ("user", "yes")]
    line = lineages.follow(chat(*first))
    assert line.turn == 1
    lineages.follow(chat(*first, ("assistant", "call"), ("tool", "result")))
    assert line.turn == 1
    lineages.follow(chat(*first, ("assistant", "call"), ("tool", "result")))
    assert line.turn == 1
    lineages.follow(chat(*first, ("assistant", "call"), ("tool", "result"), ("user", "yes")))
    assert line.turn == 2


def test_results_in_user_messages_begin_no_turn():
    """Anthropic's tool results come as a user's messages and are none of his input."""
    lineages = Lineages(named=False)
    start = [said("user", "go")]
    line = lineages.follow(Prompt("anthropic.messages", "m", start))
    lineages.follow(
        Prompt(
            "anthropic.messages", "m", [*start, said("assistant", "x"), said("user", "r", "result")]
        )
    )
    assert line.turn == 1


def test_lineages_are_bounded_and_evictions_counted():
    """The lineage not used for longest goes; its id is never given again."""
    lineages = Lineages(named=False, most=8)
    ids = {lineages.follow(chat(SYSTEM, ("user", f"u{n}"))).id for n in range(50)}
    assert len(ids) == 50
    assert len(lineages) == 8
    assert lineages.evicted == 42
    assert len(lineages._starts) == 8


def test_idle_lineages_expire(monkeypatch):
    """What nobody used for the idle time is forgotten at the next call."""
    lineages = Lineages(named=False, idle=100.0)
    lineages.follow(chat(SYSTEM, ("user", "u")))
    now = time.monotonic()
    monkeypatch.setattr("tokentrace.lineage.time.monotonic", lambda: now + 101)
    lineages.follow(chat(SYSTEM, ("user", "v")))
    assert (len(lineages), lineages.evicted) == (1, 1)


def test_many_turns_keep_a_bounded_history():
    """A lineage of a thousand turns holds the last 32, with components for 16."""
    line = Lineages(named=True).follow(chat(SYSTEM, ("user", "u")))
    for number in range(1, 1001):
        line.note(counted(number), number)
    assert [turn.number for turn in line.turns] == list(range(969, 1001))
    assert sum(bool(turn.components) for turn in line.turns) == 16


def test_digest_tells_messages_apart():
    """Role, name, text, ids and an image's size change the digest; an equal message has the same."""
    base = Message("user", (Part("text", "hi"),))
    different = [
        Message("assistant", (Part("text", "hi"),)),
        Message("user", (Part("text", "hi"),), name="bob"),
        Message("user", (Part("text", "ho"),)),
        Message("user", (Part("text", "hi", id="1"),)),
        Message("user", (Part("image", "hi", data=Media(1, 2)),)),
    ]
    assert digest(base) == digest(Message("user", (Part("text", "hi"),)))
    assert len({digest(base), *map(digest, different)}) == 6


def test_odd_data_is_no_error():
    """A part whose data cannot be hashed still has a digest."""
    assert len(digest(Message("user", (Part("tool", data={"a": []}),)))) == 8


def test_empty_prompts_are_no_error():
    """A body without messages has a lineage like any other."""
    lineages = Lineages(named=False)
    assert lineages.follow(Prompt("openai.chat")).id
    assert lineages.follow(chat(SYSTEM)).turn == 1


def test_unchanged_thousand_messages_cost_little():
    """Following a prompt of 1,000 known messages costs under a millisecond (0.1 on a quiet core)."""
    messages = [said("user" if n % 2 else "assistant", f"message {n} " * 20) for n in range(1000)]
    prompt = Prompt("openai.chat", "m", messages)
    lineages = Lineages(named=True)
    lineages.follow(prompt)
    best = min(_seconds(lineages, prompt) for _ in range(20))
    assert best < 0.001
    assert len(digests_of(messages)) == 8000


def _seconds(lineages, prompt):
    start = time.process_time()
    lineages.follow(prompt)
    return time.process_time() - start


def test_tools_are_idle_from_when_they_were_offered_without_a_gap():
    """What was called once is not, nor what is offered anew; of a thousand tools the first 256 are known."""
    offers = Offers()
    sizes = {"logs": 40, "metrics": 60}
    for turn in range(1, 4):
        offers.note(sizes, (), turn)
    assert offers.idle(sizes, (), 6, 5) == (100, 5)
    assert offers.idle(sizes, ("logs",), 6, 5) == (60, 5)
    assert offers.idle({**sizes, "new": 9}, (), 6, 5) == (100, 5)
    assert offers.idle(sizes, (), 5, 5) == (0, 4)
    offers.note(sizes, ("logs", "unknown"), 4)
    assert offers.idle(sizes, (), 6, 5) == (60, 5)
    offers.note({"logs": 40}, (), 5)
    offers.note(sizes, (), 6)
    assert offers.idle(sizes, (), 8, 2) == (60, 2)
    offers.note([f"tool {n}" for n in range(1_000)], (), 9)
    assert len(offers.since) == 256
    assert offers.called == frozenset()
