"""The one fail-safe: it is there wherever our code fails, also amid a failure."""

from __future__ import annotations

import threading

import pytest

from tokentrace import _failsafe


def test_a_failure_may_come_amid_another_one(monkeypatch):
    """What the garbage collector ends may fail while the very same thread counts a failure."""

    class Logged(dict):
        def get(self, kind, default):
            if kind == "outer:ValueError":
                _failsafe.record(KeyError("b"), "inner")
            return super().get(kind, default)

    monkeypatch.setattr(_failsafe, "_logged", Logged())
    thread = threading.Thread(target=_failsafe.record, args=(ValueError("a"), "outer"), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert _failsafe.failures == {"outer:ValueError": 1, "inner:KeyError": 1}


def test_each_item_fails_alone(monkeypatch):
    """What fails gives nothing and is counted; the items behind it are still worked on."""
    monkeypatch.delenv("TOKENTRACE_STRICT")
    assert [*_failsafe.each(int, ["1", "x", "3"])] == [1, None, 3]
    assert _failsafe.failures == {"int:ValueError": 1}


def test_each_raises_what_strict_tests_want_to_see():
    """Our own tests see every error, as with a single piece of work."""
    with pytest.raises(ValueError, match="invalid literal"):
        list(_failsafe.each(int, ["1", "x"]))
    assert _failsafe.failures == {"int:ValueError": 1}
