"""Sessions out of records that are in memory, and out of records in a file: the same, in any order."""

from __future__ import annotations

import errno
import random
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tokentrace import analysis, schema
from tokentrace.analysis import Best, Gathered, Summary, Tally
from tokentrace.analysis.tally import merged
from tokentrace.cli import app
from tokentrace.errors import InputError
from tokentrace.prompt import CallRecord, ContextRecord, Detail, Event, Usage
from tokentrace.readers import spilling
from tokentrace.readers.spilling import Records

SECOND = 10**9


def records(seed, count=120):
    """Return records of named sessions, of lineages, of sub-agents, with assemblies of anybody's."""
    noise = random.Random(seed)
    found = []
    for place in range(count):
        trace = f"{noise.randrange(40) + 1:032x}"
        start = noise.choice((noise.randrange(60) * SECOND, 7))
        ids = {"trace_id": trace, "span_id": f"{place + 1:016x}", "start": start, "end": start + 9}
        named = {"session": noise.choice(("a", "b", "", ""))}
        parent = {"parent_id": noise.choice(("", f"{noise.randrange(5) + 900:016x}"))}
        if noise.random() < 0.4:
            left = Event(schema.COMPONENT_EXCLUDED, {"name": "x", "tokens": 4, "tags": ("a", "b")})
            found.append(ContextRecord(**ids, **named, **parent, included=9, events=(left,)))
            continue
        tokens = noise.randrange(900)
        found.append(
            CallRecord(
                **ids, **named, **parent, agent=noise.choice(("x", "y")), tokens=tokens,
                lineage=noise.choice(("", "l1", "l2", trace)), turn=noise.choice((None, 1, 2, 3)),
                turn_id=noise.choice(("", "", "t1", "t2", "t3")), components={"history": tokens},
                limit=1_000, settings={"encoding_formats": ("float",), "temperature": 0.5},
                details=(Detail("tools", "t", 3),), usage=Usage(tokens, 5, finish_reasons=("stop",)),
                service="\ud800" if noise.random() < 0.05 else "agents", forecast=1.5,
            )
        )  # fmt: skip
    return [*found, *(replace(one) for one in found[::9])]


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000), st.integers(0, 130))
def test_a_file_gives_the_sessions_of_memory(seed, most):
    """Whatever records there are, and however many of them go into a file, the sessions are equal."""
    mine = records(seed)
    with Records(most) as kept:
        found = Gathered(mine, kept)
        assert found.spilled is (most < len(kept))
        assert (*found,) == analysis.sessions(mine)
        assert found.ids == [one.id for one in found]
        assert found[-2:] == (*found,)[-2:]


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000))
def test_a_tally_adds_up_to_the_summary_of_all(seed):
    """Sessions that are told of one by one add up to what they do together."""
    found = analysis.sessions(records(seed))
    tally = Tally(last=3)
    for one in found:
        tally.add(one, analysis.judge(one))
    report = analysis.Report(found)
    assert tally.summary == analysis.summary(found)
    assert tally.verdict == report.verdict
    assert [entry.session.id for entry in tally.last] == [one.id for one in found[-3:]]


def test_of_equal_peaks_the_first_stays():
    """The turn of the largest prompt is that of the first session that reached it."""
    first, second = Summary(turns=2, peak=9, peak_turn=2), Summary(turns=1, peak=9, peak_turn=1)
    assert merged(first, second).peak_turn == 2
    assert merged(Summary(), second).peak_turn == 1


def test_the_best_are_the_largest_and_of_equals_the_last():
    """Of many entries those are kept that a sort of all would bring to the front."""
    mine = [CallRecord(span_id=f"{n}", session=f"s{n}", start=n, tokens=n % 4) for n in range(30)]
    best = Best(5, lambda entry: (entry.total.peak,))
    tally = Tally(best)
    for one in analysis.sessions(mine):
        tally.add(one, analysis.judge(one))
    assert [entry.session.id for entry in best] == ["s27", "s23", "s19", "s15", "s11"]


def test_no_room_is_one_clear_line(monkeypatch):
    """A full disk is told of with its mend."""

    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(spilling.tempfile, "TemporaryFile", lambda **_: Full())
    calls = [CallRecord(span_id=f"{place}") for place in range(5_000)]
    with Records(0) as kept, pytest.raises(InputError, match="TMPDIR"):
        deque(map(kept.add, calls), 0)


# ── the command ──────────────────────────────────────────────────────────────────────────────────

OPTIONS = (
    ("--json",),
    ("--json", "--explain"),
    ("--json", "--last", "2"),
    ("--json", "--session", "conv-1"),
    ("--session", "conv-1", "--cost"),
    ("--session", "conv-11", "--tools"),
    ("--cost", "--last", "2"),
    ("--markdown", "--cost"),
    ("--markdown",),
    ("--explain",),
    ("--last", "1"),
    (),
)


@pytest.fixture
def traces(tmp_path, otlp):
    """Thirty sessions of six turns, some of them over their limit, in one file."""
    path = tmp_path / "traces.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for turn in range(1, 7):
            for session in range(30):
                tokens = 300 * turn * (1 + session % 9)
                call = otlp.call(
                    turn, session=f"conv-{session:02}", trace_id=f"{session * 50 + turn:032x}",
                    span_id=f"{session * 50 + turn:016x}", start=(turn * 100 + session) * SECOND,
                    end=(turn * 100 + session + 1) * SECOND, tokens=tokens, components={"history": tokens},
                    limit=10_000, details=(), cached={}, costs={}, turn_id="", lineage=f"l{session}",
                )  # fmt: skip
                file.write(otlp.export(otlp.span(call)))
        file.write('{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "x", "attributes": [')
    return path


def told(*words):
    result = CliRunner().invoke(app, ["report", *map(str, words)], prog_name="tokentrace")
    return result.exit_code, result.stdout


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_a_report_out_of_a_file_is_that_out_of_memory(options, traces, monkeypatch):
    """Each form has the same bytes and the same exit code, whether records were spilled or not."""
    whole = told(traces, *options)
    monkeypatch.setattr(spilling, "MOST", 10)
    assert told(traces, *options) == whole
    assert whole[0] in {0, 1}
    assert "conv-1" in whole[1]


def test_a_page_out_of_a_file_is_that_out_of_memory(traces, tmp_path, monkeypatch):
    """The page has the same bytes, and so has a comparison, for which all sessions are held."""
    told(traces, "--html", tmp_path / "whole.html")
    compared = told(traces, "--against", "conv-03", "--json")
    monkeypatch.setattr(spilling, "MOST", 10)
    told(traces, "--html", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "whole.html").read_bytes()
    assert told(traces, "--against", "conv-03", "--json") == compared


def test_a_session_that_is_not_there_is_told_of(traces, monkeypatch):
    """A name that nobody bears is one line with names like it, out of a file as well."""
    monkeypatch.setattr(spilling, "MOST", 10)
    result = CliRunner().invoke(app, ["report", str(traces), "--session", "conv_07"])
    assert result.exit_code == 2
    assert "conv-07" in result.stderr
