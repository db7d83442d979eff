"""Exports that are no JSON lines: protobuf, the Collector's file exporter, zstd, and folders of all."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentrace import readers
from tokentrace.errors import InputError
from tokentrace.readers import Problems, lines, unpacking

proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
zstd = unpacking.zstd("")

IDS = ("traceId", "spanId", "parentSpanId")


def message(line):
    """Return a line of OTLP-JSON as protobuf, with the classes of opentelemetry-proto."""
    from google.protobuf.json_format import ParseDict

    tree = json.loads(line)
    for resource in tree["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in IDS:
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return ParseDict(tree, proto.ExportTraceServiceRequest()).SerializeToString()


def behind_lengths(*messages):
    """Return messages as the Collector's file exporter writes them."""
    return b"".join(len(one).to_bytes(4, "big") + one for one in messages)


def read(path):
    problems = Problems()
    return list(readers.read([str(path)], problems)), problems


@pytest.fixture
def mine(otlp):
    """A session's records: assemblies with events, calls, and one that failed."""
    failed = otlp.call(3, error_type="openai.RateLimitError")
    return [otlp.assembly(1), otlp.call(1), otlp.assembly(2), otlp.call(2), failed]


@pytest.fixture
def exports(otlp, mine):
    """The same as lines of JSON, one a record."""
    return [otlp.export(otlp.span(one)).encode() for one in mine]


FORMS = {
    "proto": lambda exports: behind_lengths(*map(message, exports)),
    "proto, zstd each": lambda exports: behind_lengths(
        *(zstd.compress(message(one)) for one in exports)
    ),
    "json, zstd each": lambda exports: behind_lengths(*map(zstd.compress, exports)),
    "json lines, zstd": lambda exports: zstd.compress(b"".join(exports)),
    "json lines, zstd a frame each": lambda exports: b"".join(map(zstd.compress, exports)),
    "proto, zstd": lambda exports: zstd.compress(behind_lengths(*map(message, exports))),
    "proto, gzip": lambda exports: gzip.compress(behind_lengths(*map(message, exports))),
    "one message": lambda exports: b"".join(map(message, exports)),
    "one message, gzip": lambda exports: gzip.compress(b"".join(map(message, exports))),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_records_of_the_lines(form, exports, mine, tmp_path):
    """Every form that is recognised by its bytes gives field by field what was recorded."""
    path = tmp_path / "traces"
    path.write_bytes(FORMS[form](exports))
    found, problems = read(path)
    assert found == mine
    assert problems.count == 0


def test_a_folder_may_mix_them(exports, mine, tmp_path):
    """Of a folder all exports are read, by what they hold; other files are passed over."""
    for place, (form, export) in enumerate(zip(FORMS, exports, strict=False)):
        (tmp_path / f"{place}.data").write_bytes(FORMS[form]([export]))
    (tmp_path / "README.md").write_text("# Traces\n")
    (tmp_path / "settings.json").write_text('{"a": 1}')
    (tmp_path / ".gitignore").write_text("*\n")
    found, problems = read(tmp_path)
    assert sorted(one.span_id for one in found) == sorted(one.span_id for one in mine)
    assert problems.count == 0


def test_other_signals_in_protobuf_are_passed_over(exports, mine, tmp_path):
    """Metrics and logs that share a file with traces are neither records nor damage."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    metrics, logs = ExportMetricsServiceRequest(), ExportLogsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="tokentrace.x")
    metric.sum.data_points.add(as_int=7, time_unix_nano=1_760_000_000_000_000_000)
    entry = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=2**60)
    entry.body.string_value = "tokentrace.limit.warning"
    others = [metrics.SerializeToString(), logs.SerializeToString()]
    path = tmp_path / "traces"
    path.write_bytes(behind_lengths(*others, *map(message, exports)))
    found, problems = read(path)
    assert (found, problems.count) == (mine, 0)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


def test_a_damaged_message_costs_only_itself(exports, mine, tmp_path):
    """A message that is none, and packed data that is damaged, are skipped and told by their place."""
    packed = bytearray(zstd.compress(exports[0]))
    packed[8:12] = b"\xff\xff\xff\xff"
    path = tmp_path / "traces"
    good = list(map(message, exports))
    path.write_bytes(behind_lengths(good[0], b"\x0a\xff\xff", bytes(packed), *good[1:]))
    found, problems = read(path)
    assert found == mine
    assert [one.line for one in problems.kept] == [2, 3]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_cut_off_gives_what_it_holds(form, exports, mine, tmp_path):
    """A file that ends too early gives the records before its end, and one problem."""
    whole = FORMS[form](exports)
    path = tmp_path / "traces"
    path.write_bytes(whole[:-5])
    problems = Problems()
    found = []
    with suppress(InputError):  # packed as a whole, nothing of so little may come out
        found.extend(readers.read([str(path)], problems))
    assert found == mine[: len(found)]
    assert problems.count == 1


def test_a_damaged_span_in_protobuf_costs_only_itself(exports, mine, tmp_path):
    """A span whose id is no id is skipped; the spans beside it are not."""
    export = proto.ExportTraceServiceRequest.FromString(message(exports[1]))
    export.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
    path = tmp_path / "traces"
    path.write_bytes(behind_lengths(export.SerializeToString(), message(exports[3])))
    found, problems = read(path)
    assert found == [mine[3]]
    assert "no id of 32 hex digits" in str(problems.kept[0])


def test_a_message_over_the_cap_is_skipped(exports, mine, tmp_path, monkeypatch):
    """A message larger than what may be held is passed over, packed or not; what follows is read."""
    monkeypatch.setattr(lines, "LINE_CAP", 20_000)
    large = b"\x0a" + bytes(30_000)
    path = tmp_path / "traces"
    good = message(exports[1])
    path.write_bytes(behind_lengths(good, large, zstd.compress(large), message(exports[3])))
    found, problems = read(path)
    assert found == [mine[1], mine[3]]
    assert problems.count == 2


@pytest.mark.parametrize("packed", ["whole", "each"])
def test_a_bomb_of_zstd_is_refused(packed, exports, tmp_path, monkeypatch):
    """What unpacks out of all proportion ends the reading, in one line."""
    monkeypatch.setattr(unpacking, "RATIO_FREE", 1 << 20)
    bomb = zstd.compress(bytes(8 << 20))
    path = tmp_path / "traces"
    first = zstd.compress(message(exports[0]))
    path.write_bytes(
        behind_lengths(first, bomb) if packed == "each" else zstd.compress(b"\n" * (8 << 20))
    )
    with pytest.raises(InputError, match="times its size"):
        read(path)


def test_a_file_of_zeros_is_given_up(tmp_path, exports):
    """A file that was made longer than what is in it ends after a while."""
    path = tmp_path / "traces"
    path.write_bytes(behind_lengths(message(exports[1])) + bytes(100_000))
    found, problems = read(path)
    assert (len(found), problems.count) == (1, 1)


def test_without_the_library_zstd_is_one_clear_line(exports, tmp_path, monkeypatch):
    """Where nothing can unpack zstd, the message names the extra."""
    monkeypatch.setitem(sys.modules, "compression", None)
    monkeypatch.setitem(sys.modules, "backports", None)
    path = tmp_path / "traces.zst"
    path.write_bytes(zstd.compress(exports[0]))
    with pytest.raises(InputError, match=r"tokentrace\[zstd\]"):
        read(path)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), st.sampled_from(["", "length", "zstd", "proto"]))
def test_no_bytes_raise_anything_but_input_errors(tmp_path_factory, data, form):
    """Whatever stands behind a head that is recognised, a file is read or refused in one line."""
    heads = {
        "length": behind_lengths(b"\x0a" + data)[:5],
        "zstd": unpacking.ZSTD,
        "proto": b"\x0a\x10\x00",
    }
    path = tmp_path_factory.mktemp("any") / "traces"
    path.write_bytes(heads.get(form, b"") + data)
    problems = Problems()
    try:
        found = list(readers.read([str(path)], problems))
    except InputError:
        found = []
    assert found == []
