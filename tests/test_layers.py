"""The two halves and the core between them: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "tokentrace"

BASE = {"errors", "fitting", "outlook", "prompt", "names", "values"}
SETTINGS = {"_config", "_failsafe", "_late"}
CORE = BASE | SETTINGS | {"schema", "insights", "dialects", "providers", "counting"}
FOLLOWING = {"_deliver", "_shapes", "_scope"}
GUARDING = {"guard", "lineage"}
PLACES = {"turns", "_told", "_sessions", "_tags", "context", "_assembly"}
SENDING = {"telemetry"}
RECORD = FOLLOWING | GUARDING | PLACES | SENDING | {"instrument"}
READ = {"readers", "analysis", "query", "report"}
EDGES = {
    "boot",
    "cli",
    "demo",
    "doctor",
    "instrumentor",
    "pytest_plugin",
    "scenario",
    "testing",
    "watch",
    "__main__",
}

# room -> what it may import besides itself; core first, then record, then read
ROOMS = {
    "errors": {"prompt"},  # for its annotations only
    "outlook": set(),
    "prompt": {"outlook"},
    "names": {"errors", "prompt"},
    "fitting": set(),
    "values": {"fitting", "names", "outlook", "prompt"},
    "_config": {"errors", "_failsafe"},
    "_failsafe": {"errors", "_config"},
    "_late": {"_failsafe"},
    "schema": BASE,
    "insights": BASE | {"schema", "providers"},
    "dialects": BASE,
    "providers": BASE,
    "counting": BASE | SETTINGS | {"dialects", "providers"},
    "_deliver": SETTINGS,
    "_shapes": SETTINGS | {"_deliver"},
    "_scope": SETTINGS | {"_deliver"},
    "lineage": CORE,
    "guard": CORE | GUARDING,
    "_tags": CORE,
    "_sessions": CORE | {"_tags", "lineage"},
    "_told": SETTINGS,
    "turns": CORE | FOLLOWING | SENDING | {"_sessions", "_told", "guard"},
    "_assembly": CORE | FOLLOWING | SENDING | PLACES,
    "context": CORE | FOLLOWING | SENDING | PLACES | GUARDING,
    "telemetry": CORE,
    "instrument": CORE | RECORD,
    "readers": CORE - {"counting"},
    "analysis": CORE - {"counting", "dialects"} | {"readers"},
    "query": CORE - {"counting", "dialects"} | {"analysis", "readers"},
    "report": CORE - {"counting", "dialects"} | {"analysis", "readers"},
}

# library -> rooms that may import it; a library that is not named here is nobody's
LIBRARIES = {
    "anthropic": set(),
    "backports": {"readers"},
    "compression": {"readers"},
    "genai_prices": {"providers"},
    "duckdb": {"query"},
    "jinja2": {"report"},
    "markupsafe": {"report"},
    "msgspec": {
        "_shapes",
        "counting",
        "instrument",
        "telemetry",
        "readers",
        "report",
        "scenario",
        "cli",
    },
    "openai": {"demo"},
    "opentelemetry": SENDING
    | {"_scope", "turns", "instrument", "instrumentor", "testing", "watch", "readers"},
    "pyarrow": {"query"},
    "pytest": {"pytest_plugin"},
    "sentencepiece": {"counting"},
    "rich": {"report", "cli", "demo", "doctor", "scenario"},
    "tiktoken": {"counting"},
    "tokenizers": {"counting"},
    "typer": {"cli"},
    "wrapt": {"instrument"},
    "yaml": {"scenario"},
}


def targets(path: Path, top: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, at any depth of its code, relative ones resolved."""
    here = ("tokentrace", *path.relative_to(top).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else ()
            whole = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{whole}.{alias.name}" for alias in node.names)


def room_of(path: Path, top: Path) -> str:
    """Return the room that a file belongs to: its folder or its own name below the package."""
    return path.relative_to(top).parts[0].removesuffix(".py")


def imported(top: Path) -> set[tuple[str, str]]:
    """Return (room, imported room) pairs of a package tree, the front door left out."""
    rooms = {entry.name.removesuffix(".py") for entry in top.iterdir()}
    return {
        (room, target.split(".")[1])
        for path in top.rglob("*.py")
        if (room := room_of(path, top)) != "__init__"
        for target in targets(path, top)
        if target.startswith("tokentrace.") and target.split(".")[1] in rooms - {room}
    }


def violations(top: Path) -> set[tuple[str, str]]:
    """Return the pairs that the table of rooms does not allow. Edges may import everything."""
    return {
        (room, other)
        for room, other in imported(top)
        if room not in EDGES and other not in ROOMS.get(room, set())
    }


def test_rooms_import_only_what_they_may():
    """Each room imports only from the rooms below it."""
    assert violations(SRC) == set()


@pytest.mark.parametrize("line", ["from tokentrace import guard", "import tokentrace.guard",
                                  "from ..guard import Guard", "from .. import guard"])  # fmt: skip
def test_planted_violation_is_found(tmp_path, line):
    """A reader that imports the guard is caught, whichever way it is written."""
    (tmp_path / "readers").mkdir()
    (tmp_path / "guard.py").write_text("")
    (tmp_path / "readers" / "otlp_json.py").write_text(f"def read():\n    {line}\n")
    assert violations(tmp_path) == {("readers", "guard")}


def test_the_two_halves_never_meet():
    """Neither the table nor the code lets record import read, or read import record."""
    across = {(a, b) for a in RECORD for b in READ} | {(b, a) for a in RECORD for b in READ}
    allowed = {(room, other) for room, others in ROOMS.items() for other in others}
    assert not across & (allowed | imported(SRC))


def test_core_imports_neither_half():
    """The core can be used without either half."""
    assert {other for room, other in imported(SRC) if room in CORE} <= CORE


def test_nothing_imports_an_edge():
    """Command line, demo and testing stand above everything."""
    assert {(a, b) for a, b in imported(SRC) if b in EDGES and a not in EDGES} == set()


def test_every_room_has_a_layer():
    """A new room gets a row in the table before it gets code."""
    found = {entry.name.removesuffix(".py") for entry in SRC.iterdir()} - {
        "__init__", "__pycache__", "py.typed"}  # fmt: skip
    assert found <= ROOMS.keys() | EDGES


def test_libraries_stay_in_their_rooms():
    """Each third-party library is imported by the rooms that own it, SDKs by none but the demo."""
    seen = {
        (target.split(".")[0], room_of(path, SRC))
        for path in SRC.rglob("*.py")
        for target in targets(path, SRC)
    }
    strangers = {
        (library, room)
        for library, room in seen
        if library in LIBRARIES and room not in LIBRARIES[library]
    }
    assert strangers == set()
