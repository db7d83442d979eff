"""Components, tags and assemblies: names for texts, in the agent's own path."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
from collections import OrderedDict, namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokentrace import _assembly, _failsafe, context, schema
from tokentrace._sessions import PROCESS, SESSIONS
from tokentrace._tags import Tags
from tokentrace.context import Tag, assembly, component, compressed, exclude, note_hits, tag, tags
from tokentrace.turns import carry, session, turn

LONG = "a text that is long enough to be found again"


class FakeHandle:
    def __init__(self, name, place):
        self.name = name
        self.place = place
        self.context = None
        self.closed = []

    def close(self, record=None, error=None, overhead=None):
        self.closed.append((record, error))


class Telemetry:
    def __init__(self):
        self.handles = []
        self.events = []

    def open_assembly(self, name, place):
        self.handles.append(FakeHandle(name, place))
        return self.handles[-1]

    def emit(self, name, attributes, handle=None):
        self.events.append((name, attributes, handle))


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """What telemetry was told."""
    fake = Telemetry()
    monkeypatch.setattr("tokentrace.telemetry.open_assembly", fake.open_assembly)
    monkeypatch.setattr("tokentrace.telemetry.emit", fake.emit)
    monkeypatch.setattr("tokentrace.telemetry.enabled", lambda: True)
    return fake


def named(name):
    """The texts that bear a name here."""
    return [one.text for one in tags() if one.name == name]


# ── tag ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "value",
    [LONG, [LONG], (LONG,), {"k": LONG}, {"k": [{"n": (LONG, 3, None)}]}, OrderedDict(k=LONG)],
    ids=["str", "list", "tuple", "dict", "nested", "ordered"],
)
def test_tag_returns_the_same_object_and_finds_its_texts(value):
    """Texts and those inside containers get the name; the value comes back as it is."""
    with session("a"):
        assert tag("memory", value) is value
        assert named("memory") == [LONG]


@pytest.mark.parametrize("value", [None, 3, 1.5, b"bytes", {1, 2}, object(), iter([LONG])])
def test_other_values_pass_through_and_are_counted(value):
    """A value without text comes back untouched; an iterator is not consumed."""
    assert tag("memory", value) is value
    assert context.status()["untaggable"] == 1
    if hasattr(value, "__next__"):
        assert list(value) == [LONG]


def test_subclasses_are_not_asked():
    """Overridden methods of the agent's own containers and texts are never called."""

    class Odd(list):
        def __iter__(self):
            raise AssertionError

        __getitem__ = __len__ = __iter__

    class Text(str):
        __slots__ = ()

        def __str__(self):
            raise AssertionError

    pair = namedtuple("pair", "a b")("first of the texts", "second of the texts")  # noqa: PYI024 - a subclass is the subject
    with session("a"):
        tag("m", Odd([LONG, Text("another text of ours"), pair]))
        assert named("m") == [LONG, "another text of ours", *pair]
        assert {type(text) for text in named("m")} == {str}


def test_deep_wide_and_cyclic_values_end():
    """Depth 64 and 10,000 nodes are enough for anybody; what is cut is counted."""
    deep = LONG
    for _ in range(100):
        deep = [deep]
    cyclic: list = [LONG]
    cyclic.append(cyclic)
    with session("a"):
        tag("deep", deep)
        tag("wide", ["short"] * 9_990 + [LONG] + ["x"] * 1_000_000)
        tag("cyclic", cyclic)
        assert named("deep") == []
        assert named("wide") == ["short", LONG, "x"]
        assert named("cyclic") == [LONG]
    assert context.status()["truncated"] >= 1


def test_empty_texts_get_no_name():
    """Nothing can be found of an empty text."""
    tag("m", ["", LONG])
    assert named("m") == [LONG]


def test_useless_name_costs_nothing():
    """A name that is no text names nothing and raises nothing in the agent's path."""
    assert tag(None, LONG) is LONG
    assert tags() == ()


def test_order_is_inner_first():
    """Of nested components the inner one was named first, and stays first."""

    @component("inner")
    def inner():
        return LONG

    @component("outer")
    def outer():
        return f"<doc>{inner()}</doc>"

    outer()
    assert [one.name for one in tags()] == ["inner", "outer"]


# ── component ────────────────────────────────────────────────────────────────────────────────────


def test_component_names_what_each_kind_of_function_returns():
    """Functions, methods, static and class methods return the very object they return."""
    value = [LONG]

    class Store:
        @component("method")
        def method(self):
            return value

        @component("static")
        @staticmethod
        def static():
            return value

        @classmethod
        @component("whole")
        def whole(cls):
            return value

    assert Store().method() is Store.static() is Store.whole() is value
    assert [one.name for one in tags()] == ["method", "static", "whole"]


async def test_component_names_what_is_awaited():
    """Coroutines, tasks and futures are named when their result is there, before it is used."""

    @component("coroutine")
    async def recall():
        await asyncio.sleep(0)
        return LONG

    @component("task")
    def start():
        return asyncio.ensure_future(recall.__wrapped__())

    @component("future")
    def ready():
        future = asyncio.get_running_loop().create_future()
        future.set_result(LONG)
        return future

    with session("a"):
        assert inspect.iscoroutinefunction(recall)
        assert await recall() is LONG
        assert named("coroutine") == [LONG]
        task = start()
        assert isinstance(task, asyncio.Task)
        assert await task is LONG
        assert named("task") == [LONG]
        assert await ready() is LONG
        assert named("future") == [LONG]


async def test_failed_future_is_still_the_hosts_error():
    """Looking at a task's error does not mark it as seen; the awaiting code gets it."""

    @component("task")
    def start():
        async def broken():
            raise KeyError("host")

        return asyncio.ensure_future(broken())

    with pytest.raises(KeyError, match="host"):
        await start()


def test_generators_are_named_chunk_by_chunk_and_whole():
    """Items come as they are taken; scraps of a text are named when they are put together."""

    @component("documents")
    def documents():
        yield "the first of the documents"
        yield "the second of the documents"

    @component("stream")
    def stream():
        yield from ("sm", "all ", "pieces of", " one text")

    items = documents()
    assert next(items) == "the first of the documents"
    assert named("documents") == ["the first of the documents"]
    assert "".join(stream()) == "small pieces of one text"
    assert named("stream") == ["small pieces of one text"]


async def test_async_generators_are_the_same():
    """An async generator's items are named as they come, its pieces at the end."""

    @component("stream")
    async def stream():
        for piece in ("sm", "all ", "pieces of", " one text"):
            yield piece

    assert inspect.isasyncgenfunction(stream)
    assert [piece async for piece in stream()] == ["sm", "all ", "pieces of", " one text"]
    assert named("stream") == ["small pieces of one text"]


def test_dropped_generator_names_what_was_taken():
    """A stream that nobody finishes is named as far as it went."""

    @component("stream")
    def stream():
        while True:
            yield "piece of text, "

    items = stream()
    next(items)
    next(items)
    del items
    gc.collect()
    assert named("stream") == ["piece of text, piece of text, "]


def test_errors_of_the_function_pass_through():
    """What the function raises is what its caller gets."""

    @component("m")
    def broken():
        raise LookupError("host")

    with pytest.raises(LookupError, match="host"):
        broken()
    assert not _failsafe.failures


@pytest.mark.parametrize("bad", [None, 3, "", lambda: LONG])
def test_useless_names_are_refused_at_decoration(bad):
    """A name that is no text, or empty, is an error where it is written."""
    with pytest.raises((TypeError, ValueError), match="name"):
        component(bad)


def test_our_own_failure_costs_the_name_only(monkeypatch):
    """When naming breaks, the function's result comes all the same, and the failure is counted."""

    def broken(*_args):
        raise RuntimeError

    monkeypatch.setenv("TOKENTRACE_STRICT", "0")
    monkeypatch.setattr(Tags, "add", broken)
    assert component("m")(lambda: LONG)() is LONG
    assert tag("m", LONG) is LONG
    assert sum(_failsafe.failures.values()) == 2


# ── where names live ─────────────────────────────────────────────────────────────────────────────


AT_IMPORT = tag("at_import", "named while the module was imported")


def test_import_time_tags_are_found_in_every_session():
    """What is named outside any session is known in all of them."""
    tag("at_import", AT_IMPORT)
    with session("a"), turn():
        assert named("at_import") == [AT_IMPORT]


def test_sessions_do_not_see_each_other():
    """A tag of one session is unknown in another and outside."""
    with session("a"):
        tag("m", LONG + " of a")
    with session("b"):
        assert tags() == ()
    assert tags() == ()
    with session("a"), turn():
        assert named("m") == [LONG + " of a"]


def test_cached_function_is_known_in_the_next_session():
    """A component under a cache runs once; its text bears its name in later sessions too."""

    @functools.lru_cache
    @component("memory")
    def recall(query):
        return f"{LONG} about {query}"

    with session("a"):
        text = recall("k8s")
    del text
    for name in ("b", "c"):
        with session(name):
            assert named("memory") == [recall("k8s")]


def test_uncached_text_is_forgotten_with_its_session():
    """What nobody holds any more is not looked for in other sessions."""

    @component("memory")
    def recall(query):
        return f"{LONG} about {query}"

    with session("a"):
        recall("k8s")
    with session("b"):
        assert tags() == ()


def test_flood_does_not_wash_out_a_cached_text():
    """Texts that nobody holds go first when room runs out."""

    @functools.cache
    @component("cached")
    def cached():
        return f"{LONG} in a cache {len(LONG)}"

    @component("flood")
    def flood(n):
        return f"{LONG} {n}"

    with session("a"):
        cached()
        for n in range(1_000):
            flood(n)
    with session("b"):
        assert "cached" in {one.name for one in tags()}
    assert len(context.CACHED) <= 128


def test_sessions_own_name_wins():
    """A text with a name of this session has no name from elsewhere."""
    tag("everywhere", LONG)
    with session("a"):
        assert named("everywhere") == [LONG]
        tag("here", LONG)
        assert [one.name for one in tags()] == ["here"]


async def test_gathered_sessions_never_mix():
    """Fifty concurrent sessions, each with child tasks that name texts, see only their own."""

    @component("memory")
    async def recall(text):
        await asyncio.sleep(0)
        return text

    @session(lambda name: name)
    async def run(name):
        mine = {f"text {part} of session {name} here" for part in range(3)}
        await asyncio.gather(*(recall(text) for text in mine))
        own = {one.text for one in tags()[:3]}
        return own == mine

    assert all(await asyncio.gather(*(run(f"s{n}") for n in range(50))))


def test_executor_names_in_the_session_it_was_carried_into():
    """A carried function names in the caller's session, a bare one in the process."""

    @component("memory")
    def recall(text):
        return text

    with ThreadPoolExecutor(2) as pool, session("a"):
        pool.submit(recall, LONG + " bare").result()
        pool.submit(carry(recall), LONG + " carried").result()
        assert sorted(named("memory")) == [LONG + " bare", LONG + " carried"]
    assert [one.text for one in PROCESS.tags.all()] == [LONG + " bare"]


def test_threads_name_at_once():
    """Eight threads that name 200 texts each in one session lose none."""

    def work(n):
        with session("a"):
            for m in range(200):
                tag("m", f"text {m} of thread number {n}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    with session("a"):
        assert len(named("m")) == 1_600


def test_tags_change_only_when_something_changed():
    """The same tuple and version come back until a new text is named."""
    with session("a"):
        tag("m", LONG)
        before, number = tags(), context.version()
        tag("m", LONG)
        assert tags() is before
        assert context.version() == number
        tag("m", LONG + " and more")
        assert len(tags()) == 2
        assert context.version() != number


def test_tags_are_bounded_in_number_and_bytes():
    """The oldest go when there is no more room, and are counted."""
    few = Tags(most=100)
    for n in range(1_000):
        few.add(Tag("m", f"text {n}"))
    assert len(few) <= 100
    assert few.dropped == 1_000 - len(few)
    assert few.all()[-1].text == "text 999"
    small = Tags(room=10_000)
    for n in range(100):
        small.add(Tag("m", f"{n}" + "x" * 1_000))
    assert small.size <= 10_000
    small.clear()
    assert (small.size, len(small)) == (0, 0)


def test_process_tags_are_bounded():
    """An agent without sessions that names for ever keeps a bounded store."""
    for n in range(6_000):
        tag("m", f"{LONG} number {n}")
    status = context.status()
    assert status["tags"] <= 4_096
    assert status["tags"] + status["tags_dropped"] == 6_000
    assert len(SESSIONS) == 0


# ── assemblies ───────────────────────────────────────────────────────────────────────────────────


def test_assembly_decorator_tells_what_it_included(told):
    """The span has the function's name, and the tokens of what it returned."""

    @assembly
    def build():
        return ["one two three", tag("memory", "four five")]

    with session("a", agent="devops"), turn(number=4):
        assert build() == ["one two three", "four five"]
    [handle] = told.handles
    [(record, error)] = handle.closed
    assert (handle.name, record.name, error) == ("build", "build", None)
    assert (record.session, record.agent, record.turn) == ("a", "devops", 4)
    assert record.included == 5
    assert record.end >= record.start > 0


def test_assembly_block_counts_what_was_named_in_it(told):
    """A block returns nothing: what was named in it was included, nested texts once."""
    with assembly("ctx", budget=8000) as building:
        inner = tag("inner", "three four")
        tag("outer", f"one two {inner}")
        assert (building.name, building.budget) == ("ctx", 8000)
    record = told.handles[0].closed[0][0]
    assert (record.included, record.budget) == (4, 8000)


async def test_assembly_sums_and_events(told):
    """What tasks exclude and compress inside is summed up on the span and told as events."""

    @assembly(name="ctx", budget=100)
    async def build():
        exclude("code.app", "one two three", reason="exceeds available budget")

        async def shrink():
            compressed("history", before="one two three four", after="one")

        await asyncio.gather(shrink(), asyncio.create_task(shrink()))
        exclude("logs", tokens=1234, reason="old")
        compressed("numbers", 500, 700)

    await build()
    record = told.handles[0].closed[0][0]
    assert (record.excluded, record.compressed) == (1237, 6)
    assert told.events[0] == (
        schema.COMPONENT_EXCLUDED,
        {"name": "code.app", "tokens": 3, "reason": "exceeds available budget"},
        told.handles[0],
    )
    assert told.events[-1][1] == {"name": "numbers", "before": 500, "after": 700}
    assert {event[0] for event in told.events[1:3]} == {schema.CONTEXT_COMPRESSED}


def test_exclude_outside_an_assembly_is_an_event(told):
    """Without an assembly the event goes to whatever span is current."""
    exclude("logs", tokens=5, reason="old")
    compressed("history", {"messages": ["one two"]}, [])
    assert [(e[1], e[2]) for e in told.events] == [
        ({"name": "logs", "tokens": 5, "reason": "old"}, None),
        ({"name": "history", "before": 2, "after": 0}, None),
    ]


def test_odd_sizes_are_no_error(told):
    """Nothing that an agent passes here raises."""
    exclude("a", None, reason=None)
    exclude("b", object(), reason="x")
    exclude("c", reason="x", tokens=-5)
    compressed("d", None, float("1e3"))
    assert [e[1].get("tokens", e[1].get("after")) for e in told.events] == [0, 0, 0, 1000]


def test_nothing_is_counted_without_telemetry(monkeypatch, told):
    """When nobody will see it, no text is tokenised."""

    def never(_name):
        raise AssertionError

    monkeypatch.setattr("tokentrace.telemetry.enabled", lambda: False)
    monkeypatch.setattr("tokentrace.counting.text.ruler", never)
    with assembly("ctx"):
        tag("m", LONG)
        exclude("logs", LONG, reason="old")
        compressed("history", LONG, "")
    assert told.events == []
    assert told.handles[0].closed[0][0].included == 0


def test_assembly_ends_with_the_error_of_its_code(told):
    """The error reaches the caller and the span, once."""
    with pytest.raises(KeyError), assembly("ctx"):
        raise KeyError
    [(record, error)] = told.handles[0].closed
    assert isinstance(error, KeyError)
    assert record.name == "ctx"


def test_lost_tags_are_on_the_open_assembly(told):
    """A call inside the assembly says which of its tags it held."""
    with session("a"), assembly("ctx"):
        tag("kept", "a text that is in the body")
        tag("lost", "a text that is not in the body")
        note_hits([one for one in tags() if one.name == "kept"])
    assert told.handles[0].closed[0][0].lost == 1
    assert context.status()["tags_lost"] == 1


def test_lost_tags_of_an_ended_assembly_are_counted():
    """The call that follows counts once; what an earlier call held is not lost."""
    with session("a"):
        with assembly("ctx"):
            tag("kept", "a text that is in the body")
            tag("lost", "a text that is not in the body")
        held = [one for one in tags() if one.name == "kept"]
        note_hits(held)
        note_hits([])
        assert context.status()["tags_lost"] == 1
        with assembly("ctx"):
            tag("kept", "a text that is in the body")
        note_hits([])
        assert context.status()["tags_lost"] == 1


def test_assemblies_that_wait_for_a_call_are_bounded():
    """An agent that assembles and never calls keeps the last 32."""
    with session("a") as place:
        for _ in range(100):
            with assembly("ctx"):
                pass
        assert len(place.registry.assemblies) == 32


@pytest.mark.parametrize("bad", [{"name": 3}, {"budget": "x"}, {"budget": True}])
def test_useless_assembly_arguments(bad):
    """Wrong types are errors where they are written."""
    with pytest.raises(TypeError):
        assembly(**bad)


def test_broken_telemetry_costs_the_assembly_only(monkeypatch, caplog):
    """The block runs, its names are kept, one log line says what failed, without content."""

    def broken(*_args):
        raise RuntimeError(LONG)

    monkeypatch.setenv("TOKENTRACE_STRICT", "0")
    monkeypatch.setattr("tokentrace.telemetry.open_assembly", broken)
    with caplog.at_level(logging.WARNING), session("a"), assembly("ctx"):
        tag("m", LONG)
        assert named("m") == [LONG]
    assert len(caplog.records) == 1
    assert LONG not in caplog.text
    assert _assembly.buildings.get() == ()
