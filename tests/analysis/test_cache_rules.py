"""Findings about the provider's cache: what fires each, and what must not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokentrace import analysis
from tokentrace.analysis import Session, Turn
from tokentrace.prompt import CallRecord, Usage

PARTS = {"tools": 1_000, "system": 2_000}


def call(number, read=0, **changes):
    """Return a call of a conversation that grows by 100 tokens a turn."""
    parts = {**PARTS, "history": 100 * number, "user": 40}
    total = sum(parts.values())
    return CallRecord(**{
        "tokens": total, "components": parts, "method": "exact", "model": "gpt-4.1",
        "provider": "openai", "lineage": "l1", "start": number, "end": number,
        "usage": Usage(input=total, output=5, cache_read=read), **changes,
    })  # fmt: skip


def session(*calls):
    """Return a session of a turn a call."""
    turns = (Turn(n, (one,), main=one) for n, one in enumerate(calls, 1))
    return Session("s", turns=tuple(turns))


def broken(number, by="system", reason="changed", **changes):
    """Return a call whose prefix was broken."""
    return call(number, cache_broken_by=by, cache_reason=reason, **changes)


def findings(told):
    """Return what is found about the cache."""
    found = analysis.judge(told).findings
    return [one for one in found if one.code.startswith("cache.")]


def test_a_component_that_breaks_the_prefix_again_and_again_is_told():
    """With the tokens that were paid again, their cost a time, the turns and what to do."""
    pytest.importorskip("genai_prices", reason="genai-prices is not installed")
    (one,) = findings(session(call(1), broken(2), broken(3), call(4, 3_000), broken(5, read=1_024)))
    assert (one.code, one.level, one.component) == ("cache.broken", "degraded", "system")
    assert one.turns == (2, 3, 5)
    paid = [3_140, 3_240, 3_440 - 1_024]
    assert one.numbers["breaks"] == 3
    assert one.numbers["tokens"] == sum(paid)
    assert one.tokens == round(sum(paid) / 3)
    assert one.cost_usd == pytest.approx(sum(paid) * 1.5e-6 / 3)
    assert "behind what stays the same" in one.remedy
    assert "system by changing broke the cached prefix 3 times" in one.message


def marked(number, read, written, **changes):
    """Return a call of a prompt of which the first part alone is marked for the cache."""
    used = Usage(input=9_000 + number, output=5, cache_read=read, cache_write=written)
    changes = {"model": "claude-sonnet-4-5", "provider": "anthropic", "usage": used, **changes}
    return call(number, **changes)


def test_where_what_was_written_is_told_no_more_than_that_was_paid_again():
    """Of 9,000 tokens 2,000 were in the cache, and 500 of them were read all the same."""
    pytest.importorskip("genai_prices", reason="genai-prices is not installed")
    again = {"cache_broken_by": "section.rules", "cache_reason": "changed"}
    calls = (marked(1, 0, 2_000), marked(2, 500, 1_500, **again), marked(3, 500, 1_500, **again))
    (one,) = findings(session(*calls, marked(4, 2_000, 0)))
    assert one.numbers["tokens"] == 2 * 1_500
    assert one.tokens == 1_500
    assert one.cost_usd == pytest.approx(1_500 * (3.75e-6 - 0.3e-6))  # written, not read


@pytest.mark.parametrize(
    "what", [{"cache_broken_by": "system"}, {"cache_reason": "model_switched"}]
)
def test_tokens_and_dollars_are_of_the_same_breaks(what):
    """Whether a component broke the prefix or a switch: what was sent again costs what it says."""
    pytest.importorskip("genai_prices", reason="genai-prices is not installed")
    (one,) = findings(session(call(1, 3_000), call(2, 0, **what), call(3, 0, **what)))
    assert one.numbers["tokens"] == 3_140 + 3_240
    assert one.cost_usd == pytest.approx((3_140 + 3_240) / 2 * 1.5e-6)


def test_what_is_no_component_is_told_by_its_reason():
    """A model that is switched to and fro, with a remedy of its own."""
    calls = (broken(n, by="", reason="model_switched") for n in (2, 3))
    (one,) = findings(session(call(1), *calls))
    assert one.component == ""
    assert one.message.startswith("model switched broke the cached prefix 2 times")
    assert "one model" in one.remedy


def test_remedies_are_the_components_own():
    """Tools stay as they are; a history is cut rarely."""
    for name, word in (("tools", "same order"), ("history", "large steps")):
        (one,) = findings(session(call(1), broken(2, by=name), broken(3, by=name)))
        assert word in one.remedy


@pytest.mark.parametrize("calls", [
    (call(1), broken(2), call(3, 3_000)),
    (call(1, 2_000), call(2, cache_reason="missed"), call(3, cache_reason="expired")),
    (call(1), broken(2, read=3_120), broken(3, read=3_220)),
    (call(1), broken(2, decision="refuse"), broken(3, decision="refuse")),
    (broken(1, lineage=""), broken(2, lineage="")),
])  # fmt: skip
def test_a_single_break_a_loss_and_a_small_one_are_not_told(calls):
    """Nor what was never sent, nor calls of which nobody knows what they continue."""
    assert not [one for one in findings(session(*calls)) if one.code == "cache.broken"]


def test_a_beginning_that_is_never_read_is_told():
    """Three prompts with 3,000 tokens in common, and a provider that reports that it read none."""
    (one,) = findings(session(call(1), call(2), call(3)))
    assert (one.code, one.level, one.turns) == ("cache.unused", "degraded", (2, 3))
    assert one.tokens == 3_100
    assert one.confidence == "medium"


def learned(number):
    """Return a call of a prompt whose count is off by a part that changes as it is learned."""
    one = call(number)
    drift = 1 + 0.3 / number
    parts = {name: round(tokens / drift) for name, tokens in one.components.items()}
    return replace(one, components=parts, tokens=sum(parts.values()), method="anchored")


def test_a_beginning_that_is_counted_otherwise_each_time_is_the_same():
    """What is learned of the provider's counts changes ours, not what was sent."""
    (one,) = findings(session(*map(learned, (1, 2, 3, 4))))
    assert one.code == "cache.unused"
    assert one.tokens == pytest.approx(3_100, rel=0.005)


def test_a_text_of_another_size_is_another():
    """Where counts are exact a system text that is a little longer each time is none that was sent before."""
    calls = [call(number) for number in (1, 2, 3, 4)]
    calls = [
        replace(one, components={**one.components, "system": 3_000 + at})
        for at, one in enumerate(calls)
    ]
    assert findings(session(*calls)) == []


def test_calls_further_apart_than_a_prefix_is_kept_miss_nothing():
    """An agent that runs twice a day finds nothing of the time before; one that runs twice an hour does."""
    hour = 3_600 * 10**9

    def runs(apart):
        return session(*(call(n, start=n * apart, end=n * apart) for n in (1, 2, 3, 4)))

    assert findings(runs(12 * hour)) == []
    assert [one.code for one in findings(runs(hour // 2))] == ["cache.unused"]


def test_where_marks_are_needed_the_remedy_is_to_set_them():
    """As for Claude."""
    claude = {"model": "claude-sonnet-4-5", "provider": "anthropic"}
    (one,) = findings(session(*(call(n, **claude) for n in (1, 2, 3))))
    assert one.remedy.startswith("mark the end of the system text")


def unreported(number):
    """Return a call whose provider reports no cached tokens."""
    return call(number, usage=Usage(input=3_000, output=5))


@pytest.mark.parametrize("calls", [
    (call(1), call(2)),
    (call(1), call(2, 1_024), call(3)),
    (call(1), call(2, usage=Usage(input=3_240, cache_read=0, cache_write=3_000)), call(3)),
    tuple(map(unreported, range(1, 5))),
    tuple(call(n, model="unknown-1", provider="somebody") for n in range(1, 5)),
    tuple(call(n, components={"user": 3_000 + n}) for n in range(1, 5)),
    tuple(call(n, components={"system": 500, "history": n}, tokens=500 + n) for n in range(1, 5)),
    (call(1), call(2), call(3, lineage="l2"), call(4, lineage="l2")),
    (),
])  # fmt: skip
def test_a_cache_that_is_used_unknown_or_too_large_is_not_missed(calls):
    """Also where nothing is reported, nothing is shared, or prompts are below the minimum."""
    assert not findings(session(*calls))


def test_sub_agents_are_compared_each_with_itself():
    """Calls of two lineages in turns: what broke one is counted there alone."""
    calls = [call(1), call(2, lineage="l2", read=9), broken(3), broken(4, lineage="l2"), broken(5)]
    (one,) = findings(session(*calls))
    assert one.numbers["breaks"] == 3
    assert one.turns == (3, 4, 5)


def test_absurd_usage_is_no_evidence():
    """Records of somebody else may hold anything."""
    odd = Usage(input=10**30, output=-1, cache_read=-5, cache_write=10**40)
    calls = [replace(broken(n), usage=odd) for n in (1, 2, 3)]
    assert all(one.cost_usd is None or one.cost_usd >= 0 for one in findings(session(*calls)))
