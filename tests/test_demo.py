"""The demo: a real agent, a real SDK, a server on loopback, and numbers that nobody computes."""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import openai
import pytest
from rich.console import Console

from otlp_receiver import ReceivedSpan, receiving
from tokentrace import analysis, demo, readers, schema
from tokentrace.demo import agent, recorded, script
from tokentrace.demo.server import Reply, Server
from tokentrace.prompt import Record

PHASES = {"baseline": (1, 5), "accumulation": (6, 12), "high load": (13, 20), "stress": (21, 25)}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, analysis.Session]:
    """Give what one run of the demo prints, and the session that its trace file holds."""
    folder = tmp_path_factory.mktemp("demo")
    console = Console(file=io.StringIO(), width=160)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENTRACE_STRICT", "1")
        assert demo.run(console, directory=str(folder)) == 0
    problems = readers.Problems()
    (session,) = analysis.sessions(readers.read([str(folder)], problems))
    assert problems.count == 0
    return console.file.getvalue(), session


def calls_of(session: analysis.Session) -> list[tuple[int, int, int, int]]:
    """Return (turn, step, counted, reported) of every call."""
    return [
        (turn.number, step, call.tokens, call.usage.input or 0)
        for turn in session.turns
        for step, call in enumerate(turn.calls)
    ]


def components_of(session: analysis.Session) -> list[dict[str, int]]:
    """Return the components of every call."""
    return [dict(call.components) for turn in session.turns for call in turn.calls]


def assemblies_of(session: analysis.Session) -> list[tuple[int | None, int, int, int]]:
    """Return (turn, included, excluded, compressed) of every assembly."""
    return [
        (turn.number, context.included, context.excluded, context.compressed)
        for turn in session.turns
        for context in turn.contexts
    ]


def received(span: ReceivedSpan) -> Record | None:
    """Return the record on a span that arrived over the wire."""
    place = {"trace_id": span.trace_id, "span_id": span.span_id, "parent_id": span.parent_id}
    return schema.load(span.attributes, name=span.name, start=span.start, end=span.end, **place)


# ── the conversation ─────────────────────────────────────────────────────────────────────────────


def test_phases_are_where_they_belong():
    """Twenty-five turns in four phases, in their order."""
    numbers = {
        name: [number for number, turn in enumerate(script.TURNS, 1) if turn.phase == name]
        for name in script.PHASES
    }
    assert {name: (found[0], found[-1]) for name, found in numbers.items()} == PHASES
    assert len(script.TURNS) == 25


def test_no_question_begins_like_another():
    """The server tells turns by their question, so no question may begin with another."""
    asked = [turn.user for turn in script.TURNS]
    assert [a for a in asked for b in asked if a is not b and a.startswith(b)] == []


def test_every_piece_of_evidence_is_used():
    """No file lies about, and none is missing."""
    used = {name for turn in script.TURNS for name in (*turn.opens, turn.paste) if name}
    used |= {call.evidence for turn in script.TURNS for call in turn.calls}
    assert {path.name for path in (Path(script.__file__).parent / "evidence").iterdir()} == used


def test_every_request_has_a_recording():
    """The recording holds usage for each step of each turn."""
    steps = {number: len(turn.calls) + 1 for number, turn in enumerate(script.TURNS, 1)}
    assert {number: len(rows) for number, rows in recorded.USAGE.items()} == steps


# ── what the trace says ──────────────────────────────────────────────────────────────────────────


def test_each_call_reports_its_recorded_usage(shown):
    """What the trace says was reported is what the recording holds, call by call."""
    _, session = shown
    reported = [(turn, step, tokens) for turn, step, _, tokens in calls_of(session)]
    assert reported == [
        (number, step, row[0])
        for number, rows in recorded.USAGE.items()
        for step, row in enumerate(rows)
    ]


def test_only_the_drifting_turn_drifts(shown):
    """Every count equals its recording, but for the one turn that drifts on purpose."""
    _, session = shown
    drifts = {turn: reported - counted for turn, _, counted, reported in calls_of(session)}
    assert {turn: drift for turn, drift in drifts.items() if drift} == {recorded.DRIFTING: 57}


def test_components_add_up(shown):
    """The components of each call add up to its total, and the agent's own are among them."""
    _, session = shown
    calls = [call for turn in session.turns for call in turn.calls]
    assert all(sum(call.components.values()) == call.tokens for call in calls)
    seen = {name for call in calls for name in call.components}
    assert {
        "core_goal",
        "phase",
        "decisions",
        "code_snippets",
        "history",
        "tool_results",
        "pasted",
    } <= seen


def test_its_report_names_what_is_wasted(shown):
    """Old results of tools, and the preamble that two runbooks share, with their true tokens."""
    printed, session = shown
    found = {one.code: one for one in analysis.judge(session).findings}
    preamble = script.evidence("runbook-pool.txt").split("\n\n")[1]
    assert preamble in script.evidence("runbook-incident.txt")
    copy, old = found["waste.duplicate"], found["waste.carried"]
    assert (copy.tokens, copy.turns) == (agent.tokens(preamble), (21, 22, 23, 24, 25))
    assert (old.component, old.level, old.numbers["age"]) == ("tool_results", "degraded", 16)
    assert "waste.duplicate" in printed
    assert "waste.carried" in printed


def test_the_prompt_grows_and_is_compressed(shown):
    """Growth through the first phases, exclusions and compressions later."""
    _, session = shown
    totals = [turn.total for turn in session.turns]
    assert totals[:12] == sorted(totals[:12])
    summary = analysis.summary([session])
    assert summary.exclusions >= 6
    assert summary.compressions >= 8
    assert summary.decreases >= 3


def test_warnings_come_before_the_limit(shown):
    """The first warning is under high load, below the limit."""
    _, session = shown
    warned = [
        turn.number for turn in session.turns for call in turn.calls if call.decision == "warn"
    ]
    assert 13 <= min(warned) <= 20


def test_the_callback_resolves_refusals(shown):
    """Prompts over the limit are compressed and sent; none is refused, none goes over."""
    _, session = shown
    calls = [(turn.number, call) for turn in session.turns for call in turn.calls]
    saved = {number for number, call in calls if call.tokens + call.compressed_tokens > agent.LIMIT}
    assert saved
    assert min(saved) >= 21
    assert all(call.tokens <= agent.LIMIT for _, call in calls)
    assert not [call for _, call in calls if call.decision == "refuse"]


def test_the_report_is_printed(shown):
    """What is printed names the phases, the session, every turn and the trace file."""
    text, session = shown
    assert session.id in text
    assert all(name in text for name in script.PHASES)
    assert ".jsonl" in text


def test_the_readme_shows_this_demo(shown):
    """Each turn that the README's report shows has the total of the demo as it is."""
    _, session = shown
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^ +(\d+) +.*%.*$", readme, re.MULTILINE)
    lines = [line for line in readme.splitlines() if re.match(r" +\d+ +.*%", line)]
    totals = {turn.number: f" {turn.total:,} " for turn in session.turns}
    assert len(rows) > 10
    assert [
        row for row, line in zip(rows, lines, strict=True) if totals[int(row)] not in line
    ] == []


def test_the_same_numbers_travel_over_otlp(shown, monkeypatch):
    """The demo traced through OTLP into a receiver on loopback carries the same numbers."""
    _, session = shown
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        assert demo.run(Console(file=io.StringIO()), exporter="otlp") == 0
        loaded = [received(span) for span in receiver.spans]
    (other,) = analysis.sessions(record for record in loaded if record is not None)
    assert calls_of(other) == calls_of(session)
    assert components_of(other) == components_of(session)
    assert assemblies_of(other) == assemblies_of(session)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    """A demo that can leave no trace says so and does not report."""
    (tmp_path / "file").write_text("in the way")
    console = Console(file=io.StringIO(), width=200)
    assert demo.run(console, directory=str(tmp_path / "file")) == 2
    assert "No trace could be written" in console.file.getvalue()


def test_without_the_sdk_it_says_so(monkeypatch):
    """Without openai the missing module is named, before anything is hooked."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModuleNotFoundError, match="openai"):
        demo.run(Console(file=io.StringIO()))


# ── the agent's own compression ──────────────────────────────────────────────────────────────────


def test_compress_cuts_results_first_then_pastes():
    """The callback shortens tool results, then what was pasted, then gives up."""
    long = "\n".join(f"line {number}" for number in range(40))
    body = {"messages": [{"role": "user", "content": long}, {"role": "tool", "content": long}]}
    once = agent.compress(body, None)
    twice = agent.compress(once, None)
    assert [len(message["content"].splitlines()) for message in once["messages"]] == [40, 9]
    assert [len(message["content"].splitlines()) for message in twice["messages"]] == [9, 9]
    assert agent.compress(twice, None) is None


# ── the server ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server that says one sentence."""
    with Server(
        lambda _body: Reply("All  nodes are\nready.", prompt=12, completion=6, cached=4)
    ) as running:
        yield running


def post(url: str, content: bytes) -> tuple[int, str]:
    """Return status and message of what a server answers to raw bytes."""
    try:
        with urlopen(Request(url, content, {"Content-Type": "application/json"})) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())["error"]["message"]


@pytest.mark.parametrize("streamed", [False, True])
def test_server_speaks_to_the_sdk(server, streamed):
    """The SDK reads text and usage, plain and streamed."""
    with openai.OpenAI(base_url=server.url, api_key="test", max_retries=0) as client:
        asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "?"}]}
        if streamed:
            options = {"stream": True, "stream_options": {"include_usage": True}}
            chunks = list(client.chat.completions.create(**asked, **options))
            text = "".join(
                chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
            )
            usage = chunks[-1].usage
        else:
            completion = client.chat.completions.create(**asked)
            text, usage = completion.choices[0].message.content, completion.usage
    assert text == "All  nodes are\nready."
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (12, 6, 18)
    assert usage.prompt_tokens_details.cached_tokens == 4


@pytest.mark.parametrize(("path", "content", "expected"), [
    ("/chat/completions", b"{", (400, "the request body is not JSON")),
    ("/chat/completions", b"[]", (400, "the request body is not an object")),
    ("/embeddings", b"{}", (404, "no such path here: /v1/embeddings")),
])  # fmt: skip
def test_server_refuses_what_it_does_not_know(server, path, content, expected):
    """Foreign paths and bodies get an error as OpenAI writes them."""
    assert post(server.url + path, content) == expected


def test_server_outlives_a_client_that_hangs_up(server, capfd):
    """A client that resets its connection in the middle leaves no traceback, and the next is served."""
    port = int(server.origin.rpartition(":")[2])
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            rude.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
    assert post(f"{server.url}/chat/completions", b"{}")[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "messages", [None, [], [{"role": "user", "content": "hello"}], [{"role": "user"}]]
)
def test_recording_holds_one_conversation(messages):
    """A conversation that is not the demo's is no recording."""
    with Server(recorded.reply) as running:
        content = json.dumps({"messages": messages}).encode()
        status, message = post(f"{running.url}/chat/completions", content)
    assert (status, message.split(",")[0]) == (404, "this server holds one recorded conversation")
