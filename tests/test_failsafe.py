"""The one fail-safe: it is there wherever our code fails, also amid a failure."""

from __future__ import annotations

import threading

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
