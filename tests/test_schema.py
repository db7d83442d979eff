"""What is written on a span is read back as it was, up to the folding that the schema documents."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace import schema, values
from tokentrace.errors import TokenLimitExceeded
from tokentrace.names import normalise
from tokentrace.outlook import Waste
from tokentrace.prompt import CallRecord, ContextRecord, Detail, Event, Usage

NAME = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=40)
TOKENS = st.integers(0, 2**40)
MAYBE = st.none() | TOKENS
SHARE = st.floats(0, 1e6, allow_nan=False)
COMPONENTS = st.dictionaries(NAME, TOKENS, max_size=40)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": SHARE,
        "top_p": SHARE,
        "top_k": TOKENS,
        "max_tokens": TOKENS,
        "seed": TOKENS,
        "stream": st.booleans(),
        "choice.count": TOKENS,
        "encoding_formats": st.lists(NAME, min_size=1, max_size=3).map(tuple),
        "output.type": NAME,
    },
)
USAGE = st.builds(
    Usage,
    input=MAYBE,
    output=MAYBE,
    cache_read=MAYBE,
    cache_write=MAYBE,
    reasoning=MAYBE,
    response_id=TEXT,
    response_model=TEXT,
    finish_reasons=st.lists(NAME, max_size=4).map(tuple),
)
CALLS = st.builds(
    CallRecord,
    trace_id=st.from_regex("[0-9a-f]{32}", fullmatch=True),
    start=TOKENS,
    end=TOKENS,
    service=TEXT,
    operation=st.sampled_from(sorted(schema.OPERATIONS)),
    provider=TEXT,
    api=NAME,
    model=TEXT,
    settings=SETTINGS,
    server_address=TEXT,
    server_port=st.integers(0, 65535),
    session=TEXT,
    agent=TEXT,
    turn=MAYBE,
    delta=st.none() | st.integers(-(2**40), 2**40),
    trend=st.sampled_from(["", "increase", "decrease", "stable"]),
    lineage=NAME,
    tokens=TOKENS,
    method=st.sampled_from(["", "exact", "estimated"]),
    error=TOKENS,
    tokenizer=TEXT,
    components=COMPONENTS,
    cached=COMPONENTS,
    costs=st.dictionaries(NAME, SHARE, max_size=12),
    details=st.lists(st.builds(Detail, NAME, NAME, TOKENS), max_size=120).map(
        lambda found: tuple(sorted(found, key=lambda one: -one.tokens))
    ),
    limit=MAYBE,
    limit_source=NAME,
    decision=st.sampled_from(["", "ok", "warn", "refuse"]),
    compressed_tokens=TOKENS,
    forecast=st.none() | SHARE,
    forecast_earliest=st.none() | SHARE,
    forecast_latest=st.none() | SHARE,
    forecast_component=NAME,
    cache_broken_by=NAME,
    cache_reason=TEXT,
    duplicate_tokens=TOKENS,
    waste=st.lists(st.builds(Waste, NAME, NAME, TOKENS, TOKENS), max_size=16).map(
        lambda found: tuple(sorted(found, key=lambda one: -one.tokens))
    ),
    usage=USAGE,
    error_type=TEXT,
)
CONTEXTS = st.builds(
    ContextRecord,
    span_id=st.from_regex("[0-9a-f]{16}", fullmatch=True),
    name=TEXT,
    session=TEXT,
    agent=TEXT,
    turn=MAYBE,
    included=TOKENS,
    excluded=TOKENS,
    compressed=TOKENS,
    budget=MAYBE,
    lost=TOKENS,
)
FACTS = ("trace_id", "span_id", "parent_id", "start", "end", "service", "events")


def facts(record):
    return {name: getattr(record, name) for name in FACTS}


def folded(record: CallRecord, fitting: int) -> CallRecord:
    """Return what the documented folding leaves of ``record``."""
    ordered = sorted(record.components.items(), key=lambda pair: -pair[1])
    if len(ordered) > 24:
        first = [pair for pair in ordered if pair[0] != "other"][:23]
        rest = sum(record.components.values()) - sum(tokens for _, tokens in first)
        ordered = sorted([*first, ("other", rest)], key=lambda pair: -pair[1])
    top = [name for name, _ in ordered[:8]]
    return replace(
        record,
        components=dict(ordered),
        cached={name: record.cached[name] for name in top if record.cached.get(name)},
        costs={name: record.costs[name] for name in top if record.costs.get(name)},
        details=record.details[:fitting],
    )


@given(CALLS)
def test_a_call_comes_back_up_to_the_documented_folding(record):
    """Reading what was written gives the record with 24 names, 8 shares, and the largest details."""
    read = schema.load(schema.dump(record), **facts(record))
    assert read == folded(record, len(read.details))


@given(CONTEXTS)
def test_an_assembly_comes_back_whole(record):
    """An assembly's record loses nothing."""
    assert schema.load(schema.dump(record), **facts(record)) == record


@given(CALLS)
def test_components_on_a_span_sum_up_as_before(record):
    """Folding names never loses a token."""
    written = schema.load(schema.dump(record))
    assert sum(written.components.values()) == sum(record.components.values())
    assert len(written.components) <= 24


@given(CALLS)
def test_ours_stay_below_seventy_and_details_below_two_kilobytes(record):
    """However rich a call, a span bears at most 70 attributes of ours."""
    written = schema.dump(record)
    assert sum(key.startswith(schema.PREFIX) for key in written) <= schema.MOST_ATTRIBUTES
    assert len(str(written.get(schema.DETAILS, "")).encode()) <= 2_000


@given(CALLS, st.integers(-3, 70))
def test_shrinking_keeps_the_room_and_the_sum(record, room):
    """What is shrunk fits, and its components are either all told or not at all."""
    ours = {
        key: value for key, value in schema.dump(record).items() if key.startswith("tokentrace.")
    }
    shrunk = schema.shrink(ours, room)
    left = schema.load({schema.TOKENS: 0, **shrunk}).components
    assert len(shrunk) <= max(0, room)
    assert not left or sum(left.values()) == sum(record.components.values())


def test_shrinking_drops_what_can_be_spared_first():
    """Costs and details go before the limit, and the count itself goes last."""
    record = CallRecord(
        tokens=9, method="exact", components={"a": 5, "b": 4}, limit=10, costs={"a": 1.0}
    )
    written = {key: value for key, value in schema.dump(record).items() if key != schema.OPERATION}
    assert schema.COMPONENT + "a.cost_usd" not in schema.shrink(written, len(written) - 1)
    assert schema.shrink(written, 1) == {schema.TOKENS: 9}


def test_cut_details_say_how_many_were_cut():
    """A list of details that does not fit ends with a visible mark."""
    details = tuple(Detail("tools", f"tool_{number}", 1_000 - number) for number in range(300))
    written = json.loads(values.dump_details(details))
    kept = len(written) - 1
    assert written[0] == ["tools", "tool_0", 1_000]
    assert written[-1] == f"+{300 - kept}"
    assert 40 < kept < 120


@pytest.mark.parametrize("raw", ["", "[", "[" * 4_000, "{}", "3", None, 7, '[["a"]]', '[[1,2,3],["a","b","c"]]',
                                 "[" + "9" * 20_000 + "]"])  # fmt: skip
def test_foreign_details_are_passed_over(raw):
    """Details that somebody else wrote, or cut, read as none."""
    assert values.load_details(raw) == ()


@pytest.mark.parametrize(("value", "cleaned"), [
    ("plain", "plain"), ("a\ud800b", "a\ufffdb"), ("a\r\n\x1b[1mb\x00", "a   [1mb "), ("x" * 300, "x" * 232 + "…[cut: 232 of 300 bytes]"),
    (2**70, 2**63 - 1), (-(2**70), -(2**63)), (True, True), (1.5, 1.5), (math.nan, None), (math.inf, None),
    (None, None), (b"bytes", None), ({"a": 1}, None), (["a", 1, "\ud800"], ("a", "\ufffd")), ((), None), ("", ""),
])  # fmt: skip
def test_values_are_cleaned(value, cleaned):
    """Whatever comes in, what goes out can be exported, or stays away."""
    assert values.clean(value) == cleaned
    assert type(values.clean(value)) is type(cleaned)


def test_subclasses_of_str_leave_as_plain_text():
    """An enum member or marked text does not reach an exporter as such."""

    class Marked(str):
        __slots__ = ()

        def __str__(self):
            return "wrong"

    assert type(values.text(Marked("right"))) is str
    assert values.text(Marked("right")) == "right"


@given(st.dictionaries(st.text(max_size=30), st.one_of(st.text(), st.integers(), st.floats(), st.none(),
                                                        st.lists(st.text()), st.binary()), max_size=50))  # fmt: skip
def test_foreign_attributes_are_cleaned_and_bounded(attributes):
    """A session's own attributes are at most 32, all of types that exporters know."""
    cleaned = values.foreign(attributes)
    assert len(cleaned) <= 32
    assert all(isinstance(value, (str, bool, int, float, tuple)) for value in cleaned.values())


@pytest.mark.parametrize(("utilization", "band"), [
    (None, ""), (0.0, "0-10"), (0.05, "0-10"), (0.1, "10-20"), (0.3, "30-40"), (0.7, "70-80"), (0.8, "80-90"),
    (0.899, "80-90"), (0.999, "90-100"), (1.0, "100+"), (7.5, "100+"), (-1.0, "0-10"), (math.nan, ""), (math.inf, ""),
])  # fmt: skip
def test_bands_are_tenths(utilization, band):
    """The band is the tenth that a back end can search for by equality."""
    assert schema.band(utilization) == band


@pytest.mark.parametrize(("operation", "subject", "name"), [
    ("chat", "gpt-4o", "chat gpt-4o"), ("chat", "", "chat"), ("rm -rf", "m", "call m"),
    ("invoke_agent", "a\ud800", "invoke_agent a\ufffd"), ("assemble_context", "ctx\n", "assemble_context ctx "),
])  # fmt: skip
def test_span_names_are_from_a_fixed_set(operation, subject, name):
    """A span's name is a known operation and a cleaned model or name."""
    assert schema.span_name(operation, subject) == name


def test_samplers_see_the_standard_names_first():
    """The attributes a sampler may want come first, in the order of the conventions."""
    record = CallRecord(
        provider="openai", model="m", server_address="h", server_port=1, tokens=3, method="exact"
    )
    assert list(schema.dump(record))[:5] == [
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "server.address",
        "server.port",
    ]


def test_the_derived_numbers_stand_on_the_span():
    """Utilization, band, headroom and drift are written for back ends that cannot compute."""
    record = CallRecord(tokens=85, method="exact", limit=100, usage=Usage(input=90))
    written = schema.dump(record)
    assert (written[schema.UTILIZATION], written[schema.BAND]) == (0.85, "80-90")
    assert (written[schema.HEADROOM], written[schema.DRIFT]) == (15, 5)


def test_nothing_is_written_that_is_not_known():
    """A call of which nothing is known bears its operation and nothing else."""
    assert schema.dump(CallRecord()) == {schema.OPERATION: "chat"}


def test_an_exact_zero_is_written():
    """A count of zero is a count."""
    assert schema.dump(CallRecord(method="exact"))[schema.TOKENS] == 0


@pytest.mark.parametrize("attributes", [{}, {"http.method": "GET"}, {"gen_ai.operation.name": "invoke_agent"},
                                        {"gen_ai.operation.name": 7}])  # fmt: skip
def test_other_spans_are_no_record(attributes):
    """Turn spans and spans of other libraries read as nothing."""
    assert schema.load(attributes) is None


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.integers()),
    st.binary(),
)
READ = [key for table in (schema.CALL, schema.USAGE, schema.CONTEXT) for _, key, _ in table]
KEYS = st.sampled_from([*schema.dump(CallRecord(tokens=1, method="x", components={"a": 1}, limit=3)), *READ, schema.DETAILS,
                        schema.COMPONENT, "tokentrace.component..tokens", "tokentrace.component.a.cost_usd",
                        schema.INCLUDED, schema.FINISH_REASONS, "gen_ai.request.stream"])  # fmt: skip


@given(st.dictionaries(KEYS, ODD))
def test_odd_attributes_never_raise(attributes):
    """Attributes of any type read as a record, or as none."""
    record = schema.load({schema.TOKENS: 1, **attributes})
    assert isinstance(record, (CallRecord, ContextRecord))


def test_a_failed_span_without_a_type_is_other():
    """The standard's fallback names an error that its span does not."""
    assert schema.load({schema.OPERATION: "chat"}, error=True).error_type == "_OTHER"
    assert (
        schema.load({schema.OPERATION: "chat", schema.ERROR_TYPE: "E"}, error=True).error_type
        == "E"
    )


def test_an_assembly_takes_its_name_from_its_span():
    """An assembly span without the attribute still has its name."""
    assert schema.load({schema.INCLUDED: 1}, name="assemble_context main").name == "main"


@pytest.mark.parametrize("name", sorted(schema.EVENTS))
def test_events_come_back_with_their_short_names(name):
    """Each event's short names go out in full and are read back short."""
    known = {"name": "memory", "model": "gpt-4o", "reason": "too old"}
    short = {key: known.get(key, 3) for key in schema.EVENTS[name]}
    written = schema.dump_event(name, short)
    assert all(key.startswith(("tokentrace.", "gen_ai.")) for key in written)
    assert schema.load_event(Event(name, written)).attributes == short


def test_an_event_keeps_unknown_attributes_under_our_prefix():
    """What the table does not know gets our prefix, what is dotted keeps its name."""
    written = schema.dump_event(schema.LIMIT_WARNING, {"Odd one": 1, "app.x": 2, "bad": object()})
    assert written.pop("app.x") == 2
    assert [key.startswith("tokentrace.Odd_one") for key in written] == [True]


def test_events_are_read_with_their_record():
    """Loading a record gives its events the short names too."""
    written = schema.dump_event(
        schema.COMPONENT_EXCLUDED, {"name": "code.app", "tokens": 9, "reason": "budget"}
    )
    read = schema.load({schema.INCLUDED: 0}, events=(Event(schema.COMPONENT_EXCLUDED, written, 5),))
    assert read.events == (
        Event(schema.COMPONENT_EXCLUDED, {"name": "code.app", "tokens": 9, "reason": "budget"}, 5),
    )


def test_error_types_name_the_package():
    """An error's type is its package and name, a builtin's name alone."""
    assert (
        values.error_type(TokenLimitExceeded.__new__(TokenLimitExceeded))
        == "tokentrace.TokenLimitExceeded"
    )
    assert values.error_type(TimeoutError("secret")) == "TimeoutError"
    assert values.error_type(json.JSONDecodeError("secret", "", 0)) == "json.JSONDecodeError"


def test_keys_of_many_names_stay_bounded():
    """The table of precomputed names cannot grow for ever."""
    for number in range(3_000):
        schema.keys(f"name{number}")
    assert len(schema._keys) <= 1_024
    assert schema.keys("a")[0] == "tokentrace.component.a.tokens"


def test_names_that_become_equal_are_added_up():
    """Two components that normalise to one keep their sum."""
    spelled = normalise("core goal")
    read = schema.load(schema.dump(CallRecord(tokens=7, components={"core goal": 3, spelled: 4})))
    assert read.components == {spelled: 7}


def test_buckets_rise_and_are_dense_near_the_limit():
    """Every histogram's buckets rise, and ours has eight between 0.9 and 1.02."""
    for metric in schema.METRICS.values():
        assert metric.buckets is None or list(metric.buckets) == sorted(set(metric.buckets))
    assert sum(0.9 < edge <= 1.02 for edge in schema.RATIOS) >= 8
    assert schema.SECONDS[-1] == pytest.approx(81.92)
    assert schema.TOKEN_STEPS[-1] == 67_108_864


@pytest.mark.parametrize("raw", [
    None, 7, "", "{}", "[[", '[["json"]]', '[["json","user","many",0]]', "[[1,2,3,4]]", "[" * 20_000,
])  # fmt: skip
def test_waste_of_another_shape_is_none(raw):
    """What nobody of ours wrote is passed over."""
    assert schema.load({schema.TOKENS: 1, schema.WASTE: raw}).waste == ()


def test_of_very_much_waste_the_largest_stands():
    """Sixteen entries stay, the largest first, inside what back ends keep of an attribute."""
    found = tuple(Waste("duplicate", f"component-{'x' * 50}-{n}", n, 10**6) for n in range(40))
    written = schema.dump(CallRecord(waste=found))
    assert len(written[schema.WASTE]) < 2_048
    assert [one.tokens for one in schema.load(written).waste] == list(range(39, 23, -1))
