"""SDKs that are not as the table of hooks says: of another shape, without the place, broken at import."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from importlib.util import find_spec

import pytest

import tokentrace
from hostile.cases import errors_in, listening
from tokentrace import _failsafe
from tokentrace.instrument import state
from tokentrace.instrument.hooks import HOOKS

# what a row's module may hold instead: its source, and what `status()` says of the row
SHAPES = {
    "empty": ("", "missing"),
    "class without the method": ("class {owner}: other = 1", "missing"),
    "class renamed": ("class Renamed:\n    def {name}(self): return 5", "missing"),
    "class is None": ("{owner} = None", "missing"),
    "class is a number": ("{owner} = 7", "missing"),
    "class is a function": ("def {owner}(): return 5", "missing"),
    "class is a module": ("import sys as {owner}", "missing"),
    "method is None": ("class {owner}:\n    {name} = None", "missing"),
    "method is inherited": (
        "class Base:\n    def {name}(self): return 5\nclass {owner}(Base): pass",
        "missing",
    ),
    "method is a number": ("class {owner}:\n    {name} = 5", None),
    "method is a property": ("class {owner}:\n    {name} = property(lambda self: 5)", None),
    "method is static": ("class {owner}:\n    @staticmethod\n    def {name}(): return 5", None),
    "method is of the class": ("class {owner}:\n    @classmethod\n    def {name}(cls): return 5", None),
    "method takes nothing": ("class {owner}:\n    def {name}(): return 5", None),
    "method takes anything": ("class {owner}:\n    def {name}(self, *a, **k): return 5", None),
    "class of slots": (
        "class {owner}:\n    __slots__ = ()\n    def {name}(self, *a, **k): return 5",
        None,
    ),
    "class that refuses": (
        "class Meta(type):\n    def __setattr__(cls, name, value): raise TypeError('frozen')\n\
class {owner}(metaclass=Meta):\n    def {name}(self, *a, **k): return 5",
        "missing",
    ),
    "module that answers": ("def __getattr__(name): raise RuntimeError(name)", "missing"),
    "raises at import": ("raise ImportError('needs another library')", None),
    "raises something else": ("1 / 0", None),
    "no Python": ("def (", None),
}  # fmt: skip
ROWS = {f"{row.module}:{row.attr}": row for row in HOOKS}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Give what puts a package in the place of a row's SDK; the real ones come back at the end."""
    kept = dict(sys.modules)

    def plant(row, source):
        top = row.module.partition(".")[0]
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]
        *packages, leaf = row.module.split(".")
        folder = tmp_path
        for package in packages:
            folder = folder / package
            folder.mkdir()
            (folder / "__init__.py").write_text("")
        owner, _, name = row.attr.rpartition(".")
        (folder / f"{leaf}.py").write_text(source.format(owner=owner or "owner", name=name))
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        assert find_spec(row.module).origin.startswith(str(tmp_path))

    yield plant
    tokentrace.uninstrument()
    for name in set(sys.modules) - set(kept):
        del sys.modules[name]
    sys.modules.update(kept)


def arrive(module):
    """Import a module, or fail as it does."""
    try:
        return importlib.import_module(module)
    except Exception as error:
        return type(error).__name__


def used(module, row):
    """Return what a caller of the place gets."""
    owner, _, name = row.attr.rpartition(".")
    try:
        return getattr(getattr(module, owner)(), name)()
    except Exception as error:
        return type(error).__name__


# every other cell imports the package first, so that each shape meets both orders
CELLS = [
    pytest.param(place, shape, bool((at + by) % 2), id=f"{place}-{shape}")
    for at, place in enumerate(ROWS)
    for by, shape in enumerate(SHAPES)
]


@pytest.mark.parametrize(("place", "shape", "first"), CELLS)
def test_an_sdk_of_another_shape(planted, place, shape, first):
    """LI1, LI4: instrument never raises, status tells, the package works as it is, one line at most."""
    row, (source, expected) = ROWS[place], SHAPES[shape]
    planted(row, source)
    bare = arrive(row.module)
    known = used(bare, row)
    if first:
        sys.modules.pop(row.module, None)
    before = dict(_failsafe.failures)
    with listening() as logs:
        tokentrace.instrument(exporter="none", sdks=[row.sdk])
        module = arrive(row.module)
        told = tokentrace.status()["hooks"][place]
        assert (module if isinstance(bare, str) else used(module, row)) == (
            bare if isinstance(bare, str) else known
        )
        tokentrace.uninstrument()
        assert isinstance(bare, str) or used(module, row) == known
    assert told == expected or (
        expected is None and told in {"hooked", "missing", "waiting", "not installed"}
    )
    assert not errors_in(logs)
    ours = [log for log in logs if log.name == "tokentrace" and log.levelno >= logging.WARNING]
    named = re.compile(rf"{re.escape(place)}(?!\w)")  # not the async place of the same beginning
    assert len([log for log in ours if named.search(log.getMessage())]) <= 1
    assert row not in state.hooked
    new = set(_failsafe.failures) - set(before)
    assert {kind.partition(":")[0] for kind in new} <= {"_stand", "_arrived", "_items_of", "read"}
