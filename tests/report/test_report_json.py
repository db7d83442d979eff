"""The JSON report: its published schema, its stability, its numbers."""

from __future__ import annotations

import json as plain
from pathlib import Path

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokentrace import analysis
from tokentrace.prompt import CallRecord, Event, Usage
from tokentrace.report import json

SCHEMA = plain.loads(json.schema())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
GOLDEN = Path(__file__).parent / "golden" / "report.json"


def test_schema_is_a_schema():
    """The published schema is valid itself."""
    meta = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    assert list(meta.iter_errors(SCHEMA)) == []


def test_document_fits_the_published_schema(report):
    """What is printed is what is published."""
    assert list(VALIDATOR.iter_errors(plain.loads(json.render(report)))) == []


def test_document_is_what_was_approved(report):
    """Field names and numbers stay: scripts of users read them."""
    assert json.render(report) == GOLDEN.read_text("utf-8")


@pytest.mark.parametrize("where", ["turns", "events", "calls", "contexts"])
def test_schema_refuses_unknown_fields(report, where):
    """A field that is not published makes the test fail: publish it first."""
    document = json.document(report)
    turn = next(t for t in document["sessions"][0]["turns"] if t["events"] and t["contexts"])
    target = turn if where == "turns" else turn[where][0]
    target["new"] = 1
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)


def test_same_records_in_any_order_are_the_same_bytes(records):
    """Neither the order of spans nor that of components changes the document."""
    turned = [
        CallRecord(**{**_fields(one), "components": dict(reversed(one.components.items()))})
        if isinstance(one, CallRecord)
        else one
        for one in reversed(records)
    ]
    first, second = (json.render(analysis.Report(analysis.sessions(x))) for x in (records, turned))
    assert first == second


def _fields(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


WORDS = st.text(max_size=12)
SIZES = st.integers(0, 2**62)
CALLS = st.builds(
    CallRecord,
    span_id=st.uuids().map(lambda one: one.hex[:16]),
    start=SIZES,
    end=SIZES,
    session=st.sampled_from(["", "a", "b"]),
    lineage=st.sampled_from(["", "x", "y"]),
    model=WORDS,
    turn=st.none() | st.integers(0, 9),
    delta=st.none() | st.integers(-(2**40), 2**40),
    trend=WORDS,
    method=WORDS,
    decision=st.sampled_from(["", "ok", "warn", "compress", "refuse", "strange"]),
    tokens=SIZES,
    limit=st.none() | SIZES,
    components=st.dictionaries(WORDS, SIZES, max_size=4),
    usage=st.builds(Usage, input=st.none() | SIZES),
    error_type=WORDS,
    events=st.lists(st.builds(Event, name=WORDS, attributes=st.just({})), max_size=2).map(tuple),
)


@settings(max_examples=40)
@given(st.lists(CALLS, max_size=8))
def test_whatever_was_recorded_fits_the_schema(calls):
    """Odd words, huge numbers, missing turns: the document keeps its shape, every call once."""
    document = json.document(analysis.Report(analysis.sessions(calls)))
    VALIDATOR.validate(plain.loads(plain.dumps(document)))
    turns = [turn for session in document["sessions"] for turn in session["turns"]]
    assert sum(len(turn["calls"]) for turn in turns) == len({call.span_id for call in calls})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=9,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@example({"": {"\x7f": None}})
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
@example({"": "\x7f"})
def test_the_quick_way_to_indent_gives_the_same_bytes(held):
    """Whatever stands in a document, it is written as the standard library would."""
    assert json.written(held) == plain.dumps(held, indent=2) + "\n"


TINY = st.sampled_from([0.0, 1e-4, 9.99e-5, 1.5e-5, 1e-5, 3e-7, -2.5e-9, 1e16, 1.5e17, -1e-300, 3])
ODD_TEXTS = st.text(st.sampled_from('a":,[}\\e0.1-é '), max_size=12) | st.just('":0.00001,"')


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(ODD_TEXTS, TINY | ODD_TEXTS | st.lists(st.integers() | ODD_TEXTS, max_size=3))
)
def test_amounts_of_a_session_are_written_as_the_standard_library_would(held):
    """Very small dollars, and texts that look like them, stand as they do everywhere else."""
    assert json._flat_session(held).replace(b" ", b"") == plain.dumps(held).encode().replace(
        b" ", b""
    )
