"""Counting on from reported numbers: pure rules, then long conversations with a provider of its own."""

from __future__ import annotations

import statistics

import pytest

import tokentrace
from conversations import Conversation, Provider
from tokentrace.counting import anchoring, digests, marks
from tokentrace.counting.anchoring import Footprint, History
from tokentrace.counting.counter import measure
from tokentrace.prompt import Usage
from tokentrace.testing import anthropic_message, capture


def body(*texts, model="claude-sonnet-4-5", **more):
    """Return an Anthropic body whose messages take turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return {"model": model, "max_tokens": 10, "messages": messages, **more}


def read(request):
    prompt, count = measure(request, api="anthropic.messages")
    return prompt, count, anchoring.footprint(prompt, count)


LONG = "The node is drained before the pool is upgraded. " * 60
USAGE = {"input_tokens": 700, "output_tokens": 5}


def test_only_the_difference_is_estimated():
    """What was reported carries the known part; the bound covers what is new."""
    first, second = body(LONG), body(LONG, "Yes.", "And then?")
    alone = tokentrace.count(second, api="anthropic.messages")
    counted = tokentrace.count(second, api="anthropic.messages", anchor=(first, USAGE))
    grown = alone.total - tokentrace.count(first, api="anthropic.messages").total
    assert counted.method == "anchored"
    assert counted.total == 700 + grown
    assert counted.error < alone.error
    assert sum(counted.components.values()) == counted.total


def test_an_exact_count_needs_no_anchor():
    """A number that is certain stays."""
    talk = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    alone = tokentrace.count(talk, api="openai.chat")
    assert tokentrace.count(talk, api="openai.chat", anchor=(talk, {"prompt_tokens": 99})) == alone


@pytest.mark.parametrize("anchor", [(), ({}, None), (7, 7), (body("x"), {}), (body("x"), "7"), 7])
def test_an_odd_anchor_leaves_the_count_alone(anchor):
    """An anchor that says nothing changes nothing."""
    request = body(LONG)
    alone = tokentrace.count(request, api="anthropic.messages")
    assert tokentrace.count(request, api="anthropic.messages", anchor=anchor) == alone


@pytest.mark.parametrize(
    ("earlier", "later", "kept"),
    [
        ((LONG, "a", "b"), (LONG, "a", "b", "c", "d"), 3),
        ((LONG, "a", "b"), (LONG, "other", "b"), 2),
        ((LONG, "a", "b", "c", "d"), (LONG, "s", "d"), 2),
        ((LONG, "a", "b"), (LONG, "a", "b"), 3),
    ],
    ids=["appended", "edited", "compacted", "the same"],
)
def test_what_changed_is_told_by_whole_messages(earlier, later, kept):
    """Appended, edited and compacted prompts: changed messages count on both sides."""
    _, _, before = read(body(*earlier))
    prompt, _, now = read(body(*later))
    changed = anchoring.change(before, now, prompt)
    sizes = [message.memo["tally"][1].total for message in prompt.messages]
    new = sum(sizes) - sum(sizes[:kept]) if len(later) > kept else 0
    assert changed.tokens >= new
    assert changed.tokens < 200
    assert not changed.unsure


def test_images_and_what_the_provider_adds_keep_the_own_bound():
    """What cannot be measured is no smaller an unknown for an anchor."""
    first = body(LONG)
    image = {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}}
    pictured = body(LONG, "Yes.", [image])
    searching = body(
        LONG, "Yes.", "more", tools=[{"type": "web_search_20250305", "name": "web_search"}]
    )
    for request in (pictured, searching):
        alone = tokentrace.count(request, api="anthropic.messages")
        counted = tokentrace.count(request, api="anthropic.messages", anchor=(first, USAGE))
        assert counted.error >= alone.error


def test_reasoning_that_may_come_back_widens_the_bound():
    """A provider may put the reasoning of its answer back, which no body shows."""
    prompt, count, _ = read(body(LONG, "Yes.", "And then?"))
    before, _, seen = read(body(LONG))
    errors = []
    for reasoning in (0, 60):
        history = History()
        history.note(before, seen, Usage(input=700, output=80, reasoning=reasoning))
        errors.append(anchoring.anchored(count, prompt, history).error)
    assert errors[1] - errors[0] in {60, count.error - errors[0]}


def test_the_pace_follows_what_is_reported():
    """Where a provider counts a half more than we do, the next difference is expected so too."""
    history = History()
    texts = [LONG]
    for turn in range(6):
        prompt, count, now = read(body(*texts))
        history.note(prompt, now, Usage(input=round(1.5 * count.total)))
        texts += [f"Turn {turn}. {LONG}", f"Next {turn}. {LONG}"]
    assert 1.35 < history.pace.weights[0] < 1.55
    prompt, count, now = read(body(*texts))
    counted = anchoring.anchored(count, prompt, history)
    assert abs(counted.total - 1.5 * count.total) < 0.03 * count.total


def test_absurd_reports_are_bounded():
    """Usage of a broken server moves the pace within its bounds, and never below zero."""
    history = History()
    texts = [LONG]
    for reported in (1, 10**9, 3, 10**12):
        prompt, count, now = read(body(*texts))
        history.note(prompt, now, Usage(input=reported))
        assert history.anchors == ()
        texts += ["more " * 50, "and more " * 50]
        assert anchoring.anchored(count, prompt, history) == count
    for reported in (600, 900, 300, 2_000, 700, 1_000):
        prompt, count, now = read(body(*texts))
        history.note(prompt, now, Usage(input=reported))
        texts += ["more " * 50, "and more " * 50]
    prompt, count, now = read(body(*texts))
    counted = anchoring.anchored(count, prompt, history)
    assert 0 < counted.total < 3 * count.total
    assert sum(counted.components.values()) == counted.total
    assert len(history.anchors) <= anchoring.REMEMBERED
    assert history.weight < 3_000


def test_what_there_was_no_time_for_is_no_anchor():
    """A prompt of which some was only estimated is no measure for the next one, nor counted on from."""
    prompt, count = measure(body(LONG, "Yes.", "And then?"), api="anthropic.messages")
    history = History()
    history.note(prompt, anchoring.footprint(prompt, count), Usage(input=count.total))
    hurried, guessed = measure(
        body("In a hurry. " * 900, "Yes."), api="anthropic.messages", budget_s=0.0
    )
    assert not anchoring.footprint(hurried, guessed).alone
    assert anchoring.anchored(guessed, hurried, history) == guessed
    empty = History()
    empty.note(hurried, anchoring.footprint(hurried, guessed), Usage(input=guessed.total))
    assert empty.anchors == ()


@pytest.mark.parametrize("reported", [None, 0])
def test_no_report_teaches_nothing(reported):
    """A call without usage leaves no anchor."""
    history = History()
    prompt, _, now = read(body(LONG))
    history.note(prompt, now, Usage(input=reported))
    assert history.anchors == ()


def test_marks_add_up_packed():
    """Letters, digits and line breaks of messages are summed as one number and come out apart."""
    prompt, _, now = read(body("abcde fghij 12\n3", "k" * 50 + "9\n\n"))
    assert now.marks == (2 + 10, 3 + 1, 1 + 2)
    packed = sum(map(marks.of_message, prompt.messages))
    assert marks.unpacked(packed) == now.marks


def test_suffixes_are_whole_hashes():
    """The common end behind a common beginning, at every length."""
    one = b"".join(bytes([n]) * digests.WIDTH for n in range(9))
    for cut in range(9):
        other = one[: cut * 8] + b"x" * 8 + one[cut * 8 :]
        prefix = digests.common(one, other)
        assert prefix == cut * 8
        assert digests.suffix(one, other, prefix) == len(one) - prefix
    assert digests.suffix(one, one, len(one)) == 0
    assert digests.suffix(one, b"y" * 16, 0) == 0
    assert Footprint(1, 0, 0, (0, 0, 0), one).alone


# ── long conversations ───────────────────────────────────────────────────────────────────────────


def claude(talk):
    messages = [{"role": role, "content": text} for role, text in talk.texts]
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "system": talk.system,
        "messages": messages,
    }


def gemini(talk):
    roles = {"assistant": "model", "user": "user"}
    contents = [{"role": roles[role], "parts": [{"text": text}]} for role, text in talk.texts]
    return {"systemInstruction": {"parts": [{"text": talk.system}]}, "contents": contents}


SHAPES = {
    "claude": ("anthropic.messages", "claude-sonnet-4-5", claude,
               lambda n: anthropic_message("Done.", input_tokens=n).body),
    "gemini": ("gemini.generateContent", "gemini-2.5-pro", gemini,
               lambda n: {"usageMetadata": {"promptTokenCount": n, "candidatesTokenCount": 3}}),
}  # fmt: skip


def converse(shape, provider, seed, branches=1):
    """Run a conversation through `llm_call`; return reported number and call record of each call."""
    api, model, make, answer = SHAPES[shape]
    talk, reported = Conversation(seed), []
    with capture(guard=False) as captured, tokentrace.session(f"long-{shape}-{seed}"):
        for _ in talk.turns():
            with tokentrace.turn():
                for branch in range(branches):
                    request = make(talk)
                    if branch:  # a side question, on the same conversation
                        side = Conversation(seed)
                        side.system, side.texts = talk.system, [*talk.texts[:-1], ("user", "Why?")]
                        request = make(side)
                    texts = [talk.system, *(text for _, text in (side if branch else talk).texts)]
                    reported.append(provider.prompt(texts))
                    with tokentrace.llm_call(request, api=api, model=model) as call:
                        call.response(answer(reported[-1]))
    return list(zip(reported, captured.calls, strict=True))


@pytest.mark.parametrize("letters", [4, 5, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_long_conversations_are_counted_closely(shape, letters):
    """25 turns to 100,000 tokens, an edit and a compaction, against three tokenizers of their own."""
    pairs = converse(shape, Provider(letters=letters), seed=letters)
    assert max(tokens for tokens, _ in pairs) > 70_000
    later = pairs[1:]
    misses = sorted(abs(call.tokens - tokens) / tokens for tokens, call in later)
    held = sum(abs(call.tokens - tokens) <= call.error for tokens, call in later)
    assert all(call.method == "anchored" for _, call in later)
    assert statistics.median(misses) <= 0.005
    assert misses[int(0.95 * (len(misses) - 1))] <= 0.02
    assert held / len(later) >= 0.95


def test_parallel_branches_do_not_disturb_each_other():
    """A side question in each turn: both lines are counted on from what is nearest to them."""
    pairs = converse("claude", Provider(), seed=3, branches=2)[2:]
    misses = sorted(abs(call.tokens - tokens) / tokens for tokens, call in pairs)
    assert statistics.median(misses) <= 0.005
    assert sum(abs(call.tokens - tokens) <= call.error for tokens, call in pairs) >= 0.95 * len(
        pairs
    )


def test_a_restart_costs_one_call():
    """A new process knows no reported number: its first call has our own bound, the next an anchor."""
    provider, talk = Provider(), Conversation(5)
    with capture(guard=False) as captured:
        for turn in talk.turns(6):
            if turn == 4:
                tokentrace.turns.reset()  # what a new process begins with
            request = claude(talk)
            texts = [talk.system, *(text for _, text in talk.texts)]
            with tokentrace.session("restarted"):
                with tokentrace.llm_call(request, api="anthropic.messages") as call:
                    call.response(SHAPES["claude"][3](provider.prompt(texts)))
    assert [call.method for call in captured.calls] == [
        "calibrated", "anchored", "anchored", "calibrated", "anchored", "anchored",
    ]  # fmt: skip
