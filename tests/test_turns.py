"""Sessions and turns: where the code is, whatever kind of code it is."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import os
import pickle
import threading
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tokentrace
from tokentrace import _failsafe, telemetry, turns
from tokentrace._sessions import PROCESS, SESSIONS, Registry, Sessions
from tokentrace._tags import Tag
from tokentrace.guard import Guard
from tokentrace.lineage import Lineages
from tokentrace.prompt import Count, Message, Part, Prompt
from tokentrace.turns import carry, current, session, turn

REAL = telemetry.open_turn


class FakeHandle:
    def __init__(self, place):
        self.place = place
        self.context = None
        self.closed = []

    def close(self, record=None, error=None, overhead=None):
        self.closed.append(error)


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """The handles of all turns that were opened."""
    handles = []

    def open_turn(place):
        handles.append(FakeHandle(place))
        return handles[-1]

    monkeypatch.setattr("tokentrace.telemetry.open_turn", open_turn)
    return handles


def where():
    place = current()
    return place.session, place.turn_number


# ── context managers ─────────────────────────────────────────────────────────────────────────────


def test_with_names_the_place_and_restores_it():
    """Inside the block the session stands, after it what stood before, also after an error."""
    with session("a", agent="devops", attributes={"tenant.id": "t1"}) as place:
        assert current() is place
        assert (place.session, place.agent, place.attributes) == (
            "a",
            "devops",
            {"tenant.id": "t1"},
        )
    with pytest.raises(KeyError), session("a"):
        raise KeyError
    assert where() == ("", None)


async def test_async_with_is_the_same():
    """``async with`` sets and restores as ``with`` does."""
    async with session("a"), turn() as place:
        await asyncio.sleep(0)
        assert where() == ("a", 1)
        assert place.turn_number == 1
    assert where() == ("", None)


def test_nested_session_of_the_same_name_keeps_the_turn():
    """A sub-agent's session shares registry and turn, adds attributes, and brings its own agent."""
    guard = Guard(limit=1)
    with session("a", agent="main", attributes={"x": 1}, guard=guard) as outer, turn(7):
        with session("a", agent="critic", attributes={"y": 2}) as inner:
            assert inner.registry is outer.registry
            assert (inner.agent, inner.turn_number) == ("critic", 7)
            assert inner.attributes == {"x": 1, "y": 2}
            assert inner.guard is guard
        with session("a") as again:
            assert again.agent == "main"
        with session("a", guard=False) as off:
            assert off.guard is False


def test_nested_session_of_another_name_is_another_place():
    """Another session has its own registry and no turn of the outer one."""
    with session("a", agent="main"), turn(), session("b") as inner:
        assert (inner.session, inner.agent, inner.turn_number, inner.turn) == ("b", "", None, None)


def test_session_goes_on_when_entered_again():
    """A session that was left keeps its registry and goes on numbering."""
    with session("a") as first, turn():
        pass
    with session("a") as second, turn():
        assert where() == ("a", 2)
    assert first.registry is second.registry


@pytest.mark.parametrize(
    ("given", "name"),
    [(None, ""), ("", ""), (42, "42"), (uuid.UUID(int=1), str(uuid.UUID(int=1)))],
)
def test_odd_ids_become_texts(given, name):
    """Numbers and UUIDs become texts, None is no name; nothing raises."""
    with session(given) as place:
        assert place.session == name


@pytest.mark.parametrize(
    "bad", [{"agent": 3}, {"attributes": ["x"]}, {"guard": "no"}, {"guard": True}]
)
def test_useless_arguments_are_refused_at_construction(bad):
    """An argument of the wrong type is a TypeError where it is written."""
    with pytest.raises(TypeError, match=next(iter(bad))):
        session("a", **bad)


# ── turns ────────────────────────────────────────────────────────────────────────────────────────


def test_turns_number_themselves_by_session():
    """Each session counts its own turns; a given number moves the count on."""
    seen = []
    for name in ("a", "b", "a"):
        with session(name), turn():
            seen.append(where())
    with session("a"):
        with turn(number=7):
            seen.append(where())
        with turn():
            seen.append(where())
    assert seen == [("a", 1), ("b", 1), ("a", 2), ("a", 7), ("a", 8)]


def test_turn_inside_a_turn_serves_the_same_input():
    """A sub-agent's turn has its own span and the outer one's number; a closed turn is no outer one."""
    with session("a"), turn(), turn() as inner:
        assert inner.turn_number == 1
    with session("a"), turn() as place:
        assert place.turn_number == 2


def test_turn_outside_a_session_numbers_the_process():
    """Without a session turns are numbered all the same."""
    numbers = []
    for _ in range(3):
        with turn() as place:
            numbers.append(place.turn_number)
    assert numbers == [1, 2, 3]


def test_turn_closes_its_span_once_with_its_error(opened):
    """The span ends with what the block ended with."""
    with session("a", agent="devops"), turn():
        assert opened[0].closed == []
    with pytest.raises(ValueError), session("a"), turn():
        raise ValueError
    assert opened[0].closed == [None]
    assert [type(e) for e in opened[1].closed] == [ValueError]
    assert opened[0].place.turn_number == 1
    assert opened[0].place.agent == "devops"


@pytest.mark.parametrize("bad", ["7", 1.5, [1]])
def test_turn_number_is_a_number(bad):
    """Anything but an int is a TypeError at construction."""
    with pytest.raises(TypeError, match="number"):
        turn(number=bad)


def test_broken_telemetry_costs_the_span_only(monkeypatch):
    """When no span can be opened the turn still has its number and its code runs."""

    def broken(place):
        raise RuntimeError

    monkeypatch.setenv("TOKENTRACE_STRICT", "0")
    monkeypatch.setattr("tokentrace.telemetry.open_turn", broken)
    with session("a"), turn() as place:
        assert place.turn_number == 1
    assert sum(_failsafe.failures.values()) == 1


# ── decorators ───────────────────────────────────────────────────────────────────────────────────


def by_id(conv_id, **_):
    return conv_id


def test_decorated_function_takes_its_id_from_its_arguments():
    """By position, by name, or by default: the callable gets the arguments by their names."""

    @session(by_id, agent="devops")
    def handle(conv_id="c0", text=""):
        return where()[0]

    assert [handle("c1", "x"), handle(conv_id="c2", text="y"), handle()] == ["c1", "c2", "c0"]
    assert where() == ("", None)


@pytest.mark.parametrize(
    "name",
    [lambda conv_id: conv_id, lambda first, *_: first, lambda *args: args[0], lambda c, t: c],
    ids=["one-name", "positional", "star", "other-names"],
)
def test_any_callable_may_give_the_id(name):
    """A callable that names other parameters gets the arguments as they came."""

    @session(name)
    def handle(conv_id, text):
        return where()[0]

    assert handle("c1", "x") == "c1"


def test_callable_that_fails_costs_the_name_only(monkeypatch):
    """The function runs without a session, the failure is counted."""
    monkeypatch.setenv("TOKENTRACE_STRICT", "0")

    @session(lambda conv_id: conv_id["missing"])
    def handle(conv_id):
        return where()

    assert handle({}) == ("", None)
    assert sum(_failsafe.failures.values()) == 1


def test_wrong_arguments_are_the_hosts_own_error():
    """A call that the function refuses raises what it raises undecorated."""

    @session(by_id)
    def handle(conv_id):
        return conv_id

    with pytest.raises(TypeError, match="handle"):
        handle("a", "b", "c")


def test_methods_of_all_kinds_are_decorated():
    """Methods, static and class methods keep what they are bound to."""

    class Agent:
        @session(lambda self, conv_id: conv_id)
        def method(self, conv_id):
            return type(self).__name__, where()[0]

        @session(by_id)
        @staticmethod
        def static(conv_id):
            return where()[0]

        @turn
        @classmethod
        def whole(cls):
            return cls.__name__, where()[1]

    assert Agent().method("m") == ("Agent", "m")
    assert Agent.static("s") == "s"
    assert Agent.whole() == ("Agent", 1)


async def test_decorated_coroutine_runs_inside():
    """An async function stays one, and is inside across its awaits."""

    @session(by_id)
    @turn()
    async def handle(conv_id, text):
        before = where()
        await asyncio.sleep(0)
        return before, where()

    assert inspect.iscoroutinefunction(handle)
    assert await handle("c1", "x") == (("c1", 1), ("c1", 1))
    assert where() == ("", None)


def test_decorated_generator_leaves_the_caller_alone():
    """Between two items the caller's own place stands; each item is made inside."""

    @session("inner")
    @turn
    def stream(n):
        for _ in range(n):
            yield where()
        return "end"

    assert inspect.isgeneratorfunction(stream)
    with session("outer"):
        items = stream(2)
        assert next(items) == ("inner", 1)
        assert where() == ("outer", None)
        assert next(items) == ("inner", 1)
        with pytest.raises(StopIteration) as stop:
            next(items)
        assert stop.value.value == "end"
        assert where() == ("outer", None)


def test_generator_hears_what_its_caller_sends_and_throws():
    """send, throw and close reach the host's own generator, inside its place."""
    seen = []

    @session("s")
    def stream():
        try:
            seen.append((yield 1))
            try:
                yield 2
            except KeyError:
                seen.append(where()[0])
            yield 3
        finally:
            seen.append("closed")

    items = stream()
    assert next(items) == 1
    assert items.send("sent") == 2
    assert items.throw(KeyError("k")) == 3
    items.close()
    assert seen == ["sent", "s", "closed"]


async def test_decorated_async_generator_is_the_same():
    """An async generator stays one; asend, athrow and aclose reach it inside its place."""
    seen = []

    @session("s")
    @turn
    async def stream():
        try:
            seen.append((yield where()))
            try:
                yield 2
            except KeyError:
                seen.append(where()[0])
            yield 3
        finally:
            seen.append("closed")

    assert inspect.isasyncgenfunction(stream)
    items = stream()
    assert await anext(items) == ("s", 1)
    assert where() == ("", None)
    assert await items.asend("sent") == 2
    assert await items.athrow(KeyError("k")) == 3
    await items.aclose()
    assert seen == ["sent", "s", "closed"]


def test_decorators_under_contextmanager():
    """Errors in a ``with`` body reach a decorated generator that is a context manager."""

    @contextmanager
    @session("s")
    def opened_here():
        try:
            yield where()
        except KeyError:
            caught.append(where()[0])

    caught = []
    with opened_here() as place:
        assert place == ("s", None)
        assert where() == ("", None)
        raise KeyError
    assert caught == ["s"]


async def test_decorators_under_asynccontextmanager():
    """The same for async ones."""
    caught = []

    @asynccontextmanager
    @session("s")
    async def opened_here():
        try:
            yield where()
        except KeyError:
            caught.append(where()[0])

    async with opened_here() as place:
        assert place == ("s", None)
        raise KeyError
    assert caught == ["s"]


async def test_plain_functions_are_followed_by_what_they_return():
    """A function that returns a coroutine, a generator or an async generator is followed into it."""

    async def answer():
        await asyncio.sleep(0)
        return where()[0]

    def items():
        yield where()[0]

    async def async_items():
        yield where()[0]

    def given(result):
        return result()

    named = session("s")(given)
    assert await named(answer) == "s"
    assert list(named(items)) == ["s"]
    assert [item async for item in named(async_items)] == ["s"]
    task = named(lambda: asyncio.ensure_future(answer()))
    assert isinstance(task, asyncio.Task)
    assert await task == "s"


def test_dropped_generator_ends_its_turn(opened):
    """A generator that nobody finishes ends its span when it is collected, and leaks no place."""

    @turn
    def stream():
        yield 1
        yield 2

    items = stream()
    next(items)
    del items
    gc.collect()
    assert opened[0].closed == [None]
    assert where() == ("", None)


async def test_dropped_async_generator_ends_its_turn(opened):
    """``break`` out of an async generator ends its span without an error about contexts."""

    @turn
    async def stream():
        yield 1
        yield 2

    async for _ in stream():
        break
    gc.collect()
    await asyncio.sleep(0.01)
    assert opened[0].closed == [None]


def test_generator_that_never_runs_opens_nothing(opened):
    """A turn begins with the first item that somebody takes."""

    @turn
    def stream():
        yield 1

    stream()
    gc.collect()
    assert opened == []


def test_generator_error_ends_its_turn_with_it(opened):
    """What the generator raises reaches the caller and the span."""

    @turn
    def stream():
        yield 1
        raise ValueError("host")

    with pytest.raises(ValueError, match="host"):
        list(stream())
    assert [type(e) for e in opened[0].closed] == [ValueError]


@functools.cache
def plus(x):
    return x + 1


cached = session("c")(plus)


def test_decorated_functions_keep_name_doc_and_cache():
    """Name, signature, pickling and the methods of a cache are those of the function."""
    assert cached(1) == 2
    assert cached.cache_info().currsize == 1
    decorated = session("x")(by_id)
    assert inspect.signature(decorated) == inspect.signature(by_id)
    assert decorated.__wrapped__ is by_id
    assert pickle.loads(pickle.dumps(picklable))(3) == 4


@session("p")
def picklable(x):
    return x + 1


@pytest.mark.parametrize("bad", [3, "f", int, None])
def test_only_functions_are_decorated(bad):
    """A class or a value is a TypeError at decoration."""
    with pytest.raises(TypeError):
        session("a")(bad)


# ── tasks, threads, other contexts ───────────────────────────────────────────────────────────────


async def test_concurrent_sessions_never_mix():
    """Fifty tasks with a session each see their own, and their child tasks see it too."""

    async def child():
        await asyncio.sleep(0)
        return where()[0], current().registry

    @session(lambda name: name)
    async def run(name):
        await asyncio.sleep(0)
        found, registry = await asyncio.create_task(child())
        return name == found == where()[0] and registry is current().registry

    assert all(await asyncio.gather(*(run(f"s{n}") for n in range(50))))


async def test_task_outlives_its_session():
    """A background task stays in the session that started it."""
    release = asyncio.Event()

    async def background():
        await release.wait()
        return where()

    with session("a"), turn():
        task = asyncio.create_task(background())
    release.set()
    assert await task == ("a", 1)


async def test_task_that_outlives_its_turn_opens_the_next():
    """A turn opened in a task whose outer turn is over has a number of its own."""
    release = asyncio.Event()

    async def background():
        await release.wait()
        with turn() as place:
            return place.turn_number

    with session("a"), turn():
        task = asyncio.create_task(background())
    release.set()
    assert await task == 2


def test_leaving_in_another_context_harms_nobody():
    """A block that ends in another context neither raises nor changes that context."""
    scope = session("a")
    other = contextvars.copy_context()
    contextvars.copy_context().run(scope.__enter__)
    other.run(scope.__exit__, None, None, None)
    assert other.run(where) == ("", None)
    scope = session("a")
    inside = contextvars.copy_context()
    inside.run(scope.__enter__)
    with session("b"):
        scope.__exit__(None, None, None)
        assert where()[0] == "b"


def test_interleaved_generators_with_blocks_inside():
    """Two suspended generators that hold ``with`` blocks end in any order without a trace."""

    def held(name):
        with session(name):
            yield
            yield

    before = where()
    first, second = held("a"), held("b")
    context = contextvars.copy_context()
    context.run(next, first)
    context.run(next, second)
    context.run(first.close)
    context.run(second.close)
    assert context.run(where) == before


def test_one_scope_object_serves_many_threads():
    """The same session object entered by eight threads at once serves each of them."""
    scope = session("shared")
    barrier = threading.Barrier(8)

    def run():
        with scope:
            barrier.wait()
            inside = where()[0]
            barrier.wait()
        return inside, where()[0]

    with ThreadPoolExecutor(8) as pool:
        results = [future.result() for future in [pool.submit(run) for _ in range(8)]]
    assert results == [("shared", "")] * 8
    assert scope._stays == []


def test_turn_numbers_are_unique_across_threads():
    """Two hundred turns of one session on eight threads have two hundred numbers."""

    def run(_):
        with session("a"), turn() as place:
            return place.turn_number

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(run, range(200)))
    assert sorted(numbers) == list(range(1, 201))


def test_carry_takes_the_place_along():
    """A bare thread knows nothing; a carried function knows session and turn, and leaves no trace."""
    with ThreadPoolExecutor(1) as pool:
        with session("a"), turn():
            assert pool.submit(where).result() == ("", None)
            assert pool.submit(carry(where)).result() == ("a", 1)
            carried = carry(where)
        assert pool.submit(carried).result() == ("a", 1)
        assert pool.submit(where).result() == ("", None)


def test_carried_coroutine_runs_in_another_loop():
    """An async function is carried like any other."""

    async def answer():
        await asyncio.sleep(0)
        return where()

    with session("a"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, carry(answer)()).result() == ("a", None)


def test_cancellation_passes_through():
    """A cancelled task is cancelled, and its turn ends with that."""

    @turn
    async def handle():
        await asyncio.sleep(60)

    async def main():
        async with asyncio.timeout(0.01):
            await handle()

    with pytest.raises(TimeoutError):
        asyncio.run(main())


# ── the environment ──────────────────────────────────────────────────────────────────────────────


def test_environment_names_session_and_turn(monkeypatch):
    """A process that runs one turn gets both from its environment; later turns count on."""
    monkeypatch.setenv("TOKENTRACE_SESSION", "conv-7")
    monkeypatch.setenv("TOKENTRACE_TURN", "3")
    assert where() == ("conv-7", 3)
    numbers = []
    for _ in range(2):
        with turn() as place:
            numbers.append((place.session, place.turn_number))
    assert numbers == [("conv-7", 3), ("conv-7", 4)]


def test_environment_turn_belongs_to_its_session(monkeypatch):
    """A session named in code is not numbered by another one's turn."""
    monkeypatch.setenv("TOKENTRACE_TURN", "3")
    with session("mine"), turn():
        assert where() == ("mine", 3)
    monkeypatch.setenv("TOKENTRACE_SESSION", "conv-7")
    with session("other"), turn():
        assert where() == ("other", 1)


@pytest.mark.parametrize("bad", ["abc", "-1", "1e9", "0", ""])
def test_bad_turn_in_the_environment_is_none(monkeypatch, bad):
    """A value that is no positive number is a log line and no turn."""
    monkeypatch.setenv("TOKENTRACE_TURN", bad)
    assert where() == ("", None)


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────


def test_thousands_of_sessions_are_bounded():
    """The table keeps as many as it may, counts the others, and forgets none that is in use."""
    sessions = Sessions(most=100)
    kept = sessions.open("first")
    for n in range(1_000):
        sessions.open(f"s{n}")
        sessions.open("first")
    assert len(sessions) == 100
    assert sessions.evicted == 901
    assert sessions.open("first") is kept


def test_sessions_are_bounded_by_bytes():
    """Sessions whose tags fill the room push out the ones not used for longest."""
    sessions = Sessions(room=1_000_000)
    for n in range(40):
        registry = sessions.open(f"s{n}")
        registry.tags.add(Tag("memory", f"{n}" + "x" * 100_000))
        sessions.weigh(registry)
    assert len(sessions) < 12
    assert sessions._weight <= 1_000_000
    assert sessions.tags_dropped() == sessions.evicted == 40 - len(sessions)


def test_idle_sessions_expire(monkeypatch):
    """A session that nobody entered for the idle time is forgotten."""
    sessions = Sessions(idle=100.0)
    sessions.open("old").used -= 200
    sessions.open("new")
    assert (len(sessions), sessions.evicted) == (1, 1)


def test_thousand_sessions_of_25_turns_stay_small():
    """A thousand sessions with 25 turns each hold less than 50 MB."""
    messages = [Message("user", (Part("text", f"m{n}"),)) for n in range(25)]
    tracemalloc.start()
    for n in range(1_000):
        with session(f"s{n}"):
            lineages = current().registry.lineages
            for length in range(1, 26):
                line = lineages.follow(Prompt("a", "m", messages[:length]), turn=length)
                line.note(Count(length, {"history": length}))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 50e6
    assert len(SESSIONS) == 1_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_while_a_lock_is_held():
    """A child forked while another thread held our locks can open sessions and tag."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with SESSIONS._lock, PROCESS.tags._lock, PROCESS._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        with session("child"), turn():
            PROCESS.tags.add(Tag("a", "text"))
        os._exit(0)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_registry_is_what_a_session_shares():
    """A registry numbers turns and holds lineages of its own."""
    registry = Registry("a")
    assert [registry.number(None, 1), registry.number(5, 1), registry.number(None, 1)] == [1, 5, 6]
    assert isinstance(registry.lineages, Lineages)
    assert turns.current().registry is PROCESS
    assert tokentrace.session is session


# ── spans ────────────────────────────────────────────────────────────────────────────────────────


class Traced:
    """A real provider of an application, and the spans that it got."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.provider = provider
        self.tracer = provider.get_tracer("app")

    def parents(self):
        """Each span's name with its parent's name."""
        spans = self.exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        return {span.name: names.get(span.parent and span.parent.span_id) for span in spans}

    def work(self, name):
        with self.tracer.start_as_current_span(name):
            pass


@pytest.fixture
def traced(monkeypatch, opened):
    """Real spans instead of the fake handles."""
    monkeypatch.setattr(telemetry, "open_turn", REAL)
    app = Traced()
    telemetry.configure(tracer_provider=app.provider)
    return app


def test_turn_is_the_parent_of_what_happens_in_it(traced):
    """The application's own spans and those of carried functions lie under the turn's."""
    with session("a", agent="devops"), turn():
        traced.work("inside")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(carry(traced.work), "carried").result()
    traced.work("outside")
    assert traced.parents() == {
        "inside": "invoke_agent devops",
        "carried": "invoke_agent devops",
        "invoke_agent devops": None,
        "outside": None,
    }


def test_turns_of_a_session_are_linked(traced):
    """Each turn's span links to the one before it in its session, whoever ran in between."""
    for name in ("a", "b", "a"):
        with session(name, agent=name), turn():
            pass
    first, _, third = traced.exporter.get_finished_spans()
    assert [link.context for link in third.links] == [first.context]
    assert third.attributes["tokentrace.turn.number"] == 2


def test_generator_keeps_its_turn_to_itself(traced, caplog):
    """Between two items the caller's span is current; work inside lies under the turn."""

    @turn
    def stream():
        for n in range(2):
            traced.work(f"inside {n}")
            yield n

    with traced.tracer.start_as_current_span("caller"):
        for n in stream():
            traced.work(f"between {n}")
    parents = traced.parents()
    assert [parents[f"inside {n}"] for n in range(2)] == ["invoke_agent"] * 2
    assert [parents[f"between {n}"] for n in range(2)] == ["caller"] * 2
    assert parents["invoke_agent"] == "caller"
    assert caplog.records == []


async def test_cancelled_turn_has_its_error(traced, caplog):
    """A turn that was cut off says by what, and no context is left behind."""

    @turn
    async def handle():
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await handle()
    traced.work("after")
    span = traced.exporter.get_finished_spans()[0]
    assert span.attributes["error.type"].endswith("CancelledError")
    assert traced.parents()["after"] is None
    assert caplog.records == []
