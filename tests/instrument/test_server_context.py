"""What a provider keeps of a conversation: expected before a call, known after it."""

from __future__ import annotations

import pytest

import tokentrace
from tokentrace.counting import stored
from tokentrace.counting.marks import WHOLE
from tokentrace.counting.stored import STORED, Stored
from tokentrace.prompt import Count, Prompt, Usage
from tokentrace.testing import Clock, Reply, Wire, capture

openai = pytest.importorskip("openai", reason="openai is not installed")

pytestmark = [
    pytest.mark.skipif(
        not hasattr(openai.OpenAI(api_key="test"), "responses"),
        reason="this openai has no Responses API",
    ),
    pytest.mark.filterwarnings("ignore::tokentrace.TokenLimitWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
TOOL = {"type": "function", "name": "kubectl", "parameters": {"type": "object", "properties": {}}}
SETTINGS = {"model": "gpt-4o", "instructions": "You are a careful SRE. " * 40, "tools": [TOOL]}


def asked(turn):
    """Return what the user says."""
    return f"Why does the pod restart after rollout {turn}? " * 150


def watching(seen):
    """Return a guard that keeps each count as it stands before the call."""
    return tokentrace.Guard(limit=1, compress=lambda _body, report: seen.append(report.count))


def local(body):
    """Return our count of what the body itself holds."""
    alone = {key: value for key, value in body.items() if key not in stored.KINDS}
    return tokentrace.count(alone, api="openai.responses").total


class Server:
    """A provider that keeps conversations: what it reports is all that it has seen, and its own answers.

    Attributes:
        kept: tokens by the id of an answer or of a conversation.
        searched: tokens that each call's search brings.
    """

    def __init__(self, answer=200, reasoning=0):
        self.answer, self.reasoning = answer, reasoning
        self.kept, self.number, self.searched = {}, 0, 0
        self.reported = []

    def reply(self, sent):
        body = sent.body
        self.number += 1
        mine = f"resp_{self.number}"
        talk = body.get("conversation")
        talk = talk.get("id") if isinstance(talk, dict) else talk
        before = self.kept.get(body.get("previous_response_id") or talk, 0)
        counted = before + local(body) + self.searched
        passing = local({**body, "input": "x"}) - local({"model": body["model"], "input": "x"})
        self.kept[mine] = before + local(body) - passing + self.answer
        if talk:
            self.kept[talk] = self.kept[mine]
        self.reported.append(counted)
        return Reply(responded(mine, counted, self.answer + self.reasoning, self.reasoning))


def responded(name, tokens, output=200, reasoning=0):
    """Return a response."""
    usage = {"input_tokens": tokens, "output_tokens": output, "total_tokens": tokens + output,
             "input_tokens_details": {"cached_tokens": 0},
             "output_tokens_details": {"reasoning_tokens": reasoning}}  # fmt: skip
    return {"id": name, "object": "response", "created_at": 1, "status": "completed", "model": "gpt-4o",
            "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage}  # fmt: skip


def client(server, base_url="https://api.openai.com/v1"):
    """Return a client of it."""
    http = Wire(server.reply).client("openai")
    return openai.OpenAI(api_key="test", base_url=base_url, http_client=http, max_retries=0)


def chained(ours, turns, **more):
    """Run a chain of calls."""
    previous = openai.NOT_GIVEN
    for turn in range(turns):
        answer = ours.responses.create(
            **SETTINGS, input=asked(turn), previous_response_id=previous, **more
        )
        previous = answer.id


def test_a_chained_call_is_expected_as_large_as_it_is():
    """Input and output of the call before, without definitions and instructions, which come anew."""
    server, seen = Server(), []
    guard = watching(seen)
    with capture(guard=guard) as captured:
        chained(client(server), 5)
    assert [count.method for count in seen[1:]] == ["anchored"] * 4
    for count, reported in zip(seen, server.reported, strict=True):
        assert abs(count.total - reported) <= count.error
        assert sum(count.components.values()) == count.total
    assert seen[4].error < 0.05 * seen[4].total
    assert seen[4].components["server_context"] > 4 * 1_000
    calls = captured.calls
    assert [call.drift for call in calls] == [0] * 5
    assert [call.tokens for call in calls] == server.reported
    assert len({call.lineage for call in calls}) == 1
    assert [call.turn for call in calls] == [1, 2, 3, 4, 5]
    assert [call.delta for call in calls[2:]] == pytest.approx([1_600] * 3, abs=400)


def test_the_guard_refuses_a_chain_by_its_real_size():
    """Each body alone is far below the limit; what the provider keeps is not."""
    server = Server()
    with capture(guard=tokentrace.Guard(limit=6_000, on_exceed="raise")) as captured:
        with pytest.raises(tokentrace.TokenLimitExceeded) as refused:
            chained(client(server), 9)
    assert max(server.reported) <= 6_000
    assert len(captured.calls) == len(server.reported) + 1
    assert refused.value.report.count.components["server_context"] > 3_000


def test_reasoning_that_may_be_dropped_is_in_the_bound():
    """A provider keeps the reasoning of its answer, or does not."""
    server, seen = Server(reasoning=900), []
    guard = watching(seen)
    with capture(guard=guard):
        chained(client(server), 3)
    for count, reported in zip(seen, server.reported, strict=True):
        assert abs(count.total - reported) <= count.error


@pytest.mark.parametrize("given", ["conv_1", {"id": "conv_1"}])
def test_a_conversation_is_known_by_its_id(given):
    """A text or an object names it; two conversations do not mix."""
    server, seen = Server(), []
    guard = watching(seen)
    with capture(guard=guard), client(server) as ours:
        for turn in range(3):
            ours.responses.create(**SETTINGS, input=asked(turn), conversation=given)
        ours.responses.create(**SETTINGS, input=asked(0), conversation="conv_2")
    assert [count.method for count in seen] == ["estimated", "anchored", "anchored", "estimated"]
    for count, reported in zip(seen, server.reported, strict=True):
        assert abs(count.total - reported) <= count.error
    assert "server_context" not in seen[3].components


def test_a_conversation_that_others_go_on_with_is_never_sure_again():
    """Another process's turns are seen in the first report beyond the bound; from then on there may be more."""
    server, seen = Server(), []
    guard = watching(seen)
    with capture(guard=guard), client(server) as ours:
        for turn in range(5):
            ours.responses.create(**SETTINGS, input=asked(turn), conversation="conv_1")
            server.kept["conv_1"] += 3_000 * (turn >= 1)
    assert seen[1].error < 1_000
    for count, reported in zip(seen[3:], server.reported[3:], strict=True):
        assert count.components["server_context"] > 3_000
        assert abs(count.total - reported) <= count.error
        assert count.error > 10_000


def test_a_shared_conversation_is_asked_for():
    """With a guard that verifies its size is the provider's to tell, each time."""
    asked_for = []
    server = Server()
    guard = tokentrace.Guard(limit=500_000, verify=asked_for.append)
    with capture(guard=guard), client(server) as ours:
        for turn in range(5):
            ours.responses.create(**SETTINGS, input=asked(turn), conversation="conv_1")
            server.kept["conv_1"] += 3_000 * (turn >= 1)
    assert len(asked_for) == 3


def test_an_id_that_nobody_knows_keeps_the_wide_bound():
    """A conversation that another process began: its size is known after the call only."""
    server = Server()
    server.kept["resp_elsewhere"] = 4_321
    body = {**SETTINGS, "input": asked(1), "previous_response_id": "resp_elsewhere"}
    with capture(guard=False) as captured:
        client(server).responses.create(**body)
    (call,) = captured.calls
    assert (call.tokens, call.drift) == (server.reported[0], 0)
    assert call.components["server_context"] == 4_321
    assert call.method == "provider"
    before = tokentrace.count(body, api="openai.responses")
    assert (before.method, before.error > 10_000) == ("estimated", True)


def test_places_are_kept_apart():
    """The same id at another host is another conversation."""
    server, seen = Server(), []
    guard = watching(seen)
    with capture(guard=guard):
        client(server).responses.create(**SETTINGS, input=asked(1))
        other = client(server, "https://other.example/v1")
        other.responses.create(**SETTINGS, input="x", previous_response_id="resp_1")
    assert "server_context" not in seen[1].components


def test_what_a_tool_brought_is_told_after_the_call():
    """Before the call stands the rules' number; after it what was reported beyond the body."""
    server, seen = Server(), []
    server.searched = 777
    guard = watching(seen)
    with capture(guard=guard) as captured, client(server) as ours:
        answer = ours.responses.create(
            model="gpt-4o", input=asked(1), tools=[{"type": "file_search", "vector_store_ids": ["v"]}]
        )  # fmt: skip
        ours.responses.create(model="gpt-4o", input="Sure?", previous_response_id=answer.id)
    assert seen[0].components["server_context"] == 1_140
    assert captured.calls[0].drift == 0
    assert seen[1].method == "anchored"
    assert seen[1].error > 777  # it may be gone


def test_a_stream_teaches_too():
    """The id comes with the first events, the usage with the last."""
    done = responded("resp_s", 2_000)
    started = {**done, "status": "in_progress", "usage": None}
    events = [
        ("response.created", {"type": "response.created", "sequence_number": 0, "response": started}),
        ("response.completed", {"type": "response.completed", "sequence_number": 1, "response": done}),
    ]  # fmt: skip
    wire = Wire(Reply(events=events), Reply(responded("resp_t", 2_300)))
    with capture(guard=False) as captured:
        ours = openai.OpenAI(api_key="test", http_client=wire.client("openai"))
        list(ours.responses.create(model="gpt-4o", input=asked(1), stream=True))
        ours.responses.create(model="gpt-4o", input="Sure?", previous_response_id="resp_s")
    assert captured.calls[1].components["server_context"] == pytest.approx(2_200, abs=120)
    assert captured.calls[1].lineage == captured.calls[0].lineage


def test_geminis_cached_content_is_expected_by_its_name():
    """What the provider says of the cache is what the next call with it expects."""
    body = {
        "model": "gemini-2.5-flash",
        "cachedContent": "cachedContents/abc",
        "contents": [{"role": "user", "parts": [{"text": "Why?"}]}],
    }
    alone = tokentrace.count(
        {k: v for k, v in body.items() if k != "cachedContent"}, api="gemini.generateContent"
    )
    usage = {"promptTokenCount": 40_000 + alone.total, "cachedContentTokenCount": 40_000}
    seen = []
    with capture(guard=False) as captured:
        for _ in range(2):
            with tokentrace.llm_call(body, api="gemini.generateContent", provider="gemini") as call:
                seen.append(call.report.count)
                call.response({"usageMetadata": usage})
    assert "server_context" not in seen[0].components
    assert seen[1].components["server_context"] == 40_000
    assert seen[1].error < 100
    assert [call.drift for call in captured.calls] == [0, 0]


def test_a_cache_that_was_read_in_part_is_in_the_bound():
    """Where less was read from it than the body leaves unexplained, the rest may be of it, too."""
    prompt = Prompt(
        "gemini.generateContent", "g", stored=(("cached_content", "c"),), memo={WHOLE: True}
    )
    stored.note(prompt, COUNT, Usage(input=40_100, output=10, cache_read=30_000), "here")
    (kept,) = stored.expected(prompt, "here").values()
    assert (kept.tokens, kept.error) == (30_000, 10_012)


def test_a_stored_prompt_is_known_after_its_first_call():
    """A template costs about the same each time; its variables differ."""
    body = {"model": "gpt-4o", "prompt": {"id": "pmpt_1", "version": "2"}, "input": "Go on."}
    seen = []
    with capture(guard=False):
        for number in range(2):
            with tokentrace.llm_call(body, api="openai.responses") as call:
                seen.append(call.report.count)
                call.response(responded(f"resp_{number}", 1_000 + local(body)))
    assert seen[1].components["server_context"] == 1_000
    assert 250 <= seen[1].error < 400


# ── the numbers ──────────────────────────────────────────────────────────────────────────────────

COUNT = Count(100, {"user": 60, "tools": 40}, method="estimated", error=7)


def test_a_difference_is_what_no_body_shows():
    """Other components keep their numbers; a total below them changes nothing."""
    more = stored.attributed(COUNT, 150)
    assert more.components == {"user": 60, "server_context": 50, "tools": 40}
    assert stored.attributed(more, 120).components["server_context"] == 20
    assert stored.attributed(more, 100).components == COUNT.components
    assert stored.attributed(more, 99) is more


def test_a_providers_number_is_the_total_whatever_it_is():
    """Above what the body holds it tells of the rest; below it all is stretched."""
    more = stored.provided(COUNT, 1_000, hidden=True)
    assert more.components == {"server_context": 900, "user": 60, "tools": 40}
    for total, hidden in ((50, True), (50, False), (1_000, False), (0, True)):
        told = stored.provided(COUNT, total, hidden=hidden)
        assert sum(told.components.values()) == told.total == total
        assert (told.method, told.error) == ("provider", 0)
    assert stored.provided(Count(0, {}), 5, hidden=False).components == {"framing": 5}


def test_another_model_widens_the_bound():
    """Its tokenizer may be another."""
    prompt = Prompt(
        "openai.responses", "gpt-5", stored=(("conversation", "c"),), memo={WHOLE: True}
    )
    stored.note(prompt, COUNT, Usage(input=1_000, output=10), "here")
    (same,) = stored.expected(prompt, "here").values()
    other = Prompt("openai.responses", "gpt-4o", stored=(("conversation", "c"),))
    (changed,) = stored.expected(other, "here").values()
    assert (same.tokens, changed.tokens) == (970, 970)
    assert changed.error - same.error == 291
    assert stored.expected(prompt, "elsewhere") == {}


@pytest.mark.parametrize(
    ("prompt", "usage"),
    [
        (Prompt("openai.responses", memo={WHOLE: True}), Usage(input=None, response_id="r")),
        (Prompt("openai.responses", memo={WHOLE: True}), Usage(input=5, response_id="r")),
        (Prompt("openai.responses", memo={WHOLE: True}), Usage(input=5, output=9)),
        (Prompt("openai.responses"), Usage(input=5, output=9, response_id="r")),
        (Prompt("openai.chat", memo={WHOLE: True}), Usage(input=5, output=9, response_id="r")),
    ],
    ids=["no usage", "no output", "no id", "in a hurry", "another api"],
)
def test_what_teaches_nothing(prompt, usage):
    """Without a number, an id, or a whole count nothing is remembered."""
    stored.note(prompt, COUNT, usage, "here")
    assert len(STORED) == 0


def test_a_context_management_may_drop_it_all():
    """Where the provider shortens on its own the whole context is in the bound."""
    prompt = Prompt("openai.responses", "m", features=frozenset({"truncation"}), memo={WHOLE: True})
    stored.note(prompt, COUNT, Usage(input=5_000, output=10, response_id="r"), "here")
    (kept,) = STORED.items().values()
    assert kept.error >= kept.tokens == 4_970


def test_no_id_is_kept_and_old_ones_are_forgotten(monkeypatch):
    """Keys are salted hashes; six hours later an id is unknown."""
    clock = Clock()
    monkeypatch.setattr(STORED, "clock", clock)
    prompt = Prompt("openai.responses", "m", stored=(("conversation", "c"),), memo={WHOLE: True})
    stored.note(prompt, COUNT, Usage(input=5_000, output=10), "here")
    assert all(isinstance(key, int) for key in STORED.items())
    assert all(isinstance(one, Stored) for one in STORED.items().values())
    clock.tick(6 * 3_600)
    assert stored.expected(prompt, "here") == {}
