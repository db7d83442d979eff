"""Faults of the trace folder and what processes left there: planted, found, mended, and gone."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from contextlib import contextmanager

import openai
import pytest

import tokentrace
from tokentrace import doctor, schema, telemetry
from tokentrace.prompt import CallRecord, ContextRecord, Usage
from tokentrace.readers import losses as reading
from tokentrace.telemetry import losses
from tokentrace.testing import Wire, openai_chat

RECORD = CallRecord(
    model="gpt-4o", tokens=85, method="exact", components={"history": 60, "system": 25}, limit=100,
    session="s1", usage=Usage(input=85, output=5),
)  # fmt: skip


def record(*records):
    """Write records into this test's folder, as an agent does."""
    telemetry.configure(exporter="local")
    for one in records:
        opened = telemetry.open_call if isinstance(one, CallRecord) else telemetry.open_assembly
        handle = opened(one if isinstance(one, CallRecord) else one.name)
        handle.close(one)
    telemetry.shutdown()


def changed(**changes):
    """Return the record with changes, its sums kept whole."""
    from dataclasses import replace

    return replace(RECORD, **changes)


@contextmanager
def file_system(place, options):
    """Mount a small file system, where this user may."""
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs here")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def folder(tmp_path):
    """The trace folder of this test, made by recording a call."""
    record(RECORD)
    return tmp_path / "traces"


# ── the folder ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_in_the_folders_place(tmp_path, look, monkeypatch, below):
    """Where a file stands in the way no trace is written; another folder mends it."""
    (tmp_path / "taken").write_text("not a folder")
    monkeypatch.setenv("TOKENTRACE_DIR", str(tmp_path / "taken" / below))
    (found,) = look("folder")
    assert (found.state, "it is no folder" in found.what) == ("fault", True)
    assert "set TOKENTRACE_DIR to another folder" in found.mend
    monkeypatch.setenv("TOKENTRACE_DIR", str(tmp_path / "free"))
    (found,) = look("folder")
    assert (found.state, "the first span makes it" in found.what) == ("note", True)
    record(RECORD)
    assert look("folder") == []


def test_looking_leaves_nothing_behind(tmp_path, look, folder):
    """Doctor makes no folder that was not there, and no file in one that was."""
    before = sorted(folder.iterdir())
    doctor.examine("folder", doctor.Machine())
    assert sorted(folder.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["traces"]


def test_a_folder_on_a_read_only_file_system(tmp_path, look, monkeypatch):
    """What the file system refuses is told in its words; writable again it is fine."""
    place = tmp_path / "small"
    with file_system(place, "size=1m"):
        monkeypatch.setenv("TOKENTRACE_DIR", str(place))
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        (found,) = look("folder")
        assert (found.state, "Read-only file system" in found.what) == ("fault", True)
        assert "make it a folder that this user may write to" in found.mend
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        assert look("folder") == []


def test_a_full_disk(tmp_path, look, monkeypatch):
    """A disk without room is a fault, with little room a warning; freed it is fine."""
    place = tmp_path / "small"
    with file_system(place, "size=80m"):
        monkeypatch.setenv("TOKENTRACE_DIR", str(place))
        ballast = place / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 80 * 2**20 - 2**16)
        (found,) = look("folder.disk")
        assert (found.state, "free some space" in found.mend) == ("fault", True)
        os.truncate(ballast, 40 * 2**20)
        assert [one.state for one in look("folder.disk")] == ["warn"]
        ballast.unlink()
        assert look("folder.disk") == []


def test_a_folder_that_others_may_enter(folder, look):
    """A mode that is not private is told with the command that makes it so, which is run here."""
    assert look("folder.private") == []
    folder.chmod(0o755)
    (found,) = look("folder.private")
    assert (found.state, "mode 0755" in found.what) == ("warn", True)
    subprocess.run(shlex.split(found.mend), check=True)
    assert look("folder.private") == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_another_user(folder, look):
    """An owner who is not us is told with the command that gives the folder back."""
    os.chown(folder, 12345, -1)
    (found,) = look("folder.private")
    assert "belongs to user 12345" in found.what
    subprocess.run(shlex.split(found.mend.partition(", or ")[2]), check=True)
    assert look("folder.private") == []


def test_a_folder_at_its_bound(folder, look, tmp_path):
    """Files near the bound are told, because the oldest are removed; moved away they are not."""
    (found,) = doctor.examine("folder.size", doctor.Machine())
    assert (found.state, found.facts["files"]) == ("ok", 1)
    big = folder / "tokentrace-20260101T000000-1.jsonl"
    big.touch()
    os.truncate(big, 60 * 2**20)
    (found,) = look("folder.size")
    assert (found.state, "move files away" in found.mend) == ("warn", True)
    big.rename(tmp_path / "kept.jsonl")
    assert look("folder.size") == []


def test_a_damaged_line(folder, look, tmp_path):
    """A line that cannot be read is counted and placed; without its file nothing is damaged."""
    bad = folder / "bad.jsonl"
    bad.write_text('{"resourceSpans":[{"sco\n')
    (found,) = look("folder.damaged")
    assert found.state == "warn"
    assert "1 damaged record, first" in found.what
    assert "bad.jsonl:1" in found.what
    assert "move the file out of the folder" in found.mend
    bad.rename(tmp_path / "bad.txt")
    assert look("folder.damaged") == []


# ── what it holds ────────────────────────────────────────────────────────────────────────────────


def test_nothing_recorded(look, tmp_path, monkeypatch):
    """An empty place says how to fill it: with the folder, without it, and where spans go elsewhere."""
    assert "tokentrace.instrument() before its first call" in look("records")[0].mend
    (tmp_path / "traces").mkdir()
    assert "end the process in order" in look("records")[0].mend
    monkeypatch.setenv("TOKENTRACE_EXPORTER", "none")
    assert "spans go elsewhere" in look("records")[0].what
    monkeypatch.delenv("TOKENTRACE_EXPORTER")
    record(RECORD)
    assert look("records") == []


def test_what_is_held(look):
    """Spans, calls, sessions and the age of the newest are told."""
    record(RECORD, changed(session="s2"), ContextRecord(name="a"))
    (found,) = doctor.examine("records", doctor.Machine())
    facts = {key: found.facts[key] for key in ("calls", "spans", "sessions")}
    assert facts == {"calls": 2, "spans": 3, "sessions": 2}
    assert "just now" in found.what
    assert found.facts["age_s"] < 60


@pytest.mark.parametrize(("seconds", "told"), [
    (3, "just now"), (61, "1 minute ago"), (7_300, "2 hours ago"), (90_000, "1 day ago"),
])  # fmt: skip
def test_ages_are_told_roughly(seconds, told):
    """An age is given in its largest unit."""
    from tokentrace.doctor import folder as room

    assert room._ago(seconds) == told


@pytest.mark.parametrize(("code", "planted", "mend"), [
    ("records.limit", {"limit": None}, "Guard(limit={'gpt-4o*': 100_000})"),
    ("records.usage", {"usage": Usage()}, "stream_options={'include_usage': True}"),
    ("records.count", {"method": "estimated", "error": 9}, ""),
    ("records.drift", {"usage": Usage(input=90)}, "report it"),
])  # fmt: skip
def test_calls_that_tell_less_than_they_could(code, planted, mend, look, folder):
    """Calls without limit, usage or exact counts are told; a folder without them is silent."""
    assert look(code) == []
    record(changed(**planted))
    (found,) = look(code)
    assert found.state == ("warn" if code == "records.drift" else "note")
    assert mend in found.mend
    for file in folder.glob("*.jsonl"):
        file.unlink()
    record(RECORD)
    assert look(code) == []


def talk(times, bound, monkeypatch):
    """Have an agent record the same long prompt in turns under one span of its own."""
    monkeypatch.setenv("TOKENTRACE_ATTRIBUTE_BYTES", str(bound))
    wire = Wire(openai_chat("Done.", prompt_tokens=50))
    client = openai.OpenAI(api_key="test", http_client=wire.client("openai"))
    messages = [{"role": "user", "content": "lorem ipsum " * 9_000}]
    tokentrace.instrument(capture_content=True)
    with tokentrace.session("s", agent="a"), tokentrace.turn():
        for _ in range(times):
            client.chat.completions.create(model="gpt-4o", messages=messages)
    tokentrace.uninstrument()


def test_texts_that_tempo_would_cut(look, monkeypatch):
    """Recorded prompts over the bound are told by their attribute; with our default there are none."""
    talk(1, 2_000, monkeypatch)
    assert look("records.text") == []
    talk(2, 64_000, monkeypatch)
    (found,) = look("records.text")
    assert (found.state, found.facts["texts"]) == ("warn", 2)
    assert found.facts["names"] == {schema.INPUT_MESSAGES: 2}
    assert 63_000 < found.facts["longest"] <= 64_000


def test_traces_that_tempo_would_take_in_part(look, monkeypatch):
    """A turn of 50 calls with 100 kB of prompt each is told with its numbers; a short one is not."""
    talk(2, 100_000, monkeypatch)
    assert look("records.trace") == []
    talk(50, 100_000, monkeypatch)
    (found,) = look("records.trace")
    assert (found.state, found.facts["traces"], found.facts["spans"]) == ("warn", 1, 51)
    assert 5_000_000 < found.facts["bytes"] < 5_400_000
    assert "max_bytes_per_trace" in found.mend


# ── what was lost ────────────────────────────────────────────────────────────────────────────────

LATE = """
import tokentrace
from tokentrace import telemetry
from tokentrace.prompt import CallRecord
tokentrace.instrument(exporter="local")
record = CallRecord(model="gpt-4o", tokens=1, method="exact", components=dict(user=1))
call = telemetry.open_call(record)
{early}
call.close(record)
{late}
"""
STOP = "tokentrace.uninstrument()"


def test_spans_that_end_after_the_shutdown(process, look):
    """A process that shuts down too early leaves word of what it lost; in order it loses nothing."""
    process(LATE.format(early=STOP, late=""))
    (found,) = look("lost.spans")
    assert (found.state, found.facts) == ("warn", {"reason": losses.CLOSED, "count": 1})
    assert "only after the last call" in found.mend
    assert "the number goes with its trace file" in found.mend
    (file,) = doctor.Machine().folder.glob("*.jsonl")
    file.unlink()
    process(LATE.format(early="", late=STOP))
    assert look("lost.spans") == []


def test_errors_of_a_callback_and_of_ours(process, look):
    """Internal errors of another process are told by kind, callbacks apart."""
    process("""
        from tokentrace import _failsafe, telemetry
        from tokentrace.prompt import CallRecord
        telemetry.configure(exporter="local")
        telemetry.open_call(CallRecord()).close(CallRecord())
        _failsafe.record(KeyError("x"), "callback compress")
        _failsafe.attempt(len, 5)
        _failsafe.attempt(len, 5)
    """)
    found = look("lost.errors")
    assert [(one.facts["kind"], one.facts["count"]) for one in found] == [
        ("callback compress:KeyError", 1), ("len:TypeError", 2),
    ]  # fmt: skip
    assert "mend the callback" in found[0].mend
    assert "TOKENTRACE_STRICT=1" in found[1].mend


def test_every_reason_has_a_mend(look, tmp_path):
    """Whatever the exporters count as lost has a mend of its own; an unknown reason is told too."""
    reasons = {
        getattr(losses, name) for name in ("QUEUE_FULL", "FAILED", "CLOSED", "LEFT", "UNWRITTEN")
    }
    folder = tmp_path / "traces"
    folder.mkdir()
    told = losses.export(
        losses.counts(dict.fromkeys([*reasons, "of a new kind"], 3)), time.time_ns()
    )
    from tokentrace.telemetry import local

    (folder / "x.jsonl").write_bytes(local.encoded(told) + b"\n")
    found = {one.facts["reason"]: one for one in look("lost.spans")}
    assert found.keys() == {*reasons, "of a new kind"}
    assert len({one.mend for one in found.values()}) == len(found)
    assert "3 spans lost" in found["of a new kind"].what


def test_losses_are_summed_over_processes(tmp_path):
    """Of each process the newest numbers count, however often it told them."""
    from tokentrace.telemetry import local

    told = [
        losses.export(losses.counts({losses.FAILED: count}), since)
        for since, count in ((1, 2), (1, 5), (2, 10))
    ]
    (tmp_path / "a.jsonl").write_bytes(b"".join(local.encoded(one) + b"\n" for one in told))
    found = reading.read(str(tmp_path))
    assert found.keys() == schema.LOSSES.keys()
    assert {name: table for name, table in found.items() if table} == {
        schema.DROPPED: {losses.FAILED: 15}
    }


@pytest.mark.parametrize("line", [
    '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"tokentrace.telemetry.dropped","sum":7}]}]}]}',
    '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"tokentrace.telemetry.dropped"}]}]}]}',
    '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"tokentrace.telemetry.dropped","sum":{"dataPoints":[{}]}}]}]}]}',
    '{"resourceMetrics":', '{"resourceMetrics":null}', "\x00",
])  # fmt: skip
def test_odd_metrics_are_nothing(tmp_path, line):
    """Lines that are no metrics of ours, or broken ones, count as nothing and raise nothing."""
    (tmp_path / "a.jsonl").write_text(f"{line}\n")
    assert sum(map(len, reading.read(str(tmp_path)).values())) == 0
    assert sum(map(len, reading.read(str(tmp_path / "none")).values())) == 0
