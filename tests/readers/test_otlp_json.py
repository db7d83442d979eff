"""Reading OTLP-JSON lines: what comes back, what is skipped, what is refused."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentrace import readers, schema
from tokentrace.errors import InputError
from tokentrace.prompt import ContextRecord
from tokentrace.readers import Problems, lines


def read(path):
    """Return all records of a path, and its problems."""
    problems = Problems()
    return list(readers.read([str(path)], problems)), problems


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a file and gives its path."""

    def write(data, name="run.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


# ── what is right ────────────────────────────────────────────────────────────────────────────────


def test_records_come_back_as_they_were_written(otlp, written):
    """A call and an assembly survive the way through a file, field by field."""
    mine = [otlp.assembly(1), otlp.call(1), otlp.call(2)]
    found, problems = read(written("".join(otlp.export(otlp.span(one)) for one in mine)))
    assert found == mine
    assert problems.count == 0


def test_many_spans_on_a_line_and_several_services(otlp, written):
    """Resources, scopes and spans nest in any number; each span knows its service."""
    one = json.loads(otlp.export(otlp.span(otlp.call(1)), otlp.span(otlp.call(2)), service="a"))
    two = json.loads(otlp.export(otlp.span(otlp.call(3)), service="b"))
    both = {"resourceSpans": one["resourceSpans"] + two["resourceSpans"]}
    found, _ = read(written(json.dumps(both)))
    assert [(call.turn, call.service) for call in found] == [(1, "a"), (2, "a"), (3, "b")]


def test_integers_may_be_numbers_and_ids_upper_case(otlp, written):
    """Exporters differ: plain integers, capital hex digits, a status by its name."""
    call = otlp.call(1, trace_id="AB" * 16)
    span = otlp.span(call, startTimeUnixNano=call.start, status={"code": "STATUS_CODE_ERROR"})
    for pair in span["attributes"]:
        if "intValue" in pair["value"]:
            pair["value"]["intValue"] = int(pair["value"]["intValue"])
    (found,), problems = read(written(otlp.export(span)))
    assert (found.trace_id, found.start, found.tokens) == ("ab" * 16, call.start, 900)
    assert found.error_type
    assert not problems.count


def test_other_signals_and_other_spans_are_passed_over(otlp, written):
    """Logs, metrics and spans of other libraries are neither records nor damage."""
    foreign = {"name": "GET /", "attributes": otlp.attributes({"http.request.method": "GET"})}
    data = '{"resourceLogs":[{"x":1}]}\n{"resourceMetrics":[]}\n'
    found, problems = read(written(data + otlp.export(foreign, otlp.span(otlp.call(1)))))
    assert [call.turn for call in found] == [1]
    assert problems.count == 0


def test_events_outside_an_assembly_are_not_lost(otlp, written):
    """A component excluded while no assembly was open stands on the turn's own span."""
    event = otlp.assembly(1).events[0]
    owner = ContextRecord(trace_id="1" * 32, span_id="2" * 16, events=(event,))
    facts = {schema.CONVERSATION: "conv-42", schema.TURN: 3}
    span = otlp.span(owner, attributes=otlp.attributes(facts), name="invoke_agent devops")
    (found,), _ = read(written(otlp.export(span)))
    assert (found.session, found.turn, found.included) == ("conv-42", 3, 0)
    assert found.events == (event,)


def test_dropped_components_are_under_other(otlp, written):
    """Where an exporter ran out of attributes, the sum still holds."""
    span = otlp.span(otlp.call(1))
    key = schema.keys("system")[0]
    span["attributes"] = [pair for pair in span["attributes"] if pair["key"] != key]
    (found,), _ = read(written(otlp.export(span)))
    assert found.components == {"history": 600, "other": 300}


def test_gzip_is_recognised_by_its_bytes(otlp, written):
    """A packed file is read whatever it is called, several members in a row too."""
    parts = [gzip.compress(otlp.export(otlp.span(otlp.call(n))).encode()) for n in (1, 2)]
    found, _ = read(written(b"".join(parts), "run.trace"))
    assert [call.turn for call in found] == [1, 2]


def test_a_folder_is_all_its_trace_files(otlp, written, tmp_path):
    """Every *.jsonl file counts, rotated and packed ones too; other files do not."""
    written(otlp.export(otlp.span(otlp.call(1))), "d/a.jsonl")
    written(otlp.export(otlp.span(otlp.call(2))), "d/a.jsonl.1")
    written(gzip.compress(otlp.export(otlp.span(otlp.call(3))).encode()), "d/b.jsonl.gz")
    written("*\n", "d/.gitignore")
    written("", "d/empty.jsonl")
    found, problems = read(tmp_path / "d")
    assert sorted(call.turn for call in found) == [1, 2, 3]
    assert problems.count == 0


def test_a_bad_file_in_a_folder_is_a_problem_not_the_end(otlp, written, tmp_path):
    """What one file holds does not keep the others from being read."""
    written(b"\0\1\2", "d/binary.jsonl")
    written(otlp.export(otlp.span(otlp.call(1))), "d/good.jsonl")
    found, problems = read(tmp_path / "d")
    assert len(found) == 1
    assert problems.kept[0].source.endswith("binary.jsonl")
    assert problems.kept[0].line == 0


def test_standard_input(otlp, monkeypatch):
    """A dash reads what is piped in."""
    data = otlp.export(otlp.span(otlp.call(1))).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [call.turn for call in read("-")[0]] == [1]


def test_byte_order_mark_and_blank_lines(otlp, written):
    """Editors leave them; they hold nothing."""
    data = "\ufeff\n\r\n" + otlp.export(otlp.span(otlp.call(1))).replace("\n", "\r\n")
    assert len(read(written(data))[0]) == 1


def test_progress_counts_the_bytes_on_disk(otlp, written):
    """A progress bar over a packed file ends at its size."""
    path = written(gzip.compress(otlp.export(otlp.span(otlp.call(1))).encode()))
    seen = []
    list(readers.read([str(path)], Problems(), seen.append))
    assert sum(seen) == path.stat().st_size == lines.size([str(path)])


def test_records_stream(otlp, written):
    """The first record is there before the rest is read."""
    path = written("".join(otlp.export(otlp.span(otlp.call(n))) for n in range(1, 2000)))
    seen = []
    assert next(readers.read([str(path)], Problems(), seen.append)).turn == 1
    assert sum(seen) < path.stat().st_size / 10


# ── what is damaged ──────────────────────────────────────────────────────────────────────────────


DEEP = "[" * 10_000 + "]" * 10_000
OBJECTS = '{"a":' * 10_000 + "1" + "}" * 10_000
BAD_LINES = {
    "cut": '{"resourceSpans":[{"scopeSpans":[{"spa',
    "text": "2026-11-22 INFO hello",
    "number": "17",
    "list": "[]",
    "foreign": '{"event": "login", "user": 3}',
    "type": '{"resourceSpans": 5}',
    "deep": f'{{"resourceSpans":[],"x":{DEEP}}}',
    "deeper": f'{{"resourceSpans":[{{"resource":{OBJECTS}}}]}}',
    "bytes": b'{"resourceSpans":[{"resource":{"attributes":[{"key":"\xff\xfe"}]}}]}',
    "nan": '{"resourceSpans":NaN}',
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_damaged_line_is_skipped_and_reported(otlp, written, bad):
    """Good lines around a damaged one are read; it is counted with its number and a reason."""
    bad = bad if isinstance(bad, bytes) else bad.encode()
    good = [otlp.export(otlp.span(otlp.call(n))).encode() for n in (1, 2)]
    found, problems = read(written(b"".join([good[0], bad, b"\n", good[1]])))
    assert [call.turn for call in found] == [1, 2]
    assert problems.count == 1
    assert problems.kept[0].line == 2
    assert problems.kept[0].reason


def spoil(span, key, value):
    """Return ``span`` with one attribute replaced."""
    rest = [pair for pair in span["attributes"] if pair["key"] != key]
    return {**span, "attributes": [*rest, {"key": key, "value": value}]}


TOKENS = schema.TOKENS
SPOILS = {
    "no number": lambda span: spoil(span, TOKENS, {"intValue": "many"}),
    "too large": lambda span: spoil(span, TOKENS, {"intValue": str(2**70)}),
    "endless": lambda span: spoil(span, TOKENS, {"intValue": "9" * 10_000}),
    "negative": lambda span: spoil(span, TOKENS, {"intValue": "-4"}),
    "negative limit": lambda span: spoil(span, schema.LIMIT, {"intValue": "-1"}),
    "negative usage": lambda span: spoil(span, schema.USAGE_INPUT, {"intValue": "-1"}),
    "too few": lambda span: spoil(span, TOKENS, {"intValue": "899"}),
    "not a number": lambda span: spoil(span, schema.FORECAST, {"doubleValue": "NaN"}),
    "infinite": lambda span: spoil(span, schema.FORECAST, {"doubleValue": "Infinity"}),
    "wrong type": lambda span: spoil(span, TOKENS, {"intValue": [1]}),
    "base64 id": lambda span: {**span, "traceId": "W47/95gDgQPSabYzgT/GDA=="},
    "short id": lambda span: {**span, "spanId": "ab"},
    "time": lambda span: {**span, "startTimeUnixNano": "yesterday"},
    "no list": lambda span: {**span, "attributes": {TOKENS: 3}},
}


@pytest.mark.parametrize("damage", SPOILS.values(), ids=SPOILS)
def test_damaged_span_costs_only_itself(otlp, written, damage):
    """The spans beside it on the same line are read; the problem names the line."""
    spans = [otlp.span(otlp.call(n)) for n in (1, 2, 3)]
    found, problems = read(written(otlp.export(spans[0], damage(spans[1]), spans[2])))
    assert [call.turn for call in found] == [1, 3]
    assert (problems.count, problems.kept[0].line) == (1, 1)


def test_deep_values_cost_only_their_line(otlp, written):
    """Ten thousand arrays inside one attribute neither crash nor stop the reader."""
    deep = '{"arrayValue":{"values":[' * 10_000 + "]}}" * 10_000
    line = otlp.export(spoil(otlp.span(otlp.call(1)), "x", "DEEP")).replace('"DEEP"', deep)
    found, problems = read(written(line + otlp.export(otlp.span(otlp.call(2)))))
    assert [call.turn for call in found] == [2]
    assert "too deeply" in problems.kept[0].reason


def test_file_that_is_still_written_is_read_up_to_its_end(otlp, written):
    """A last line without its end is reported; all before it is there."""
    data = "".join(otlp.export(otlp.span(otlp.call(n))) for n in (1, 2))
    found, problems = read(written(data[:-40]))
    assert [call.turn for call in found] == [1]
    assert "cut off" in problems.kept[0].reason


def test_truncated_gzip_gives_what_it_holds(otlp, written):
    """A packed file that was cut off is read up to the cut, and says so."""
    rng = random.Random(4)
    many = "".join(
        otlp.export(otlp.span(otlp.call(n, lineage=f"{rng.getrandbits(256):x}")))
        for n in range(1, 300)
    )
    packed = gzip.compress(many.encode())
    found, problems = read(written(packed[: len(packed) // 2]))
    assert 10 < len(found) < 299
    assert "cut off" in problems.kept[-1].reason


def test_damaged_gzip_is_reported(otlp, written):
    """A wrong checksum is a problem, not a traceback."""
    packed = bytearray(gzip.compress(otlp.export(otlp.span(otlp.call(1))).encode()))
    packed[-6] ^= 0xFF
    found, problems = read(written(bytes(packed)))
    assert len(found) == 1
    assert problems.count == 1


def test_line_over_the_cap_is_skipped_without_keeping_it(otlp, written, monkeypatch):
    """A giant line costs no memory beyond the cap, and the lines around it are read."""
    monkeypatch.setattr(lines, "LINE_CAP", 200_000)
    good = [otlp.export(otlp.span(otlp.call(n))) for n in (1, 2)]
    giant = json.dumps({"x": "y" * 1_000_000})
    found, problems = read(written(f"{good[0]}{giant}\n{good[1]}{giant}"))
    assert [call.turn for call in found] == [1, 2]
    assert [problem.line for problem in problems.kept] == [2, 4]


def test_problems_are_counted_in_full_and_kept_in_part(otlp, written):
    """A file of a thousand damaged lines is a thousand problems and a short list."""
    data = otlp.export(otlp.span(otlp.call(1))) + "{broken\n" * 1000
    _, problems = read(written(data))
    assert problems.count == 1000
    assert len(problems.kept) == readers.KEPT


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


def refused(path):
    """Return the one line that a path is refused with."""
    with pytest.raises(InputError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert caught.value.source == str(path)
    return str(caught.value)


def test_missing_file(tmp_path):
    """A path that is not there is named."""
    assert "no such file" in refused(tmp_path / "none.jsonl")


@pytest.mark.parametrize("data", [b"", b"\n\n  \n", gzip.compress(b"", mtime=0)])
def test_empty_file(written, data):
    """An empty file says how to fill it."""
    assert "instrument()" in refused(written(data))


def test_empty_folder(tmp_path):
    """A folder without trace files says what it looked for."""
    assert "*.jsonl" in refused(tmp_path)


@pytest.mark.parametrize("data", ["a,b\n1,2\n", "hello", "<html>", '{"a":1}\n{"a":2}\n'])
def test_foreign_file(written, data):
    """A file of another kind is no trace, however it looks."""
    assert "not an OTLP-JSON trace" in refused(written(data))


def test_pretty_printed_document_gets_a_hint(otlp, written):
    """A document over many lines is no file of lines; the mend is named."""
    pretty = json.dumps(json.loads(otlp.export(otlp.span(otlp.call(1)))), indent=2)
    assert "jq -c" in refused(written(pretty))


@pytest.mark.parametrize("data", [b"\x7fELF\0\0", "Größe".encode("utf-16"), b"PK\3\4\0\0\0"])
def test_binary_file(written, data):
    """A program, an archive and UTF-16 are told apart from text at once."""
    assert "binary" in refused(written(data))


def test_foreign_giant_is_given_up_early(written):
    """A log of a million lines is not read to its end to find no span in it."""
    path = written("x\n" * 1_000_000)
    seen = []
    with pytest.raises(InputError, match="not an OTLP-JSON trace"):
        list(readers.read([str(path)], Problems(), seen.append))
    assert sum(seen) < 200_000


def test_trace_without_us(otlp, written):
    """A trace that others recorded is a trace, but not ours."""
    foreign = {"name": "GET /", "attributes": otlp.attributes({"http.request.method": "GET"})}
    assert "holds 1 spans, none recorded by tokentrace" in refused(written(otlp.export(foreign)))


def test_only_damaged_spans_of_ours(otlp, written):
    """When nothing is left the reason of the first span is in the line."""
    span = {**otlp.span(otlp.call(1)), "spanId": "zz"}
    assert "hex digits" in refused(written(otlp.export(span)))


def test_folders_with_dates_are_folders(otlp, tmp_path):
    """Two folders of one name are no rotated log: each is read for itself."""
    folders = [tmp_path / f"run.{end}" for end in ("1", "2", "2026-11-30")]
    for n, folder in enumerate(folders, 1):
        folder.mkdir()
        (folder / "a.jsonl").write_text(otlp.export(otlp.span(otlp.call(n))))
    found = readers.read([str(folder) for folder in folders], Problems())
    assert [call.turn for call in found] == [1, 2, 3]


def test_gzip_bomb_is_refused_early(tmp_path):
    """Half a gigabyte of blanks in half a megabyte is not unpacked."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(pack.compress(b" " * (1 << 24)) for _ in range(32)) + pack.flush()
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(data)
    seen: list[int] = []
    with pytest.raises(InputError, match="times its size"):
        list(readers.read([str(path)], Problems(), seen.append))
    assert sum(seen) < path.stat().st_size / 2


def test_unreadable_file(written, monkeypatch):
    """A file without permission is named with the reason."""
    path = written("{}")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert "Permission denied" in refused(path)


def test_a_nul_in_a_path_is_no_traceback():
    """What no file system takes is refused like any other wrong path."""
    with pytest.raises(InputError):
        read("a\0b")


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8")))
def test_no_bytes_raise_anything_but_input_errors(tmp_path_factory, data):
    """Whatever a file holds, the reader ends in records or in one clear error."""
    path = tmp_path_factory.mktemp("fuzz") / "x.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["attributes", "key", "value", "intValue", "stringValue", "events",
                         "arrayValue", "values", "status", "code", "spanId", "name"]),
        inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=200)
@given(JSON, JSON)
def test_no_shape_of_a_span_raises(tmp_path_factory, value, shape):
    """Whatever stands where a value or a span belongs, a good span beside it is read."""
    operation = {"key": schema.OPERATION, "value": {"stringValue": "chat"}}
    ours = [operation, {"key": schema.TOKENS, "value": {"intValue": "0"}}]
    odd = {"attributes": [*ours, {"key": "x", "value": value}]}
    spans = [odd, shape, {"attributes": ours, "spanId": "0123456789abcdef"}]
    path = tmp_path_factory.mktemp("fuzz") / "x.jsonl"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    found, _ = read(path)
    assert found[-1].span_id == "0123456789abcdef"
