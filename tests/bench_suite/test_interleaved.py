"""Ways to do the same work take turns."""

from __future__ import annotations

import gc
from functools import partial

import pytest
from interleaved import spent, take_turns, without_collector


def test_ways_take_turns_and_another_begins_each_round():
    """Each round runs every way once; what ran to get warm is not among the figures."""
    order: list[str] = []

    def way(name):
        order.append(name)
        return len(order)

    found = take_turns({name: partial(way, name) for name in "ab"}, rounds=3, warm=1)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert found == {"a": [3, 6, 7], "b": [4, 5, 8]}


def test_work_is_timed_on_thread_and_process():
    """The process's time holds the thread's."""
    thread, process = spent(lambda: sum(range(100_000)))
    assert 0 < thread <= process


def test_the_collector_comes_back():
    """After the work, and after a failure of it, garbage is collected again."""

    def failing():
        with without_collector():
            assert not gc.isenabled()
            raise LookupError

    with pytest.raises(LookupError):
        failing()
    assert gc.isenabled()
