"""The local exporter: whole lines, its own folder, a bound, and silence after a failure."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, StatusCode

from tokentrace import _failsafe, readers, schema, telemetry
from tokentrace.prompt import CallRecord, Usage
from tokentrace.telemetry import exporting, local, losses, sources
from tokentrace.telemetry.local import LocalExporter

RECORD = CallRecord(
    model="gpt-4o", tokens=85, method="exact", components={"history": 60, "system": 25}, limit=100,
    usage=Usage(input=87, output=5, finish_reasons=("stop",)),
)  # fmt: skip


def spans(number=1, **attributes):
    """Return finished spans."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tokentrace", "1")
    made = []
    for index in range(number):
        span = tracer.start_span(f"chat {index}", attributes=attributes)
        span.end()
        made.append(span)
    return made


def finished(number):
    """Return finished spans of calls."""
    exporter = InMemorySpanExporter()
    telemetry.configure(exporter=exporter)
    for _ in range(number):
        telemetry.open_call(RECORD).close(RECORD)
    return exporter.get_finished_spans()


def lines(folder):
    """Return every line of a folder's files, parsed."""
    return [
        json.loads(line)
        for file in sorted(Path(folder).glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]


def span_of(line):
    return line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]


def run(body, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, **environment},
    )


def test_a_line_is_a_whole_export(tmp_path):
    """Each line is OTLP JSON: hex ids, integers as strings, typed values."""
    exporter = LocalExporter(str(tmp_path / "t"))
    (span,) = spans(
        a=1, b="x", c=1.5, d=True, e=("p", "q"), f=float("nan"), g=float("-inf"), h=float("inf")
    )
    assert exporter.send([span]) == ""
    (line,) = lines(tmp_path / "t")
    written = span_of(line)
    assert written["traceId"] == f"{span.context.trace_id:032x}"
    assert written["spanId"] == f"{span.context.span_id:016x}"
    assert written["startTimeUnixNano"] == str(span.start_time)
    assert written["kind"] == 1
    assert {pair["key"]: pair["value"] for pair in written["attributes"]} == {
        "a": {"intValue": "1"},
        "b": {"stringValue": "x"},
        "c": {"doubleValue": 1.5},
        "d": {"boolValue": True},
        "e": {"arrayValue": {"values": [{"stringValue": "p"}, {"stringValue": "q"}]}},
        "f": {"doubleValue": "NaN"},
        "g": {"doubleValue": "-Infinity"},
        "h": {"doubleValue": "Infinity"},
    }
    assert line["resourceSpans"][0]["scopeSpans"][0]["scope"] == {
        "name": "tokentrace",
        "version": "1",
    }


def test_parents_links_events_and_status_are_written(tmp_path):
    """What hangs on a span goes into its line."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    other = SpanContext(7, 9, is_remote=False)
    with tracer.start_as_current_span("parent") as parent:
        child = tracer.start_span("child", links=[Link(other)], attributes={"nested": {"k": 1}})
        child.add_event("happened", {"n": 2}, timestamp=5)
        child.set_status(StatusCode.ERROR)
        child.end()
    exporter = LocalExporter(str(tmp_path / "t"))
    exporter.send([child])
    written = span_of(lines(tmp_path / "t")[0])
    assert written["parentSpanId"] == f"{parent.get_span_context().span_id:016x}"
    assert written["links"] == [{"traceId": f"{7:032x}", "spanId": f"{9:016x}"}]
    assert written["events"] == [
        {
            "timeUnixNano": "5",
            "name": "happened",
            "attributes": [{"key": "n", "value": {"intValue": "2"}}],
        }
    ]
    assert written["status"] == {"code": 2}


def test_lone_surrogates_are_mended(tmp_path):
    """A text that is no Unicode costs its surrogate, not its line."""
    assert local.encoded({"k\ud800": ["v\udfff", 1]}) == b'{"k\xef\xbf\xbd":["v\xef\xbf\xbd",1]}'


def test_the_folder_is_ours_alone_and_ignored(tmp_path):
    """The folder is made with mode 0700 and its own ignore file; files with 0600."""
    exporter = LocalExporter(str(tmp_path / "deep" / "t"))
    exporter.send(spans())
    folder = tmp_path / "deep" / "t"
    (file,) = folder.glob("*.jsonl")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_folder_of_the_users_stays_as_it_is(tmp_path):
    """A folder that was there gets our file, and nothing that would hide it from git."""
    tmp_path.chmod(0o755)
    LocalExporter(str(tmp_path)).send(spans())
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / ".gitignore").exists()
    assert len(lines(tmp_path)) == 1


def test_nothing_is_made_before_the_first_span(tmp_path):
    """An exporter that gets no span leaves no trace of itself."""
    LocalExporter(str(tmp_path / "t")).shutdown()
    assert not (tmp_path / "t").exists()


def test_it_is_announced_once(tmp_path, caplog):
    """Where the traces go is said once, at INFO."""
    caplog.set_level(logging.INFO, "tokentrace")
    exporter = LocalExporter(str(tmp_path / "t"))
    exporter.send(spans())
    exporter.close()
    exporter.send(spans())
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert str(tmp_path / "t") in caplog.text


def test_a_folder_that_is_none_is_one_warning_and_off(tmp_path, caplog):
    """A file in the folder's place switches the exporter off, with one line."""
    (tmp_path / "t").write_text("not a folder")
    exporter = LocalExporter(str(tmp_path / "t"))
    assert [exporter.send(spans()) for _ in range(3)] == [losses.UNWRITTEN] * 3
    assert len(caplog.records) == 1
    assert "t from now on" in caplog.text


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_read_only_folder_is_one_warning_and_counted(tmp_path, caplog, monkeypatch, code):
    """Where no file can be opened, spans are counted as lost and the call goes on."""
    telemetry.configure(exporter="local")
    real = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith(".jsonl"):
            raise OSError(code, os.strerror(code))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    for _ in range(3):
        telemetry.open_call(RECORD).close(RECORD)
        telemetry.flush()
    assert telemetry.dropped() == {losses.UNWRITTEN: 3}
    assert len(caplog.records) == 1


def test_a_full_disk_leaves_whole_lines(tmp_path, caplog, monkeypatch):
    """A write that is cut short is taken back, so that the file ends with a whole line."""
    exporter = LocalExporter(str(tmp_path / "t"))
    assert exporter.send(spans(3)) == ""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
    assert exporter.send(spans(3)) == losses.UNWRITTEN
    monkeypatch.undo()
    assert exporter.send(spans(3)) == losses.UNWRITTEN
    assert len(lines(tmp_path / "t")) == 3
    assert "No space left" in caplog.text


def test_a_really_full_disk(tmp_path):
    """On a file system of 64 kB the exporter stops, and what it wrote can be read."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs here")
    try:
        exporter = LocalExporter(str(place / "t"))
        results = [exporter.send(spans(20, text="x" * 500)) for _ in range(20)]
        assert results[0] == ""
        assert results[-1] == losses.UNWRITTEN
        assert lines(place / "t")
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_really_read_only_file_system(tmp_path, caplog):
    """On a file system that takes no writes everything is counted as lost, with one line."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs here")
    try:
        telemetry.configure(exporter=LocalExporter(str(place / "t")))
        for _ in range(3):
            telemetry.open_call(RECORD).close(RECORD)
            telemetry.flush()
        assert sum(telemetry.dropped().values()) == 3
        assert len(caplog.records) == 1
        assert "Read-only" in caplog.text
    finally:
        subprocess.run(["umount", place], check=True)


def test_the_oldest_files_go_first(tmp_path, monkeypatch):
    """A folder above its bound loses its oldest files, and none that is not ours."""
    monkeypatch.setattr(local, "KEEP_BYTES", 2_500)
    for age in range(5):
        file = tmp_path / f"tokentrace-20260101T00000{age}-1.jsonl"
        file.write_bytes(b"x" * 1_000)
        os.utime(file, (age, age))
    (tmp_path / "notes.jsonl").write_bytes(b"x" * 10_000)
    assert local.prune(str(tmp_path), "") == 2
    left = sorted(file.name for file in tmp_path.iterdir())
    assert left == [
        "notes.jsonl",
        "tokentrace-20260101T000003-1.jsonl",
        "tokentrace-20260101T000004-1.jsonl",
    ]


def test_a_process_that_writes_much_stays_inside_the_bound(tmp_path, monkeypatch):
    """Many times the bound leaves a folder within it, the newest spans readable."""
    monkeypatch.setattr(local, "FILE_BYTES", 20_000)
    monkeypatch.setattr(local, "KEEP_BYTES", 100_000)
    monkeypatch.setattr(local, "LEAST_LOOK", 2_000)
    exporter = LocalExporter(str(tmp_path / "t"))
    for number in range(200):
        assert exporter.send(spans(5, turn=number)) == ""
    total = sum(file.stat().st_size for file in (tmp_path / "t").glob("*.jsonl"))
    assert 60_000 < total <= 120_000
    turns = [
        pair["value"]["intValue"]
        for line in lines(tmp_path / "t")
        for pair in span_of(line)["attributes"]
    ]
    assert "199" in turns


def test_a_removed_file_is_replaced(tmp_path):
    """When somebody empties the folder, the next span makes file and folder anew."""
    exporter = LocalExporter(str(tmp_path / "t"))
    exporter.send(spans())
    for file in (tmp_path / "t").iterdir():
        file.unlink()
    (tmp_path / "t").rmdir()
    assert exporter.send(spans()) == ""
    assert len(lines(tmp_path / "t")) == 1


@pytest.mark.parametrize(("times", "expected"), [(2, ""), (3, losses.UNWRITTEN)])
def test_a_folder_removed_between_making_and_opening_is_made_again(
    tmp_path, monkeypatch, times, expected
):
    """Whoever deletes the folder in the moment before a file is opened does not switch writing off."""
    real, left = local.make_folder, [times]

    def unlucky(folder):
        made = real(folder)
        if left[0]:
            left[0] -= 1
            shutil.rmtree(folder)
        return made

    monkeypatch.setattr(local, "make_folder", unlucky)
    assert LocalExporter(str(tmp_path / "t")).send(spans()) == expected


def test_the_folder_stays_when_the_process_moves(tmp_path, monkeypatch):
    """A relative folder is where the process was when it began."""
    monkeypatch.chdir(tmp_path)
    exporter = LocalExporter("t")
    monkeypatch.chdir("/")
    exporter.send(spans())
    assert len(lines(tmp_path / "t")) == 1


def test_spans_reach_the_file_within_the_delay(tmp_path):
    """A span can be read about a second after it ended, without anybody flushing."""
    telemetry.configure(exporter="local")
    telemetry.open_call(RECORD).close(RECORD)
    end = time.monotonic() + 10
    while not list(Path(telemetry.folder()).glob("*.jsonl")) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(lines(telemetry.folder())) == 1


def test_the_record_comes_back_from_the_file(tmp_path):
    """What the local exporter wrote reads back as the record."""
    telemetry.configure(exporter="local", service_name="svc")
    telemetry.open_call(RECORD).close(RECORD)
    assert telemetry.flush()
    (line,) = lines(telemetry.folder())
    resource = {
        pair["key"]: pair["value"] for pair in line["resourceSpans"][0]["resource"]["attributes"]
    }
    assert resource[schema.SERVICE_NAME] == {"stringValue": "svc"}
    values = {pair["key"]: pair["value"] for pair in span_of(line)["attributes"]}
    assert values[schema.TOKENS] == {"intValue": "85"}
    assert values[schema.UTILIZATION] == {"doubleValue": 0.85}


WRITE = """
    import sys
    from tokentrace import telemetry
    from tokentrace.prompt import CallRecord
    telemetry.configure(exporter="local")
    for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 250):
        record = CallRecord(turn=number, tokens=100, method="exact", components={"history": 100})
        telemetry.open_call(record).close(record)
"""


def test_eight_processes_write_beside_each_other(tmp_path):
    """Eight processes at once write 250 spans each: every line whole, none lost, a file each."""
    environment = {**os.environ, "TOKENTRACE_DIR": str(tmp_path / "t")}
    workers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITE)], env=environment)
        for _ in range(8)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * 8
    written = lines(tmp_path / "t")
    assert len(list((tmp_path / "t").glob("*.jsonl"))) == 8
    assert len({span_of(line)["spanId"] for line in written}) == len(written) == 2_000


def test_a_killed_process_leaves_whole_lines(tmp_path):
    """After kill -9 in the middle of writing, every line there is can be read."""
    code = textwrap.dedent(WRITE).replace("range(", "range(10**9 + ")
    environment = {**os.environ, "TOKENTRACE_DIR": str(tmp_path / "t")}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as worker:
        end = time.monotonic() + 60
        while (
            time.monotonic() < end
            and sum(f.stat().st_size for f in tmp_path.glob("t/*.jsonl")) < 200_000
        ):
            time.sleep(0.02)
        worker.send_signal(signal.SIGKILL)
    assert worker.returncode == -signal.SIGKILL
    assert len(lines(tmp_path / "t")) > 100


def test_the_reader_recovers_all_but_a_torn_record(tmp_path):
    """A file whose last record is torn, as a crash of the machine leaves it, costs that record only."""
    exporter = LocalExporter(str(tmp_path / "t"))
    exporter.send(finished(50))
    file = Path(exporter.path)
    whole = file.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for size in (last, last + 1, (last + len(whole)) // 2, len(whole) - 2):
        file.write_bytes(whole[:size])
        problems = readers.Problems()
        assert len(list(readers.read([str(file)], problems))) == 49
        assert problems.count == (size > last)


SMALL = """
    from tokentrace.telemetry import local
    local.FILE_BYTES, local.KEEP_BYTES, local.LEAST_LOOK = 40_000, 200_000, 4_000
"""


def test_processes_that_rotate_at_the_same_time_stay_inside_the_bound(tmp_path):
    """Four processes remove old files under each other: nobody fails, every line is whole, the bound holds."""
    code = textwrap.dedent(SMALL) + textwrap.dedent(WRITE)
    code += "telemetry.shutdown()\nprint(dict(telemetry.dropped()))\n"
    environment = {**os.environ, "TOKENTRACE_DIR": str(tmp_path / "t")}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, "500"], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    assert [worker.communicate(timeout=120)[0].strip() for worker in workers] == ["{}"] * 4
    total = sum(file.stat().st_size for file in (tmp_path / "t").glob("*.jsonl"))
    assert 100_000 < total <= 200_000 + 5 * 40_000
    assert 50 < len(lines(tmp_path / "t")) < 2_000


def test_a_folder_deleted_under_way_costs_what_was_in_it(tmp_path):
    """Somebody deletes the folder again and again: nothing fails, and what comes after is written."""
    telemetry.configure(exporter="local")
    for _ in range(5):
        for _ in range(20):
            telemetry.open_call(RECORD).close(RECORD)
        assert telemetry.flush()
        assert len(lines(telemetry.folder())) == 20
        shutil.rmtree(telemetry.folder())
    assert telemetry.dropped() == {}


def test_a_child_writes_a_file_of_its_own(tmp_path):
    """After a fork parent and child write different files."""
    body = """
        import os
        from tokentrace import telemetry
        from tokentrace.prompt import CallRecord
        telemetry.configure(exporter="local")
        telemetry.open_call(CallRecord()).close(CallRecord())
        telemetry.flush()
        child = os.fork()
        telemetry.open_call(CallRecord()).close(CallRecord())
        telemetry.shutdown()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    """
    run(body, TOKENTRACE_DIR=str(tmp_path / "t"))
    sizes = sorted(len(file.read_text().splitlines()) for file in (tmp_path / "t").glob("*.jsonl"))
    assert sizes == [1, 2]


def test_losses_are_the_last_line(tmp_path):
    """What was lost stands at the end as OTLP metrics, once, and is no damage for who reads spans."""
    telemetry.configure(exporter="local")
    telemetry.open_call(RECORD).close(RECORD)
    sources._count_dropped(losses.QUEUE_FULL, 3)
    _failsafe.record(KeyError("a secret"), "measure")
    telemetry.shutdown()
    folder = tmp_path / "traces"
    span, told = lines(folder)
    assert "resourceSpans" in span
    (scope,) = told["resourceMetrics"][0]["scopeMetrics"]
    found = {
        metric["name"]: [
            (point["attributes"][0]["value"]["stringValue"], point["asInt"])
            for point in metric["sum"]["dataPoints"]
        ]
        for metric in scope["metrics"]
    }
    assert found == {
        schema.DROPPED: [(losses.QUEUE_FULL, "3")],
        schema.INTERNAL_ERRORS: [("measure:KeyError", "1")],
    }
    assert all(metric["sum"]["isMonotonic"] for metric in scope["metrics"])
    problems = readers.Problems()
    assert [record.tokens for record in readers.read([str(folder)], problems)] == [85]
    assert problems.count == 0


def test_losses_are_told_again_only_when_there_are_more(tmp_path):
    """Exporters of one process that follow each other tell one folder of each loss once."""
    dropped = Counter({losses.FAILED: 1})
    for _ in range(3):
        LocalExporter(str(tmp_path / "t"), losses.counts(dropped)).shutdown()
    assert len(lines(tmp_path / "t")) == 1
    dropped[losses.FAILED] += 1
    LocalExporter(str(tmp_path / "t"), losses.counts(dropped)).shutdown()
    counts = [
        line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0]["asInt"]
        for line in lines(tmp_path / "t")
    ]
    assert sorted(counts) == ["1", "2"]


def test_losses_that_cannot_be_told_harm_nobody(tmp_path):
    """Where the folder cannot be made the losses stay untold, and the exporter ends as it should."""
    (tmp_path / "t").write_text("not a folder")
    exporter = LocalExporter(str(tmp_path / "t"), losses.counts(Counter({losses.LEFT: 1})))
    assert exporter.send(spans()) == losses.UNWRITTEN
    exporter.shutdown()
    assert (tmp_path / "t").read_text() == "not a folder"


def test_a_child_tells_of_its_own_losses(tmp_path):
    """After a fork each process tells what it lost itself, under a beginning of its own."""
    body = """
        import os
        from tokentrace import _failsafe, telemetry
        from tokentrace.prompt import CallRecord
        telemetry.configure(exporter="local")
        telemetry.open_call(CallRecord()).close(CallRecord())
        telemetry.flush()
        _failsafe.record(KeyError(), "parent")
        child = os.fork()
        if child == 0:
            _failsafe.record(KeyError(), "child")
            telemetry.shutdown()
            os._exit(0)
        os.waitpid(child, 0)
    """
    run(body, TOKENTRACE_DIR=str(tmp_path / "t"))
    points = [
        point
        for line in lines(tmp_path / "t")
        for resource in line.get("resourceMetrics", ())
        for metric in resource["scopeMetrics"][0]["metrics"]
        for point in metric["sum"]["dataPoints"]
    ]
    told = {point["attributes"][0]["value"]["stringValue"]: point["asInt"] for point in points}
    assert told == {"parent:KeyError": "1", "child:KeyError": "1"}
    assert len({point["startTimeUnixNano"] for point in points}) == 2


def test_the_bound_holds_for_the_defaults():
    """The bound of a folder is 64 MB, with room for what is written between two looks."""
    assert local.FOLDER_BYTES == 64 * 2**20
    assert local.KEEP_BYTES + local.FILE_BYTES <= local.FOLDER_BYTES


def test_an_exporter_like_any_other(tmp_path):
    """The exporter can be used behind any span processor of the SDK."""
    exporter = LocalExporter(str(tmp_path / "t"))
    provider = exporting.in_memory(exporter)
    provider.get_tracer("t").start_span("x").end()
    assert provider.force_flush()
    provider.shutdown()
    assert len(lines(tmp_path / "t")) == 1
