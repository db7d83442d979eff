"""Agent frameworks, without any of them: the table, the cost of asking, and what is done with an answer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import tokentrace
from tokentrace import _failsafe, _told, turns
from tokentrace._sessions import MOST_RUNS, Registry
from tokentrace._told import Told
from tokentrace.instrument import frameworks
from tokentrace.instrument.frameworks import FRAMEWORKS, readers, runs
from tokentrace.testing import Wire, capture, openai_chat

openai = pytest.importorskip("openai", reason="openai is not installed")

TOP = Path(__file__).parents[2]
ASIDE = "opentelemetry.trace"  # the one module of the table that is always there


def ask(*texts):
    """Make one call with these user texts."""
    wire = Wire(openai_chat("Fine.", prompt_tokens=9))
    client = openai.OpenAI(api_key="t", http_client=wire.client("openai"))
    talk = [{"role": "user", "content": text} for text in texts]
    client.chat.completions.create(model="gpt-4o", messages=talk)


@pytest.fixture
def tell(monkeypatch):
    """Have a framework tell what is said last."""
    said = {}

    def says(**told):
        said["now"] = Told(**told)

    kept = types.ModuleType("framework")
    monkeypatch.setitem(sys.modules, "framework", kept)
    row = frameworks.Framework("one", "one", "framework", lambda _module: said.get("now"))
    monkeypatch.setattr(frameworks, "FRAMEWORKS", (row,))
    return says


def places(captured):
    return [(call.session, call.agent, call.turn, call.turn_id) for call in captured.calls]


# ── without any framework ────────────────────────────────────────────────────────────────────────


def test_no_framework_is_imported():
    """Neither instrument() nor a call imports a framework, and all of them are told of."""
    modules = sorted({one.module for one in FRAMEWORKS if one.module} - {ASIDE})
    modules += sorted({entry.module for one in FRAMEWORKS for entry in one.entries})
    code = f"""
import sys, tokentrace
from tokentrace import turns
tokentrace.instrument(exporter="none")
turns.current()
known = tokentrace.status()["frameworks"]
assert len(known) == {len(FRAMEWORKS)} and set(known.values()) <= {{"not installed", "waiting", "read"}}, known
print([name for name in {modules!r} if name in sys.modules])
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert (ran.stderr, ran.stdout.strip()) == ("", "[]")


def test_nobody_is_asked_outside_of_instrument():
    """Only between instrument() and uninstrument() a framework is asked."""
    assert _told.ask() is _told.NOTHING
    with capture():
        assert _told._source is frameworks.told
        assert _told.ask() is _told.NOTHING
    assert _told._source is _told._nobody


def test_every_row_says_what_it_reads():
    """Each row has a reader or an entry, and says where an agent's name and a turn come from."""
    for one in FRAMEWORKS:
        assert bool(one.module) == (one.read is not readers.nothing), one.name
        assert one.module or one.entries, one.name
        assert one.agent, one.name
        assert one.turn, one.name


def test_a_module_of_the_applications_own_is_left_alone(tmp_path, monkeypatch, caplog):
    """A package that only bears a framework's name is neither wrapped nor warned of."""
    if frameworks.is_there("openai-agents"):
        pytest.skip("openai-agents itself is here")
    code = "class AgentRunner:\n    def run(self): ...\n"
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("")
    (tmp_path / "agents" / "run.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with capture():
        module = importlib.import_module("agents.run")
        assert type(vars(module.AgentRunner)["run"]) is types.FunctionType
        assert tokentrace.status()["frameworks"]["OpenAI Agents"] == "not installed"
    assert caplog.text == ""
    for name in ("agents", "agents.run"):
        monkeypatch.delitem(sys.modules, name)


def test_the_page_has_the_table_of_the_package():
    """The documentation's table is the one of the rows."""
    spec = importlib.util.spec_from_file_location("table", TOP / "scripts" / "frameworks_table.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.written(page) == page
    with pytest.raises(SystemExit, match="markers"):
        script.written("# A page")


# ── what is told ─────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_a_turn(tell):
    """A session's runs are its turns, however often they alternate; agents have their own lineage."""
    with capture() as captured:
        for run, agent in (("r1", "a"), ("r1", "b"), ("r2", "a"), ("r1", "b")):
            tell(session="s", agent=agent, run=run)
            ask("The same question of everybody.")
    assert places(captured) == [
        ("s", "a", 1, "r1"), ("s", "b", 1, "r1"), ("s", "a", 2, "r2"), ("s", "b", 1, "r1"),
    ]  # fmt: skip
    assert len({call.lineage for call in captured.calls}) == 2


def test_without_a_session_runs_still_part_the_turns(tell):
    """A conversation without a name begins a turn with each run, not with each text of a user."""
    with capture() as captured:
        for run, texts in (("r1", "a"), ("r1", "ab"), ("r2", "abc"), ("", "abc")):
            tell(run=run)
            ask(*texts)
    assert places(captured) == [
        ("", "", 1, "r1"), ("", "", 1, "r1"), ("", "", 2, "r2"), ("", "", 3, ""),
    ]  # fmt: skip


def test_without_runs_texts_part_the_turns(tell):
    """Where only a session is known, a new text of the user begins a turn."""
    tell(session="s")
    with capture() as captured:
        for texts in ("a", "ab"):
            ask(*texts)
    assert [call.turn for call in captured.calls] == [1, 2]


def test_what_the_application_says_wins(tell):
    """Session, agent and turn of the application's own stay; what it leaves open is filled in."""
    tell(session="s", agent="a", run="r1")
    with capture() as captured:
        with tokentrace.session("mine", agent="me"), tokentrace.turn(number=4):
            ask("One.")
        with tokentrace.session("mine"):
            ask("Two.")
        with tokentrace.turn(number=9):
            ask("Three.")
    assert places(captured) == [
        ("mine", "me", 4, ""), ("mine", "a", 5, "r1"), ("s", "a", 9, ""),
    ]  # fmt: skip


def test_the_environment_wins(tell, monkeypatch):
    """Session and turn that the environment names stay."""
    tell(session="s", agent="a", run="r1")
    monkeypatch.setenv("TOKENTRACE_SESSION", "env")
    monkeypatch.setenv("TOKENTRACE_TURN", "3")
    with capture() as captured:
        ask("One.")
    assert places(captured) == [("env", "a", 3, "")]


def test_a_reader_that_fails_costs_names_only(tell, monkeypatch):
    """What a framework of tomorrow keeps otherwise costs its names, is counted, and goes no further."""
    monkeypatch.setenv("TOKENTRACE_STRICT", "0")
    broken = frameworks.Framework("odd", "odd", ASIDE, lambda module: module.no_such_thing)
    monkeypatch.setattr(frameworks, "FRAMEWORKS", (broken,))
    with capture() as captured:
        ask("One.")
    assert places(captured) == [("", "", 1, "")]
    assert sum(_failsafe.failures.values()) > 0


def test_carry_takes_along_what_a_framework_told(tell):
    """A bare thread, which no context variable reaches, is in the framework's session and turn."""
    tell(session="s", agent="a", run="r1")
    with capture() as captured, ThreadPoolExecutor() as executor:
        job = tokentrace.carry(ask)
        tell()
        executor.submit(job, "One.").result()
    assert places(captured) == [("s", "a", 1, "r1")]


def test_runs_are_forgotten():
    """A session remembers the runs seen last, and no more."""
    registry = Registry("s")
    assert [registry.turn_of(f"r{n}") for n in range(MOST_RUNS + 1)] == [*range(1, MOST_RUNS + 2)]
    assert registry.turn_of("r1") == 2
    assert registry.turn_of("r0") == MOST_RUNS + 2
    assert len(registry.runs) == MOST_RUNS


# ── readers ──────────────────────────────────────────────────────────────────────────────────────


def test_a_span_of_the_host_tells():
    """The current span's conversation and agent are taken, where somebody records it."""
    tracer = TracerProvider().get_tracer("host")
    known = {"gen_ai.conversation.id": "c1", "gen_ai.agent.name": "helper"}
    with capture() as captured:
        with tracer.start_as_current_span("agent", attributes=known):
            ask("One.")
        with tracer.start_as_current_span("other", attributes={"http.route": "/"}):
            ask("Two.")
    assert [(call.session, call.agent) for call in captured.calls] == [("c1", "helper"), ("", "")]


def test_odd_names_are_none():
    """Numbers and UUIDs are ids; what is no id, or has no text in it, is none."""
    import uuid

    one = uuid.UUID(int=5)
    assert [readers.name(value) for value in (7, one, "t", None, {}, b"x", ["t"])] == [
        "7", str(one), "t", "", "", "", "",
    ]  # fmt: skip
    assert len(readers.name("x" * 10_000)) <= 256


def test_objects_have_ids_for_a_while():
    """The same object has the same id, another one another; the oldest are forgotten."""
    ids = readers.Ids()
    ones = [object() for _ in range(readers.MOST_RUNS + 1)]
    known = [ids.id_of(one) for one in ones]
    assert len(set(known)) == len(ones)
    assert ids.id_of(ones[-1]) == known[-1]
    assert ids.id_of(ones[0]) != known[0]


# ── standing around a run ────────────────────────────────────────────────────────────────────────


def entered(told, body):
    """Return ``body`` as an entry that tells this."""

    def call(*args, **kwargs):
        return runs.around(lambda *_: told)(body, None, args, kwargs)

    return call


def here():
    place = turns.current()
    return place.session, place.agent, place.run


def test_the_outermost_run_decides():
    """Inside a run another's session and id are not taken, its agent is; behind it nothing is left."""
    inner = entered(Told("s2", "b", "r2"), here)
    outer = entered(Told("s1", "a", "r1"), lambda: (here(), inner(), here()))
    with capture():
        assert outer() == (("s1", "a", "r1"), ("s1", "b", "r1"), ("s1", "a", "r1"))
        assert here() == ("", "", "")


def test_a_session_that_is_known_late_holds():
    """A run without a session takes the first that something in it knows."""
    inner = entered(Told("s2"), here)
    outer = entered(Told(run="r1"), lambda: (here(), inner(), here()))
    with capture():
        assert [session for session, *_ in outer()] == ["", "s2", "s2"]


async def test_an_async_context_manager_is_stayed_in():
    """A run that is opened with ``async with`` lasts to its end, also where that is an error."""

    @asynccontextmanager
    async def opened():
        yield here()

    async def fails():
        async with entered(Told("s1", "a", "r1"), opened)() as given:
            seen.append((given, here()))
            raise ZeroDivisionError

    seen = []
    with capture():
        with pytest.raises(ZeroDivisionError):
            await fails()
        assert here() == ("", "", "")
    assert seen == [(("s1", "a", "r1"),) * 2]


def test_nodes_are_an_agents_name():
    """The nodes of a graph in a graph are a path, without what every prebuilt agent has."""
    found = [
        readers._nodes(namespace)
        for namespace in ("", "plan:1", "research:1|model:2", "a:1|tools:2|b:3|agent:4", "model:1")
    ]
    assert found == ["", "plan", "research", "a/tools/b", "model"]


async def test_generators_leave_nothing_between_their_items():
    """Whoever reads a run's items is not in it."""

    async def steps():
        yield here()
        yield here()

    run = entered(Told("s1", "a", "r1"), steps)
    with capture():
        seen = []
        async for item in run():
            seen += [item, here()]
    assert seen == [("s1", "a", "r1"), ("", "", "")] * 2


def test_entries_sleep_without_instrument():
    """Outside of instrument() an entry is the framework's own function and no more."""
    assert entered(Told("s1"), here)() == ("", "", "")
