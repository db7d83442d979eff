"""The bounded, expiring table: what it keeps, for how long, and across threads and forks."""

from __future__ import annotations

import os
import threading

import pytest

from tokentrace.counting.keeping import Keeping
from tokentrace.testing import Clock


def test_entries_expire_after_their_last_change():
    """A change renews the time; looking up does not, and neither does a change that changes nothing."""
    clock = Clock()
    table = Keeping(9, 10.0, clock)
    table.put("a", 1)
    clock.tick(6)
    assert table.find("a") == 1
    assert table.change("a", lambda held: held) == 1
    clock.tick(3)
    table.put("b", 2)
    assert table.items() == {"a": 1, "b": 2}
    clock.tick(1)
    assert table.find("a") is None
    assert table.items() == {"b": 2}


def test_the_entry_changed_longest_ago_goes_first():
    """Never more entries than were asked for."""
    table = Keeping(2)
    for key in "abac":
        table.put(key, key)
    assert list(table.items()) == ["a", "c"]
    assert len(table) == 2


def test_a_change_may_take_an_entry_out():
    """None takes it out, and is no entry where there was none."""
    table = Keeping(2)
    table.put("a", 1)
    assert table.change("a", lambda _: None) is None
    assert table.change("b", lambda _: None) is None
    assert len(table) == 0
    table.put("a", 1)
    table.clear()
    assert table.find("a") is None


def test_no_change_is_lost_between_threads():
    """Many threads count one entry up."""
    table = Keeping(3)

    def work():
        for _ in range(500):
            table.change("n", lambda held: (held or 0) + 1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.find("n") == 3_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_has_a_lock_of_its_own():
    """What another thread held at the fork does not stop the child."""
    table = Keeping(3)
    table.put("a", 1)
    held, done = threading.Event(), threading.Event()

    def hold():
        with table._lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if table.change("a", lambda n: n + 1) == 2 else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_a_change_may_come_amid_another_one_of_the_same_thread():
    """The garbage collector ends a dropped stream, and what that teaches is noted, whoever holds the table."""
    table = Keeping(9)

    def amid(before):
        table.put("b", 2)
        return (before or 0) + 1

    thread = threading.Thread(target=table.change, args=("a", amid), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert table.items() == {"b": 2, "a": 1}
