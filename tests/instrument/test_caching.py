"""Who broke the cached prefix, as a provider with a cache of its own lets it be known."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import pytest

import caches
import houses
import tokentrace
from caches import BREAKS, Talk
from houses import HOUSES, NOTHING, session, told
from tokentrace.instrument import caching

pytestmark = pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning")


@pytest.fixture
def clock():
    """Return the clock by which prefixes are kept, here and there."""
    with houses.own_time() as made:
        yield made


@contextmanager
def house(name, clock):
    """Give a provider, a call of it, and a list of what calls turned out to be."""
    with ExitStack() as stack:
        try:
            given = stack.enter_context(houses.house(name, clock))
        except ImportError as why:
            pytest.skip(str(why))
        yield given


@pytest.mark.parametrize("name", HOUSES)
def test_the_component_that_broke_the_prefix_is_named(name, clock):
    """In at least 99 of 100 sessions, and no call that continues the last one is blamed."""
    wrong, sessions = [], 0
    with house(name, clock) as (provider, call, seen):
        for seed in range(2 * len(BREAKS)):
            break_ = BREAKS[seed % len(BREAKS)]
            mine, others = session(
                *(seed, call, seen, clock),
                lambda talk, how=break_: getattr(talk, how)(),
                turns=provider.turns,
            )
            sessions += 1
            wrong += [(break_, *mine)] if mine[0] != mine[1] else []
            wrong += [(break_, seed, one) for one in others if one != NOTHING]
    assert len(wrong) <= sessions // 100, wrong


@pytest.mark.parametrize("name", HOUSES)
@pytest.mark.parametrize("how", houses.LOSSES)
def test_nobody_is_blamed_for_what_the_provider_lost(name, how, clock):
    """A prefix that is evicted, elsewhere or too old is not read: no component broke it."""
    with house(name, clock) as (provider, call, seen):

        def lose(_):
            houses.lose(how, provider, clock)
            return True

        mine, others = session(3, call, seen, clock, lose, turns=provider.turns)
        knows = name != "gemini" and how == "expired"
        assert mine[1] == ("", "expired" if knows else "missed")
        assert set(others) == {NOTHING}


def test_what_differs_behind_what_was_lost_is_not_blamed(clock):
    """Everything was lost, and the end of the history changed: less was read than that explains."""
    with house("openai", clock) as (provider, call, seen):

        def lose(talk):
            provider.cache.evict()
            talk.messages[-3][1] = caches.passage(talk.rng, 6)
            return True

        mine, _ = session(4, call, seen, clock, lose, turns=8)
    assert mine[1] == ("", "missed")


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_another_model_leaves_all_unread(name, clock):
    """The reason is told, and no component is."""
    with house(name, clock) as (provider, call, seen):

        def other(_):
            provider.model += "-mini" if name == "openai" else "-20250929"
            provider.cache.evict()
            return True

        mine, others = session(5, call, seen, clock, other)
    assert mine[1] == ("", "model_switched")
    assert set(others) == {NOTHING}


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("tool_choice", {"tool_choice": {"type": "any"}}, "tool_choice_switched"),
        ("thinking", {"thinking": {"type": "adaptive"}}, "thinking_switched"),
    ],
)
def test_a_setting_that_leaves_the_messages_unread_is_told(name, more, reason, clock):
    """Definitions and system text are read all the same, and none is blamed."""
    del name
    with house("anthropic", clock) as (provider, call, seen):
        provider.switch = "thinking" if "thinking" in more else "tool_choice"
        talk = Talk.start(6, 6)
        for number in range(4):
            talk.ask()
            call(talk, **(more if number == 3 else {}))
            talk.answer()
    assert [(one.cache_broken_by, one.cache_reason) for one in seen.calls] == [NOTHING] * 3 + [
        ("", reason)
    ]
    assert seen.calls[-1].cached["tools"] == seen.calls[-1].components["tools"]


def test_a_prompt_that_became_too_short_is_told(clock):
    """The history was dropped, and what is left is below the provider's minimum."""
    with house("openai", clock) as (_, call, seen):
        talk = Talk.start(7, 6)
        talk.sections, talk.tools = {"core_goal": "Keep the payments service up."}, talk.tools[:1]
        with tokentrace.session("short"):
            for number in range(4):
                if number == 3:
                    del talk.messages[:-2]
                talk.ask()
                call(talk)
                talk.answer()
    assert seen.calls[-1].usage.input < 1_024 < seen.calls[-2].usage.cache_read
    assert told(seen) == ("", "below_minimum")


def test_a_component_named_in_code_is_the_breaker(clock):
    """What `tag` names is blamed under that name, wherever in a message it stands."""
    with house("openai", clock) as (_, call, seen):
        talk = Talk.start(8)
        talk.sections = {name: text * 2 for name, text in talk.sections.items()}
        for number in range(3):
            note = f"{number} things are remembered: {caches.passage(talk.rng, 8)}"
            held = tokentrace.tag("memory", note)
            talk.sections["open_tasks"] = held
            talk.ask()
            call(talk)
            talk.answer()
    assert [one.cache_broken_by for one in seen.calls] == ["", "memory", "memory"]
    assert seen.calls[-1].cached["section.core_goal"] > 100
    assert "tools" not in seen.calls[-1].cached


# ── what was read ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", HOUSES)
def test_what_was_read_is_shared_out_among_the_components(name, clock):
    """It adds up to what was reported, save what the smallest held, and none has more than its size."""
    with house(name, clock) as (provider, call, seen):
        talk = Talk.start(9, provider.turns)
        talk.sections = dict(list(talk.sections.items())[:2])  # few enough for all to be told
        for _ in range(4):
            talk.ask()
            call(talk)
            talk.answer()
    assert seen.calls[0].cached == {}
    for one in seen.calls[1:]:
        read = one.usage.cache_read
        explained = min(read, round(read * one.tokens / one.usage.input))
        assert sum(one.cached.values()) == explained > 0
        assert all(tokens <= one.components[name] for name, tokens in one.cached.items())
        assert one.cached["tools"] == pytest.approx(one.components["tools"], rel=0.02)
        assert "user" not in one.cached or one.cached["user"] < one.components["user"]


def test_only_what_is_marked_is_read(clock):
    """Of a prompt whose system text alone is marked nothing behind it was read."""
    with house("anthropic", clock) as (provider, call, seen):
        request = provider.request

        def marked(talk, **more):
            body = request(talk, **more)
            body["messages"][-1]["content"][0].pop("cache_control")
            return body

        provider.request = marked
        talk = Talk.start(10, 6)
        for _ in range(3):
            talk.ask()
            call(talk)
            talk.answer()
    last = seen.calls[-1]
    assert last.cached["tools"] == pytest.approx(last.components["tools"], rel=0.2)
    assert last.cached.get("history", 0) < 0.25 * last.components["history"]
    assert last.usage.cache_read == seen.calls[-2].usage.cache_read


# ── bad input ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cached", [None, -5, 10**12, "many", 1.5, True, "absent"])
def test_numbers_that_cannot_be_claim_nothing(cached, clock, monkeypatch):
    """Without cached tokens, or with absurd ones, no share and no breaker is told."""

    def odd(total, _read, _written=None):
        usage = {"prompt_tokens": total, "completion_tokens": 7, "total_tokens": total}
        return (
            usage
            if cached == "absent"
            else usage | {"prompt_tokens_details": {"cached_tokens": cached}}
        )

    monkeypatch.setattr(caches, "chat_usage", odd)
    with house("openai", clock) as (_, call, seen):
        mine, others = session(11, call, seen, clock, Talk.changed_tools)
    assert {mine[1], *others} == {NOTHING}
    assert all(one.cached == {} for one in seen.calls)


def test_a_provider_that_never_reads_is_broken_by_nobody(clock):
    """Where nothing was read although nothing had changed, a change later breaks nothing."""
    with house("openai", clock) as (provider, call, seen):
        provider.cache.life = -1.0
        mine, others = session(17, call, seen, clock, Talk.changed_tools)
    assert {mine[1], *others} == {NOTHING}


def test_of_a_model_whose_prompts_are_never_kept_nothing_is_claimed(clock):
    """Its section changes in each call, and nothing is read, as nothing ever would be."""
    with house("openai", clock) as (provider, call, seen):
        provider.model, provider.cache.life = "gpt-4-turbo", -1.0
        talk = Talk.start(22, 4)
        for _ in range(4):
            talk.changed_section()
            talk.ask()
            call(talk)
            talk.answer()
    assert {(one.cache_broken_by, one.cache_reason) for one in seen.calls} == {NOTHING}
    assert {one.usage.cache_read for one in seen.calls} == {0}


def test_a_single_call_and_calls_without_usage_claim_nothing(clock):
    """There is nothing to compare with, or nothing was told."""
    with house("openai", clock) as (_, call, seen):
        call(Talk.start(12))
        assert told(seen) == NOTHING
        assert seen.calls[-1].cached == {}


def test_sessions_that_interleave_are_compared_each_with_itself(clock):
    """Of two conversations in turns, one loses its oldest messages: the other is not blamed."""
    with house("openai", clock) as (_, call, seen):
        talks = {name: Talk.start(seed, 4) for seed, name in ((13, "one"), (14, "other"))}
        for number in range(5):
            for name, talk in talks.items():
                if name == "one" and number == 3:
                    del talk.messages[:2]
                talk.ask()
                with tokentrace.session(name):
                    call(talk)
                talk.answer()
    blamed = [(one.session, one.cache_broken_by) for one in seen.calls if one.cache_broken_by]
    assert blamed == [("one", "history")]


@pytest.mark.parametrize("name", HOUSES)
def test_another_conversation_of_the_same_agent_breaks_nothing(name, clock):
    """In a session a sub-agent begins later, with the same definitions and system text."""
    with house(name, clock) as (provider, call, seen):
        one, other = Talk.start(18, provider.turns), Talk.start(19, provider.turns)
        other.sections, other.tools = one.sections, one.tools
        with tokentrace.session("both"):
            for number in range(7):
                for talk in (one, other) if number > 2 else (one,):
                    talk.ask()
                    call(talk)
                    talk.answer()
    assert {(one.cache_broken_by, one.cache_reason) for one in seen.calls} == {NOTHING}


@pytest.mark.parametrize("name", HOUSES)
def test_a_change_after_all_has_expired_is_not_blamed(name, clock):
    """The provider kept nothing any more that could have been read, where it is known how long it does."""
    with house(name, clock) as (provider, call, seen):

        def late(talk):
            houses.lose("expired", provider, clock)
            return talk.changed_tools()

        mine, others = session(20, call, seen, clock, late, turns=provider.turns)
    assert mine[1] == (("tools", "changed") if name == "gemini" else ("", "expired"))
    assert set(others) == {NOTHING}


@pytest.mark.parametrize("read", [None, -5, 0, "many", 1.5])
def test_who_writes_and_never_reads_is_broken_by_nobody(read, clock, monkeypatch):
    """What a provider says to have kept is no proof that it finds it."""

    def odd(total, _read, written):
        usage = {"prompt_tokens": total, "completion_tokens": 7, "total_tokens": total + 7}
        details = {"cached_tokens": read, "cache_write_tokens": written}
        return usage | {"prompt_tokens_details": details}

    monkeypatch.setattr(caches, "chat_usage", odd)
    with house("openai from 5.6", clock) as (_, call, seen):
        mine, others = session(11, call, seen, clock, Talk.changed_section)
    assert {one[0] for one in (mine[1], *others)} == {""}
    assert all(one.cached == {} for one in seen.calls)


def lost_and_changed(name, clock, talk, lost, change):
    """Return what was seen of calls: a provider loses all ahead of call ``lost``, and the next is of a changed prompt."""
    with house(name, clock) as (provider, call, seen):
        for number in range(lost + 2):
            talk.ask()
            if number == lost:
                provider.cache.evict()
            if number == lost + 1:
                truth = change(talk)
            call(talk)
            talk.answer()
    return seen, truth


def test_a_change_right_after_a_miss_is_named(clock):
    """What had been read until then says that the provider keeps prefixes."""
    seen, truth = lost_and_changed("openai", clock, Talk.start(21, 4), 3, Talk.changed_section)
    assert [one.cache_reason for one in seen.calls[1:4]] == ["", "", "missed"]
    assert told(seen) == truth


def test_side_calls_and_retries_are_no_breaks(clock):
    """Another question at the end of the same prompt leaves what stands before it as it was."""
    with house("openai", clock) as (_, call, seen):
        talk = Talk.start(15, 6)
        for _ in range(5):
            talk.ask()
            call(talk)
            del talk.messages[-1]
    assert {(one.cache_broken_by, one.cache_reason) for one in seen.calls} == {NOTHING}


def test_what_a_lineage_keeps_is_bounded_and_holds_no_text(clock):
    """Of a prompt of thousands of messages 4,096 are kept, as hashes and numbers."""
    with house("openai", clock) as (_, call, _seen):
        talk = Talk.start(16)
        talk.messages += [[("user", "assistant")[n % 2], f"word{n}"] for n in range(4_200)]
        with tokentrace.session("long") as place:
            del place
            for _ in range(2):
                call(talk)
            (lineage,) = tokentrace.turns.current().registry.lineages._all.values()
    past = lineage.cache
    assert len(past.layout.sizes) == len(past.layout.mains) == 4_096
    assert len(past.kept) <= caching.REMEMBERED
    assert lineage.weight < 1_000_000
    kept = repr((past.layout.fixed, past.layout.inner, past.layout.mains[:50], past.reading))
    assert "Note" not in kept
    assert "payments" not in kept


def test_the_same_prompt_read_again_is_told_alike(clock, monkeypatch):
    """What was worked out for the same prompt holds, and is worked out anew where less is read."""
    worked, work = [], caching.prefix.walked
    monkeypatch.setattr(
        caching.prefix, "walked", lambda *given, **more: worked.append(1) or work(*given, **more)
    )
    with house("openai", clock) as (provider, call, seen):
        talk = Talk.start(5, 3)
        talk.ask()
        with tokentrace.session("same"):
            for _ in range(4):
                call(talk)
            provider.cache.evict()
            call(talk)
            call(talk)
    first, *again, lost, back = (one.cached for one in seen.calls)
    assert first == lost == {}
    assert again == [back] * 3
    assert sum(back.values()) > 0
    assert len(worked) == 2


def test_what_was_lost_once_is_not_waited_for_again(clock):
    """After an eviction the older ends are gone, too: the next change is blamed, and no further loss."""

    def edited(talk):
        talk.messages[16][1] = caches.passage(talk.rng, 6)
        return "history", "changed"

    seen, truth = lost_and_changed("openai from 5.6", clock, Talk.start(31, 6), 4, edited)
    assert [one.cache_reason for one in seen.calls[-2:]] == ["missed", "changed"]
    assert told(seen) == truth


@pytest.mark.parametrize(
    "usage",
    [
        {"cache_read_input_tokens": 10**12},
        {"cache_creation_input_tokens": 10**12},
        {"cache_read_input_tokens": 0},
    ],
)
def test_usage_that_cannot_be_of_the_prompt_claims_nothing(usage, clock):
    """Of a billion times the tokens that were sent, or of a tenth of them."""
    with house("anthropic", clock) as (provider, call, seen):
        real = provider.told
        provider.told = lambda body: real(body) | usage
        mine, others = session(11, call, seen, clock, Talk.changed_section)
    assert {mine[1], *others} == {NOTHING}
    assert all(one.cached == {} for one in seen.calls)


@pytest.mark.parametrize("said", [0, 4])
def test_another_agent_breaks_nothing(said, clock):
    """In a session without turns a second agent has a system text and a conversation of its own."""
    with house("openai", clock) as (provider, call, seen):
        request = provider.request

        def bare(talk, **more):
            body = request(talk, **more)
            body["messages"][0]["content"] = talk.role + " " + caches.passage(talk.rules, 40)
            return {key: value for key, value in body.items() if key != "tools"}

        provider.request = bare
        talks = [Talk.start(seed, said) for seed in (41, 42, 43)]
        roles = ("You plan the work of others.", "Writer: make text of a plan.", "Find mistakes.")
        with tokentrace.session("team"):
            for number in range(6):
                for talk, role in list(zip(talks, roles, strict=True))[: max(1, number - 1)]:
                    talk.role, talk.rules = role, caches.random.Random(role)
                    talk.messages = talk.messages if said else []
                    talk.ask()
                    call(talk)
                    talk.answer()
    assert {(one.cache_broken_by, one.cache_reason) for one in seen.calls} == {NOTHING}
