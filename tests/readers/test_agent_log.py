"""Logs of agents: every figure of every turn, and what becomes of odd logs."""

from __future__ import annotations

import gzip
import itertools
import json as plain
from collections import Counter
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import agent_logs
from agent_logs import Plan, Writer, boot, conversation, expected, log, turn
from tokentrace import analysis, readers
from tokentrace.cli import app
from tokentrace.errors import InputError
from tokentrace.readers import Problems, agent_log
from tokentrace.report import json

SHARED = Path("/work/shared/data/agent-logs")
VALIDATOR = jsonschema.Draft202012Validator(plain.loads(json.schema()))


def read(*paths, problems=None, **options):
    """Return the sessions of files."""
    problems = Problems() if problems is None else problems
    return analysis.sessions(readers.read([str(path) for path in paths], problems, **options))


def document(*paths):
    """Return the JSON report of files."""
    told = json.document(analysis.Report(read(*paths)))
    VALIDATOR.validate(told)
    return told


def figures(shown):
    """Return the figures of a turn of the JSON report, by the names of `agent_logs.expected`."""
    kinds = Counter(event["kind"] for event in shown["events"])
    [context] = shown["contexts"]
    same = ("number", "total", "limit", "utilization", "headroom", "delta", "trend", "components", "inclusions", "exclusions")  # fmt: skip
    return {name: shown[name] for name in same} | {
        "context": context["included"],
        "budget": context["budget"],
        "excluded_tokens": context["excluded"],
        "low": kinds["low_utilization"] == 1,
        "exceeded": kinds["exceeded"] == 1,
        "compressions": kinds["compressed"],
    }


@pytest.fixture
def written(tmp_path):
    """Return a function that writes text or bytes to a file, by default ``agent.log``."""

    def write(content, name="agent.log"):
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


# ── figures ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["agent.log", "agent.log.gz"])
@pytest.mark.parametrize("limit", [12_000, 20_000, 1_048_576])
def test_every_figure_of_every_turn(written, name, limit):
    """The JSON report has each figure of a made-up conversation, and they sum up."""
    plans = conversation(12, limit=limit)
    told = document(written(log(plans), name))
    [session] = told["sessions"]
    wanted = expected(plans)
    assert [figures(shown) for shown in session["turns"]] == wanted
    totals = [one["total"] for one in wanted]
    trends = Counter(one["trend"] for one in wanted)
    summary = session["summary"]
    assert summary["peak"] == max(totals)
    assert (summary["increases"], summary["decreases"]) == (trends["increase"], trends["decrease"])
    assert summary["exceeded"] == sum(one["exceeded"] for one in wanted)
    assert summary["low_utilization"] == sum(one["low"] for one in wanted)
    assert summary["exclusions"] == sum(sum(one["exclusions"].values()) for one in wanted)
    assert told["problems"]["count"] == 0


def test_the_session_says_who_it_was(written):
    """Session, agent, model, tokenizer and settings come from the lines of the start."""
    [session] = read(written(log(conversation(2), model="gemini-2.5-pro")))
    call = session.turns[0].main
    assert (session.id, session.agent) == ("agent.log", "devops_agent")
    assert (call.model, call.tokenizer, call.method) == ("gemini-2.5-pro", "cl100k_base", "logged")
    assert call.settings["counting_strategy"] == "<lambda>"
    assert call.end - call.start > 0


def test_pieces_keep_their_tokens(written):
    """Each piece that went in is a detail of its component, with its tokens."""
    pieces = {"core_goal": (12,), "relevant_code": (160, 155)}
    [session] = read(written(log([Plan(1, pieces=pieces)])))
    details = {(one.component, one.name): one.tokens for one in session.turns[0].main.details}
    assert details == {
        ("core_goal", "Core Goal"): 12,
        ("relevant_code", "Code snippet 1"): 160,
        ("relevant_code", "Code snippet 2"): 155,
    }


def test_exclusions_keep_piece_reason_and_cause(written):
    """An exclusion says which piece, how large, why in the agent's words, and the cause in one."""
    left_out = (
        ("Tool result 7", 409, "Exceeds available budget"),
        ("Proactive Context", 2_561, "Exceeds remaining budget (22 tokens)"),
    )
    [session] = read(written(log([Plan(1, left_out=left_out)])))
    told = session.turns[0].of("excluded")
    assert [(one.piece, one.tokens, one.reason) for one in told] == list(left_out)
    assert [(one.name, one.cause) for one in told] == [
        ("recent_tool_results", "budget"),
        ("proactive_context", "cap"),
    ]


def test_a_transformation_is_a_compression(written):
    """Characters before and after, and tokens after: the tokens before are estimated, and say so."""
    [session] = read(written(log([Plan(1, shrunk=(("kubectl", 3_000, 1_000, 400),))])))
    [event] = session.turns[0].of("compressed")
    assert (event.name, event.before, event.after) == ("recent_tool_results", 1_200, 400)
    assert (event.piece, event.reason) == ("kubectl", "tokens before are estimated from characters")
    assert session.turns[0].contexts[0].compressed == 800


def test_a_transformation_without_tokens_is_told(written):
    """Where the tokens of the result are not told, the compression is, without them."""
    text = "".join(
        line for line in log([Plan(1, shrunk=(("kubectl", 3_000, 1_000, 400),) * 2)]).splitlines(True)
        if "Added tool result" not in line
    )  # fmt: skip
    [session] = read(written(text))
    events = session.turns[0].of("compressed")
    assert [(one.name, one.before, one.tokens) for one in events] == [("kubectl", None, 0)] * 2


def test_the_agents_own_figures_disagree(written):
    """Its summary counts the system instruction only: told with both figures, and found."""
    plans = conversation(4)
    [session] = read(written(log(plans)))
    for plan, one in zip(plans, session.turns, strict=True):
        [event] = one.of("disagreement")
        assert (event.name, event.before, event.after) == ("utilization", plan.total, plan.system)
    found = {finding.code: finding for finding in analysis.judge(session).findings}
    assert found["figures.disagree"].turns == (1, 2, 3, 4)


def test_figures_that_agree_are_no_disagreement(written):
    """A summary that says what the final prompt says is left alone."""
    plan = Plan(1)
    text = log([plan]).replace(f"Total Prompt Tokens: {plan.system}", f"Total Prompt Tokens: {plan.total}")  # fmt: skip
    share = f"{100 * plan.total / plan.limit:.1f}%"
    text = text.replace(f"Token Utilization: {100 * plan.system / plan.limit:.1f}%", f"Token Utilization: {share}")  # fmt: skip
    assert read(written(text))[0].turns[0].of("disagreement") == ()


def test_a_second_total_alone_disagrees(written):
    """Where the summary tells no share, its total is held against the final one."""
    plan = Plan(1)
    text = "".join(line for line in log([plan]).splitlines(True) if "Token Utilization" not in line)
    [event] = read(written(text))[0].turns[0].of("disagreement")
    assert (event.name, event.before, event.after) == ("total", plan.total, plan.system)


def test_a_total_used_that_does_not_add_up_disagrees(written):
    """Base prompt and context are the total used, or the log says two things."""
    plan = Plan(1)
    text = log([plan]).replace(f"Total Used: {plan.used:,} /", f"Total Used: {plan.used + 5:,} /")
    events = read(written(text))[0].turns[0].of("disagreement")
    told = {event.name: (event.before, event.after) for event in events}
    assert told["used"] == (plan.used, plan.used + 5)


def test_parts_over_their_whole_are_dropped_and_told(written):
    """Components always sum up: a breakdown larger than its whole gives way to the whole."""
    plan = Plan(1, pieces={"core_goal": (12,), "key_decisions": (30,)})
    text = log([plan]).replace("  key_decisions: 30 tokens", "  key_decisions: 3,000 tokens")
    [one] = read(written(text))[0].turns
    assert sum(one.components.values()) == one.total == plan.total
    assert one.components["context"] == plan.context
    assert ("context", plan.context, 3_012) in {
        (event.name, event.before, event.after) for event in one.of("disagreement")
    }


def test_an_exceeded_limit_that_nobody_tells_is_told(written):
    """A total over its limit is an exceeded limit, with or without the agent's critical line."""
    text = "".join(
        line for line in log([Plan(1, limit=2_000)]).splitlines(True) if "CRITICAL" not in line
    )
    [event] = read(written(text))[0].turns[0].of("exceeded")
    assert (event.tokens, event.limit) == (Plan(1).total, 2_000)
    assert event.reason


@pytest.mark.parametrize(("line", "kind"), [
    ("LLM call timed out after 120 s", "timeout"),
    ("Request failed: 429 RESOURCE_EXHAUSTED", "error"),
    ("Unhandled exception in the model callback", "error"),
])  # fmt: skip
def test_failed_turns(written, line, kind):
    """An error in a turn is its failure; a time-out is told apart."""
    [session] = read(written(log([Plan(1), Plan(2, failure=line), Plan(3)])))
    assert [[one.reason for one in each.of("failed")] for each in session.turns] == [[], [kind], []]


def test_a_turn_that_fails_before_its_size_is_known(written):
    """The failure is told even where the log never got to the prompt."""
    to = Writer()
    boot(to)
    turn(to, Plan(1))
    to.agent("Started new turn 2")
    to.agent("Context assembly timed out", "ERROR")
    turn(to, Plan(3))
    [session] = read(written("\n".join([*to.lines, ""])))
    assert [one.number for one in session.turns if one.of("failed")] == [2]


def test_the_lines_of_an_exceeded_limit_are_no_failure(written):
    """The agent's guess that the request will fail is no failure yet."""
    assert read(written(log([Plan(1, limit=2_000)])))[0].turns[0].of("failed") == ()


def test_an_error_that_is_no_failure(written):
    """The level alone fails no turn: the words behind the head do."""
    assert read(written(log([Plan(1, failure="Nothing in the cache"), Plan(2)])))[0].turns[0].of("failed") == ()  # fmt: skip


def test_a_turn_that_is_said_twice(written):
    """Two handlers that write the same line begin one turn."""
    text = log(conversation(3))
    doubled = "".join(line * (1 + ("Started new turn" in line)) for line in text.splitlines(True))
    [session] = read(written(doubled))
    assert [one.number for one in session.turns] == [1, 2, 3]


def test_several_calls_in_one_turn(written):
    """After a tool's result the turn calls again: its total is that of the largest call."""
    to = Writer()
    boot(to)
    turn(to, Plan(1))
    agent_logs.call(to, Plan(1, history=700))
    turn(to, Plan(2))
    [session] = read(written("\n".join([*to.lines, ""])))
    assert [len(one.calls) for one in session.turns] == [2, 1]
    assert [one.total for one in session.turns] == [Plan(1, history=700).total, Plan(2).total]


# ── sessions, files, rotation ────────────────────────────────────────────────────────────────────


def test_numbering_that_restarts_is_another_session(written):
    """Turns that begin at 1 again are another conversation, whose start is not the last's turn."""
    first, second = conversation(5), conversation(3, limit=9_000)
    found = read(written(log(first) + log(second)))
    assert [(one.id, len(one.turns)) for one in found] == [("agent.log", 5), ("agent.log#2", 3)]
    assert [one.total for one in found[1].turns] == [plan.total for plan in second]
    assert found[0].turns[-1].limit == 20_000


def test_one_process_a_turn(written):
    """A start of the process between two turns leaves them one session, with their own limits."""
    plans = conversation(6)
    text = "".join(log([plan]) for plan in plans)
    [session] = read(written(text))
    assert [(one.number, one.total, one.limit) for one in session.turns] == [
        (plan.number, plan.total, plan.limit) for plan in plans
    ]


def test_a_rotated_set_in_any_order(written):
    """The files of one log are read oldest first, however they were named, gzipped or not."""
    plans = conversation(9)
    text = log(plans).encode()
    cuts = [0, len(text) // 3, 2 * len(text) // 3, len(text)]
    # a cut may fall into a line: rotation falls between lines
    cuts[1:3] = [text.index(b"\n", cut) + 1 for cut in cuts[1:3]]
    first, second, third = (text[a:b] for a, b in itertools.pairwise(cuts))
    paths = [written(third), written(second, "agent.log.1.gz"), written(first, "agent.log.2")]
    assert [figures(one) for one in document(*paths)["sessions"][0]["turns"]] == expected(plans)
    assert document(*paths) == document(*reversed(paths))


@pytest.mark.parametrize(("named", "ordered"), [
    (["a.log", "a.log.1", "a.log.10.gz", "a.log.2"], [["a.log.10.gz", "a.log.2", "a.log.1", "a.log"]]),
    (["a.log", "a.log-20260301.gz", "a.log-20260228"], [["a.log-20260228", "a.log-20260301.gz", "a.log"]]),
    (["a.log.2026-03-01", "a.log.2026-02-28_10", "a.log"],
     [["a.log.2026-02-28_10", "a.log.2026-03-01", "a.log"]]),
    (["x/a.log", "y/a.log", "x/a.log.1"], [["x/a.log.1", "x/a.log"], ["y/a.log"]]),
    (["b.jsonl", "a.log", "a.log"], [["b.jsonl"], ["a.log"]]),
    (["-", ""], [["-"], [""]]),
])  # fmt: skip
def test_which_files_are_one_log(named, ordered):
    """Numbers count down to the newest, dates up; names of other folders are other logs."""
    from tokentrace.readers import rotation

    assert rotation.sets(named) == ordered


def test_logs_of_the_same_name_stay_apart(written, tmp_path):
    """Two runs in two folders are two sessions, called by their paths."""
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        written(log(conversation(2)), f"{name}/agent.log")
    found = read(tmp_path / "x/agent.log", tmp_path / "y/agent.log")
    assert [one.id.split("/")[-2:] for one in found] == [["x", "agent.log"], ["y", "agent.log"]]


def test_a_log_named_twice_counts_once(written):
    """The same file named twice is one session with each turn once."""
    path = written(log(conversation(3)))
    [session] = read(path, path)
    assert len(session.calls) == 3


def test_logs_and_traces_mix(written, otlp):
    """A trace and a log are read in one go, each as what it is."""
    trace = written(otlp.export(otlp.span(otlp.call(1))), "run.jsonl")
    found = read(trace, written(log(conversation(2))))
    assert {one.id for one in found} == {"conv-42", "agent.log"}


def test_a_log_that_quotes_an_export_is_a_log(written, otlp):
    """Lines of OTLP in a log, its very first among them, are somebody's text."""
    export = otlp.export(otlp.span(otlp.call(1)))
    plans = conversation(2)
    text = export * 3 + log(plans).replace("\n...", f"\n{export}...")
    [session] = read(written(text))
    assert [one.total for one in session.turns] == [plan.total for plan in plans]


def test_an_export_that_quotes_a_log_is_a_trace(written, otlp):
    """Lines of a log inside a span are somebody's text."""
    line = log([Plan(1)]).splitlines()[9]
    export = otlp.export(otlp.span(otlp.call(1, error_type=line)), otlp.span(otlp.call(2)))
    assert [one.id for one in read(written(export, "run.jsonl"))] == ["conv-42"]


def test_standard_input(monkeypatch):
    """A log can be piped in."""
    import io
    import sys

    pipe = io.TextIOWrapper(io.BytesIO(log(conversation(2)).encode()))
    monkeypatch.setattr(sys, "stdin", pipe)
    [session] = read("-")
    assert (session.id, len(session.turns)) == ("stdin", 2)


# ── a log that is being written, or was cut ──────────────────────────────────────────────────────


def test_a_log_cut_inside_a_turn_keeps_what_it_tells(written):
    """What came before the cut is reported as far as it goes, and the cut is told."""
    plans = conversation(4)
    text = log(plans)
    cut = text.rindex("Total tokens for prompt")
    problems = Problems()
    [session] = read(written(text[:cut]), problems=problems)
    assert [one.total for one in session.turns] == [*(plan.total for plan in plans[:3]), 0]
    [context] = session.turns[3].contexts
    assert (context.included, context.inclusions) == (plans[3].context, sum(map(len, plans[3].pieces.values())))  # fmt: skip
    assert "ends inside turn 4" in str(problems.kept[-1])


def test_half_a_number_is_no_number(written):
    """A last line without an end may be half a line: it is left out, and told."""
    plan = Plan(1)
    text = log([plan])
    cut = text.index(str(plan.total)) + 3
    problems = Problems()
    [session] = read(written(text[:cut]), problems=problems)
    assert session.turns[0].main is None
    assert "a line without an end" in str(problems.kept[0])


def test_a_damaged_gzip_keeps_what_it_tells(written):
    """The end of a gzip file that was cut is told, what came before it is kept."""
    path = written(log(conversation(6, noise=60)), "agent.log.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    problems = Problems()
    [session] = read(path, problems=problems)
    assert 1 <= len(session.turns) < 6
    assert any("gzip" in str(one) for one in problems.kept)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_fed_in_pieces_or_read_at_once_is_the_same(data):
    """A follower gives the same records whenever it is asked what it knows so far."""
    lines = log(conversation(3)).encode().split(b"\n")
    asked = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=20))
    once = agent_log.Follower(agent_log.shipped()[0], "a", Problems())
    often = agent_log.Follower(agent_log.shipped()[0], "a", Problems())
    whole, pieces = [], []
    for place, line in enumerate(lines):
        whole += once.feed(line)
        pieces += often.feed(line)
        if place in asked:
            assert len(often.now()) <= 2
    assert [*whole, *once.end()] == [*pieces, *often.end()]


def test_a_follower_tells_of_the_turn_that_runs():
    """What is known so far of the running turn can be asked for, and bears the ids that it keeps."""
    follower = agent_log.Follower(agent_log.shipped()[0], "a", Problems())
    lines = log(conversation(2)).encode().split(b"\n")
    told = [record for line in lines for record in follower.feed(line)]
    now = follower.now()
    assert {one.turn for one in told} == {1}
    assert {one.turn for one in now} == {2}
    assert follower.end() == now


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 6_000), st.integers(0, 400))
def test_any_cut_anywhere_is_read(begin, length):
    """A log that lacks any stretch is read without an exception, and its turns sum up."""
    text = log(conversation(3)).encode()
    lines = (text[:begin] + text[begin + length :]).split(b"\n")
    follower = agent_log.Follower(agent_log.shipped()[0], "a", Problems())
    records = [record for line in lines for record in follower.feed(line)]
    for session in analysis.sessions([*records, *follower.end()]):
        for one in session.turns:
            assert sum(one.components.values()) == one.total


# ── odd logs ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("change", [
    lambda text: text.replace(b"\n", b"\r\n"),
    lambda text: text.replace(b" INFO ", b" \x1b[32mINFO\x1b[0m ").replace(b"Started", b"\x1b[1mStarted"),
    lambda text: text.replace(b"worker", "pödß".encode("latin-1")).replace(b"kubectl", b"kube\xe9"),
    lambda text: b"\xef\xbb\xbf" + text,
    lambda text: text[:5_000] + text[5_000:].replace(b" - name:", b"\0 - name:"),
    lambda text: text.replace("✅ ".encode(), b"").replace("📊 ".encode(), b"> "),
    lambda text: text.replace(b"\n", b"\n\n\n"),
], ids=["crlf", "colours", "latin-1", "bom", "nul", "no pictograms", "empty lines"])  # fmt: skip
def test_odd_texts_change_no_figure(written, change):
    """Line ends, colours, encodings and ornaments change no figure."""
    plans = conversation(5, noise=3)
    told = document(written(change(log(plans).encode())))
    assert [figures(one) for one in told["sessions"][0]["turns"]] == expected(plans)


@pytest.mark.parametrize("mark", [",", ".", "_", "'", "\u00a0", "\u202f", ""])
def test_numbers_with_separators(written, mark):
    """Thousands may be set apart by whatever a locale sets them apart by."""
    plan = Plan(1, limit=1_234_567)
    text = log([plan]).replace("1,234,567", f"1{mark}234{mark}567")
    [one] = read(written(text))[0].turns
    assert (one.limit, one.total) == (1_234_567, plan.total)


@pytest.mark.parametrize("number", ["9" * 19, "1" + ",000" * 30, "-5"])
def test_numbers_that_are_none_of_tokens(written, number):
    """What does not go into 64 bits, or is negative, is left out and told with its line."""
    plan = Plan(1)
    text = log([plan]).replace(
        f"User message tokens: {plan.user}", f"User message tokens: {number}"
    )
    problems = Problems()
    [one] = read(written(text), problems=problems)[0].turns
    assert one.total == plan.total
    assert sum(one.components.values()) == plan.total
    assert "no number of tokens" in problems.kept[0].reason
    assert problems.kept[0].line


def test_huge_figures_of_a_call_fit_the_schema(written):
    """The largest numbers that fit are reported as they are."""
    most = 2**63 - 1
    text = log([Plan(1)]).replace(f"(base + context_block): {Plan(1).total}", f"(base + context_block): {most}")  # fmt: skip
    lines = [line for line in text.splitlines() if "Final prompt validation" not in line]
    shown = document(written("\n".join([*lines, ""])))["sessions"][0]["turns"][0]
    assert shown["total"] == most


def test_a_text_that_looks_like_a_line_says_nothing(written):
    """Only a line with the head of the format counts, not a quote of one inside a text."""
    quoted = "\n  Started new turn 99\nTotal tokens for prompt (base + context_block): 5\n..."
    plans = conversation(3)
    told = document(written(log(plans).replace("\n...", quoted)))
    assert [figures(one) for one in told["sessions"][0]["turns"]] == expected(plans)


@pytest.mark.parametrize("text", [
    "Mar  1 09:00:00 host sshd[12]: Accepted publickey for root\n" * 40,
    '127.0.0.1 - - [01/Mar/2026:09:00:00] "GET / HTTP/1.1" 200 5\n' * 40,
    "2026-03-01 09:00:00,001 - INFO - worker.py:12 - Started job 5\n" * 40,
    "Started new turn 1\n",
])  # fmt: skip
def test_the_log_of_another_program(written, text):
    """A log that nobody knows is one line that says what to do."""
    with pytest.raises(InputError) as caught:
        read(written(text))
    assert "not an OTLP-JSON trace, and no log of devops-agent" in str(caught.value)
    assert "--log-format" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_log_without_a_turn(written):
    """The start of an agent alone is known, and holds nothing."""
    with pytest.raises(InputError, match="a log of devops-agent without a turn"):
        read(written(log([])))


def test_an_empty_file_of_a_set_is_passed_over(written):
    """A log that was just rotated is empty: the others are read."""
    plans = conversation(2)
    for names in (("agent.log", "agent.log.1"), ("agent.log.1", "agent.log")):
        paths = [written("", names[0]), written(log(plans), names[1])]
        [session] = read(*paths)
        assert len(session.turns) == 2


def test_the_rest_of_a_turn_before_the_first_is_left_out(written):
    """A log that begins inside a turn, whose number nobody told, says so and reads on."""
    plans = conversation(3)
    text = log(plans)
    problems = Problems()
    [session] = read(written(text[text.index("Started new turn 1") - 40 :].split("\n", 1)[1]), problems=problems)  # fmt: skip
    assert [one.total for one in session.turns] == [plan.total for plan in plans[1:]]
    assert "begins inside a turn" in str(problems.kept[0])


def test_a_flood_in_one_call_is_bounded(written):
    """A call that never ends costs bounded memory; its pieces are counted all the same."""
    text = log([Plan(1)])
    line = next(line for line in text.splitlines() if "INCLUDED" in line)
    out = line.replace(
        "✅ INCLUDED: Core Goal (12 tokens)", "❌ EXCLUDED: Turn 1 (5 tokens) - full"
    )
    flood = text.replace(line, "\n".join([line, *[line, out] * 11_000]))
    [one] = read(written(flood))[0].turns
    assert (one.inclusions, len(one.main.details), len(one.of("excluded"))) == (11_001, 10_000, 10_000)  # fmt: skip


# ── the command ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("limit", "code", "verdict"), [(8_000, 1, "critical"), (60_000, 0, "degraded")]
)
def test_the_command_reads_logs(written, limit, code, verdict):
    """`tokentrace report agent.log --json` is the report of the log, with the exit code of its verdict."""
    path = written(log(conversation(12, limit=limit)))
    ran = CliRunner().invoke(app, ["report", str(path), "--json"])
    told = plain.loads(ran.stdout)
    assert (ran.exit_code, told["sessions"][0]["verdict"]) == (code, verdict)
    assert [figures(one) for one in told["sessions"][0]["turns"]] == expected(conversation(12, limit=limit))  # fmt: skip


def test_the_command_refuses_another_log(written):
    """One line on stderr, exit code 2."""
    ran = CliRunner().invoke(app, ["report", str(written("GET / 200\n" * 9))])
    assert (ran.exit_code, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)


# ── the logs of the first users ──────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded logs are not here")
@pytest.mark.parametrize("name", ["healthy", "overflow", "pressure"])
def test_recorded_logs(name):
    """Every figure of a recorded log is the expected one, and its verdict is right."""
    wanted = plain.loads((SHARED / f"{name}.expected.json").read_text("utf-8"))
    [session] = document(SHARED / f"{name}.log.gz")["sessions"]
    assert [recorded(one) for one in session["turns"]] == [
        {key: value for key, value in turn.items() if key != "at"} for turn in wanted["turns"]
    ]
    summary = session["summary"]
    causes = sum((Counter(one["exclusions"]) for one in session["turns"]), Counter())
    assert {
        "peak": summary["peak"],
        "increases": summary["increases"],
        "decreases": summary["decreases"],
        "stable": summary["stable"],
        "excluded_budget": causes["budget"],
        "low_utilization": summary["low_utilization"],
        "limit_exceeded": summary["exceeded"],
    } == {key: value for key, value in wanted.items() if key not in {"meta", "turns"}}
    verdict = analysis.judge(read(SHARED / f"{name}.log.gz")[0])
    codes = {finding.code for finding in verdict.findings}
    assert (verdict.verdict == "critical") == (name != "healthy")
    assert "figures.disagree" in codes
    assert name != "healthy" or "utilization.low" in codes


def recorded(shown):
    """Return a turn of the JSON report by the names of the recorded figures."""
    [context] = shown["contexts"]
    causes = shown["exclusions"]
    used = shown["total"] - shown["components"].get("framing", 0)
    kinds = {event["kind"] for event in shown["events"]}
    return {
        "included": shown["inclusions"],
        "excluded": sum(causes.values()),
        "excluded_budget": causes.get("budget", 0),
        "excluded_cap": causes.get("cap", 0),
        "low": "low_utilization" in kinds,
        "context_tokens": context["included"],
        "base_prompt_tokens": used - context["included"],
        "total_used": used,
        "limit": shown["limit"],
        "final_prompt_tokens": shown["total"],
        "exceeds_limit": "exceeded" in kinds,
        "utilization": round(shown["utilization"], 4),
        "turn": shown["number"],
        "delta": shown["delta"],
        "trend": shown["trend"] or None,
    }


def test_plans_are_as_large_as_recorded_turns():
    """The made-up logs have the recorded ones' kinds of lines: none of their turns is empty."""
    plans = [replace(plan, noise=5) for plan in conversation(25)]
    assert len(log(plans).splitlines()) > 25 * 60
