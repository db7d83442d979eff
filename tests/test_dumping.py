"""What makes writing a record cheap never changes what is written."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_schema import CALLS, CONTEXTS
from tokentrace import fitting, schema, values
from tokentrace.instrument.records import changed, filled
from tokentrace.prompt import CallRecord, ContextRecord, Usage

CHANGES = st.sampled_from([name for name, _, _ in schema.CALL]) | st.sampled_from(
    ["settings", "components", "cached", "costs", "details", "waste", "usage"]
)
ALWAYS = ("operation", "included", "excluded", "compressed")


def listed(source, before, table, must):
    """Return the attributes of a table's fields, asked for one by one."""
    told = {}
    for name, key, convert in table:
        if getattr(source, name) != getattr(before, name) or name in must:
            known = convert(getattr(source, name))
            if known is not None:
                told[key] = known
    return told


def shares(record, before):
    """Return what is told of components: all anew where they have changed, else what is new."""
    anew = record.components is not before.components
    told = {}
    if anew:
        told = {schema.keys(name)[0]: 0 for name, _ in values.fold(before.components)}
        sums = {}
        for name, tokens in values.fold(record.components):
            key = schema.keys(name)[0]
            sums[key] = sums.get(key, 0) + tokens
        told |= sums
    largest = [name for name, _ in values.fold(record.components)[:8]]
    for place, share in ((1, "cached"), (2, "costs")):
        known = getattr(record, share)
        if anew or known is not getattr(before, share):
            told |= {schema.keys(one)[place]: known[one] for one in largest if known.get(one)}
    return told


def plainly(record, before=None):
    """Return what `schema.dump` writes, field by field and in its order."""
    first = before is None
    before = type(record)() if first else before
    if isinstance(record, ContextRecord):
        return listed(record, before, schema.CONTEXT, ALWAYS)
    counted = ("tokens", "error") if record.method else ()
    told = listed(record, before, schema.CALL, (*ALWAYS, *counted) if first else ())
    table = {name: (key, convert) for name, key, convert in schema.SETTINGS}
    if record.settings is not before.settings:
        told |= {table[name][0]: table[name][1](one) for name, one in record.settings.items()}
    if record.limit is not None and (record.tokens, record.limit) != (before.tokens, before.limit):
        told[schema.UTILIZATION] = record.utilization
        told[schema.BAND] = values.band(record.utilization)
        told[schema.HEADROOM] = record.headroom
    if record.method and record.drift is not None and record.drift != before.drift:
        told[schema.DRIFT] = record.drift
    told |= shares(record, before)
    if record.details and record.details is not before.details:
        told[schema.DETAILS] = values.dump_details(record.details)
    if record.waste and record.waste is not before.waste:
        told[schema.WASTE] = values.dump_waste(record.waste)
    return told | listed(record.usage, before.usage, schema.USAGE, ())


@given(CALLS | CONTEXTS)
def test_a_record_is_written_as_field_by_field(record):
    """The same attributes, of the same types and in the same order, as one field after another."""
    fast, plain = schema.dump(record), plainly(record)
    assert list(fast.items()) == list(plain.items())
    assert list(map(type, fast.values())) == list(map(type, plain.values()))


@settings(max_examples=40)
@given(CALLS, CALLS, st.sets(CHANGES))
def test_a_second_time_only_what_has_changed_is_written(before, other, names):
    """Of a call that has changed, the difference; what is on the span then is the whole of it."""
    now = changed(before, **{name: getattr(other, name) for name in names})
    late = schema.dump(now, before)
    assert list(late.items()) == list(plainly(now, before).items())
    held = schema.dump(before) | late
    assert held | schema.dump(now) == held


@settings(max_examples=40)
@given(CONTEXTS, CONTEXTS)
def test_sums_of_an_assembly_are_always_written(before, now):
    """An assembly's three sums are written at its end, changed or not."""
    assert schema.dump(now, before) == listed(now, before, schema.CONTEXT, ALWAYS)


@settings(max_examples=40)
@given(CALLS, CALLS, st.sets(CHANGES))
def test_a_changed_record_is_a_replaced_one(record, other, names):
    """A record is copied and changed as the standard library does it, and stays as it was."""
    changes = {name: getattr(other, name) for name in names}
    kept = replace(record)
    assert changed(record, **changes) == replace(record, **changes)
    assert record == kept


@settings(max_examples=40)
@given(CALLS, st.sets(CHANGES))
def test_a_filled_record_is_one_that_was_made(record, names):
    """What is given and what is not are as the record's own class has them; it is as frozen."""
    given_ones = {name: getattr(record, name) for name in names}
    made, plain = filled(**given_ones), CallRecord(**given_ones)
    assert (made, type(made)) == (plain, CallRecord)
    assert all(made.settings is not other.settings for other in (filled(), plain)) or (
        "settings" in names
    )
    with pytest.raises(FrozenInstanceError):
        made.tokens = 1


def test_what_follows_from_a_change_is_told_of_it():
    """The second step sees the first, and its fields win."""
    seen = []

    def then(record):
        seen.append(record.usage)
        return {"cost": 2.0}

    now = changed(CallRecord(tokens=3), then, usage=Usage(input=4))
    assert (now.cost, now.tokens, now.usage.input) == (2.0, 3, 4)
    assert seen == [Usage(input=4)]


@given(CALLS, st.integers(64, 2_000), st.lists(st.text(max_size=300), max_size=8))
def test_attributes_are_cut_and_weighed_in_one_walk(record, most, texts):
    """In one walk they are cut as they always are, and weigh what each key and value does."""
    written = schema.dump(record) | {"a": 2.5, "b": True, "c": tuple(texts), "d": "…".join(texts)}
    known, size = schema.measured(written, most)
    assert known == schema.bounded(written, most)
    each = (fitting.PAIR_BYTES + len(key) + fitting.heft(one) for key, one in known.items())
    assert size == fitting.weight(known) == sum(each)
