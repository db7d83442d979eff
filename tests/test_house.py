"""The house rules that no linter knows, held against the tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
SRC = TOP / "src" / "tokentrace"
TESTS = TOP / "tests"

LONGEST_FUNCTION = 40
LONGEST_FILE = 400
TABLES = {"schema.py"}  # files of data that may be longer, by their path below the package
BROAD = {"", "Exception", "BaseException"}
DOTTED = re.compile(r"(gen_ai|tokentrace)\.[a-z_.]+")
ASSERTING = re.compile(r"\bassert\b|raises\(|warns\(|(assert_|check_|expect)\w*\(")
PROTOCOL = {"aclose", "asend", "athrow"}  # what an asynchronous generator is made of
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def sources() -> list[Path]:
    """Return the files of the package."""
    return sorted(SRC.rglob("*.py"))


def where(path: Path, node: ast.AST) -> str:
    """Return a finding's place, to be clicked."""
    return f"{path.relative_to(TOP)}:{getattr(node, 'lineno', 0)}"


def caught(handler: ast.ExceptHandler) -> set[str]:
    """Return the names of what a handler catches; an empty name for a bare one."""
    if handler.type is None:
        return {""}
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(kind) for kind in types}


def names_in_code(path: Path) -> Iterator[ast.Constant]:
    """Yield the string constants of a file that are wholly a dotted telemetry name."""
    for node in ast.walk(tree(path)):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and DOTTED.fullmatch(value):
            yield node


def suite() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every test function of the suite with its file."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(tree(path)):
            if isinstance(node, FUNCTIONS) and node.name.startswith("test_"):
                yield path, node


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches broadly and does not raise again as its last word."""
    last = handler.body[-1]
    return bool(caught(handler) & BROAD) and not (isinstance(last, ast.Raise) and last.exc is None)


def test_only_the_failsafe_swallows_broadly():
    """Named exceptions are caught; everything else goes through the one fail-safe."""
    broad = [
        where(path, node)
        for path in sources()
        if path.name != "_failsafe.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    assert broad == []


def test_functions_are_short():
    """No function is longer than forty lines."""
    long = [
        f"{where(path, node)} {node.name}"
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, FUNCTIONS)
        and (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_files_are_short():
    """No file is longer than four hundred lines, tables of data excepted by name."""
    long = {
        str(path.relative_to(SRC)): lines
        for path in sources()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE
    }
    assert long.keys() <= TABLES, long


def test_telemetry_names_are_spelled_once():
    """No file but the schema spells a dotted telemetry name."""
    spelled = [
        f"{where(path, node)} {node.value}"
        for path in sources()
        if path.name != "schema.py"
        for node in names_in_code(path)
    ]
    assert spelled == []


def test_only_the_configuration_reads_the_environment():
    """No file but the configuration touches environment variables."""
    readers = {
        str(path.relative_to(SRC))
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"os.environ", "os.environb", "os.getenv", "os.putenv"}
    }
    assert readers <= {"_config.py"}


def test_no_room_is_a_drawer():
    """Nothing is filed under a name that says nothing."""
    assert {path.stem for path in sources()} & {
        "utils",
        "util",
        "helpers",
        "misc",
        "common",
    } == set()


def test_sync_and_async_are_written_once():
    """No function has a twin with an ``a`` before or ``_async`` behind its name."""
    twins = []
    for path in sources():
        names = {node.name for node in ast.walk(tree(path)) if isinstance(node, FUNCTIONS)}
        others = names - PROTOCOL
        twins += [
            f"{path.name}: {name}" for name in names if {f"a{name}", f"{name}_async"} & others
        ]
    assert twins == []


def test_each_test_says_what_it_tests():
    """Every test has a docstring of its own."""
    silent = [
        f"{where(path, node)} {node.name}" for path, node in suite() if not ast.get_docstring(node)
    ]
    assert silent == []


def test_each_test_can_fail():
    """Every test holds something against an expectation."""
    idle = [
        f"{where(path, node)} {node.name}"
        for path, node in suite()
        if not ASSERTING.search(ast.unparse(node))
    ]
    assert idle == []


def test_test_files_have_unique_names():
    """No two test files share a name, which keeps reports readable."""
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("code", "expected"), [
    ("try:\n    f()\nexcept:\n    pass", True),
    ("try:\n    f()\nexcept (ValueError, Exception):\n    pass", True),
    ("try:\n    f()\nexcept ValueError:\n    pass", False),
    ("try:\n    f()\nexcept BaseException:\n    g()\n    raise", False),
    ("try:\n    f()\nexcept BaseException:\n    raise ValueError from None", True),
])  # fmt: skip
def test_a_planted_swallow_is_seen(code, expected):
    """The rule sees bare handlers and those with a broad name in a tuple, and lets re-raising be."""
    handler = next(
        node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ExceptHandler)
    )
    assert swallows(handler) is expected
